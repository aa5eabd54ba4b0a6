#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/ops/cpu/cross_entropy.cpp"
#include <hwy/foreach_target.h>
// foreach_target.h comes first.
#include <hwy/cache_control.h>

#include "core/ops/cpu/lanes-inl.h"
#include "core/ops/cpu/simd_math-inl.h"

#ifndef EDGETRAIN_CORE_OPS_CPU_CROSS_ENTROPY_ONCE
#define EDGETRAIN_CORE_OPS_CPU_CROSS_ENTROPY_ONCE

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/ops/cpu/cross_entropy.h"
#include "core/ops/cpu/parallel.h"
#include "core/tensor/bf16.h"

namespace edgetrain::cpu {
namespace {

constexpr std::int32_t kIgnored = -100;

/// softmax(x) = exp(x - maximum) / sum.
struct Softmax {
  double maximum, sum;
};

}  // namespace
}  // namespace edgetrain::cpu
#endif  // EDGETRAIN_CORE_OPS_CPU_CROSS_ENTROPY_ONCE

HWY_BEFORE_NAMESPACE();
namespace edgetrain::cpu {
namespace HWY_NAMESPACE {

float maximum_of(const float* x, std::size_t n) {
  const D d;
  const std::size_t lanes = hn::Lanes(d);
  // Finite, so that a difference of two -infinity does not become NaN.
  V most = set(std::numeric_limits<float>::lowest());
  V other = most;
  std::size_t i = 0;
  for (; i + 2 * lanes <= n; i += 2 * lanes) {
    most = hn::Max(most, hn::LoadU(d, x + i));
    other = hn::Max(other, hn::LoadU(d, x + i + lanes));
  }
  float result = hn::GetLane(hn::MaxOfLanes(d, hn::Max(most, other)));
  for (; i < n; ++i) result = std::max(result, x[i]);
  return result;
}

// The maximum first, while the chunk stays in the first cache: an online maximum grows in most vectors of a
// chunk, and each time the sum is rescaled.
Softmax softmax_of_chunk(const float* x, std::size_t n) {
  const float maximum = maximum_of(x, n);
  const V shift = set(maximum);
  const float sum = sum_lanes(n, [&](V so_far, std::size_t i, auto part) HWY_ATTR {
    hwy::Prefetch(x + n + i);  // the next chunk comes while this one computes; what lies there is not touched
    return hn::Add(so_far, keep(exp_of_difference(D(), hn::Sub(load(x + i, part), shift)), part));
  });
  return {static_cast<double>(maximum), static_cast<double>(sum)};
}

// Chunks keep the f32 sums short: one lane would otherwise add up the whole vocabulary.
Softmax softmax_of(const float* x, std::size_t n) {
  constexpr std::size_t kChunk = 2048;
  Softmax all = softmax_of_chunk(x, std::min(n, kChunk));
  for (std::size_t i = kChunk; i < n; i += kChunk) {
    const Softmax chunk = softmax_of_chunk(x + i, std::min(kChunk, n - i));
    const double maximum = std::max(all.maximum, chunk.maximum);
    all.sum = all.sum * std::exp(all.maximum - maximum) + chunk.sum * std::exp(chunk.maximum - maximum);
    all.maximum = maximum;
  }
  return all;
}

void store_tail(V value, float* to, Tail tail) {
  HWY_ALIGN float buffer[hn::MaxLanes(D())];
  hn::Store(value, D(), buffer);
  std::memcpy(to, buffer, tail.count * sizeof(float));
}

// dx = exp(x - maximum) * factor; dx may be x.
template <typename T>
void gradient(const float* x, std::size_t n, float maximum, float factor, T* dx) {
  const V shift = set(maximum), times = set(factor);
  for_lanes(n, [&](std::size_t i, auto part) HWY_ATTR {
    const V value = hn::Mul(exp_of_difference(D(), hn::Sub(load(x + i, part), shift)), times);
    if constexpr (std::is_same_v<T, float> && std::is_same_v<decltype(part), Tail>) {
      store_tail(value, dx + i, part);
    } else {
      store(value, dx + i, part);
    }
  });
}

void ignored_row(const Tensor& loss, const Tensor& dlogits, std::int64_t r) {
  *loss.row<float>(r) = 0.0F;
  if (dlogits.absent()) return;
  const auto bytes = static_cast<std::size_t>(dlogits.cols * size_of(dlogits.dtype));
  std::memset(dlogits.data + r * dlogits.row_stride * size_of(dlogits.dtype), 0, bytes);
}

void row_kernel(const Tensor& logits, std::int32_t target, const Tensor& loss, const Tensor& dlogits,
                float scale, std::int64_t r) {
  if (target == kIgnored) {
    ignored_row(loss, dlogits, r);
    return;
  }
  const float* x = logits.row<float>(r);
  const auto n = static_cast<std::size_t>(logits.cols);
  const Softmax softmax = softmax_of(x, n);
  const double shifted = static_cast<double>(x[target]) - softmax.maximum;
  *loss.row<float>(r) = static_cast<float>(std::log(softmax.sum) - shifted);
  if (dlogits.absent()) return;
  // The target's own gradient apart: p - 1 in double keeps its digits when p is near 1.
  const double p = std::exp(shifted) / softmax.sum;
  const auto at_target = static_cast<float>((p - 1.0) * static_cast<double>(scale));
  const auto factor = static_cast<float>(static_cast<double>(scale) / softmax.sum);
  const auto maximum = static_cast<float>(softmax.maximum);  // it is one of the logits
  if (dlogits.dtype == Dtype::f32) {
    gradient(x, n, maximum, factor, dlogits.row<float>(r));
    dlogits.row<float>(r)[target] = at_target;
  } else {
    gradient(x, n, maximum, factor, dlogits.row<Bf16>(r));
    dlogits.row<std::uint16_t>(r)[target] = bf16_from_float(at_target);
  }
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace edgetrain::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace edgetrain::cpu {
HWY_EXPORT(row_kernel);

namespace {

void check_targets(const Tensor& targets, std::int64_t vocab) {
  for (std::int64_t r = 0; r < targets.rows; ++r) {
    const std::int32_t id = *targets.row<std::int32_t>(r);
    if (id == kIgnored || (id >= 0 && id < vocab)) continue;
    throw Error(ErrorClass::data,
                fmt::format("target {} in row {} is outside the vocabulary of {}", id, r, vocab));
  }
}

}  // namespace

void cross_entropy(const CpuEnv& env, Tensor logits, Tensor targets, Tensor loss, Tensor dlogits,
                   float scale) {
  ET_CHECK(logits.dtype == Dtype::f32 && targets.dtype == Dtype::i32 && loss.dtype == Dtype::f32 &&
               targets.rows == logits.rows && loss.rows == logits.rows,
           "cross_entropy: logits ({}, {}), targets ({}), loss ({})", logits.rows, logits.cols, targets.rows,
           loss.rows);
  ET_CHECK(dlogits.absent() || (dlogits.rows == logits.rows && dlogits.cols == logits.cols &&
                                (dlogits.dtype == Dtype::f32 || dlogits.dtype == Dtype::bf16)),
           "cross_entropy: logits ({}, {}), dlogits ({}, {})", logits.rows, logits.cols, dlogits.rows,
           dlogits.cols);
  check_targets(targets, logits.cols);
  for_parts(env, logits.rows, 1, logits.bytes(), [&](Part rows) {
    for (std::int64_t r = rows.begin; r < rows.end; ++r) {
      HWY_DYNAMIC_DISPATCH(row_kernel)(logits, *targets.row<std::int32_t>(r), loss, dlogits, scale, r);
    }
  });
}

}  // namespace edgetrain::cpu
#endif  // HWY_ONCE
