"""The C++ core as Python sees it: addresses and counts in, counts and codes out.

Written by hand beside src/core/_core.pyx; tests/unit/test_core_stub.py holds the two against each other. Addresses and
positions are plain integers: an address is of this process, a position counts from the start of the arena, so it means
the same in every process that maps it. What an address points at must stay mapped for the call, and nobody checks it.
Every call that works on rows releases the interpreter lock. No object here may be used by two threads at once.
The aliases are for annotations alone: the core itself does not have them.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, TypeAlias

from typing_extensions import Buffer, Self

from penstock.layout import JsonStyle, KeyLayout, Layout

# A field: (format string of the Arrow C data interface, name, extension name, field metadata `sql_type`, children,
# dictionary). The schema itself is a field whose children are its columns.
SchemaSpec: TypeAlias = tuple[str, str, str, str, tuple[SchemaSpec, ...], SchemaSpec | None]
# A chunk in the arena: (block, first row, entries, repeats, groups, number of groups, sequence). Four are positions, -1
# where there is nothing: no entries means the rows from `first row` on in order, no repeats means once each. sequence:
# the number of its first event within the writer.
Place: TypeAlias = tuple[int, int, int, int, int, int, int]
# A run of acknowledged offsets: (first, last, count, sum of message_hashes modulo 2^64)
Run: TypeAlias = tuple[int, int, int, int]
# (topic, partition, messages, rows, bytes of keys and values, first offset, last offset, unknown offsets, runs): one
# for each group of the chunk, in order, then one for each partition of a topic of the rows' own that acknowledged
# something; "" is the producer's topic. messages is 0 and an offset -1 where the broker acknowledged nothing, or named
# none. Runs are there with `audit` only, in order, with gaps between.
PartitionAck: TypeAlias = tuple[str, int, int, int, int, int, int, int, list[Run]]
# (librdkafka's code, its name, rows, messages, the text of the first one)
ErrorCount: TypeAlias = tuple[int, str, int, int, str]
# (row, column, text): which row could not be encoded, the path of its column (may be empty), and why
RowFailure: TypeAlias = tuple[int, str, str]
# (row, how many rows end with it: 2 with the image before an update, column, why, whether it is too large and nothing
# else): rows that are not sent
RowLeftOut: TypeAlias = tuple[int, int, str, str, bool]
# (id given to produce, acknowledged by partition, refused by code, how many of the rows refused may be in the log, rows
# with a null key, where encoding stopped, what was left out, rows sent without a value or cut, first and last row of
# the first message that the broker refused for good and that was not left out)
ChunkResult: TypeAlias = tuple[
    int,
    list[PartitionAck],
    list[ErrorCount],
    int,
    int,
    RowFailure | None,
    list[RowLeftOut],
    int,
    tuple[int, int] | None,
]
# (partition or -1, key, value, headers without the static ones, timestamp in ms or 0, topic or "" for the usual one)
Message: TypeAlias = tuple[int, bytes | None, bytes | None, tuple[tuple[str, bytes | None], ...], int, str]
# (group, key, value, headers, rows whose last event is in it, whether the last row goes on in the next message)
EncodedMessage: TypeAlias = tuple[int, bytes | None, bytes | None, list[tuple[str, bytes | None]], int, bool]
# (worker, first group, number of groups, rows, copies of rows)
Share: TypeAlias = tuple[int, int, int, int, int]
# (syslog level, facility, text)
LogLine: TypeAlias = tuple[int, str, str]

def version() -> str: ...
def build() -> str:
    """Say what made the core: compiler, language, SIMD, sanitizers."""

# --- librdkafka ---

def load_librdkafka(path: str) -> None:
    """Load the library, apart from any other librdkafka in the process; once loaded, later calls do nothing.

    Raises ImportError with the loader's words. Until it was called, whatever needs librdkafka raises RuntimeError.
    """

def librdkafka_version() -> str: ...
def kafka_property_text() -> str:
    """Return librdkafka's own table of its options, as rd_kafka_conf_properties_show prints it."""

def check_kafka_option(name: str, value: str) -> str | None:
    """Return None when librdkafka takes the value, else its own sentence. Options are judged one by one."""

def error_name(code: int) -> str:
    """Name a code of librdkafka or of the broker: "_MSG_TIMED_OUT" for -192."""

def error_text(code: int) -> str: ...

