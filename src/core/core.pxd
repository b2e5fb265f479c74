# What _core.pyx uses of the C++ core. Declared only as far as it is called.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdio cimport FILE
from libcpp cimport bool as cbool
from libcpp.map cimport map as cmap
from libcpp.memory cimport shared_ptr, unique_ptr
from libcpp.string cimport string
from libcpp.utility cimport pair
from libcpp.vector cimport vector


cdef extern from "arrow.hpp" nogil:
    struct ArrowSchema:
        const char* format
        const char* name
        const char* metadata
        int64_t flags
        int64_t n_children
        ArrowSchema** children
        ArrowSchema* dictionary
    struct ArrowArray:
        int64_t length
        int64_t offset
        void (*release)(ArrowArray*) noexcept nogil


cdef extern from "arrow.hpp" namespace "penstock" nogil:
    cdef cppclass Type:
        string name
        vector[Type] children
        shared_ptr[Type] dictionary
    cdef cppclass Array:
        int64_t length
        int64_t offset
        const uint8_t* validity
        const uint8_t* values
        const uint8_t* data
        const uint8_t* const* variadic
        uint64_t dictionary_id
        vector[Array] children
        shared_ptr[Array] dictionary
    struct Bytes:
        const uint8_t* data
        int64_t size
    Type make_type(const string&, const string&, const string&, const string&)
    Array import_array(const Type&, const ArrowArray&) except +
    cbool same_values(const Type&, const Array&, const Array&)
    void list_dictionaries(const Type&, Array&, vector[pair[const Type*, Array*]]&)


cdef extern from "block.hpp" namespace "penstock" nogil:
    struct DictionaryRef:
        int64_t position
        uint64_t id
    int64_t measure_block(const Type&, const Array&, int64_t, int64_t)
    int64_t measure_dictionary(const Type&, const Array&)
    int64_t copy_block(const Type&, const Array&, int64_t, int64_t, uint8_t*, int64_t, const vector[DictionaryRef]&)
    int64_t copy_dictionary(const Type&, const Array&, uint8_t*, int64_t)
    Array open_block(const Type&, const uint8_t*, int64_t) except +


cdef extern from "json.hpp" namespace "penstock" nogil:
    string json_refusal(const Type&, const JsonStyle&)


cdef extern from "flavor.hpp" namespace "penstock" nogil:
    enum class JsonStamp "penstock::JsonStyle::Stamp"(uint8_t):
        iso
    enum class JsonBinary "penstock::JsonStyle::Binary"(uint8_t):
        base64
    enum class JsonNonFinite "penstock::JsonStyle::NonFinite"(uint8_t):
        null
        error
        text
    struct JsonStyle:
        JsonStamp timestamp
        JsonStamp zoned
        JsonBinary binary
        JsonNonFinite non_finite
        cbool keep_scale
        cbool uint64_text
        cbool omit_nulls
    cbool find_flavor(const string&, JsonStyle&)


cdef extern from "variant.hpp" namespace "penstock" nogil:
    cbool rewrite_json_ "penstock::rewrite_json"(const uint8_t*, size_t, string&, string&)


cdef extern from "hash.hpp" namespace "penstock" nogil:
    enum class Partitioner(uint8_t):
        consistent
        consistent_random
        murmur2
        murmur2_random
        fnv1a
        fnv1a_random
        random
    int32_t partition_of_ "penstock::partition_of"(Partitioner, const uint8_t*, size_t, int32_t)


cdef extern from "format.hpp" namespace "penstock" nogil:
    enum class Change(uint8_t):
        insert
        remove
        update
    struct Event:
        int64_t row
        Change change
    cdef cppclass CFormat "penstock::Format":
        pass
    cdef cppclass CKeyEncoder "penstock::KeyEncoder":
        pass


