# What a layout (layout.py) names becomes the C++ object that encodes it; a part of _core.pyx.


cdef shared_ptr[CFormat] make_format(Schema schema, layout) except *:
    kind = type(layout).__name__
    if kind == "JsonLayout":
        return make_insert_delete(schema.type, layout.columns)
    raise TypeError(f"no format for a {kind}")


cdef shared_ptr[CKeyEncoder] make_key(Schema schema, layout) except *:
    cdef shared_ptr[CKeyEncoder] none
    if layout is None:
        return none
    kind = type(layout).__name__
    if kind == "JsonKey":
        return make_json_key(schema.type, layout.columns)
    if kind == "RawKey":
        return make_raw_key(schema.type, layout.column)
    raise TypeError(f"no key for a {kind}")


cdef shared_ptr[CFieldReader] make_fields(Schema schema, layout) except *:
    cdef shared_ptr[CFieldReader] none
    if layout is None:
        return none
    raise TypeError(f"no fields for a {type(layout).__name__}")
