// Schedules against their closed forms, and the ends that off-by-one errors change.
#include "optim/schedule.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "core/base/error.h"

namespace edgetrain {
namespace {

constexpr double kLr = 3e-4, kMin = 3e-5;
constexpr std::int64_t kWarmup = 7, kTotal = 101;

constexpr LrDecay kAll[] = {LrDecay::constant, LrDecay::linear, LrDecay::cosine, LrDecay::wsd,
                            LrDecay::inverse_sqrt};

ScheduleParams params(LrDecay decay, std::int64_t warmup = kWarmup, std::int64_t total = kTotal) {
  return {.decay = decay,
          .lr = kLr,
          .min_lr = kMin,
          .warmup_steps = warmup,
          .total_steps = total,
          .decay_steps = 20};
}

double progress(std::int64_t t) {
  return static_cast<double>(t - kWarmup) / static_cast<double>(kTotal - kWarmup);
}

TEST(Schedule, WarmsUpLinearlyAndReachesThePeakExactly) {
  for (const auto decay : kAll) {
    EXPECT_DOUBLE_EQ(learning_rate(params(decay), 1), kLr / 7) << name_of(decay);
    EXPECT_DOUBLE_EQ(learning_rate(params(decay), 5), kLr * 5 / 7) << name_of(decay);
    EXPECT_EQ(learning_rate(params(decay), kWarmup), kLr) << name_of(decay);
  }
}

TEST(Schedule, EndsExactlyAtMinLrAndStaysThere) {
  for (const auto decay : {LrDecay::linear, LrDecay::cosine, LrDecay::wsd}) {
    EXPECT_GT(learning_rate(params(decay), kTotal - 1), kMin) << name_of(decay);
    EXPECT_EQ(learning_rate(params(decay), kTotal), kMin) << name_of(decay);
    EXPECT_EQ(learning_rate(params(decay), 10 * kTotal), kMin) << name_of(decay);
  }
}

TEST(Schedule, ConstantNeverDecays) {
  EXPECT_EQ(learning_rate(params(LrDecay::constant), kWarmup + 1), kLr);
  EXPECT_EQ(learning_rate(params(LrDecay::constant), 1000000), kLr);
}

TEST(Schedule, LinearMatchesItsFormula) {
  for (std::int64_t t = kWarmup + 1; t <= kTotal; ++t) {
    EXPECT_NEAR(learning_rate(params(LrDecay::linear), t), kLr + (kMin - kLr) * progress(t), 1e-18) << t;
  }
}

TEST(Schedule, CosineMatchesItsFormula) {
  for (std::int64_t t = kWarmup + 1; t <= kTotal; ++t) {
    const double expected = kMin + 0.5 * (kLr - kMin) * (1.0 + std::cos(std::numbers::pi * progress(t)));
    EXPECT_NEAR(learning_rate(params(LrDecay::cosine), t), expected, 1e-18) << t;
  }
}

TEST(Schedule, WsdIsStableThenLinear) {
  auto wsd = params(LrDecay::wsd, 0, 100);
  wsd.decay_steps = 25;
  EXPECT_EQ(learning_rate(wsd, 1), kLr);
  EXPECT_EQ(learning_rate(wsd, 75), kLr);
  EXPECT_NEAR(learning_rate(wsd, 76), kLr + (kMin - kLr) / 25, 1e-18);
  EXPECT_NEAR(learning_rate(wsd, 99), kLr + (kMin - kLr) * 24 / 25, 1e-18);
  wsd.decay_steps = 1000;  // longer than the run: all of it
  EXPECT_NEAR(learning_rate(wsd, 50), (kLr + kMin) / 2, 1e-18);
}

TEST(Schedule, InverseSqrtMatchesItsFormulaAndKeepsTheFloor) {
  EXPECT_DOUBLE_EQ(learning_rate(params(LrDecay::inverse_sqrt), 4 * kWarmup), kLr / 2);
  EXPECT_EQ(learning_rate(params(LrDecay::inverse_sqrt), 100 * kWarmup + 1), kMin);
  EXPECT_DOUBLE_EQ(learning_rate(params(LrDecay::inverse_sqrt, 0), 9), kLr / 3);
}

TEST(Schedule, WithoutWarmupTheFirstStepIsInTheDecay) {
  EXPECT_NEAR(learning_rate(params(LrDecay::linear, 0), 1), kLr + (kMin - kLr) / kTotal, 1e-18);
  EXPECT_EQ(learning_rate(params(LrDecay::constant, 0), 1), kLr);
}

TEST(Schedule, AllWarmupReachesThePeakAtTheLastStepThenMinLr) {
  for (const auto decay : {LrDecay::linear, LrDecay::cosine, LrDecay::wsd}) {
    EXPECT_EQ(learning_rate(params(decay, kTotal), kTotal), kLr) << name_of(decay);
    EXPECT_EQ(learning_rate(params(decay, kTotal), kTotal + 1), kMin) << name_of(decay);
  }
}

TEST(Schedule, WarmupLongerThanTheRunIsCutOff) {
  EXPECT_DOUBLE_EQ(learning_rate(params(LrDecay::cosine, 2 * kTotal), kTotal), kLr / 2);
}

TEST(Schedule, OneStepRunIsNotDividedByZero) {
  for (const auto decay : kAll) {
    EXPECT_TRUE(std::isfinite(learning_rate(params(decay, 0, 1), 1))) << name_of(decay);
  }
}

TEST(Schedule, StepsCountFromOne) { EXPECT_THROW((void)learning_rate(params(LrDecay::linear), 0), Error); }

}  // namespace
}  // namespace edgetrain
