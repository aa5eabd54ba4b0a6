// Adapters that start from the singular vectors of their weights (SVFit: Sun et al. 2024).
#pragma once

#include "core/base/singular.h"
#include "core/model/config.h"
#include "launch/runs/weights.h"

namespace edgetrain {

/// What the work before the first step may take.
struct StartRoom {
  int threads = 1;
  std::int64_t bytes = 0;  // of heap: what memory.device leaves beside all that a rank keeps between steps
};

/// Heap that singular_vectors takes: the adapters' values, one weight and its vectors, which may settle at
/// once or late.
[[nodiscard]] SingularBytes svd_bytes(const ModelLayout& layout);

/// Values of the adapters of `layout`: the first singular vectors of each weight as `base` gives it, and a
/// change of zero. Computed here, one weight per thread, on as many threads as `room` has heap for; alone
/// where a weight's vectors settle too late for a thread's share of it. Throws Error(resource) where all of
/// it is too little. The bits do not depend on the room. `beat`: called behind each weight, on any thread.
[[nodiscard]] TileSource singular_vectors(const TileSource& base, const ModelLayout& layout, Family family,
                                          const StartRoom& room, const std::function<void()>& beat);

}  // namespace edgetrain
