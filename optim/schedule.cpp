#include "optim/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/base/error.h"

namespace edgetrain {
namespace {

// Exactly lr at p = 0 and exactly min_lr at p = 1: the ends of a run are what people check.
double between(const ScheduleParams& params, double p) { return (1.0 - p) * params.lr + p * params.min_lr; }

// Way from step `from` to the last step, in [0, 1].
double progress(const ScheduleParams& params, std::int64_t from, std::int64_t t) {
  if (t >= params.total_steps) return 1.0;  // also from = T, where the quotient would be 0 / 0
  if (t <= from) return 0.0;
  return static_cast<double>(t - from) / static_cast<double>(params.total_steps - from);
}

double wsd(const ScheduleParams& params, std::int64_t t) {
  ET_CHECK(params.decay_steps >= 1, "wsd with {} decay steps", params.decay_steps);
  return between(params,
                 progress(params, std::max(params.warmup_steps, params.total_steps - params.decay_steps), t));
}

double inverse_sqrt(const ScheduleParams& params, std::int64_t t) {
  const auto warmup = static_cast<double>(std::max<std::int64_t>(params.warmup_steps, 1));
  return std::max(params.min_lr, params.lr * std::sqrt(warmup / static_cast<double>(t)));
}

}  // namespace

double learning_rate(const ScheduleParams& params, std::int64_t t) {
  ET_CHECK(t >= 1, "step {}: the first step is 1", t);
  ET_CHECK(params.warmup_steps >= 0 && params.total_steps >= 1, "warm-up {} of {} steps", params.warmup_steps,
           params.total_steps);
  if (t <= params.warmup_steps) {
    return params.lr * (static_cast<double>(t) / static_cast<double>(params.warmup_steps));
  }
  const double p = progress(params, params.warmup_steps, t);
  switch (params.decay) {
    case LrDecay::constant:
      return params.lr;
    case LrDecay::linear:
      return between(params, p);
    case LrDecay::cosine:
      return between(params, 0.5 - 0.5 * std::cos(std::numbers::pi * p));
    case LrDecay::wsd:
      return wsd(params, t);
    case LrDecay::inverse_sqrt:
      return inverse_sqrt(params, t);
  }
  ET_ASSERT(false);
}

}  // namespace edgetrain
