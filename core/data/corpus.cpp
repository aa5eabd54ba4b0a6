#include "core/data/corpus.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "core/base/error.h"
#include "core/io/file.h"

namespace edgetrain {
// Shuffled samples jump between files. A few dozen stay open: opening costs little on a local disk and a
// round trip on a network one, while all of a large corpus would not fit under the usual limit of 1024
// descriptors.
class Corpus::OpenFiles {
 public:
  const FileReader& open(std::size_t index, const DataFile& file) {
    auto& slot = slots_[index % slots_.size()];
    if (!slot.reader || slot.index != index) {
      slot.reader.emplace(file.path);
      slot.index = index;
    }
    return *slot.reader;
  }

 private:
  struct Slot {
    std::size_t index = 0;
    std::optional<FileReader> reader;
  };
  std::array<Slot, 64> slots_;
};

Corpus::Corpus(std::vector<DataFile> files, std::optional<std::int32_t> end_of_document)
    : files_(std::move(files)),
      end_of_document_(end_of_document),
      open_files_(std::make_unique<OpenFiles>()) {
  ET_CHECK(!files_.empty(), "a corpus without files");
  const std::int64_t separator = end_of_document_.has_value() ? 1 : 0;
  for (const auto& file : files_) {
    ET_CHECK(file.bytes > 0, "{} is empty", file.path);
    starts_.push_back(num_tokens_);
    num_tokens_ += file.bytes + separator;
  }
  num_tokens_ -= separator;
}

Corpus::Corpus(Corpus&&) noexcept = default;
Corpus& Corpus::operator=(Corpus&&) noexcept = default;
Corpus::~Corpus() = default;

std::size_t Corpus::file_of(std::int64_t token) const {
  return static_cast<std::size_t>(std::upper_bound(starts_.begin(), starts_.end(), token) - starts_.begin()) -
         1;
}

void Corpus::tokens(std::int64_t begin, std::span<std::int32_t> out) const {
  const auto count = static_cast<std::int64_t>(out.size());
  ET_CHECK(begin >= 0 && count <= num_tokens_ - begin, "tokens [{}, {}) of {}", begin, begin + count,
           num_tokens_);
  std::vector<std::byte> bytes(out.size());
  while (!out.empty()) {
    const std::size_t index = file_of(begin);
    const DataFile& file = files_[index];
    const std::int64_t offset = begin - starts_[index];
    const auto here =
        static_cast<std::size_t>(std::min(file.bytes - offset, static_cast<std::int64_t>(out.size())));
    if (here == 0) {  // behind the last byte of a file that is not the last
      out.front() = end_of_document_.value();
      out = out.subspan(1);
      ++begin;
      continue;
    }
    open_files_->open(index, file).read_at(offset, std::span(bytes).first(here));
    std::transform(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(here), out.begin(),
                   [](std::byte byte) { return std::to_integer<std::int32_t>(byte); });
    out = out.subspan(here);
    begin += static_cast<std::int64_t>(here);
  }
}

std::vector<std::int64_t> Corpus::document_starts(std::int64_t begin, std::int64_t count) const {
  const auto first = std::lower_bound(starts_.begin(), starts_.end(), begin);
  const auto last = std::lower_bound(first, starts_.end(), begin + count);
  return {first, last};
}

}  // namespace edgetrain
