// The matrix product of the cpu backend (Ops::gemm): C is cut into fixed tiles, every tile is one
// single-threaded oneDNN product over operands that were packed into scratch.
//
// Why not one multi-threaded oneDNN product: its bits depend on the number of threads, plain operands lose up
// to half of the rate to cache aliasing (fp32, 3072 columns) or to repeated repacking (bf16), and with 50,257
// columns most of it. Tiles over packed panels that stay in cache run at the rate of oneDNN's best layout,
// and the same for any number of threads.
#pragma once

#include <cstdint>
#include <memory>

#include "core/ops/cpu/env.h"
#include "core/tensor/tensor.h"

namespace edgetrain::cpu {

/// Plans by shape, strides, dtypes, beta and bias; made at first use (or by prepare) and kept. One per driver
/// thread.
class Gemm {
 public:
  /// Borrows `env` for its own life; threads and widen_bf16 must not change after the first call.
  explicit Gemm(const CpuEnv& env);
  Gemm(const Gemm&) = delete;
  Gemm& operator=(const Gemm&) = delete;
  ~Gemm();

  /// Ops::gemm: c (M, N) = op(a) * op(b) + beta * c + bias. Takes scratch_bytes() from env.workspace in one
  /// piece and gives it back. M, N or K = 0 is legal (K = 0: c = beta * c + bias). c must not overlap a, b or
  /// bias.
  void run(Tensor a, bool trans_a, Tensor b, bool trans_b, Tensor c, float beta, Tensor bias = {});

  /// Bytes, a multiple of kAlignment, that run() takes for these shapes; addresses are not looked at.
  [[nodiscard]] std::int64_t scratch_bytes(Tensor a, bool trans_a, Tensor b, bool trans_b, Tensor c,
                                           float beta, Tensor bias = {});

  /// Compiles the kernels that run() needs, so that step 1 does not. Optional; run() does it otherwise.
  void prepare(Tensor a, bool trans_a, Tensor b, bool trans_b, Tensor c, float beta, Tensor bias = {});

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace edgetrain::cpu
