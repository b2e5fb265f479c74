// The producer's memory for encoded messages: taken in slabs, let go of when every message in one has its report.
#include <algorithm>

#include "produce.hpp"

namespace penstock {

Slab* Producer::take_slab(size_t size) {
  if (parked_ != nullptr) {
    Slab* const slab = parked_;
    parked_ = nullptr;
    if (slab->pending == 0) slab->used = 0;
    if (slab->size - slab->used >= size) return slab;
    seal_slab(slab);
  }
  const size_t wanted = std::max(size, slab_size_);
  // With nothing in flight there is nothing to wait for: one message larger than the whole budget still gets its slab.
  while (slab_bytes_ + static_cast<int64_t>(wanted) > options_.slab_bytes && (wanted != slab_size_ || free_slabs_.empty())) {
    if (!batch_.empty()) flush_batch();
    if (outstanding() == 0) break;
    wait();
  }
  if (wanted == slab_size_ && !free_slabs_.empty()) {
    Slab* const slab = free_slabs_.back();  // the last one used is the warmest
    free_slabs_.pop_back();
    slab->sealed = false;
    slab->used = 0;
    return slab;
  }
  slabs_.push_back(std::make_unique<Slab>(wanted));
  slab_bytes_ += static_cast<int64_t>(wanted);
  return slabs_.back().get();
}

void Producer::seal_slab(Slab* slab) {
  slab->sealed = true;
  if (slab->pending == 0) release(slab);
}

void Producer::park_slab(Slab* slab) {
  if (parked_ != nullptr) seal_slab(parked_);
  parked_ = slab;
}

void Producer::release(Slab* slab) {
  if (slab->size == slab_size_) {
    free_slabs_.push_back(slab);
    return;
  }
  slab_bytes_ -= static_cast<int64_t>(slab->size);
  slabs_.erase(std::find_if(slabs_.begin(), slabs_.end(), [slab](const auto& s) { return s.get() == slab; }));
}

}  // namespace penstock
