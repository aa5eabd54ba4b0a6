#include "optim/lars.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "optim/figures.h"
#include "optim/scalars.h"
#include "optim/tensor_rule.h"

namespace edgetrain {
namespace {

class Lars final : public TensorRule {
 public:
  explicit Lars(const LarsParams& params) : TensorRule(params.weight_decay), params_(params) {
    check_momentum(params.momentum, params.nesterov);
    ET_CHECK(params.trust_coefficient > 0.0 && params.eps >= 0.0, "trust_coefficient {}, eps {}",
             params.trust_coefficient, params.eps);
  }
  [[nodiscard]] std::string_view name() const override { return "lars"; }
  [[nodiscard]] std::span<const StateSpec> states() const override {
    return {kStates.data(), params_.momentum > 0.0 ? kStates.size() : 0};
  }
  [[nodiscard]] double decay(std::size_t) const override { return params_.momentum; }
  [[nodiscard]] bool takes_packed_values() const override { return true; }
  [[nodiscard]] UpdateScalars update_scalars(std::int64_t step, double lr, double grad_scale) const override {
    return plain_scalars(step, lr, grad_scale);
  }
  [[nodiscard]] int phases() const override { return 1; }
  [[nodiscard]] std::int64_t figures(int, const ParamSpec& spec) const override {
    return is_matrix(spec) ? 2 * kSumWords : 0;  // squares of w, squares of g
  }

 private:
  static constexpr std::array kStates = {StateSpec{"m"}};

  [[nodiscard]] bool wants_chunk() const override { return false; }

  void measure_tensor(int, const UpdateCall& call, const ChunkScratch& scratch,
                      const TensorShare& tensor) const override {
    add_squares(call.ops, tensor.master, tensor.at, squares_of_w(tensor), scratch);
    add_squares(call.ops, tensor.grad, tensor.at, squares_of_g(tensor), scratch);
  }

  void update_tensor(const UpdateCall& call, const ChunkScratch&, const TensorShare& tensor) const override {
    UpdateScalars scalars = with_lr_scale(call.scalars, tensor.hyper.lr_scale);
    const double ratio = is_matrix(*tensor.spec) ? this->ratio(tensor, scalars) : 1.0;
    scalars.grad_scale = static_cast<float>(ratio * static_cast<double>(scalars.grad_scale));
    const SgdConstants constants{static_cast<float>(params_.momentum),
                                 static_cast<float>(ratio * tensor.hyper.weight_decay), params_.nesterov};
    call.ops.sgd(constants, scalars, tensor.grad, tensor.master,
                 params_.momentum > 0.0 ? tensor.states[0] : Tensor{}, tensor.out);
  }

  static Tensor squares_of_w(const TensorShare& tensor) { return tensor.figures[0].col_range(0, kSumWords); }
  static Tensor squares_of_g(const TensorShare& tensor) {
    return tensor.figures[0].col_range(kSumWords, kSumWords);
  }

  [[nodiscard]] double ratio(const TensorShare& tensor, const UpdateScalars& scalars) const {
    const double w = std::sqrt(sum_of(squares_of_w(tensor)));
    const double g = static_cast<double>(scalars.grad_scale) * std::sqrt(sum_of(squares_of_g(tensor)));
    if (!(w > 0.0 && g > 0.0)) return clipped(1.0, scalars);
    return clipped(params_.trust_coefficient * w / (g + tensor.hyper.weight_decay * w + params_.eps),
                   scalars);
  }

  [[nodiscard]] double clipped(double ratio, const UpdateScalars& scalars) const {
    return params_.trust_clip ? std::min(ratio / static_cast<double>(scalars.lr), 1.0) : ratio;
  }

  LarsParams params_;
};

}  // namespace

std::unique_ptr<UpdateRule> make_lars(const LarsParams& params) { return std::make_unique<Lars>(params); }

}  // namespace edgetrain
