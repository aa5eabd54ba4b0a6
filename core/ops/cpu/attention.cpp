// Forward. Everything is transposed: scores lie as (keys, queries) and the output as (head_dim, queries), one
// vector lane per query. So maximum, sum and rescaling of the softmax run down columns without a single
// horizontal step, and keys and values are read as they are. T = tokens, D = head_dim.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/ops/cpu/attention.cpp"
#include <hwy/foreach_target.h>
// foreach_target.h comes first.
#include "core/ops/cpu/attention_kernel-inl.h"
#include "core/ops/cpu/attention_softmax-inl.h"

#ifndef EDGETRAIN_CORE_OPS_CPU_ATTENTION_ONCE
#define EDGETRAIN_CORE_OPS_CPU_ATTENTION_ONCE

#include <cmath>
#include <limits>

#include "core/ops/cpu/attention.h"
#include "core/ops/cpu/attention_blocks.h"
#include "core/ops/cpu/attention_rows.h"
#include "core/ops/cpu/parallel.h"

namespace edgetrain::cpu {
namespace {

struct ForwardCall {
  Tensor q, k, v, out, lse;
  AttentionShape shape;
  bool on_unit;  // bf16 by a MatrixUnit, else in f32
};

// One block of queries of one head.
struct ForwardTask {
  const MaskItem* item;
  std::int64_t head, block;
};

// What a thread works in. D on a unit: to_unit_grain(head_dim).
struct ForwardScratch {
  float* scores;                   // (kKeyBlock, kQueryBlock)
  float* out;                      // (D, kQueryBlock)
  float* rows;                     // (kQueryBlock, head_dim): bf16 output before it is narrowed
  float *maximum, *sum, *rescale;  // (kQueryBlock); of scores before `scale`
  // in f32
  float* q;      // (D, kQueryBlock)
  float *k, *v;  // (kKeyBlock, D): widened
  // on a unit
  std::uint16_t* q_pairs;    // [D / 2][kQueryBlock][2]
  std::uint16_t* weights;    // [kKeyBlock / 2][kQueryBlock][2]
  std::uint16_t* k_rows;     // (kKeyBlock, D), where they are not whole
  std::uint16_t* v_columns;  // (D, kKeyBlock)
};

ForwardScratch carve(ScratchCarver& carver, std::int64_t head_dim, Dtype dtype, bool on_unit) {
  const std::int64_t dim = on_unit ? to_unit_grain(head_dim) : head_dim;
  const std::int64_t narrow = dtype == Dtype::bf16 ? 1 : 0, unit = on_unit ? 1 : 0;
  ForwardScratch s{};
  s.scores = carver.take<float>(kKeyBlock * kQueryBlock);
  s.out = carver.take<float>(dim * kQueryBlock);
  s.rows = carver.take<float>(narrow * kQueryBlock * head_dim);
  s.maximum = carver.take<float>(kQueryBlock);
  s.sum = carver.take<float>(kQueryBlock);
  s.rescale = carver.take<float>(kQueryBlock);
  s.q = carver.take<float>((1 - unit) * dim * kQueryBlock);
  s.k = carver.take<float>((1 - unit) * narrow * kKeyBlock * dim);
  s.v = carver.take<float>((1 - unit) * narrow * kKeyBlock * dim);
  s.q_pairs = carver.take<std::uint16_t>(unit * dim * kQueryBlock);
  s.weights = carver.take<std::uint16_t>(unit * kKeyBlock * kQueryBlock);
  s.k_rows = carver.take<std::uint16_t>(unit * kKeyBlock * dim);
  s.v_columns = carver.take<std::uint16_t>(unit * dim * kKeyBlock);
  return s;
}

}  // namespace
}  // namespace edgetrain::cpu
#endif  // EDGETRAIN_CORE_OPS_CPU_ATTENTION_ONCE

