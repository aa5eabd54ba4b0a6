// Normal values: the distribution against erfc, the keys, and ranges against the whole.
#include "core/base/philox_normal.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>
#include <vector>

#include "core/base/error.h"
#include "core/base/philox.h"

namespace edgetrain {
namespace {

constexpr std::uint64_t kSeed = 0x123456789abcdefU;

std::vector<float> normal(std::int64_t first, std::size_t count, std::uint64_t seed = kSeed,
                          std::string_view name = "w", double deviation = 1.0) {
  std::vector<float> values(count);
  fill_normal(seed, name, first, values, deviation);
  return values;
}

// The inverse of what fill_normal computes, from another formula.
double probability_below(double z) { return 0.5 * std::erfc(-z / std::numbers::sqrt2); }

TEST(PhiloxNormal, IsTheQuantileOfItsRandomWord) {
  const auto values = normal(0, 20011);
  const auto name = philox_words(fnv1a("w"));
  for (std::size_t e = 0; e < values.size(); ++e) {
    const auto words = philox({static_cast<std::uint32_t>(e / 4), 0, name[0], name[1]}, philox_words(kSeed));
    const double p = (static_cast<double>(words[e % 4]) + 0.5) * 0x1p-32;
    const double z = values[e];
    // Rounding z to float moves the probability by density times half an ulp.
    const double slack = 6e-8 * std::abs(z) * std::exp(-0.5 * z * z) * 0.4 + 1e-14;
    ASSERT_NEAR(probability_below(z), p, slack) << "element " << e << ", z " << z;
  }
}

TEST(PhiloxNormal, HasTheMomentsOfANormalDistribution) {
  const auto values = normal(0, 1 << 20);
  double mean = 0, square = 0, cube = 0, fourth = 0, largest = 0;
  for (const float value : values) {
    const double z = value;
    mean += z, square += z * z, cube += z * z * z, fourth += z * z * z * z;
    largest = std::max(largest, std::abs(z));
  }
  const double n = static_cast<double>(values.size());
  EXPECT_NEAR(mean / n, 0.0, 5e-3);  // five standard errors
  EXPECT_NEAR(square / n, 1.0, 7e-3);
  EXPECT_NEAR(cube / n, 0.0, 2e-2);
  EXPECT_NEAR(fourth / n, 3.0, 5e-2);
  EXPECT_GT(largest, 4.5);
  EXPECT_LT(largest, 6.4);
}

TEST(PhiloxNormal, AnyRangeGivesTheValuesOfTheWhole) {
  const auto whole = normal(0, 1027);
  for (const std::int64_t first : {0, 1, 2, 3, 4, 5, 509, 1026}) {
    for (const std::size_t count : {0U, 1U, 2U, 3U, 4U, 7U, 500U}) {
      if (static_cast<std::size_t>(first) + count > whole.size()) continue;
      const auto part = normal(first, count);
      EXPECT_TRUE(std::equal(part.begin(), part.end(), whole.begin() + first)) << first << " + " << count;
    }
  }
}

TEST(PhiloxNormal, ElementsBeyond32BitsDiffer) { EXPECT_NE(normal(0, 8), normal(std::int64_t{1} << 34, 8)); }

TEST(PhiloxNormal, SeedAndNameAreKeys) {
  EXPECT_EQ(normal(0, 9), normal(0, 9));
  EXPECT_NE(normal(0, 9), normal(0, 9, kSeed + 1));
  EXPECT_NE(normal(0, 9), normal(0, 9, kSeed + (std::uint64_t{1} << 32)));
  EXPECT_NE(normal(0, 9), normal(0, 9, kSeed, "v"));
}

TEST(PhiloxNormal, ScalesInDoubleAndRoundsOnce) {
  const auto unit = normal(0, 99), scaled = normal(0, 99, kSeed, "w", 0.02);
  for (std::size_t i = 0; i < unit.size(); ++i) EXPECT_NEAR(scaled[i], 0.02 * unit[i], 3e-9);
  EXPECT_EQ(normal(0, 3, kSeed, "w", 0.0), std::vector<float>(3, 0.0F));
}

// Pinned, so that a change of the stream, which would change every model, cannot pass unnoticed. The values
// come from a separate implementation (Philox written out in Python, statistics.NormalDist().inv_cdf).
TEST(PhiloxNormal, TheStreamIsPinned) {
  const auto values = normal(0, 4, 1234, "model.embed_tokens.weight");
  EXPECT_EQ(values, (std::vector<float>{0x1.e6dcbap-5F, -0x1.11839ep-2F, -0x1.de5f42p-1F, -0x1.acf038p+0F}));
}

TEST(PhiloxNormal, RefusesNegativeElements) { EXPECT_THROW((void)normal(-1, 1), Error); }

}  // namespace
}  // namespace edgetrain
