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
};

// One block of queries of one head.
struct ForwardTask {
  const MaskItem* item;
  std::int64_t head, block;
};

// What a thread works in; all f32.
struct ForwardScratch {
  float* q;                        // (D, kQueryBlock), scaled
  float* scores;                   // (kKeyBlock, kQueryBlock)
  float* out;                      // (D, kQueryBlock)
  float* rows;                     // (kQueryBlock, D): the output before it is narrowed
  float *k, *v;                    // (kKeyBlock, D): widened
  float *maximum, *sum, *rescale;  // (kQueryBlock)
};

ForwardScratch carve(ScratchCarver& carver, std::int64_t head_dim, Dtype dtype) {
  const bool wide = dtype == Dtype::f32;
  ForwardScratch s{};
  s.q = carver.take(head_dim * kQueryBlock);
  s.scores = carver.take(kKeyBlock * kQueryBlock);
  s.out = carver.take(head_dim * kQueryBlock);
  s.rows = carver.take(wide ? 0 : kQueryBlock * head_dim);
  s.k = carver.take(wide ? 0 : kKeyBlock * head_dim);
  s.v = carver.take(wide ? 0 : kKeyBlock * head_dim);
  s.maximum = carver.take(kQueryBlock);
  s.sum = carver.take(kQueryBlock);
  s.rescale = carver.take(kQueryBlock);
  return s;
}

}  // namespace
}  // namespace edgetrain::cpu
#endif  // EDGETRAIN_CORE_OPS_CPU_ATTENTION_ONCE

HWY_BEFORE_NAMESPACE();
namespace edgetrain::cpu {
namespace HWY_NAMESPACE {

// Folds one tile of scores into the running softmax: scores become weights exp(score - maximum), `rescale` is
// what earlier sums must be multiplied by. A query that has seen no key has maximum -inf; its weights are
// zero.
void fold_scores(float* scores, std::int64_t keys, const ForwardScratch& s) {
  const D d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const V nothing = set(-std::numeric_limits<float>::infinity());
  for (std::int64_t i = 0; i < kQueryBlock; i += lanes) {
    const V before = hn::LoadU(d, s.maximum + i);
    V top = before;
    for (std::int64_t j = 0; j < keys; ++j) top = hn::Max(top, hn::LoadU(d, scores + j * kQueryBlock + i));
    const V reference = hn::IfThenElse(hn::Eq(top, nothing), hn::Zero(d), top);
    const V rescale = exp_of_difference(d, hn::Sub(before, reference));
    V sum = hn::Mul(hn::LoadU(d, s.sum + i), rescale);
    for (std::int64_t j = 0; j < keys; ++j) {
      float* at = scores + j * kQueryBlock + i;
      const V weight = exp_of_difference(d, hn::Sub(hn::LoadU(d, at), reference));
      hn::StoreU(weight, d, at);
      sum = hn::Add(sum, weight);
    }
    hn::StoreU(top, d, s.maximum + i);
    hn::StoreU(rescale, d, s.rescale + i);
    hn::StoreU(sum, d, s.sum + i);
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

void begin_block(const ForwardCall& call, const ForwardTask& task, Span queries, const ForwardScratch& s) {
  const std::int64_t dim = call.shape.head_dim;
  load_transposed(head_rows(call.q, task.item->q0 + queries.begin, queries.size(), task.head, dim), s.q);
  scale_all(s.q, dim * kQueryBlock, call.shape.scale);
  std::fill_n(s.out, dim * kQueryBlock, 0.0F);
  std::fill_n(s.maximum, kQueryBlock, -std::numeric_limits<float>::infinity());
  std::fill_n(s.sum, kQueryBlock, 0.0F);
}

void finish_block(const ForwardCall& call, const ForwardTask& task, Span queries, const ForwardScratch& s) {
  const std::int64_t first = task.item->q0 + queries.begin;
  for (std::int64_t i = 0; i < queries.size(); ++i) {
    call.lse.row<float>(first + i)[task.head] =
        s.maximum[i] + std::log(s.sum[i]);  // -inf where no key was seen
  }
  for (std::int64_t i = 0; i < kQueryBlock; ++i) s.rescale[i] = s.sum[i] == 0.0F ? 0.0F : 1.0F / s.sum[i];
  scale_columns(s.out, call.shape.head_dim, s.rescale);
  store_transposed(s.out, head_rows(call.out, first, queries.size(), task.head, call.shape.head_dim), s.rows);
}

void forward_task(const ForwardCall& call, const ForwardTask& task, const ForwardScratch& s) {
  const MaskItem& item = *task.item;
  const std::int64_t dim = call.shape.head_dim, group = task.head / (call.shape.heads / call.shape.kv_heads);
  const Span queries = query_block(item, task.block);
  begin_block(call, task, queries, s);
  const Span visible = visible_keys(item, queries);
  for (std::int64_t j = visible.begin; j < visible.end; j += kKeyBlock) {
    const Span keys{j, std::min(visible.end, j + kKeyBlock)};
    const F32Rows k = widened(head_rows(call.k, item.k0 + j, keys.size(), group, dim), s.k);
    const F32Rows v = widened(head_rows(call.v, item.k0 + j, keys.size(), group, dim), s.v);
    product<false>(keys.size(), kQueryBlock, dim, {k.data, k.ld, 1}, s.q, kQueryBlock, s.scores, kQueryBlock);
    if (!all_visible(item, queries, keys)) mask_scores(item, queries, keys, s.scores);
    fold_scores(s.scores, keys.size(), s);
    scale_columns(s.out, dim, s.rescale);
    product<true>(dim, kQueryBlock, keys.size(), {v.data, 1, v.ld}, s.scores, kQueryBlock, s.out,
                  kQueryBlock);
  }
  finish_block(call, task, queries, s);
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

std::int64_t thread_bytes(const AttentionShape& shape, Dtype dtype) {
  ScratchCarver carver(nullptr);
  (void)carve(carver, shape.head_dim, dtype);
  return carver.bytes();
}

}  // namespace

std::int64_t attention_scratch_bytes(const CpuEnv& env, std::span<const MaskItem>,
                                     const AttentionShape& shape, Dtype dtype) {
  return env.threads * thread_bytes(shape, dtype);
}

void attention(const CpuEnv& env, Tensor q, Tensor k, Tensor v, std::span<const MaskItem> mask,
               const AttentionShape& shape, Tensor out, Tensor lse) {
  check_attention(q, k, v, mask, shape);
  ET_CHECK(out.rows == q.rows && out.cols == q.cols && out.dtype == q.dtype && lse.rows == q.rows &&
               lse.cols == shape.heads && lse.dtype == Dtype::f32,
           "attention: q ({}, {}), out ({}, {}), lse ({}, {})", q.rows, q.cols, out.rows, out.cols, lse.rows,
           lse.cols);
  const ForwardCall call{q, k, v, out, lse, shape};
  const std::vector<ForwardTask> tasks = tasks_of(mask, shape.heads);
  const std::int64_t bytes = thread_bytes(shape, q.dtype);
  const ScratchScope scope(env.workspace);
  std::byte* scratch = env.workspace.take(attention_scratch_bytes(env, mask, shape, q.dtype));
  const auto kernel = HWY_DYNAMIC_DISPATCH(forward_task);
  for_tasks(env, static_cast<std::int64_t>(tasks.size()), [&](std::int64_t index, int thread) {
    ScratchCarver carver(scratch + thread * bytes);
    kernel(call, tasks[static_cast<std::size_t>(index)], carve(carver, shape.head_dim, q.dtype));
  });
}

}  // namespace edgetrain::cpu
#endif  // HWY_ONCE