cdef extern from "avro.hpp" namespace "penstock" nogil:
    enum class AvroForm(uint8_t):
        null
        boolean
        int_
        long_
        float_
        double_
        string
        bytes
        fixed
        decimal
        date
        time_millis
        time_micros
        timestamp_millis
        timestamp_micros
        timestamp_nanos
        array
        map
        record
        constant
        change
        now
        group
        before
        after
    cdef cppclass AvroPlan:
        AvroForm form
        int column
        int null_branch
        int32_t scale
        int32_t precision
        int32_t size
        cbool is_fixed
        string bytes
        vector[AvroPlan] children
    cdef cppclass AvroOptions:
        AvroPlan value
        string prefix
        cbool op_header
        cbool tombstones
    shared_ptr[CFormat] make_avro(const Type&, const AvroOptions&) except +
    shared_ptr[CKeyEncoder] make_avro_key(const Type&, const AvroPlan&, const string&) except +


cdef extern from "json_format.hpp" namespace "penstock" nogil:
    enum class Hole(uint8_t):
        none
        row
        before
        open_row
        weight
        sequence
        now
    struct EventPart:
        string literal
        Hole hole
    struct EventText:
        cbool tombstone
        vector[EventPart] parts
    struct Images:
        int before
        int after
    struct JsonFormatOptions:
        JsonStyle style
        vector[int] columns
        Images images
        EventText insert
        EventText remove
        EventText update
        EventText upsert
    struct JsonKeyOptions:
        JsonStyle style
        vector[int] columns
        Images images
        string prefix
        string suffix
        cbool joined
    shared_ptr[CFormat] make_json(const Type&, const JsonFormatOptions&) except +
    shared_ptr[CKeyEncoder] make_json_key(const Type&, const JsonKeyOptions&) except +


cdef extern from "csv.hpp" namespace "penstock" nogil:
    enum class CsvQuoting(uint8_t):
        necessary
        always
        strings
    struct CsvOptions:
        vector[int] columns
        char delimiter
        cbool weight
        CsvQuoting quoting
        string null_text
        cbool nested_json
    shared_ptr[CFormat] make_csv(const Type&, const CsvOptions&) except +


cdef extern from "key.hpp" namespace "penstock" nogil:
    shared_ptr[CKeyEncoder] make_raw_key(const Type&, int) except +
    shared_ptr[CKeyEncoder] make_big_endian_key(const Type&, const vector[int]&) except +


cdef extern from "protobuf.hpp" namespace "penstock" nogil:
    enum class ProtobufType(uint8_t):
        pass
    enum class ProtobufShape(uint8_t):
        pass
    enum class ProtobufPresence(uint8_t):
        pass
    cdef cppclass CProtobufField "penstock::ProtobufField":
        uint32_t number
        int column
        ProtobufType type
        ProtobufShape shape
        ProtobufPresence presence
        int oneof
        vector[pair[string, int32_t]] names
        vector[int32_t] numbers
        vector[CProtobufField] fields
    struct ProtobufOptions:
        string prefix
        vector[CProtobufField] fields
    shared_ptr[CFormat] make_protobuf(const Type&, const ProtobufOptions&) except +


cdef extern from "select.hpp" namespace "penstock" nogil:
    struct Group:
        int32_t partition
        uint32_t first
        uint32_t count
    struct RowFailure:
        int64_t row
        string column
        string text
        cbool oversize
    struct LeftOut:
        RowFailure failure
        uint32_t rows
    enum class ChangeMode(uint8_t):
        inserts
        op
        weight
        images
    enum class Pass(uint8_t):
        both
        deletes
        inserts
    struct SelectOptions:
        ChangeMode change
        int change_column
        int after_column
        cbool pair_updates
        uint64_t most_copies
        int partition_column
        int topic_column
        Partitioner partitioner
        int32_t partitions
        int32_t workers
        cbool skip_bad
    struct CSelection "penstock::Selection":
        cbool all_in_order
        vector[uint32_t] entries
        vector[uint64_t] repeats
        vector[Group] groups
        int64_t rows
        int64_t skipped
        vector[LeftOut] left_out
        vector[pair[int64_t, string]] new_topics
    struct Verdict:
        uint32_t row
        uint32_t bits
        uint64_t copies
    const uint32_t delete_bit
    const uint32_t row_mask
    cdef cppclass CSelector "penstock::Selector":
        CSelector(const Type&, const SelectOptions&, shared_ptr[CKeyEncoder]) except +
        void allow_topic(const string&)
        void refuse_topic(const string&, const string&)
        cbool is_pair(const Array&, int64_t)
        cbool is_before(const Array&, int64_t)
    uint32_t rows_of(uint32_t)


