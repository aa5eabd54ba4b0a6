#include "launch/runs/gemm_rate.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include "core/memory/pool.h"
#include "core/ops/cpu/cpu_ops.h"
#include "core/ops/cpu/cpu_scratch.h"

namespace edgetrain {
namespace {

template <typename Function>
double best_seconds(int rounds, const Function& function) {
  double best = 1e30;
  for (int i = 0; i < rounds; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    function();
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  return best;
}

}  // namespace

Rates measure_rates(Dtype dtype, int threads) {
  constexpr std::int64_t kSize = 768;
  constexpr std::int64_t kCopyElements = 2 << 20;
  constexpr int kRounds = 5;
  const CpuOptions options{threads, false, false};
  const Tensor shape = matrix(nullptr, kSize, kSize, dtype);
  const std::int64_t scratch = CpuScratch(options).gemm(shape, false, shape, false, shape, 0.0F, {});
  std::vector<std::byte> memory(static_cast<std::size_t>(scratch + 3 * kSize * kSize * 4));
  Workspace workspace(memory.data(), scratch);
  CpuOps ops(workspace, options);
  std::byte* base = memory.data() + scratch;
  const auto square = [&](int index) {
    return matrix(base + index * kSize * kSize * 4, kSize, kSize, dtype);
  };
  for (int i = 0; i < 3; ++i) ops.fill(square(i), 0.5F);

  Rates rates;
  const double product =
      best_seconds(kRounds, [&] { ops.gemm(square(0), false, square(1), false, square(2), 0.0F); });
  rates.flops_per_s = 2.0 * kSize * kSize * kSize / product;
  std::vector<float> from(kCopyElements, 1.0F), to(kCopyElements);
  const double copy = best_seconds(kRounds, [&] {
    ops.copy(vector_of(from.data(), kCopyElements, Dtype::f32),
             vector_of(to.data(), kCopyElements, Dtype::f32));
  });
  rates.bytes_per_s = 2.0 * kCopyElements * 4 / copy;
  rates.link_bytes_per_s = rates.bytes_per_s / 4.0;
  rates.link_latency_s = 20e-6;
  return rates;
}

}  // namespace edgetrain
