// Decoder block of GPT-2 (Radford et al. 2019).
//
//   x_mid = x + attention(layer_norm(x));   y = x_mid + c_proj(gelu(c_fc(layer_norm(x_mid))))
//
// Weights are stored (in, out), as in Hugging Face's Conv1D. Saved: q,k,v, attention's output and lse, x_mid,
// and the input of the activation. Both normed inputs and the activation's output are made again in backward.
#pragma once

#include "core/model/config.h"
#include "core/model/declaration.h"
#include "core/model/norm.h"
#include "core/model/self_attention.h"

namespace edgetrain {

class Gpt2Block final : public DeclaredUnit {
 public:
  Gpt2Block(const ModelConfig& config, int layer, Dtype dtype, SelfAttention::Options attention);

  /// y must not be x: it serves as scratch before it receives the result.
  void forward(Context& ctx, const Batch& batch, Tensor x, Tensor y, Saved keep) const override;
  /// Only Pass::both. Scratch peak: the largest of 2 intermediate, intermediate + hidden and 4 hidden
  /// columns, the last two plus statistics.
  void backward(Context& ctx, const Batch& batch, Pass pass, Tensor x, Tensor dy, Tensor dx,
                Saved saved) const override;

 private:
  void forward_attention(Context& ctx, const Batch& batch, Tensor x, Tensor x_mid, Tensor normed,
                         Saved keep) const;
  void forward_mlp(Context& ctx, Tensor x_mid, Tensor y, Saved keep) const;
  void backward_mlp(Context& ctx, Tensor x_mid, Tensor fc, Tensor dx) const;

  Activation activation_;
  SelfAttention attention_;
  NormedLinear qkv_, fc_;
  Linear proj_;
  int x_mid_field_ = -1, fc_field_ = -1;
};

}  // namespace edgetrain
