// Property tests of the arithmetic between names and addresses, on random parameter tables with odd shapes,
// joined, tied and frozen parameters. The seed of a failing table is printed.
#include "core/model/bucket.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

#include "core/base/error.h"
#include "core/program/model_layout.h"
#include "tests/support/declared_unit.h"

namespace edgetrain {
namespace {

constexpr int kShardCounts[] = {1, 2, 3, 5, 7, 8};
constexpr unsigned kTables = 200;

using testing::DeclaredUnit;
using testing::param_spec;
using Units = std::vector<std::unique_ptr<Unit>>;

class Tables {
 public:
  explicit Tables(unsigned seed) : random_(seed) {}

  Units units() {
    Units out;
    const int count = below(4) + 1;
    for (int unit = 0; unit < count; ++unit) out.push_back(one(unit));
    return out;
  }

 private:
  int below(int n) { return static_cast<int>(random_() % static_cast<unsigned>(n)); }
  std::int64_t length() {
    constexpr std::int64_t kLengths[] = {1, 2, 3, 7, 13, 32, 33, 61, 129, 400};
    return kLengths[static_cast<std::size_t>(below(10))];
  }

  std::unique_ptr<Unit> one(int unit) {
    std::vector<ParamSpec> params;
    const int count = below(7);
    for (int p = 0; p < count; ++p) {
      ParamSpec spec =
          param_spec("unit" + std::to_string(unit) + "." + std::to_string(p), length(), length());
      spec.joined = p > 0 && below(3) == 0;
      if (spec.joined) {  // what is joined is one matrix: same columns and same bucket as its neighbour
        spec.cols = params.back().cols;
        spec.trainable = params.back().trainable;
        spec.dtype = params.back().dtype;
        spec.tp_sum = params.back().tp_sum;
      } else {
        spec.trainable = below(4) != 0;
        spec.dtype = below(4) == 0 ? Dtype::bf16 : Dtype::f32;
        spec.tp_sum = below(4) == 0 ? TpSum::kv_peers : TpSum::none;
      }
      params.push_back(spec);
    }
    if (!ownable_.empty() && below(2) == 0) {
      ParamSpec tied = ownable_[static_cast<std::size_t>(below(static_cast<int>(ownable_.size())))];
      tied.tied_to = tied.name;
      tied.name = "unit" + std::to_string(unit) + ".tied";
      params.push_back(tied);
    }
    for (std::size_t p = 0; p < params.size(); ++p) {
      const bool in_a_joined_run = params[p].joined || (p + 1 < params.size() && params[p + 1].joined);
      if (params[p].tied_to.empty() && !in_a_joined_run) ownable_.push_back(params[p]);
    }
    return std::make_unique<DeclaredUnit>("unit" + std::to_string(unit), params);
  }

