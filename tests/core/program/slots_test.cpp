// Addresses: no two living objects share a byte (brute force), peaks are honest, and little is wasted where
// lives nest as in training.
#include "core/program/slots.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "core/base/error.h"
#include "tests/core/program/random_program.h"

namespace edgetrain {
namespace {

using testing::Dice;

// Objects with random lives and sizes, some carried, some empty, some never used.
Program random_lives(std::uint64_t seed) {
  Dice dice(seed);
  Program program;
  const int instrs = 1 + dice.below(60), objects = dice.below(80);
  program.instrs.resize(static_cast<std::size_t>(instrs));
  for (int i = 0; i < objects; ++i) {
    const std::int64_t bytes = dice.one_in(10) ? 0 : 1 + dice.below(dice.one_in(4) ? 100'000 : 500);
    program.add({Kind::saved, static_cast<Category>(dice.below(kCategories)), i, 0, bytes, dice.one_in(6)});
    if (dice.one_in(12)) continue;
    for (int uses = 1 + dice.below(3); uses > 0; --uses) {
      const int near = dice.below(instrs);
      program.instrs[static_cast<std::size_t>(near)].uses.push_back({i, true});
    }
  }
  return program;
}

struct Placed {
  std::int64_t begin, end;
  int first, last;
};

// Own arithmetic, not that of slots.cpp: first and last use by looking at every use.
std::vector<Placed> places(const Program& program) {
  std::vector<Placed> out;
  const int end_of_time = static_cast<int>(program.instrs.size());
  for (int object = 0; object < static_cast<int>(program.objects.size()); ++object) {
    const auto& o = program.objects[static_cast<std::size_t>(object)];
    Placed placed{o.address, o.address + o.bytes, end_of_time, -1};
    for (int i = 0; i < end_of_time; ++i) {
      for (const auto& use : program.instrs[static_cast<std::size_t>(i)].uses) {
        if (use.object != object) continue;
        placed.first = std::min(placed.first, i);
        placed.last = std::max(placed.last, i);
      }
    }
    if (o.carried) placed.first = -1, placed.last = end_of_time;
    if (placed.first <= placed.last && o.bytes > 0) out.push_back(placed);
  }
  return out;
}

TEST(Slots, LivingObjectsNeverShareAByte) {
  for (std::uint64_t seed = 1; seed <= 600; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Program program = random_lives(seed);
    assign_slots(program);
    const auto all = places(program);
    std::int64_t most_live = 0;
    for (const auto& a : all) {
      ASSERT_GE(a.begin, 0);
      ASSERT_EQ(a.begin % kAlignment, 0);
      ASSERT_LE(a.end, program.arena_bytes);
      for (const auto& b : all) {
        if (&a == &b || a.last < b.first || b.last < a.first) continue;
        ASSERT_TRUE(a.end <= b.begin || b.end <= a.begin)
            << a.begin << ".." << a.end << " and " << b.begin << ".." << b.end;
      }
    }
    for (int i = -1; i < static_cast<int>(program.instrs.size()); ++i) {
      std::int64_t live = 0;
      for (const auto& a : all) live += a.first <= i && i <= a.last ? aligned(a.end - a.begin) : 0;
      most_live = std::max(most_live, live);
    }
    const PeakUse peak = peak_use(program);
    ASSERT_EQ(peak.live_bytes, most_live);
    ASSERT_EQ(peak.gaps, program.arena_bytes - most_live);
    ASSERT_GE(peak.gaps, 0);
    std::int64_t by_category = 0;
    for (int c = 0; c < kCategories; ++c) {
      by_category += peak.at_peak[static_cast<std::size_t>(c)];
      ASSERT_GE(peak.peak_of[static_cast<std::size_t>(c)], peak.at_peak[static_cast<std::size_t>(c)]);
    }
    ASSERT_EQ(by_category, most_live);
  }
}

TEST(Slots, CarriedObjectsComeFirstInTheirOrderWhateverTheProgramDoes) {
  Program training, validation;
  for (Program* program : {&training, &validation}) {
    for (const std::int64_t bytes : {100, 64, 1, 0, 4096})
      program->add({Kind::param, Category::params, 0, 0, bytes, true});
  }
  training.add({Kind::grad, Category::grads, 0, 0, 1 << 20, false});
  training.instrs.resize(1);
  training.instrs[0].uses = {{5, true}, {2, true}};
  assign_slots(training);
  assign_slots(validation);
  EXPECT_EQ(training.carried_bytes, 128 + 64 + 64 + 0 + 4096);
  EXPECT_EQ(validation.arena_bytes, training.carried_bytes);
  for (std::size_t i = 0; i < 5; ++i) EXPECT_EQ(training.objects[i].address, validation.objects[i].address);
  EXPECT_GE(training.objects[5].address, training.carried_bytes);
}

// Forward saves, backward frees in the reverse order, gradients stay, scratch comes and goes: what a step
// looks like.
Program training_like(std::uint64_t seed, int layers, int micro_batches) {
  Dice dice(seed);
  Program program;
  std::vector<std::int64_t> saved(static_cast<std::size_t>(layers));
  for (auto& bytes : saved) bytes = 100'000 + dice.below(3) * 7'777;
  const std::int64_t boundary = 20'011;
  std::vector<int> grads;
  for (int l = 0; l < layers; ++l)
    grads.push_back(program.add({Kind::grad, Category::grads, l, 0, 64'000, false}));
  const auto object = [&](Kind kind, int id, std::int64_t bytes) {
    return program.add({kind, Category::activations, id, 0, bytes, false});
  };
  const auto instr = [&](std::vector<Use> uses, std::int64_t scratch) {
    uses.push_back({program.add({Kind::workspace, Category::workspace, 0, 0, scratch, false}), true});
    program.instrs.emplace_back().uses = std::move(uses);
  };
  for (int m = 0; m < micro_batches; ++m) {
    std::vector<int> keep, out;
    for (int l = 0; l < layers; ++l) {
      keep.push_back(object(Kind::saved, l, saved[static_cast<std::size_t>(l)]));
      out.push_back(object(Kind::boundary, l, boundary));
      std::vector<Use> uses = {{keep.back(), true}, {out.back(), true}};
      if (l > 0) uses.push_back({out[static_cast<std::size_t>(l) - 1], false});
      instr(uses, 30'000 + dice.below(50'000));
    }
    const int dboundary = object(Kind::dboundary, m, boundary);
    for (int l = layers - 1; l >= 0; --l) {
      const auto i = static_cast<std::size_t>(l);
      std::vector<Use> uses = {{keep[i], false}, {dboundary, true}, {grads[i], true}};
      if (l > 0) uses.push_back({out[i - 1], false});
      instr(uses, 60'000 + dice.below(90'000));
    }
  }
  std::vector<Use> all;
  for (const int grad : grads) all.push_back({grad, false});
  instr(all, 64);
  return program;
}

TEST(Slots, LittleIsWastedInATrainingStep) {
  constexpr int kSeeds = 60;
  double worst = 0.0, sum = 0.0;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    Program program = training_like(seed, 2 + static_cast<int>(seed % 23), 1 + static_cast<int>(seed % 5));
    assign_slots(program);
    const PeakUse peak = peak_use(program);
    const double gap = static_cast<double>(peak.gaps) / static_cast<double>(peak.live_bytes);
    worst = std::max(worst, gap);
    sum += gap;
  }
  std::printf("worst gap: %.2f%% of the live bytes, %.2f%% on average\n", 100.0 * worst,
              100.0 * sum / kSeeds);
  EXPECT_LT(worst, 0.10);
  EXPECT_LT(sum / kSeeds, 0.02);
}

// reduce (1) runs under the backward calls 2 and 3, which would wait for it if they took over its scratch.
TEST(Slots, ScratchOfACollectiveIsNotTakenOverWhileNobodyNeedsItsResult) {
  Program program;
  const int grad = program.add({Kind::grad, Category::grads, 0, 0, 640, false});
  program.instrs.resize(5);
  program.instrs[0].uses = {{grad, true}};
  program.instrs[1].lane = Lane::comm;
  const int exchange = program.add({Kind::exchange, Category::comm, 1, 0, 640, false});
  program.instrs[1].uses = {{grad, false}, {grad, true}, {exchange, true}};
  for (std::size_t i = 2; i < 5; ++i) {
    program.instrs[i].uses = {{program.add({Kind::workspace, Category::workspace, 0, 0, 640, false}), true}};
  }
  program.instrs[4].uses.push_back({grad, false});
  assign_slots(program);
  const auto address = [&](std::size_t object) { return program.objects[object].address; };
  EXPECT_EQ(lives(program)[static_cast<std::size_t>(exchange)].last, 3);
  EXPECT_NE(address(2), address(1));
  EXPECT_NE(address(3), address(1));
  EXPECT_EQ(program.arena_bytes, 3 * 640) << "but instruction 4 may have it, which waits anyway";
}

TEST(Slots, LivesSpanFirstToLastUse) {
  Program program;
  for (int i = 0; i < 2; ++i) program.add({Kind::saved, Category::activations, i, 0, 8, false});
  program.instrs.resize(5);
  program.instrs[1].uses = program.instrs[3].uses = {{0, true}};
  const auto life = lives(program);
  EXPECT_EQ(life[0].first, 1);
  EXPECT_EQ(life[0].last, 3);
  EXPECT_FALSE(life[1].used());
}

}  // namespace
}  // namespace edgetrain
