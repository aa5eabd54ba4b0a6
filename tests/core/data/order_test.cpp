// The order contract: permutations, epochs, ranks.
#include "core/data/order.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <vector>

#include "core/base/error.h"

namespace edgetrain {
namespace {

constexpr unsigned kSeed = 99;

std::vector<std::int64_t> permutation(std::int64_t n, std::uint64_t seed, std::int64_t epoch) {
  std::vector<std::int64_t> images;
  for (std::int64_t i = 0; i < n; ++i) images.push_back(permuted(i, n, seed, epoch));
  return images;
}

TEST(Permuted, IsAPermutationForEverySize) {
  SCOPED_TRACE(kSeed);
  std::mt19937_64 random(kSeed);
  std::vector<std::int64_t> sizes = {15722, 65536, 65537};
  for (std::int64_t n = 1; n <= 300; ++n) sizes.push_back(n);
  for (const auto n : sizes) {
    auto images = permutation(n, random(), static_cast<std::int64_t>(random() % 1000));
    std::sort(images.begin(), images.end());
    std::vector<std::int64_t> all(static_cast<std::size_t>(n));
    std::iota(all.begin(), all.end(), 0);
    ASSERT_EQ(images, all) << n;
  }
}

TEST(Permuted, SeedAndEpochChooseIt) {
  EXPECT_EQ(permutation(97, 1, 0), permutation(97, 1, 0));
  EXPECT_NE(permutation(97, 1, 0), permutation(97, 2, 0));
  EXPECT_NE(permutation(97, 1, 0), permutation(97, 1, 1));
  EXPECT_NE(permutation(97, 1, 0), permutation(97, 1, std::int64_t{1} << 32));
}

// Where index 0 goes over many epochs is uniform, and neighbours do not stay neighbours.
TEST(Permuted, LooksRandom) {
  constexpr std::int64_t kSize = 16, kEpochs = 16000;
  std::vector<int> hits(kSize);
  for (std::int64_t epoch = 0; epoch < kEpochs; ++epoch) {
    ++hits[static_cast<std::size_t>(permuted(0, kSize, 7, epoch))];
  }
  double chi_square = 0;
  for (const int hit : hits) chi_square += (hit - 1000.0) * (hit - 1000.0) / 1000.0;
  EXPECT_LT(chi_square, 37.7);  // 15 degrees of freedom, p = 0.001
  const auto images = permutation(10007, 7, 0);
  double together = 0;
  for (std::size_t i = 1; i < images.size(); ++i)
    together += std::abs(images[i] - images[i - 1]) == 1 ? 1 : 0;
  EXPECT_LT(together, 12);  // 2 expected
  double correlation = 0;
  for (std::size_t i = 0; i < images.size(); ++i) {
    correlation += (static_cast<double>(i) - 5003.0) * (static_cast<double>(images[i]) - 5003.0);
  }
  EXPECT_LT(std::abs(correlation) / (10007.0 * 10007.0 * 10007.0 / 12.0), 0.05);
}

TEST(Permuted, LargeDataSetsWork) {
  constexpr std::int64_t kSize = (std::int64_t{1} << 40) + 12345;
  for (std::int64_t i = 0; i < 1000; ++i) {
    const auto image = permuted(kSize - 1 - i, kSize, 3, 1);
    ASSERT_GE(image, 0);
    ASSERT_LT(image, kSize);
  }
}

// Pinned: a change of the permutation changes every run that resumes.
TEST(Permuted, IsPinned) {
  EXPECT_EQ(permutation(10, 1234, 0), (std::vector<std::int64_t>{1, 3, 0, 9, 8, 4, 6, 7, 5, 2}));
  EXPECT_EQ(permutation(10, 1234, 1), (std::vector<std::int64_t>{3, 1, 8, 4, 0, 2, 9, 6, 5, 7}));
}

TEST(SampleOrder, SequentialWrapsAround) {
  const SampleOrder order(DataOrder::sequential, 0, 5);
  EXPECT_EQ(order.sample_at(4), 4);
  EXPECT_EQ(order.sample_at(5), 0);
  EXPECT_EQ(order.sample_at(13), 3);
  EXPECT_EQ(order.epoch_of(4), 0);
  EXPECT_EQ(order.epoch_of(5), 1);
}

TEST(SampleOrder, ShuffledCoversEveryEpochOnceInAnotherOrder) {
  const SampleOrder order(DataOrder::shuffled, 42, 101);
  std::vector<std::int64_t> first, second;
  for (std::int64_t p = 0; p < 101; ++p) {
    first.push_back(order.sample_at(p));
    second.push_back(order.sample_at(101 + p));
  }
  EXPECT_NE(first, second);
  std::sort(first.begin(), first.end());
  std::sort(second.begin(), second.end());
  EXPECT_EQ(first, second);
  EXPECT_EQ(first.front(), 0);
  EXPECT_EQ(first.back(), 100);
}

// Whatever dp is, the ranks together read the positions of the step, each once, ascending.
TEST(RankPositions, EveryDpReadsTheSameGlobalBatch) {
  constexpr std::int64_t kBatch = 24;
  for (const int dp : {1, 2, 3, 4, 6, 8, 12, 24}) {
    std::int64_t next = 7 * kBatch;
    for (int d = 0; d < dp; ++d) {
      const auto range = rank_positions(7 * kBatch, kBatch, dp, d);
      EXPECT_EQ(range.begin, next) << dp << " " << d;
      EXPECT_EQ(range.end - range.begin, kBatch / dp);
      next = range.end;
    }
    EXPECT_EQ(next, 8 * kBatch);
  }
}

TEST(RankPositions, RefusesWhatDoesNotDivide) {
  EXPECT_THROW((void)rank_positions(0, 10, 3, 0), Error);
  EXPECT_THROW((void)rank_positions(0, 10, 2, 2), Error);
}

}  // namespace
}  // namespace edgetrain