cdef extern from "rowhash.hpp" namespace "penstock" nogil:
    cbool can_hash(const Type&)


cdef extern from "consolidate.hpp" namespace "penstock" nogil:
    struct ChangeColumns:
        ChangeMode change
        int column
        vector[int] row
        vector[int] key
        cbool pairs
    cdef cppclass CChangeReader "penstock::ChangeReader":
        CChangeReader(const Type&, const ChangeColumns&) except +
    struct CSource "penstock::Consolidator::Source":
        CChangeReader* reader
        const Array* block
    cdef cppclass CConsolidator "penstock::Consolidator":
        CConsolidator(string, string) except +
        int64_t rows()
        size_t bytes()
        uint32_t failed_piece()


cdef extern from "cut.hpp" namespace "penstock" nogil:
    cdef cppclass CCutter "penstock::Cutter":
        CCutter(const Type&, const vector[int]&) except +


cdef extern from "pack.hpp" namespace "penstock" nogil:
    enum class Framing(uint8_t):
        lines
        array
        bare
    struct PackOptions:
        Framing framing
        int64_t records
        cbool single
        cbool weighted
        cbool tombstones
        string prologue
        int64_t max_payload
        cbool skip_bad
        cbool skip_oversize
        cbool key_only
        cbool resend
    cdef cppclass CFieldReader "penstock::FieldReader":
        pass
    struct Chunk:
        pass
    struct Extras:
        pass
    cdef cppclass CPacker "penstock::Packer":
        CPacker(const PackOptions&, shared_ptr[CFormat], shared_ptr[CKeyEncoder], shared_ptr[CFieldReader], shared_ptr[CCutter]) except +


cdef extern from "fields.hpp" namespace "penstock" nogil:
    struct FieldsOptions:
        int headers_column
        vector[int] header_columns
        int timestamp_column
        int topic_column
        int partition_column
        int tombstone_column
    enum class Role(uint8_t):
        raw_key
        big_endian_key
        headers
        header
        timestamp
        topic
    cbool suits_ "penstock::suits"(const Type&, Role)
    cdef cppclass MessageFields:
        MessageFields(const Type&, const FieldsOptions&) except +


cdef extern from "client.hpp" namespace "penstock" nogil:
    struct LogLine:
        int level
        string facility
        string text
    struct ClientError:
        int32_t code
        string text
    ctypedef vector[pair[string, string]] Options
    cdef cppclass Client:
        string set_token(const string&, int64_t, const string&, const Options&)
        void poll(int)
        string fatal(int32_t&)
        vector[LogLine] take_log()
        string last_error()
        vector[ClientError] take_errors()


cdef extern from "admin.hpp" namespace "penstock" nogil:
    struct Broker:
        int32_t id
        string host
        int32_t port
    struct Outcome:
        int32_t code
        string text
    cdef cppclass TopicDescription:
        int32_t code
        string text
        int32_t partitions
        cbool has_operations
        vector[int32_t] operations
    cdef cppclass TopicConfig:
        int32_t code
        string text
        Options entries
    cdef cppclass CAdmin "penstock::Admin" (Client):
        CAdmin(const Options&, cbool (*)(void*) noexcept nogil, void*) except +
        cbool connect(int) except +
        vector[Broker] brokers(int, int32_t&)
        cbool has_controller()
        int32_t topic_partitions(const string&, int, int32_t&)
        TopicDescription describe_topic(const string&, int) except +
        TopicConfig topic_config(const string&, int) except +
        Outcome create_topic(const string&, int32_t, int32_t, const Options&, int) except +


