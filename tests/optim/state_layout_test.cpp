// Where states lie: every value of every state once, over all ranks and inside the room that all of them
// plan.
#include "optim/state_layout.h"

#include <gtest/gtest.h>

#include <map>

#include "core/program/model_layout.h"
#include "tests/support/declared_unit.h"

namespace edgetrain {
namespace {

/// One state of each kind: of all elements, of those of vectors alone, per row and per column of matrices.
class FourStates final : public UpdateRule {
 public:
  FourStates() : UpdateRule(0.0) {}
  [[nodiscard]] std::string_view name() const override { return "four states"; }
  [[nodiscard]] std::span<const StateSpec> states() const override { return kStates; }
  [[nodiscard]] bool keeps(std::size_t state, const ParamSpec& spec) const override {
    return state == 0 || (state == 1) == (spec.dims == 1);
  }
  [[nodiscard]] UpdateScalars update_scalars(std::int64_t, double, double) const override { return {}; }
  void update(const UpdateCall&, const BucketShare&) const override {}

 private:
  static constexpr std::array kStates = {StateSpec{"all"}, StateSpec{"vectors"}, StateSpec{"rows", Per::row},
                                         StateSpec{"columns", Per::column}};
};

std::vector<std::unique_ptr<Unit>> one_unit() {
  const auto spec = [](const char* name, std::int64_t rows, std::int64_t cols, int dims) {
    ParamSpec out = testing::param_spec(name, rows, cols);
    out.dims = dims;
    return out;
  };
  std::vector<std::unique_ptr<Unit>> units;
  units.push_back(std::make_unique<testing::DeclaredUnit>(
      "block", std::vector{spec("norm", 1, 1500, 1), spec("wide", 33, 129, 2), spec("bias", 1, 129, 1),
                           spec("tall", 61, 17, 2), spec("last", 1, 701, 1)}));
  return units;
}

struct Shape {
  std::int64_t rows, cols;
};
Shape shape_of(std::size_t state, const ParamSpec& spec) {
  if (state == 2) return {spec.rows, 1};
  if (state == 3) return {1, spec.cols};
  return {spec.rows, spec.cols};
}

class StateLayout : public ::testing::TestWithParam<int> {
 protected:
  [[nodiscard]] OwnedBucket of(int rank) const {
    return {bucket(), layout_.table().specs, shard(bucket(), rank, GetParam())};
  }
  [[nodiscard]] const Bucket& bucket() const { return layout_.bucket(0); }

  std::vector<std::unique_ptr<Unit>> units_ = one_unit();
  ModelLayout layout_{units_, 1, 30};
  FourStates rule_;
};

TEST_P(StateLayout, CheckpointsHoldEveryValueOnce) {
  for (std::size_t state = 0; state < rule_.states().size(); ++state) {
    std::map<int, std::vector<int>> seen;  // by parameter
    for (int rank = 0; rank < GetParam(); ++rank) {
      for (const StatePiece& piece : state_pieces(rule_, state, of(rank), of(rank).owned)) {
        auto& counts = seen[piece.param];
        counts.resize(static_cast<std::size_t>(piece.rows * piece.cols));
        for (std::int64_t r = piece.tile.row; r < piece.tile.row + piece.tile.rows; ++r) {
          for (std::int64_t c = piece.tile.col; c < piece.tile.col + piece.tile.cols; ++c)
            ++counts.at(static_cast<std::size_t>(r * piece.cols + c));
        }
      }
    }
    for (std::size_t p = 0; p < layout_.table().specs.size(); ++p) {
      const auto& spec = layout_.table().specs[p];
      const auto found = seen.find(static_cast<int>(p));
      ASSERT_EQ(found != seen.end(), rule_.keeps(state, spec))
          << rule_.states()[state].name << " of " << spec.name;
      if (found == seen.end()) continue;
      const Shape shape = shape_of(state, spec);
      EXPECT_EQ(found->second, std::vector<int>(static_cast<std::size_t>(shape.rows * shape.cols), 1))
          << spec.name;
    }
  }
}

TEST_P(StateLayout, PlacesLieBesideEachOtherInTheRoomThatAllRanksPlan) {
  for (std::size_t state = 0; state < rule_.states().size(); ++state) {
    const std::int64_t room = state_room(rule_, state, of(0));
    for (int rank = 0; rank < GetParam(); ++rank) {
      EXPECT_EQ(state_room(rule_, state, of(rank)), room);
      std::int64_t end = 0;
      for (std::size_t i = 0; i < bucket().params.size(); ++i) {
        const Range place = state_place(rule_, state, of(rank), i);
        EXPECT_GE(place.begin, end);
        EXPECT_LE(place.end, room);
        end = place.end;
      }
    }
  }
}

// What a rank loads from a checkpoint: its own elements, all rows and columns; each piece inside its tensor's
// place.
TEST_P(StateLayout, RanksKeepTheirElementsAndAllRowsAndColumns) {
  for (std::size_t state = 0; state < rule_.states().size(); ++state) {
    for (int rank = 0; rank < GetParam(); ++rank) {
      std::map<int, std::int64_t> values;
      for (const StatePiece& piece : state_pieces(rule_, state, of(rank))) {
        values[piece.param] += piece.tile.numel();
        const Range place = state_place(rule_, state, of(rank), static_cast<std::size_t>(piece.param));
        EXPECT_GE(piece.tile.at, place.begin);
        EXPECT_LE(piece.tile.at + piece.tile.numel(), place.end);
      }
      for (std::size_t i = 0; i < bucket().params.size(); ++i)
        EXPECT_EQ(values[static_cast<int>(i)], state_place(rule_, state, of(rank), i).size());
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Ranks, StateLayout, ::testing::Values(1, 2, 3, 5),
                         ::testing::PrintToStringParamName());

TEST(StateRoom, IsWhatIsKeptAndNoMore) {
  const auto units = one_unit();
  const ModelLayout layout(units, 1, 1);
  const FourStates rule;
  const Bucket& bucket = layout.bucket(0);
  const OwnedBucket whole{bucket, layout.table().specs, {0, bucket.elements}};
  EXPECT_EQ(state_room(rule, 0, whole), bucket.elements);
  EXPECT_EQ(state_room(rule, 1, whole), 1500 + 129 + 701);
  EXPECT_EQ(state_room(rule, 2, whole), 33 + 61);
  EXPECT_EQ(state_room(rule, 3, whole), 129 + 17);
  const OwnedBucket grain{bucket, layout.table().specs, {0, kGrain}};
  EXPECT_EQ(state_room(rule, 1, grain), kGrain) << "a share cannot hold more than its elements";
  EXPECT_EQ(state_room(rule, 2, grain), 33 + 61);
}

}  // namespace
}  // namespace edgetrain
