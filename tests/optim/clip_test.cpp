#include "optim/clip.h"

#include <gtest/gtest.h>

#include <limits>

#include "core/base/error.h"

namespace edgetrain {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

TEST(Clip, ScalesLargeNormsDownToTheLimit) {
  EXPECT_DOUBLE_EQ(clip_coefficient(4.0, 1.0).value(), 1.0 / 4.000001);
  EXPECT_DOUBLE_EQ(clip_coefficient(1e300, 0.5).value(), 0.5e-300);
}

TEST(Clip, NeverScalesUp) {
  EXPECT_EQ(clip_coefficient(0.25, 1.0), 1.0);
  EXPECT_EQ(clip_coefficient(0.0, 1.0), 1.0);
}

TEST(Clip, ZeroMeansOff) { EXPECT_EQ(clip_coefficient(123.0, 0.0), 1.0); }

TEST(Clip, NonFiniteNormHasNoCoefficientEvenWhenOff) {
  for (const double norm : {kInf, kNan}) {
    EXPECT_EQ(clip_coefficient(norm, 1.0), std::nullopt);
    EXPECT_EQ(clip_coefficient(norm, 0.0), std::nullopt);
  }
}

TEST(Clip, RefusesNegativeInput) {
  EXPECT_THROW((void)clip_coefficient(1.0, -1.0), Error);
  EXPECT_THROW((void)clip_coefficient(-1.0, 1.0), Error);
}

}  // namespace
}  // namespace edgetrain
