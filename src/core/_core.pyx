# cython: language_level=3
"""The whole boundary between Python and the C++ core: addresses and counts in, counts and codes out.

Types and meanings are in _core.pyi. Every call that works on rows releases the interpreter lock.
"""

from cpython.bytearray cimport PyByteArray_AS_STRING
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.pycapsule cimport PyCapsule_GetPointer, PyCapsule_New
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t, uintptr_t
from libc.stdio cimport FILE, fclose, fflush
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy
from libcpp cimport bool as cbool
from libcpp.memory cimport make_shared, make_unique, shared_ptr, static_pointer_cast, unique_ptr
from libcpp.string cimport string
from libcpp.utility cimport move, pair
from libcpp.vector cimport vector

from core cimport (
    Array, ArrowArray, ArrowSchema, CChangeReader, CConsolidator, CFieldReader, CFormat, CSource, ChangeColumns, ChangeMode, Chunk, ChunkPlace, ChunkResult, CKeyEncoder, Collector, CPacker,
    CProducer, CSelection, CSelector, DictionaryRef, ErrorCount, Framing, Group, Kept, LogLine, PackOptions, PartitionAck, Partitioner,
    EventPart, EventText, Hole, JsonBinary, JsonFormatOptions, JsonKeyOptions, JsonNonFinite, JsonStamp, JsonStyle,
    Pass, ProducerOptions, RowFailure,
    SelectOptions, Type, Verdict, add_changes, api, can_hash, collect, copy_block, copy_dictionary, find_flavor, finish_changes,
    import_array, json_refusal, list_dictionaries, load_, loaded, make_json, make_json_key, make_type,
    measure_block, measure_dictionary, open_block, open_chunk, partition_of_, rewrite_json_, same_values, rows_of, select_rows, watch_parent_,
)
from core cimport FieldsOptions, MessageFields, Role, make_big_endian_key, make_raw_key, suits_
from core cimport Broker, CAdmin, Client, ClientError, Options, Outcome, TopicConfig, TopicDescription
from core cimport CXxh64, Run, find_hashes, message_hash, sort_numbers
from core cimport Bytes, CExporter, Exported, ExportLayout, Extras, add_header, delete_bit, export_events, row_mask

import os

cdef extern from "stdio.h":
    FILE* fdopen(int, const char*)

cdef extern from "Python.h":
    int PyErr_CheckSignals() except -1

cdef extern from *:
    """
    #if defined(__SANITIZE_ADDRESS__)
    #define PENSTOCK_SANITIZED ", address and undefined-behaviour sanitizers"
    #else
    #define PENSTOCK_SANITIZED ""
    #endif
    #if defined(__clang__)
    #define PENSTOCK_COMPILER "clang "
    #else
    #define PENSTOCK_COMPILER "gcc "
    #endif
    #if defined(__SSE2__)
    #define PENSTOCK_SIMD "SSE2"
    #elif defined(__ARM_NEON)
    #define PENSTOCK_SIMD "NEON"
    #else
    #define PENSTOCK_SIMD "no SIMD"
    #endif
    #define PENSTOCK_BUILD PENSTOCK_COMPILER __VERSION__ ", C++17, " PENSTOCK_SIMD PENSTOCK_SANITIZED
    """
    const char* PENSTOCK_BUILD
    const char* PENSTOCK_VERSION


def version():
    return PENSTOCK_VERSION.decode()


def build():
    return PENSTOCK_BUILD.decode()


# --- librdkafka -------------------------------------------------------------------------------------------------------

def load_librdkafka(str path):
    cdef bytes encoded = os.fsencode(path)
    cdef string why = load_(encoded)
    if why.size():
        raise ImportError(why.decode(errors="replace"))


cdef int require_librdkafka() except -1:
    if not loaded():
        raise RuntimeError("librdkafka is not loaded; call load_librdkafka first")
    return 0


def librdkafka_version():
    require_librdkafka()
    return api.version_str().decode()


