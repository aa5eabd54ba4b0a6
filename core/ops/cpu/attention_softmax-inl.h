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

/// e^x of weights that become bf16.
HWY_INLINE V exp_for_unit(V x) { return exp2_rough<4>(D(), hn::Mul(x, set(static_cast<float>(kLog2e)))); }

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
