# Clients of librdkafka: the producer of a worker, and the one that looks at the cluster before the first row.

cdef class _Interruptible:
    """What a signal handler raised during a wait in C++, kept until the call is over."""

    cdef object interruption

    cdef object outcome(self, error):
        return error if self.interruption is None else self.interruption


cdef cbool signals_pending(void* client) noexcept nogil:
    with gil:
        try:
            PyErr_CheckSignals()
        except BaseException as error:
            (<_Interruptible> client).interruption = error
            return True
    return False


cdef Options options_of(pairs) except *:
    cdef Options options
    cdef pair[string, string] option
    for name, value in pairs:
        option.first = name.encode()
        option.second = value.encode()
        options.push_back(option)
    return options


cdef log_lines(vector[LogLine] lines):
    return [(l.level, l.facility.decode(errors="replace"), l.text.decode(errors="replace")) for l in lines]


cdef int set_client_token(Client* client, str text, int64_t expires_ms, str principal, extensions) except -1:
    cdef string token = text.encode()
    cdef string name = principal.encode()
    cdef Options pairs = options_of(extensions)
    cdef string why
    with nogil:
        why = client.set_token(token, expires_ms, name, pairs)
    if not why.empty():
        raise ValueError(why.decode(errors="replace"))
    return 0


cdef object transaction_error(TransactionOutcome outcome):
    if outcome.code == 0:
        return None
    return outcome.code, outcome.text.decode(errors="replace"), outcome.again, outcome.abort


