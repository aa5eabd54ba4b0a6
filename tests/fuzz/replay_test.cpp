// The kept corpus of one fuzz target, input by input, in every build: what a fuzzer once found stays found.
#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

void replay(const std::string& input) {
  EXPECT_EQ(LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(input.data()), input.size()), 0);
}

TEST(Replay, EveryInputOfTheCorpus) {
  int inputs = 0;
  for (const auto& entry : std::filesystem::directory_iterator(EDGETRAIN_CORPUS)) {
    SCOPED_TRACE(entry.path().string());
    std::ifstream file(entry.path(), std::ios::binary);
    replay(std::string(std::istreambuf_iterator<char>(file), {}));
    ++inputs;
  }
  EXPECT_GT(inputs, 0) << "no corpus in " << EDGETRAIN_CORPUS;
}

TEST(Replay, TheEmptyInput) { replay(""); }

}  // namespace
