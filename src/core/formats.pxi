# What a layout (layout.py) names becomes the C++ object that encodes it; a part of _core.pyx.


cdef shared_ptr[CFormat] make_format(Schema schema, layout) except *:
    kind = type(layout).__name__
    if kind == "JsonLayout":
        return make_insert_delete(schema.type, layout.columns)
    if kind == "ProtobufLayout":
        return make_protobuf_format(schema, layout)
    raise TypeError(f"no format for a {kind}")


cdef CProtobufField protobuf_field(field) except *:
    cdef CProtobufField one
    cdef pair[string, int32_t] named
    one.number = field.number
    one.column = field.column
    one.type = <ProtobufType> <uint8_t> field.type
    one.shape = <ProtobufShape> <uint8_t> ("single", "repeated", "packed", "map").index(field.shape)
    one.presence = <ProtobufPresence> <uint8_t> ("implicit", "explicit", "required").index(field.presence)
    one.oneof = field.oneof
    one.numbers = field.numbers
    for name, number in field.names:
        named.first = name.encode()
        named.second = number
        one.names.push_back(named)
    for inner in field.fields:
        one.fields.push_back(protobuf_field(inner))
    return one


cdef shared_ptr[CFormat] make_protobuf_format(Schema schema, layout) except *:
    cdef ProtobufOptions options
    options.prefix = layout.prefix
    for field in layout.fields:
        options.fields.push_back(protobuf_field(field))
    return make_protobuf(schema.type, options)


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
