// e^x as softmax needs it and 2^x as the activations do, for every Highway target; included once per target
// (foreach_target).
//
// Why not hwy/contrib/math: softmax takes differences from a maximum, so overflow cannot happen and results
// below the smallest normal number may be zero. Without those cases e^x takes two thirds of the instructions.
// Errors are measured over the whole range by tests/core/ops/cpu/simd_math_test.cpp.
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
  p = hn::MulAdd(p, r, hn::Set(d, 1.0F));
  const auto y = hn::MulAdd(p, r, hn::Set(d, 1.0F));
  const auto exponent = hn::ShiftLeft<23>(hn::BitCast(di, shifted));  // 0 for NaN, which y already is
  const auto scaled = hn::BitCast(d, hn::Add(hn::BitCast(di, y), exponent));
  return hn::IfThenZeroElse(hn::Lt(x, hn::Set(d, -87.3F)), scaled);
}

/// 2^(x + kUp) for x <= 0, relative error 2e-7; 0 for NaN and below -127.5, down to which the result is a
/// normal number. Own minimax fit of 2^r on [-1/2, 1/2]. The reduction is exact and takes two instructions:
/// for those whose argument comes by a factor log2(e) at no cost, and is rounded by some |x| ulp anyway.
template <int kUp, class Tag>
HWY_INLINE hn::Vec<Tag> exp2_of_negative(Tag d, hn::Vec<Tag> x) {
  static_assert(kUp >= 2 && kUp <= 126);
  const hn::RebindToSigned<Tag> di;
  const auto magic = hn::Set(d, 12582912.0F + kUp);  // as above, and kUp in the low bits
  const auto shifted = hn::Add(x, magic);
  const auto r = hn::Sub(x, hn::Sub(shifted, magic));
  auto p = hn::MulAdd(hn::Set(d, 1.326472614891827e-3F), r, hn::Set(d, 9.671512991189957e-3F));
  p = hn::MulAdd(p, r, hn::Set(d, 5.550733581185341e-2F));
  p = hn::MulAdd(p, r, hn::Set(d, 2.4022242426872253e-1F));
  p = hn::MulAdd(p, r, hn::Set(d, 6.931470036506653e-1F));
  const auto y = hn::MulAdd(p, r, hn::Set(d, 1.0F));
  const auto exponent = hn::ShiftLeft<23>(hn::BitCast(di, shifted));
  const auto scaled = hn::BitCast(d, hn::Add(hn::BitCast(di, y), exponent));
  return hn::IfThenElseZero(hn::Gt(x, hn::Set(d, -127.5F)), scaled);
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace edgetrain::cpu
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
