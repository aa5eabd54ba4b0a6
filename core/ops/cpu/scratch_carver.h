// Cutting one piece of scratch into the buffers of an operator.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/memory/pool.h"

namespace edgetrain::cpu {

/// Hands out cache-line aligned pieces of a thread's scratch; from a null base it only counts, by the same
/// calls.
class ScratchCarver {
 public:
  explicit ScratchCarver(std::byte* base) : base_(base) {}
  template <typename T>
  [[nodiscard]] T* take(std::int64_t count) {
    std::byte* at = base_ == nullptr ? nullptr : base_ + bytes_;
    bytes_ += aligned(count * static_cast<std::int64_t>(sizeof(T)));
    return reinterpret_cast<T*>(at);
  }
  [[nodiscard]] std::int64_t bytes() const { return bytes_; }

 private:
  std::byte* base_;
  std::int64_t bytes_ = 0;
};

}  // namespace edgetrain::cpu
