# What a layout (layout.py) names becomes the C++ object that encodes it; a part of _core.pyx.

from core cimport CsvOptions, CsvQuoting, make_csv


include "avro.pxi"


include "protobuf.pxi"


cdef JsonStyle json_style(style) except *:
    cdef JsonStyle made
    if not find_flavor(style.flavor.encode(), made):
        raise ValueError(f"no flavor {style.flavor!r}")
    if style.binary_base64:
        made.binary = JsonBinary.base64
    if style.iso_timestamps:
        made.timestamp = JsonStamp.iso
        made.zoned = JsonStamp.iso
    made.non_finite = {"null": JsonNonFinite.null, "error": JsonNonFinite.error, "string": JsonNonFinite.text}[style.non_finite]
    made.keep_scale = style.keep_decimal_scale
    made.omit_nulls = style.omit_nulls
    made.uint64_text = style.uint64_text
    return made


cdef dict JSON_HOLES = {
    "row": Hole.row, "before": Hole.before, "open_row": Hole.open_row, "weight": Hole.weight, "sequence": Hole.sequence, "now": Hole.now,
}


cdef EventText json_text(text) except *:
    cdef EventText made
    cdef EventPart part
    cdef int k
    made.tombstone = text is None
    if text is None:
        return made
    for k in range(0, len(text), 2):
        part.literal = text[k].encode()
        part.hole = JSON_HOLES[text[k + 1]] if k + 1 < len(text) else Hole.none
        made.parts.push_back(part)
    return made


cdef shared_ptr[CFormat] json_format(Schema schema, layout) except *:
    cdef JsonFormatOptions options
    options.style = json_style(layout.style)
    options.columns = layout.columns
    options.images.before = layout.before
    options.images.after = layout.after
    options.insert = json_text(layout.insert)
    options.remove = json_text(layout.delete)
    options.update = json_text(layout.update)
    options.upsert = json_text(layout.upsert)
    return make_json(schema.type, options)


cdef shared_ptr[CKeyEncoder] json_key(Schema schema, layout) except *:
    cdef JsonKeyOptions options
    options.style = json_style(layout.style)
    options.columns = layout.columns
    options.images.before = layout.before
    options.images.after = layout.after
    options.prefix = layout.prefix.encode()
    options.suffix = layout.suffix.encode()
    options.joined = layout.joined
    return make_json_key(schema.type, options)


cdef shared_ptr[CFormat] make_format(Schema schema, layout) except *:
    kind = type(layout).__name__
    if kind == "JsonLayout":
        return json_format(schema, layout)
    if kind == "AvroLayout":
        return make_avro_format(schema, layout)
    if kind == "CsvLayout":
        return make_csv(schema.type, csv_options(layout))
    if kind == "ProtobufLayout":
        return protobuf_format(schema, layout)
    raise TypeError(f"no format for a {kind}")


cdef CsvOptions csv_options(layout) except *:
    cdef CsvOptions options
    options.columns = layout.columns
    options.delimiter = <char> ord(layout.delimiter)
    options.weight = layout.weight
    options.quoting = {"necessary": CsvQuoting.necessary, "always": CsvQuoting.always, "strings": CsvQuoting.strings}[layout.quoting]
    options.null_text = layout.null_text.encode()
    options.nested_json = layout.nested_json
    return options


cdef shared_ptr[CKeyEncoder] make_key(Schema schema, layout) except *:
    cdef shared_ptr[CKeyEncoder] none
    if layout is None:
        return none
    kind = type(layout).__name__
    if kind == "JsonKey":
        return json_key(schema, layout)
    if kind == "RawKey":
        return make_raw_key(schema.type, layout.column)
    if kind == "AvroKey":
        return make_avro_row_key(schema, layout)
    if kind == "BigEndianKey":
        return make_big_endian_key(schema.type, layout.columns)
    raise TypeError(f"no key for a {kind}")


cdef shared_ptr[CFieldReader] make_fields(Schema schema, layout) except *:
    cdef shared_ptr[CFieldReader] none
    cdef FieldsOptions options
    cdef shared_ptr[MessageFields] fields
    if layout is None:
        return none
    options.headers_column = layout.headers_column
    options.header_columns = layout.header_columns
    options.timestamp_column = layout.timestamp_column
    options.topic_column = layout.topic_column
    options.partition_column = layout.partition_column
    options.tombstone_column = layout.tombstone_column
    fields = make_shared[MessageFields](schema.type, options)
    return static_pointer_cast[CFieldReader, MessageFields](fields)