class MockCluster:
    """librdkafka's mock cluster: brokers on free ports of this machine, in threads of this process, data in memory."""

    def __init__(self, brokers: int = 1) -> None: ...
    @property
    def bootstrap_servers(self) -> str: ...
    def create_topic(self, name: str, partitions: int) -> None: ...
    def push_request_errors(self, api_key: int, codes: Sequence[int]) -> None:
        """Answer the next requests of this kind (0: produce) with these codes, one each."""

    def set_rtt(self, milliseconds: int, broker: int = 1) -> None: ...
    def set_down(self, broker: int = 1) -> None: ...
    def set_up(self, broker: int = 1) -> None: ...
    def close(self) -> None:
        """End the brokers and drop their data; may be called twice."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...

# --- pieces that stand alone ---

def partition_of(partitioner: str, key: Buffer, partitions: int) -> int:
    """Our own copy of a librdkafka partitioner, by its name; KeyError for another name."""

def librdkafka_partition_of(partitioner: str, key: Buffer, partitions: int) -> int:
    """Ask the function that librdkafka exports; ValueError for another name, and for `random`."""

def rewrite_json(text: Buffer) -> bytes:
    """Rewrite one JSON value as a VARIANT column is written; ValueError in one sentence with the byte."""

def xxh64(text: Buffer, seed: int = 0) -> int:
    """Return the XXH64 of bytes."""

def message_hashes(messages: Collection[tuple[bytes | None, bytes | None]]) -> bytearray:
    """Hash (key, value) of each message: 8 bytes each, an unsigned number as this machine has it.

    XXH64 of: the key's length as 4 bytes, little-endian, -1 for a null key, then the key; the same of the value.
    """

def sort_hashes(hashes: Buffer) -> None:
    """Sort unsigned 64-bit numbers where they lie."""

def find_sorted(hashes: Buffer, others: Buffer) -> bytearray:
    """Return a byte for each of the others: 1 where it is among the sorted hashes."""

def watch_parent(pidfd: int, socket: int, beat: int) -> None:
    """Start a native thread that ends this process (status 3) once the parent has ended or hung up the socket.

    beat  address of 8 bytes that it counts up several times a second for as long as the process runs
    """

def address_of(memory: Buffer) -> int:
    """Return the address of writable memory; it is not kept alive. IndexError when it is empty."""

def read_bytes(arena: int, position: int, size: int) -> bytes:
    """Copy bytes out of the arena."""

# --- schema and rows ---

def schema_spec(capsule: object) -> SchemaSpec:
    """Read the capsule that __arrow_c_schema__ gives into plain tuples, which can be sent to another process."""

class Schema:
    """A schema made of a spec, or of the lists that a spec becomes on its way to another process."""

    def __init__(self, spec: Sequence[Any]) -> None: ...
    @property
    def spec(self) -> Sequence[Any]:
        """What it was made of, as it was given."""

    def refusal(self, column: int, style: JsonStyle | None = None) -> str:
        """Return why a column has no form in JSON of this style, as the end of a sentence; empty when it has one."""

    def suits(self, column: int, role: str) -> bool:
        """Tell whether a column can be a raw_key or big_endian_key, the headers, a header, the timestamp or topic."""
    def comparable(self, column: int) -> bool:
        """Say whether a ChangeReader can tell the column's values apart."""

class Piece:
    """A RecordBatch imported without a copy: it keeps the capsule that __arrow_c_array__ gave, and so the buffers."""

    def __init__(self, schema: Schema, capsule: object) -> None: ...
    @property
    def rows(self) -> int: ...
    @property
    def dictionaries(self) -> int:
        """How many there are, depth first; those inside of other dictionaries are not counted."""

    def is_dictionary_at(self, index: int, arena: int, position: int) -> bool:
        """Say whether the dictionary surely is what copy_dictionary put there for a piece of an equal schema."""

    def set_dictionary_ids(self, ids: Sequence[int]) -> None:
        """Give each dictionary a number: a Selector keeps its encoded values as long as that stays (0: never)."""

    def measure(self, first: int, end: int) -> int:
        """Return the bytes that rows first..end need in the arena, dictionaries apart."""

    def copy(self, first: int, end: int, arena: int, position: int, dictionaries: Iterable[tuple[int, int]]) -> int:
        """Copy rows first..end to a position that is a multiple of 16; the bytes used, as measured.

        dictionaries  (position, id) of each, where copy_dictionary put it
        """

    def measure_dictionary(self, index: int) -> int: ...
    def copy_dictionary(self, index: int, arena: int, position: int) -> int: ...

# --- selection ---

class RowError(Exception):
    """A row that cannot be taken.

    args      (row, column, text): as RowFailure; the row counts as the piece does
    messages  only from Packer.collect: what came before that row
    piece     only from Consolidator.finish: number of the piece that the row counts in
    """

    args: RowFailure
    messages: list[Message]
    piece: int

