#include "core/io/checkpoint_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "core/base/error.h"
#include "core/io/checkpoints.h"
#include "core/io/convert.h"

namespace edgetrain {
namespace {

constexpr std::int64_t kBufferBytes = 64 << 10;  // a multiple of every element size, as chunks are

[[noreturn]] void refuse(const std::filesystem::path& path, const std::string& what) {
  throw Error(ErrorClass::data, fmt::format("{}: {}", path.string(), what));
}

// Where a wanted rectangle lies in the bytes of a piece: one run of bytes per row.
class Runs {
 public:
  Runs(const CheckpointPiece& piece, const Tile& tile, std::int64_t element_bytes)
      : row_begin_(std::max(piece.row, tile.row)),
        row_end_(std::min(piece.row + piece.rows, tile.row + tile.rows)),
        col_begin_(std::max(piece.col, tile.col)),
        cols_(std::min(piece.col + piece.cols, tile.col + tile.cols) - col_begin_),
        piece_row_(piece.row),
        pitch_(piece.cols * element_bytes),
        lead_((col_begin_ - piece.col) * element_bytes),
        run_bytes_(cols_ * element_bytes) {}

  [[nodiscard]] bool empty() const { return row_begin_ >= row_end_ || cols_ <= 0; }
  [[nodiscard]] std::int64_t row_end() const { return row_end_; }
  [[nodiscard]] std::int64_t col_begin() const { return col_begin_; }
  [[nodiscard]] std::int64_t begin_of(std::int64_t row) const { return (row - piece_row_) * pitch_ + lead_; }
  [[nodiscard]] std::int64_t end_of(std::int64_t row) const { return begin_of(row) + run_bytes_; }
  /// The first wanted row whose run ends behind `byte`; row_end() if none does.
  [[nodiscard]] std::int64_t first_row_past(std::int64_t byte) const {
    const std::int64_t past = byte - lead_ - run_bytes_;
    const std::int64_t row = past < 0 ? piece_row_ : piece_row_ + past / pitch_ + 1;
    return std::clamp(row, row_begin_, row_end_);
  }
  [[nodiscard]] bool meets(std::int64_t begin, std::int64_t end) const {
    const std::int64_t row = first_row_past(begin);
    return row < row_end_ && begin_of(row) < end;
  }