HWY_BEFORE_NAMESPACE();
namespace edgetrain::cpu {
namespace HWY_NAMESPACE {

// Folds one tile of scores into the running softmax: scores become weights exp(scale (score - maximum)),
// `rescale` is what earlier sums must be multiplied by. A query that has seen no key has maximum -inf; its
// weights are zero. Weights go by pairs of keys: put(key, lane, weight, weight of key + 1), zero past the
// last.
template <typename Put>
HWY_INLINE void fold_scores(std::int64_t keys, float scale, const ForwardScratch& s, const Put& put) {
  const D d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const V nothing = set(-std::numeric_limits<float>::infinity()), times = set(scale);
  for (std::int64_t i = 0; i < kQueryBlock; i += lanes) {
    const float* scores = s.scores + i;
    const V before = hn::LoadU(d, s.maximum + i);
    V top = before;
    for (std::int64_t j = 0; j < keys; ++j) top = hn::Max(top, hn::LoadU(d, scores + j * kQueryBlock));
    const V reference = hn::IfThenElse(hn::Eq(top, nothing), hn::Zero(d), top);
    // Difference first: never above 0, and exactly 0 for a maximum that stays, however large scores are.
    const auto weight_of = [&](V score) HWY_ATTR {
      return exp_of_difference(d, hn::Mul(hn::Sub(score, reference), times));
    };
    const auto weight = [&](std::int64_t j)
                            HWY_ATTR { return weight_of(hn::LoadU(d, scores + j * kQueryBlock)); };
    const V rescale = weight_of(before);
    V even = hn::Mul(hn::LoadU(d, s.sum + i), rescale), odd = hn::Zero(d);
    std::int64_t j = 0;
    for (; j + 2 <= keys; j += 2) {
      const V first = weight(j), second = weight(j + 1);
      even = hn::Add(even, first);
      odd = hn::Add(odd, second);
      put(j, i, first, second);
    }
    if (j < keys) {
      const V last = weight(j);
      even = hn::Add(even, last);
      put(j, i, last, hn::Zero(d));
    }
    hn::StoreU(top, d, s.maximum + i);
    hn::StoreU(rescale, d, s.rescale + i);
    hn::StoreU(hn::Add(even, odd), d, s.sum + i);
  }
}

// rows (D, kQueryBlock) *= factor (kQueryBlock)
void scale_columns(float* rows, std::int64_t head_dim, const float* factor) {
  const D d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  for (std::int64_t i = 0; i < kQueryBlock; i += lanes) {
    const V times = hn::LoadU(d, factor + i);
    if (hn::AllTrue(d, hn::Eq(times, set(1.0F)))) continue;
    for (std::int64_t r = 0; r < head_dim; ++r) {
      float* at = rows + r * kQueryBlock + i;
      hn::StoreU(hn::Mul(hn::LoadU(d, at), times), d, at);
    }
  }
}

// A tile, in f32 or on a unit: scores (keys, queries) = K Q^T, their weights, and out (D, queries) += V^T
// times the weights.
struct InF32 {
  static void load_queries(const Tensor& q, const ForwardScratch& s) { load_transposed(q, s.q); }
  static void make_scores(const Tensor& k, const ForwardScratch& s) {
    const F32Rows rows = widened(k, s.k);
    product<false>(k.rows, kQueryBlock, k.cols, {rows.data, rows.ld, 1}, s.q, kQueryBlock, s.scores,
                   kQueryBlock);
  }
  // Weights take the place of the scores; there is a row behind the last key where keys are odd.
  static void fold(std::int64_t keys, float scale, const ForwardScratch& s) {
    fold_scores(keys, scale, s, [&](std::int64_t j, std::int64_t i, V first, V second) HWY_ATTR {
      float* at = s.scores + j * kQueryBlock + i;
      hn::StoreU(first, D(), at);
      hn::StoreU(second, D(), at + kQueryBlock);
    });
  }
  static void add_values(const Tensor& v, const ForwardScratch& s) {
    const F32Rows rows = widened(v, s.v);
    product<true>(v.cols, kQueryBlock, v.rows, {rows.data, 1, rows.ld}, s.scores, kQueryBlock, s.out,
                  kQueryBlock);
  }
};

class OnUnit {
 public:
  static void load_queries(const Tensor& q, const ForwardScratch& s) { load_unit_column_pairs(q, s.q_pairs); }
  void make_scores(const Tensor& k, const ForwardScratch& s) const {
    const UnitRows rows = unit_rows(k, s.k_rows);
    unit_.assign({to_unit_grain(k.rows), kQueryBlock, to_unit_grain(k.cols), rows.data, rows.ld, s.q_pairs,
                  kQueryBlock, s.scores, kQueryBlock});
  }
  static void fold(std::int64_t keys, float scale, const ForwardScratch& s) {
    auto* pairs = reinterpret_cast<std::uint32_t*>(s.weights);
    fold_scores(keys, scale, s, [&](std::int64_t j, std::int64_t i, V first, V second) HWY_ATTR {
      store_bits(paired(first, second), pairs + j / 2 * kQueryBlock + i);
    });
    const std::int64_t written = (keys + 1) / 2, all = to_unit_grain(keys) / 2;
    std::fill_n(pairs + written * kQueryBlock, (all - written) * kQueryBlock, 0U);
  }
  void add_values(const Tensor& v, const ForwardScratch& s) const {
    load_unit_columns(v, s.v_columns);
    unit_.add({to_unit_grain(v.cols), kQueryBlock, to_unit_grain(v.rows), s.v_columns, kKeyBlock, s.weights,
               kQueryBlock, s.out, kQueryBlock});
  }

