// e^x for the Highway kernels of attention and cross-entropy; included once per target (foreach_target).
//
// Why not hwy/contrib/math: softmax spends most of its time here, and a polynomial of degree 6 with two constants less
// is enough for 2 ulp. Its error is measured over the whole range by tests/core/ops/cpu/simd_math_test.cpp.
#if defined(EDGETRAIN_CORE_OPS_CPU_SIMD_MATH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef EDGETRAIN_CORE_OPS_CPU_SIMD_MATH_INL_H_
#undef EDGETRAIN_CORE_OPS_CPU_SIMD_MATH_INL_H_
#else
#define EDGETRAIN_CORE_OPS_CPU_SIMD_MATH_INL_H_
#endif

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace edgetrain::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// e^x, at most 2 ulp off where the result is normal; 0 below -104, infinity above 88.73, NaN for NaN.
/// Cody-Waite reduction by ln 2 in two parts, then the polynomial of Cephes' expf (Moshier 1992).
template <class Tag>
HWY_INLINE hn::Vec<Tag> exp_f32(Tag d, hn::Vec<Tag> x) {
  const hn::RebindToSigned<Tag> di;
  const auto low = hn::Set(d, -104.0F);
  const auto high = hn::Set(d, 89.0F);
  // Clamped only where the result is 0 or infinity anyway; a NaN takes neither branch and reaches the end.
  auto t = hn::IfThenElse(hn::Lt(x, low), low, x);
  t = hn::IfThenElse(hn::Gt(t, high), high, t);
  const auto n = hn::Round(hn::Mul(t, hn::Set(d, 1.44269504088896341F)));
  auto r = hn::NegMulAdd(n, hn::Set(d, 0.693359375F), t);
  r = hn::NegMulAdd(n, hn::Set(d, -2.12194440e-4F), r);
  auto p = hn::MulAdd(hn::Set(d, 1.9875691500e-4F), r, hn::Set(d, 1.3981999507e-3F));
  p = hn::MulAdd(p, r, hn::Set(d, 8.3334519073e-3F));
  p = hn::MulAdd(p, r, hn::Set(d, 4.1665795894e-2F));
  p = hn::MulAdd(p, r, hn::Set(d, 1.6666665459e-1F));
  p = hn::MulAdd(p, r, hn::Set(d, 5.0000001201e-1F));
  const auto y = hn::Add(hn::MulAdd(p, hn::Mul(r, r), r), hn::Set(d, 1.0F));
  // 2^n in two factors: n reaches 128 and -150, which no one float exponent holds.
  const auto whole = hn::ConvertTo(di, n);
  const auto half = hn::ShiftRight<1>(whole);
  const auto bias = hn::Set(di, 127);
  const auto scale0 = hn::BitCast(d, hn::ShiftLeft<23>(hn::Add(half, bias)));
  const auto scale1 = hn::BitCast(d, hn::ShiftLeft<23>(hn::Add(hn::Sub(whole, half), bias)));
  return hn::IfThenElse(hn::Lt(x, low), hn::Zero(d), hn::Mul(hn::Mul(y, scale0), scale1));
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace edgetrain::cpu
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
