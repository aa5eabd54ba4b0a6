#include "parallel/watchdog/diagnosis.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "parallel/watchdog/flight_reader.h"
#include "parallel/watchdog/flight_record.h"

namespace edgetrain {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;

using Ranks = std::set<int>;

bool is_message(Collective op) { return op == Collective::send || op == Collective::recv; }

std::string seconds_since(std::int64_t then_ns, std::int64_t now_ns) {
  return fmt::format("{:.1f} s", static_cast<double>(std::max<std::int64_t>(now_ns - then_ns, 0)) / kSecond);
}

// "rank 3", "ranks 0-2, 5"
std::string name_of(const Ranks& ranks) {
  std::vector<std::string> runs;
  for (auto it = ranks.begin(); it != ranks.end();) {
    const int first = *it;
    int last = first;
    while (++it != ranks.end() && *it == last + 1) last = *it;
    runs.push_back(first == last ? fmt::format("{}", first) : fmt::format("{}-{}", first, last));
  }
  return fmt::format("{} {}", ranks.size() == 1 ? "rank" : "ranks", fmt::join(runs, ", "));
}

// The same call as different ranks stamped it. The members tell groups of one name apart.
struct CallKey {
  std::string group;
  std::vector<int> members;
  Collective op;
  std::uint64_t sequence;
  std::int64_t bytes;
  int peer;
  std::string site;
  auto operator<=>(const CallKey&) const = default;
};

std::string describe(const CallKey& key) {
  const std::string peer =
      is_message(key.op) ? fmt::format(" {} rank {}", key.op == Collective::send ? "to" : "from", key.peer)
                         : "";
  return fmt::format("{} #{}{} ('{}', {} bytes, at '{}')", edgetrain::name_of(key.op), key.sequence, peer,
                     key.group, key.bytes, key.site);
}

// All records, and the questions that the verdict asks of them.
class Evidence {
 public:
  Evidence(const std::filesystem::path& dir, int world_size, std::int64_t now_ns, const std::string& host,
           const ProcessProbe& probe)
      : now_ns_(now_ns) {
    for (int rank = 0; rank < world_size; ++rank) {
      logs_.push_back(read_flight(flight_path(dir, rank)));
      states_.push_back(ProcessState::running);
      if (logs_.back() && logs_.back()->owner.host == host) {
        states_.back() = probe(logs_.back()->owner.pid, logs_.back()->owner.process_start);
      }
    }
  }

  [[nodiscard]] int size() const { return static_cast<int>(logs_.size()); }
  [[nodiscard]] const std::optional<FlightLog>& log(int rank) const {
    return logs_[static_cast<std::size_t>(rank)];
  }
  [[nodiscard]] ProcessState state(int rank) const { return states_[static_cast<std::size_t>(rank)]; }
  [[nodiscard]] std::int64_t now() const { return now_ns_; }

  [[nodiscard]] Ranks with_state(ProcessState state) const {
    Ranks result;
    for (int rank = 0; rank < size(); ++rank) {
      if (this->state(rank) == state && !(log(rank) && log(rank)->owner.closed)) result.insert(rank);
    }
    return result;
  }
  [[nodiscard]] Ranks without_record() const {
    Ranks result;
    for (int rank = 0; rank < size(); ++rank) {
      if (!log(rank)) result.insert(rank);
    }
    return result;
  }

  [[nodiscard]] CallKey key_of(const FlightLog& log, const FlightCall& call) const {
    const FlightGroupLog& group = log.groups[call.group];
    return {group.name, group.ranks, call.op, call.sequence, call.bytes, call.peer, call.site};
  }
  [[nodiscard]] static std::vector<const FlightCall*> waits(const FlightLog& log) {
    std::vector<const FlightCall*> result;
    for (const FlightCall& call : log.calls) {
      if (!call.finished) result.push_back(&call);
    }
    return result;
  }