class Selection:
    """Which rows are sent, as what, in which order, to which partition; made by Selector.select."""

    @property
    def rows(self) -> int:
        """Rows that will be sent, each once."""

    @property
    def skipped(self) -> int:
        """Rows of weight 0."""

    @property
    def left_out(self) -> list[RowLeftOut]:
        """Rows that cannot be taken."""

    @property
    def nbytes(self) -> int:
        """The most bytes that copy() uses."""

    @property
    def workers(self) -> int: ...
    def copy(self, arena: int, position: int) -> tuple[int, int, int]:
        """Write it to a position that is a multiple of 16: the positions of entries, repeats and groups.

        -1 where there are no entries (all rows in order) or no repeats (once each).
        """

    def shares(self) -> list[Share]:
        """Return what each owning worker gets (partition p is worker p % workers's), without those that get no rows."""

class Selector:
    """Chooses rows by their change column and their partition.

    change            inserts, op, weight or images; change_column: its number, -1 with inserts
    after_column      with images, where change_column is the image before the change
    pair_updates      with op: a -U and the +U right behind it are one update, unless they go to different places
    most_copies       a larger weight is refused
    key               the bytes that are hashed; None: nothing is
    partition_column  -1: none
    partitioner       librdkafka's name of it
    partitions        0: none is named, all rows are one group of partition -1
    topic_column      -1: none; else no partition is named, and rows of one topic and key are one worker's
    topics            why a name that the topic column holds is refused, empty when it is not; asked once for each
    no_deletes        why the first delete is refused as a row that cannot be taken; empty: deletes are taken
    skip_bad          other rows that cannot be taken are left out
    """

    def __init__(
        self,
        schema: Schema,
        *,
        change: str,
        change_column: int,
        key: KeyLayout | None,
        partition_column: int,
        partitioner: str,
        partitions: int,
        workers: int,
        topic_column: int = -1,
        topics: Callable[[str], str] | None = None,
        after_column: int = -1,
        pair_updates: bool = False,
        most_copies: int = 1000000,
        no_deletes: str = "",
        skip_bad: bool = False,
    ) -> None: ...
    def select(
        self, piece: Piece, first: int, end: int, which: str, sticky: int, verdicts: Verdicts | None = None
    ) -> Selection:
        """Select from rows first..end; RowError for a row that cannot be taken, and then nothing is selected.

        With skip_bad such rows are in `left_out` instead.

        which     both, or for weights of a batch in several pieces: deletes, then inserts
        sticky    the partition of the rows that are left to chance
        verdicts  what the piece's rows came to beside others; None: what their change column says
        """

    def is_pair(self, piece: Piece, row: int) -> bool:
        """Say whether the row and the one behind it are a -U and its +U, which must come in one block."""

    def is_before(self, piece: Piece, row: int) -> bool:
        """Say whether the row is a -U that may be the first half of a pair."""

# --- changes put together ---

class ChangeReader:
    """Reads the changes of one schema for a Consolidator.

    row_columns  what makes a row what it is; in one order for all readers of a Consolidator
    key_columns  of the index; () without one
    pairs        with an index an update keeps its old row, where that is the -U right before its +U
    """

    def __init__(
        self,
        schema: Schema,
        *,
        change: str,
        change_column: int,
        row_columns: Sequence[int],
        key_columns: Sequence[int],
        pairs: bool = False,
    ) -> None: ...

class Verdicts:
    """What is to be sent of the rows of one piece; made by Consolidator.finish. len() is the number of such rows."""

    def __len__(self) -> int: ...
    def rows(self) -> list[tuple[int, int, int]]:
        """Return (row, bits, copies) of each.

        bits    1 << 31 a delete, 1 << 30 an update (with 1 << 29: of the row before it), 0 an insert
        """

class Consolidator:
    """Adds the changes of many rows up, and tells what is left of each row or, with an index, of each key.

    Memory  32 bytes for each distinct row, 40 more for each key of an index, and 5 to 11 for the table of either
    """

    def __init__(self, index: str = "", relation: str = "") -> None: ...
    def add(self, reader: ChangeReader, piece: Piece, number: int, first: int = 0) -> None:
        """Take all rows of a piece, which finish will know as piece `number`, or as a part of it from row `first` on.

        Raises RowError; nothing may be added then.
        """

    @property
    def rows(self) -> int:
        """How many distinct rows there are whose changes do not add up to nothing."""

    @property
    def nbytes(self) -> int: ...
    def finish(self, pieces: Sequence[tuple[ChangeReader, Piece]]) -> list[Verdicts]:
        """Return the verdicts of each piece, by number.

        Raises RowError for a key whose changes contradict one another, with the piece's number as `piece`.
        """

