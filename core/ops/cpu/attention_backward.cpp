// Backward, by recomputation from the log-sum-exp (Dao 2023, algorithm 2), transposed like the forward pass.
//
// A task is one key/value head of one cluster of items: it owns the rows of dk and dv that it writes, and
// walks over its queries in order, so sums are in a fixed order and nothing is shared. With P = softmax
// weights, dP = dout v^T, delta = rowsum(dout * out): dS = P * (dP - delta), dv = P^T dout, dk = scale dS^T
// q, dq = scale dS k.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/ops/cpu/attention_backward.cpp"
#include <hwy/foreach_target.h>
// foreach_target.h comes first.
#include "core/ops/cpu/attention_kernel-inl.h"
#include "core/ops/cpu/attention_softmax-inl.h"

#ifndef EDGETRAIN_CORE_OPS_CPU_ATTENTION_BACKWARD_ONCE
#define EDGETRAIN_CORE_OPS_CPU_ATTENTION_BACKWARD_ONCE

#include <cmath>
#include <limits>

#include "core/ops/cpu/attention.h"
#include "core/ops/cpu/attention_blocks.h"
#include "core/ops/cpu/attention_rows.h"

namespace edgetrain::cpu {
namespace {

struct BackwardCall {
  Tensor q, k, v, out, lse, dout, dq, dk, dv;
  AttentionShape shape;
};

struct BackwardTask {
  const ItemCluster* cluster;
  std::int64_t kv_head;
};

// Rows that are the B of a product are padded with zeros to whole vectors of any target.
constexpr std::int64_t kRowGrain = 16;
std::int64_t padded_dim(std::int64_t head_dim) { return (head_dim + kRowGrain - 1) / kRowGrain * kRowGrain; }

// What a thread works in; all f32. P = padded_dim.
struct BackwardScratch {
  float *q_columns, *dout_columns;  // (D, kQueryBlock); q is scaled
  float *q_rows, *dout_rows;        // (kQueryBlock, P)
  float *weights, *dscores;         // (kKeyBlock, kQueryBlock)
  float* dq;                        // (D, kQueryBlock)
  float* rows;                      // (kQueryBlock, D): the output of a block of queries, then its dq
  float *k, *v;                     // (kKeyBlock, D): widened
  float *lse, *delta;               // (kQueryBlock)
  float *dk, *dv;                   // (keys of the largest cluster, P)
};

BackwardScratch carve(ScratchCarver& carver, std::int64_t head_dim, Dtype dtype, std::int64_t keys) {
  const bool wide = dtype == Dtype::f32;
  const std::int64_t padded = padded_dim(head_dim);
  BackwardScratch s{};
  s.q_columns = carver.take(head_dim * kQueryBlock);
  s.dout_columns = carver.take(head_dim * kQueryBlock);
  s.q_rows = carver.take(kQueryBlock * padded);
  s.dout_rows = carver.take(kQueryBlock * padded);
  s.weights = carver.take(kKeyBlock * kQueryBlock);
  s.dscores = carver.take(kKeyBlock * kQueryBlock);
  s.dq = carver.take(head_dim * kQueryBlock);
  s.rows = carver.take(wide ? 0 : kQueryBlock * head_dim);
  s.k = carver.take(wide ? 0 : kKeyBlock * head_dim);
  s.v = carver.take(wide ? 0 : kKeyBlock * head_dim);
  s.lse = carver.take(kQueryBlock);
  s.delta = carver.take(kQueryBlock);
  s.dk = carver.take(keys * padded);
  s.dv = carver.take(keys * padded);
  return s;
}

}  // namespace
}  // namespace edgetrain::cpu
#endif  // EDGETRAIN_CORE_OPS_CPU_ATTENTION_BACKWARD_ONCE

