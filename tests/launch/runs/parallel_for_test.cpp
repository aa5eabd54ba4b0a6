// A loop on all threads: every piece once, and an exception of a piece reaches the caller.
#include "launch/runs/parallel_for.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "core/base/error.h"

namespace edgetrain {
namespace {

// Fewer pieces than threads, as many, and more.
TEST(ParallelFor, DoesEveryPieceOnce) {
  for (const int threads : {1, 2, 5, 16}) {
    for (const std::int64_t n : {0, 1, 3, 5, 101}) {
      std::vector<std::atomic<int>> done(static_cast<std::size_t>(n));
      parallel_for(threads, n, [&](std::int64_t i) { done[static_cast<std::size_t>(i)] += 1; });
      for (const auto& times : done) EXPECT_EQ(times, 1) << threads << " threads, " << n << " pieces";
    }
  }
}

std::size_t threads_seen(int threads, std::int64_t n) {
  std::mutex mutex;
  std::set<std::thread::id> seen;
  parallel_for(threads, n, [&](std::int64_t) {
    std::this_thread::sleep_for(std::chrono::milliseconds(3));  // leaves pieces to the others
    const std::lock_guard lock(mutex);
    seen.insert(std::this_thread::get_id());
  });
  return seen.size();
}

TEST(ParallelFor, TakesTheThreadsThatItMay) {
  EXPECT_EQ(threads_seen(1, 7), 1U);
  const std::size_t seen = threads_seen(3, 60);
  EXPECT_GT(seen, 1U);
  EXPECT_LE(seen, 3U);
  EXPECT_LE(threads_seen(9, 2), 2U);
}

TEST(ParallelFor, ThrowsWhatABodyThrowsOnTheCallersThread) {
  for (const int threads : {1, 2, 4, 9}) {
    std::atomic<int> done = 0;
    try {
      parallel_for(threads, 50, [&](std::int64_t i) {
        if (i % 7 == 3) throw Error(ErrorClass::data, "piece " + std::to_string(i % 7));
        ++done;
      });
      FAIL() << "nothing was thrown with " << threads << " threads";
    } catch (const Error& error) {
      EXPECT_STREQ(error.what(), "piece 3");
      EXPECT_EQ(error.error_class(), ErrorClass::data);
    }
    EXPECT_LT(done, 50);
  }
}

// A thread that went on would use what the caller's frame no longer holds.
TEST(ParallelFor, HasEndedEverywhereWhenItThrows) {
  std::atomic<int> inside = 0;
  EXPECT_THROW(parallel_for(4, 4,
                            [&](std::int64_t i) {
                              ++inside;
                              if (i == 0) {
                                --inside;
                                throw Error(ErrorClass::data, "first");
                              }
                              std::this_thread::sleep_for(std::chrono::milliseconds(30));
                              --inside;
                            }),
               Error);
  EXPECT_EQ(inside, 0);
}

}  // namespace
}  // namespace edgetrain
