#include "core/data/fingerprint.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <vector>

#include "core/io/file.h"

namespace edgetrain {
namespace {

constexpr std::int64_t kBlock = 64 << 10;

class Fingerprinter {
 public:
  explicit Fingerprinter(std::int64_t one_block_in) : stride_(one_block_in), block_(kBlock) {}

  void add(std::int64_t number) {
    std::array<std::byte, 8> bytes;  // by hand: the same on machines of either byte order
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      bytes[i] = static_cast<std::byte>(static_cast<std::uint64_t>(number) >> (8 * i));
    }
    hasher_.add(bytes);
  }

  void add(const DataFile& file) {
    add(file.bytes);
    const FileReader reader(file.path);
    const std::int64_t blocks = (file.bytes + kBlock - 1) / kBlock;
    for (std::int64_t i = 0; i < blocks; ++i) {
      const bool wanted = i == 0 || i == blocks - 1 || i % stride_ == 0;
      if (wanted) add_block(reader, i * kBlock, std::min(kBlock, file.bytes - i * kBlock));
    }
  }

  [[nodiscard]] Hash128 take() { return hasher_.take(); }

 private:
  void add_block(const FileReader& reader, std::int64_t at, std::int64_t bytes) {
    const auto part = std::span(block_).first(static_cast<std::size_t>(bytes));
    reader.read_at(at, part);
    hasher_.add(part);
  }

  std::int64_t stride_;
  std::vector<std::byte> block_;
  Hasher hasher_;
};

}  // namespace

DataFingerprint fingerprint_of(const Corpus& corpus, std::int64_t read_bytes) {
  std::int64_t total = 0;
  for (const auto& file : corpus.files()) total += file.bytes;
  Fingerprinter all((total + read_bytes - 1) / read_bytes);
  all.add(corpus.end_of_document().value_or(-1));
  for (const auto& file : corpus.files()) all.add(file);
  return {corpus.num_tokens(), all.take()};
}

std::string describe(const DataFingerprint& fingerprint) {
  return fmt::format("{} tokens, xxh3_128 {}", fingerprint.tokens, hex_of(fingerprint.hash));
}

}  // namespace edgetrain
