// Elements from one stored type to another: what every reader and writer of tensors applies on the way.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/tensor/dtype.h"

namespace edgetrain {

/// Whether convert_elements takes this pair: equal types, or both of f32, bf16, f16.
[[nodiscard]] bool convertible(Dtype from, Dtype to);

/// n elements. Equal types are copied bit by bit (NaN payloads included); widening is exact; narrowing rounds
/// once, to nearest even. The ranges do not overlap and need no alignment.
void convert_elements(const std::byte* from, Dtype from_dtype, std::byte* to, Dtype to_dtype, std::int64_t n);

}  // namespace edgetrain
