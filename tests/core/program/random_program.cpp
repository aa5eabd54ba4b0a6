#include "tests/core/program/random_program.h"

#include <algorithm>
#include <memory>
#include <set>
#include <tuple>

#include "core/base/error.h"
#include "core/program/slots.h"

namespace edgetrain::testing {
namespace {

constexpr std::int64_t kWidth = 8;
constexpr int kCarried = 2;  // objects 0 and 1 of every rank

class Drawing {
 public:
  explicit Drawing(std::uint64_t seed) : dice_(seed) {
    for (auto& rank : ranks_) {
      for (int i = 0; i < kCarried; ++i) rank.live.push_back(add(rank, kWhole, true));
    }
  }

  std::vector<Program> draw() {
    const int events = 6 + dice_.below(20);
    for (int event = 0; event < events; ++event) {
      switch (dice_.below(6)) {
        case 0:
        case 1:
          compute_somewhere();
          break;
        case 2:
          message();
          break;
        case 3:
          inner_reduce();
          break;
        default:
          collective();
          break;
      }
    }
    std::vector<Program> out;
    for (auto& rank : ranks_) out.push_back(std::move(rank.program));
    return out;
  }

 private:
  struct Rank {
    Program program;
    std::vector<int> live;  // objects that may be read
  };

  int add(Rank& rank, std::int64_t elements, bool carried = false) {
    Object object;
    object.kind = carried ? Kind::param : Kind::saved;
    object.category = carried ? Category::params : Category::activations;
    object.id = static_cast<int>(rank.program.objects.size());
    object.bytes = elements * kWidth;
    object.carried = carried;
    return rank.program.add(object);
  }

  Instr& append(Rank& rank, Verb verb) {
    Instr instr;
    instr.verb = verb;
    instr.lane = verb == Verb::reduce ? Lane::comm : Lane::compute;
    instr.target = static_cast<int>(rank.program.instrs.size());
    return rank.program.instrs.emplace_back(instr);
  }

  int compute(Rank& rank, std::int64_t elements) {
    const int out = dice_.one_in(2) || elements != kWhole ? add(rank, elements) : any(rank, kWhole);
    auto& instr = append(rank, Verb::forward);
    for (int i = dice_.below(3); i > 0; --i) instr.uses.push_back({any(rank, 0), false});
    instr.uses.push_back({out, true});
    if (std::find(rank.live.begin(), rank.live.end(), out) == rank.live.end()) rank.live.push_back(out);
    forget_some(rank);
    return out;
  }

  // Short lives: what is forgotten frees its slot.
  void forget_some(Rank& rank) {
    while (rank.live.size() > 5) rank.live.erase(rank.live.begin() + kCarried + dice_.below(3));
  }

  // A live object of that size (0: any); there is always a carried one of kWhole.
  int any(Rank& rank, std::int64_t elements) {
    std::vector<int> fitting;
    for (const int object : rank.live) {
      const auto bytes = rank.program.objects[static_cast<std::size_t>(object)].bytes;
      if (elements == 0 || bytes == elements * kWidth) fitting.push_back(object);
    }
    if (fitting.empty()) return compute(rank, elements);
    return fitting[static_cast<std::size_t>(dice_.below(static_cast<int>(fitting.size())))];
  }

  void compute_somewhere() {
    for (auto& rank : ranks_) {
      if (dice_.below(3) != 0) compute(rank, kWhole);
    }
  }

  Instr& communicate(Rank& rank, Collective op, int group, std::int64_t bytes, int peer) {
    auto& instr = append(rank, Verb::reduce);
    instr.comm = {{op, group, bytes, bytes, peer}};
    return instr;
  }

  int draw_group() { return dice_.below(static_cast<int>(random_groups().size())); }

  void collective() {
    const int group = draw_group();
    const RankList& members = random_groups()[static_cast<std::size_t>(group)];
    const auto size = static_cast<std::int64_t>(members.size());
    const int op = dice_.below(3);
    for (const int member : members) {
      auto& rank = ranks_[static_cast<std::size_t>(member)];
      if (op == 0) {
        const int object = any(rank, kWhole);
        communicate(rank, Collective::all_reduce, group, kWhole * kWidth, -1).uses = {{object, false},
                                                                                      {object, true}};
        continue;
      }
      const bool scatter = op == 1;
      const int from = any(rank, scatter ? kWhole : kWhole / size);
      const int to = add(rank, scatter ? kWhole / size : kWhole);
      communicate(rank, scatter ? Collective::reduce_scatter : Collective::all_gather, group, kWhole * kWidth,
                  -1)
          .uses = {{from, false}, {to, true}};
      rank.live.push_back(to);
      forget_some(rank);
    }
  }