def kafka_property_text():
    require_librdkafka()
    cdef int fd = os.memfd_create("penstock-properties")
    cdef FILE* stream = fdopen(os.dup(fd), b"w")
    api.conf_properties_show(stream)
    fflush(stream)
    fclose(stream)
    with os.fdopen(fd, "rb") as file:
        file.seek(0)
        return file.read().decode(errors="replace")


def check_kafka_option(str name, str value):
    require_librdkafka()
    cdef char why[512]
    cdef bytes n = name.encode()
    cdef bytes v = value.encode()
    cdef void* conf = api.conf_new()
    cdef int code = api.conf_set(conf, n, v, why, sizeof(why))
    api.conf_destroy(conf)
    return None if code == 0 else (<bytes> why).decode(errors="replace").strip()


def error_name(int code):
    require_librdkafka()
    return api.err2name(code).decode()


def error_text(int code):
    require_librdkafka()
    return api.err2str(code).decode(errors="replace")


cdef class MockCluster:
    cdef void* handle
    cdef void* cluster
    cdef readonly str bootstrap_servers

    def __cinit__(self, int brokers=1):
        require_librdkafka()
        cdef char why[512]
        cdef void* conf = api.conf_new()
        api.conf_set(conf, b"log_level", b"0", why, sizeof(why))  # it would warn that it has no brokers
        self.handle = api.create(0, conf, why, sizeof(why))
        if self.handle == NULL:
            raise RuntimeError((<bytes> why).decode(errors="replace"))
        with nogil:
            self.cluster = api.mock_cluster_new(self.handle, brokers)
        self.bootstrap_servers = api.mock_cluster_bootstraps(self.cluster).decode()

    def create_topic(self, str name, int partitions):
        cdef bytes n = name.encode()
        cdef int code = api.mock_topic_create(self.cluster, n, partitions, 1)
        if code:
            raise RuntimeError(error_text(code))

    def push_request_errors(self, short api_key, codes):
        cdef vector[int] errors = codes
        api.mock_push_request_errors_array(self.cluster, api_key, errors.size(), errors.data())

    def set_rtt(self, int milliseconds, int broker=1):
        api.mock_broker_set_rtt(self.cluster, broker, milliseconds)

    def set_down(self, int broker=1):
        api.mock_broker_set_down(self.cluster, broker)

    def set_up(self, int broker=1):
        api.mock_broker_set_up(self.cluster, broker)

    def close(self):
        if self.cluster != NULL:
            with nogil:
                api.mock_cluster_destroy(self.cluster)
                api.destroy(self.handle)
            self.cluster = NULL

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __dealloc__(self):
        self.close()


# --- pieces that stand alone ------------------------------------------------------------------------------------------

_PARTITIONERS = {
    "consistent": 0, "consistent_random": 1, "murmur2": 2, "murmur2_random": 3, "fnv1a": 4, "fnv1a_random": 5, "random": 6,
}


def partition_of(str partitioner, const uint8_t[:] key, int partitions):
    cdef size_t size = key.shape[0]
    return partition_of_(<Partitioner> <uint8_t> _PARTITIONERS[partitioner], &key[0] if size else NULL, size, partitions)


def librdkafka_partition_of(str partitioner, const uint8_t[:] key, int partitions):
    require_librdkafka()
    cdef size_t size = key.shape[0]
    cdef const void* bytes_ = &key[0] if size else <const void*> b""
    if partitioner == "consistent":
        return api.msg_partitioner_consistent(NULL, bytes_, size, partitions, NULL, NULL)
    if partitioner == "consistent_random":
        return api.msg_partitioner_consistent_random(NULL, bytes_, size, partitions, NULL, NULL)
    if partitioner == "murmur2":
        return api.msg_partitioner_murmur2(NULL, bytes_, size, partitions, NULL, NULL)
    if partitioner == "murmur2_random":
        return api.msg_partitioner_murmur2_random(NULL, bytes_, size, partitions, NULL, NULL)
    if partitioner == "fnv1a":
        return api.msg_partitioner_fnv1a(NULL, bytes_, size, partitions, NULL, NULL)
    if partitioner == "fnv1a_random":
        return api.msg_partitioner_fnv1a_random(NULL, bytes_, size, partitions, NULL, NULL)
    raise ValueError(f"no partitioner {partitioner!r}")