cdef class Producer(_Interruptible):
    cdef unique_ptr[CProducer] producer

    def __init__(
        self, *, configuration, str topic, headers, int64_t window_messages, int64_t queue_bytes, int64_t slab_bytes, cbool audit,
        cbool check_signals,
    ):
        require_librdkafka()
        cdef ProducerOptions options
        cdef pair[string, pair[cbool, string]] header
        options.configuration = options_of(configuration)
        for name, value in headers:
            header.first = name.encode()
            header.second.first = value is not None
            header.second.second = value or b""
            options.headers.push_back(header)
        options.topic = topic.encode()
        options.window_messages = window_messages
        options.queue_bytes = queue_bytes
        options.slab_bytes = slab_bytes
        options.audit = audit
        if check_signals:
            self.producer.reset(new CProducer(options, signals_pending, <void*> self))
        else:
            self.producer.reset(new CProducer(options, NULL, NULL))

    cdef CProducer* alive(self) except NULL:
        if self.producer.get() == NULL:
            raise RuntimeError("the producer is closed")
        return self.producer.get()

    def partitions(self, str topic, int timeout_ms):
        """(partitions, 0), or (0, librdkafka's code)."""
        cdef CProducer* producer = self.alive()
        cdef string name = topic.encode()
        cdef int32_t code = 0
        cdef int32_t count
        with nogil:
            count = producer.partitions(name, timeout_ms, code)
        return count, code

    def produce(self, uint64_t id, Packer packer, uintptr_t arena, place):
        cdef Array block
        cdef Chunk chunk = packer.open(arena, place, &block)
        cdef CProducer* producer = self.alive()
        self.interruption = None
        try:
            with nogil:
                producer.produce(id, packer.packer.get()[0], chunk)
        except RuntimeError as error:
            raise self.outcome(error) from None

    def produce_messages(self, uint64_t id, uintptr_t arena, place, messages, layout):
        cdef CProducer* producer = self.alive()
        cdef ChunkPlace p
        cdef Refusals refusals
        cdef RowFailure failure
        cdef size_t group
        cdef Bytes key
        cdef Bytes value
        cdef uint32_t rows
        cdef cbool open_
        cdef Extras extras
        cdef Extras none
        cdef LeftOut left
        self.interruption = None
        p.block, p.first_row, p.entries, p.repeats, p.groups, p.n_groups, p.sequence = place
        refusals.resend = layout.resend
        refusals.skip_bad = layout.skip_bad
        refusals.skip_oversize = layout.skip_oversize
        producer.begin_chunk(id, find_chunk(<const uint8_t*> arena, p), refusals)
        try:
            for message in messages:
                if len(message) == 5:
                    left.failure.row, left.rows, column, text, left.failure.oversize = message
                    left.failure.column = column.encode()
                    left.failure.text = text.encode()
                    producer.left_out(left)
                    continue
                group, key_, value_, headers, rows, open_ = message
                key = bytes_of(key_)
                value = bytes_of(value_)
                extras = none
                names = [name.encode() for name, _ in headers]
                for name, (_, header) in zip(names, headers):
                    add_header(extras, PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name), bytes_of(header))
                with nogil:
                    producer.add_message(group, key, value, extras, rows, open_)
        except RowError as error:
            failure.row, column, text = error.args
            failure.column = column.encode()
            failure.text = text.encode()
            self.end_chunk(&failure)
        except BaseException as error:
            producer.drop_chunk()
            raise self.outcome(error)
        else:
            self.end_chunk(NULL)

    cdef int end_chunk(self, const RowFailure* failure) except -1:
        cdef CProducer* producer = self.alive()
        try:
            with nogil:
                producer.end_chunk(failure)
        except RuntimeError as error:
            raise self.outcome(error) from None
        return 0

    def poll(self, int timeout_ms):
        """Serves delivery reports for up to timeout_ms; the chunks that are complete now, see _core.pyi."""
        cdef vector[unique_ptr[ChunkResult]] results
        cdef ChunkResult* r
        cdef size_t k
        cdef CProducer* producer = self.alive()
        with nogil:
            producer.poll(timeout_ms)
        PyErr_CheckSignals()  # raises before the results are taken: those of a call that raises would be lost
        results = move(producer.take_results())
        found = []
        for k in range(results.size()):
            r = results[k].get()
            found.append((
                r.id,
                [
                    (
                        p.topic.decode(), p.partition, p.messages, p.rows, p.bytes, p.first_offset, p.last_offset, p.unknown_offsets,
                        [(run.first, run.last, run.count, run.sum) for run in p.runs],
                    )
                    for p in r.partitions
                ],
                [(e.first, error_name(e.first), e.second.rows, e.second.messages, e.second.example.decode(errors="replace")) for e in r.errors],
                r.unknown_rows,
                r.null_keys,
                (r.failure.row, r.failure.column.decode(errors="replace"), r.failure.text.decode(errors="replace")) if r.failed else None,
                left_out_list(r.left_out),
                r.shortened_rows,
                (r.refused.first, r.refused.second) if r.refused.first >= 0 else None,
            ))
        return found

    def init_transactions(self, int timeout_ms):
        cdef CProducer* producer = self.alive()
        cdef TransactionOutcome outcome
        with nogil:
            outcome = producer.init_transactions(timeout_ms)
        return transaction_error(outcome)

    def begin_transaction(self):
        return transaction_error(self.alive().begin_transaction())

    def abort_transaction(self, int timeout_ms):
        cdef CProducer* producer = self.alive()
        cdef TransactionOutcome outcome
        with nogil:
            outcome = producer.abort_transaction(timeout_ms)
        return transaction_error(outcome)

    def begin_commit(self, int timeout_ms):
        self.alive().begin_commit(timeout_ms)

    @property
    def committing(self):
        return self.alive().committing()

    def end_commit(self):
        cdef CProducer* producer = self.alive()
        cdef TransactionOutcome outcome
        with nogil:
            outcome = producer.end_commit()
        return transaction_error(outcome)

    def record(self, str topic, bytes key, bytes value):
        return self.alive().record(topic.encode(), key, value)

    def recorded(self):
        cdef int32_t code = 0
        return code if self.alive().recorded(code) else None

    @property
    def event_fd(self):
        return self.alive().event_fd()

    @property
    def outstanding(self):
        return self.alive().outstanding()

    @property
    def busy(self):
        return self.alive().busy()

    @property
    def slab_bytes(self):
        return self.alive().slab_bytes()

    def purge(self):
        cdef CProducer* producer = self.alive()
        with nogil:
            producer.purge()

    def set_token(self, str token, int64_t expires_ms, str principal, extensions):
        set_client_token(self.alive(), token, expires_ms, principal, extensions)

    def fatal(self):
        cdef int32_t code = 0
        cdef string why = self.alive().fatal(code)
        return None if code == 0 else (code, why.decode(errors="replace"))

    def log(self):
        return log_lines(self.alive().take_log())

    @property
    def last_error(self):
        return self.alive().last_error().decode(errors="replace")

    def close(self):
        with nogil:
            CProducer.end(move(self.producer))

    def __dealloc__(self):
        CProducer.end(move(self.producer))


