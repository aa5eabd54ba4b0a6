// Verdicts over invented records: who is blamed, and does the text name rank, call and place.
#include "parallel/watchdog/diagnosis.h"

#include <gtest/gtest.h>

#include "parallel/watchdog/flight_reader.h"
#include "record_support.h"

namespace edgetrain::testing {
namespace {

ProcessState alive(int, std::uint64_t) { return ProcessState::running; }

Diagnosis verdict(const RecordedJob& job, int size, const ProcessProbe& probe = alive) {
  return diagnose(job.dir(), size, flight_now() + 12'000'000'000, flight_host(), probe);
}

void start(RecordedJob& job, int rank, std::uint64_t sequence, std::string_view site = "reduce blocks.3") {
  (void)job.rank(rank).start({0, sequence, Collective::all_reduce, 65536, -1, site});
}
void complete(RecordedJob& job, int rank, std::uint64_t sequence) {
  job.rank(rank).finish(
      job.rank(rank).start({0, sequence, Collective::all_reduce, 65536, -1, "reduce blocks.4"}));
}
void message(RecordedJob& job, int rank, Collective op, int peer, std::uint64_t sequence) {
  (void)job.rank(rank).start({0, sequence, op, 128, peer, "boundary"});
}

#define EXPECT_SAYS(diagnosis, words) \
  EXPECT_NE((diagnosis).text.find(words), std::string::npos) << (diagnosis).text

TEST(Diagnosis, NamesTheRankThatNeverCame) {
  RecordedJob job("absent", 4);
  for (int rank = 0; rank < 4; ++rank) complete(job, rank, 1840);
  for (int rank = 0; rank < 3; ++rank) start(job, rank, 1841);
  job.rank(3).set_phase(7, "backward blocks.3 micro-batch 1");
  const Diagnosis d = verdict(job, 4);
  EXPECT_EQ(d.culprits, std::vector<int>{3});
  EXPECT_SAYS(
      d,
      "ranks 0-2 wait in all_reduce #1841 ('dp', 65536 bytes, at 'reduce blocks.3') since 12.0 s; rank 3 "
      "never started it");
  EXPECT_SAYS(d, "rank 3 (" + flight_host() + ", pid " + std::to_string(::getpid()) +
                     "), last seen 12.0 s ago in step 7, 'backward blocks.3 micro-batch 1'");
}

TEST(Diagnosis, FollowsAChainToItsEnd) {  // 0 waits for 1 in a message, 1 for 2 in another, 2 computes
  RecordedJob job("chain", 3);
  message(job, 0, Collective::recv, 1, 5);
  message(job, 1, Collective::recv, 2, 0);
  EXPECT_EQ(verdict(job, 3).culprits, std::vector<int>{2});
}

TEST(Diagnosis, ARingOfWaitsBlamesAllInIt) {
  RecordedJob job("waits", 3);
  for (int rank = 0; rank < 3; ++rank) message(job, rank, Collective::recv, (rank + 1) % 3, 0);
  const Diagnosis d = verdict(job, 3);
  EXPECT_EQ(d.culprits, (std::vector<int>{0, 1, 2}));
  EXPECT_SAYS(d, "wait for each other");
}

TEST(Diagnosis, AMessageThatWasAnsweredBlamesNobody) {
  RecordedJob job("answered", 3);
  message(job, 0, Collective::send, 1, 3);
  message(job, 1, Collective::recv, 0, 3);
  message(job, 1, Collective::recv, 2, 0);
  EXPECT_EQ(verdict(job, 3).culprits, std::vector<int>{2});
}

TEST(Diagnosis, ADeadProcessIsTheCulprit) {
  RecordedJob job("dead", 3);
  for (int rank = 0; rank < 3; ++rank) start(job, rank, 2);
  int calls = 0;
  const auto second_is_gone = [&](int, std::uint64_t) {
    return calls++ == 1 ? ProcessState::dead : ProcessState::running;
  };
  const Diagnosis d = verdict(job, 3, second_is_gone);
  EXPECT_EQ(d.culprits, std::vector<int>{1});
  EXPECT_SAYS(d, "the process is gone");
}

TEST(Diagnosis, AStoppedProcessIsTheCulpritEvenIfItStartedTheCall) {
  RecordedJob job("stopped", 3);
  for (int rank = 0; rank < 3; ++rank) start(job, rank, 2);
  int calls = 0;
  const Diagnosis d = verdict(job, 3, [&](int, std::uint64_t) {
    return calls++ == 2 ? ProcessState::stopped : ProcessState::running;
  });
  EXPECT_EQ(d.culprits, std::vector<int>{2});
  EXPECT_SAYS(d, "SIGSTOP");
}

TEST(Diagnosis, AClosedRecordIsNoDeath) {
  RecordedJob job("closed_death", 2);
  start(job, 0, 0);
  job.close(1);
  const auto gone = [](int, std::uint64_t) { return ProcessState::dead; };
  EXPECT_EQ(dead_among(job.dir(), {1}, gone), std::vector<int>{});
  EXPECT_EQ(dead_among(job.dir(), {0, 1}, gone), std::vector<int>{0});
}

TEST(Diagnosis, ARankThatDoesNotPollIsNamed) {
  RecordedJob job("deaf", 2);
  start(job, 0, 0);
  start(job, 1, 0);
  ::usleep(1'200'000);
  job.rank(0).polled();
  const Diagnosis d = verdict(job, 2);
  EXPECT_EQ(d.culprits, std::vector<int>{1});
  EXPECT_SAYS(d, "does not poll");
}

TEST(Diagnosis, ARankWithoutARecordIsNamed) {
  RecordedJob job("unknown", 2);
  const Diagnosis d = verdict(job, 3);
  EXPECT_EQ(d.culprits, std::vector<int>{2});
  EXPECT_SAYS(d, "rank 2 left no record");
}

TEST(Diagnosis, WithoutWaitsTheLongestPhaseIsNamed) {
  RecordedJob job("phase", 3);
  ::usleep(200'000);
  job.rank(0).set_phase(3, "forward");
  job.rank(2).set_phase(3, "forward");
  EXPECT_EQ(verdict(job, 3).culprits, std::vector<int>{1});
}

TEST(Diagnosis, GroupsOfOneNameAreToldApartByTheirMembers) {
  TemporaryFolder folder("groups_apart");
  FlightRecord zero(folder.path(), 0, 4), one(folder.path(), 1, 4), two(folder.path(), 2, 4),
      three(folder.path(), 3, 4);
  const int low[] = {0, 1}, high[] = {2, 3};
  const auto g0 = zero.add_group("tp", low);
  (void)one.add_group("tp", low);
  const auto g2 = two.add_group("tp", high);
  const auto g3 = three.add_group("tp", high);
  (void)zero.start({g0, 4, Collective::all_gather, 16, -1, "x"});
  two.finish(two.start({g2, 4, Collective::all_gather, 16, -1, "x"}));
  three.finish(three.start({g3, 4, Collective::all_gather, 16, -1, "x"}));
  EXPECT_EQ(diagnose(folder.path(), 4, flight_now(), flight_host(), alive).culprits, std::vector<int>{1});
}

}  // namespace
}  // namespace edgetrain::testing
