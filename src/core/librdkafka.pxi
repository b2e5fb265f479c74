# librdkafka itself: loading it, its options and codes, its mock cluster; a part of _core.pyx.

def load_librdkafka(str path):
    cdef bytes encoded = os.fsencode(path)
    cdef string why = load_(encoded)
    if why.size():
        raise ImportError(why.decode(errors="replace"))


cdef int require_librdkafka() except -1:
    if not loaded():
        raise RuntimeError("librdkafka is not loaded; call load_librdkafka first")
    return 0


def librdkafka_version():
    require_librdkafka()
    return api.version_str().decode()


def kafka_property_text():
    require_librdkafka()
    cdef int fd = os.memfd_create("penstock-properties")
    cdef FILE* stream = fdopen(os.dup(fd), b"w")
    api.conf_properties_show(stream)
    fflush(stream)
    fclose(stream)
    with os.fdopen(fd, "rb") as file:
        file.seek(0)
        return file.read().decode(errors="replace")


def check_kafka_option(str name, str value):
    require_librdkafka()
    cdef char why[512]
    cdef bytes n = name.encode()
    cdef bytes v = value.encode()
    cdef void* conf = api.conf_new()
    cdef int code = api.conf_set(conf, n, v, why, sizeof(why))
    api.conf_destroy(conf)
    return None if code == 0 else (<bytes> why).decode(errors="replace").strip()


def error_name(int code):
    require_librdkafka()
    return api.err2name(code).decode()


def error_text(int code):
    require_librdkafka()
    return api.err2str(code).decode(errors="replace")


cdef class MockCluster:
    cdef void* handle
    cdef void* cluster
    cdef readonly str bootstrap_servers

    def __cinit__(self, int brokers=1):
        require_librdkafka()
        cdef char why[512]
        cdef void* conf = api.conf_new()
        api.conf_set(conf, b"log_level", b"0", why, sizeof(why))  # it would warn that it has no brokers
        self.handle = api.create(0, conf, why, sizeof(why))
        if self.handle == NULL:
            raise RuntimeError((<bytes> why).decode(errors="replace"))
        with nogil:
            self.cluster = api.mock_cluster_new(self.handle, brokers)
        self.bootstrap_servers = api.mock_cluster_bootstraps(self.cluster).decode()

    def create_topic(self, str name, int partitions):
        cdef bytes n = name.encode()
        cdef int code = api.mock_topic_create(self.cluster, n, partitions, 1)
        if code:
            raise RuntimeError(error_text(code))

    def push_request_errors(self, short api_key, codes):
        cdef vector[int] errors = codes
        api.mock_push_request_errors_array(self.cluster, api_key, errors.size(), errors.data())

    def set_rtt(self, int milliseconds, int broker=1):
        api.mock_broker_set_rtt(self.cluster, broker, milliseconds)

    def set_down(self, int broker=1):
        api.mock_broker_set_down(self.cluster, broker)

    def set_up(self, int broker=1):
        api.mock_broker_set_up(self.cluster, broker)

    def close(self):
        if self.cluster != NULL:
            with nogil:
                api.mock_cluster_destroy(self.cluster)
                api.destroy(self.handle)
            self.cluster = NULL

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __dealloc__(self):
        self.close()
