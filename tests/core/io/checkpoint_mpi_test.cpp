// A checkpoint written and searched by real ranks over the host communicator. Runs with 1, 2, 3 and 5 ranks.
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <numeric>
#include <vector>

#include "core/base/error.h"
#include "core/io/tensor_store.h"
#include "parallel/comm/host_communicator.h"
#include "parallel/comm/mpi.h"

namespace edgetrain {
namespace {

constexpr std::int64_t kRows = 61, kCols = 17;  // no multiple of any number of ranks

class CheckpointOverMpi : public ::testing::Test {
 protected:
  CheckpointOverMpi() : world_(MpiComm::world(), "world", {}, progress_, nullptr) {
    folder_ =
        std::filesystem::temp_directory_path() / ("edgetrain-mpi-" + std::to_string(agreed(::getpid())));
  }
  ~CheckpointOverMpi() override {
    (void)exchange().gather("");  // a broadcast would not wait for those who still read
    if (world_.rank() == 0) std::filesystem::remove_all(folder_);
  }
  TextExchange exchange() { return {world_, "test", staging_, std::chrono::seconds(60)}; }
  // Rank 0's number, on every rank.
  std::int64_t agreed(std::int64_t own) { return std::stoll(exchange().broadcast(std::to_string(own))); }
  // Rank r writes rows [r * kRows / N, (r + 1) * kRows / N) of value step + index; with a hole if asked.
  void save(std::int64_t step, bool hole = false) {
    const std::int64_t begin = kRows * world_.rank() / world_.size();
    const std::int64_t end = kRows * (world_.rank() + 1) / world_.size() - (hole ? 1 : 0);
    std::vector<float> rows(static_cast<std::size_t>((end - begin) * kCols));
    std::iota(rows.begin(), rows.end(), static_cast<float>(step + begin * kCols));
    CheckpointWriter writer(folder_, step, world_, {.chunk_bytes = 256});
    writer.write("w", "master", kRows, kCols, {0, begin, end - begin, 0, kCols, 0},
                 matrix(rows.data(), end - begin, kCols, Dtype::f32));
    writer.set_meta(R"({"seed": 1})");
    writer.commit();
  }
  alignas(64) std::array<std::byte, 64 << 10> staging_{};
  ProgressList progress_;
  HostCommunicator world_;
  std::filesystem::path folder_;
};

TEST_F(CheckpointOverMpi, EveryRankReadsWhatAllWrote) {
  save(10);
  const auto search = newest_valid_checkpoint(folder_, world_);
  ASSERT_TRUE(search.found);
  EXPECT_EQ(search.found->step, 10);
  std::vector<float> column(kRows);
  CheckpointReader::open(search.found->path)
      .read("w", "master", {0, 0, kRows, 5, 1, 0}, matrix(column.data(), kRows, 1, Dtype::f32));
  for (std::int64_t r = 0; r < kRows; ++r) {
    EXPECT_EQ(column[static_cast<std::size_t>(r)], static_cast<float>(10 + r * kCols + 5)) << r;
  }
}

TEST_F(CheckpointOverMpi, AHoleIsEveryRanksErrorAndTheOlderOneStays) {
  save(10);
  try {
    save(20, true);
    ADD_FAILURE() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("elements"), std::string::npos) << error.what();
  }
  const auto search = newest_valid_checkpoint(folder_, world_);
  ASSERT_TRUE(search.found);
  EXPECT_EQ(search.found->step, 10);
}

}  // namespace
}  // namespace edgetrain
