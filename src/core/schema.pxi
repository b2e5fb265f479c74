# Columns as they come in: types, and pieces of a batch; a part of _core.pyx.

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