def rewrite_json(const uint8_t[:] text):
    cdef string out
    cdef string why
    cdef size_t size = text.shape[0]
    if not rewrite_json_(&text[0] if size else NULL, size, out, why):
        raise ValueError(why.decode(errors="replace"))
    return <bytes> out


def xxh64(const uint8_t[:] text, uint64_t seed=0):
    cdef unique_ptr[CXxh64] hash_ = make_unique[CXxh64](seed)
    cdef size_t size = text.shape[0]
    hash_.get().add(&text[0] if size else NULL, size)
    return hash_.get().finish()


def message_hashes(messages):
    hashes = bytearray(8 * len(messages))
    cdef uint8_t* at = <uint8_t*> PyByteArray_AS_STRING(hashes)
    cdef Bytes key
    cdef Bytes value
    cdef uint64_t hash_
    for key_, value_ in messages:
        key = bytes_of(key_)
        value = bytes_of(value_)
        hash_ = message_hash(key.data, key.size, value.data, value.size)
        memcpy(at, &hash_, 8)
        at += 8
    return hashes


def sort_hashes(uint64_t[::1] hashes):
    cdef size_t size = hashes.shape[0]
    cdef uint64_t* at = &hashes[0] if size else NULL
    with nogil:
        sort_numbers(at, at + size)


def find_sorted(const uint64_t[::1] hashes, const uint64_t[::1] others):
    cdef size_t size = hashes.shape[0]
    cdef size_t count = others.shape[0]
    found = bytearray(count)
    cdef uint8_t* to = <uint8_t*> PyByteArray_AS_STRING(found)
    if size and count:
        find_hashes(&hashes[0], size, &others[0], count, to)
    return found


def watch_parent(int pidfd, int socket, uintptr_t beat):
    watch_parent_(pidfd, socket, <uint64_t*> beat)


def address_of(uint8_t[:] memory):
    return <uintptr_t> &memory[0]


def read_bytes(uintptr_t arena, int64_t position, int64_t size):
    return (<const char*> (arena + position))[:size]


# --- schema -----------------------------------------------------------------------------------------------------------

cdef dict read_metadata(const char* encoded):
    # int32 pairs, then for each: int32 length, key, int32 length, value
    cdef dict found = {}
    cdef int32_t pairs
    cdef int32_t size
    cdef int k
    if encoded == NULL:
        return found
    memcpy(&pairs, encoded, 4)
    encoded += 4
    for k in range(pairs):
        memcpy(&size, encoded, 4)
        key = encoded[4:4 + size]
        encoded += 4 + size
        memcpy(&size, encoded, 4)
        found[key] = encoded[4:4 + size]
        encoded += 4 + size
    return found


cdef tuple read_schema(ArrowSchema* schema):
    metadata = read_metadata(schema.metadata)
    return (
        schema.format.decode(),
        schema.name.decode() if schema.name != NULL else "",
        metadata.get(b"ARROW:extension:name", b"").decode(errors="replace"),
        metadata.get(b"sql_type", b"").decode(errors="replace"),
        tuple([read_schema(schema.children[c]) for c in range(schema.n_children)]),
        read_schema(schema.dictionary) if schema.dictionary != NULL else None,
    )


def schema_spec(capsule):
    return read_schema(<ArrowSchema*> PyCapsule_GetPointer(capsule, "arrow_schema"))


cdef Type build_type(spec, str extension, str sql_type) except *:
    format_, name, own_extension, own_sql_type, children, dictionary = spec
    extension = own_extension or extension
    sql_type = own_sql_type or sql_type
    cdef Type t = make_type(format_.encode(), name.encode(), extension.encode(), sql_type.encode())
    cdef int c
    for c in range(len(children)):
        # What a field says of its values holds for the values behind runs and dictionaries, and for nothing nested deeper.
        inherits = format_ == "+r" and c == 1
        t.children.push_back(build_type(children[c], extension if inherits else "", sql_type if inherits else ""))
    if dictionary is not None:
        t.dictionary = make_shared[Type](build_type(dictionary, extension, sql_type))
    return t


