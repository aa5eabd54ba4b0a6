#include "optim/lamb.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "optim/figures.h"
#include "optim/scalars.h"
#include "optim/tensor_rule.h"

namespace edgetrain {
namespace {

class Lamb final : public TensorRule {
 public:
  explicit Lamb(const LambParams& params) : TensorRule(params.weight_decay), params_(params) {
    check_betas(params.beta1, params.beta2);
    ET_CHECK(params.eps >= 0.0, "eps {}", params.eps);
  }
  [[nodiscard]] std::string_view name() const override { return "lamb"; }
  [[nodiscard]] std::span<const StateSpec> states() const override { return kStates; }
  [[nodiscard]] double decay(std::size_t state) const override {
    return state == 0 ? params_.beta1 : params_.beta2;
  }
  [[nodiscard]] bool takes_packed_values() const override { return true; }
  [[nodiscard]] UpdateScalars update_scalars(std::int64_t step, double lr, double grad_scale) const override {
    return adam_scalars(step, lr, grad_scale, params_.beta1, params_.beta2);
  }
  [[nodiscard]] int phases() const override { return 1; }
  [[nodiscard]] std::int64_t figures(int, const ParamSpec& spec) const override {
    return is_matrix(spec) ? 2 * kSumWords : 0;  // squares of w, squares of u
  }
  /// Moments move while measuring: the norm of u is theirs.
  [[nodiscard]] bool measures(int, const ParamSpec&) const override { return true; }
  [[nodiscard]] bool update_reads_grad() const override { return false; }

 private:
  static constexpr std::array kStates = {StateSpec{"m"}, StateSpec{"v", Per::element, true}};

  [[nodiscard]] bool wants_chunk() const override { return true; }

  void measure_tensor(int, const UpdateCall& call, const ChunkScratch& scratch,
                      const TensorShare& tensor) const override {
    for_each_chunk(tensor.at, tensor.own.size(), [&](std::int64_t begin, std::int64_t n) {
      const Tensor u = scratch.values.col_range(0, n);
      direct(call, tensor, chunk_of(tensor.grad, begin, n), begin, u);
      if (is_matrix(*tensor.spec)) add_squares(call.ops, u, tensor.at + begin, squares_of_u(tensor), scratch);
    });
    if (is_matrix(*tensor.spec))
      add_squares(call.ops, tensor.master, tensor.at, squares_of_w(tensor), scratch);
  }

  void update_tensor(const UpdateCall& call, const ChunkScratch& scratch,
                     const TensorShare& tensor) const override {
    const UpdateScalars step = with_lr_scale(call.scalars, tensor.hyper.lr_scale);
    const UpdateScalars scalars{.lr = step.lr, .grad_scale = static_cast<float>(ratio(tensor))};
    for_each_chunk(tensor.at, tensor.own.size(), [&](std::int64_t begin, std::int64_t n) {
      const Tensor u = scratch.values.col_range(0, n);
      direct(call, tensor, {}, begin, u);
      call.ops.sgd({0.0F, 0.0F, false}, scalars, u, chunk_of(tensor.master, begin, n), {},
                   chunk_of(tensor.out, begin, n));
    });
  }

  // u of the elements from `begin`; with a gradient the moments take it in first. The same bits both times:
  // weights and moments are the same.
  void direct(const UpdateCall& call, const TensorShare& tensor, Tensor grad, std::int64_t begin,
              Tensor u) const {
    const AdamWConstants constants{static_cast<float>(params_.beta1), static_cast<float>(params_.beta2),
                                   static_cast<float>(params_.eps),
                                   static_cast<float>(tensor.hyper.weight_decay)};
    call.ops.adam_direction(constants, call.scalars, grad, chunk_of(tensor.master, begin, u.cols),
                            chunk_of(tensor.states[0], begin, u.cols),
                            chunk_of(tensor.states[1], begin, u.cols), u);
  }

  static Tensor squares_of_w(const TensorShare& tensor) { return tensor.figures[0].col_range(0, kSumWords); }
  static Tensor squares_of_u(const TensorShare& tensor) {
    return tensor.figures[0].col_range(kSumWords, kSumWords);
  }

  [[nodiscard]] double ratio(const TensorShare& tensor) const {
    if (!is_matrix(*tensor.spec)) return 1.0;
    const double w = std::sqrt(sum_of(squares_of_w(tensor))), u = std::sqrt(sum_of(squares_of_u(tensor)));
    const double ratio = w > 0.0 && u > 0.0 ? w / u : 1.0;
    return params_.trust_clip ? std::min(ratio, 1.0) : ratio;
  }

  LambParams params_;
};

}  // namespace

std::unique_ptr<UpdateRule> make_lamb(const LambParams& params) { return std::make_unique<Lamb>(params); }

}  // namespace edgetrain
