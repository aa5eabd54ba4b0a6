// What verify accepts ends and computes the same under any timing; what is planted wrong is noticed.
#include "core/program/verify.h"

#include <gtest/gtest.h>

#include "core/program/slots.h"
#include "tests/core/program/random_program.h"

namespace edgetrain {
namespace {

using testing::random_programs;

bool mentions(const std::vector<Defect>& defects, const std::string& words) {
  for (const auto& defect : defects) {
    if (defect.what.find(words) != std::string::npos) return true;
  }
  return false;
}

// Two objects, written one after the other, both read at the end: they live together.
Program two_that_live_together() {
  Program program;
  for (int i = 0; i < 2; ++i) program.add({Kind::saved, Category::activations, i, 0, 1000, false});
  for (int i = 0; i < 2; ++i) {
    Instr write;
    write.verb = Verb::forward;
    write.uses = {{i, true}};
    program.instrs.push_back(write);
  }
  Instr read;
  read.verb = Verb::forward;
  read.uses = {{0, false}, {1, false}};
  program.instrs.push_back(read);
  assign_slots(program);
  return program;
}

TEST(Verify, AcceptsASoundProgram) { EXPECT_TRUE(verify_memory(two_that_live_together()).empty()); }

TEST(Verify, NoticesAReusedSlot) {
  for (const std::int64_t shift : {0, 64, 999}) {
    Program program = two_that_live_together();
    program.objects[1].address = program.objects[0].address + shift;
    program.arena_bytes = 4096;
    EXPECT_TRUE(mentions(verify_memory(program), "still in use")) << shift;
  }
  Program apart = two_that_live_together();
  apart.objects[1].address = 1000;  // unaligned, but the neighbour's last byte is 999
  EXPECT_TRUE(verify_memory(apart).empty());
}

TEST(Verify, NoticesASlotInsideALargerOneThatBeganEarlier) {
  Program program = two_that_live_together();
  program.objects[0] = {Kind::saved, Category::activations, 0, 0, 4096, false, 0};
  program.objects[1].address = 2048;
  program.arena_bytes = 8192;
  EXPECT_TRUE(mentions(verify_memory(program), "still in use"));
}

TEST(Verify, NoticesATenantInTheRoomOfACarriedObjectThatNobodyUses) {
  Program program = two_that_live_together();
  const int carried = program.add({Kind::param, Category::params, 0, 0, 512, true});
  assign_slots(program);
  ASSERT_TRUE(verify_memory(program).empty());
  program.objects[0].address = program.objects[static_cast<std::size_t>(carried)].address;
  EXPECT_TRUE(mentions(verify_memory(program), "still in use"));
}

// It holds the value of the step before, long before this step uses it.
TEST(Verify, NoticesATenantInTheRoomOfACarriedObjectThatIsUsedLater) {
  Program program;
  for (int i = 0; i < 2; ++i) program.add({Kind::param, Category::params, i, 0, 512, i == 1});
  program.instrs.resize(2);
  for (int i = 0; i < 2; ++i) program.instrs[static_cast<std::size_t>(i)].uses = {{i, true}};
  assign_slots(program);
  ASSERT_TRUE(verify_memory(program).empty());
  program.objects[0].address = program.objects[1].address;
  EXPECT_TRUE(mentions(verify_memory(program), "still in use"));
}

TEST(Verify, NoticesAReadBeforeAnyWrite) {
  Program program = two_that_live_together();
  std::swap(program.instrs[1], program.instrs[2]);
  EXPECT_TRUE(mentions(verify_memory(program), "before anything wrote it"));
  program.objects[1].carried = true;  // it holds the value of the step before
  assign_slots(program);
  EXPECT_TRUE(verify_memory(program).empty());
}

TEST(Verify, AnInstructionCannotReadWhatItWritesItself) {
  Program program = two_that_live_together();
  program.instrs[0].uses = {{0, true}, {0, false}};
  EXPECT_TRUE(mentions(verify_memory(program), "before anything wrote it"));
}

TEST(Verify, NoticesAddressesOutsideTheArena) {
  Program program = two_that_live_together();
  program.objects[1].address = program.arena_bytes - 999;
  EXPECT_TRUE(mentions(verify_memory(program), "outside the arena"));
  program.objects[1].address = -1;  // never placed
  EXPECT_TRUE(mentions(verify_memory(program), "outside the arena"));
}

TEST(Verify, SoundRandomProgramsAreAccepted) {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    const auto programs = random_programs(seed, false);
    const auto defects = verify(programs.world());
    ASSERT_TRUE(defects.empty()) << "seed " << seed << ": rank " << defects.front().rank << " instruction "
                                 << defects.front().instr << " " << defects.front().what;
  }
}

// The oracle knows no lanes, no slots and no lock-step, and gives ranks their turns at random.
TEST(Verify, WhatItAcceptsEndsUnderAnyTimingWithTheSameValues) {
  int accepted = 0, rejected = 0;
  for (std::uint64_t seed = 1; seed <= 1500; ++seed) {
    const auto programs = random_programs(seed, true);
    if (!verify(programs.world()).empty()) {
      ++rejected;
      continue;
    }
    ++accepted;
    const auto once = testing::simulate(programs, 2, seed);
    const auto again = testing::simulate(programs, 2, seed + 77);
    ASSERT_TRUE(once.stuck.empty()) << "seed " << seed << ", damage:" << programs.damage;
    for (std::size_t rank = 0; rank < once.ranks.size(); ++rank) {
      ASSERT_EQ(once.ranks[rank].digests, again.ranks[rank].digests) << "seed " << seed;
      ASSERT_EQ(once.ranks[rank].carried, again.ranks[rank].carried) << "seed " << seed;
    }
  }
  RecordProperty("accepted", accepted);
  RecordProperty("rejected", rejected);
  std::printf("%d accepted, %d rejected\n", accepted, rejected);
  EXPECT_GT(accepted, 300);
  EXPECT_GT(rejected, 300);
}

}  // namespace
}  // namespace edgetrain
