// A trace is JSON that a strict parser reads, one track per lane, and holds what ran while it was open, no
// more.
#include "core/trace/trace.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <set>

#include "core/io/file.h"
#include "core/io/json.h"

namespace edgetrain {
namespace {

Instr instr_of(Verb verb, int target, Lane lane) {
  Instr instr;
  instr.verb = verb;
  instr.target = target;
  instr.micro_batch = 3;
  instr.lane = lane;
  return instr;
}

const Instr kForward = instr_of(Verb::forward, 1, Lane::compute);
const Instr kReduce = instr_of(Verb::reduce, 0, Lane::comm);

Trace new_trace() { return {{"embedding", "blocks.0"}, {"blocks.0"}}; }

std::vector<Json> of_phase(const Json& parsed, const std::string& phase) {
  std::vector<Json> out;
  for (const auto& event : *parsed.find("traceEvents")->array()) {
    if (*event.find("ph")->string() == phase) out.push_back(event);
  }
  return out;
}

TEST(Trace, IsJsonWithOneTrackPerLane) {
  Trace trace = new_trace();
  trace.open();
  trace.issued(kForward, 0);
  trace.completed(kForward, 0);
  trace.issued(kReduce, 1);
  trace.waiting(kForward, Request{});
  trace.completed(kReduce, 1);
  const Json parsed = Json::parse(to_chrome_json(trace.events(), 5), "trace");
  std::set<std::string> tracks;
  for (const auto& event : of_phase(parsed, "M")) {
    EXPECT_EQ(*event.find("pid")->integer(), 5);
    if (*event.find("name")->string() == "thread_name")
      tracks.insert(*event.find("args")->find("name")->string());
  }
  EXPECT_EQ(tracks, (std::set<std::string>{"compute", "comm", "copy_in", "copy_out", "io"}));
  const auto events = of_phase(parsed, "X");
  ASSERT_EQ(events.size(), 3U);
  EXPECT_EQ(*events[0].find("name")->string(), "forward blocks.0 micro-batch 3");
  EXPECT_EQ(*events[0].find("tid")->integer(), 0);
  EXPECT_EQ(*events[2].find("name")->string(), "reduce blocks.0");
  EXPECT_EQ(*events[2].find("tid")->integer(), 1);
  for (const auto& event : events) {
    double begin = -1.0, duration = -1.0;
    EXPECT_TRUE(event.find("ts")->number(begin) && event.find("dur")->number(duration));
    EXPECT_GE(begin, 0.0);
    EXPECT_GE(duration, 0.0);
  }
}

TEST(Trace, NamesMayHoldAnything) {
  const std::vector<TraceEvent> events = {{"a \"b\" \\c\n\t", Lane::io, 1.0, 2.0}};
  const Json parsed = Json::parse(to_chrome_json(events, 0), "trace");
  EXPECT_EQ(*of_phase(parsed, "X").front().find("name")->string(), "a \"b\" \\c  ");
  EXPECT_TRUE(of_phase(Json::parse(to_chrome_json({}, 0), "trace"), "X").empty());
}

// A gather of the step before completes in the traced one; one of the traced step may complete after it.
TEST(Trace, HoldsWhatWasIssuedWhileItWasOpen) {
  Trace trace = new_trace();
  trace.issued(kReduce, 7);
  trace.open();
  trace.completed(kReduce, 7);
  EXPECT_TRUE(trace.events().empty());
  trace.issued(kReduce, 7);
  trace.close();
  trace.completed(kReduce, 7);
  EXPECT_EQ(trace.events().size(), 1U);
  trace.issued(kReduce, 7);  // closed
  trace.open();
  trace.completed(kReduce, 7);
  EXPECT_EQ(trace.events().size(), 1U) << "an event that began in another step's trace";
}

TEST(Trace, IsBounded) {
  Trace trace = new_trace();
  trace.open();
  for (std::size_t i = 0; i < Trace::kMaxEvents + 10; ++i) {
    trace.issued(kForward, i % 100);
    trace.completed(kForward, i % 100);
  }
  trace.waiting(kForward, Request{});
  EXPECT_EQ(trace.events().size(), Trace::kMaxEvents);
}

TEST(Trace, ReplacesItsFile) {
  const auto path =
      std::filesystem::temp_directory_path() / fmt::format("edgetrain-trace-{}.json", ::getpid());
  Trace trace = new_trace();
  trace.write(path, 0);
  trace.open();
  trace.issued(kForward, 0);
  trace.completed(kForward, 0);
  trace.write(path, 1);
  EXPECT_EQ(read_whole_file(path, 1 << 20), to_chrome_json(trace.events(), 1));
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace edgetrain
