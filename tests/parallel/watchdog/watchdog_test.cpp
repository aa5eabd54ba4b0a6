// The thread itself: beats keep it quiet, silence and death do not. Real processes, no MPI.
#include "parallel/watchdog/watchdog.h"

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <csignal>
#include <future>

#include "record_support.h"

namespace edgetrain::testing {
namespace {

using std::chrono::milliseconds;

WatchdogOptions quick(milliseconds deadline) { return {deadline, milliseconds(20), true}; }

// A rank in a process of its own: makes its record, starts its share of nothing, and waits for signals.
class ChildRank {
 public:
  ChildRank(const std::filesystem::path& dir, int rank, int world_size) {
    pid_ = ::fork();
    if (pid_ != 0) return;
    auto* record =
        new FlightRecord(dir, rank, world_size);  // never closed: this process only ends by a signal
    record->set_phase(3, "forward blocks.1");
    while (true) ::pause();
  }
  ChildRank(const ChildRank&) = delete;
  ChildRank& operator=(const ChildRank&) = delete;
  ~ChildRank() { end(SIGKILL); }

  void signal(int number) const { ::kill(pid_, number); }
  void end(int number) {
    if (pid_ <= 0) return;
    ::kill(pid_, number);
    ::waitpid(std::exchange(pid_, -1), nullptr, 0);
  }
  static void await_record(const std::filesystem::path& dir, int rank) {
    for (int i = 0; i < 500 && !std::filesystem::exists(flight_path(dir, rank)); ++i) ::usleep(10'000);
    ::usleep(50'000);
  }

 private:
  pid_t pid_ = -1;
};

struct Verdict {
  std::promise<Diagnosis> promise;
  std::future<Diagnosis> future = promise.get_future();
  Watchdog::Callback callback() {
    return [this](const Diagnosis& d) { promise.set_value(d); };
  }
  [[nodiscard]] bool within(milliseconds time) const {
    return future.wait_for(time) == std::future_status::ready;
  }
};

TEST(Watchdog, BeatsKeepItQuietAndSilenceDoesNot) {
  RecordedJob job("beats", 1);
  job.rank(0).set_phase(9, "data.next()");
  Verdict verdict;
  Watchdog watchdog(job.dir(), 1, quick(milliseconds(1000)), verdict.callback());
  for (int i = 0; i < 15; ++i) {
    ::usleep(100'000);
    watchdog.beat();
  }
  EXPECT_FALSE(verdict.within(milliseconds(0)));
  ASSERT_TRUE(verdict.within(milliseconds(5000)));
  const Diagnosis d = verdict.future.get();
  EXPECT_EQ(d.culprits, std::vector<int>{0});
  EXPECT_NE(d.text.find("no progress for 1000 ms"), std::string::npos) << d.text;
  EXPECT_NE(d.text.find("data.next()"), std::string::npos) << d.text;
}

TEST(Watchdog, NoDeadlineWhileIdle) {
  RecordedJob job("idle", 1);
  Verdict verdict;
  Watchdog watchdog(job.dir(), 1, quick(milliseconds(100)), verdict.callback());
  watchdog.set_deadline(milliseconds(0));
  EXPECT_FALSE(verdict.within(milliseconds(400)));
  watchdog.set_deadline(milliseconds(100));
  EXPECT_TRUE(verdict.within(milliseconds(5000)));
}

TEST(Watchdog, AKilledPeerIsReportedLongBeforeTheDeadline) {
  TemporaryFolder folder("killed");
  const FlightRecord own(folder.path(), 0, 2);
  ChildRank peer(folder.path(), 1, 2);
  ChildRank::await_record(folder.path(), 1);
  Verdict verdict;
  Watchdog watchdog(folder.path(), 2, quick(milliseconds(600'000)), verdict.callback());
  EXPECT_FALSE(verdict.within(milliseconds(200)));
  peer.end(SIGKILL);
  ASSERT_TRUE(verdict.within(milliseconds(5000)));
  const Diagnosis d = verdict.future.get();
  EXPECT_EQ(d.culprits, std::vector<int>{1});
  EXPECT_NE(d.text.find("the process is gone), last seen"), std::string::npos) << d.text;
  EXPECT_NE(d.text.find("forward blocks.1"), std::string::npos) << d.text;
}

TEST(Watchdog, AStoppedPeerIsNamedWhenTheDeadlinePasses) {
  TemporaryFolder folder("stopped_peer");
  FlightRecord own(folder.path(), 0, 2);
  const int both[] = {0, 1};
  const auto group = own.add_group("dp", both);
  (void)own.start({group, 0, Collective::all_reduce, 1024, -1, "norm"});
  ChildRank peer(folder.path(), 1, 2);
  ChildRank::await_record(folder.path(), 1);
  peer.signal(SIGSTOP);
  Verdict verdict;
  Watchdog watchdog(folder.path(), 2, quick(milliseconds(500)), verdict.callback());
  ASSERT_TRUE(verdict.within(milliseconds(5000)));
  const Diagnosis d = verdict.future.get();
  EXPECT_EQ(d.culprits, std::vector<int>{1});
  EXPECT_NE(d.text.find("stopped (SIGSTOP"), std::string::npos) << d.text;
  EXPECT_NE(d.text.find("rank 0 waits in all_reduce #0"), std::string::npos) << d.text;
  peer.signal(SIGCONT);
}

}  // namespace
}  // namespace edgetrain::testing
