"""The core and its hand-written stub say the same: names, parameters, defaults, and the layout of what is returned."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, get_args

import msgspec
import pyarrow as pa
import pytest

import penstock
from penstock import _core, control
from penstock.layout import JsonKey, JsonLayout, Layout, Packing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STUB = ast.parse((Path(penstock.__file__).parent / "_core.pyi").read_text())
CORE = Path(__file__).parents[2] / "src" / "core"
SOURCES = sorted([CORE / "_core.pyx", *CORE.glob("*.pxi")])
# (name, kind, default or `empty`) of each parameter
Parameters = list[tuple[str, str, object]]
EMPTY = "no default"
# public in the module for Python's own sake
NOT_OURS = {"os"}


def defined(kind: type[ast.AST], body: list[ast.stmt]) -> dict[str, Any]:
    return {node.name: node for node in body if isinstance(node, kind)}


FUNCTIONS: dict[str, ast.FunctionDef] = defined(ast.FunctionDef, STUB.body)
CLASSES: dict[str, ast.ClassDef] = defined(ast.ClassDef, STUB.body)
METHODS = {name: defined(ast.FunctionDef, node.body) for name, node in CLASSES.items()}


def is_property(node: ast.FunctionDef) -> bool:
    return [ast.unparse(d) for d in node.decorator_list] == ["property"]


def stub_parameters(node: ast.FunctionDef) -> Parameters:
    """The parameters of a function in the stub."""
    positional = [*node.args.posonlyargs, *node.args.args]
    defaults = [EMPTY] * (len(positional) - len(node.args.defaults)) + [ast.literal_eval(d) for d in node.args.defaults]
    found: Parameters = [(a.arg, "positional", d) for a, d in zip(positional, defaults, strict=True)]
    if node.args.vararg is not None:
        found.append((node.args.vararg.arg, "rest", EMPTY))
    for argument, default in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True):
        found.append((argument.arg, "keyword", EMPTY if default is None else ast.literal_eval(default)))
    assert node.args.kwarg is None
    return found


def core_parameters(function: Callable[..., Any]) -> Parameters:
    """The parameters of a compiled function."""
    kinds = {
        inspect.Parameter.POSITIONAL_OR_KEYWORD: "positional",
        inspect.Parameter.VAR_POSITIONAL: "rest",
        inspect.Parameter.KEYWORD_ONLY: "keyword",
    }
    return [
        (p.name, kinds[p.kind], EMPTY if p.default is inspect.Parameter.empty else p.default)
        for p in inspect.signature(function).parameters.values()
    ]


def constructors() -> dict[str, Parameters]:
    """Parameters of the constructors, read from the Cython text: the compiled ones do not tell."""
    found = {}
    for part in re.split(r"^cdef class ", "\n".join(source.read_text() for source in SOURCES), flags=re.MULTILINE)[1:]:
        name = part[: part.index(":")].partition("(")[0]
        head = re.search(r"^    def __c?init__\((.*?)\):", part, re.DOTALL | re.MULTILINE)
        if head is None:
            continue
        parameters: Parameters = []
        kind = "positional"
        for text in filter(None, (piece.strip() for piece in head[1].split(","))):
            if text == "*":
                kind = "keyword"
                continue
            declared, _, default = text.partition("=")
            parameters.append((declared.split()[-1], kind, ast.literal_eval(default) if default else EMPTY))
        found[name] = parameters
    return found


def public(names: Any) -> set[str]:
    return {name for name in names if not name.startswith("_")}


def test_the_stub_names_what_the_core_has():
    """Functions and classes: what is in one and not in the other is an error."""
    here = {name: value for name, value in vars(_core).items() if name in public(vars(_core)) - NOT_OURS}
    assert not [name for name, value in here.items() if isinstance(value, ModuleType)]
    assert {name for name, value in here.items() if isinstance(value, type)} == set(CLASSES)
    assert {name for name, value in here.items() if not isinstance(value, type)} == set(FUNCTIONS)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_takes_what_the_stub_says(name):
    """Names, order, kinds and defaults of the parameters."""
    assert stub_parameters(FUNCTIONS[name]) == core_parameters(getattr(_core, name))


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_has_the_members_that_the_stub_says(name):
    """Methods and read-only properties, with the parameters of each method."""
    real = vars(getattr(_core, name))
    told = METHODS[name]
    protocol = {"__enter__", "__exit__"}
    assert protocol & set(told) == protocol & set(real)
    assert public(real) - {"args"} == public(told)
    for member in public(told) | (protocol & set(told)):
        assert is_property(told[member]) == inspect.isdatadescriptor(real[member])
        if not is_property(told[member]):
            assert stub_parameters(told[member]) == core_parameters(real[member])


def test_constructors_take_what_the_stub_says():
    """Names, order, kinds and defaults; a class without a constructor in one has none in the other."""
    told = {name: methods["__init__"] for name, methods in METHODS.items() if "__init__" in methods}
    assert {name: stub_parameters(node) for name, node in told.items()} == constructors()
    assert set(told) == {
        "Admin", "ChangeReader", "Consolidator", "Exporter", "MockCluster", "Packer", "Piece", "Producer", "Schema",
        "Selector",
    }  # fmt: skip


def test_properties_cannot_be_set(mock):
    """A property without a setter in the stub has none in the core."""
    with pytest.raises(AttributeError, match="bootstrap_servers"):
        mock.bootstrap_servers = "elsewhere:9092"
    assert not [
        ast.unparse(d)
        for methods in METHODS.values()
        for node in methods.values()
        for d in node.decorator_list
        if ast.unparse(d) != "property"
    ]


# --- layouts of results ---


def aliases() -> dict[str, Any]:
    """The stub's type aliases, as types."""
    names: dict[str, Any] = {"SchemaSpec": Any}  # it is recursive; checked by hand below
    for node in STUB.body:
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.annotation) == "TypeAlias" and node.value is not None:
            name = ast.unparse(node.target)
            # types of the standard library only, written in this repository
            names[name] = eval(ast.unparse(node.value), {**names})  # noqa: S307
    return names


