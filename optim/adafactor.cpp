#include "optim/adafactor.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/base/square_bins.h"
#include "optim/figures.h"
#include "optim/scalars.h"
#include "optim/tensor_rule.h"

namespace edgetrain {
namespace {

constexpr int kOfGradient = 0, kOfUpdate = 1;  // phases
constexpr std::size_t kRow = 0, kColumn = 1;   // states

// The words of phase 0: squares of the gradient per row and column in bins, then the squares of the weights.
struct GradientWords {
  Tensor rows, cols;  // (3, rows), absent for a vector; (3, cols)
  Tensor weights;
};

double mean_of(std::span<const float> values) {
  double sum = 0.0;
  for (const float value : values) sum += static_cast<double>(value);
  return sum / static_cast<double>(values.size());
}

class Adafactor final : public TensorRule {
 public:
  explicit Adafactor(const AdafactorParams& params) : TensorRule(params.weight_decay), params_(params) {
    ET_CHECK(
        params.decay_rate < 0.0 && params.eps > 0.0 && params.min_rms >= 0.0 && params.clip_threshold > 0.0,
        "decay_rate {}, eps {}, min_rms {}, clip_threshold {}", params.decay_rate, params.eps, params.min_rms,
        params.clip_threshold);
  }
  [[nodiscard]] std::string_view name() const override { return "adafactor"; }
  [[nodiscard]] std::span<const StateSpec> states() const override { return kStates; }
  [[nodiscard]] bool keeps(std::size_t state, const ParamSpec& spec) const override {
    return state == kColumn || is_matrix(spec);
  }
  /// bias2: what a new square weighs in the second moment, 1 - beta2.
  [[nodiscard]] UpdateScalars update_scalars(std::int64_t step, double lr, double grad_scale) const override {
    UpdateScalars scalars = plain_scalars(step, lr, grad_scale);
    scalars.bias2 = static_cast<float>(std::pow(static_cast<double>(step), params_.decay_rate));
    return scalars;
  }
  [[nodiscard]] int phases() const override { return 2; }
  [[nodiscard]] std::int64_t figures(int phase, const ParamSpec& spec) const override {
    if (phase == kOfUpdate) return kSumWords;
    return SquareBins::kBins * ((is_matrix(spec) ? spec.rows : 0) + spec.cols) + kSumWords;
  }

 private:
  static constexpr std::array kStates = {StateSpec{"v_row", Per::row}, StateSpec{"v_col", Per::column}};

  [[nodiscard]] bool wants_chunk() const override { return true; }
  // The factors of the largest tensor.
  [[nodiscard]] std::int64_t more_scratch(const BucketShare& share) const override {
    std::int64_t most = 0;
    for (const auto& tensor : share.tensors) most = std::max(most, tensor.spec->rows + tensor.spec->cols);
    return most;
  }

  void measure_tensor(int phase, const UpdateCall& call, const ChunkScratch& scratch,
                      const TensorShare& tensor) const override {
    if (phase == kOfGradient) {
      const GradientWords words = gradient_words(tensor);
      call.ops.factored_squares(tensor.grad, tensor.own.begin, SquareBins::top_for(call.square_sum),
                                words.rows, words.cols);
      add_squares(call.ops, tensor.master, tensor.at, words.weights, scratch);
      return;
    }
    take_in(call.scalars, tensor);
    const Factors factors = factors_of(tensor, scratch);
    for_each_chunk(tensor.at, tensor.own.size(), [&](std::int64_t begin, std::int64_t n) {
      const Tensor u = direct(call, tensor, factors, begin, scratch.values.col_range(0, n));
      add_squares(call.ops, u, tensor.at + begin, tensor.figures[kOfUpdate], scratch);
    });
  }

  void update_tensor(const UpdateCall& call, const ChunkScratch& scratch,
                     const TensorShare& tensor) const override {
    UpdateScalars scalars = with_lr_scale(call.scalars, tensor.hyper.lr_scale * parameter_scale(tensor));
    scalars.grad_scale =
        static_cast<float>(1.0 / std::max(1.0, rms_of_update(tensor) / params_.clip_threshold));
    const SgdConstants constants{0.0F, static_cast<float>(tensor.hyper.weight_decay), false};
    const Factors factors = factors_of(tensor, scratch);
    for_each_chunk(tensor.at, tensor.own.size(), [&](std::int64_t begin, std::int64_t n) {
      const Tensor u = direct(call, tensor, factors, begin, scratch.values.col_range(0, n));
      call.ops.sgd(constants, scalars, u, chunk_of(tensor.master, begin, n), {},
                   chunk_of(tensor.out, begin, n));
    });
  }

