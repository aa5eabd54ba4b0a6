// Learning rate as a pure function of the step.
//
// Why a function and not an object with state: a resumed run, a plan and a plot ask for any step in any order
// and must get the same double. Rejected: the multiply-by-a-factor-per-step form, whose rounding depends on
// history.
#pragma once

#include <cstdint>

#include "optim/config.h"

namespace edgetrain {

/// What `decay` means after the warm-up, with p = (t - W) / (T - W) in (0, 1]:
///   constant      lr
///   linear        lr + (min_lr - lr) p
///   cosine        min_lr + (lr - min_lr) (1 + cos(pi p)) / 2            Loshchilov & Hutter 2017
///   wsd           lr, then linear to min_lr over the last decay_steps   Hu et al. 2024
///   inverse_sqrt  max(min_lr, lr sqrt(max(W, 1) / t))                   Vaswani et al. 2017
struct ScheduleParams {
  LrDecay decay = LrDecay::constant;
  double lr = 0.0;                // peak, reached at step W
  double min_lr = 0.0;            // at step T and beyond, 0 <= min_lr <= lr; constant ignores it
  std::int64_t warmup_steps = 0;  // W >= 0; W >= T means that the warm-up is all there is
  std::int64_t total_steps = 0;   // T >= 1
  std::int64_t decay_steps = 0;   // wsd: >= 1; more than T - W means all of the steps after the warm-up
};

/// Learning rate of step t >= 1 (the first step is 1). Warm-up: lr * t / W for t <= W. Beyond T the value of
/// T stays, except for constant and inverse_sqrt, which do not depend on T.
[[nodiscard]] double learning_rate(const ScheduleParams& params, std::int64_t t);

}  // namespace edgetrain
