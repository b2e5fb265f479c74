#include "rdkafka.hpp"

#include <dlfcn.h>

namespace penstock::rk {

Api api{};

namespace {
void* library = nullptr;
}

std::string load(const char* path) {
  if (library != nullptr) return "";
  // RTLD_LOCAL: a second librdkafka in the process (confluent_kafka's own, another wheel's) stays apart.
  void* const handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) return dlerror();
#define X(name, result, arguments)                                                         \
  api.name = reinterpret_cast<result(*) arguments>(dlsym(handle, "rd_kafka_" #name));      \
  if (api.name == nullptr) return std::string("rd_kafka_" #name " is missing from ") + path;
  PENSTOCK_RDKAFKA_CALLS(X)
#undef X
  api.create = reinterpret_cast<void* (*)(int, void*, char*, size_t)>(dlsym(handle, "rd_kafka_new"));
  if (api.create == nullptr) return std::string("rd_kafka_new is missing from ") + path;
  library = handle;
  return "";
}

bool loaded() { return library != nullptr; }

}  // namespace penstock::rk
