// Expected values: LlamaRotaryEmbedding(config).inv_freq of transformers 5.23.0 with torch, printed as hex
// floats.
#include "core/model/rope.h"

#include <gtest/gtest.h>

#include "tests/support/compare.h"

namespace edgetrain {
namespace {

// torch's vectorised pow and the C library's may differ in the last bit.
constexpr testing::Tolerance kOneUlp{0.0, 1.2e-7};

::testing::AssertionResult equal(const std::vector<float>& actual, const std::vector<double>& expected) {
  return testing::all_close(std::span<const float>(actual), std::span<const double>(expected), kOneUlp);
}

TEST(Rope, PlainFrequenciesAreThoseOfTransformers) {
  EXPECT_TRUE(equal(rope_frequencies({}, 32),
                    {0x1.0p+0, 0x1.1feb34p-1, 0x1.43d136p-2, 0x1.6c310ep-3, 0x1.99999ap-4, 0x1.ccab84p-5,
                     0x1.030dc6p-5, 0x1.235a72p-6, 0x1.47ae14p-7, 0x1.708938p-8, 0x1.9e7c70p-9,
                     0x1.d22a50p-10, 0x1.0624dep-10, 0x1.26d42cp-11, 0x1.4b96c0p-12, 0x1.74eea6p-13}));
}

TEST(Rope, LinearScalingDividesThem) {
  const RopeConfig rope{RopeConfig::Type::linear, 10000.0, 3.0, 1.0, 4.0, 0};
  EXPECT_TRUE(equal(rope_frequencies(rope, 6), {0x1.555556p-2, 0x1.fafc38p-7, 0x1.7883c2p-11}));
}

// Elements of Llama 3.1 8B on both sides of both thresholds, and between them.
TEST(Rope, Llama3ScalingIsThatOfTransformers) {
  const RopeConfig rope{RopeConfig::Type::llama3, 500000.0, 8.0, 1.0, 4.0, 8192};
  const auto all = rope_frequencies(rope, 128);
  ASSERT_EQ(all.size(), 64U);
  std::vector<float> some;
  for (const std::size_t i : {0, 1, 28, 29, 30, 31, 32, 33, 34, 35, 36, 62, 63}) some.push_back(all[i]);
  EXPECT_TRUE(equal(some, {0x1.0p+0, 0x1.a11582p-1, 0x1.a4ee40p-9, 0x1.1bfa0cp-9, 0x1.67a23ap-10,
                           0x1.c12f3cp-11, 0x1.132ba4p-11, 0x1.47e210p-12, 0x1.765ba4p-13, 0x1.90d10cp-14,
                           0x1.46831ap-14, 0x1.948360p-22, 0x1.4985fep-22}));
}

TEST(Rope, NoneHasNoFrequenciesAndOddHeadsAreRefused) {
  RopeConfig none;
  none.type = RopeConfig::Type::none;
  EXPECT_TRUE(rope_frequencies(none, 7).empty());
  EXPECT_THROW((void)rope_frequencies({}, 7), Error);
}

}  // namespace
}  // namespace edgetrain
