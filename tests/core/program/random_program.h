// Random programs of eight ranks, and what they should compute: the material of verify, slots and driver
// tests.
//
// A program is drawn as a list of global events (compute on some ranks, a collective of a group, a message),
// which could run as it stands. Then it is damaged, most of the time: instructions of one rank swapped, moved
// or dropped, a slot laid over another, a three-rank cycle put in. So what comes out is sometimes sound,
// sometimes not, and nobody but verify knows. The oracle runs it a second way: no lanes, no hazards, no
// addresses, one vector per object.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "core/mesh/mesh.h"
#include "core/program/abstract_run.h"
#include "core/program/program.h"

namespace edgetrain::testing {

inline constexpr int kRandomRanks = 8;
/// Elements (u64) of a whole object: pairs, triples and eight divide it, and a message of it is above MPI's
/// eager limit.
inline constexpr std::int64_t kWhole = 648;

/// Groups that every program draws from: pairs, triples, all. Group 0 and the last have the same members.
[[nodiscard]] const std::vector<RankList>& random_groups();

class Dice {
 public:
  explicit Dice(std::uint64_t seed) : random_(seed) {}
  /// In [0, n).
  int below(int n) { return static_cast<int>(random_() % static_cast<std::uint64_t>(n)); }
  bool one_in(int n) { return below(n) == 0; }

 private:
  std::mt19937_64 random_;
};

struct RandomPrograms {
  std::vector<Program> programs;  // by rank, slotted
  std::string damage;             // what was done to them, for messages
  [[nodiscard]] World world() const;
};

/// Deterministic. Instr::target is a number that no other instruction of the rank has; compute is
/// Verb::forward, communication Verb::reduce with one CommStep. A compute instruction with a transcript ends
/// with an all_reduce of what it wrote. `damaged` false: sound as drawn.
[[nodiscard]] RandomPrograms random_programs(std::uint64_t seed, bool damaged);

/// Contents of an object: u64 elements, mod 2^64.
using Contents = std::vector<std::uint64_t>;
/// What carried objects hold before the first step.
[[nodiscard]] Contents initial_contents(int rank, int object, std::int64_t elements);
/// What a compute instruction writes to its only written object of `elements`, and the digest of what it
/// read.
[[nodiscard]] Contents computed(int rank, const Instr& instr, const std::vector<Contents>& read,
                                std::int64_t elements);
[[nodiscard]] std::uint64_t digest(const std::vector<Contents>& read);
/// The objects that an instruction reads, in the order of its uses, and the one that it writes (-1: none).
[[nodiscard]] std::vector<int> objects_read(const Instr& instr);
[[nodiscard]] int object_written(const Instr& instr);

struct RankOutcome {
  std::vector<std::uint64_t> digests;  // of every compute instruction, in order, over all steps
  std::map<int, Contents> carried;     // at the end
};

/// Runs `steps` steps of all ranks in a random interleaving: communication is handed in at issue and complete
/// when all members have handed theirs in; an instruction waits for communication that uses its objects.
/// Ranks that never finish are listed in `stuck`.
struct Outcome {
  std::vector<RankOutcome> ranks;
  std::vector<int> stuck;
};
[[nodiscard]] Outcome simulate(const RandomPrograms& programs, int steps, std::uint64_t seed);

}  // namespace edgetrain::testing
