// Decoder block of the Llama family: Llama 2/3, Mistral, Qwen2 (q,k,v bias), Qwen3 (q/k norm). Touvron et al.
// 2023.
//
//   x_mid = x + attention(rms_norm(x));   y = x_mid + down(silu(gate) * up), gate and up from rms_norm(x_mid)
//
// Saved: q,k,v after bias and rope (and before their norm, where there is one), attention's output and lse,
// x_mid, and gate_up. Not saved, since backward makes them again in scratch at the cost of one pass over
// memory each: both normed inputs and the swiglu output, together 2 hidden + intermediate columns.
#pragma once

#include "core/model/config.h"
#include "core/model/declaration.h"
#include "core/model/norm.h"
#include "core/model/self_attention.h"

namespace edgetrain {

class LlamaBlock final : public DeclaredUnit {
 public:
  LlamaBlock(const ModelConfig& config, int layer, Dtype dtype, SelfAttention::Options attention);

  /// y must not be x: it serves as scratch before it receives the result.
  void forward(Context& ctx, const Batch& batch, Tensor x, Tensor y, Saved keep) const override;
  /// Only Pass::both. Scratch peak: the larger of 3 intermediate columns (+ statistics) and (H + 2G) D +
  /// max(H D, hidden).
  void backward(Context& ctx, const Batch& batch, Pass pass, Tensor x, Tensor dy, Tensor dx,
                Saved saved) const override;

 private:
  void forward_attention(Context& ctx, const Batch& batch, Tensor x, Tensor x_mid, Tensor normed,
                         Saved keep) const;
  void forward_mlp(Context& ctx, Tensor x_mid, Tensor y, Saved keep) const;
  void backward_mlp(Context& ctx, Tensor x_mid, Tensor gate_up, Tensor dx) const;

  std::int64_t intermediate_;
  SelfAttention attention_;
  NormedLinear qkv_, gate_up_;
  Linear down_;
  int x_mid_field_ = -1, gate_up_field_ = -1;
};

}  // namespace edgetrain
