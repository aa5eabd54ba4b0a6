// The exact sum against __float128, whole-number arithmetic and its own permutations.
#include "core/base/exact_sum.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

namespace edgetrain {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kMax = std::numeric_limits<double>::max();
constexpr double kTiny = std::numeric_limits<double>::denorm_min();
constexpr unsigned kSeed = 4711;

double sum_of(const std::vector<double>& values) {
  ExactSum sum;
  sum.add(std::span(values));
  return sum.value();
}

std::uint64_t bits_of(double value) { return std::bit_cast<std::uint64_t>(value); }

// Any finite double, all exponents alike.
std::vector<double> wild_values(std::size_t count, unsigned seed) {
  std::mt19937_64 random(seed);
  std::vector<double> values;
  while (values.size() < count) {
    const double value = std::bit_cast<double>(random());
    if (std::isfinite(value)) values.push_back(value);
  }
  return values;
}

TEST(ExactSum, EmptyAndZerosArePositiveZero) {
  EXPECT_EQ(bits_of(sum_of({})), 0U);
  EXPECT_EQ(bits_of(sum_of({-0.0, -0.0})), 0U);
  EXPECT_EQ(bits_of(sum_of({1.5, -1.5})), 0U);
}

TEST(ExactSum, OneValueComesBackUnchanged) {
  for (const double value :
       {1.0, -1.0, kMax, -kMax, kTiny, -kTiny, 0x1p-1022, 0x1.fffffffffffffp-1023, 0x1p-1074 * 3}) {
    EXPECT_EQ(bits_of(sum_of({value})), bits_of(value)) << value;
  }
  for (const double value : wild_values(20000, kSeed))
    ASSERT_EQ(bits_of(sum_of({value})), bits_of(value)) << value;
}

TEST(ExactSum, SurvivesCancellation) {
  EXPECT_EQ(sum_of({1e308, 1e-308, -1e308}), 1e-308);
  EXPECT_EQ(sum_of({kMax, kMax, kTiny, -kMax, -kMax}), kTiny);  // passes through infinity in double
  EXPECT_EQ(sum_of({-kMax, kTiny, kMax}), kTiny);
  EXPECT_EQ(sum_of({1.0, 0x1p-1074, -1.0}), kTiny);
}

TEST(ExactSum, RoundsOnceToNearestEven) {
  const double ulp = 0x1p-52;
  EXPECT_EQ(sum_of({1.0, ulp / 2}), 1.0);                  // tie, even below
  EXPECT_EQ(sum_of({1.0 + ulp, ulp / 2}), 1.0 + 2 * ulp);  // tie, even above
  EXPECT_EQ(sum_of({1.0, ulp / 2, kTiny}), 1.0 + ulp);     // just above the tie
  EXPECT_EQ(sum_of({1.0, ulp / 2, -kTiny}), 1.0);          // just below the tie
  EXPECT_EQ(sum_of({-1.0, -ulp / 2, -kTiny}), -1.0 - ulp);
  EXPECT_EQ(sum_of({2.0 - ulp, ulp / 2}), 2.0);  // carries into the next binade
}

TEST(ExactSum, OverflowsOnlyWhenTheSumDoes) {
  const double half_ulp = 0x1p970;
  EXPECT_EQ(sum_of({kMax, half_ulp}), kInf);  // ties away from the odd kMax
  EXPECT_EQ(sum_of({kMax, half_ulp, -kTiny}), kMax);
  EXPECT_EQ(sum_of({-kMax, -kMax}), -kInf);
}

TEST(ExactSum, InfinityAndNanBehaveAsInIeeeAddition) {
  EXPECT_EQ(sum_of({1.0, kInf, -kMax}), kInf);
  EXPECT_EQ(sum_of({-kInf, 5.0}), -kInf);
  EXPECT_TRUE(std::isnan(sum_of({kInf, 1.0, -kInf})));
  EXPECT_TRUE(std::isnan(sum_of({std::nan(""), 1.0})));
}

TEST(ExactSum, EqualsQuadArithmeticOnMixedSigns) {
  SCOPED_TRACE(kSeed);
  std::mt19937_64 random(kSeed);
  std::normal_distribution<double> normal;
  for (int repeat = 0; repeat < 200; ++repeat) {
    ExactSum sum;
    __float128 quad = 0;
    for (int i = 0; i < 1001; ++i) {
      const double value =
          std::ldexp(normal(random), static_cast<int>(random() % 20));  // 113 bits hold all of it
      sum.add(value);
      quad += static_cast<__float128>(value);
    }
    ASSERT_EQ(sum.value(), static_cast<double>(quad)) << repeat;
  }
}

TEST(ExactSum, EveryOrderGivesTheSameBits) {
  SCOPED_TRACE(kSeed);
  auto values = wild_values(3001, kSeed);
  const double expected = sum_of(values);
  std::mt19937_64 random(kSeed);
  for (int repeat = 0; repeat < 20; ++repeat) {
    std::shuffle(values.begin(), values.end(), random);
    ASSERT_EQ(bits_of(sum_of(values)), bits_of(expected)) << repeat;
  }
}

TEST(ExactSum, EverySplitMergesToTheSameBits) {
  SCOPED_TRACE(kSeed);
  auto values = wild_values(997, kSeed);
  values[13] = kInf;
  const double with_inf = sum_of(values);
  values[13] = -kMax;
  const double expected = sum_of(values);
  ASSERT_TRUE(std::isinf(with_inf));
  for (const std::size_t ranks : {1U, 2U, 3U, 5U, 8U, 997U}) {
    ExactSum merged;
    for (std::size_t rank = 0; rank < ranks; ++rank) {
      ExactSum part;
      const std::size_t begin = rank * values.size() / ranks, end = (rank + 1) * values.size() / ranks;
      part.add(std::span<const double>(values).subspan(begin, end - begin));
      const auto limbs = part.limbs();
      for (std::size_t i = 0; i < limbs.size(); ++i) merged.limbs()[i] += limbs[i];
    }
    EXPECT_EQ(bits_of(merged.value()), bits_of(expected)) << ranks;
  }
}

TEST(ExactSum, LimbsAreSmallEnoughToBeAddedUp) {
  ExactSum sum;
  for (int i = 0; i < 1000; ++i) sum.add(i % 3 == 0 ? -1e-300 : -1.75e3);
  const double before = sum.value();
  for (const auto limb : sum.limbs()) EXPECT_LT(std::abs(limb), std::int64_t{1} << 32);
  EXPECT_EQ(sum.value(), before);
}

TEST(ExactSum, FloatsAreAddedAsTheyAre) {
  const std::vector<float> values = {0.1F, 0.2F, -0.3F, 1e30F, -1e30F};
  ExactSum sum;
  sum.add(std::span(values));
  EXPECT_EQ(sum.value(), static_cast<double>(0.1F) + static_cast<double>(0.2F) - static_cast<double>(0.3F));
}

// Negative control: plain addition fails what the exact sum passes.
TEST(ExactSum, PlainAdditionDependsOnOrder) {
  const auto values = wild_values(3001, kSeed);
  double forward = 0, backward = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    forward += values[i] * 1e-10;
    backward += values[values.size() - 1 - i] * 1e-10;
  }
  EXPECT_NE(bits_of(forward), bits_of(backward));
}

}  // namespace
}  // namespace edgetrain
