// Which tensors a chunk of a share holds, and which of their elements.
#include "optim/bucket_share.h"

#include <gtest/gtest.h>

#include <array>

namespace edgetrain {
namespace {

// Elements [5, 15) of a tensor whose first five lie elsewhere, all 7 of the next one, three of padding, the
// first 12 of the last one. One tensor lies wholly before the share, one wholly behind it.
std::vector<TensorShare> tensors() {
  std::vector<TensorShare> all(5);
  const auto set = [&](std::size_t i, Range own, std::int64_t at) {
    all[i].own = own;
    all[i].at = at;
  };
  set(0, {9, 9}, 0);
  set(1, {5, 15}, 0);
  set(2, {0, 7}, 10);
  set(3, {0, 12}, 20);
  set(4, {0, 0}, 32);
  return all;
}

std::vector<std::ptrdiff_t> within(Range range) {
  const auto all = tensors();
  std::vector<std::ptrdiff_t> indexes;
  for (const auto& tensor : tensors_within(all, range)) indexes.push_back(&tensor - all.data());
  return indexes;
}

TEST(TensorsWithin, AreThoseThatLieInTheRange) {
  using Indexes = std::vector<std::ptrdiff_t>;
  EXPECT_EQ(within({0, 32}), (Indexes{1, 2, 3}));
  EXPECT_EQ(within({0, 10}), (Indexes{1}));
  EXPECT_EQ(within({10, 20}), (Indexes{2}));
  EXPECT_EQ(within({9, 11}), (Indexes{1, 2}));
  EXPECT_EQ(within({16, 21}), (Indexes{2, 3}));
  EXPECT_EQ(within({17, 20}), (Indexes{}));
  EXPECT_EQ(within({31, 32}), (Indexes{3}));
}

TEST(PartWithin, CutsElementsAndValuesAlike) {
  const auto all = tensors();
  std::array<float, 32> memory{};
  const auto cut = [&](std::size_t i, Range range) {
    ShareSources values;
    values.grad = vector_of(memory.data() + range.begin, range.size(), Dtype::f32);
    values.states = {values.grad};
    return part_within(all[i], range, values);
  };
  const auto expect = [&](const TensorShare& part, Range own, std::int64_t at, std::int64_t in_memory) {
    EXPECT_EQ(part.own.begin, own.begin);
    EXPECT_EQ(part.own.end, own.end);
    EXPECT_EQ(part.at, at);
    EXPECT_EQ(part.grad.cols, own.size());
    EXPECT_EQ(part.grad.as<float>(), memory.data() + in_memory);
    EXPECT_EQ(part.states[0].as<float>(), memory.data() + in_memory);
    EXPECT_TRUE(part.master.absent());
  };
  expect(cut(1, {0, 32}), {5, 15}, 0, 0);
  expect(cut(1, {3, 8}), {8, 13}, 0, 3);    // cut at both ends
  expect(cut(2, {8, 13}), {0, 3}, 2, 10);   // begins inside
  expect(cut(2, {12, 24}), {2, 7}, 0, 12);  // ends inside
  expect(cut(3, {18, 25}), {0, 5}, 2, 20);
}

}  // namespace
}  // namespace edgetrain
