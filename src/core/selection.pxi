# Which rows go, where to and as what, one by one or put together by consolidation; a part of _core.pyx.

class RowError(Exception):
    """A row that cannot be taken: (row, column, text)."""


cdef object row_error(RowFailure& failure):
    return RowError(failure.row, failure.column.decode(errors="replace"), failure.text.decode(errors="replace"))


cdef list left_out_list(const vector[LeftOut]& rows):
    cdef size_t k
    return [
        (
            rows[k].failure.row,
            rows[k].rows,
            rows[k].failure.column.decode(errors="replace"),
            rows[k].failure.text.decode(errors="replace"),
            rows[k].failure.oversize,
        )
        for k in range(rows.size())
    ]


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
    def left_out(self):
        return left_out_list(self.selection.left_out)

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
    cdef cbool skip_bad

    def __init__(
        self, Schema schema, *, str change, int change_column, key, int partition_column, str partitioner, int partitions, int workers,
        int topic_column=-1, topics=None,
        int after_column=-1, cbool pair_updates=False, uint64_t most_copies=1000000, str no_deletes="",
        cbool skip_bad=False,
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
        options.skip_bad = self.skip_bad = skip_bad
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
                if not why:
                    self.selector.get().allow_topic(name)
                elif self.skip_bad:
                    self.selector.get().refuse_topic(name, why.encode())
                else:
                    raise RowError(row, self.schema.type.children[self.topic_column].name.decode(), why)
        if self.no_deletes:
            for entry in result.selection.entries:
                if entry & delete_bit:
                    raise RowError(entry & row_mask, "", self.no_deletes)
        return result

    def is_pair(self, Piece piece, int64_t row):
        return self.selector.get().is_pair(piece.array, row)

    def is_before(self, Piece piece, int64_t row):
        return self.selector.get().is_before(piece.array, row)


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