# --- messages ---

class Packer:
    """Encodes chunks of one schema, as the layout says."""

    def __init__(self, schema: Schema, layout: Layout) -> None: ...
    def collect(self, arena: int, place: Place, left_out: list[RowLeftOut]) -> list[Message]:
        """Return the chunk's messages; RowError with those before the row as `messages`. Adds to left_out."""

    def measure(self, arena: int, place: Place) -> tuple[int, int, int]:
        """Encode and pack the chunk and drop what comes of it: (messages, rows, bytes). RowError as collect."""

def rows_of_piece(piece: Piece, rows: Sequence[int]) -> object:
    """Export rows of a piece, all columns, as an `arrow_array` capsule of plain layout with memory of its own.

    Nothing is refused: text stays as it is, UTF-8 or not, and an index outside of its dictionary is a null.
    """

def rows_of_block(schema: Schema, arena: int, position: int, rows: Sequence[int]) -> object:
    """Export rows of a block in the arena, as rows_of_piece does."""

class Exporter:
    """The rows of a chunk as Arrow arrays of plain layout: dictionaries, run ends and views as their values.

    columns  which of the schema's, in order
    table    as Parquet has them: text as utf8, bytes as large_binary, lists as large_list, UUIDs as their text
    Counted in events, group by group: a row of weight n is n events in a row.
    """

    def __init__(self, schema: Schema, columns: Sequence[int], table: bool) -> None: ...
    def open(self, arena: int, place: Place) -> list[tuple[int, int]]:
        """Turn to this chunk: (partition, events) of each group. It must lie there until the last array is gone."""

    def array(self, group: int, first: int, end: int) -> object:
        """Export events first..end as an `arrow_array` capsule, a struct of the columns, without a copy where possible.

        RowError for a row that holds text which is not UTF-8, OverflowError where 32-bit offsets do not reach.
        """

    def rows_ended(self, group: int, first: int, end: int) -> tuple[int, bool]:
        """Return the rows whose last event is one of first..end, and whether the last row goes on behind them."""

    def row(self, group: int, event: int) -> int:
        """Return the row of an event, as the block counts it."""

    def changes(self, group: int, first: int, end: int) -> bytes:
        """Return what each event is: 0 an insert, 1 a delete, 2 an update."""

# (code, text, whether the same call may be made again, whether the transaction must be aborted)
TransactionError: TypeAlias = tuple[int, str, bool, bool]