  void message() {
    const int group = draw_group();
    const RankList& members = random_groups()[static_cast<std::size_t>(group)];
    const int size = static_cast<int>(members.size());
    const int from = dice_.below(size), to = (from + 1 + dice_.below(size - 1)) % size;
    auto& sender = ranks_[static_cast<std::size_t>(members[static_cast<std::size_t>(from)])];
    auto& receiver = ranks_[static_cast<std::size_t>(members[static_cast<std::size_t>(to)])];
    const int sent = any(sender, kWhole);
    communicate(sender, Collective::send, group, kWhole * kWidth, to).uses = {{sent, false}};
    const bool over_an_old_one = dice_.one_in(2);
    const int received = over_an_old_one ? any(receiver, kWhole) : add(receiver, kWhole);
    communicate(receiver, Collective::recv, group, kWhole * kWidth, from).uses = {{received, true}};
    if (!over_an_old_one) receiver.live.push_back(received);
    forget_some(receiver);
  }

  void inner_reduce() {
    const int group = draw_group();
    for (const int member : random_groups()[static_cast<std::size_t>(group)]) {
      auto& rank = ranks_[static_cast<std::size_t>(member)];
      compute(rank, kWhole);
      rank.program.instrs.back().transcript = static_cast<int>(rank.program.transcripts.size());
      rank.program.transcripts.push_back(
          {{{Collective::all_reduce, group, kWhole * kWidth, kWhole * kWidth, -1}}, 0, 0, 0});
    }
  }

  Dice dice_;
  std::vector<Rank> ranks_ = std::vector<Rank>(kRandomRanks);
};

Instr all_reduce_of(int object, int group, int number) {
  Instr instr;
  instr.verb = Verb::reduce;
  instr.lane = Lane::comm;
  instr.target = number;
  instr.comm = {{Collective::all_reduce, group, kWhole * kWidth, kWhole * kWidth, -1}};
  instr.uses = {{object, false}, {object, true}};
  return instr;
}

class Damage {
 public:
  Damage(RandomPrograms& out, std::uint64_t seed) : out_(out), dice_(seed) {}

  void to_instructions() {
    if (dice_.one_in(12)) cycle();
    if (dice_.one_in(12)) drop();
    if (dice_.one_in(12)) other_size();
    for (int i = dice_.below(4); i > 0; --i) swap();
    if (dice_.one_in(6)) move();
  }
  void to_slots() {
    if (!dice_.one_in(5)) return;
    auto& objects = some_program().objects;
    auto& moved = objects[static_cast<std::size_t>(dice_.below(static_cast<int>(objects.size())))];
    moved.address = objects[static_cast<std::size_t>(dice_.below(static_cast<int>(objects.size())))].address;
    out_.damage += " slot";
  }

 private:
  Program& some_program() { return out_.programs[static_cast<std::size_t>(dice_.below(kRandomRanks))]; }
  int position(const std::vector<Instr>& instrs) { return dice_.below(static_cast<int>(instrs.size())); }

  void swap() {
    auto& instrs = some_program().instrs;
    if (instrs.size() < 2) return;
    const auto at = static_cast<std::size_t>(position(instrs)) % (instrs.size() - 1);
    std::swap(instrs[at], instrs[at + 1]);
    out_.damage += " swap";
  }
  void move() {
    auto& instrs = some_program().instrs;
    if (instrs.empty()) return;
    const auto from = instrs.begin() + position(instrs);
    const Instr instr = *from;
    instrs.erase(from);
    instrs.insert(instrs.begin() + dice_.below(static_cast<int>(instrs.size()) + 1), instr);
    out_.damage += " move";
  }
  void drop() {
    auto& instrs = some_program().instrs;
    if (!instrs.empty()) instrs.erase(instrs.begin() + position(instrs));
    out_.damage += " drop";
  }
  void other_size() {
    for (auto& instr : some_program().instrs) {
      if (instr.comm.empty()) continue;
      instr.comm.front().bytes -= kWidth;
      out_.damage += " size";
      return;
    }
  }
  // Ranks 0, 1, 2 in the pairs {0,1}, {1,2}, {0,2}: every pair agrees on its order, and all three hang.
  void cycle() {
    const int first_pair[] = {1, 2, 3}, second_pair[] = {3, 1, 2};
    for (int rank = 0; rank < 3; ++rank) {
      auto& instrs = out_.programs[static_cast<std::size_t>(rank)].instrs;
      instrs.push_back(all_reduce_of(0, first_pair[rank], 1000));
      instrs.push_back(all_reduce_of(1, second_pair[rank], 1001));
    }
    out_.damage += " cycle";
  }

