#include "optim/elementwise_rule.h"

#include <array>
#include <vector>

#include "optim/scalars.h"

namespace edgetrain {
namespace {

Tensor part(const Tensor& tensor, const HyperRange& range) {
  return tensor.absent() ? tensor : tensor.col_range(range.begin, range.end - range.begin);
}

// Neighbours with the same hyper-parameters become one call: a bucket is mostly matrices, and calls on a few
// hundred elements cost more than their work.
std::vector<HyperRange> merged(std::span<const HyperRange> ranges, std::int64_t n) {
  std::vector<HyperRange> runs;
  std::int64_t end = 0;
  for (const auto& range : ranges) {
    ET_CHECK(range.begin >= end && range.end >= range.begin && range.end <= n,
             "range [{}, {}) after {} of {}", range.begin, range.end, end, n);
    end = range.end;
    if (range.begin == range.end) continue;
    if (!runs.empty() && runs.back().end == range.begin && runs.back().hyper == range.hyper) {
      runs.back().end = range.end;
    } else {
      runs.push_back(range);
    }
  }
  return runs;
}

class AdamW final : public ElementwiseRule {
 public:
  explicit AdamW(const AdamWParams& params) : ElementwiseRule(params.weight_decay), params_(params) {
    check_betas(params.beta1, params.beta2);
    ET_CHECK(params.eps >= 0.0, "eps {}", params.eps);
  }
  [[nodiscard]] std::string_view name() const override { return "adamw"; }
  [[nodiscard]] std::span<const StateSpec> states() const override { return kStates; }
  [[nodiscard]] double decay(std::size_t state) const override {
    return state == 0 ? params_.beta1 : params_.beta2;
  }

  [[nodiscard]] UpdateScalars update_scalars(std::int64_t step, double lr, double grad_scale) const override {
    return adam_scalars(step, lr, grad_scale, params_.beta1, params_.beta2);
  }

 private:
  static constexpr std::array kStates = {StateSpec{"m"}, StateSpec{"v", Per::element, true}};

  void apply(Ops& ops, const UpdateScalars& scalars, float weight_decay, Tensor grad, Tensor master,
             std::span<const Tensor> moments, Tensor out) const override {
    const AdamWConstants constants{static_cast<float>(params_.beta1), static_cast<float>(params_.beta2),
                                   static_cast<float>(params_.eps), weight_decay};
    ops.adamw(constants, scalars, grad, master, moments[0], moments[1], out);
  }

  AdamWParams params_;
};

class Sgd final : public ElementwiseRule {
 public:
  explicit Sgd(const SgdParams& params) : ElementwiseRule(params.weight_decay), params_(params) {
    check_momentum(params.momentum, params.nesterov);
  }
  [[nodiscard]] std::string_view name() const override { return "sgd"; }
  [[nodiscard]] std::span<const StateSpec> states() const override {
    return {kStates.data(), params_.momentum > 0.0 ? kStates.size() : 0};
  }
  [[nodiscard]] double decay(std::size_t) const override { return params_.momentum; }
  [[nodiscard]] UpdateScalars update_scalars(std::int64_t step, double lr, double grad_scale) const override {
    return plain_scalars(step, lr, grad_scale);
  }

 private:
  static constexpr std::array kStates = {StateSpec{"m"}};

  void apply(Ops& ops, const UpdateScalars& scalars, float weight_decay, Tensor grad, Tensor master,
             std::span<const Tensor> moments, Tensor out) const override {
    const SgdConstants constants{static_cast<float>(params_.momentum), weight_decay, params_.nesterov};
    ops.sgd(constants, scalars, grad, master, moments.empty() ? Tensor{} : moments[0], out);
  }

  SgdParams params_;
};

class Lion final : public ElementwiseRule {
 public:
  explicit Lion(const LionParams& params) : ElementwiseRule(params.weight_decay), params_(params) {
    check_betas(params.beta1, params.beta2);
  }
  [[nodiscard]] std::string_view name() const override { return "lion"; }
  [[nodiscard]] std::span<const StateSpec> states() const override { return kStates; }
  [[nodiscard]] double decay(std::size_t) const override { return params_.beta2; }
  [[nodiscard]] UpdateScalars update_scalars(std::int64_t step, double lr, double grad_scale) const override {
    return plain_scalars(step, lr, grad_scale);
  }

 private:
  static constexpr std::array kStates = {StateSpec{"m"}};

  void apply(Ops& ops, const UpdateScalars& scalars, float weight_decay, Tensor grad, Tensor master,
             std::span<const Tensor> moments, Tensor out) const override {
    const LionConstants constants{static_cast<float>(params_.beta1), static_cast<float>(params_.beta2),
                                  weight_decay};
    ops.lion(constants, scalars, grad, master, moments[0], out);
  }

  LionParams params_;
};

}  // namespace

void ElementwiseRule::update(const UpdateCall& call, const BucketShare& share) const {
  std::vector<HyperRange> ranges;
  for (const auto& tensor : share.tensors) {
    if (tensor.own.size() > 0) ranges.push_back({tensor.at, tensor.at + tensor.own.size(), tensor.hyper});
  }
  update(call.ops, call.scalars, ranges, share.grad, share.master, share.states, share.out);
}

void ElementwiseRule::update(Ops& ops, const UpdateScalars& scalars, std::span<const HyperRange> ranges,
                             Tensor grad, Tensor master, std::span<const Tensor> moments, Tensor out) const {
  ET_CHECK(moments.size() == states().size(), "{} keeps {} states, got {}", name(), states().size(),
           moments.size());
  ET_CHECK(grad.cols == master.cols, "{} gradients for {} weights", grad.cols, master.cols);
  std::array<Tensor, kMaxStates> parts;
  for (const auto& run : merged(ranges, master.cols)) {
    for (std::size_t i = 0; i < moments.size(); ++i) parts.at(i) = part(moments[i], run);
    apply(ops, with_lr_scale(scalars, run.hyper.lr_scale), static_cast<float>(run.hyper.weight_decay),
          part(grad, run), part(master, run), {parts.data(), moments.size()}, part(out, run));
  }
}

std::unique_ptr<ElementwiseRule> make_adamw(const AdamWParams& params) {
  return std::make_unique<AdamW>(params);
}
std::unique_ptr<ElementwiseRule> make_sgd(const SgdParams& params) { return std::make_unique<Sgd>(params); }
std::unique_ptr<ElementwiseRule> make_lion(const LionParams& params) {
  return std::make_unique<Lion>(params);
}

}  // namespace edgetrain
