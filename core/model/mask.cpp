#include "core/model/mask.h"

#include <algorithm>

namespace edgetrain {

std::vector<MaskItem> causal_mask(std::int64_t num_samples, std::int64_t seq_len, std::int64_t window,
                                  std::span<const std::int64_t> document_starts) {
  ET_ASSERT(num_samples >= 0 && seq_len > 0 && window >= 0);
  const std::int64_t rows = num_samples * seq_len;
  std::vector<std::int64_t> starts(document_starts.begin(), document_starts.end());
  ET_ASSERT(std::is_sorted(starts.begin(), starts.end()));
  ET_ASSERT(starts.empty() || (starts.front() >= 0 && starts.back() < rows));
  for (std::int64_t sample = 0; sample <= num_samples; ++sample) starts.push_back(sample * seq_len);
  std::sort(starts.begin(), starts.end());
  starts.erase(std::unique(starts.begin(), starts.end()), starts.end());

  std::vector<MaskItem> mask;
  for (std::size_t i = 0; i + 1 < starts.size(); ++i) {
    const std::int64_t begin = starts[i], end = starts[i + 1];
    mask.push_back({begin, end, begin, end, 0, window == 0 ? MaskItem::kNoLimit : window - 1});
  }
  return mask;
}

std::vector<std::vector<MaskItem>> causal_masks(std::span<const std::int64_t> windows,
                                                std::int64_t num_samples, std::int64_t seq_len,
                                                std::span<const std::int64_t> document_starts) {
  std::vector<std::vector<MaskItem>> masks;
  masks.reserve(windows.size());
  for (const auto window : windows)
    masks.push_back(causal_mask(num_samples, seq_len, window, document_starts));
  return masks;
}

}  // namespace edgetrain