 private:
  std::int64_t row_begin_, row_end_, col_begin_, cols_;
  std::int64_t piece_row_, pitch_, lead_, run_bytes_;
};

// Copies those parts of `bytes` (at `at` in the piece) that are wanted to their places in `out`.
void scatter(std::span<const std::byte> bytes, std::int64_t at, const Runs& runs, Dtype stored,
             const Tile& tile, Tensor out) {
  const std::int64_t end = at + static_cast<std::int64_t>(bytes.size());
  for (std::int64_t row = runs.first_row_past(at); row < runs.row_end() && runs.begin_of(row) < end; ++row) {
    const std::int64_t from = std::max(runs.begin_of(row), at);
    const std::int64_t count = (std::min(runs.end_of(row), end) - from) / size_of(stored);
    const std::int64_t col = runs.col_begin() - tile.col + (from - runs.begin_of(row)) / size_of(stored);
    const Tensor target = out.row_range(row - tile.row, 1).col_range(col, count);
    convert_elements(bytes.data() + (from - at), stored, target.data, out.dtype, count);
  }
}

}  // namespace

CheckpointReader::CheckpointReader(std::filesystem::path folder, CheckpointManifest manifest)
    : folder_(std::move(folder)),
      manifest_(std::move(manifest)),
      buffer_(static_cast<std::size_t>(kBufferBytes)) {}

CheckpointReader CheckpointReader::open(const std::filesystem::path& folder) {
  const auto path = folder / kManifestName;
  const std::string text = read_whole_file(path, kManifestMaxBytes, Symlinks::refuse);
  CheckpointReader reader(folder, parse_manifest(text, path.string()));
  const auto step = step_of_folder(folder);
  if (step && *step != reader.step()) {
    refuse(path, fmt::format("holds step {}, the folder's name says {}", reader.step(), *step));
  }
  reader.check_shards();
  return reader;
}

void CheckpointReader::check_shards() const {
  for (const CheckpointFile& shard : manifest_.files) {
    const FileReader file(folder_ / shard.name, Symlinks::refuse);
    if (file.size() != shard.bytes) {
      refuse(file.path(), fmt::format("has {} bytes, the manifest says {}: the checkpoint is damaged",
                                      file.size(), shard.bytes));
    }
  }
}

const CheckpointTensor* CheckpointReader::find(std::string_view name, std::string_view state) const {
  const auto key = std::tie(name, state);
  const auto found = std::lower_bound(manifest_.tensors.begin(), manifest_.tensors.end(), key,
                                      [](const CheckpointTensor& tensor, const auto& wanted) {
                                        return std::tuple<std::string_view, std::string_view>(
                                                   tensor.name, tensor.state) < wanted;
                                      });
  return found != manifest_.tensors.end() && found->name == name && found->state == state ? &*found : nullptr;
}

const FileReader& CheckpointReader::file(std::size_t index) {
  if (!open_file_ || open_file_->first != index) {
    open_file_.reset();
    open_file_.emplace(index, FileReader(folder_ / manifest_.files[index].name, Symlinks::refuse));
  }
  return open_file_->second;
}

// Hands the chunk to consume(bytes, at) in order, in parts; then compares its hash.
template <typename Consume>
void CheckpointReader::read_chunk(const CheckpointTensor& tensor, const CheckpointPiece& piece,
                                  std::int64_t chunk, Consume consume) {
  const FileReader& shard = file(piece.file);
  const std::int64_t begin = chunk * manifest_.chunk_bytes;
  const std::int64_t end = std::min(begin + manifest_.chunk_bytes, piece.numel() * size_of(tensor.dtype));
  for (std::int64_t at = begin; at < end; at += kBufferBytes) {
    const auto part = std::span(buffer_).first(static_cast<std::size_t>(std::min(kBufferBytes, end - at)));
    shard.read_at(piece.offset + at, part);
    hasher_.add(part);
    consume(std::span<const std::byte>(part), at);
  }
  if (hasher_.take() != piece.chunks[static_cast<std::size_t>(chunk)]) {
    refuse(shard.path(),
           fmt::format("bytes {} to {} (of {}, state {}) are damaged: their hash differs from the "
                       "manifest's; use an older checkpoint",
                       piece.offset + begin, piece.offset + end, json_quoted(tensor.name),
                       json_quoted(tensor.state)));
  }
}

void CheckpointReader::read(std::string_view name, std::string_view state, const Tile& tile, Tensor out) {
  const CheckpointTensor* tensor = find(name, state);
  if (tensor == nullptr) {
    refuse(folder_, fmt::format("holds no tensor {} in state {}", json_quoted(name), json_quoted(state)));
  }
  if (tile.row < 0 || tile.col < 0 || tile.row + tile.rows > tensor->rows ||
      tile.col + tile.cols > tensor->cols) {
    refuse(folder_, fmt::format("tensor {} ({}) is {} x {}; asked for {} x {} at ({}, {})", json_quoted(name),
                                state, tensor->rows, tensor->cols, tile.rows, tile.cols, tile.row, tile.col));
  }
  if (!convertible(tensor->dtype, out.dtype)) {
    refuse(folder_, fmt::format("tensor {} ({}) is {}, which cannot be read as {}", json_quoted(name), state,
                                name_of(tensor->dtype), name_of(out.dtype)));
  }
  ET_CHECK(out.rows == tile.rows && out.cols == tile.cols, "{} {}: out {} x {}, tile {} x {}", name, state,
           out.rows, out.cols, tile.rows, tile.cols);
  for (const CheckpointPiece& piece : tensor->pieces) {
    const Runs runs(piece, tile, size_of(tensor->dtype));
    if (runs.empty()) continue;
    for (std::size_t chunk = 0; chunk < piece.chunks.size(); ++chunk) {
      const auto index = static_cast<std::int64_t>(chunk);
      if (!runs.meets(index * manifest_.chunk_bytes, (index + 1) * manifest_.chunk_bytes)) continue;
      read_chunk(*tensor, piece, index, [&](std::span<const std::byte> bytes, std::int64_t at) {
        scatter(bytes, at, runs, tensor->dtype, tile, out);
      });
    }
  }
}

void CheckpointReader::verify_part(std::int64_t index, std::int64_t count) {
  ET_ASSERT(index >= 0 && index < count);
  std::int64_t total = 0;
  for (const CheckpointTensor& tensor : manifest_.tensors) {
    for (const CheckpointPiece& piece : tensor.pieces)
      total += static_cast<std::int64_t>(piece.chunks.size());
  }
  const std::int64_t begin = total * index / count, end = total * (index + 1) / count;
  std::int64_t number = 0;
  for (const CheckpointTensor& tensor : manifest_.tensors) {
    for (const CheckpointPiece& piece : tensor.pieces) {
      for (std::size_t chunk = 0; chunk < piece.chunks.size(); ++chunk, ++number) {
        if (number < begin || number >= end) continue;
        read_chunk(tensor, piece, static_cast<std::int64_t>(chunk),
                   [](std::span<const std::byte>, std::int64_t) {});
      }
    }
  }
}

}  // namespace edgetrain
