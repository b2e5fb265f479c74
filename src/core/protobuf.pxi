# A ProtobufLayout (layout.py) becomes the C++ format; a part of _core.pyx.

from core cimport CProtobufField, ProtobufOptions, ProtobufPresence, ProtobufShape, ProtobufType, make_protobuf


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


cdef shared_ptr[CFormat] protobuf_format(Schema schema, layout) except *:
    cdef ProtobufOptions options
    options.prefix = layout.prefix
    for field in layout.fields:
        options.fields.push_back(protobuf_field(field))
    return make_protobuf(schema.type, options)
