#include "launch/runs/gemm_rate.h"

#include <algorithm>
#include <chrono>

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

constexpr int kRounds = 5;

// Memory that goes back to the system when it is no longer needed. malloc would keep it: once a block of some
// MiB was freed, glibc takes the next ones from the heap, and the heap shrinks late.
class Buffer {
 public:
  explicit Buffer(std::int64_t bytes)
      : pool_(Tier::host, bytes), arena_(pool_.reserve(Category::workspace, bytes, "measuring rates")) {}
  [[nodiscard]] std::byte* data() const { return arena_.data(); }

 private:
  Pool pool_;
  Arena arena_;
};

double product_flops_per_s(Dtype dtype, const CpuOptions& options) {
  constexpr std::int64_t kSize = 768;
  const Tensor shape = matrix(nullptr, kSize, kSize, dtype);
  const std::int64_t scratch = CpuScratch(options).gemm(shape, false, shape, false, shape, 0.0F, {});
  const Buffer memory(scratch + 3 * kSize * kSize * 4);
  Workspace workspace(memory.data(), scratch);
  CpuOps ops(workspace, options);
  std::byte* base = memory.data() + scratch;
  const auto square = [&](int index) {
    return matrix(base + index * kSize * kSize * 4, kSize, kSize, dtype);
  };
  for (int i = 0; i < 3; ++i) ops.fill(square(i), 0.5F);
  const double seconds =
      best_seconds(kRounds, [&] { ops.gemm(square(0), false, square(1), false, square(2), 0.0F); });
  return 2.0 * kSize * kSize * kSize / seconds;
}

double copy_bytes_per_s(const CpuOptions& options) {
  constexpr std::int64_t kCopyElements = 2 << 20;
  Workspace none(nullptr, 0);
  CpuOps ops(none, options);
  const Buffer memory(2 * kCopyElements * 4);
  const Tensor both = matrix(memory.data(), 2, kCopyElements, Dtype::f32);
  ops.fill(both, 1.0F);
  const double seconds = best_seconds(kRounds, [&] { ops.copy(both.row_range(0, 1), both.row_range(1, 1)); });
  return 2.0 * kCopyElements * 4 / seconds;
}

}  // namespace

// One after the other: their buffers are outside the pools of the job, and so part of C (overhead.h).
Rates measure_rates(Dtype dtype, int threads) {
  const CpuOptions options{threads, false, false};
  Rates rates;
  rates.flops_per_s = product_flops_per_s(dtype, options);
  rates.bytes_per_s = copy_bytes_per_s(options);
  rates.link_bytes_per_s = rates.bytes_per_s / 4.0;
  rates.link_latency_s = 20e-6;
  return rates;
}

}  // namespace edgetrain
