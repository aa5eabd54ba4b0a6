// The comparer is itself tested with wrong input: a check that accepts NaN proves nothing.
#include "tests/support/compare.h"

#include <limits>
#include <vector>

namespace edgetrain::testing {
namespace {

using V = std::vector<float>;
bool close(const V& a, const V& b, Tolerance t) {
  return static_cast<bool>(all_close(std::span<const float>(a), std::span<const float>(b), t));
}
bool near(const V& a, const V& b, double bound) {
  return static_cast<bool>(close_in_norm(std::span<const float>(a), std::span<const float>(b), bound));
}
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

TEST(Compare, AcceptsWhatIsClose) {
  EXPECT_TRUE(close({1, 2}, {1, 2}, kExact));
  EXPECT_TRUE(close({1.05F}, {1.0F}, {0.0, 0.1}));
  EXPECT_TRUE(near({1.0F, 2.001F}, {1.0F, 2.0F}, 1e-3));
}
TEST(Compare, RejectsWhatIsNot) {
  EXPECT_FALSE(close({1, 2}, {1, 3}, kExact));
  EXPECT_FALSE(close({1, 2}, {1}, {1, 1}));
  EXPECT_FALSE(close({}, {}, {1, 1}));
  EXPECT_FALSE(near({1, 2}, {2, 1}, 1e-3));
  EXPECT_FALSE(near({0, 0}, {0, 0}, 1e-3));
}
TEST(Compare, RejectsNanAndInfEverywhere) {
  for (const float bad : {kNan, kInf, -kInf}) {
    EXPECT_FALSE(close({bad}, {1}, {1e30, 1e30}));
    EXPECT_FALSE(close({1}, {bad}, {1e30, 1e30}));
    EXPECT_FALSE(close({bad}, {bad}, {1e30, 1e30}));
    EXPECT_FALSE(near({bad}, {1}, 1e30));
    EXPECT_FALSE(near({1}, {bad}, 1e30));
  }
}

}  // namespace
}  // namespace edgetrain::testing
