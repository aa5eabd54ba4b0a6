#include "core/model/mask.h"

#include <gtest/gtest.h>

namespace edgetrain {
namespace {

// The rows that `row` sees, by the definition in ops.h.
std::vector<std::int64_t> seen_by(const std::vector<MaskItem>& mask, std::int64_t row) {
  std::vector<std::int64_t> keys;
  for (const auto& item : mask) {
    if (row < item.q0 || row >= item.q1) continue;
    for (std::int64_t key = item.k0; key < item.k1; ++key) {
      const std::int64_t distance = (row - item.q0) - (key - item.k0);
      if (item.lo <= distance && distance <= item.hi) keys.push_back(key);
    }
  }
  return keys;
}

using Rows = std::vector<std::int64_t>;

TEST(Mask, IsCausalWithinEachSample) {
  const auto mask = causal_mask(2, 3, 0);
  EXPECT_EQ(seen_by(mask, 0), Rows({0}));
  EXPECT_EQ(seen_by(mask, 2), Rows({0, 1, 2}));
  EXPECT_EQ(seen_by(mask, 3), Rows({3}));
  EXPECT_EQ(seen_by(mask, 5), Rows({3, 4, 5}));
}

TEST(Mask, AWindowCountsTheRowItself) {
  const auto mask = causal_mask(1, 7, 3);
  EXPECT_EQ(seen_by(mask, 1), Rows({0, 1}));
  EXPECT_EQ(seen_by(mask, 6), Rows({4, 5, 6}));
}

TEST(Mask, DocumentsDoNotSeeEachOther) {
  const std::vector<std::int64_t> starts = {2, 5, 7};  // 5 is also the start of the second sample
  const auto mask = causal_mask(2, 5, 0, starts);
  EXPECT_EQ(seen_by(mask, 1), Rows({0, 1}));
  EXPECT_EQ(seen_by(mask, 4), Rows({2, 3, 4}));
  EXPECT_EQ(seen_by(mask, 6), Rows({5, 6}));
  EXPECT_EQ(seen_by(mask, 9), Rows({7, 8, 9}));
  EXPECT_EQ(mask.size(), 4U);
}

TEST(Mask, EveryRowIsInExactlyOneItem) {
  const std::vector<std::int64_t> starts = {0, 1, 6, 11, 20};
  const auto mask = causal_mask(3, 7, 4, starts);
  std::vector<int> times(21, 0);
  for (const auto& item : mask) {
    for (std::int64_t row = item.q0; row < item.q1; ++row) ++times[static_cast<std::size_t>(row)];
  }
  EXPECT_EQ(times, std::vector<int>(21, 1));
}

TEST(Mask, RefusesStartsOutsideTheBatchOrOutOfOrder) {
  const std::vector<std::int64_t> outside = {10}, unordered = {3, 2};
  EXPECT_THROW((void)causal_mask(2, 5, 0, outside), Error);
  EXPECT_THROW((void)causal_mask(2, 5, 0, unordered), Error);
}

TEST(Mask, OnePerWindow) {
  const std::vector<std::int64_t> windows = {0, 2};
  const auto masks = causal_masks(windows, 1, 4);
  ASSERT_EQ(masks.size(), 2U);
  EXPECT_EQ(seen_by(masks[0], 3).size(), 4U);
  EXPECT_EQ(seen_by(masks[1], 3).size(), 2U);
}

}  // namespace
}  // namespace edgetrain
