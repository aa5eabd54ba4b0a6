// Micro-batches against the stream: shifted targets, positions, and the same samples for every layout.
#include "core/data/loader.h"

#include <gtest/gtest.h>

#include <vector>

#include "core/base/error.h"
#include "core/data/data_set.h"
#include "tests/core/data/text_folder.h"

namespace edgetrain {
namespace {

constexpr std::int64_t kSeqLen = 5;

struct Fixture {
  testing::TextFolder folder;
  DataSet data;
  Loader loader;

  explicit Fixture(DataOrder order = DataOrder::sequential, std::int64_t vocab = 257)
      : data(open(folder, vocab)),
        loader(data.corpus, data.splits.train, SampleOrder(order, 1, data.splits.train.count())) {}

  static DataSet open(const testing::TextFolder& folder, std::int64_t vocab) {
    folder.write("a.txt", "abcdefghijklmnopqrstuvw");  // 23 bytes, so the second document begins at token 24
    folder.write("b.txt", "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123");
    return open_byte_data_set(std::vector{folder.path()}, vocab, kSeqLen, 0.25);
  }
};

struct Batch {
  std::vector<std::int32_t> ids, targets, position;
  friend bool operator==(const Batch&, const Batch&) = default;
};

Batch load(const Loader& loader, PositionRange positions) {
  const auto rows = loader.rows(positions);
  const auto n = static_cast<std::size_t>(rows);
  Batch batch{std::vector<std::int32_t>(n), std::vector<std::int32_t>(n), std::vector<std::int32_t>(n)};
  loader.fill(positions, matrix(batch.ids.data(), rows, 1, Dtype::i32),
              matrix(batch.targets.data(), rows, 1, Dtype::i32),
              matrix(batch.position.data(), rows, 1, Dtype::i32));
  return batch;
}

TEST(Loader, TargetsAreTheNextTokens) {
  const Fixture fixture;
  const auto batch = load(fixture.loader, {0, 2});
  EXPECT_EQ(batch.ids, (std::vector<std::int32_t>{'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j'}));
  EXPECT_EQ(batch.targets, (std::vector<std::int32_t>{'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k'}));
  EXPECT_EQ(batch.position, (std::vector<std::int32_t>{0, 1, 2, 3, 4, 0, 1, 2, 3, 4}));
}

TEST(Loader, TheEndOfDocumentIsATokenLikeAnyOther) {
  const Fixture fixture;
  const auto batch = load(fixture.loader, {4, 5});
  EXPECT_EQ(batch.ids, (std::vector<std::int32_t>{'u', 'v', 'w', 256, 'A'}));
  EXPECT_EQ(batch.targets, (std::vector<std::int32_t>{'v', 'w', 256, 'A', 'B'}));
}

TEST(Loader, DocumentStartsAreRowsOfTheBatch) {
  const Fixture fixture;
  EXPECT_EQ(fixture.loader.document_starts({4, 5}), (std::vector<std::int64_t>{4}));
  EXPECT_EQ(fixture.loader.document_starts({2, 6}), (std::vector<std::int64_t>{14}));
  EXPECT_TRUE(fixture.loader.document_starts({0, 4}).empty());
}

TEST(Loader, ADocumentThatBeginsWithTheSampleIsNotListed) {
  const Fixture fixture(DataOrder::sequential, 256);  // no end of document: the second one begins at token 23
  EXPECT_EQ(fixture.loader.document_starts({4, 5}), (std::vector<std::int64_t>{3}));
  const auto first = fixture.data.corpus.document_starts(0, 1);
  EXPECT_EQ(first.size(), 1U);
  EXPECT_TRUE(fixture.loader.document_starts({0, 1}).empty());
}

TEST(Loader, WrapsIntoTheNextEpoch) {
  const Fixture fixture;
  const auto n = fixture.loader.order().num_samples();
  EXPECT_EQ(load(fixture.loader, {n, n + 2}), load(fixture.loader, {0, 2}));
}

// dp ranks and micro-batches cut the global batch differently; joined in rank order it is the same.
TEST(Loader, EveryLayoutReadsTheSameTokens) {
  const Fixture fixture(DataOrder::shuffled);
  constexpr std::int64_t kGlobal = 12, kNext = 5 * kGlobal;
  const auto whole = load(fixture.loader, {kNext, kNext + kGlobal});
  for (const int dp : {1, 2, 3, 4, 6}) {
    Batch joined;
    for (int d = 0; d < dp; ++d) {
      const auto mine = rank_positions(kNext, kGlobal, dp, d);
      for (std::int64_t p = mine.begin; p < mine.end; p += 2) {
        const auto part = load(fixture.loader, {p, std::min(p + 2, mine.end)});
        joined.ids.insert(joined.ids.end(), part.ids.begin(), part.ids.end());
        joined.targets.insert(joined.targets.end(), part.targets.begin(), part.targets.end());
        joined.position.insert(joined.position.end(), part.position.begin(), part.position.end());
      }
    }
    EXPECT_EQ(joined, whole) << dp;
  }
}

TEST(Loader, ValidationReadsTheTailOnly) {
  const Fixture fixture;
  const auto& part = fixture.data.splits.validation;
  const Loader validation(fixture.data.corpus, part, SampleOrder(DataOrder::sequential, 0, part.count()));
  const auto batch = load(validation, {0, part.count()});
  EXPECT_EQ(batch.ids.front(), 'R');  // token 41 of 54: 13 tokens of validation
  EXPECT_EQ(batch.targets.back(), '1');
}

TEST(Loader, RefusesTensorsOfTheWrongSize) {
  const Fixture fixture;
  std::vector<std::int32_t> values(100);
  const Tensor right = matrix(values.data(), 5, 1, Dtype::i32),
               wrong = matrix(values.data(), 6, 1, Dtype::i32);
  EXPECT_THROW(fixture.loader.fill({0, 1}, right, wrong, right), Error);
  EXPECT_THROW(fixture.loader.fill({0, 1}, matrix(values.data(), 5, 1, Dtype::f32), right, right), Error);
}

}  // namespace
}  // namespace edgetrain
