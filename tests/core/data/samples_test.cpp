#include "core/data/samples.h"

#include <gtest/gtest.h>

#include "core/base/error.h"

namespace edgetrain {
namespace {

TEST(Samples, NeighboursShareOneToken) {
  const Samples samples{.begin = 100, .tokens = 13, .seq_len = 4};
  EXPECT_EQ(samples.count(), 3);  // tokens 0..4, 4..8, 8..12
  EXPECT_EQ(samples.first_token(0), 100);
  EXPECT_EQ(samples.first_token(2), 108);
}

TEST(Samples, TheLastTokenIsATargetOnly) {
  EXPECT_EQ((Samples{.begin = 0, .tokens = 12, .seq_len = 4}.count()), 2);
  EXPECT_EQ((Samples{.begin = 0, .tokens = 5, .seq_len = 4}.count()), 1);
  EXPECT_EQ((Samples{.begin = 0, .tokens = 4, .seq_len = 4}.count()), 0);
  EXPECT_EQ((Samples{.begin = 0, .tokens = 0, .seq_len = 4}.count()), 0);
}

TEST(Splits, ValidationIsTheTailAndNoTokenIsInBoth) {
  for (const std::int64_t tokens : {1001, 1024, 4024957}) {
    const auto splits = split_samples(tokens, 16, 0.05);
    EXPECT_EQ(splits.train.begin, 0);
    EXPECT_EQ(splits.train.tokens, splits.validation.begin);
    EXPECT_EQ(splits.validation.begin + splits.validation.tokens, tokens);
    EXPECT_EQ(splits.validation.tokens, tokens / 20);
    const auto last = splits.train.first_token(splits.train.count() - 1) + 16;  // its last target
    EXPECT_LT(last, splits.validation.begin);
  }
}

TEST(Splits, ZeroMeansNone) {
  const auto splits = split_samples(100, 16, 0.0);
  EXPECT_EQ(splits.train.tokens, 100);
  EXPECT_EQ(splits.validation.count(), 0);
}

TEST(Splits, TooShortIsAnErrorWithTheNumbers) {
  EXPECT_NO_THROW((void)split_samples(17, 16, 0.0));
  EXPECT_THROW((void)split_samples(16, 16, 0.0), JobError);
  EXPECT_THROW((void)split_samples(1000, 16, 0.01), JobError);  // 10 tokens of validation
  EXPECT_THROW((void)split_samples(100, 16, 0.9), JobError);    // 10 tokens of training
  try {
    (void)split_samples(1000, 16, 0.01);
  } catch (const JobError& error) {
    EXPECT_NE(std::string(error.what()).find("needs 17"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace edgetrain
