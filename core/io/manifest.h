// The manifest of a checkpoint: what tensors there are, and where their pieces lie. docs/formats.md describes
// the file.
//
// Why no rank and no layout in it: a checkpoint is saved on 8 ranks and resumed on 3. A piece is a rectangle
// of a logical tensor; which rank wrote it is of no interest to a reader.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/io/hash.h"
#include "core/io/json.h"
#include "core/model/tile.h"
#include "core/tensor/dtype.h"

namespace edgetrain {

inline constexpr std::int64_t kManifestVersion = 1;
inline constexpr std::int64_t kManifestMaxBytes = std::int64_t{512} << 20;
inline constexpr std::int64_t kMaxChunkBytes = std::int64_t{1} << 30;
inline constexpr std::string_view kManifestName = "manifest.json";

/// A rectangle, row-major and dense at byte `offset` of files[file]. One hash per chunk_bytes of it.
struct CheckpointPiece {
  std::int64_t row = 0, rows = 0, col = 0, cols = 0;
  std::size_t file = 0;
  std::int64_t offset = 0;
  std::vector<Hash128> chunks;
  [[nodiscard]] std::int64_t numel() const { return rows * cols; }
};

/// One logical tensor in one state: (name, state) is unique.
struct CheckpointTensor {
  std::string name;   // Hugging Face name of the parameter
  std::string state;  // "param", "master", "m", "v", ...
  Dtype dtype = Dtype::f32;
  std::int64_t rows = 0, cols = 0;
  std::vector<CheckpointPiece> pieces;
};

struct CheckpointFile {
  std::string name;  // plain, in the checkpoint's folder
  std::int64_t bytes = 0;
};

struct CheckpointManifest {
  std::int64_t step = 0;
  std::int64_t chunk_bytes = 0;  // a multiple of 8, at most kMaxChunkBytes
  std::vector<CheckpointFile> files;
  std::vector<CheckpointTensor> tensors;  // sorted by name, then state
  Json meta;                              // an object; the writer's
};

/// Error(data), opened by `origin`, unless every tensor is tiled exactly once by its pieces, every file
/// exactly by the pieces in it, and the number of hashes fits.
void check_manifest(const CheckpointManifest& manifest, std::string_view origin);

/// The file's text; equal manifests give equal bytes. Its last line holds the hash of all that stands before
/// it.
[[nodiscard]] std::string manifest_text(const CheckpointManifest& manifest);

/// Parses and checks. Error(data): a changed byte anywhere, another format, a newer version, a bad value.
[[nodiscard]] CheckpointManifest parse_manifest(std::string_view text, std::string_view origin);

/// Tensors and pieces as JSON text, as ranks send them to rank 0. `origin` opens messages.
[[nodiscard]] std::string tensors_text(const std::vector<CheckpointTensor>& tensors);
[[nodiscard]] std::vector<CheckpointTensor> parse_tensors(std::string_view text, std::string_view origin);

}  // namespace edgetrain