  RandomPrograms& out_;
  Dice dice_;
};

// ---- the oracle

struct Call {
  int rank = -1;
  const CommStep* step = nullptr;
  Contents in;
  std::shared_ptr<bool> done = std::make_shared<bool>(false);
  Contents* out = nullptr;
};

bool is_message(Collective op) { return op == Collective::send || op == Collective::recv; }

void add_to(Contents& sum, const Contents& addend) {
  ET_CHECK(sum.size() == addend.size(), "the oracle meets {} and {} elements", sum.size(), addend.size());
  for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += addend[i];
}

void complete(std::vector<Call>& party) {
  Contents all;
  const auto op = party.front().step->op;
  std::sort(party.begin(), party.end(), [](const Call& a, const Call& b) { return a.rank < b.rank; });
  for (const auto& call : party) {
    if (call.step->op == Collective::recv) continue;
    if (op == Collective::all_gather || is_message(op) || all.empty()) {
      all.insert(all.end(), call.in.begin(), call.in.end());
    } else {
      add_to(all, call.in);
    }
  }
  for (std::size_t i = 0; i < party.size(); ++i) {
    auto& call = party[i];
    *call.done = true;
    if (call.out == nullptr) continue;
    const std::size_t part = op == Collective::reduce_scatter ? all.size() / party.size() : 0;
    const auto begin = all.begin() + static_cast<std::ptrdiff_t>(i * part);
    *call.out = part == 0 ? all : Contents(begin, begin + static_cast<std::ptrdiff_t>(part));
  }
}

class Meetings {
 public:
  std::shared_ptr<bool> hand_in(Call call, Lane lane) {
    const auto& step = *call.step;
    int from = -1, to = -1;
    std::size_t size = random_groups()[static_cast<std::size_t>(step.group)].size();
    if (is_message(step.op)) {
      const int other =
          random_groups()[static_cast<std::size_t>(step.group)][static_cast<std::size_t>(step.peer)];
      from = step.op == Collective::send ? call.rank : other;
      to = step.op == Collective::send ? other : call.rank;
      size = 2;
    }
    const std::tuple channel{lane, step.group, from, to};
    const auto sequence = next_[{channel, call.rank}]++;
    auto& party = open_[{channel, sequence}];
    const auto done = call.done;
    party.push_back(std::move(call));
    if (party.size() == size) complete(party);
    return done;
  }

 private:
  using Channel = std::tuple<Lane, int, int, int>;
  std::map<std::pair<Channel, int>, int> next_;
  std::map<std::pair<Channel, int>, std::vector<Call>> open_;
};

class OracleRank {
 public:
  OracleRank(const Program& program, int rank, int steps) : program_(program), rank_(rank), steps_(steps) {
    for (std::size_t i = 0; i < program.objects.size(); ++i) {
      const auto& object = program.objects[i];
      const auto elements = object.bytes / kWidth;
      memory_.push_back(object.carried ? initial_contents(rank, static_cast<int>(i), elements)
                                       : Contents(static_cast<std::size_t>(elements)));
    }
  }

  // One instruction, if it may start; false: it waits, or there is none.
  bool step(Meetings& meetings) {
    std::erase_if(pending_, [](const auto& p) { return *p.second; });
    if (inner_) {
      if (!*inner_) return false;
      inner_.reset();
      ++pc_;
    }
    while (pc_ == program_.instrs.size() && step_ < steps_) {
      ++step_;
      pc_ = 0;
      if (program_.instrs.empty()) step_ = steps_;
    }
    if (step_ == steps_) return false;
    const auto& instr = program_.instrs[pc_];
    for (const auto& [other, done] : pending_) {
      if (conflict(*other, instr)) return false;
    }
    if (instr.lane == Lane::compute) {
      compute(instr, meetings);
      if (inner_) return true;
    } else {
      communicate(instr, meetings);
    }
    ++pc_;
    return true;
  }
  [[nodiscard]] bool finished() const {
    return step_ == steps_ &&
           std::all_of(pending_.begin(), pending_.end(), [](const auto& p) { return *p.second; });
  }
  [[nodiscard]] RankOutcome outcome() const {
    RankOutcome out{digests_, {}};
    for (std::size_t i = 0; i < memory_.size(); ++i) {
      if (program_.objects[i].carried) out.carried[static_cast<int>(i)] = memory_[i];
    }
    return out;
  }

 private:
  static bool conflict(const Instr& a, const Instr& b) {
    for (const auto& x : a.uses) {
      for (const auto& y : b.uses) {
        if (x.object == y.object && (x.write || y.write)) return true;
      }
    }
    return false;
  }
  Contents& at(int object) { return memory_[static_cast<std::size_t>(object)]; }