 private:
  MatrixUnit unit_;
};

void clear_sums(std::int64_t head_dim, const ForwardScratch& s) {
  std::fill_n(s.out, head_dim * kQueryBlock, 0.0F);
  std::fill_n(s.maximum, kQueryBlock, -std::numeric_limits<float>::infinity());
  std::fill_n(s.sum, kQueryBlock, 0.0F);
}

void finish_block(const ForwardCall& call, const ForwardTask& task, Span queries, const ForwardScratch& s) {
  const std::int64_t first = task.item->q0 + queries.begin;
  for (std::int64_t i = 0; i < queries.size(); ++i) {
    call.lse.row<float>(first + i)[task.head] =
        call.shape.scale * s.maximum[i] + std::log(s.sum[i]);  // -inf where no key was seen
  }
  for (std::int64_t i = 0; i < kQueryBlock; ++i) s.rescale[i] = s.sum[i] == 0.0F ? 0.0F : 1.0F / s.sum[i];
  scale_columns(s.out, call.shape.head_dim, s.rescale);
  store_transposed(s.out, head_rows(call.out, first, queries.size(), task.head, call.shape.head_dim), s.rows);
}

template <typename Arithmetic>
void forward_block(const ForwardCall& call, const ForwardTask& task, const ForwardScratch& s) {
  const Arithmetic arithmetic;
  const MaskItem& item = *task.item;
  const std::int64_t dim = call.shape.head_dim, group = task.head / (call.shape.heads / call.shape.kv_heads);
  const Span queries = query_block(item, task.block);
  arithmetic.load_queries(head_rows(call.q, item.q0 + queries.begin, queries.size(), task.head, dim), s);
  clear_sums(call.on_unit ? to_unit_grain(dim) : dim, s);
  const Span visible = visible_keys(item, queries);
  for (std::int64_t j = visible.begin; j < visible.end; j += kKeyBlock) {
    const Span keys{j, std::min(visible.end, j + kKeyBlock)};
    arithmetic.make_scores(head_rows(call.k, item.k0 + j, keys.size(), group, dim), s);
    if (!all_visible(item, queries, keys)) mask_scores(item, queries, keys, s.scores);
    arithmetic.fold(keys.size(), call.shape.scale, s);
    scale_columns(s.out, dim, s.rescale);
    arithmetic.add_values(head_rows(call.v, item.k0 + j, keys.size(), group, dim), s);
  }
  finish_block(call, task, queries, s);
}

void forward_task(const ForwardCall& call, const ForwardTask& task, const ForwardScratch& s) {
  call.on_unit ? forward_block<OnUnit>(call, task, s) : forward_block<InF32>(call, task, s);
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace edgetrain::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace edgetrain::cpu {
HWY_EXPORT(forward_task);

namespace {

// Longest first within a head of a causal item: the last task to start is then a short one.
std::vector<ForwardTask> tasks_of(std::span<const MaskItem> mask, std::int64_t heads) {
  std::vector<ForwardTask> tasks;
  for (const MaskItem& item : mask) {
    for (std::int64_t head = 0; head < heads; ++head) {
      for (std::int64_t block = query_blocks(item) - 1; block >= 0; --block)
        tasks.push_back({&item, head, block});
    }
  }
  return tasks;
}

std::int64_t thread_bytes(const CpuEnv& env, const AttentionShape& shape, Dtype dtype) {
  ScratchCarver carver(nullptr);
  (void)carve(carver, shape.head_dim, dtype, on_unit(env, dtype));
  return carver.bytes();
}

}  // namespace

std::int64_t attention_scratch_bytes(const CpuEnv& env, std::span<const MaskItem>,
                                     const AttentionShape& shape, Dtype dtype) {
  return env.threads * thread_bytes(env, shape, dtype);
}

void attention(const CpuEnv& env, Tensor q, Tensor k, Tensor v, std::span<const MaskItem> mask,
               const AttentionShape& shape, Tensor out, Tensor lse) {
  check_attention(q, k, v, mask, shape);
  ET_CHECK(out.rows == q.rows && out.cols == q.cols && out.dtype == q.dtype && lse.rows == q.rows &&
               lse.cols == shape.heads && lse.dtype == Dtype::f32,
           "attention: q ({}, {}), out ({}, {}), lse ({}, {})", q.rows, q.cols, out.rows, out.cols, lse.rows,
           lse.cols);
  const ForwardCall call{q, k, v, out, lse, shape, on_unit(env, q.dtype)};
  const std::vector<ForwardTask> tasks = tasks_of(mask, shape.heads);
  const std::int64_t bytes = thread_bytes(env, shape, q.dtype);
  const ScratchScope scope(env.workspace);
  std::byte* scratch = env.workspace.take(attention_scratch_bytes(env, mask, shape, q.dtype));
  const auto kernel = HWY_DYNAMIC_DISPATCH(forward_task);
  for_tasks(env, static_cast<std::int64_t>(tasks.size()), [&](std::int64_t index, int thread) {
    ScratchCarver carver(scratch + thread * bytes);
    kernel(call, tasks[static_cast<std::size_t>(index)],
           carve(carver, shape.head_dim, q.dtype, call.on_unit));
  });
}

}  // namespace edgetrain::cpu
#endif  // HWY_ONCE
