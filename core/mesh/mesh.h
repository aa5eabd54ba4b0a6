// The process grid pp x dp x cp x tp (outermost first) and every group that it implies. Pure arithmetic, no
// MPI.
//
// Why here and not in parallel/: the planner and the verifier answer for ranks that do not exist on this
// machine.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "core/mesh/axis.h"

namespace edgetrain {

/// World ranks in canonical (ascending coordinate) order.
using RankList = std::vector<int>;

class Mesh {
 public:
  struct Degrees {
    int pp = 1, dp = 1, cp = 1, tp = 1;
  };
  explicit Mesh(Degrees degrees);

  [[nodiscard]] int size() const;
  [[nodiscard]] int degree(Axis axis) const { return degrees_[static_cast<std::size_t>(axis)]; }
  /// Coordinate of `rank` along `axis`, in [0, degree).
  [[nodiscard]] int coordinate(Axis axis, int rank) const;
  [[nodiscard]] int rank_at(const std::array<int, kAxes>& coordinates) const;
  /// The ranks that differ from `rank` in `axis` alone, itself included.
  [[nodiscard]] RankList along(Axis axis, int rank) const { return spanning({axis}, rank); }
  /// The ranks that hold copies of a dense parameter of `rank` and see other tokens: dp x cp. Gradients are
  /// summed over it.
  [[nodiscard]] RankList replicas(int rank) const { return spanning({Axis::dp, Axis::cp}, rank); }
  /// The ranks that agree with `rank` on every axis not in `axes`.
  [[nodiscard]] RankList spanning(const std::vector<Axis>& axes, int rank) const;
  /// Ranks with the same program form a class: same pipeline stage. In [0, pp).
  [[nodiscard]] int program_class(int rank) const { return coordinate(Axis::pp, rank); }
  /// "pp1 dp2 cp1 tp1"
  [[nodiscard]] std::string describe() const;

 private:
  std::array<int, kAxes> degrees_;
};

}  // namespace edgetrain
