// Adapters that start from the singular vectors of their weights (SVFit: Sun et al. 2024).
#pragma once

#include "core/model/config.h"
#include "launch/runs/weights.h"

namespace edgetrain {

/// What the work before the first step may take.
struct StartRoom {
  int threads = 1;
  std::int64_t bytes = 0;  // of heap: what memory.device leaves beside all that a rank keeps between steps
};

/// Heap that singular_vectors takes at least: the adapters' values, one weight and its vectors.
[[nodiscard]] std::int64_t least_svd_bytes(const ModelLayout& layout);

/// Values of the adapters of `layout`: the first singular vectors of each weight as `base` gives it, and a
/// change of zero. Computed here, one weight per thread, on as many threads as `room` has heap for. Throws
/// Error(resource) where a weight's vectors settle too late for it. The bits do not depend on the room.
/// `beat`: called behind each weight, on any thread.
[[nodiscard]] TileSource singular_vectors(const TileSource& base, const ModelLayout& layout, Family family,
                                          const StartRoom& room, const std::function<void()>& beat);

}  // namespace edgetrain