  void compute(const Instr& instr, Meetings& meetings) {
    std::vector<Contents> read;
    for (const int object : objects_read(instr)) read.push_back(at(object));
    digests_.push_back(digest(read));
    Contents& out = at(object_written(instr));
    out = computed(rank_, instr, read, static_cast<std::int64_t>(out.size()));
    if (instr.transcript < 0) return;
    const auto& step = program_.transcripts[static_cast<std::size_t>(instr.transcript)].comm.front();
    inner_ = meetings.hand_in({rank_, &step, out, std::make_shared<bool>(false), &out}, Lane::compute);
  }
  void communicate(const Instr& instr, Meetings& meetings) {
    const auto read = objects_read(instr);
    const int written = object_written(instr);
    Call call{rank_, &instr.comm.front(), read.empty() ? Contents{} : at(read.front()),
              std::make_shared<bool>(false), written < 0 ? nullptr : &at(written)};
    pending_.emplace_back(&instr, meetings.hand_in(std::move(call), Lane::comm));
  }

  const Program& program_;
  int rank_, steps_, step_ = 0;
  std::size_t pc_ = 0;
  std::vector<Contents> memory_;
  std::vector<std::pair<const Instr*, std::shared_ptr<bool>>> pending_;
  std::shared_ptr<bool> inner_;
  std::vector<std::uint64_t> digests_;
};

}  // namespace

const std::vector<RankList>& random_groups() {
  static const std::vector<RankList> groups = {
      {0, 1, 2, 3, 4, 5, 6, 7}, {0, 1}, {1, 2}, {0, 2}, {3, 7}, {4, 5, 6}, {1, 3, 6}, {0, 4, 7}, {2, 5},
      {0, 1, 2, 3, 4, 5, 6, 7}};
  return groups;
}

World RandomPrograms::world() const {
  World world;
  for (const auto& program : programs) world.programs.push_back(&program);
  world.members = [](int, int group) { return random_groups()[static_cast<std::size_t>(group)]; };
  return world;
}

RandomPrograms random_programs(std::uint64_t seed, bool damaged) {
  RandomPrograms out{Drawing(seed).draw(), {}};
  Damage damage(out, seed + 0x9e3779b97f4a7c15U);
  if (damaged) damage.to_instructions();
  for (auto& program : out.programs) assign_slots(program);
  if (damaged) damage.to_slots();
  return out;
}

Contents initial_contents(int rank, int object, std::int64_t elements) {
  Contents out(static_cast<std::size_t>(elements));
  for (std::size_t i = 0; i < out.size(); ++i) {
    out[i] = (static_cast<std::uint64_t>(rank * 16 + object + 1) << 40) + i;
  }
  return out;
}

Contents computed(int rank, const Instr& instr, const std::vector<Contents>& read, std::int64_t elements) {
  const std::uint64_t own = static_cast<std::uint64_t>(rank * 4096 + instr.target + 1) * 0x9e3779b97f4a7c15U;
  Contents out(static_cast<std::size_t>(elements));
  for (std::size_t i = 0; i < out.size(); ++i) {
    out[i] = own * (2 * i + 1);
    for (std::size_t r = 0; r < read.size(); ++r) out[i] += read[r][i % read[r].size()] * (2 * r + 3);
  }
  return out;
}

std::uint64_t digest(const std::vector<Contents>& read) {
  std::uint64_t hash = 1469598103934665603U;
  for (const auto& contents : read) {
    for (const auto word : contents) hash = (hash ^ word) * 1099511628211U;
  }
  return hash;
}

std::vector<int> objects_read(const Instr& instr) {
  std::vector<int> out;
  for (const auto& use : instr.uses) {
    if (!use.write) out.push_back(use.object);
  }
  return out;
}

int object_written(const Instr& instr) {
  for (const auto& use : instr.uses) {
    if (use.write) return use.object;
  }
  return -1;
}

Outcome simulate(const RandomPrograms& programs, int steps, std::uint64_t seed) {
  Dice dice(seed);
  Meetings meetings;
  std::vector<OracleRank> ranks;
  for (int rank = 0; rank < kRandomRanks; ++rank) {
    ranks.emplace_back(programs.programs[static_cast<std::size_t>(rank)], rank, steps);
  }
  for (bool moved = true; moved;) {
    moved = false;
    const int first = dice.below(kRandomRanks);
    for (int i = 0; i < kRandomRanks; ++i) {
      auto& rank = ranks[static_cast<std::size_t>((first + i) % kRandomRanks)];
      for (int burst = 1 + dice.below(6); burst > 0 && rank.step(meetings); --burst) moved = true;
    }
  }
  Outcome out;
  for (int rank = 0; rank < kRandomRanks; ++rank) {
    const auto& r = ranks[static_cast<std::size_t>(rank)];
    out.ranks.push_back(r.outcome());
    if (!r.finished()) out.stuck.push_back(rank);
  }
  return out;
}

}  // namespace edgetrain::testing