  static GradientWords gradient_words(const TensorShare& tensor) {
    constexpr std::int64_t kBins = SquareBins::kBins;
    const Tensor& all = tensor.figures[kOfGradient];
    const std::int64_t rows = is_matrix(*tensor.spec) ? tensor.spec->rows : 0, cols = tensor.spec->cols;
    GradientWords words;
    if (rows > 0) words.rows = all.col_range(0, kBins * rows).reshaped(kBins, rows);
    words.cols = all.col_range(kBins * rows, kBins * cols).reshaped(kBins, cols);
    words.weights = all.col_range(kBins * (rows + cols), kSumWords);
    return words;
  }

  // The second moments take in the sums of this step: on every rank, since every rank keeps them whole.
  void take_in(const UpdateScalars& scalars, const TensorShare& tensor) const {
    const GradientWords words = gradient_words(tensor);
    if (words.cols.data == nullptr) return;
    if (!words.rows.absent()) take_in(scalars, words.rows, tensor.spec->cols, tensor.states[kRow]);
    take_in(scalars, words.cols, is_matrix(*tensor.spec) ? tensor.spec->rows : 1, tensor.states[kColumn]);
  }

  // v = beta2 v + (1 - beta2) (mean of squares + eps), in double and rounded once.
  void take_in(const UpdateScalars& scalars, const Tensor& sums, std::int64_t count,
               const Tensor& state) const {
    const auto scale = static_cast<double>(scalars.grad_scale), fresh = static_cast<double>(scalars.bias2);
    const auto v = state.flat<float>();
    for (std::int64_t i = 0; i < sums.cols; ++i) {
      const double sum = sums.row<double>(0)[i] + sums.row<double>(1)[i] + sums.row<double>(2)[i];
      const double mean = sum * scale * scale / static_cast<double>(count) + params_.eps;
      float& value = v[static_cast<std::size_t>(i)];
      value = static_cast<float>((1.0 - fresh) * static_cast<double>(value) + fresh * mean);
    }
  }

  // 1 / sqrt(v) as a product: of v_row / mean(v_row), absent for a vector, and of v_col.
  struct Factors {
    Tensor rows, cols;
  };
  static Factors factors_of(const TensorShare& tensor, const ChunkScratch& scratch) {
    const std::int64_t rows = is_matrix(*tensor.spec) ? tensor.spec->rows : 0, cols = tensor.spec->cols;
    Factors factors;
    if (rows > 0) factors.rows = scratch.more.col_range(0, rows);
    factors.cols = scratch.more.col_range(rows, cols);
    if (factors.cols.data == nullptr) return factors;
    if (rows > 0) {
      const auto v = tensor.states[kRow].flat<float>();
      invert_roots(v, mean_of(v), factors.rows);
    }
    invert_roots(tensor.states[kColumn].flat<float>(), 1.0, factors.cols);
    return factors;
  }
  static void invert_roots(std::span<const float> v, double mean, const Tensor& out) {
    std::ranges::transform(v, out.flat<float>().begin(), [mean](float value) {
      return static_cast<float>(1.0 / std::sqrt(static_cast<double>(value) / mean));
    });
  }

  // The elements from `begin` of g / sqrt(v).
  static Tensor direct(const UpdateCall& call, const TensorShare& tensor, const Factors& factors,
                       std::int64_t begin, Tensor u) {
    call.ops.factored_scale(chunk_of(tensor.grad, begin, u.cols), tensor.own.begin + begin,
                            call.scalars.grad_scale, factors.rows, factors.cols, u);
    return u;
  }

  [[nodiscard]] double parameter_scale(const TensorShare& tensor) const {
    if (!params_.scale_parameter) return 1.0;
    const double squares = sum_of(gradient_words(tensor).weights);
    return std::max(params_.min_rms, std::sqrt(squares / static_cast<double>(tensor.spec->numel())));
  }
  static double rms_of_update(const TensorShare& tensor) {
    return std::sqrt(sum_of(tensor.figures[kOfUpdate]) / static_cast<double>(tensor.spec->numel()));
  }

  AdafactorParams params_;
};

}  // namespace

std::unique_ptr<UpdateRule> make_adafactor(const AdafactorParams& params) {
  return std::make_unique<Adafactor>(params);
}

}  // namespace edgetrain
