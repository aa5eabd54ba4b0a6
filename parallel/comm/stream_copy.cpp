// Compiled once per instruction set, chosen at run time.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "parallel/comm/stream_copy.cpp"
#include <hwy/foreach_target.h>
// Highway asks for this order: foreach_target.h first.
#include <hwy/cache_control.h>
#include <hwy/highway.h>

#include <cstdint>
#include <cstring>

#include "parallel/comm/stream_copy.h"

HWY_BEFORE_NAMESPACE();
namespace edgetrain::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

void copy_past_caches(std::byte* to, const std::byte* from, std::size_t bytes) {
  const hn::ScalableTag<std::uint8_t> d;
  const std::size_t width = hn::Lanes(d);
  const std::size_t head =
      (width - reinterpret_cast<std::uintptr_t>(to) % width) % width;  // streams want alignment
  if (bytes < head + width) {
    if (bytes > 0) std::memcpy(to, from, bytes);
    return;
  }
  if (head > 0) std::memcpy(to, from, head);
  const auto* source = reinterpret_cast<const std::uint8_t*>(from);
  auto* target = reinterpret_cast<std::uint8_t*>(to);
  std::size_t i = head;
  for (; i + width <= bytes; i += width) hn::Stream(hn::LoadU(d, source + i), d, target + i);
  if (i < bytes) std::memcpy(to + i, from + i, bytes - i);
  hwy::FlushStream();
}

}  // namespace
}  // namespace edgetrain::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace edgetrain {
namespace {
HWY_EXPORT(copy_past_caches);
}  // namespace

void stream_copy(std::byte* to, const std::byte* from, std::size_t bytes) {
  HWY_DYNAMIC_DISPATCH(copy_past_caches)(to, from, bytes);
}

}  // namespace edgetrain
#endif  // HWY_ONCE
