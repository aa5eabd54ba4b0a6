// Hard caps, categories, arenas that give back what they took, and the workspace stack, dry and real.
#include "core/memory/pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <utility>

#include "core/base/error.h"

namespace edgetrain {
namespace {

std::int64_t of(const Pool& pool, Category category) {
  return pool.by_category()[static_cast<std::size_t>(category)];
}

TEST(Pool, CountsPerCategoryAndRemembersThePeak) {
  Pool pool(Tier::device, 10'000);
  {
    const Arena params = pool.reserve(Category::params, 4'001, "weights");
    const Arena comm = pool.reserve(Category::comm, 5'999, "scratch");
    EXPECT_EQ(of(pool, Category::params), 4'001);
    EXPECT_EQ(of(pool, Category::comm), 5'999);
    EXPECT_EQ(pool.in_use(), 10'000);  // the cap itself may be used
    EXPECT_TRUE(std::all_of(params.data(), params.data() + params.bytes(),
                            [](std::byte b) { return b == std::byte{0}; }));
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(params.data()) % 4096, 0U);
  }
  EXPECT_EQ(pool.in_use(), 0);
  EXPECT_EQ(of(pool, Category::params), 0);
  EXPECT_EQ(pool.peak(), 10'000);
}

TEST(Pool, OneByteTooMuchIsRefusedWithTheTableAndTakesNothing) {
  Pool pool(Tier::host, 1'000);
  const Arena held = pool.reserve(Category::moments, 999, "m and v");
  try {
    (void)pool.reserve(Category::grads, 2, "gradients");
    FAIL() << "the cap did not hold";
  } catch (const Error& error) {
    EXPECT_EQ(error.error_class(), ErrorClass::resource);
    const std::string text = error.what();
    for (const char* part : {"host", "2 bytes", "gradients", "999", "1000", "moments"}) {
      EXPECT_NE(text.find(part), std::string::npos) << text;
    }
  }
  EXPECT_EQ(pool.in_use(), 999);
  EXPECT_EQ(pool.peak(), 999);
  EXPECT_EQ(of(pool, Category::grads), 0);
}

TEST(Pool, AMovedArenaIsGivenBackOnce) {
  Pool pool(Tier::device, 1 << 20);
  Arena a = pool.reserve(Category::kv, 100, "a");
  Arena b = pool.reserve(Category::workspace, 200, "b");
  std::byte* data = b.data();
  a = std::move(b);  // gives back the first one
  EXPECT_EQ(pool.in_use(), 200);
  EXPECT_EQ(of(pool, Category::kv), 0);
  EXPECT_EQ(a.data(), data);
  EXPECT_EQ(b.data(), nullptr);  // NOLINT(bugprone-use-after-move): that is the promise
  Arena& self = a;
  a = std::move(self);
  EXPECT_EQ(pool.in_use(), 200);
  a = {};
  EXPECT_EQ(pool.in_use(), 0);
}

TEST(Pool, NoBytesNeedNoMemory) {
  Pool pool(Tier::device, 0);
  const Arena none = pool.reserve(Category::comm, 0, "nothing");
  EXPECT_EQ(none.data(), nullptr);
  EXPECT_THROW((void)pool.reserve(Category::comm, 1, "a byte"), Error);
}

TEST(Workspace, IsAStackOfAlignedPieces) {
  Pool pool(Tier::device, 4'096);
  const Arena arena = pool.reserve(Category::workspace, 640, "scratch");
  Workspace workspace(arena.data(), arena.bytes());
  std::byte* first = workspace.take(1);
  {
    const ScratchScope scope(workspace);
    EXPECT_EQ(workspace.take(65), first + 64);
    const Tensor t = workspace.take(Dtype::f32, 3, 7);
    EXPECT_EQ(t.data, first + 192);
    EXPECT_EQ(workspace.mark(), 64 + 128 + 128);
  }
  EXPECT_EQ(workspace.mark(), 64);
  EXPECT_EQ(workspace.take(64), first + 64);
  EXPECT_EQ(workspace.peak(), 320);
  EXPECT_NO_THROW((void)workspace.take(512));
  EXPECT_THROW((void)workspace.take(1), Error);  // planned to the byte
  EXPECT_EQ(workspace.mark(), 640);
}

TEST(Workspace, DryHasNoAddressesNoLimitAndTheSamePeak) {
  Workspace dry;
  {
    const ScratchScope scope(dry);
    EXPECT_EQ(dry.take(std::int64_t{1} << 40), nullptr);
  }
  EXPECT_EQ(dry.peak(), std::int64_t{1} << 40);
  dry.reset_peak();
  (void)dry.take(Dtype::f64, 1, 9);
  EXPECT_EQ(dry.peak(), 128);
}

TEST(Workspace, OnlyAnEmptyOneMoves) {
  std::array<std::byte, 256> bytes{};
  Workspace workspace(bytes.data(), 128);
  (void)workspace.take(64);
  EXPECT_THROW(workspace.rebind(bytes.data() + 128, 128), Error);
  workspace.release_to(0);
  workspace.rebind(bytes.data() + 128, 64);
  EXPECT_EQ(workspace.peak(), 0);
  EXPECT_EQ(workspace.take(64), bytes.data() + 128);
  EXPECT_THROW(workspace.release_to(65), Error);
}

}  // namespace
}  // namespace edgetrain
