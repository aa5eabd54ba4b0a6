// Reads one checkpoint: any rectangle of any tensor, assembled from the pieces of whatever layout wrote it.
//
// Every byte that is handed out was hashed in chunks as it was read, so reading a part reads little more than
// the part.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "core/io/file.h"
#include "core/io/hash.h"
#include "core/io/json.h"
#include "core/io/manifest.h"
#include "core/model/tile.h"
#include "core/tensor/tensor.h"

namespace edgetrain {

/// Local to a rank; not thread-safe. Holds the manifest and one open file. Move-only.
/// Errors: Error(data) naming folder, file and tensor for all that is missing, cut short, damaged or of
/// another format.
class CheckpointReader {
 public:
  /// Reads and checks the manifest, and that every shard is there with its size. Reads no tensor.
  [[nodiscard]] static CheckpointReader open(const std::filesystem::path& folder);

  [[nodiscard]] std::int64_t step() const { return manifest_.step; }
  /// What the writer's set_meta() was given.
  [[nodiscard]] const Json& meta() const { return manifest_.meta; }
  /// Sorted by name, then state.
  [[nodiscard]] const std::vector<CheckpointTensor>& tensors() const { return manifest_.tensors; }
  /// Shape and dtype of one; null if it is not there.
  [[nodiscard]] const CheckpointTensor* find(std::string_view name, std::string_view state) const;
  [[nodiscard]] bool has(std::string_view name, std::string_view state) const {
    return find(name, state) != nullptr;
  }

  /// Rows [tile.row, ...) and columns [tile.col, ...) of the tensor into `out` (tile.rows, tile.cols; any row
  /// stride; host memory), converted as core/io/convert.h says if the dtypes differ. On an error `out` is
  /// undefined.
  void read(std::string_view name, std::string_view state, const Tile& tile, Tensor out);

  /// Reads and checks part `index` of `count` equal parts of all bytes.
  void verify_part(std::int64_t index, std::int64_t count);
  void verify_all() { verify_part(0, 1); }

 private:
  CheckpointReader(std::filesystem::path folder, CheckpointManifest manifest);
  void check_shards() const;
  [[nodiscard]] const FileReader& file(std::size_t index);
  template <typename Consume>
  void read_chunk(const CheckpointTensor& tensor, const CheckpointPiece& piece, std::int64_t chunk,
                  Consume consume);

  std::filesystem::path folder_;
  CheckpointManifest manifest_;
  std::optional<std::pair<std::size_t, FileReader>> open_file_;  // the last one used
  std::vector<std::byte> buffer_;
  Hasher hasher_;
};

}  // namespace edgetrain
