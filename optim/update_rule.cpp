#include "optim/update_rule.h"

#include <array>
#include <cmath>
#include <vector>

namespace edgetrain {
namespace {

constexpr std::size_t kMaxStates = 2;

Tensor part(const Tensor& tensor, const DecayRange& range) {
  return tensor.absent() ? tensor : tensor.col_range(range.begin, range.end - range.begin);
}

// Neighbours of equal decay become one call: a bucket is mostly matrices, and calls on a few hundred elements
// cost more than their work.
std::vector<DecayRange> merged(std::span<const DecayRange> ranges, std::int64_t n) {
  std::vector<DecayRange> runs;
  std::int64_t end = 0;
  for (const auto& range : ranges) {
    ET_CHECK(range.begin >= end && range.end >= range.begin && range.end <= n,
             "range [{}, {}) after {} of {}", range.begin, range.end, end, n);
    end = range.end;
    if (range.begin == range.end) continue;
    if (!runs.empty() && runs.back().end == range.begin && runs.back().decay == range.decay) {
      runs.back().end = range.end;
    } else {
      runs.push_back(range);
    }
  }
  return runs;
}

class AdamW final : public UpdateRule {
 public:
  explicit AdamW(const AdamWParams& params) : params_(params) {
    ET_CHECK(params.beta1 >= 0.0 && params.beta1 < 1.0 && params.beta2 >= 0.0 && params.beta2 < 1.0,
             "betas {}, {}", params.beta1, params.beta2);
    ET_CHECK(params.eps >= 0.0, "eps {}", params.eps);
  }
  [[nodiscard]] std::string_view name() const override { return "adamw"; }
  [[nodiscard]] std::span<const StateSpec> states() const override { return kStates; }

  [[nodiscard]] UpdateScalars update_scalars(std::int64_t step, double lr, double grad_scale) const override {
    ET_CHECK(step >= 1, "step {}: the first step is 1", step);
    const auto t = static_cast<double>(step);
    return {.lr = static_cast<float>(lr),
            .grad_scale = static_cast<float>(grad_scale),
            .bias1 = static_cast<float>(1.0 - std::pow(params_.beta1, t)),
            .bias2 = static_cast<float>(1.0 - std::pow(params_.beta2, t))};
  }

 private:
  static constexpr std::array kStates = {StateSpec{"m", Dtype::f32}, StateSpec{"v", Dtype::f32}};

  void apply(Ops& ops, const UpdateScalars& scalars, bool decay, Tensor grad, Tensor master,
             std::span<const Tensor> moments, Tensor out) const override {
    const AdamWConstants constants{static_cast<float>(params_.beta1), static_cast<float>(params_.beta2),
                                   static_cast<float>(params_.eps),
                                   decay ? static_cast<float>(params_.weight_decay) : 0.0F};
    ops.adamw(constants, scalars, grad, master, moments[0], moments[1], out);
  }

  AdamWParams params_;
};

class Sgd final : public UpdateRule {
 public:
  explicit Sgd(const SgdParams& params) : params_(params) {
    ET_CHECK(params.momentum >= 0.0 && params.momentum < 1.0, "momentum {}", params.momentum);
    ET_CHECK(!params.nesterov || params.momentum > 0.0, "nesterov needs momentum");
  }
  [[nodiscard]] std::string_view name() const override { return "sgd"; }
  [[nodiscard]] std::span<const StateSpec> states() const override {
    return {kStates.data(), params_.momentum > 0.0 ? kStates.size() : 0};
  }

  [[nodiscard]] UpdateScalars update_scalars(std::int64_t step, double lr, double grad_scale) const override {
    ET_CHECK(step >= 1, "step {}: the first step is 1", step);
    return {.lr = static_cast<float>(lr), .grad_scale = static_cast<float>(grad_scale)};
  }

 private:
  static constexpr std::array kStates = {StateSpec{"m", Dtype::f32}};

  void apply(Ops& ops, const UpdateScalars& scalars, bool decay, Tensor grad, Tensor master,
             std::span<const Tensor> moments, Tensor out) const override {
    const SgdConstants constants{static_cast<float>(params_.momentum),
                                 decay ? static_cast<float>(params_.weight_decay) : 0.0F, params_.nesterov};
    ops.sgd(constants, scalars, grad, master, moments.empty() ? Tensor{} : moments[0], out);
  }

  SgdParams params_;
};

}  // namespace

void UpdateRule::update(Ops& ops, const UpdateScalars& scalars, std::span<const DecayRange> ranges,
                        Tensor grad, Tensor master, std::span<const Tensor> moments, Tensor out) const {
  ET_CHECK(moments.size() == states().size(), "{} keeps {} states, got {}", name(), states().size(),
           moments.size());
  ET_CHECK(grad.cols == master.cols, "{} gradients for {} weights", grad.cols, master.cols);
  std::array<Tensor, kMaxStates> parts;
  for (const auto& run : merged(ranges, master.cols)) {
    for (std::size_t i = 0; i < moments.size(); ++i) parts.at(i) = part(moments[i], run);
    apply(ops, scalars, run.decay, part(grad, run), part(master, run), {parts.data(), moments.size()},
          part(out, run));
  }
}

std::unique_ptr<UpdateRule> make_adamw(const AdamWParams& params) { return std::make_unique<AdamW>(params); }
std::unique_ptr<UpdateRule> make_sgd(const SgdParams& params) { return std::make_unique<Sgd>(params); }

}  // namespace edgetrain