HWY_BEFORE_NAMESPACE();
namespace edgetrain::cpu {
namespace HWY_NAMESPACE {

// (kQueryBlock, P) = rows, zero elsewhere.
void load_rows(const Tensor& rows, float* to, std::int64_t padded) {
  pack_rows({rows.data, rows.row_stride, false, rows.dtype}, rows.rows, rows.cols, to, Dtype::f32, padded,
            kQueryBlock, padded);
}

float dot(const float* a, const float* b, std::int64_t n) {
  return sum_lanes(static_cast<std::size_t>(n), [&](V sum, std::size_t i, auto part) {
    return hn::MulAdd(load(a + i, part), load(b + i, part), sum);
  });
}

// Everything of a block of queries that does not depend on the keys.
void begin_block(const BackwardCall& call, std::int64_t first, std::int64_t count, std::int64_t head,
                 const BackwardScratch& s) {
  const std::int64_t dim = call.shape.head_dim, padded = padded_dim(dim);
  const Tensor q = head_rows(call.q, first, count, head, dim),
               dout = head_rows(call.dout, first, count, head, dim);
  load_rows(q, s.q_rows, padded);
  scale_all(s.q_rows, kQueryBlock * padded, call.shape.scale);
  load_rows(dout, s.dout_rows, padded);
  load_transposed({reinterpret_cast<std::byte*>(s.q_rows), kQueryBlock, dim, padded, Dtype::f32},
                  s.q_columns);
  load_transposed({reinterpret_cast<std::byte*>(s.dout_rows), kQueryBlock, dim, padded, Dtype::f32},
                  s.dout_columns);
  const F32Rows out = widened(head_rows(call.out, first, count, head, dim), s.rows);
  // Columns past the last query hold zeros, and what comes of them is not read.
  std::fill_n(s.lse, kQueryBlock, 0.0F);
  std::fill_n(s.delta, kQueryBlock, 0.0F);
  for (std::int64_t i = 0; i < count; ++i) {
    const float lse = call.lse.row<float>(first + i)[head];
    // A query without keys weighs exp(x - inf) = 0.
    s.lse[i] = lse == -std::numeric_limits<float>::infinity() ? -lse : lse;
    s.delta[i] = dot(s.dout_rows + i * padded, out.data + i * out.ld, dim);
  }
  std::fill_n(s.dq, dim * kQueryBlock, 0.0F);
}

// weights: scores -> exp(scores - lse); dscores: dP -> weights * (dP - delta).
void scores_to_gradient(std::int64_t keys, const BackwardScratch& s) {
  const D d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  for (std::int64_t i = 0; i < kQueryBlock; i += lanes) {
    const V lse = hn::LoadU(d, s.lse + i), delta = hn::LoadU(d, s.delta + i);
    for (std::int64_t j = 0; j < keys; ++j) {
      float* weight = s.weights + j * kQueryBlock + i;
      float* dscore = s.dscores + j * kQueryBlock + i;
      const V w = exp_of_difference(d, hn::Sub(hn::LoadU(d, weight), lse));
      hn::StoreU(w, d, weight);
      hn::StoreU(hn::Mul(w, hn::Sub(hn::LoadU(d, dscore), delta)), d, dscore);
    }
  }
}

void one_tile(const BackwardCall& call, const MaskItem& item, std::int64_t kv_head, Span queries, Span keys,
              float* dk, float* dv, const BackwardScratch& s) {
  const std::int64_t dim = call.shape.head_dim, padded = padded_dim(dim), n = keys.size();
  const F32Rows k = widened(head_rows(call.k, item.k0 + keys.begin, n, kv_head, dim), s.k);
  const F32Rows v = widened(head_rows(call.v, item.k0 + keys.begin, n, kv_head, dim), s.v);
  product<false>(n, kQueryBlock, dim, {k.data, k.ld, 1}, s.q_columns, kQueryBlock, s.weights, kQueryBlock);
  if (!all_visible(item, queries, keys)) mask_scores(item, queries, keys, s.weights);
  product<false>(n, kQueryBlock, dim, {v.data, v.ld, 1}, s.dout_columns, kQueryBlock, s.dscores, kQueryBlock);
  scores_to_gradient(n, s);
  product<true>(n, padded, queries.size(), {s.weights, kQueryBlock, 1}, s.dout_rows, padded, dv, padded);
  product<true>(n, padded, queries.size(), {s.dscores, kQueryBlock, 1}, s.q_rows, padded, dk, padded);
  product<true>(dim, kQueryBlock, n, {k.data, 1, k.ld}, s.dscores, kQueryBlock, s.dq, kQueryBlock);
}

void backward_head(const BackwardCall& call, const MaskItem& item, std::int64_t kv_head, std::int64_t head,
                   std::int64_t first_key, const BackwardScratch& s) {
  const std::int64_t dim = call.shape.head_dim, padded = padded_dim(dim);
  for (std::int64_t block = 0; block < query_blocks(item); ++block) {
    const Span queries = query_block(item, block);
    begin_block(call, item.q0 + queries.begin, queries.size(), head, s);
    const Span visible = visible_keys(item, queries);
    for (std::int64_t j = visible.begin; j < visible.end; j += kKeyBlock) {
      const std::int64_t row = item.k0 - first_key + j;
      one_tile(call, item, kv_head, queries, {j, std::min(visible.end, j + kKeyBlock)}, s.dk + row * padded,
               s.dv + row * padded, s);
    }
    scale_all(s.dq, dim * kQueryBlock, call.shape.scale);
    store_transposed(s.dq, head_rows(call.dq, item.q0 + queries.begin, queries.size(), head, dim), s.rows);
  }
}

// rows = (rows, P) without its padding, narrowed if rows are bf16.
void store_rows(const float* from, std::int64_t padded, const Tensor& rows) {
  if (rows.dtype == Dtype::bf16) {
    narrow_rows(from, padded, rows.rows, rows.cols, rows.as<std::uint16_t>(), rows.row_stride);
  } else {
    pack_rows({from, padded, false, Dtype::f32}, rows.rows, rows.cols, rows.data, Dtype::f32, rows.row_stride,
              rows.rows, rows.cols);
  }
}

void backward_task(const BackwardCall& call, const BackwardTask& task, const BackwardScratch& s) {
  const Span keys = task.cluster->keys;
  const std::int64_t dim = call.shape.head_dim, padded = padded_dim(dim);
  const std::int64_t group = call.shape.heads / call.shape.kv_heads;
  std::fill_n(s.dk, keys.size() * padded, 0.0F);
  std::fill_n(s.dv, keys.size() * padded, 0.0F);
  for (const MaskItem& item : task.cluster->items) {
    for (std::int64_t h = 0; h < group; ++h) {
      backward_head(call, item, task.kv_head, task.kv_head * group + h, keys.begin, s);
    }
  }
  if (keys.empty()) return;
  store_rows(s.dk, padded, head_rows(call.dk, keys.begin, keys.size(), task.kv_head, dim));
  store_rows(s.dv, padded, head_rows(call.dv, keys.begin, keys.size(), task.kv_head, dim));
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace edgetrain::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace edgetrain::cpu {
HWY_EXPORT(backward_task);

namespace {

std::int64_t most_keys(const std::vector<ItemCluster>& clusters) {
  std::int64_t keys = 0;
  for (const ItemCluster& cluster : clusters) keys = std::max(keys, cluster.keys.size());
  return keys;
}

std::int64_t thread_bytes(const AttentionShape& shape, Dtype dtype, std::int64_t keys) {
  ScratchCarver carver(nullptr);
  (void)carve(carver, shape.head_dim, dtype, keys);
  return carver.bytes();
}

void zero_rows(const Tensor& t, std::int64_t begin, std::int64_t end) {
  for (std::int64_t r = begin; r < end; ++r) {
    std::memset(t.data + r * t.row_stride * size_of(t.dtype), 0,
                static_cast<std::size_t>(t.cols * size_of(t.dtype)));
  }
}

// Key rows that no item has. Clusters are in ascending order and do not overlap.
void zero_gaps(const std::vector<ItemCluster>& clusters, const Tensor& t) {
  std::int64_t done = 0;
  for (const ItemCluster& cluster : clusters) {
    if (cluster.keys.empty()) continue;
    zero_rows(t, done, cluster.keys.begin);
    done = cluster.keys.end;
  }
  zero_rows(t, done, t.rows);
}

bool alike(const Tensor& a, const Tensor& b) {
  return a.rows == b.rows && a.cols == b.cols && a.dtype == b.dtype;
}

}  // namespace

std::int64_t attention_backward_scratch_bytes(const CpuEnv& env, std::int64_t, std::int64_t,
                                              std::span<const MaskItem> mask, const AttentionShape& shape,
                                              Dtype dtype) {
  return env.threads * thread_bytes(shape, dtype, most_keys(cluster_by_keys(mask)));
}

void attention_backward(const CpuEnv& env, Tensor q, Tensor k, Tensor v, Tensor out, Tensor lse, Tensor dout,
                        std::span<const MaskItem> mask, const AttentionShape& shape, Tensor dq, Tensor dk,
                        Tensor dv) {
  check_attention(q, k, v, mask, shape);
  ET_CHECK(alike(out, q) && alike(dout, q) && alike(dq, q) && alike(dk, k) && alike(dv, v) &&
               lse.rows == q.rows && lse.cols == shape.heads && lse.dtype == Dtype::f32,
           "attention_backward: an operand is not like q ({}, {}) or k ({}, {})", q.rows, q.cols, k.rows,
           k.cols);
  const BackwardCall call{q, k, v, out, lse, dout, dq, dk, dv, shape};
  const std::vector<ItemCluster> clusters = cluster_by_keys(mask);
  zero_gaps(clusters, dk);
  zero_gaps(clusters, dv);
  const std::int64_t keys = most_keys(clusters), bytes = thread_bytes(shape, q.dtype, keys);
  const ScratchScope scope(env.workspace);
  std::byte* scratch = env.workspace.take(env.threads * bytes);
  const auto kernel = HWY_DYNAMIC_DISPATCH(backward_task);
  for_tasks(env, static_cast<std::int64_t>(clusters.size()) * shape.kv_heads,
            [&](std::int64_t index, int thread) {
              ScratchCarver carver(scratch + thread * bytes);
              const auto& cluster = clusters[static_cast<std::size_t>(index / shape.kv_heads)];
              kernel(call, {&cluster, index % shape.kv_heads}, carve(carver, shape.head_dim, q.dtype, keys));
            });
}

}  // namespace edgetrain::cpu
#endif  // HWY_ONCE
