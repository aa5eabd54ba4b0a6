#include "optim/muon.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "optim/elementwise_rule.h"
#include "optim/newton_schulz.h"
#include "optim/scalars.h"

namespace edgetrain {
namespace {

constexpr std::size_t kM = 0;  // states

// Rows [row, row + rows) and columns [col, col + cols) of a matrix: what is orthogonalised on its own.
struct Block {
  std::int64_t row, rows, col, cols;
  [[nodiscard]] Tensor of(const Tensor& matrix) const {
    return matrix.row_range(row, rows).col_range(col, cols);
  }
};

std::vector<Block> blocks_of(const ParamSpec& spec) {
  if (spec.blocks.empty()) return {{0, spec.rows, 0, spec.cols}};
  std::vector<Block> blocks;
  std::int64_t begin = 0;
  for (const std::int64_t size : spec.blocks) {
    blocks.push_back(spec.cut == Cut::rows ? Block{begin, size, 0, spec.cols}
                                           : Block{0, spec.rows, begin, size});
    begin += size;
  }
  return blocks;
}

// Whether any of the elements may lie in the block: in its rows, that is.
bool touches(const Block& block, const ParamSpec& spec, const Range& elements) {
  return elements.size() > 0 && elements.begin / spec.cols < block.row + block.rows &&
         (elements.end - 1) / spec.cols >= block.row;
}

class Muon final : public UpdateRule {
 public:
  explicit Muon(const MuonParams& params)
      : UpdateRule(params.weight_decay),
        params_(params),
        adamw_(make_adamw({params.beta1, params.beta2, params.eps, params.weight_decay})) {
    check_momentum(params.momentum, params.nesterov);
  }
  [[nodiscard]] std::string_view name() const override { return "muon"; }
  [[nodiscard]] std::span<const StateSpec> states() const override { return kStates; }
  [[nodiscard]] bool keeps(std::size_t state, const ParamSpec& spec) const override {
    return state == kM || !wants_whole(spec);
  }
  [[nodiscard]] UpdateScalars update_scalars(std::int64_t step, double lr, double grad_scale) const override {
    return adamw_->update_scalars(step, lr, grad_scale);
  }
  [[nodiscard]] int phases() const override { return 1; }
  [[nodiscard]] bool measures(int, const ParamSpec& spec) const override { return wants_whole(spec); }
  [[nodiscard]] bool wants_whole(const ParamSpec& spec) const override {
    return spec.dims >= 2 && !spec.table;
  }

  void measure(int, const UpdateCall& call, const BucketShare& share) const override {
    for (const auto& tensor : share.tensors) {
      if (wants_whole(*tensor.spec) && tensor.own.size() > 0) move_momentum(call, tensor);
    }
  }

  void update(const UpdateCall& call, const BucketShare& share) const override {
    take_what_any_rank_takes(call, share);
    for (const auto& tensor : share.tensors) {
      if (tensor.own.size() == 0) continue;
      wants_whole(*tensor.spec) ? update_matrix(call, tensor) : update_by_adamw(call, tensor);
    }
  }

 private:
  static constexpr std::array kStates = {StateSpec{"m"}, StateSpec{"v"}};

  // The direction before it is orthogonalised, into this rank's elements of the whole one.
  void move_momentum(const UpdateCall& call, const TensorShare& tensor) const {
    const auto keep = static_cast<float>(params_.momentum);
    const float take = (1.0F - keep) * call.scalars.grad_scale;
    const Tensor m = tensor.states[kM], u = own_part(tensor);
    call.ops.axpby(take, tensor.grad, keep, m, m);
    params_.nesterov ? call.ops.axpby(take, tensor.grad, keep, m, u) : call.ops.copy(m, u);
  }

  // Ranks orthogonalise different matrices, yet have one plan.
  static void take_what_any_rank_takes(const UpdateCall& call, const BucketShare& share) {
    std::int64_t most = 0;
    for (const auto& tensor : share.tensors) {
      if (tensor.whole.absent()) continue;
      for (const Block& block : blocks_of(*tensor.spec))
        most = std::max(most, orthogonalize_scratch(call.ops, block.of(tensor.whole)));
    }
    const ScratchScope scope(call.workspace);
    (void)call.workspace.take(most);
  }

  void update_matrix(const UpdateCall& call, const TensorShare& tensor) const {
    for (const Block& block : blocks_of(*tensor.spec)) {
      if (!touches(block, *tensor.spec, tensor.own)) continue;
      const Tensor u = block.of(tensor.whole);
      orthogonalize(call.ops, call.workspace, u);
      call.ops.axpby(static_cast<float>(ratio(*tensor.spec, block)), u, 0.0F, {}, u);
    }
    const UpdateScalars step = with_lr_scale(call.scalars, tensor.hyper.lr_scale);
    call.ops.sgd({0.0F, static_cast<float>(tensor.hyper.weight_decay), false}, {.lr = step.lr},
                 own_part(tensor), tensor.master, {}, tensor.out);
  }

  void update_by_adamw(const UpdateCall& call, const TensorShare& tensor) const {
    const HyperRange all{0, tensor.own.size(), tensor.hyper};
    adamw_->update(call.ops, call.scalars, {&all, 1}, tensor.grad, tensor.master,
                   std::span(tensor.states).first(kStates.size()), tensor.out);
  }

  [[nodiscard]] double ratio(const ParamSpec& spec, const Block& block) const {
    const auto out = static_cast<double>(spec.in_out ? block.cols : block.rows);
    const auto in = static_cast<double>(spec.in_out ? block.rows : block.cols);
    switch (params_.adjust_lr) {
      case LrAdjust::original:
        return std::sqrt(std::max(1.0, out / in));
      case LrAdjust::match_rms_adamw:
        return 0.2 * std::sqrt(std::max(out, in));
    }
    ET_ASSERT(false);
  }

  static Tensor own_part(const TensorShare& tensor) {
    return tensor.whole.reshaped(1, tensor.whole.numel()).col_range(tensor.own.begin, tensor.own.size());
  }

  MuonParams params_;
  std::unique_ptr<ElementwiseRule> adamw_;
};

}  // namespace

std::unique_ptr<UpdateRule> make_muon(const MuonParams& params) { return std::make_unique<Muon>(params); }

}  // namespace edgetrain
