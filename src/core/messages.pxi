# Rows as messages, and as Arrow arrays where others encode or keep them; a part of _core.pyx.

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
        options.skip_bad = layout.skip_bad
        options.skip_oversize = layout.skip_oversize
        options.key_only = layout.key_only
        options.resend = layout.resend
        self.schema = schema
        cdef shared_ptr[CCutter] cutter
        if layout.truncate_columns:
            cutter.reset(new CCutter(self.schema.type, layout.truncate_columns))
        self.packer.reset(
            new CPacker(
                options, make_format(schema, layout.format), make_key(schema, layout.key), make_fields(schema, layout.fields), cutter
            )
        )

    cdef Chunk open(self, uintptr_t arena, place, Array* block) except *:
        cdef ChunkPlace p
        p.block, p.first_row, p.entries, p.repeats, p.groups, p.n_groups, p.sequence = place
        return open_chunk(self.schema.type, <const uint8_t*> arena, p, block[0])

    def collect(self, uintptr_t arena, place, left_out):
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
        left_out.extend(left_out_list(collector.get().left))
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


cdef object rows_of_array(Schema schema, const Array& block, rows):
    cdef ArrowArray* array = <ArrowArray*> malloc(sizeof(ArrowArray))
    cdef vector[int64_t] which = rows
    array.release = NULL
    capsule = PyCapsule_New(array, "arrow_array", release_array)
    with nogil:
        export_rows(schema.type, block, which, array)
    return capsule


def rows_of_piece(Piece piece, rows):
    return rows_of_array(piece.schema, piece.array, rows)


def rows_of_block(Schema schema, uintptr_t arena, int64_t position, rows):
    cdef Array block = open_block(schema.type, <const uint8_t*> arena, position)
    return rows_of_array(schema, block, rows)


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
