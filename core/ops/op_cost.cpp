#include "core/ops/op_cost.h"

#include <algorithm>

namespace edgetrain {
namespace {

std::int64_t item_pairs(const MaskItem& item) {
  const std::int64_t keys = item.k1 - item.k0;
  std::int64_t pairs = 0;
  for (std::int64_t i = 0; i < item.q1 - item.q0; ++i) {
    // lo <= i - j <= hi, so i - hi <= j <= i - lo
    const std::int64_t first = std::max<std::int64_t>(0, i - item.hi), last = std::min(keys - 1, i - item.lo);
    pairs += std::max<std::int64_t>(0, last - first + 1);
  }
  return pairs;
}

std::int64_t lse_bytes(const Tensor& q, const AttentionShape& shape) {
  return q.rows * shape.heads * size_of(Dtype::f32);
}

}  // namespace

std::int64_t mask_pairs(std::span<const MaskItem> mask) {
  std::int64_t pairs = 0;
  for (const MaskItem& item : mask) pairs += item_pairs(item);
  return pairs;
}

OpCost gemm_cost(const Tensor& a, bool trans_a, const Tensor& b, const Tensor& c, float beta,
                 const Tensor& bias) {
  const std::int64_t inner = trans_a ? a.rows : a.cols;
  const std::int64_t result_passes = beta == 0.0F ? 1 : 2;
  return {2 * c.numel() * inner, a.bytes() + b.bytes() + result_passes * c.bytes() + bias.bytes()};
}

OpCost attention_cost(const Tensor& q, const Tensor& k, std::span<const MaskItem> mask,
                      const AttentionShape& shape) {
  return {4 * shape.head_dim * shape.heads * mask_pairs(mask),
          2 * q.bytes() + 2 * k.bytes() + lse_bytes(q, shape)};
}

OpCost attention_backward_cost(const Tensor& q, const Tensor& k, std::span<const MaskItem> mask,
                               const AttentionShape& shape) {
  return {10 * shape.head_dim * shape.heads * mask_pairs(mask),
          4 * q.bytes() + 4 * k.bytes() + lse_bytes(q, shape)};
}

OpCost elementwise_cost(std::int64_t flops_per_element, std::initializer_list<Tensor> operands) {
  OpCost cost{operands.size() == 0 ? 0 : flops_per_element * operands.begin()->numel(), 0};
  for (const Tensor& t : operands) cost.bytes += t.bytes();
  return cost;
}

}  // namespace edgetrain
