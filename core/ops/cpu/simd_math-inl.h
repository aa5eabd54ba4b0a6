// e^x as softmax needs it, for every Highway target; included once per target (foreach_target).
//
// Why not hwy/contrib/math: softmax takes differences from a maximum, so overflow cannot happen and results
// below the smallest normal number may be zero. Without those cases e^x takes two thirds of the instructions.
// Its error is measured over the whole range by tests/core/ops/cpu/simd_math_test.cpp.
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

/// e^x for x <= 88, at most 2 ulp off; 0 below -87.3, NaN for NaN.
/// Cody-Waite reduction by ln 2 in two parts, then the polynomial of Cephes' expf (Moshier 1992).
template <class Tag>
HWY_INLINE hn::Vec<Tag> exp_of_difference(Tag d, hn::Vec<Tag> x) {
  const hn::RebindToSigned<Tag> di;
  // Adding 1.5 * 2^23 rounds to an integer and leaves that integer in the low bits, ready to become an
  // exponent.
  const auto magic = hn::Set(d, 12582912.0F);
  const auto shifted = hn::MulAdd(x, hn::Set(d, 1.44269504088896341F), magic);
  const auto n = hn::Sub(shifted, magic);
  auto r = hn::NegMulAdd(n, hn::Set(d, 0.693359375F), x);
  r = hn::NegMulAdd(n, hn::Set(d, -2.12194440e-4F), r);
  auto p = hn::MulAdd(hn::Set(d, 1.9875691500e-4F), r, hn::Set(d, 1.3981999507e-3F));
  p = hn::MulAdd(p, r, hn::Set(d, 8.3334519073e-3F));
  p = hn::MulAdd(p, r, hn::Set(d, 4.1665795894e-2F));
  p = hn::MulAdd(p, r, hn::Set(d, 1.6666665459e-1F));
  p = hn::MulAdd(p, r, hn::Set(d, 5.0000001201e-1F));
  const auto y = hn::Add(hn::MulAdd(p, hn::Mul(r, r), r), hn::Set(d, 1.0F));
  const auto exponent = hn::ShiftLeft<23>(hn::BitCast(di, shifted));  // 0 for NaN, which y already is
  const auto scaled = hn::BitCast(d, hn::Add(hn::BitCast(di, y), exponent));
  return hn::IfThenElse(hn::Lt(x, hn::Set(d, -87.3F)), hn::Zero(d), scaled);
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace edgetrain::cpu
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
