#include "core/model/gpt2/block.h"

#include <cmath>

namespace edgetrain {
namespace {

constexpr auto kLayout = Linear::Layout::in_out;

}  // namespace

Gpt2Block::Gpt2Block(const ModelConfig& config, int layer, Dtype dtype, SelfAttention::Options attention)
    : DeclaredUnit(fmt::format("blocks.{}", layer), fmt::format("h.{}.", layer), config.hidden_size, dtype),
      activation_(config.hidden_act),
      attention_(config, std::move(attention)) {
  const auto eps = static_cast<float>(config.norm_eps);
  const auto std = static_cast<float>(config.initializer_range);
  // Two products per layer add to the residual stream.
  const float residual_std = std / std::sqrt(2.0F * static_cast<float>(config.num_hidden_layers));
  const std::int64_t hidden = config.hidden_size, intermediate = config.intermediate_size;

  qkv_.norm = declare_norm(params_, Norm::Kind::layer, "ln_1", hidden, eps);
  qkv_.linear =
      attention_.declare_qkv(params_, {{"attn.c_attn", attention_.qkv_cols(), {hidden, hidden, hidden}}},
                             hidden, config.qkv_bias, kLayout, std);
  attention_.declare_output(params_, "attn.c_proj", hidden, config.attn_out_bias, kLayout, residual_std);
  fc_.norm = declare_norm(params_, Norm::Kind::layer, "ln_2", hidden, eps);
  fc_.linear =
      declare_linear(params_, {{"mlp.c_fc", intermediate}}, hidden, config.mlp_bias, kLayout, Cut::cols, std);
  proj_ = declare_linear(params_, {{"mlp.c_proj", hidden}}, intermediate, config.mlp_bias, kLayout, Cut::rows,
                         residual_std);

  attention_.declare_fields(fields_, dtype);
  x_mid_field_ = fields_.add("x_mid", dtype, hidden, Pass::weight, Rebuild::per_row);
  fc_field_ = fields_.add("fc", dtype, intermediate, Pass::weight, Rebuild::per_row);
}

void Gpt2Block::forward(Context& ctx, const Batch& batch, Tensor x, Tensor y, Saved keep) const {
  const ScratchScope scope(ctx.workspace());
  const Tensor x_mid = fields_.open(ctx, keep, x_mid_field_, x.rows);
  forward_attention(ctx, batch, x, x_mid, /*normed=*/y, keep);
  forward_mlp(ctx, x_mid, y, keep);
}

void Gpt2Block::forward_attention(Context& ctx, const Batch& batch, Tensor x, Tensor x_mid, Tensor normed,
                                  Saved keep) const {
  const ScratchScope scope(ctx.workspace());
  const Tensor qkv = attention_.open_qkv(ctx, fields_, keep, x.rows);
  qkv_.forward(ctx, x, normed, qkv);
  attention_.forward(ctx, batch, fields_, keep, qkv, x_mid);
  ctx.ops().add(x, x_mid, x_mid);
}

void Gpt2Block::forward_mlp(Context& ctx, Tensor x_mid, Tensor y, Saved keep) const {
  const ScratchScope scope(ctx.workspace());
  const Tensor fc = fields_.open(ctx, keep, fc_field_, x_mid.rows);
  fc_.forward(ctx, x_mid, /*normed=*/y, fc);
  const Tensor activated = FieldList::stored(keep, fc_field_) ? ctx.scratch(fc.dtype, fc.rows, fc.cols) : fc;
  ctx.ops().activation(activation_, fc, activated);
  proj_.forward(ctx, activated, y);
  ctx.ops().add(x_mid, y, y);
}

void Gpt2Block::backward(Context& ctx, const Batch& batch, Pass pass, Tensor x, Tensor dy, Tensor dx,
                         Saved saved) const {
  require_both(pass);
  const ScratchScope scope(ctx.workspace());
  // dx is the gradient of the residual stream: dy, then that of x_mid, then that of x.
  if (dx.data != dy.data) ctx.ops().copy(dy, dx);
  backward_mlp(ctx, fields_.kept(saved, x_mid_field_), fields_.kept(saved, fc_field_), dx);

  const Tensor dqkv = ctx.scratch(x.dtype, x.rows, attention_.qkv_cols());
  attention_.backward(ctx, batch, fields_, saved, dx, dqkv);
  qkv_.backward(ctx, x, dqkv, dx, /*accumulate=*/true);
}

void Gpt2Block::backward_mlp(Context& ctx, Tensor x_mid, Tensor fc, Tensor dx) const {
  const ScratchScope scope(ctx.workspace());
  const Tensor dfc = ctx.scratch(fc.dtype, fc.rows, fc.cols);
  proj_.backward_input(ctx, dx, dfc);
  {
    const ScratchScope inner(ctx.workspace());
    const Tensor activated = ctx.scratch(fc.dtype, fc.rows, fc.cols);
    ctx.ops().activation_backward(activation_, fc, dfc, dfc, activated);
    proj_.backward_weight(ctx, activated, dx);
  }
  fc_.backward(ctx, x_mid, dfc, dx, /*accumulate=*/true);
}

}  // namespace edgetrain
