"""Columns that settings name."""

import pyarrow as pa
import pytest

from penstock import ConfigError
from penstock.columns import find_connector_columns

SCHEMA = pa.schema([("id", pa.int64()), ("Id", pa.int64()), ("Name", pa.string())])


@pytest.mark.parametrize(("name", "at"), [("id", 0), ("ID", 0), ("Id", 0), ('"Id"', 1), ('"id"', 0), ("Name", 2)])
def test_the_connector_folds_names(name, at):
    """Unquoted names are lower case, quoted ones exact; a name that only exists as written is found as written."""
    assert find_connector_columns(SCHEMA, [name], "key_fields") == (at,)


@pytest.mark.parametrize("name", ["name", '"ID"', '"', "nmae"])
def test_a_name_that_is_not_there_is_refused(name):
    with pytest.raises(ConfigError, match="key_fields: there is no column"):
        find_connector_columns(SCHEMA, [name], "key_fields")
