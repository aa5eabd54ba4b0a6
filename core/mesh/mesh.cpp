#include "core/mesh/mesh.h"

#include <algorithm>

#include "core/base/error.h"

namespace edgetrain {

Mesh::Mesh(Degrees degrees) : degrees_{degrees.pp, degrees.dp, degrees.cp, degrees.tp} {
  for (const int degree : degrees_) ET_CHECK(degree >= 1, "a mesh axis has degree {}", degree);
}

int Mesh::size() const {
  int product = 1;
  for (const int degree : degrees_) product *= degree;
  return product;
}

int Mesh::coordinate(Axis axis, int rank) const {
  ET_ASSERT(rank >= 0 && rank < size());
  for (int inner = kAxes - 1; inner > static_cast<int>(axis); --inner) {
    rank /= degrees_[static_cast<std::size_t>(inner)];
  }
  return rank % degree(axis);
}

int Mesh::rank_at(const std::array<int, kAxes>& coordinates) const {
  int rank = 0;
  for (std::size_t axis = 0; axis < kAxes; ++axis) {
    ET_ASSERT(coordinates[axis] >= 0 && coordinates[axis] < degrees_[axis]);
    rank = rank * degrees_[axis] + coordinates[axis];
  }
  return rank;
}

RankList Mesh::spanning(const std::vector<Axis>& axes, int rank) const {
  RankList members;
  for (int other = 0; other < size(); ++other) {
    bool same = true;
    for (int axis = 0; axis < kAxes && same; ++axis) {
      const auto a = static_cast<Axis>(axis);
      const bool free = std::find(axes.begin(), axes.end(), a) != axes.end();
      same = free || coordinate(a, other) == coordinate(a, rank);
    }
    if (same) members.push_back(other);
  }
  return members;
}

std::string Mesh::describe() const {
  std::string text;
  for (int axis = 0; axis < kAxes; ++axis) {
    const auto a = static_cast<Axis>(axis);
    text += fmt::format("{}{}{}", axis == 0 ? "" : " ", name_of(a), degree(a));
  }
  return text;
}

}  // namespace edgetrain
