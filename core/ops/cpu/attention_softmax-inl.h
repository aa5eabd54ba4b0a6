// What forward and backward share about a tile of scores (keys, queries), for every Highway target.
#if defined(EDGETRAIN_CORE_OPS_CPU_ATTENTION_SOFTMAX_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef EDGETRAIN_CORE_OPS_CPU_ATTENTION_SOFTMAX_INL_H_
#undef EDGETRAIN_CORE_OPS_CPU_ATTENTION_SOFTMAX_INL_H_
#else
#define EDGETRAIN_CORE_OPS_CPU_ATTENTION_SOFTMAX_INL_H_
#endif

#include <limits>

#include "core/ops/cpu/attention_blocks.h"
#include "core/ops/cpu/lanes-inl.h"
#include "core/ops/cpu/simd_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace edgetrain::cpu {
namespace HWY_NAMESPACE {

/// Two vectors as pairs of bf16: `first` in the lower halves. No lane moves, which a narrowing store would
/// do. Rounds to nearest, and ties away from zero: to even takes three instructions more. A NaN that comes
/// of bf16 or of arithmetic has an empty lower half and stays one.
HWY_INLINE VBits paired(V first, V second) {
  const DU du;
  const auto half = hn::Set(du, 0x8000U), upper = hn::Set(du, 0xffff0000U);
  const auto low = hn::ShiftRight<16>(hn::Add(hn::BitCast(du, first), half));
  return hn::Or(low, hn::And(hn::Add(hn::BitCast(du, second), half), upper));
}
HWY_INLINE void store_bits(VBits bits, std::uint32_t* to) { hn::StoreU(bits, DU(), to); }

/// e^(scale (score - reference)). The difference first: never above 0 below a maximum, and exactly 0 for one
/// that stays, however large scores are.
HWY_INLINE V weight_below(V score, V reference, float scale) {
  return exp_of_difference(D(), hn::Mul(hn::Sub(score, reference), set(scale)));
}

/// Softmax weights of a column of scores against one reference.
class ExactWeights {
 public:
  ExactWeights(V reference, float scale) : reference_(reference), scale_(scale) {}
  HWY_INLINE V operator()(V score) const { return weight_below(score, reference_, scale_); }

 private:
  V reference_;
  float scale_;
};

inline constexpr float kLog2e = 1.44269504088896341F;

/// The same for weights that become bf16, in base 2: `shift` is what reference comes to there. Its rounding
/// is one factor for the whole column, which cancels in the softmax.
HWY_INLINE V unit_weight(V score, V shift, float scale) {
  return exp2_rough<4>(D(), hn::MulSub(score, set(scale * kLog2e), shift));
}
class UnitWeights {
 public:
  UnitWeights(V reference, float scale) : shift_(hn::Mul(reference, set(scale * kLog2e))), scale_(scale) {}
  HWY_INLINE V operator()(V score) const { return unit_weight(score, shift_, scale_); }

 private:
  V shift_;
  float scale_;
};

/// scores[j][i] = -inf where query queries.begin + i must not see key keys.begin + j.
HWY_INLINE void mask_scores(const MaskItem& item, Span queries, Span keys, float* scores) {
  const D d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const V hidden = set(-std::numeric_limits<float>::infinity());
  for (std::int64_t j = 0; j < keys.size(); ++j) {
    // Visible: first <= i <= last. Clamped to the tile, so that both are exact as floats.
    const std::int64_t offset = keys.begin + j - queries.begin;
    const std::int64_t first = std::clamp<std::int64_t>(offset + item.lo, 0, kQueryBlock);
    const std::int64_t last = std::clamp<std::int64_t>(offset + item.hi, -1, kQueryBlock);
    if (first == 0 && last >= kQueryBlock - 1) continue;
    const V low = set(static_cast<float>(first)), high = set(static_cast<float>(last));
    for (std::int64_t i = 0; i < kQueryBlock; i += lanes) {
      const V index = hn::Iota(d, static_cast<float>(i));
      float* at = scores + j * kQueryBlock + i;
      const auto visible = hn::And(hn::Ge(index, low), hn::Le(index, high));
      hn::StoreU(hn::IfThenElse(visible, hn::LoadU(d, at), hidden), d, at);
    }
  }
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace edgetrain::cpu
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
