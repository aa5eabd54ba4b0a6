// Runs a model, unit by unit, on any operators: parameters, gradients and saved fields in plain vectors.
//
// Why beside the real driver: gradient tests and golden tests must not depend on buckets, programs or slots.
// Every buffer is its own allocation and starts as NaN, so that a sanitizer sees overruns and a test sees
// whatever reads what was never written.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/comm/stream.h"
#include "core/memory/pool.h"
#include "core/model/context.h"
#include "core/model/mask.h"
#include "core/model/model.h"
#include "tests/support/matrix.h"

namespace edgetrain::testing {

/// A tensor with memory of its own, all bits set (NaN in every float type).
class OwnedTensor {
 public:
  OwnedTensor() = default;
  OwnedTensor(Dtype dtype, std::int64_t rows, std::int64_t cols);
  [[nodiscard]] Tensor view() const { return view_; }
  /// As a new one.
  void poison();

 private:
  std::vector<std::byte> bytes_;
  Tensor view_;
};

/// Scratch for a Context and for operators that need some.
class ScratchArena {
 public:
  explicit ScratchArena(std::int64_t bytes);
  [[nodiscard]] Workspace& workspace() { return workspace_; }

 private:
  Pool pool_;
  Arena arena_;
  Workspace workspace_;
};

/// Rows of whole samples, laid end to end; positions count from 0 in each.
struct TokenBatch {
  std::int64_t num_samples = 0, seq_len = 0;
  std::vector<std::int32_t> ids, targets, positions;
  std::vector<std::int64_t> document_starts;

  /// Ids and targets drawn from [0, vocab).
  static TokenBatch random(std::int64_t num_samples, std::int64_t seq_len, std::int64_t vocab,
                           std::uint64_t seed);
  /// Samples [begin, begin + count); without document starts.
  [[nodiscard]] TokenBatch samples(std::int64_t begin, std::int64_t count) const;
  [[nodiscard]] std::int64_t rows() const { return num_samples * seq_len; }
};

class ModelHarness {
 public:
  /// dtype f64 (OracleOps only) makes every tensor f64: then finite differences are good to six digits and
  /// more.
  ModelHarness(const ModelConfig& config, const ModelOptions& options, Ops& ops, Workspace& workspace);

  /// normal(0, std) for all; norm weights around 1. Large enough that every part of the model matters.
  void randomise(std::uint64_t seed, double std = 0.3);

  /// The loss of every row, by forward alone; nothing is kept.
  [[nodiscard]] std::vector<double> forward_losses(const TokenBatch& batch);
  /// Logits of the given rows, (n, V).
  [[nodiscard]] Matrix logits(const TokenBatch& batch, const std::vector<std::int32_t>& rows);
  /// Forward and backward of sum(loss) * loss_scale, added to the gradients since zero_grads(). Losses of
  /// every row.
  std::vector<double> step(const TokenBatch& batch, double loss_scale);
  /// Forgets the gradients: the next step overwrites them.
  void zero_grads();

  /// Every parameter that has memory of its own: a tied one only under its owner's name.
  [[nodiscard]] const std::vector<std::string>& names() const { return names_; }
  [[nodiscard]] Tensor param(const std::string& name) const { return params_.at(name); }
  /// Summed over the users of a tied parameter.
  [[nodiscard]] Matrix grad(const std::string& name) const;
  /// Gradient by the output of the embedding, of the latest step.
  [[nodiscard]] Matrix embedding_output_grad() const { return read(stream_grads_[0].view()); }
  /// Added to the output of the embedding in every forward, if its shape is that of the output.
  Matrix embedding_offset{0, 0};

  /// False: each backward gets a dx that is not dy. Programs use one memory for both.
  bool gradients_in_place = true;

  [[nodiscard]] const Model& model() const { return model_; }
  /// Called instead of Unit::forward where set: lets a test plant a fault.
  using ForwardFn = void (*)(const Unit&, Context&, const Batch&, Tensor x, Tensor y, Saved keep);
  ForwardFn forward_override = nullptr;

 private:
  struct UnitState {
    OwnedTensor param_memory, grad_memory;  // one row each, parameters back to back
    std::vector<Tensor> params, grads;
    std::vector<bool> grad_started;
    std::vector<OwnedTensor> saved;
    std::vector<Tensor> saved_views;
    OwnedTensor output;
  };
  struct BoundBatch;
  void allocate_parameters(std::size_t unit);
  void allocate_activations(std::int64_t rows);
  [[nodiscard]] Context bound_context(std::size_t unit, Tensor losses, float loss_scale, bool backward);
  void forward_units(const Batch& batch, bool keep);
  void backward_units(const Batch& batch, Tensor losses, double loss_scale);
  [[nodiscard]] Tensor input_of(std::size_t unit) const;

  Model model_;
  Ops& ops_;
  Workspace& workspace_;
  HostStream stream_;
  std::vector<UnitState> units_;
  std::vector<std::string> names_;
  std::map<std::string, Tensor> params_;
  std::array<OwnedTensor, 2> stream_grads_;  // of the residual stream; [0] holds the embedding's in the end
};

}  // namespace edgetrain::testing
