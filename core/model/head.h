// The last unit: final norm, vocabulary product, softmax cross-entropy.
//
// Why all in one: logits are the largest tensor of a step (T x V in f32: 412 MB for GPT-2 at 2,048 rows).
// Rows are independent, so the unit works on `loss_chunk_rows` of them at a time, and in training computes
// loss and gradient of a chunk together: logits exist once, for one chunk. The bits of the weight gradient
// depend on loss_chunk_rows, not on anything else of the layout.
#pragma once

#include "core/model/config.h"
#include "core/model/declaration.h"
#include "core/model/norm.h"

namespace edgetrain {

class Head final : public DeclaredUnit {
 public:
  /// loss_chunk_rows > 0; the last chunk of a call may be smaller.
  Head(const ModelConfig& config, Dtype dtype, std::int64_t loss_chunk_rows);

  [[nodiscard]] bool computes_loss() const override { return true; }
  /// With batch.targets: ctx.losses(). With batch.logit_rows: y (n, V) f32. Asking for neither is an error.
  void forward(Context& ctx, const Batch& batch, Tensor x, Tensor y, Saved keep) const override;
  /// Only Pass::both. Scratch peak: logits f32 of one chunk, their gradient in 16 bit if the model is, two
  /// chunks of x.
  void backward(Context& ctx, const Batch& batch, Pass pass, Tensor x, Tensor dy, Tensor dx,
                Saved saved) const override;

 private:
  /// The logits of the rows of x, f32.
  void compute_logits(Context& ctx, Tensor x, Tensor logits) const;
  void backward_chunk(Context& ctx, Tensor targets, Tensor losses, Tensor x, Tensor dx) const;

  std::int64_t vocab_, chunk_rows_;
  NormedLinear product_;
};

}  // namespace edgetrain
