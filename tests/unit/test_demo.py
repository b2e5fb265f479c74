"""The rows of the demo: made up, but a history that adds up."""

from collections import Counter

import pyarrow as pa
import pytest

from penstock.cli.demo import KEY, generate_orders


def test_the_same_rows_every_time():
    """Two runs of the demo write the same rows, so that two machines can be compared."""
    assert generate_orders(10_000).equals(generate_orders(10_000))


@pytest.mark.parametrize("rows", [0, 1, 9, 10, 11, 12_345])
def test_as_many_rows_as_asked_for(rows):
    """Any count can be asked for, also one that cuts the cycle of changes short."""
    table = generate_orders(rows)
    assert table.num_rows == rows
    assert table.schema == generate_orders(20).schema
    table.validate(full=True)


def test_every_delete_takes_away_a_row_that_is_there():
    """Played back in order, no delete hits a row that was not inserted before, and no order is there twice."""
    there = Counter()
    for row in generate_orders(20_000).to_pylist():
        op = row.pop("op")
        whole = tuple(row.items())
        if op in {"-U", "-D"}:
            there[whole] -= 1
            assert there[whole] == 0
        else:
            there[whole] += 1
            assert there[whole] == 1
    orders = Counter(dict(whole)[KEY] for whole, count in there.items() if count)
    assert max(orders.values()) == 1
    assert len(orders) == 12_000


def test_values_vary():
    """The columns are not constants, which would make compression and the figures too good."""
    table = generate_orders(20_000)
    for name in table.schema.names:
        few = pa.types.is_dictionary(table.schema.field(name).type) or pa.types.is_boolean(
            table.schema.field(name).type
        )
        assert len(table[name].unique()) >= (2 if few else 12), name
