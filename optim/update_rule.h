// An optimizer: what it keeps, its scalars per step, and the update of a rank's share of a bucket.
//
// Why shares: a ZeRO shard, a chunk streamed from host or SSD and a whole bucket are all ranges of a flat
// bucket, and any split must give the same bits (docs/proofs.md). An elementwise rule (elementwise_rule.h)
// sees nothing but such ranges. Any other rule (tensor_rule.h) first measures what it needs of whole tensors:
// figures that add up exactly (figures.h), summed over all shares before the update reads them; or a matrix
// that is assembled from its shards.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "core/memory/pool.h"
#include "core/model/param.h"
#include "core/model/tile.h"
#include "core/ops/ops.h"
#include "core/tensor/tensor.h"
#include "optim/storage.h"

namespace edgetrain {

/// What a state holds one value for. Those of rows and columns are small: every rank keeps them whole.
enum class Per : std::uint8_t { element, row, column };

/// A state that the rule keeps beside the master weight, in f32 while it updates; zero before the first step.
struct StateSpec {
  std::string_view name;  // "m", "v": key in checkpoints
  Per per = Per::element;
  bool never_negative = false;  // a second moment
};

/// Hyper-parameters that may differ from tensor to tensor.
struct Hyper {
  double lr_scale = 1.0;  // times the learning rate of the step
  double weight_decay = 0.0;
  friend bool operator==(const Hyper&, const Hyper&) = default;
};

/// Rules measure at most so many times before they update.
inline constexpr int kMaxPhases = 2;

/// One logical tensor during an update, as far as it lies in this rank's share of the bucket.
struct TensorShare {
  const ParamSpec* spec = nullptr;
  Hyper hyper;
  Range own;            // its elements in the share, counted in the tensor (row-major); may be empty
  std::int64_t at = 0;  // where own.begin lies in the share, whose first element begins a grain of the bucket
  Tensor grad, master, out;               // (1, own.size()); out absent where weights are f32
  std::array<Tensor, kMaxStates> states;  // per element: (1, own.size()); per row or column: (1, all of them)
  /// (1, n) f64 per phase: while measuring what this rank adds, afterwards the sum over all shares.
  std::array<Tensor, kMaxPhases> figures;
  Tensor whole;  // (rows, cols) f32, for a tensor that the rule wants whole
};

/// A rank's share of a bucket. Dry: addresses are null, shapes are right.
struct BucketShare {
  Tensor grad, master, out;        // (1, n)
  std::span<const Tensor> states;  // in the order of UpdateRule::states()
  /// In memory order: all of the bucket, or, of values that are stored packed, those that lie in the share.
  std::span<const TensorShare> tensors;
};

/// What every update of a step is given.
struct UpdateCall {
  Ops& ops;
  Workspace& workspace;
  const UpdateScalars& scalars;
  double square_sum = 0.0;  // of the whole gradient as it lies in memory, agreed by all ranks
};

class UpdateRule {
 public:
  /// `weight_decay`: of tensors that decay and belong to no group with a decay of its own.
  explicit UpdateRule(double weight_decay) : weight_decay_(weight_decay) {}
  UpdateRule(const UpdateRule&) = delete;
  UpdateRule& operator=(const UpdateRule&) = delete;
  virtual ~UpdateRule() = default;

  /// "adamw", "sgd": the name in jobs and checkpoints.
  [[nodiscard]] virtual std::string_view name() const = 0;
  [[nodiscard]] virtual std::span<const StateSpec> states() const = 0;
  /// Whether the tensor keeps that state.
  [[nodiscard]] virtual bool keeps(std::size_t /*state*/, const ParamSpec&) const { return true; }
  /// What is left of a state after a step whose gradient is 0.
  [[nodiscard]] virtual double decay(std::size_t /*state*/) const { return 1.0; }
  /// Whether update() does the same on any split of the share, without workspace and without the figures.
  [[nodiscard]] virtual bool is_elementwise() const { return false; }
  /// Whether the states and the weights may be kept in fewer bits (storage.h): all tensors keep all states,
  /// per element, and measure() and update() may be called share by share, however the bucket is cut.
  [[nodiscard]] virtual bool takes_packed_values() const { return is_elementwise(); }
  /// How values are kept; f32 with a master copy unless said otherwise.
  [[nodiscard]] const UpdateStorage& storage() const { return storage_; }
  void keep_as(const UpdateStorage& storage);
  [[nodiscard]] Hyper hyper(const ParamSpec& spec) const {
    return {spec.lr_scale, spec.weight_decay.value_or(spec.decay ? weight_decay_ : 0.0)};
  }
  /// The scalars of step t >= 1. Powers and bias corrections are computed in double and rounded once.
  [[nodiscard]] virtual UpdateScalars update_scalars(std::int64_t step, double lr,
                                                     double grad_scale) const = 0;

  /// How often the rule measures, at most kMaxPhases, each time knowing the figures of the phases before.
  [[nodiscard]] virtual int phases() const { return 0; }
  /// Words (f64) that a tensor's figures take in that phase.
  [[nodiscard]] virtual std::int64_t figures(int /*phase*/, const ParamSpec&) const { return 0; }
  /// Whether the phase has anything to do with the tensor.
  [[nodiscard]] virtual bool measures(int phase, const ParamSpec& spec) const {
    return figures(phase, spec) > 0;
  }
  /// Whether measuring leaves something (1 value of f32 per element, in TensorShare::whole) that the update
  /// of any part of the tensor needs all of.
  [[nodiscard]] virtual bool wants_whole(const ParamSpec&) const { return false; }
  /// False: measuring was the last that the gradient was needed for.
  [[nodiscard]] virtual bool update_reads_grad() const { return true; }

  /// Adds the share's figures of that phase, which begin as zeros. May rewrite states.
  virtual void measure(int phase, const UpdateCall& call, const BucketShare& share) const;
  /// One step on the share, in place.
  /// Shapes:  grad (1, n) in any floating-point type, as stored; master (1, n) f32; states f32; out absent or
  /// (1, n) of 16 bit, which receives the rounded master; all contiguous. Elements of no tensor (padding)
  /// stay as they are.
  virtual void update(const UpdateCall& call, const BucketShare& share) const = 0;

 private:
  double weight_decay_;
  UpdateStorage storage_;
};

}  // namespace edgetrain
