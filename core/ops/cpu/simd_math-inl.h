// e^x as softmax needs it and 2^x as the activations and the softmax in bf16 do, for every Highway target;
// included once per target (foreach_target).
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

inline constexpr double kLog2e = 1.4426950408889634;

/// e^x for x <= 88, at most 2 ulp off; 0 below -87.3, NaN for NaN.
/// Cody-Waite reduction by ln 2 in two parts, then the polynomial of Cephes' expf (Moshier 1992).
template <class Tag>
HWY_INLINE hn::Vec<Tag> exp_of_difference(Tag d, hn::Vec<Tag> x) {
  const hn::RebindToSigned<Tag> di;
  // Adding 1.5 * 2^23 rounds to an integer and leaves that integer in the low bits, ready to become an
  // exponent.
  const auto magic = hn::Set(d, 12582912.0F);
  const auto shifted = hn::MulAdd(x, hn::Set(d, static_cast<float>(kLog2e)), magic);
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

/// 2^x for any x, for results that become bf16. Relative error where it is a normal number: 8.7e-5 (a
/// twentieth of a bf16's last place) by degree 3, 3.1e-6 by degree 4. Below -126 it is between 0 and 2^-126,
/// and 0 from -127 down; infinite from 128 up; NaN for NaN. Own minimax fits of 2^r on [0, 1], exact at 0 and
/// below 2 at 1, so that no exponent overflows into a NaN. Vectors of 16 lanes have one instruction each for
/// the remainder and for the power of two, and Tag is the whole vector there.
template <int kDegree, class Tag>
HWY_INLINE hn::Vec<Tag> exp2_rough(Tag d, hn::Vec<Tag> x) {
  static_assert(kDegree == 3 || kDegree == 4);
  const auto fraction_power = [d](hn::Vec<Tag> r) HWY_ATTR {
    hn::Vec<Tag> p;
    if constexpr (kDegree == 3) {
      p = hn::MulAdd(hn::Set(d, 7.706704199704552e-2F), r, hn::Set(d, 2.276449911962689e-1F));
      p = hn::MulAdd(p, r, hn::Set(d, 6.95116786417585e-1F));
    } else {
      p = hn::MulAdd(hn::Set(d, 1.3428077101707458e-2F), r, hn::Set(d, 5.2240319550037384e-2F));
      p = hn::MulAdd(p, r, hn::Set(d, 2.4128122627735138e-1F));
      p = hn::MulAdd(p, r, hn::Set(d, 6.930446028709412e-1F));
    }
    return hn::MulAdd(p, r, hn::Set(d, 1.0F));
  };
#if HWY_TARGET <= HWY_AVX3
  static_assert(hn::MaxLanes(Tag()) == 16);
  constexpr int kMinusFloor = 1 | 8;  // x - floor(x), no exception
  const hn::Vec<Tag> r{_mm512_reduce_ps(x.raw, kMinusFloor)};
  // A subnormal result would cost the loop that meets it 20 times its time.
  const __mmask16 normal = _mm512_cmp_ps_mask(x.raw, _mm512_set1_ps(-126.0F), _CMP_NLT_UQ);
  return {_mm512_maskz_scalef_ps(normal, fraction_power(r).raw, x.raw)};  // by 2^floor(x)
#else
  const hn::RebindToSigned<Tag> di;
  // At the ends the exponent field is 0 and 255: times 0 and infinity. Of a NaN, targets clamp as they like.
  const auto clamped = hn::Min(hn::Max(x, hn::Set(d, -127.0F)), hn::Set(d, 128.0F));
  const auto within = hn::IfThenElse(hn::Eq(x, x), clamped, x);
  const auto n = hn::Floor(within);
  const auto exponent = hn::ShiftLeft<23>(hn::Add(hn::ConvertTo(di, n), hn::Set(di, 127)));
  return hn::Mul(fraction_power(hn::Sub(within, n)), hn::BitCast(d, exponent));
#endif
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace edgetrain::cpu
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