  // Ranks that have not started what `rank` waits for in `call`.
  [[nodiscard]] Ranks absent_from(int rank, const FlightCall& call) const {
    const FlightGroupLog& group = log(rank)->groups[call.group];
    Ranks absent;
    if (is_message(call.op)) {
      if (!met(group, call, rank)) absent.insert(call.peer);
      return absent;
    }
    for (const int member : group.ranks) {
      if (member != rank && in_world(member) && collectives_started(member, group) <= call.sequence)
        absent.insert(member);
    }
    return absent;
  }
  [[nodiscard]] Ranks absent_for(int rank) const {
    Ranks absent;
    if (!log(rank)) return absent;
    for (const FlightCall* call : waits(*log(rank))) absent.merge(absent_from(rank, *call));
    return absent;
  }

 private:
  [[nodiscard]] bool in_world(int rank) const { return rank >= 0 && rank < size(); }

  [[nodiscard]] std::uint64_t collectives_started(int rank, const FlightGroupLog& group) const {
    if (!log(rank)) return 0;
    for (const FlightGroupLog& own : log(rank)->groups) {
      if (own.name == group.name && own.ranks == group.ranks) return own.collectives_started;
    }
    return 0;
  }
  // The other end of a message has started its half, or one after it.
  [[nodiscard]] bool met(const FlightGroupLog& group, const FlightCall& call, int rank) const {
    if (!in_world(call.peer) || !log(call.peer)) return false;
    const Collective other_half = call.op == Collective::send ? Collective::recv : Collective::send;
    const FlightLog& peer = *log(call.peer);
    return std::any_of(peer.calls.begin(), peer.calls.end(), [&](const FlightCall& theirs) {
      return theirs.op == other_half && theirs.peer == rank && theirs.sequence >= call.sequence &&
             peer.groups[theirs.group].name == group.name;
    });
  }

  std::int64_t now_ns_;
  std::vector<std::optional<FlightLog>> logs_;
  std::vector<ProcessState> states_;
};

// Those who are missed and miss nobody themselves; if all miss somebody, they miss each other.
Ranks ends_of_the_chain(const Evidence& evidence) {
  Ranks missed;
  for (int rank = 0; rank < evidence.size(); ++rank) missed.merge(evidence.absent_for(rank));
  Ranks ends;
  for (const int rank : missed) {
    if (evidence.absent_for(rank).empty()) ends.insert(rank);
  }
  return ends.empty() ? missed : ends;
}

// Ranks with a call under way that have not polled for a second longer than the most attentive one.
Ranks inattentive(const Evidence& evidence) {
  std::int64_t newest = 0;
  for (int rank = 0; rank < evidence.size(); ++rank) {
    if (evidence.log(rank)) newest = std::max(newest, evidence.log(rank)->polled_ns);
  }
  Ranks result;
  for (int rank = 0; rank < evidence.size(); ++rank) {
    const auto& log = evidence.log(rank);
    if (log && !Evidence::waits(*log).empty() && log->polled_ns < newest - kSecond) result.insert(rank);
  }
  return result;
}

Ranks longest_in_a_phase(const Evidence& evidence) {
  Ranks result;
  std::int64_t oldest = 0;
  for (int rank = 0; rank < evidence.size(); ++rank) {
    const auto& log = evidence.log(rank);
    if (!log || log->owner.closed) continue;
    if (!result.empty() && log->phase_since_ns > oldest - kSecond / 10) continue;
    oldest = log->phase_since_ns;
    result = {rank};
  }
  return result;
}

std::string last_seen(const Evidence& evidence, int rank) {
  const auto& log = evidence.log(rank);
  if (!log) return fmt::format("rank {} left no record", rank);
  const char* state = evidence.state(rank) == ProcessState::dead      ? ", the process is gone"
                      : evidence.state(rank) == ProcessState::stopped ? ", the process is stopped"
                                                                      : "";
  return fmt::format("rank {} ({}, pid {}{}), last seen {} ago in step {}, '{}'", rank, log->owner.host,
                     log->owner.pid, state, seconds_since(log->phase_since_ns, evidence.now()), log->step,
                     log->phase);
}

// "ranks 0-2 wait in all_reduce #1841 (...) since 12.0 s; rank 3 never started it" for every call that hangs.
std::vector<std::string> waits_of_all(const Evidence& evidence) {
  struct Wait {
    Ranks waiting, absent;
    std::int64_t since_ns;
  };
  std::map<CallKey, Wait> waits;
  for (int rank = 0; rank < evidence.size(); ++rank) {
    const auto& log = evidence.log(rank);
    if (!log) continue;
    const auto calls = Evidence::waits(*log);
    for (const FlightCall* call : calls) {
      const Ranks absent = evidence.absent_from(rank, *call);
      if (call != calls.front() && absent.empty()) continue;  // behind the first; not what is waited for
      Wait& wait =
          waits.try_emplace(evidence.key_of(*log, *call), Wait{{}, {}, call->started_ns}).first->second;
      wait.waiting.insert(rank);
      wait.absent.insert(absent.begin(), absent.end());
      wait.since_ns = std::min(wait.since_ns, call->started_ns);
    }
  }
  std::vector<std::string> lines;
  for (const auto& [key, wait] : waits) {
    lines.push_back(
        fmt::format("{} wait{} in {} since {}{}", name_of(wait.waiting), wait.waiting.size() == 1 ? "s" : "",
                    describe(key), seconds_since(wait.since_ns, evidence.now()),
                    wait.absent.empty() ? "" : fmt::format("; {} never started it", name_of(wait.absent))));
  }
  return lines;
}

std::string verdict(const Evidence& evidence, const Ranks& culprits, std::string_view why) {
  std::vector<std::string> lines;
  for (const int rank : culprits) lines.push_back(fmt::format("{}: {}", last_seen(evidence, rank), why));
  for (auto& line : waits_of_all(evidence)) lines.push_back(std::move(line));
  constexpr int kShown = 16;
  for (int rank = 0; rank < std::min(evidence.size(), kShown); ++rank) {
    if (!culprits.contains(rank)) lines.push_back("  " + last_seen(evidence, rank));
  }
  return fmt::format("{}", fmt::join(lines, "\n"));
}

}  // namespace

