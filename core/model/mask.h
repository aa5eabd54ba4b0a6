// Which keys a query row sees: causal, with a sliding window, and never across a sample or document boundary.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/ops/ops.h"

namespace edgetrain {

/// Masks of `num_samples` samples of `seq_len` rows each, laid end to end: one item per document.
/// window: a row sees itself and the window - 1 rows before it; 0: all rows before it.
/// document_starts: rows of the batch at which a new document begins, ascending; sample starts need not be
/// listed.
[[nodiscard]] std::vector<MaskItem> causal_mask(std::int64_t num_samples, std::int64_t seq_len,
                                                std::int64_t window,
                                                std::span<const std::int64_t> document_starts = {});

/// One mask per window: what Batch::masks of a model with these Model::windows refers to.
[[nodiscard]] std::vector<std::vector<MaskItem>> causal_masks(
    std::span<const std::int64_t> windows, std::int64_t num_samples, std::int64_t seq_len,
    std::span<const std::int64_t> document_starts = {});

}  // namespace edgetrain
