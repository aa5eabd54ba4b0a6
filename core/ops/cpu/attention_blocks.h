// Cutting masked attention into blocks: which keys a block of queries can see, and which items must share a
// gradient.
//
// Pure integer arithmetic. Positions are relative to an item: query i < q1 - q0, key j < k1 - k0.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "core/ops/ops.h"

namespace edgetrain::cpu {

/// Queries and keys of one tile of scores: 16 KiB of f32, which stays in the L1 cache with a tile of values
/// beside it.
inline constexpr std::int64_t kQueryBlock = 64;
inline constexpr std::int64_t kKeyBlock = 64;

/// Half-open range.
struct Span {
  std::int64_t begin = 0, end = 0;
  [[nodiscard]] std::int64_t size() const { return end - begin; }
  [[nodiscard]] bool empty() const { return begin >= end; }
};

[[nodiscard]] inline std::int64_t queries_of(const MaskItem& item) { return item.q1 - item.q0; }
[[nodiscard]] inline std::int64_t keys_of(const MaskItem& item) { return item.k1 - item.k0; }
[[nodiscard]] inline std::int64_t query_blocks(const MaskItem& item) {
  return (queries_of(item) + kQueryBlock - 1) / kQueryBlock;
}
[[nodiscard]] inline Span query_block(const MaskItem& item, std::int64_t index) {
  return {index * kQueryBlock, std::min(queries_of(item), (index + 1) * kQueryBlock)};
}

/// Keys that some query of the block may see; begins at a multiple of kKeyBlock, so that tiles do not depend
/// on the queries.
[[nodiscard]] inline Span visible_keys(const MaskItem& item, Span queries) {
  const std::int64_t first = std::max<std::int64_t>(0, queries.begin - item.hi);
  const std::int64_t end = std::min(keys_of(item), queries.end - item.lo);
  return {first / kKeyBlock * kKeyBlock, std::max<std::int64_t>(end, 0)};
}

/// Every query of the block sees every key of the block.
[[nodiscard]] inline bool all_visible(const MaskItem& item, Span queries, Span keys) {
  return queries.begin - (keys.end - 1) >= item.lo && (queries.end - 1) - keys.begin <= item.hi;
}

/// Items whose key ranges overlap: their key gradients are one sum, so one task makes it.
struct ItemCluster {
  std::vector<MaskItem> items;  // in the order of the mask
  Span keys;                    // their union; empty if no item has keys
};
[[nodiscard]] std::vector<ItemCluster> cluster_by_keys(std::span<const MaskItem> mask);

/// Checks mask and shapes as Ops::attention states them: Error(internal).
void check_attention(const Tensor& q, const Tensor& k, const Tensor& v, std::span<const MaskItem> mask,
                     const AttentionShape& shape);

}  // namespace edgetrain::cpu
