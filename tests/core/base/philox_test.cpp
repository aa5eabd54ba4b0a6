// Philox against the known answers of Random123 1.14 (tests/kat_vectors), FNV-1a against its authors'
// vectors.
#include "core/base/philox.h"

#include <gtest/gtest.h>

namespace edgetrain {
namespace {

TEST(Philox, GivesTheKnownAnswers) {
  EXPECT_EQ(philox({0, 0, 0, 0}, {0, 0}), (PhiloxCounter{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}),
            (PhiloxCounter{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (PhiloxCounter{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Philox, IsKnownAtCompileTime) { static_assert(philox({0, 0, 0, 0}, {0, 0})[0] == 0x6627e8d5); }

TEST(Philox, WordsAreLowFirst) {
  EXPECT_EQ(philox_words(0x0123456789abcdefU), (PhiloxKey{0x89abcdef, 0x01234567}));
}

TEST(Fnv1a, GivesTheKnownAnswers) {
  EXPECT_EQ(fnv1a(""), 0xcbf29ce484222325U);
  EXPECT_EQ(fnv1a("a"), 0xaf63dc4c8601ec8cU);
  EXPECT_EQ(fnv1a("foobar"), 0x85944171f73967e8U);
}

}  // namespace
}  // namespace edgetrain
