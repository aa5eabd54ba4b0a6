#include "launch/runs/parallel_for.h"

#include <algorithm>
#include <atomic>
#include <exception>

namespace edgetrain {

void parallel_for(int threads, std::int64_t n, const std::function<void(std::int64_t)>& body) {
  const auto team = static_cast<int>(std::min<std::int64_t>(threads, n));
  if (team <= 1) {
    for (std::int64_t i = 0; i < n; ++i) body(i);
    return;
  }
  std::exception_ptr failure;
  std::atomic<bool> failed = false;
#pragma omp parallel for schedule(dynamic) num_threads(team)
  for (std::int64_t i = 0; i < n; ++i) {
    if (failed.load(std::memory_order_relaxed)) continue;
    try {
      body(i);
    } catch (...) {
      if (!failed.exchange(true)) failure = std::current_exception();  // read behind the region's barrier
    }
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace edgetrain
