// Groups out of the world: order, size one, several at once, flight stamps, and moved handles.
#include "parallel/comm/make_communicator.h"

#include <gtest/gtest.h>

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <numeric>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/comm/self_communicator.h"
#include "parallel/watchdog/flight_reader.h"
#include "parallel/watchdog/flight_record.h"

namespace edgetrain::testing {
namespace {

constexpr std::chrono::milliseconds kTestDeadline{60'000};

float sum_over(Communicator& comm, float value) {
  const HostStream stream;
  const Tensor scalar = vector_of(&value, 1, Dtype::f32);
  CommCall call;
  call.in = call.out = scalar;
  call.site = "sum";
  std::vector<std::byte> scratch(static_cast<std::size_t>(comm.scratch_bytes(call)));
  comm.start(call, stream, scratch).wait_host(kTestDeadline);
  return value;
}

std::vector<int> every(int step, int first, int size) {
  std::vector<int> ranks;
  for (int rank = first; rank < size; rank += step) ranks.push_back(rank);
  return ranks;
}

TEST(MakeCommunicator, EvenAndOddRanksSumApart) {
  const MpiComm world = MpiComm::world();
  ProgressList progress;
  for (const CommPath path : {CommPath::automatic, CommPath::network}) {
    HostCommOptions options;
    options.path = path;
    const std::vector<int> ranks = every(2, world.rank() % 2, world.size());
    const auto comm = make_communicator(world, ranks, "half", options, progress, nullptr);
    EXPECT_EQ(comm->size(), static_cast<int>(ranks.size()));
    EXPECT_EQ(ranks[static_cast<std::size_t>(comm->rank())], world.rank());
    EXPECT_EQ(sum_over(*comm, static_cast<float>(world.rank())),
              static_cast<float>(std::accumulate(ranks.begin(), ranks.end(), 0)));
  }
}

TEST(MakeCommunicator, KeepsTheOrderOfTheList) {
  const MpiComm world = MpiComm::world();
  ProgressList progress;
  std::vector<int> ranks = every(1, 0, world.size());
  std::reverse(ranks.begin(), ranks.end());
  const auto comm = make_communicator(world, ranks, "reversed", {}, progress, nullptr);
  EXPECT_EQ(comm->rank(), world.size() - 1 - world.rank());
}

TEST(MakeCommunicator, OneRankIsFree) {
  const MpiComm world = MpiComm::world();
  ProgressList progress;
  const int self[] = {world.rank()};
  const auto comm = make_communicator(world, self, "alone", {}, progress, nullptr);
  EXPECT_NE(dynamic_cast<SelfCommunicator*>(comm.get()), nullptr);
  EXPECT_EQ(sum_over(*comm, 3.0F), 3.0F);
}

TEST(MakeCommunicator, CallsAreStamped) {
  const MpiComm world = MpiComm::world();
  if (world.size() == 1) return;
  const auto dir =
      std::filesystem::temp_directory_path() / ("edgetrain-stamps-" + std::to_string(::getppid()));
  {
    FlightRecord flight(dir, world.rank(), world.size());
    ProgressList progress;
    const auto comm = make_communicator(world, every(1, 0, world.size()), "dp", {}, progress, &flight);
    (void)sum_over(*comm, 1.0F);
    const auto log = read_flight(flight_path(dir, world.rank()));
    ASSERT_TRUE(log);
    ASSERT_EQ(log->calls.size(), 1U);
    EXPECT_TRUE(log->calls[0].finished);
    EXPECT_EQ(log->calls[0].site, "sum");
    EXPECT_EQ(log->calls[0].bytes, 4);
    EXPECT_EQ(log->groups[0].name, "dp");
  }
  MPI_Barrier(MPI_COMM_WORLD);
  std::filesystem::remove(flight_path(dir, world.rank()));
}

TEST(MpiComm, AMovedHandleHasOneOwner) {
  MpiComm a = MpiComm::world();
  const MPI_Comm handle = a.handle();
  MpiComm b = std::move(a);
  EXPECT_EQ(b.handle(), handle);
  EXPECT_EQ(a.handle(), MPI_COMM_NULL);  // NOLINT: what a moved-from handle must be
  MpiComm c = b.duplicate();
  c = std::move(b);
  EXPECT_EQ(c.handle(), handle);
  EXPECT_EQ(c.size(), static_cast<int>(c.world_ranks().size()));
}

TEST(MpiComm, FailuresNameTheCallAndTheRank) {
  try {
    check_mpi(MPI_ERR_COMM, "MPI_Isend");
    FAIL();
  } catch (const Error& error) {
    const std::string text = error.what();
    EXPECT_NE(text.find("MPI_Isend failed on rank"), std::string::npos) << text;
    EXPECT_NE(text.find(host_name()), std::string::npos) << text;
  }
}

}  // namespace
}  // namespace edgetrain::testing
