// The 16-bit element types as types, so that kernels can be templates over what they load and store.
#pragma once

#include <cstdint>

namespace edgetrain::cpu {

struct Bf16 {
  std::uint16_t bits;
};
struct F16 {
  std::uint16_t bits;
};
static_assert(sizeof(Bf16) == 2 && sizeof(F16) == 2);

}  // namespace edgetrain::cpu
