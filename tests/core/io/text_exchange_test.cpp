// Texts of any length and of any number of ranks, in slices of whatever staging there is. Real ranks have
// their turn in checkpoint_mpi_test.cpp.
#include "core/io/text_exchange.h"

#include <gtest/gtest.h>

#include <cstring>
#include <set>

#include "core/base/error.h"
#include "tests/core/io/thread_world.h"

namespace edgetrain {
namespace {

using std::chrono::seconds;

// Rank 0 of many, all of which say what it says: thousands of ranks without as many threads.
class Echo final : public Communicator {
 public:
  explicit Echo(int size) : size_(size) {}
  [[nodiscard]] int size() const override { return size_; }
  [[nodiscard]] int rank() const override { return 0; }
  [[nodiscard]] std::string_view name() const override { return "echo"; }
  [[nodiscard]] std::int64_t scratch_bytes(const CommCall&) const override { return 0; }
  [[nodiscard]] std::int64_t sent_bytes(const CommCall&) const override { return 0; }
  [[nodiscard]] const CommBytes& sent() const override { return sent_; }
  Request start(const CommCall& call, const Stream&, std::span<std::byte>) override {
    check_call(call, size_, 0);
    sites_.emplace(call.site);
    const std::int64_t bytes = call.in.bytes();
    for (int rank = 1; call.op == Collective::all_gather && rank < size_; ++rank) {
      std::memcpy(call.out.data + rank * bytes, call.in.data, static_cast<std::size_t>(bytes));
    }
    return {};
  }
  [[nodiscard]] const std::set<std::string>& sites() const { return sites_; }

 private:
  int size_;
  CommBytes sent_;
  std::set<std::string> sites_;
};

std::string text_of(int rank) {
  return std::string(static_cast<std::size_t>(rank * 1237 % 4001), static_cast<char>('a' + rank % 26)) + ".";
}

TEST(TextExchange, TextsOfUnequalLengthArriveWhole) {
  constexpr int kRanks = 5;
  testing::ThreadWorld world(kRanks);
  world.run([](Communicator& comm) {
    std::vector<std::byte> staging(1001);  // an odd size, at any address
    TextExchange exchange(comm, "test", std::span(staging).subspan(3), seconds(10));
    const auto all = exchange.gather(text_of(comm.rank()));
    EXPECT_EQ(all.size(), comm.rank() == 0 ? 5U : 0U);
    for (std::size_t rank = 0; rank < all.size(); ++rank) {
      EXPECT_EQ(all[rank], text_of(static_cast<int>(rank)));
    }
    EXPECT_EQ(exchange.broadcast(comm.rank() == 0 ? text_of(3) : "not this"), text_of(3));
  });
}

TEST(TextExchange, SixtyFourKibibytesDoFor4096Ranks) {
  std::vector<std::byte> staging(64 << 10);
  for (const int ranks : {257, 1000, 4096}) {
    Echo world(ranks);
    TextExchange exchange(world, "test", staging, seconds(10));
    const auto all = exchange.gather("all say this, in slices");
    ASSERT_EQ(all.size(), static_cast<std::size_t>(ranks));
    EXPECT_EQ(all.front(), "all say this, in slices");
    EXPECT_EQ(all.back(), "all say this, in slices") << ranks << " ranks";
  }
}

TEST(TextExchange, TooLittleStagingIsRefused) {
  Echo world(100);
  std::vector<std::byte> staging(799);  // one byte less than 8 a rank
  TextExchange exchange(world, "test", staging, seconds(10));
  EXPECT_THROW((void)exchange.gather("text"), Error);
}

// The flight record and the errors of a communicator say what the texts were about.
TEST(TextExchange, EveryCallBearsTheSite) {
  Echo world(3);
  std::vector<std::byte> staging(64 << 10);
  TextExchange exchange(world, "data of all ranks", staging, seconds(10));
  (void)exchange.gather("text");
  (void)exchange.broadcast("text");
  EXPECT_EQ(world.sites(), std::set<std::string>{"data of all ranks"});
}

}  // namespace
}  // namespace edgetrain