  std::mt19937 random_;
  std::vector<ParamSpec> ownable_;
};

template <class Body>
void for_every_table(Body body) {
  for (unsigned seed = 1; seed <= kTables; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const Units units = Tables(seed).units();
    for (const int shards : kShardCounts) {
      SCOPED_TRACE(std::to_string(shards) + " shards");
      body(units, shards);
      if (::testing::Test::HasFatalFailure()) return;
    }
  }
}

TEST(Bucket, EveryParameterHasOneHomeAmongItsKind) {
  for_every_table([](const Units& units, int shards) {
    const ParamTable table = make_param_table(units);
    const auto buckets = make_buckets(table, shards);
    std::vector<int> homes(table.specs.size());
    int owner = -1;
    for (const auto& bucket : buckets) {
      ASSERT_GE(bucket.users.front(), owner) << "buckets are out of the order of their owners";
      owner = bucket.users.front();
      ASSERT_EQ(bucket.elements % (kGrain * shards), 0);
      ASSERT_LT(bucket.elements - bucket.used, kGrain * shards) << "padded more than needed";
      const auto& first = table.specs[static_cast<std::size_t>(bucket.params.front())];
      for (const int param : bucket.params) {
        ++homes[static_cast<std::size_t>(param)];
        const auto& spec = table.specs[static_cast<std::size_t>(param)];
        ASSERT_EQ(spec.trainable, first.trainable);
        ASSERT_EQ(spec.dtype, bucket.dtype);
        ASSERT_EQ(spec.tp_sum, first.tp_sum);
      }
      for (const int user : bucket.users) {
        const auto& of_unit = table.of_unit[static_cast<std::size_t>(user)];
        ASSERT_NE(std::find(of_unit.begin(), of_unit.end(), bucket.params.front()), of_unit.end());
      }
    }
    ASSERT_TRUE(std::all_of(homes.begin(), homes.end(), [](int n) { return n == 1; }));
  });
}

TEST(Bucket, JoinedParametersAreAdjacentAndOthersStartOnACacheLine) {
  for_every_table([](const Units& units, int shards) {
    const ParamTable table = make_param_table(units);
    for (const auto& bucket : make_buckets(table, shards)) {
      std::int64_t end = 0;
      for (std::size_t i = 0; i < bucket.params.size(); ++i) {
        const auto& spec = table.specs[static_cast<std::size_t>(bucket.params[i])];
        ASSERT_GE(bucket.at[i], end);
        if (spec.joined) {
          ASSERT_EQ(bucket.at[i], end);
          ASSERT_EQ(bucket.params[i], bucket.params[i - 1] + 1) << "joined to a stranger";
        } else {
          ASSERT_EQ(bucket.at[i] % 32, 0);
          ASSERT_LT(bucket.at[i] - end, 32);
        }
        end = bucket.at[i] + spec.numel();
      }
      ASSERT_EQ(bucket.used, end);
    }
  });
}

TEST(Bucket, ShardsPartitionTheBucket) {
  for_every_table([](const Units& units, int shards) {
    for (const auto& bucket : make_buckets(make_param_table(units), shards)) {
      std::int64_t end = 0;
      for (int i = 0; i < shards; ++i) {
        const Range part = shard(bucket, i, shards);
        ASSERT_EQ(part.begin, end);
        ASSERT_EQ(part.size() % kGrain, 0);
        end = part.end;
      }
      ASSERT_EQ(end, bucket.elements);
    }
  });
}

// Each shard keeps its own memory. Unique numbers written by (param, row, col) through the tiles of all
// shards, then read back by flat position in the bucket: every element once, each at its place, and padding
// untouched.
void round_trip(const ModelLayout& layout, int index, int shards) {
  const auto& bucket = layout.bucket(index);
  const auto& specs = layout.table().specs;
  std::vector<std::vector<std::int64_t>> memory;
  for (int s = 0; s < shards; ++s) {
    const Range range = shard(bucket, s, shards);
    auto& part = memory.emplace_back(static_cast<std::size_t>(range.size()), -1);
    std::int64_t last_end = 0;
    for (const Tile& tile : tiles(bucket, specs, range)) {
      ASSERT_GE(tile.at, last_end) << "not in memory order";
      last_end = tile.at + tile.numel();
      const auto& spec = specs[static_cast<std::size_t>(tile.param)];
      ASSERT_TRUE(tile.row >= 0 && tile.rows > 0 && tile.row + tile.rows <= spec.rows);
      ASSERT_TRUE(tile.col >= 0 && tile.cols > 0 && tile.col + tile.cols <= spec.cols);
      ASSERT_TRUE(tile.cols == spec.cols || tile.rows == 1) << "a part of a row is one row high";
      for (std::int64_t i = 0; i < tile.numel(); ++i) {
        const std::int64_t row = tile.row + i / tile.cols, col = tile.col + i % tile.cols;
        auto& cell = part.at(static_cast<std::size_t>(tile.at + i));
        ASSERT_EQ(cell, -1) << "two tiles share an element";
        cell = (static_cast<std::int64_t>(tile.param) << 32) + row * spec.cols + col;
      }
    }
  }
  std::vector<std::int64_t> whole;
  for (const auto& part : memory) whole.insert(whole.end(), part.begin(), part.end());
  std::vector<std::int64_t> expected(static_cast<std::size_t>(bucket.elements), -1);
  for (std::size_t i = 0; i < bucket.params.size(); ++i) {
    const auto& spec = specs[static_cast<std::size_t>(bucket.params[i])];
    for (std::int64_t e = 0; e < spec.numel(); ++e) {
      expected[static_cast<std::size_t>(bucket.at[i] + e)] =
          (static_cast<std::int64_t>(bucket.params[i]) << 32) + e;
    }
  }
  ASSERT_EQ(whole, expected);
  for (const Range& gap : layout.gaps(index)) {
    for (std::int64_t e = gap.begin; e < gap.end; ++e) {
      auto& cell = expected[static_cast<std::size_t>(e)];
      ASSERT_EQ(cell, -1) << "a gap covers a parameter, or two gaps overlap";
      cell = -2;
    }
  }
  ASSERT_EQ(std::count(expected.begin(), expected.end(), -1), 0) << "a gap is missing";
}

TEST(Bucket, TilesOfTheShardsAndTheGapsCoverTheBucketOnce) {
  for_every_table([](const Units& units, int shards) {
    const ModelLayout layout(units, 3, shards);
    for (int b = 0; b < static_cast<int>(layout.buckets().size()); ++b) {
      round_trip(layout, b, shards);
      if (::testing::Test::HasFatalFailure()) return;
    }
  });
}

TEST(Bucket, TilesOfAnyRangeAreThoseOfTheWholeCutToIt) {
  std::mt19937 random(7);
  for_every_table([&](const Units& units, int shards) {
    const ParamTable table = make_param_table(units);
    for (const auto& bucket : make_buckets(table, shards)) {
      const auto a = static_cast<std::int64_t>(random() % static_cast<unsigned>(bucket.elements + 1));
      const auto b = static_cast<std::int64_t>(random() % static_cast<unsigned>(bucket.elements + 1));
      const Range range{std::min(a, b), std::max(a, b)};
      std::int64_t inside = 0;
      for (std::size_t i = 0; i < bucket.params.size(); ++i) {
        const auto numel = table.specs[static_cast<std::size_t>(bucket.params[i])].numel();
        inside += std::max<std::int64_t>(
            0, std::min(range.end, bucket.at[i] + numel) - std::max(range.begin, bucket.at[i]));
      }
      std::int64_t covered = 0;
      std::vector<int> tiles_of(table.specs.size());
      for (const Tile& tile : tiles(bucket, table.specs, range)) {
        covered += tile.numel();
        ASSERT_LE(++tiles_of[static_cast<std::size_t>(tile.param)], 3);
        const auto place =
            std::find(bucket.params.begin(), bucket.params.end(), tile.param) - bucket.params.begin();
        const auto& spec = table.specs[static_cast<std::size_t>(tile.param)];
        ASSERT_EQ(range.begin + tile.at,
                  bucket.at[static_cast<std::size_t>(place)] + tile.row * spec.cols + tile.col);
      }
      ASSERT_EQ(covered, inside);
    }
  });
}

TEST(Bucket, ATiedWeightIsABucketOfItsOwnWithTwoUsers) {
  Units units;
  units.push_back(std::make_unique<DeclaredUnit>(
      "embedding", std::vector{param_spec("wte", 5, 3), param_spec("wpe", 1, 3)}));
  ParamSpec head = param_spec("lm_head", 5, 3);
  head.tied_to = "wte";
  units.push_back(std::make_unique<DeclaredUnit>("head", std::vector{param_spec("norm", 1, 3), head}));
  const ParamTable table = make_param_table(units);
  const auto buckets = make_buckets(table, 2);
  ASSERT_EQ(buckets.size(), 3U);
  EXPECT_EQ(buckets[0].users, (std::vector<int>{0, 1}));
  EXPECT_EQ(buckets[0].params, (std::vector<int>{table.find("wte")}));
  EXPECT_EQ(table.find("lm_head"), -1);
  EXPECT_EQ(table.num_elements(), 15 + 3 + 3);
  EXPECT_EQ(table.of_unit[1], (std::vector<int>{table.find("norm"), table.find("wte")}));
}

TEST(Bucket, RefusesDoubleNamesAndImpossibleTies) {
  const auto refused = [](std::vector<ParamSpec> params) {
    Units units;
    units.push_back(std::make_unique<DeclaredUnit>("unit", std::move(params)));
    EXPECT_THROW((void)make_param_table(units), Error);
  };
  refused({param_spec("a", 1, 1), param_spec("a", 3, 7)});
  ParamSpec tied = param_spec("b", 3, 7);
  tied.tied_to = "nobody";
  refused({tied});
  tied.tied_to = "a";
  refused({param_spec("a", 7, 3), tied});
}

}  // namespace
}  // namespace edgetrain
