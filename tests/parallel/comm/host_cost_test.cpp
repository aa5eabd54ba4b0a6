// The pure formulas: parts, algorithm choice, bytes and window sizes. No MPI.
#include "parallel/comm/host_cost.h"

#include <gtest/gtest.h>

#include "parallel/comm/parts.h"
#include "parallel/comm/shared_layout.h"

namespace edgetrain::testing {
namespace {

CommCall all_reduce(std::int64_t n, Dtype dtype = Dtype::f32) {
  CommCall call;
  call.op = Collective::all_reduce;
  call.in = call.out = vector_of(nullptr, n, dtype);
  return call;
}

TEST(Parts, CoverEverythingOnceInOrder) {
  for (const std::int64_t n : {0, 1, 3, 7, 1023, 1024, 1027}) {
    for (int parts = 1; parts <= 9; ++parts) {
      std::int64_t next = 0;
      for (int i = 0; i < parts; ++i) {
        const PartRange part = part_of(n, parts, i);
        EXPECT_EQ(part.begin, next);
        EXPECT_LE(part.count(), part_of(n, parts, 0).count());
        next = part.end;
        std::int64_t at = part.begin;
        for (std::int64_t k = 0; k < pieces(part.count(), 5); ++k) {
          const PartRange piece = segment_of(part, 5, k);
          EXPECT_EQ(piece.begin, at);
          EXPECT_GT(piece.count(), 0);
          at = piece.end;
        }
        EXPECT_EQ(at, part.end);
        EXPECT_EQ(segment_of(part, 5, 1000).count(), 0);
      }
      EXPECT_EQ(next, n);
    }
  }
}

TEST(HostCost, LargeAllReduceSendsTwiceNMinusOneOverN) {
  for (const bool shared : {false, true}) {
    for (const int size : {2, 3, 4, 5, 8, 64}) {
      const std::int64_t n = 1'000'000LL * size;
      for (const int rank : {0, size - 1}) {
        EXPECT_EQ(host_cost(all_reduce(n), {size, rank, shared}, {}).sent_bytes,
                  2 * (size - 1) * n * 4 / size);
      }
    }
  }
}

TEST(HostCost, ReduceScatterAndAllGatherAddUpToAllReduce) {
  const HostGroup group{4, 1, false};
  CommCall scatter;
  scatter.op = Collective::reduce_scatter;
  scatter.in = vector_of(nullptr, 400'000, Dtype::f32);
  scatter.out = vector_of(nullptr, 100'000, Dtype::f32);
  CommCall gather;
  gather.op = Collective::all_gather;
  gather.in = scatter.out;
  gather.out = scatter.in;
  EXPECT_EQ(host_cost(scatter, group, {}).sent_bytes + host_cost(gather, group, {}).sent_bytes,
            host_cost(all_reduce(400'000), group, {}).sent_bytes);
}

TEST(HostCost, SharedPathNeedsNoScratch) {
  EXPECT_EQ(host_cost(all_reduce(1 << 20), {4, 0, true}, {}).scratch_bytes, 0);
  EXPECT_GT(host_cost(all_reduce(1 << 20), {4, 0, false}, {}).scratch_bytes, 0);
}

TEST(HostCost, ScratchDoesNotGrowWithTheMessage) {
  const HostCommOptions options;
  const HostGroup group{4, 0, false};
  const std::int64_t bound = 3 * options.depth * options.segment_bytes;
  EXPECT_EQ(host_cost(all_reduce(1 << 20), group, options).scratch_bytes, bound);
  EXPECT_EQ(host_cost(all_reduce(1 << 28), group, options).scratch_bytes, bound);
}

TEST(HostCost, DoublingSendsPartialSums) {
  const HostGroup group{16, 3, false};
  EXPECT_EQ(algorithm_for(all_reduce(100), group, {}), Algorithm::network_doubling);
  EXPECT_EQ(host_cost(all_reduce(100), group, {}).sent_bytes, 4 * 400);
  EXPECT_EQ(host_cost(all_reduce(100, Dtype::bf16), group, {}).sent_bytes, 4 * 400)
      << "bf16 sums travel as fp32";
  EXPECT_EQ(algorithm_for(all_reduce(100), {12, 3, false}, {}), Algorithm::network_parts)
      << "no power of two";
  EXPECT_EQ(algorithm_for(all_reduce(100), {8, 3, false}, {}), Algorithm::network_direct);
}

TEST(HostCost, BroadcastTreeReachesEverybodyOnce) {
  for (int size = 1; size <= 17; ++size) {
    for (int root = 0; root < size; ++root) {
      int children = 0;
      for (int rank = 0; rank < size; ++rank) children += broadcast_children(size, rank, root);
      EXPECT_EQ(children, size - 1);
    }
  }
}

TEST(HostCost, NothingIsFree) {
  EXPECT_EQ(host_cost(all_reduce(0), {4, 0, true}, {}).sent_bytes, 0);
  EXPECT_EQ(host_cost(all_reduce(1000), {1, 0, false}, {}).sent_bytes, 0);
}

TEST(HostCost, WindowsStayBounded) {
  const HostCommOptions options;
  for (int size = 2; size <= 32; ++size) {
    EXPECT_LE(shared_window_bytes(size, options), (9 << 20)) << size;
    EXPECT_GE(slot_data_bytes(size, options) / size, 64) << size;
    EXPECT_EQ(slot_data_bytes(size, options) % (64 * size), 0) << size;
  }
}

TEST(SharedLayout, NothingOverlaps) {
  const SharedLayout layout(3, 2, 1000);
  std::int64_t end = 0;
  for (int rank = 0; rank < 3; ++rank) {
    for (int flag = 0; flag < kFlags; ++flag) {
      EXPECT_GE(layout.flag(rank, static_cast<Flag>(flag)), end);
      end = layout.flag(rank, static_cast<Flag>(flag)) + kFlagBytes;
    }
  }
  for (int rank = 0; rank < 3; ++rank) {
    for (int slot = 0; slot < 2; ++slot) {
      EXPECT_GE(layout.header(rank, slot), end);
      EXPECT_EQ(layout.data(rank, slot) % 128, 0);
      end = layout.data(rank, slot) + 1000;
    }
  }
  EXPECT_GE(layout.bytes(), end);
}

}  // namespace
}  // namespace edgetrain::testing
