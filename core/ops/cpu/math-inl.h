// The functions behind the activations, for every Highway target: logistic sigmoid and the normal
// distribution.
//
// Why not Tanh and 1 + erf: sigmoid(2u) and a direct fit of the tail keep their relative accuracy where the
// function is small, which is where 1 + tanh(u) and 1 + erf(x) cancel. Accuracy, held by activation_test:
// relative error below 4e-7 (about 3 ulp) while |x| < 12, and absolute beyond.
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

struct Sigmoid {
  V value;  // 1 / (1 + exp(-x))
  V slope;  // value * (1 - value), without cancellation
};

/// 1 / x of ordinary x. With vectors of 16 lanes a division alone costs as much as an exponential; their
/// estimate of 14 bits and one Newton step leave an error of half an ulp more.
HWY_INLINE V reciprocal(V x) {
#if HWY_TARGET <= HWY_AVX3
  const V estimate = hn::ApproximateReciprocal(x);
  return hn::MulAdd(estimate, hn::NegMulAdd(x, estimate, set(1.0F)), estimate);
#else
  return hn::Div(set(1.0F), x);
#endif
}

/// `inverse` = 1 / (1 + e) and `small` = e / (1 + e) of e = exp(-|x|), which cannot overflow.
HWY_INLINE Sigmoid sigmoid_from(V x, V inverse, V small) {
  return {hn::IfThenElse(hn::Lt(x, hn::Zero(D())), small, inverse), hn::Mul(small, inverse)};
}

HWY_INLINE Sigmoid sigmoid(V x) {
  const V e = exp_of_difference(D(), hn::Neg(hn::Abs(x)));
  const V inverse = reciprocal(hn::Add(set(1.0F), e));
  return sigmoid_from(x, inverse, hn::Mul(e, inverse));
}

/// sigmoid(x ln 2), relative error 3e-7 beside that of x ln 2. Where it is below the smallest normal number,
/// its product with a large number need not be: hence the detour by 2^32.
HWY_INLINE Sigmoid sigmoid_base2(V x) {
  const V e = exp2_of_negative<32>(D(), hn::Neg(hn::Abs(x)));
  const V down = set(0x1p-32F);
  const V inverse = reciprocal(hn::MulAdd(e, down, set(1.0F)));
  return sigmoid_from(x, inverse, hn::Mul(hn::Mul(e, inverse), down));
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

/// Upper tail P(N > a) = gauss(a) * t * P(t), t = 1 / (1 + 0.35 a), for a >= 0. Own minimax fit of
/// exp(a^2/2) erfc(a/sqrt 2) / 2 on [0, 14.5], relative error 3.2e-8.
HWY_INLINE Normal normal(V x) {
  const V a = hn::Abs(x);
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
  const V tail = hn::Mul(bell, hn::Mul(p, t));
  const V cdf = hn::IfThenElse(hn::Lt(x, hn::Zero(D())), tail, hn::Sub(set(1.0F), tail));
  return {cdf, hn::Mul(bell, set(0.3989422804014327F))};
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace edgetrain::cpu
HWY_AFTER_NAMESPACE();

#endif  // per-target guard
