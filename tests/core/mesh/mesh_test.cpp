// Group arithmetic: for every grid with degrees up to 4, every axis cuts the ranks into equal, disjoint,
// ordered groups.
#include "core/mesh/mesh.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "core/base/error.h"

namespace edgetrain {
namespace {

constexpr Axis kEvery[] = {Axis::pp, Axis::dp, Axis::cp, Axis::tp};

std::vector<Mesh> grids() {
  std::vector<Mesh> out;
  for (int pp = 1; pp <= 4; ++pp) {
    for (int dp = 1; dp <= 4; ++dp) {
      for (int cp = 1; cp <= 4; ++cp) {
        for (int tp = 1; tp <= 4; ++tp) out.emplace_back(Mesh::Degrees{pp, dp, cp, tp});
      }
    }
  }
  out.emplace_back(Mesh::Degrees{5, 7, 1, 3});
  return out;
}

std::vector<std::vector<Axis>> sets_of_axes() {
  std::vector<std::vector<Axis>> out;
  for (unsigned mask = 0; mask < 16; ++mask) {
    auto& axes = out.emplace_back();
    for (unsigned a = 0; a < kAxes; ++a) {
      if ((mask >> a & 1U) != 0) axes.push_back(kEvery[a]);
    }
  }
  return out;
}

int degree_of(const Mesh& mesh, const std::vector<Axis>& axes) {
  int product = 1;
  for (const Axis axis : axes) product *= mesh.degree(axis);
  return product;
}

TEST(Mesh, CoordinatesAndRanksAreOneToOne) {
  for (const Mesh& mesh : grids()) {
    for (int rank = 0; rank < mesh.size(); ++rank) {
      std::array<int, kAxes> at{};
      for (std::size_t a = 0; a < kAxes; ++a) {
        at[a] = mesh.coordinate(kEvery[a], rank);
        ASSERT_GE(at[a], 0);
        ASSERT_LT(at[a], mesh.degree(kEvery[a])) << mesh.describe();
      }
      ASSERT_EQ(mesh.rank_at(at), rank) << mesh.describe();
    }
  }
}

TEST(Mesh, TensorParallelRanksAreNeighboursAndPipelineStagesAreFarApart) {
  const Mesh mesh({2, 3, 1, 2});
  EXPECT_EQ(mesh.along(Axis::tp, 0), (RankList{0, 1}));
  EXPECT_EQ(mesh.along(Axis::dp, 1), (RankList{1, 3, 5}));
  EXPECT_EQ(mesh.along(Axis::pp, 5), (RankList{5, 11}));
  EXPECT_EQ(mesh.replicas(2), (RankList{0, 2, 4}));
  EXPECT_EQ(mesh.describe(), "pp2 dp3 cp1 tp2");
}

// Every choice of axes: each rank is in its own group, its members have the very same group, and sizes
// multiply.
TEST(Mesh, EveryChoiceOfAxesPartitionsTheRanks) {
  for (const Mesh& mesh : grids()) {
    for (const auto& axes : sets_of_axes()) {
      std::set<RankList> groups;
      for (int rank = 0; rank < mesh.size(); ++rank) {
        const RankList group = mesh.spanning(axes, rank);
        ASSERT_TRUE(std::is_sorted(group.begin(), group.end()));
        ASSERT_TRUE(std::binary_search(group.begin(), group.end(), rank));
        ASSERT_EQ(static_cast<int>(group.size()), degree_of(mesh, axes)) << mesh.describe();
        groups.insert(group);
      }
      std::set<int> covered;
      for (const auto& group : groups) covered.insert(group.begin(), group.end());
      ASSERT_EQ(static_cast<int>(covered.size()), mesh.size());
      ASSERT_EQ(static_cast<int>(groups.size()) * degree_of(mesh, axes), mesh.size()) << "groups overlap";
    }
  }
}

TEST(Mesh, MembersOfAGroupDifferInItsAxesAlone) {
  for (const Mesh& mesh : grids()) {
    for (int rank = 0; rank < mesh.size(); rank += 3) {
      for (const Axis axis : kEvery) {
        const RankList group = mesh.along(axis, rank);
        for (std::size_t i = 0; i < group.size(); ++i) {
          for (const Axis other : kEvery) {
            const int expected = other == axis ? static_cast<int>(i) : mesh.coordinate(other, rank);
            ASSERT_EQ(mesh.coordinate(other, group[i]), expected) << mesh.describe();
          }
        }
      }
      ASSERT_EQ(mesh.replicas(rank), mesh.spanning({Axis::cp, Axis::dp}, rank));
      ASSERT_EQ(mesh.program_class(rank), mesh.coordinate(Axis::pp, rank));
    }
  }
}

TEST(Mesh, RefusesWhatIsNoGrid) {
  EXPECT_THROW(Mesh({1, 0, 1, 1}), Error);
  EXPECT_THROW(Mesh({1, 1, 1, -2}), Error);
  const Mesh mesh({1, 3, 1, 1});
  EXPECT_THROW((void)mesh.coordinate(Axis::dp, 3), Error);
  EXPECT_THROW((void)mesh.rank_at({0, 3, 0, 0}), Error);
}

}  // namespace
}  // namespace edgetrain
