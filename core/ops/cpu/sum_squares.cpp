#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/ops/cpu/sum_squares.cpp"
#include <hwy/foreach_target.h>
// foreach_target.h comes first.
#include "core/ops/cpu/lanes-inl.h"

#ifndef EDGETRAIN_CORE_OPS_CPU_SUM_SQUARES_ONCE
#define EDGETRAIN_CORE_OPS_CPU_SUM_SQUARES_ONCE

#include "core/ops/cpu/parallel.h"
#include "core/ops/cpu/update.h"

namespace edgetrain::cpu {
namespace {
constexpr std::size_t kLanes64 = 8;  // of the widest target; narrower ones keep several vectors
}  // namespace
}  // namespace edgetrain::cpu
#endif  // EDGETRAIN_CORE_OPS_CPU_SUM_SQUARES_ONCE

HWY_BEFORE_NAMESPACE();
namespace edgetrain::cpu {
namespace HWY_NAMESPACE {
namespace {

using D64 = hn::CappedTag<double, kLanes64>;
using V64 = hn::Vec<D64>;
using DFloat = hn::Rebind<float, D64>;
using DBits = hn::Rebind<std::uint16_t, D64>;
constexpr std::size_t kWidth = hn::MaxLanes(D64());
constexpr std::size_t kVectors = kLanes64 / kWidth;

HWY_INLINE V64 load64(const float* p) { return hn::PromoteTo(D64(), hn::LoadU(DFloat(), p)); }
HWY_INLINE V64 load64(const Bf16* p) {
  const hn::RebindToUnsigned<DFloat> du;
  const auto bits = hn::ShiftLeft<16>(hn::PromoteTo(du, hn::LoadU(DBits(), &p->bits)));
  return hn::PromoteTo(D64(), hn::BitCast(DFloat(), bits));
}

template <typename T>
double grain_sum(const T* x) {
  V64 sums[kVectors];
  for (V64& sum : sums) sum = hn::Zero(D64());
  for (std::int64_t i = 0; i < kSquareGrain; i += static_cast<std::int64_t>(kLanes64)) {
    for (std::size_t k = 0; k < kVectors; ++k) {
      const V64 value = load64(x + i + k * kWidth);
      sums[k] = hn::Add(sums[k], hn::Mul(value, value));
    }
  }
  HWY_ALIGN double lanes[kLanes64];
  for (std::size_t k = 0; k < kVectors; ++k) hn::Store(sums[k], D64(), lanes + k * kWidth);
  for (std::size_t half = kLanes64 / 2; half > 0; half /= 2) {
    for (std::size_t k = 0; k < half; ++k) lanes[k] += lanes[k + half];
  }
  return lanes[0];
}

template <typename T>
void grain_sums(const Tensor& x, const Tensor& sums, Part grains) {
  for (std::int64_t i = grains.begin; i < grains.end; ++i) {
    sums.as<double>()[i] = grain_sum(x.as<T>() + i * kSquareGrain);
  }
}

}  // namespace

void GrainSums(const Tensor& x, const Tensor& sums, Part grains) {
  x.dtype == Dtype::f32 ? grain_sums<float>(x, sums, grains) : grain_sums<Bf16>(x, sums, grains);
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace edgetrain::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace edgetrain::cpu {
namespace {
HWY_EXPORT(GrainSums);
}  // namespace

void sum_squares(const CpuEnv& env, Tensor x, Tensor sums) {
  for_parts(env, sums.cols, 1, x.bytes(), [&](Part grains) {
    HWY_DYNAMIC_DISPATCH(GrainSums)(x, sums, grains);
  });
}

}  // namespace edgetrain::cpu
#endif  // HWY_ONCE