class Producer:
    """One librdkafka producer: messages go in without a copy, reports are counted per chunk, a full queue means wait.

    configuration    librdkafka's names and values; ValueError with its own words when it refuses them
    headers          on every message; None: a header without a value
    window_messages  most messages without a report
    queue_bytes      most bytes of keys and values without one; slab_bytes: most bytes of the memory they are encoded in
    audit            keep the runs of acknowledged offsets
    check_signals    true in the caller's process: waits run signal handlers, and raise what these raise
    """

    def __init__(
        self,
        *,
        configuration: Iterable[tuple[str, str]],
        topic: str,
        headers: Iterable[tuple[str, bytes | None]],
        window_messages: int,
        queue_bytes: int,
        slab_bytes: int,
        audit: bool,
        check_signals: bool,
    ) -> None: ...
    def partitions(self, topic: str, timeout_ms: int) -> tuple[int, int]:
        """Ask the broker for a topic: (partitions, 0), or (0, librdkafka's code)."""

    def produce(self, id: int, packer: Packer, arena: int, place: Place) -> None:
        """Encode and send a chunk; returns when its last message is in librdkafka's queue.

        The chunk's rows may leave the arena then, its entries and groups when it is answered for. A row that cannot be
        encoded ends the chunk and is told by poll.
        """

    def produce_messages(
        self, id: int, arena: int, place: Place, messages: Iterable[EncodedMessage | RowLeftOut], layout: Layout
    ) -> None:
        """Send a chunk whose messages the iterable encodes; bytes are copied, RowError ends the chunk as in produce."""

    def poll(self, timeout_ms: int) -> list[ChunkResult]:
        """Serve reports for up to timeout_ms; the chunks whose messages all have theirs now, as they completed.

        Messages that the broker refused together, where the layout lets them be sent again, are sent in smaller and
        smaller parts until those are alone that it refuses; the rows of these are left out, as the layout says, or
        have failed. Until that is done nothing else is sent.
        """

    def init_transactions(self, timeout_ms: int) -> TransactionError | None:
        """Fence whoever has this transactional.id, and end what it left open; None when that is done."""

    def begin_transaction(self) -> TransactionError | None:
        """Have what is sent from now on belong to one transaction."""

    def abort_transaction(self, timeout_ms: int) -> TransactionError | None:
        """Give up all that was sent since the transaction began; None when that is done."""

    def begin_commit(self, timeout_ms: int) -> None:
        """Wait for the reports of records, then for the commit, in a thread; event_fd tells when it is over.

        All chunks must be complete. Until end_commit() nothing may be sent, and poll() serves nothing.
        """

    @property
    def committing(self) -> bool:
        """A commit is under way."""

    def end_commit(self) -> TransactionError | None:
        """Return how the commit ended, once it has: None when it is done. Needs begin_commit()."""

    def record(self, topic: str, key: bytes, value: bytes) -> int:
        """Send a message of no chunk, copied, to the topic's partition 0; 0, or librdkafka's code if refused."""

    def recorded(self) -> int | None:
        """Return once for each record, after its report: 0, or why it failed; None: there is nothing to tell."""

    @property
    def event_fd(self) -> int:
        """Readable when there is something to poll for: read 8 bytes from it, then poll. Closed by close()."""

    @property
    def outstanding(self) -> int:
        """Messages without a report."""

    @property
    def busy(self) -> bool:
        """Half of the window or of the slabs is taken: produce() may have to wait for the broker."""

    @property
    def slab_bytes(self) -> int:
        """Memory for encoded messages, in bytes, now."""

    def purge(self) -> None:
        """Give up whatever is queued or in flight: each message gets a report that it failed."""

    def set_token(self, token: str, expires_ms: int, principal: str, extensions: Iterable[tuple[str, str]]) -> None:
        """Log in with this OAUTHBEARER token from now on; ValueError with librdkafka's words. From any thread."""

    def fatal(self) -> tuple[int, str] | None:
        """Return the error after which this producer cannot go on: (code, text)."""

    def log(self) -> list[LogLine]:
        """Take what librdkafka logged since the last call; of more than 1000 lines the last one counts the dropped."""

    @property
    def last_error(self) -> str:
        """What librdkafka last complained of, such as an unreachable broker; empty when nothing."""

    def close(self) -> None:
        """Purge and end the producer, after a commit in the background; nothing else may be called on it then."""

class Admin:
    """One librdkafka client that looks at the cluster before the first row, and makes topics.

    configuration  librdkafka's names and values; ValueError with its own words when it refuses them
    Waits for an answer run signal handlers, and raise what these raise; but for brokers and partitions, whose time
    is short. A code is librdkafka's or the broker's, 0 where all went well; the text beside it may be empty.
    """

    def __init__(self, *, configuration: Iterable[tuple[str, str]]) -> None: ...
    def set_token(self, token: str, expires_ms: int, principal: str, extensions: Iterable[tuple[str, str]]) -> None:
        """As of Producer."""

    def connect(self, timeout_ms: int) -> bool:
        """Return whether a broker has let us in by then; may be called again."""

    def brokers(self, timeout_ms: int) -> tuple[int, list[tuple[int, str, int]]]:
        """Return (code, brokers): id, host and port of each, as they tell clients.

        All topics of the cluster come with the answer, which may be long.
        """

    @property
    def has_controller(self) -> bool:
        """Once connected: whether the cluster answers the calls below; librdkafka's mock cluster does not."""

    def partitions(self, topic: str, timeout_ms: int) -> tuple[int, int]:
        """As of Producer: asking makes the topic where the broker is set to."""

    def describe_topic(self, topic: str, timeout_ms: int) -> tuple[int, str, int, list[int] | None]:
        """Return (code, text, partitions, operations) without making the topic.

        operations  what this client may do with it, as rd_kafka_AclOperation_t; None where the broker does not tell
        """

    def topic_config(self, topic: str, timeout_ms: int) -> tuple[int, str, dict[str, str]]:
        """Return (code, text, settings of the topic, the broker's defaults included)."""

    def create_topic(
        self, topic: str, partitions: int, replication_factor: int, config: Iterable[tuple[str, str]], timeout_ms: int
    ) -> tuple[int, str]:
        """Make the topic; -1 for a number takes the broker's. Returns (code, text) once all replicas have it."""

    def errors(self) -> list[tuple[int, str, str]]:
        """Take what librdkafka complained of since the last call: (code, its name, text), at most 1000."""

    def log(self) -> list[LogLine]:
        """As of Producer."""

    def close(self) -> None:
        """End the client; nothing else may be called on it afterwards."""