_ROLES = {"raw_key": 0, "big_endian_key": 1, "headers": 2, "header": 3, "timestamp": 4, "topic": 5}


cdef class Schema:
    cdef Type type
    cdef readonly object spec

    def __init__(self, spec):
        self.spec = spec
        self.type = build_type(spec, "", "")

    def refusal(self, int column, style=None):
        cdef JsonStyle made
        if style is not None:
            made = json_style(style)
        return json_refusal(self.type.children[column], made).decode()

    def suits(self, int column, str role):
        return suits_(self.type.children[column], <Role> <uint8_t> _ROLES[role])

    def comparable(self, int column):
        return can_hash(self.type.children[column])


cdef class Piece:
    cdef Schema schema
    cdef object keep
    cdef Array array
    cdef readonly int64_t rows

    def __init__(self, Schema schema, capsule):
        cdef ArrowArray* source = <ArrowArray*> PyCapsule_GetPointer(capsule, "arrow_array")
        self.schema = schema
        self.keep = capsule
        self.array = import_array(schema.type, source[0])
        self.rows = source.length

    cdef vector[pair[const Type*, Array*]] dictionary_list(self):
        cdef vector[pair[const Type*, Array*]] found
        list_dictionaries(self.schema.type, self.array, found)
        return found

    @property
    def dictionaries(self):
        """How many there are outside of other dictionaries."""
        return self.dictionary_list().size()

    def is_dictionary_at(self, size_t index, uintptr_t arena, int64_t position):
        """Whether that dictionary surely is what copy_dictionary put there for a piece of an equal schema."""
        cdef pair[const Type*, Array*] found = self.dictionary_list()[index]
        cdef Array placed
        cdef cbool same
        with nogil:
            placed = open_block(found.first.dictionary.get()[0], <const uint8_t*> arena, position)
            same = same_values(found.first.dictionary.get()[0], found.second.dictionary.get()[0], placed)
        return same

    def set_dictionary_ids(self, ids):
        cdef vector[pair[const Type*, Array*]] found = self.dictionary_list()
        cdef size_t d
        for d in range(found.size()):
            found[d].second.dictionary_id = ids[d]

    def measure(self, int64_t first, int64_t end):
        cdef int64_t size
        with nogil:
            size = measure_block(self.schema.type, self.array, first, end)
        return size

    def copy(self, int64_t first, int64_t end, uintptr_t arena, int64_t position, dictionaries):
        cdef vector[DictionaryRef] refs
        cdef DictionaryRef ref
        cdef int64_t size
        for ref.position, ref.id in dictionaries:
            refs.push_back(ref)
        with nogil:
            size = copy_block(self.schema.type, self.array, first, end, <uint8_t*> arena, position, refs)
        return size

    def measure_dictionary(self, size_t index):
        cdef pair[const Type*, Array*] found = self.dictionary_list()[index]
        cdef int64_t size
        with nogil:
            size = measure_dictionary(found.first.dictionary.get()[0], found.second.dictionary.get()[0])
        return size

    def copy_dictionary(self, size_t index, uintptr_t arena, int64_t position):
        cdef pair[const Type*, Array*] found = self.dictionary_list()[index]
        cdef int64_t size
        with nogil:
            size = copy_dictionary(found.first.dictionary.get()[0], found.second.dictionary.get()[0], <uint8_t*> arena, position)
        return size


# --- selection --------------------------------------------------------------------------------------------------------

class RowError(Exception):
    """A row that cannot be taken: (row, column, text)."""


cdef object row_error(RowFailure& failure):
    return RowError(failure.row, failure.column.decode(errors="replace"), failure.text.decode(errors="replace"))


