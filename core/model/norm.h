// The normalisation before a sub-layer: RMSNorm or LayerNorm behind one face.
//
// Statistics are never saved: backward needs the normalised rows again anyway, and making them gives the same
// bits.
#pragma once

#include "core/model/context.h"
#include "core/model/declaration.h"
#include "core/model/linear.h"

namespace edgetrain {

struct Norm {
  enum class Kind : std::uint8_t { rms, layer };
  Kind kind = Kind::rms;
  int weight = -1, bias = -1;  // bias: LayerNorm only
  float eps = 1e-5F;

  /// Per row; (T, 1) each. mean: LayerNorm only.
  struct Statistics {
    Tensor mean, rstd;
  };
  /// Scratch for the statistics of x.
  [[nodiscard]] Statistics statistics(Context& ctx, Tensor x) const;
  /// y = norm(x); fills `stats`.
  void forward(Context& ctx, Tensor x, Tensor y, const Statistics& stats) const;
  /// dx = (accumulate ? dx : 0) + gradient; dx may be dy if not accumulating. Adds to the parameters'
  /// accumulators.
  void backward(Context& ctx, Tensor x, const Statistics& stats, Tensor dy, Tensor dx, bool accumulate) const;
};

/// `name` without ".weight".
[[nodiscard]] Norm declare_norm(ParamList& params, Norm::Kind kind, const std::string& name,
                                std::int64_t cols, float eps);

/// y = linear(norm(x)): how each half of a block, and the head, begin.
struct NormedLinear {
  Norm norm;
  Linear linear;

  /// `normed` (T, in) is overwritten with norm(x).
  void forward(Context& ctx, Tensor x, Tensor normed, Tensor y) const;
  /// dx = (accumulate ? dx : 0) + gradient by x. Makes norm(x) again, in scratch of x's shape.
  void backward(Context& ctx, Tensor x, Tensor dy, Tensor dx, bool accumulate) const;
};

}  // namespace edgetrain
