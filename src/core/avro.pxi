# An AvroNode (layout.py) becomes an AvroPlan; a part of _core.pyx.

from core cimport AvroForm, AvroOptions, AvroPlan, make_avro, make_avro_key

cdef dict _AVRO_FORMS = {
    name: number for number, name in enumerate((
        "null", "boolean", "int", "long", "float", "double", "string", "bytes", "fixed", "decimal", "date", "time_millis", "time_micros",
        "timestamp_millis", "timestamp_micros", "timestamp_nanos", "array", "map", "record", "constant", "change", "now", "group",
        "before", "after",
    ))
}


cdef AvroPlan avro_plan(node) except *:
    cdef AvroPlan plan
    plan.form = <AvroForm> <uint8_t> _AVRO_FORMS[node.form]
    plan.column = node.column
    plan.null_branch = node.null_branch
    plan.scale = node.scale
    plan.precision = node.precision
    plan.size = node.size
    plan.is_fixed = node.is_fixed
    plan.bytes = node.data
    for child in node.children:
        plan.children.push_back(avro_plan(child))
    return plan


cdef shared_ptr[CFormat] make_avro_format(Schema schema, layout) except *:
    cdef AvroOptions options
    options.value = avro_plan(layout.value)
    options.prefix = layout.prefix
    options.op_header = layout.op_header
    options.tombstones = layout.tombstones
    return make_avro(schema.type, options)


cdef shared_ptr[CKeyEncoder] make_avro_row_key(Schema schema, layout) except *:
    return make_avro_key(schema.type, avro_plan(layout.value), layout.prefix)
