#include "core/ops/op_cost.h"

#include <gtest/gtest.h>

#include "core/ops/op_kind.h"

namespace edgetrain {
namespace {

std::int64_t pairs_by_counting(const MaskItem& item) {
  std::int64_t pairs = 0;
  for (std::int64_t i = 0; i < item.q1 - item.q0; ++i) {
    for (std::int64_t j = 0; j < item.k1 - item.k0; ++j)
      pairs += (item.lo <= i - j && i - j <= item.hi) ? 1 : 0;
  }
  return pairs;
}

TEST(OpCost, MaskPairsEqualCounting) {
  const MaskItem items[] = {{0, 7, 0, 7, 0, MaskItem::kNoLimit},  // causal
                            {0, 9, 0, 9, 0, 3},                   // sliding window
                            {2, 7, 1, 12, -4, MaskItem::kNoLimit},
                            {0, 5, 0, 3, -MaskItem::kNoLimit, MaskItem::kNoLimit},  // full
                            {0, 5, 0, 5, 7, 9},                                     // sees nothing
                            {3, 3, 0, 5, 0, 1}};                                    // no rows
  for (const MaskItem& item : items) EXPECT_EQ(mask_pairs(std::span(&item, 1)), pairs_by_counting(item));
  EXPECT_EQ(mask_pairs(items), 28 + (1 + 2 + 3 + 6 * 4) + pairs_by_counting(items[2]) + 15);
}

TEST(OpCost, Gemm) {
  const auto f32 = [](std::int64_t r, std::int64_t c) { return matrix(nullptr, r, c, Dtype::f32); };
  const OpCost cost = gemm_cost(f32(3, 2), true, f32(3, 5), f32(2, 5), 1.0F, {});
  EXPECT_EQ(cost.flops, 2 * 2 * 5 * 3);
  EXPECT_EQ(cost.bytes, 4 * (6 + 15 + 2 * 10));
  EXPECT_EQ(gemm_cost(f32(3, 2), true, f32(3, 5), f32(2, 5), 0.0F, f32(1, 5)).bytes, 4 * (6 + 15 + 10 + 5));
}

TEST(OpCost, AttentionCountsUnmaskedPairsOnly) {
  const Tensor q = matrix(nullptr, 7, 4 * 8, Dtype::bf16), k = matrix(nullptr, 7, 2 * 8, Dtype::bf16);
  const MaskItem causal[] = {{0, 7, 0, 7, 0, MaskItem::kNoLimit}};
  EXPECT_EQ(attention_cost(q, k, causal, {4, 2, 8, 1.0F}).flops, 4 * 8 * 4 * 28);
  EXPECT_EQ(attention_backward_cost(q, k, causal, {4, 2, 8, 1.0F}).flops, 10 * 8 * 4 * 28);
}

TEST(OpKind, EveryKindHasItsOwnName) {
  for (std::size_t i = 0; i < kOpKinds; ++i) {
    EXPECT_NE(name_of(static_cast<OpKind>(i)), "?");
    for (std::size_t j = 0; j < i; ++j)
      EXPECT_NE(name_of(static_cast<OpKind>(i)), name_of(static_cast<OpKind>(j)));
  }
  EXPECT_EQ(name_of(static_cast<OpKind>(kOpKinds)), "?");
}

}  // namespace
}  // namespace edgetrain
