// The roofs that a step is measured against: how fast oneDNN alone multiplies a shape, how fast memory is
// read and written.
//
// Why apart from gemm.h: it chooses what is best for oneDNN (operands already in the layout that it likes),
// not what a step can have, and it allocates. Benches only.
#pragma once

#include <cstdint>

#include "core/tensor/dtype.h"

namespace edgetrain::cpu {

/// A product as Ops::gemm is asked for it.
struct GemmShape {
  std::int64_t m = 0, n = 0, k = 0;
  bool trans_a = false, trans_b = false;
  Dtype in = Dtype::f32, out = Dtype::f32;
  bool accumulate = false;
  friend auto operator<=>(const GemmShape&, const GemmShape&) = default;
};

/// Median seconds of one product on `threads` threads: the better of plain operands and operands in oneDNN's
/// own layout, whose reordering is not counted.
[[nodiscard]] double onednn_alone_seconds(const GemmShape& shape, int threads, int rounds);

/// Bytes per second of y += x, which reads two and writes one, in the fastest of `rounds`; x and y are larger
/// than any cache (512 MiB). More than copying reaches, since nothing is read only to be overwritten. Where
/// several ranks of a machine measure at once, each gets its share.
[[nodiscard]] double memory_rate(int threads, int rounds);

}  // namespace edgetrain::cpu