cdef class Selection:
    cdef CSelection selection
    cdef readonly int workers

    @property
    def rows(self):
        return self.selection.rows

    @property
    def skipped(self):
        return self.selection.skipped

    @property
    def nbytes(self):
        return 48 + 4 * self.selection.entries.size() + 8 * self.selection.repeats.size() + 12 * self.selection.groups.size()

    def copy(self, uintptr_t arena, int64_t position):
        """Writes entries, repeats and groups; returns their positions, -1 for what is not there."""
        cdef uint8_t* base = <uint8_t*> arena
        cdef int64_t entries = -1
        cdef int64_t repeats = -1
        cdef size_t size
        if not self.selection.entries.empty():
            size = self.selection.entries.size() * 4
            entries = position
            memcpy(base + position, self.selection.entries.data(), size)
            position = (position + <int64_t> size + 15) & ~15
        if not self.selection.repeats.empty():
            size = self.selection.repeats.size() * 8
            repeats = position
            memcpy(base + position, self.selection.repeats.data(), size)
            position = (position + <int64_t> size + 15) & ~15
        size = self.selection.groups.size() * sizeof(Group)
        if size:
            memcpy(base + position, self.selection.groups.data(), size)
        return entries, repeats, position

    def shares(self):
        """For each owning worker: (worker, first group, groups, rows, copies). Workers without rows are left out."""
        cdef size_t g
        cdef size_t e
        cdef Group group
        cdef int64_t rows
        cdef int64_t copies
        result = []
        for g in range(self.selection.groups.size()):
            group = self.selection.groups[g]
            worker = (group.partition if group.partition >= 0 else -1 - group.partition) % self.workers
            rows = copies = group.count
            if not self.selection.repeats.empty():
                copies = 0
                for e in range(group.first, group.first + group.count):
                    copies += self.selection.repeats[e]
            if not self.selection.entries.empty():
                rows = 0
                for e in range(group.first, group.first + group.count):
                    rows += rows_of(self.selection.entries[e])
            if result and result[-1][0] == worker:
                last = result[-1]
                result[-1] = (worker, last[1], last[2] + 1, last[3] + rows, last[4] + copies)
            else:
                result.append((worker, g, 1, rows, copies))
        return result


cdef ChangeMode change_mode(str name) except *:
    return {"inserts": ChangeMode.inserts, "op": ChangeMode.op, "weight": ChangeMode.weight, "images": ChangeMode.images}[name]


cdef class Verdicts:
    cdef vector[Verdict] verdicts

    def __len__(self):
        return self.verdicts.size()

    def rows(self):
        """(row, bits, copies) of each, for tests."""
        return [(v.row, v.bits, v.copies) for v in self.verdicts]


cdef class Selector:
    cdef Schema schema
    cdef unique_ptr[CSelector] selector
    cdef int workers
    cdef object topics
    cdef int topic_column
    cdef str no_deletes

    def __init__(
        self, Schema schema, *, str change, int change_column, key, int partition_column, str partitioner, int partitions, int workers,
        int topic_column=-1, topics=None,
        int after_column=-1, cbool pair_updates=False, uint64_t most_copies=1000000, str no_deletes="",
    ):
        cdef SelectOptions options
        options.change = change_mode(change)
        options.change_column = change_column
        options.after_column = after_column
        options.pair_updates = pair_updates
        options.most_copies = most_copies
        options.partition_column = partition_column
        options.topic_column = topic_column
        options.partitioner = <Partitioner> <uint8_t> _PARTITIONERS[partitioner]
        options.partitions = partitions
        options.workers = workers
        self.schema = schema
        self.workers = max(workers, 1)
        self.topics = topics
        self.topic_column = topic_column
        self.no_deletes = no_deletes
        self.selector.reset(new CSelector(schema.type, options, make_key(schema, key)))

    def select(self, Piece piece, int64_t first, int64_t end, str which, int32_t sticky, Verdicts verdicts=None):
        cdef Selection result
        cdef RowFailure failure
        cdef Pass pass_ = {"both": Pass.both, "deletes": Pass.deletes, "inserts": Pass.inserts}[which]
        cdef const vector[Verdict]* judged = NULL
        cdef uint32_t entry
        cdef cbool ok
        if verdicts is not None:
            judged = &verdicts.verdicts
        while True:
            result = Selection.__new__(Selection)
            result.workers = self.workers
            with nogil:
                ok = select_rows(self.selector.get()[0], piece.array, first, end, pass_, sticky, judged, result.selection, failure)
            if not ok:
                raise row_error(failure)
            if result.selection.new_topics.empty():
                break
            for row, name in result.selection.new_topics:
                why = self.topics(name.decode(errors="replace"))
                if why:
                    raise RowError(row, self.schema.type.children[self.topic_column].name.decode(), why)
                self.selector.get().allow_topic(name)
        if self.no_deletes:
            for entry in result.selection.entries:
                if entry & delete_bit:
                    raise RowError(entry & row_mask, "", self.no_deletes)
        return result

    def is_pair(self, Piece piece, int64_t row):
        return self.selector.get().is_pair(piece.array, row)

    def is_before(self, Piece piece, int64_t row):
        return self.selector.get().is_before(piece.array, row)


