// Reductions come as early as a gradient is complete and gathers after their update, for what is trained and
// no more.
#include "parallel/zero/replicate.h"

#include <gtest/gtest.h>

#include "core/comm/dry_communicator.h"
#include "core/program/skeleton.h"
#include "optim/update_pass.h"
#include "tests/support/declared_unit.h"

namespace edgetrain {
namespace {

constexpr int kTied = 0, kBlock = 1, kNorm = 3;

class ReplicateTest : public ::testing::Test {
 protected:
  Program program(int zero, int count, int micro_batches, int leaves = 0) {
    layout_ = std::make_unique<ModelLayout>(units_, 5, count);
    const DryCommunicator replicas(count, 1 % count, "dp", [](const CommCall& call) {
      return CommCost{0, 3 * call.in.bytes()};
    });
    Program out = skeleton(accumulation_schedule(micro_batches), {{0, 3}}, 2);
    if (leaves > 0) add_summation_tree(out, micro_batches, leaves, {{kTied}, {kBlock}, {kNorm, kTied}});
    add_updates(out, *layout_, kWorldGroup, 0);
    add_replication(out, *layout_, {zero, count, 1 % count}, replicas);
    return out;
  }
  // Positions of the instructions of that verb and target.
  static std::vector<std::size_t> at(const Program& program, Verb verb, int target) {
    std::vector<std::size_t> out;
    for (std::size_t i = 0; i < program.instrs.size(); ++i) {
      if (program.instrs[i].verb == verb && program.instrs[i].target == target) out.push_back(i);
    }
    return out;
  }
  std::vector<std::unique_ptr<Unit>> units_ = testing::three_declared_units();
  std::unique_ptr<ModelLayout> layout_;
};

TEST_F(ReplicateTest, ReducesRightAfterTheLastWriter) {
  const Program p = program(0, 3, 2);
  const int last_writer[] = {0, 1, -1,
                             2};  // the tied weight is complete with the embedding, not with the head
  for (int bucket = 0; bucket < 4; ++bucket) {
    const auto reduce = at(p, Verb::reduce, bucket);
    if (last_writer[bucket] < 0) {
      EXPECT_TRUE(reduce.empty()) << "a frozen bucket is reduced";
      continue;
    }
    ASSERT_EQ(reduce.size(), 1U);
    EXPECT_EQ(reduce[0], at(p, Verb::backward, last_writer[bucket]).back() + 1);
    EXPECT_LT(reduce[0], at(p, Verb::norm, bucket).front());
    const auto& step = p.instrs[reduce[0]].comm.at(0);
    EXPECT_EQ(step.op, Collective::all_reduce);
    EXPECT_EQ(step.group, kReplicaGroup);
    EXPECT_EQ(step.bytes, layout_->bucket(bucket).elements * 4);
    EXPECT_EQ(step.sent, 3 * step.bytes);
    EXPECT_TRUE(at(p, Verb::gather, bucket).empty());
  }
}

TEST_F(ReplicateTest, WaitsForTheWholeTree) {
  const Program p = program(1, 2, 4, 4);
  for (const int bucket : {kTied, kBlock, kNorm}) {
    EXPECT_EQ(at(p, Verb::reduce, bucket).at(0), at(p, Verb::fold, bucket).back() + 1);
  }
}

TEST_F(ReplicateTest, ZeroOneScattersAndGathersAfterTheUpdate) {
  const Program p = program(1, 3, 1);
  for (const int bucket : {kTied, kBlock, kNorm}) {
    EXPECT_EQ(p.instrs[at(p, Verb::reduce, bucket).at(0)].comm.at(0).op, Collective::reduce_scatter);
    const auto gather = at(p, Verb::gather, bucket);
    ASSERT_EQ(gather.size(), 1U);
    EXPECT_EQ(gather[0], at(p, Verb::update, bucket).at(0) + 1);
    EXPECT_TRUE(p.instrs[gather[0]].unless_skipped) << "a skipped update has nothing to gather";
  }
}

TEST_F(ReplicateTest, OneReplicaChangesNothing) {
  for (const auto& instr : program(1, 1, 2).instrs) {
    EXPECT_NE(instr.verb, Verb::reduce);
    EXPECT_NE(instr.verb, Verb::gather);
  }
}

// in and out of the calls are the shards that owned() names: part i of N equal parts.
TEST_F(ReplicateTest, CallsWorkInPlaceOnTheOwnShard) {
  (void)program(1, 3, 1);
  const Bucket& bucket = layout_->bucket(kBlock);
  std::vector<std::byte> memory(static_cast<std::size_t>(bucket.elements * 4));
  for (int index = 0; index < 3; ++index) {
    const Replication replication{1, 3, index};
    std::byte* part = memory.data() + replication.owned(bucket).begin * 4;
    const CommCall reduce = reduce_call(bucket, replication, memory.data());
    const CommCall gather = gather_call(bucket, replication, memory.data());
    EXPECT_EQ(reduce.in.numel(), bucket.elements);
    EXPECT_EQ(reduce.out.data, part);
    EXPECT_EQ(reduce.out.numel() * 3, bucket.elements);
    EXPECT_EQ(gather.in.data, part);
    EXPECT_EQ(gather.out.data, memory.data());
    EXPECT_EQ(gather.out.numel(), bucket.elements);
  }
  const CommCall whole = reduce_call(bucket, {0, 3, 1}, memory.data());
  EXPECT_EQ(whole.out.data, whole.in.data);
  EXPECT_EQ(whole.out.numel(), bucket.elements);
}

}  // namespace
}  // namespace edgetrain
