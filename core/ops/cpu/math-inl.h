// The functions behind the activations, for every Highway target: logistic sigmoid and the normal
// distribution.
//
// Why not Tanh and 1 + erf: sigmoid(2u) and a direct fit of the tail keep their relative accuracy where the
// function is small, which is where 1 + tanh(u) and 1 + erf(x) cancel.
//
// Each comes in two accuracies, named by a tag as the storage is (lanes-inl.h) and held by math_test. ForF32:
// relative error below 4e-7 (about 3 ulp) while |x| < 12, and absolute beyond. ForBf16: below 3e-4, so that a
// result rounded to bf16 is off by less than 0.6 of its ulp where 0.5 is the least; half the instructions. In
// both, what would be below 2^-119 may be 0.
#if defined(EDGETRAIN_CORE_OPS_CPU_MATH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef EDGETRAIN_CORE_OPS_CPU_MATH_INL_H_
#undef EDGETRAIN_CORE_OPS_CPU_MATH_INL_H_
#else
#define EDGETRAIN_CORE_OPS_CPU_MATH_INL_H_
#endif

#include <hwy/contrib/math/math-inl.h>

#include "core/ops/cpu/lanes-inl.h"
#include "core/ops/cpu/simd_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace edgetrain::cpu {
namespace HWY_NAMESPACE {

struct ForF32 {};
struct ForBf16 {};
/// What results stored as T deserve.
template <typename T>
using AccuracyOf = std::conditional_t<std::is_same_v<T, Bf16>, ForBf16, ForF32>;

struct Sigmoid {
  V value;  // 1 / (1 + exp(-x))
  V slope;  // value * (1 - value), without cancellation
};

/// 1 / x of ordinary x. With vectors of 16 lanes a division alone costs as much as an exponential; their
/// estimate of 14 bits and one Newton step leave an error of half an ulp more.
HWY_INLINE V reciprocal(V x, ForF32) {
#if HWY_TARGET <= HWY_AVX3
  const V estimate = hn::ApproximateReciprocal(x);
  return hn::MulAdd(estimate, hn::NegMulAdd(x, estimate, set(1.0F)), estimate);
#else
  return hn::Div(set(1.0F), x);
#endif
}

/// Infinite for 0, 0 for infinite x.
HWY_INLINE V reciprocal(V x, ForBf16) {
#if HWY_TARGET <= HWY_AVX3
  return hn::ApproximateReciprocal(x);
#else
  return hn::Div(set(1.0F), x);
#endif
}

/// `inverse` = 1 / (1 + e) and `small` = e / (1 + e) of e = exp(-|x|), which cannot overflow.
HWY_INLINE Sigmoid sigmoid_from(hn::Mask<D> negative, V inverse, V small) {
  return {hn::IfThenElse(negative, small, inverse), hn::Mul(small, inverse)};
}

/// sigmoid(-z ln 2) = 1 / (1 + 2^z), relative error 3e-7 beside that of z ln 2. Where it is below the
/// smallest normal number, its product with a large number need not be: hence the detour by 2^32.
HWY_INLINE Sigmoid sigmoid_base2(V z, ForF32) {
  const V e = exp2_of_negative<32>(D(), hn::Neg(hn::Abs(z)));
  const V down = set(0x1p-32F);
  const V inverse = reciprocal(hn::MulAdd(e, down, set(1.0F)), ForF32());
  return sigmoid_from(hn::Gt(z, hn::Zero(D())), inverse, hn::Mul(hn::Mul(e, inverse), down));
}
/// Without cases: the infinite 2^z of a large z makes the value 0, and its stand-in makes the slope 0, not
/// NaN.
HWY_INLINE Sigmoid sigmoid_base2(V z, ForBf16) {
  const V e = exp2_rough<3>(D(), z);
  const V value = reciprocal(hn::Add(set(1.0F), e), ForBf16());
  const V finite = hn::Min(e, set(0x1p127F));
  return {value, hn::Mul(hn::Mul(finite, value), value)};
}

HWY_INLINE Sigmoid sigmoid(V x, ForF32) {
  const V e = exp_of_difference(D(), hn::Neg(hn::Abs(x)));
  const V inverse = reciprocal(hn::Add(set(1.0F), e), ForF32());
  return sigmoid_from(hn::Lt(x, hn::Zero(D())), inverse, hn::Mul(e, inverse));
}
HWY_INLINE Sigmoid sigmoid(V x, ForBf16) {
  return sigmoid_base2(hn::Mul(x, set(static_cast<float>(-kLog2e))), ForBf16());
}

struct Normal {
  V cdf;      // P(N(0,1) < x)
  V density;  // exp(-x^2/2) / sqrt(2 pi)
};

/// exp(-x^2/2), its argument split into an exact square of the leading 12 bits and a small rest: the rounding
/// of x^2 alone would cost x^2/2 ulp.
HWY_INLINE V gauss(V x) {
  const DU du;
  const auto nearest = hn::Add(hn::BitCast(du, x), hn::Set(du, 0x800U));
  const V head = hn::BitCast(D(), hn::And(nearest, hn::Set(du, 0xfffff000U)));
  const V rest = hn::Mul(hn::Mul(hn::Sub(head, x), hn::Add(x, head)), set(0.5F));  // (head^2 - x^2) / 2
  const V of_head = hn::Exp(D(), hn::Mul(hn::Mul(head, head), set(-0.5F)));
  // exp(rest) to third order: |rest| <= 2^-12 x^2 is below 0.036 for |x| < 12
  V of_rest = hn::MulAdd(rest, set(1.0F / 6.0F), set(0.5F));
  of_rest = hn::MulAdd(of_rest, rest, set(1.0F));
  of_rest = hn::MulAdd(of_rest, rest, set(1.0F));
  return hn::Mul(of_head, of_rest);
}

/// From the upper tail P(N > |x|) and exp(-x^2/2).
HWY_INLINE Normal normal_from(V x, V tail, V bell) {
  const V cdf = hn::IfThenElse(hn::Lt(x, hn::Zero(D())), tail, hn::Sub(set(1.0F), tail));
  return {cdf, hn::Mul(bell, set(0.3989422804014327F))};
}

/// Upper tail P(N > a) = gauss(a) * t * P(t), t = 1 / (1 + 0.35 a), for a >= 0. Own minimax fit of
/// exp(a^2/2) erfc(a/sqrt 2) / 2 on [0, 14.5], relative error 3.2e-8.
HWY_INLINE Normal normal(V x, ForF32) {
  const V a = hn::Min(hn::Abs(x), set(64.0F));  // where the tail is 0 and gauss() does not overflow yet
  const V bell = gauss(a);
  const V t = hn::Div(set(1.0F), hn::MulAdd(a, set(0.35F), set(1.0F)));
  V p = set(-0.029158484694278498F);
  p = hn::MulAdd(p, t, set(0.14403378298779396F));
  p = hn::MulAdd(p, t, set(-0.2558447948869637F));
  p = hn::MulAdd(p, t, set(0.15932614139036352F));
  p = hn::MulAdd(p, t, set(-0.023216654571499053F));
  p = hn::MulAdd(p, t, set(0.10555425592549726F));
  p = hn::MulAdd(p, t, set(0.11982086293891678F));
  p = hn::MulAdd(p, t, set(0.13986357109148778F));
  p = hn::MulAdd(p, t, set(0.13962130382970359F));
  return normal_from(x, hn::Mul(bell, hn::Mul(p, t)), bell);
}
/// The same with t = 1 / (1 + 0.38 a), relative error 3.5e-5. The square of a bf16 is exact.
HWY_INLINE Normal normal(V x, ForBf16) {
  const V bell = exp2_rough<3>(D(), hn::Mul(hn::Mul(x, x), set(static_cast<float>(-0.5 * kLog2e))));
  const V t = reciprocal(hn::MulAdd(hn::Abs(x), set(0.38F), set(1.0F)), ForBf16());
  V p = set(-0.08992832282621399F);
  p = hn::MulAdd(p, t, set(0.1888764085130978F));
  p = hn::MulAdd(p, t, set(0.09197979095681162F));
  p = hn::MulAdd(p, t, set(0.1578294572289534F));
  p = hn::MulAdd(p, t, set(0.15122513855838188F));
  return normal_from(x, hn::Mul(bell, hn::Mul(p, t)), bell);
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace edgetrain::cpu
HWY_AFTER_NAMESPACE();

#endif  // per-target guard
