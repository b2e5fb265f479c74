# cython: language_level=3
"""The whole boundary between Python and the C++ core: addresses and counts in, counts and codes out.

Types and meanings are in _core.pyi. Every call that works on rows releases the interpreter lock.
"""

from cpython.bytearray cimport PyByteArray_AS_STRING
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.pycapsule cimport PyCapsule_GetPointer, PyCapsule_New
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t, uintptr_t
from libc.stdio cimport FILE, fclose, fflush
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy
from libcpp cimport bool as cbool
from libcpp.memory cimport make_shared, make_unique, shared_ptr, static_pointer_cast, unique_ptr
from libcpp.string cimport string
from libcpp.utility cimport move, pair
from libcpp.vector cimport vector

from core cimport (
    Array, ArrowArray, ArrowSchema, CChangeReader, CConsolidator, CFieldReader, CFormat, CSource, ChangeColumns, ChangeMode, Chunk, ChunkPlace, ChunkResult, CKeyEncoder, Collector, CPacker,
    CProducer, CSelection, CSelector, DictionaryRef, ErrorCount, Framing, Group, Kept, LogLine, PackOptions, PartitionAck, Partitioner,
    EventPart, EventText, Hole, JsonBinary, JsonFormatOptions, JsonKeyOptions, JsonNonFinite, JsonStamp, JsonStyle,
    CCutter, LeftOut, Pass, ProducerOptions, Refusals, RowFailure,
    SelectOptions, Type, Verdict, add_changes, api, can_hash, collect, copy_block, copy_dictionary, find_flavor, finish_changes,
    import_array, json_refusal, list_dictionaries, load_, loaded, make_json, make_json_key, make_type,
    find_chunk, measure_block, measure_dictionary, open_block, open_chunk, partition_of_, rewrite_json_, same_values, rows_of, select_rows, watch_parent_,
)
from core cimport FieldsOptions, MessageFields, Role, make_big_endian_key, make_raw_key, suits_
from core cimport Broker, CAdmin, Client, ClientError, Options, Outcome, TopicConfig, TopicDescription, TransactionOutcome
from core cimport CXxh64, Run, find_hashes, message_hash, sort_numbers
from core cimport Bytes, CExporter, Exported, ExportLayout, Extras, add_header, delete_bit, export_events, export_rows, row_mask

import os

cdef extern from "stdio.h":
    FILE* fdopen(int, const char*)

cdef extern from "Python.h":
    int PyErr_CheckSignals() except -1

cdef extern from *:
    """
    #if defined(__SANITIZE_ADDRESS__)
    #define PENSTOCK_SANITIZED ", address and undefined-behaviour sanitizers"
    #else
    #define PENSTOCK_SANITIZED ""
    #endif
    #if defined(__clang__)
    #define PENSTOCK_COMPILER "clang "
    #else
    #define PENSTOCK_COMPILER "gcc "
    #endif
    #if defined(__SSE2__)
    #define PENSTOCK_SIMD "SSE2"
    #elif defined(__ARM_NEON)
    #define PENSTOCK_SIMD "NEON"
    #else
    #define PENSTOCK_SIMD "no SIMD"
    #endif
    #define PENSTOCK_BUILD PENSTOCK_COMPILER __VERSION__ ", C++17, " PENSTOCK_SIMD PENSTOCK_SANITIZED
    """
    const char* PENSTOCK_BUILD
    const char* PENSTOCK_VERSION


def version():
    return PENSTOCK_VERSION.decode()


def build():
    return PENSTOCK_BUILD.decode()


_PARTITIONERS = {
    "consistent": 0, "consistent_random": 1, "murmur2": 2, "murmur2_random": 3, "fnv1a": 4, "fnv1a_random": 5, "random": 6,
}


def partition_of(str partitioner, const uint8_t[:] key, int partitions):
    cdef size_t size = key.shape[0]
    return partition_of_(<Partitioner> <uint8_t> _PARTITIONERS[partitioner], &key[0] if size else NULL, size, partitions)


def librdkafka_partition_of(str partitioner, const uint8_t[:] key, int partitions):
    require_librdkafka()
    cdef size_t size = key.shape[0]
    cdef const void* bytes_ = &key[0] if size else <const void*> b""
    if partitioner == "consistent":
        return api.msg_partitioner_consistent(NULL, bytes_, size, partitions, NULL, NULL)
    if partitioner == "consistent_random":
        return api.msg_partitioner_consistent_random(NULL, bytes_, size, partitions, NULL, NULL)
    if partitioner == "murmur2":
        return api.msg_partitioner_murmur2(NULL, bytes_, size, partitions, NULL, NULL)
    if partitioner == "murmur2_random":
        return api.msg_partitioner_murmur2_random(NULL, bytes_, size, partitions, NULL, NULL)
    if partitioner == "fnv1a":
        return api.msg_partitioner_fnv1a(NULL, bytes_, size, partitions, NULL, NULL)
    if partitioner == "fnv1a_random":
        return api.msg_partitioner_fnv1a_random(NULL, bytes_, size, partitions, NULL, NULL)
    raise ValueError(f"no partitioner {partitioner!r}")


def rewrite_json(const uint8_t[:] text):
    cdef string out
    cdef string why
    cdef size_t size = text.shape[0]
    if not rewrite_json_(&text[0] if size else NULL, size, out, why):
        raise ValueError(why.decode(errors="replace"))
    return <bytes> out


def xxh64(const uint8_t[:] text, uint64_t seed=0):
    cdef unique_ptr[CXxh64] hash_ = make_unique[CXxh64](seed)
    cdef size_t size = text.shape[0]
    hash_.get().add(&text[0] if size else NULL, size)
    return hash_.get().finish()


def message_hashes(messages):
    hashes = bytearray(8 * len(messages))
    cdef uint8_t* at = <uint8_t*> PyByteArray_AS_STRING(hashes)
    cdef Bytes key
    cdef Bytes value
    cdef uint64_t hash_
    for key_, value_ in messages:
        key = bytes_of(key_)
        value = bytes_of(value_)
        hash_ = message_hash(key.data, key.size, value.data, value.size)
        memcpy(at, &hash_, 8)
        at += 8
    return hashes


def sort_hashes(uint64_t[::1] hashes):
    cdef size_t size = hashes.shape[0]
    cdef uint64_t* at = &hashes[0] if size else NULL
    with nogil:
        sort_numbers(at, at + size)


def find_sorted(const uint64_t[::1] hashes, const uint64_t[::1] others):
    cdef size_t size = hashes.shape[0]
    cdef size_t count = others.shape[0]
    found = bytearray(count)
    cdef uint8_t* to = <uint8_t*> PyByteArray_AS_STRING(found)
    if size and count:
        find_hashes(&hashes[0], size, &others[0], count, to)
    return found


def watch_parent(int pidfd, int socket, uintptr_t beat):
    watch_parent_(pidfd, socket, <uint64_t*> beat)


def address_of(uint8_t[:] memory):
    return <uintptr_t> &memory[0]


def read_bytes(uintptr_t arena, int64_t position, int64_t size):
    return (<const char*> (arena + position))[:size]


cdef Bytes bytes_of(value) except *:
    cdef Bytes found
    found.data = NULL
    found.size = 0
    if value is not None:
        found.data = <const uint8_t*> PyBytes_AS_STRING(value)
        found.size = PyBytes_GET_SIZE(value)
    return found


# In the order of a row's way; what a part uses of another stands before it.
include "librdkafka.pxi"
include "schema.pxi"
include "selection.pxi"
include "formats.pxi"
include "messages.pxi"
include "clients.pxi"