cdef extern from "runs.hpp" namespace "penstock" nogil:
    struct Run:
        int64_t first
        int64_t last
        int64_t count
        uint64_t sum


cdef extern from "xxhash.hpp" namespace "penstock" nogil:
    cdef cppclass CXxh64 "penstock::Xxh64":
        CXxh64(uint64_t)
        void add(const void*, size_t)
        uint64_t finish()
    uint64_t message_hash(const void*, size_t, const void*, size_t)
    void find_hashes(const uint64_t*, size_t, const uint64_t*, size_t, uint8_t*)


cdef extern from "<algorithm>" namespace "std" nogil:
    void sort_numbers "std::sort" (uint64_t*, uint64_t*)


cdef extern from "produce.hpp" namespace "penstock" nogil:
    struct ProducerOptions:
        Options configuration
        string topic
        vector[pair[string, pair[cbool, string]]] headers
        int64_t window_messages
        int64_t queue_bytes
        int64_t slab_bytes
        cbool audit
    struct PartitionAck:
        string topic
        int32_t partition
        int64_t messages
        int64_t rows
        int64_t bytes
        int64_t first_offset
        int64_t last_offset
        int64_t unknown_offsets
        vector[Run] runs
    struct Refusals:
        cbool resend
        cbool skip_bad
        cbool skip_oversize
    struct ErrorCount:
        int64_t rows
        int64_t messages
        string example
    struct ChunkResult:
        uint64_t id
        vector[PartitionAck] partitions
        cmap[int32_t, ErrorCount] errors
        int64_t unknown_rows
        int64_t null_keys
        cbool failed
        RowFailure failure
        vector[LeftOut] left_out
        int64_t shortened_rows
        pair[int64_t, int64_t] refused
    struct TransactionOutcome:
        int32_t code
        string text
        cbool again
        cbool abort
    cdef cppclass CProducer "penstock::Producer" (Client):
        CProducer(const ProducerOptions&, cbool (*)(void*) noexcept nogil, void*) except +
        int32_t partitions(const string&, int, int32_t&)
        void produce(uint64_t, CPacker&, const Chunk&) except +
        void begin_chunk(uint64_t, const Chunk&, const Refusals&) except +
        void add_message(size_t, const Bytes&, const Bytes&, const Extras&, uint32_t, cbool) except +
        void end_chunk(const RowFailure*) except +
        void drop_chunk()
        void left_out(const LeftOut&) except +
        void poll(int)
        vector[unique_ptr[ChunkResult]] take_results()
        int event_fd()
        TransactionOutcome init_transactions(int)
        TransactionOutcome begin_transaction()
        TransactionOutcome abort_transaction(int)
        void begin_commit(int) except +
        cbool committing()
        TransactionOutcome end_commit()
        @staticmethod
        void end(unique_ptr[CProducer])
        int32_t record(const string&, const string&, const string&)
        cbool recorded(int32_t&)
        void purge()
        int64_t outstanding()
        cbool busy()
        int64_t slab_bytes()


