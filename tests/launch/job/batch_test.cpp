#include "launch/job/batch.h"

#include <gtest/gtest.h>

#include <random>

namespace edgetrain {
namespace {

void expect_batch(const WrittenBatch& written, std::int64_t dp, std::int64_t global, std::int64_t micro,
                  std::int64_t accumulation) {
  const auto answer = solve_batch(written, {}, dp);
  ASSERT_TRUE(answer.batch) << answer.message;
  EXPECT_EQ(answer.batch->global, global);
  EXPECT_EQ(answer.batch->micro, micro);
  EXPECT_EQ(answer.batch->accumulation, accumulation);
}

TEST(SolveBatch, TwoOfThreeDetermineTheThird) {
  expect_batch({64, 4, {}}, 2, 64, 4, 8);
  expect_batch({64, {}, 8}, 2, 64, 4, 8);
  expect_batch({{}, 4, 8}, 2, 64, 4, 8);
  expect_batch({64, 4, 8}, 2, 64, 4, 8);
}

TEST(SolveBatch, DefaultsGiveWay) {
  expect_batch({}, 1, 32, 4, 8);
  expect_batch({}, 4, 32, 4, 2);
  expect_batch({}, 16, 32, 2, 1);           // the default micro-batch shrinks
  expect_batch({30, {}, {}}, 3, 30, 2, 5);  // 10 per rank: the largest divisor up to 4 is 2
  expect_batch({7, {}, {}}, 7, 7, 1, 1);
  expect_batch({{}, 8, {}}, 2, 32, 8, 2);
  expect_batch({{}, 5, {}}, 1, 30, 5, 6);  // the default of 32 moves to the nearest multiple of 5
  expect_batch({{}, {}, 2}, 2, 32, 8, 2);
  expect_batch({{}, {}, 3}, 2, 24, 4, 3);  // 32 cannot be had in 3 passes
}

TEST(SolveBatch, RefusesWithTheNearestThatWorks) {
  const auto indivisible = solve_batch({}, {}, 3);
  EXPECT_FALSE(indivisible.batch);
  EXPECT_EQ(indivisible.key, "train.global_batch_size");
  EXPECT_EQ(indivisible.message, "a global batch of 32 does not divide among 3 data-parallel ranks");
  EXPECT_EQ(indivisible.hint, "nearest: train.global_batch_size: 33");

  const auto micro = solve_batch({32, 5, {}}, {}, 2);
  EXPECT_EQ(micro.key, "train.micro_batch_size");
  EXPECT_EQ(micro.hint, "nearest: train.micro_batch_size: 4, or train.global_batch_size: 30");

  const auto passes = solve_batch({32, {}, 5}, {}, 2);
  EXPECT_EQ(passes.key, "train.gradient_accumulation_steps");
  EXPECT_EQ(passes.hint, "nearest: train.gradient_accumulation_steps: 4, or train.global_batch_size: 30");

  const auto conflict = solve_batch({32, 4, 5}, {}, 2);
  EXPECT_EQ(conflict.message, "a global batch of 32 is not 4 (micro-batch) x 5 (accumulation) x 2 (dp) = 40");
  EXPECT_EQ(conflict.hint, "write two of the three; train.global_batch_size: 40 fits the other two");
}

TEST(SolveBatch, WhateverItAnswersIsConsistentAndKeepsWhatIsWritten) {
  constexpr unsigned kSeed = 20261121;
  std::mt19937 random(kSeed);
  const auto number = [&](int most) {
    return std::optional<std::int64_t>(1 + static_cast<int>(random() % most));
  };
  for (int i = 0; i < 20'000; ++i) {
    WrittenBatch written;
    if (random() % 2 == 0) written.global = number(97);
    if (random() % 2 == 0) written.micro = number(9);
    if (random() % 2 == 0) written.accumulation = number(7);
    const std::int64_t dp = *number(9);
    const auto answer = solve_batch(written, {}, dp);
    SCOPED_TRACE(testing::Message() << "seed " << kSeed << ", case " << i << ", dp " << dp);
    if (!answer.batch) {
      EXPECT_FALSE(answer.message.empty());
      EXPECT_FALSE(answer.hint.empty());
      continue;
    }
    ASSERT_EQ(answer.batch->global, answer.batch->micro * answer.batch->accumulation * dp);
    ASSERT_EQ(answer.batch->global, written.global.value_or(answer.batch->global));
    ASSERT_EQ(answer.batch->micro, written.micro.value_or(answer.batch->micro));
    ASSERT_EQ(answer.batch->accumulation, written.accumulation.value_or(answer.batch->accumulation));
  }
}

TEST(NearestMultiple, TiesGoUpAndNothingGoesToZero) {
  EXPECT_EQ(nearest_multiple(32, 3), 33);
  EXPECT_EQ(nearest_multiple(31, 3), 30);
  EXPECT_EQ(nearest_multiple(6, 4), 8);
  EXPECT_EQ(nearest_multiple(8, 4), 8);
  EXPECT_EQ(nearest_multiple(1, 100), 100);
}

TEST(LargestDivisor, IsAtMostWhatIsWanted) {
  EXPECT_EQ(largest_divisor(16, 5), 4);
  EXPECT_EQ(largest_divisor(7, 4), 1);
  EXPECT_EQ(largest_divisor(3, 100), 3);
}

}  // namespace
}  // namespace edgetrain
