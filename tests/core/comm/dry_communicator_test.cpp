#include "core/comm/dry_communicator.h"

#include <gtest/gtest.h>

#include <array>

#include "core/base/error.h"

namespace edgetrain::testing {
namespace {

CommCall all_reduce(std::int64_t n, std::string_view site) {
  CommCall call;
  call.in = call.out = vector_of(nullptr, n, Dtype::f32);
  call.site = site;
  return call;
}

DryCommunicator make() {
  return {4, 1, "dp", [](const CommCall& call) { return CommCost{call.in.bytes(), 2 * call.in.bytes()}; }};
}

TEST(DryCommunicator, RecordsCallsAndCountsWhatARunWouldSend) {
  DryCommunicator comm = make();
  const HostStream stream;
  {
    const std::string dies_early = "reduce blocks.0";
    EXPECT_TRUE(comm.start(all_reduce(1027, dies_early), stream, {}).test());
  }
  (void)comm.start(all_reduce(3, "norm"), stream, {});
  ASSERT_EQ(comm.calls().size(), 2U);
  EXPECT_EQ(comm.calls()[0].site, "reduce blocks.0");
  EXPECT_EQ(comm.calls()[0].elements, 1027);
  EXPECT_EQ(comm.calls()[1], record_of(all_reduce(3, "norm")));
  EXPECT_EQ(comm.sent().by_op[static_cast<int>(Collective::all_reduce)], 2 * 4 * 1030);
  comm.forget_calls();
  EXPECT_TRUE(comm.calls().empty());
}

// Negative control: a planted call, size or site shows up as a difference.
TEST(DryCommunicator, RecordsTellCallsApart) {
  EXPECT_NE(record_of(all_reduce(3, "a")), record_of(all_reduce(4, "a")));
  EXPECT_NE(record_of(all_reduce(3, "a")), record_of(all_reduce(3, "b")));
}

TEST(DryCommunicator, RefusesWhatARunWouldRefuse) {
  DryCommunicator comm = make();
  const HostStream stream;
  CommCall scatter = all_reduce(8, "x");
  scatter.op = Collective::reduce_scatter;
  EXPECT_THROW((void)comm.start(scatter, stream, {}), Error) << "out must be a fourth of in";
  std::array<std::byte, 4> scratch{};
  EXPECT_THROW((void)comm.start(all_reduce(8, "x"), stream, scratch), Error) << "too little scratch";
  CommCall broadcast = all_reduce(8, "x");
  broadcast.op = Collective::broadcast;
  broadcast.peer = 4;
  EXPECT_THROW((void)comm.start(broadcast, stream, {}), Error) << "no such root";
}

}  // namespace
}  // namespace edgetrain::testing