cdef extern from "boundary.hpp" namespace "penstock" nogil:
    cbool select_rows(CSelector&, const Array&, int64_t, int64_t, Pass, int32_t, const vector[Verdict]*, CSelection&, RowFailure&) except +
    cbool add_changes(CConsolidator&, CChangeReader&, const Array&, uint32_t, uint32_t, RowFailure&) except +
    cbool finish_changes(CConsolidator&, const vector[CSource]&, vector[vector[Verdict]]&, RowFailure&) except +
    struct ChunkPlace:
        int64_t block
        int64_t first_row
        int64_t entries
        int64_t repeats
        int64_t groups
        int64_t n_groups
        int64_t sequence
    Chunk find_chunk(const uint8_t*, const ChunkPlace&)
    Chunk open_chunk(const Type&, const uint8_t*, const ChunkPlace&, Array&) except +
    cdef cppclass Kept "penstock::Collector::Kept":
        size_t group
        cbool has_key
        string key
        cbool has_value
        string value
        vector[pair[string, pair[cbool, string]]] headers
        int64_t timestamp
        string topic
        int32_t partition
    cdef cppclass Collector:
        Collector(cbool)
        vector[Kept] kept
        vector[LeftOut] left
        int64_t messages
        int64_t rows
        int64_t bytes
    cbool collect(CPacker&, const Chunk&, Collector&, RowFailure&) except +


cdef extern from "export.hpp" namespace "penstock" nogil:
    enum class Exported(uint8_t):
        done
        row
        too_many
    enum class ExportLayout(uint8_t):
        plain
        table
    cdef cppclass CExporter "penstock::Exporter":
        CExporter(const Type&, const vector[int]&, ExportLayout) except +
        void open(const uint8_t*, const ChunkPlace&) except +
        size_t groups()
        int32_t partition(size_t)
        uint64_t events(size_t)
        Event event(size_t, uint64_t)
        pair[uint32_t, cbool] rows_ended(size_t, uint64_t, uint64_t)
    void export_rows(const Type&, const Array&, const vector[int64_t]&, ArrowArray*) except +
    void add_header(Extras&, const char*, size_t, const Bytes&)
    Exported export_events(const CExporter&, size_t, uint64_t, uint64_t, ArrowArray*, RowFailure&) except +


cdef extern from "rdkafka.hpp" namespace "penstock::rk" nogil:
    string load_ "penstock::rk::load"(const char*)
    cbool loaded()
    struct Api:
        void* (*conf_new)() noexcept nogil
        void (*conf_destroy)(void*) noexcept nogil
        int (*conf_set)(void*, const char*, const char*, char*, size_t) noexcept nogil
        void (*conf_properties_show)(FILE*) noexcept nogil
        void* (*create)(int, void*, char*, size_t) noexcept nogil
        void (*destroy)(void*) noexcept nogil
        const char* (*err2name)(int) noexcept nogil
        const char* (*err2str)(int) noexcept nogil
        const char* (*version_str)() noexcept nogil
        int32_t (*msg_partitioner_consistent)(const void*, const void*, size_t, int32_t, void*, void*) noexcept nogil
        int32_t (*msg_partitioner_consistent_random)(const void*, const void*, size_t, int32_t, void*, void*) noexcept nogil
        int32_t (*msg_partitioner_murmur2)(const void*, const void*, size_t, int32_t, void*, void*) noexcept nogil
        int32_t (*msg_partitioner_murmur2_random)(const void*, const void*, size_t, int32_t, void*, void*) noexcept nogil
        int32_t (*msg_partitioner_fnv1a)(const void*, const void*, size_t, int32_t, void*, void*) noexcept nogil
        int32_t (*msg_partitioner_fnv1a_random)(const void*, const void*, size_t, int32_t, void*, void*) noexcept nogil
        void* (*mock_cluster_new)(void*, int) noexcept nogil
        void (*mock_cluster_destroy)(void*) noexcept nogil
        const char* (*mock_cluster_bootstraps)(const void*) noexcept nogil
        int (*mock_topic_create)(void*, const char*, int, int) noexcept nogil
        void (*mock_push_request_errors_array)(void*, short, size_t, const int*) noexcept nogil
        int (*mock_broker_set_rtt)(void*, int32_t, int) noexcept nogil
        int (*mock_broker_set_down)(void*, int32_t) noexcept nogil
        int (*mock_broker_set_up)(void*, int32_t) noexcept nogil
    Api api


cdef extern from "watch.hpp" namespace "penstock" nogil:
    void watch_parent_ "penstock::watch_parent"(int, int, uint64_t*)