ALIASES = aliases()


def check(value: object, kind: Any) -> None:
    """Fail unless the value has that layout: tuples of that length, and no list where a tuple is told."""
    assert msgspec.convert(value, kind, strict=True) == value


def check_each(values: list[Any], name: str) -> None:
    assert type(values) is list
    for value in values:
        check(value, ALIASES[name])


def lay_out(
    batch: pa.RecordBatch, **options: Any
) -> tuple[_core.Schema, bytearray, int, _core.Selection, tuple[int, ...]]:
    """A batch and its selection in memory of our own: (schema, memory, its address, selection, place)."""
    schema = _core.Schema(_core.schema_spec(batch.schema.__arrow_c_schema__()))
    piece = _core.Piece(schema, batch.__arrow_c_array__()[1])
    settings = {
        "change": "inserts", "change_column": -1, "key": None, "partition_column": -1,
        "partitioner": "murmur2_random", "partitions": 4, "workers": 2, **options,
    }  # fmt: skip
    selection = _core.Selector(schema, **settings).select(piece, 0, piece.rows, "both", 0)
    size = piece.measure(0, piece.rows)
    memory = bytearray(size + selection.nbytes + 256)
    arena = _core.address_of(memory)
    at = -arena % 64
    assert piece.copy(0, piece.rows, arena, at, []) <= size
    entries, repeats, groups = selection.copy(arena, at + (size + 63) // 64 * 64)
    place = (at, 0, entries, repeats, groups, sum(share[2] for share in selection.shares()), 0)
    return schema, memory, arena, selection, place


def packer(schema: _core.Schema, **options: Any) -> _core.Packer:
    settings = {
        "spec": schema.spec, "format": JsonLayout((0,)), "key": None, "packing": Packing(records=2),
        "max_payload": 1000, **options,
    }  # fmt: skip
    return _core.Packer(schema, Layout(**settings))


@pytest.fixture
def batch() -> pa.RecordBatch:
    return pa.record_batch({"n": pa.array([1, 2, 3], pa.int64()), "w": pa.array([1, 0, -2], pa.int8())})


def test_layouts_are_those_of_the_control_messages():
    """What the core gives is what the workers send: the shapes written down in both places are equal."""
    for name in ("PartitionAck", "ErrorCount", "RowFailure", "RowLeftOut", "Place"):
        assert ALIASES[name] == getattr(control, name)
    partitions, errors, failure = (control.Ack.__annotations__[name] for name in ("partitions", "errors", "failure"))
    assert (partitions, errors, failure) == ("list[PartitionAck]", "list[ErrorCount]", "RowFailure | None")
    assert get_args(ALIASES["ChunkResult"])[1:] == (
        list[control.PartitionAck], list[control.ErrorCount], int, int, control.RowFailure | None,
        list[control.RowLeftOut], int, tuple[int, int] | None,
    )  # fmt: skip


def test_a_spec_is_laid_out_as_told():
    """Six members: format, name, extension, sql_type, children, dictionary."""
    fields = [
        pa.field("a", pa.list_(pa.int32()), metadata={"sql_type": "T"}),
        pa.field("b", pa.dictionary(pa.int8(), pa.string())),
    ]
    assert _core.schema_spec(pa.schema(fields).__arrow_c_schema__()) == (
        "+s", "", "", "", (
            ("+l", "a", "", "T", (("i", "item", "", "", (), None),), None),
            ("c", "b", "", "", (), ("u", "", "", "", (), None)),
        ), None,
    )  # fmt: skip


def test_a_selection_is_laid_out_as_told(batch):
    """Counts, positions and shares of rows by weight: one row of weight 0 is skipped, one goes out twice."""
    _, _, _, selection, place = lay_out(batch, change="weight", change_column=1, key=JsonKey((0,)))
    assert (selection.rows, selection.skipped, selection.workers) == (2, 1, 2)
    check(place, ALIASES["Place"])
    assert place[2] > 0 < place[3]
    check_each(selection.shares(), "Share")
    assert sum(share[3] for share in selection.shares()) == 2
    assert lay_out(batch)[4][2:4] == (-1, -1)


def test_messages_and_row_errors_are_laid_out_as_told(batch):
    """(partition, key, value, headers, timestamp, topic); the error has its three facts and the messages before it."""
    schema, memory, arena, _, place = lay_out(batch)
    messages = packer(schema).collect(arena, place, [])
    check_each(messages, "Message")
    assert [message[2].count(b"\n") for message in messages] == [2, 1]
    assert packer(schema).measure(arena, place) == (2, 3, sum(len(message[2]) for message in messages))
    with pytest.raises(_core.RowError) as caught:
        packer(schema, max_payload=5).collect(arena, place, [])
    check(caught.value.args, ALIASES["RowFailure"])
    assert caught.value.messages == []
    assert memory


@pytest.fixture
def producer(mock) -> Iterator[_core.Producer]:
    made = _core.Producer(
        configuration=[("bootstrap.servers", mock.bootstrap_servers), ("linger.ms", "0"), ("retries", "0")],
        topic="orders", headers=[("from", b"test"), ("empty", None)],
        window_messages=100, queue_bytes=1 << 20, slab_bytes=1 << 22, audit=True, check_signals=False,
    )  # fmt: skip
    yield made
    made.close()


def one_result(producer: _core.Producer) -> Any:
    for _ in range(100):
        found = producer.poll(100)
        if found:
            (result,) = found
            return result
    pytest.fail("no delivery report within ten seconds")


def test_results_are_laid_out_as_told(batch, mock, producer):
    """A chunk that is acknowledged, one that is refused, one that ends at a row, and one whose rows are left out."""
    schema, memory, arena, _, place = lay_out(batch)
    assert producer.partitions("orders", 10_000) == (4, 0)
    pack = packer(schema)

    producer.produce(7, pack, arena, place)
    acked = one_result(producer)
    check(acked, ALIASES["ChunkResult"])
    size = pack.measure(arena, place)[2]
    hashes = _core.message_hashes([(message[1], message[2]) for message in pack.collect(arena, place, [])])
    runs = [(0, 1, 2, sum(memoryview(hashes).cast("Q")) % 2**64)]
    assert acked == (7, [("", 0, 2, 3, size, 0, 1, 0, runs)], [], 0, 0, None, [], 0, None)

    mock.push_request_errors(0, [29, 29])  # TOPIC_AUTHORIZATION_FAILED; its two messages may travel apart
    producer.produce(8, pack, arena, place)
    refused = one_result(producer)
    check(refused, ALIASES["ChunkResult"])
    ((code, name, rows, count, example),) = refused[2]
    assert refused[:2] == (8, [("", 0, 0, 0, 0, -1, -1, 0, [])])
    assert (code, name, rows, count) == (29, _core.error_name(29), 3, 2)
    assert example

    producer.produce(9, packer(schema, max_payload=5), arena, place)
    stopped = one_result(producer)
    check(stopped, ALIASES["ChunkResult"])
    assert stopped[:5] == (9, [("", 0, 0, 0, 0, -1, -1, 0, [])], [], 0, 0)
    assert stopped[5][0] == 0

    producer.produce(10, packer(schema, max_payload=5, skip_oversize=True), arena, place)
    left_out = one_result(producer)
    check(left_out, ALIASES["ChunkResult"])
    assert left_out[:6] == (10, [("", 0, 0, 0, 0, -1, -1, 0, [])], [], 0, 0, None)
    assert [(row, rows, oversize) for row, rows, _, _, oversize in left_out[6]] == [
        (0, 1, True),
        (1, 1, True),
        (2, 1, True),
    ]
    assert memory

    assert producer.outstanding == 0
    assert producer.fatal() is None
    check_each(producer.log(), "LogLine")
    assert isinstance(producer.last_error, str)
    assert isinstance(producer.event_fd, int)
    assert producer.slab_bytes > 0