Diagnosis diagnose(const std::filesystem::path& dir, int world_size, std::int64_t now_ns,
                   const std::string& host, const ProcessProbe& probe) {
  const Evidence evidence(dir, world_size, now_ns, host, probe);
  const auto blame = [&](const Ranks& ranks, std::string_view why) {
    return Diagnosis{{ranks.begin(), ranks.end()}, verdict(evidence, ranks, why)};
  };
  if (const Ranks dead = evidence.with_state(ProcessState::dead); !dead.empty())
    return blame(dead, "it has died");
  if (const Ranks stopped = evidence.with_state(ProcessState::stopped); !stopped.empty()) {
    return blame(stopped, "it has been stopped (SIGSTOP, or a debugger)");
  }
  if (const Ranks ends = ends_of_the_chain(evidence); !ends.empty()) {
    const bool ring = !evidence.absent_for(*ends.begin()).empty();
    return blame(ends,
                 ring ? "it waits in a ring of ranks that wait for each other" : "the others wait for it");
  }
  if (const Ranks deaf = inattentive(evidence); !deaf.empty()) {
    return blame(deaf, "it started what the others wait for, but does not poll it");
  }
  if (const Ranks unknown = evidence.without_record(); !unknown.empty())
    return blame(unknown, "nothing is known of it");
  return blame(longest_in_a_phase(evidence),
               "nobody waits for a missing rank; it has been longest in one phase");
}

std::vector<int> ranks_on(const std::filesystem::path& dir, int world_size, const std::string& host) {
  std::vector<int> result;
  for (int rank = 0; rank < world_size; ++rank) {
    const auto owner = read_flight_owner(flight_path(dir, rank));
    if (owner && owner->host == host) result.push_back(rank);
  }
  return result;
}

std::vector<int> dead_among(const std::filesystem::path& dir, const std::vector<int>& ranks,
                            const ProcessProbe& probe) {
  std::vector<int> result;
  for (const int rank : ranks) {
    const auto owner = read_flight_owner(flight_path(dir, rank));
    if (!owner || owner->closed || probe(owner->pid, owner->process_start) != ProcessState::dead) continue;
    // A process closes its record before it ends, so one that is gone is asked again.
    const auto after = read_flight_owner(flight_path(dir, rank));
    if (after && !after->closed) result.push_back(rank);
  }
  return result;
}

}  // namespace edgetrain