include "formats.pxi"


# --- changes put together ---------------------------------------------------------------------------------------------

cdef class ChangeReader:
    cdef Schema schema
    cdef unique_ptr[CChangeReader] reader

    def __init__(self, Schema schema, *, str change, int change_column, row_columns, key_columns, cbool pairs=False):
        cdef ChangeColumns columns
        columns.change = change_mode(change)
        columns.column = change_column
        columns.row = row_columns
        columns.key = key_columns
        columns.pairs = pairs
        self.schema = schema
        self.reader.reset(new CChangeReader(schema.type, columns))


cdef class Consolidator:
    cdef unique_ptr[CConsolidator] consolidator

    def __init__(self, str index="", str relation=""):
        self.consolidator.reset(new CConsolidator(index.encode(), relation.encode()))

    def add(self, ChangeReader reader, Piece piece, uint32_t number, uint32_t first=0):
        cdef RowFailure failure
        cdef cbool ok
        if piece.schema is not reader.schema:
            raise ValueError("the piece and the reader are of different schemas")
        with nogil:
            ok = add_changes(self.consolidator.get()[0], reader.reader.get()[0], piece.array, number, first, failure)
        if not ok:
            raise row_error(failure)

    @property
    def rows(self):
        return self.consolidator.get().rows()

    @property
    def nbytes(self):
        return self.consolidator.get().bytes()

    def finish(self, pieces):
        """Verdicts of each (reader, piece). Raises RowError, with the piece's number as `piece`."""
        cdef vector[CSource] sources
        cdef CSource source
        cdef vector[vector[Verdict]] found
        cdef RowFailure failure
        cdef cbool ok
        cdef ChangeReader reader
        cdef Piece piece
        cdef Verdicts verdicts
        cdef size_t k
        for reader, piece in pieces:
            source.reader = reader.reader.get()
            source.block = &piece.array
            sources.push_back(source)
        with nogil:
            ok = finish_changes(self.consolidator.get()[0], sources, found, failure)
        if not ok:
            error = row_error(failure)
            error.piece = self.consolidator.get().failed_piece()
            raise error
        result = []
        for k in range(found.size()):
            verdicts = Verdicts.__new__(Verdicts)
            verdicts.verdicts.swap(found[k])
            result.append(verdicts)
        return result


# --- messages ---------------------------------------------------------------------------------------------------------

