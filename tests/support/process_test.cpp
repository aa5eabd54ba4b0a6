// A test that leaves processes behind, or takes a killed command for a finished one, spoils all others.
#include "tests/support/process.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>

namespace edgetrain::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(Process, GivesOutputAndExitCode) {
  const Ended ended = Process({"bash", "-c", "echo one; echo two one >&2; exit 7"}).wait(seconds(10));
  EXPECT_EQ(ended.code, 7);
  EXPECT_EQ(ended.output, "one\ntwo one\n");
  EXPECT_EQ(ended.count("one"), 2);
  EXPECT_FALSE(ended.says("three"));
}

TEST(Process, PassesTheEnvironmentOn) {
  const Ended ended = Process({"bash", "-c", "echo $ANSWER"}, {"ANSWER=42"}).wait(seconds(10));
  EXPECT_EQ(ended.output, "42\n");
}

TEST(Process, TellsTheSignalThatEndedIt) {
  Process process({"sleep", "100"});
  process.signal(SIGKILL);
  EXPECT_EQ(process.wait(seconds(10)).code, 128 + SIGKILL);
}

TEST(Process, ATimeoutIsNoSuccess) {
  const Ended ended = Process({"sleep", "100"}).wait(milliseconds(50));
  EXPECT_EQ(ended.code, -1);
  EXPECT_LT(ended.seconds, 10.0);
}

TEST(Process, ACommandThatIsNotThereThrows) {
  EXPECT_THROW(Process({"/no/such/command"}), std::system_error);
}

// A child in another session and an orphan: both are found and killed.
TEST(Process, NothingOutlivesIt) {
  std::vector<int> family;
  {
    Process process({"bash", "-c", "setsid sleep 100 & (sleep 100 &) ; sleep 100; true"});
    ASSERT_TRUE(eventually(seconds(10), [&] { return process.family().size() >= 4; }));
    family = process.family();
  }
  for (const int pid : family) EXPECT_NE(::kill(pid, 0), 0) << pid;
}

TEST(Process, MeasuresResidentMemory) {
  EXPECT_GT(resident_bytes(::getpid()), 100'000);
  EXPECT_EQ(resident_bytes(0x3fffff), 0);
}

}  // namespace
}  // namespace edgetrain::testing
