// What an operator costs, from its arguments alone: the planner's FLOPs and bytes, and the rates of `bench
// step`.
//
// FLOPs are those of the mathematics, not of an implementation: a product of M x K and K x N counts 2 M N K;
// attention counts only the pairs that the mask lets through; recomputation inside a kernel counts in none.
// Elementwise work counts a few FLOPs per element, so that no operator is free. Bytes: every operand once for
// each time that the formula reads or writes it, as if nothing stayed in cache.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>

#include "core/ops/ops.h"

namespace edgetrain {

struct OpCost {
  std::int64_t flops = 0;
  std::int64_t bytes = 0;
};

/// Pairs (query row, key row) that the mask lets through.
[[nodiscard]] std::int64_t mask_pairs(std::span<const MaskItem> mask);

[[nodiscard]] OpCost gemm_cost(const Tensor& a, bool trans_a, const Tensor& b, const Tensor& c, float beta,
                               const Tensor& bias);
/// 2 products of D per pair and query head: 4 D.
[[nodiscard]] OpCost attention_cost(const Tensor& q, const Tensor& k, std::span<const MaskItem> mask,
                                    const AttentionShape& shape);
/// 5 products: 10 D.
[[nodiscard]] OpCost attention_backward_cost(const Tensor& q, const Tensor& k, std::span<const MaskItem> mask,
                                             const AttentionShape& shape);
/// `flops_per_element` of the first operand; all operands are moved once.
[[nodiscard]] OpCost elementwise_cost(std::int64_t flops_per_element, std::initializer_list<Tensor> operands);

}  // namespace edgetrain