cdef class Packer:
    cdef Schema schema
    cdef unique_ptr[CPacker] packer

    def __init__(self, Schema schema, layout):
        cdef PackOptions options
        packing = layout.packing
        options.framing = {"lines": Framing.lines, "array": Framing.array, "bare": Framing.bare}[packing.framing]
        options.records = packing.records
        options.single = layout.key is not None or layout.fields is not None
        options.weighted = packing.weighted
        options.tombstones = packing.tombstones
        options.prologue = packing.prologue
        options.max_payload = layout.max_payload
        self.schema = schema
        self.packer.reset(
            new CPacker(options, make_format(schema, layout.format), make_key(schema, layout.key), make_fields(schema, layout.fields))
        )

    cdef Chunk open(self, uintptr_t arena, place, Array* block) except *:
        cdef ChunkPlace p
        p.block, p.first_row, p.entries, p.repeats, p.groups, p.n_groups, p.sequence = place
        return open_chunk(self.schema.type, <const uint8_t*> arena, p, block[0])

    def collect(self, uintptr_t arena, place):
        """The chunk's messages. Raises RowError with those before it as `messages`."""
        cdef Array block
        cdef Chunk chunk = self.open(arena, place, &block)
        cdef unique_ptr[Collector] collector
        cdef RowFailure failure
        cdef cbool ok
        cdef size_t k
        cdef Kept* kept
        collector.reset(new Collector(True))
        with nogil:
            ok = collect(self.packer.get()[0], chunk, collector.get()[0], failure)
        cdef Group* groups = <Group*> (arena + <int64_t> place[4])
        messages = []
        for k in range(collector.get().kept.size()):
            kept = &collector.get().kept[k]
            messages.append((
                kept.partition if kept.partition >= 0 else groups[kept.group].partition,
                <bytes> kept.key if kept.has_key else None,
                <bytes> kept.value if kept.has_value else None,
                tuple([(h.first.decode(), <bytes> h.second.second if h.second.first else None) for h in kept.headers]),
                kept.timestamp,
                kept.topic.decode(),
            ))
        if not ok:
            error = row_error(failure)
            error.messages = messages
            raise error
        return messages

    def measure(self, uintptr_t arena, place):
        """Encodes and packs the chunk and drops what it makes: (messages, rows, bytes)."""
        cdef Array block
        cdef Chunk chunk = self.open(arena, place, &block)
        cdef unique_ptr[Collector] collector
        cdef RowFailure failure
        cdef cbool ok
        collector.reset(new Collector(False))
        with nogil:
            ok = collect(self.packer.get()[0], chunk, collector.get()[0], failure)
        if not ok:
            raise row_error(failure)
        return collector.get().messages, collector.get().rows, collector.get().bytes


cdef void release_array(object capsule) noexcept:
    cdef ArrowArray* array = <ArrowArray*> PyCapsule_GetPointer(capsule, "arrow_array")
    if array.release != NULL:  # nobody took it over
        array.release(array)
    free(array)


cdef class Exporter:
    cdef Schema schema
    cdef unique_ptr[CExporter] exporter

    def __init__(self, Schema schema, columns, cbool table):
        self.schema = schema
        self.exporter.reset(new CExporter(schema.type, columns, ExportLayout.table if table else ExportLayout.plain))

    def open(self, uintptr_t arena, place):
        cdef ChunkPlace p
        p.block, p.first_row, p.entries, p.repeats, p.groups, p.n_groups, p.sequence = place
        self.exporter.get().open(<const uint8_t*> arena, p)
        cdef size_t g
        return [(self.exporter.get().partition(g), self.exporter.get().events(g)) for g in range(self.exporter.get().groups())]

    def array(self, size_t group, uint64_t first, uint64_t end):
        cdef ArrowArray* array = <ArrowArray*> malloc(sizeof(ArrowArray))
        cdef RowFailure failure
        cdef Exported how
        array.release = NULL
        capsule = PyCapsule_New(array, "arrow_array", release_array)
        with nogil:
            how = export_events(self.exporter.get()[0], group, first, end, array, failure)
        if how == Exported.row:
            raise row_error(failure)
        if how == Exported.too_many:
            raise OverflowError("a column needs more than 2 GiB")
        return capsule

    def rows_ended(self, size_t group, uint64_t first, uint64_t end):
        return self.exporter.get().rows_ended(group, first, end)

    def row(self, size_t group, uint64_t event):
        return self.exporter.get().event(group, event).row

    def changes(self, size_t group, uint64_t first, uint64_t end):
        cdef bytes codes = bytes(end - first)
        cdef char* to = PyBytes_AS_STRING(codes)
        cdef uint64_t event
        for event in range(first, end):
            to[event - first] = <char> <uint8_t> self.exporter.get().event(group, event).change
        return codes


cdef Bytes bytes_of(value) except *:
    cdef Bytes found
    found.data = NULL
    found.size = 0
    if value is not None:
        found.data = <const uint8_t*> PyBytes_AS_STRING(value)
        found.size = PyBytes_GET_SIZE(value)
    return found


include "clients.pxi"
