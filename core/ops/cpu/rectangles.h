// Cutting an elementwise operator over matrices into rectangles, one per thread.
//
// Dense operands become one long row, so that neither short rows nor a single one cost speed.
#pragma once

#include <array>

#include "core/ops/cpu/parallel.h"
#include "core/tensor/tensor.h"

namespace edgetrain::cpu {

/// N operands of one shape; dense ones are flattened together.
template <std::size_t N>
[[nodiscard]] std::array<Tensor, N> flattened(std::array<Tensor, N> operands) {
  for (const Tensor& t : operands) {
    if (!t.contiguous()) return operands;
  }
  for (Tensor& t : operands) t = t.reshaped(1, t.numel());
  return operands;
}

/// body(row part, column part) over rectangles that cover (rows, cols): whole rows, or parts of a single row.
template <typename Body>
void for_rectangles(const CpuEnv& env, std::int64_t rows, std::int64_t cols, std::int64_t bytes,
                    Body&& body) {
  constexpr std::int64_t kElementGrain = 1024;
  if (rows == 1) {
    for_parts(env, cols, kElementGrain, bytes, [&](Part part) { body(Part{0, 1}, part); });
  } else {
    for_parts(env, rows, 1, bytes, [&](Part part) { body(part, Part{0, cols}); });
  }
}

}  // namespace edgetrain::cpu