cdef class Admin(_Interruptible):
    cdef unique_ptr[CAdmin] admin

    def __init__(self, *, configuration):
        require_librdkafka()
        cdef Options options = options_of(configuration)
        self.admin.reset(new CAdmin(options, signals_pending, <void*> self))

    cdef CAdmin* alive(self) except NULL:
        if self.admin.get() == NULL:
            raise RuntimeError("the client is closed")
        self.interruption = None
        return self.admin.get()

    def set_token(self, str token, int64_t expires_ms, str principal, extensions):
        set_client_token(self.alive(), token, expires_ms, principal, extensions)

    def connect(self, int timeout_ms):
        cdef CAdmin* admin = self.alive()
        cdef cbool connected
        try:
            with nogil:
                connected = admin.connect(timeout_ms)
        except RuntimeError as error:
            raise self.outcome(error) from None
        return connected

    def brokers(self, int timeout_ms):
        cdef CAdmin* admin = self.alive()
        cdef int32_t code = 0
        cdef vector[Broker] brokers
        with nogil:
            brokers = admin.brokers(timeout_ms, code)
        return code, [(broker.id, broker.host.decode(), broker.port) for broker in brokers]

    @property
    def has_controller(self):
        return self.alive().has_controller()

    def partitions(self, str topic, int timeout_ms):
        cdef CAdmin* admin = self.alive()
        cdef string name = topic.encode()
        cdef int32_t code = 0
        cdef int32_t count
        with nogil:
            count = admin.topic_partitions(name, timeout_ms, code)
        return count, code

    def describe_topic(self, str topic, int timeout_ms):
        cdef CAdmin* admin = self.alive()
        cdef string name = topic.encode()
        cdef TopicDescription found
        try:
            with nogil:
                found = admin.describe_topic(name, timeout_ms)
        except RuntimeError as error:
            raise self.outcome(error) from None
        operations = list(found.operations) if found.has_operations else None
        return found.code, found.text.decode(errors="replace"), found.partitions, operations

    def topic_config(self, str topic, int timeout_ms):
        cdef CAdmin* admin = self.alive()
        cdef string name = topic.encode()
        cdef TopicConfig found
        try:
            with nogil:
                found = admin.topic_config(name, timeout_ms)
        except RuntimeError as error:
            raise self.outcome(error) from None
        entries = {entry.first.decode(): entry.second.decode(errors="replace") for entry in found.entries}
        return found.code, found.text.decode(errors="replace"), entries

    def create_topic(self, str topic, int partitions, int replication_factor, config, int timeout_ms):
        cdef CAdmin* admin = self.alive()
        cdef string name = topic.encode()
        cdef Options entries = options_of(config)
        cdef Outcome outcome
        try:
            with nogil:
                outcome = admin.create_topic(name, partitions, replication_factor, entries, timeout_ms)
        except RuntimeError as error:
            raise self.outcome(error) from None
        return outcome.code, outcome.text.decode(errors="replace")

    def errors(self):
        cdef vector[ClientError] errors = self.alive().take_errors()
        return [(e.code, error_name(e.code), e.text.decode(errors="replace")) for e in errors]

    def log(self):
        return log_lines(self.alive().take_log())

    def close(self):
        with nogil:
            self.admin.reset()
