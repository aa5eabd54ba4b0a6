// Weights in Hugging Face's safetensors: one file, or several behind an index; read by rectangle, written in
// order.
//
// Why by rectangle: a rank reads only the part of each tensor that its tiles hold, without loading the file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/io/file.h"
#include "core/io/safetensors_header.h"
#include "core/io/safetensors_index.h"
#include "core/model/tile.h"
#include "core/tensor/tensor.h"

namespace edgetrain {

/// The tensors of a model, from one file or many. Move-only. Errors: Error(data) for all that is wrong with
/// the files.
class SafetensorsReader {
 public:
  /// A .safetensors file, an index (*.safetensors.index.json), or a folder that holds model.safetensors or
  /// model.safetensors.index.json. Reads and validates all headers, no tensor.
  [[nodiscard]] static SafetensorsReader open(const std::filesystem::path& path);

  /// Sorted by name.
  [[nodiscard]] const std::vector<SafetensorsEntry>& entries() const { return entries_; }
  /// Null if there is none of that name.
  [[nodiscard]] const SafetensorsEntry* find(std::string_view name) const;
  /// __metadata__ of the first file.
  [[nodiscard]] const std::map<std::string, std::string>& metadata() const { return metadata_; }
  /// What a person may want to know: tensors that no index maps, a wrong total size.
  [[nodiscard]] const std::vector<std::string>& warnings() const { return warnings_; }

  /// The rectangle rows x cols of the tensor as a matrix (SafetensorsEntry::rows) into `out`, of the
  /// rectangle's shape, any row stride, host memory; converted exactly or rounded once to nearest even.
  /// Error(data): no such tensor, outside its shape, or stored in a dtype that we do not read (named).
  void read(std::string_view name, Range rows, Range cols, Tensor out) const;

 private:
  struct Source {
    std::size_t file = 0;
    std::int64_t buffer_at = 0;  // where the buffer begins in its file
  };
  void add_file(const std::filesystem::path& path, Symlinks symlinks);
  void open_index(const std::filesystem::path& path);
  void check_index(const std::filesystem::path& path, const SafetensorsIndex& index);
  void sort_entries();
  [[nodiscard]] std::size_t index_of(std::string_view name) const;

  std::vector<FileReader> files_;
  std::vector<SafetensorsEntry> entries_;
  std::vector<Source> sources_;  // parallel to entries_
  std::map<std::string, std::string> metadata_;
  std::vector<std::string> warnings_;
};

/// Writes one file, tensor by tensor, through a temporary file beside it that finish() renames. The same
/// tensors give the same bytes whatever the order of `entries` was.
class SafetensorsWriter {
 public:
  /// Of each entry: name, dtype and shape. Sorted here by element size (largest first, so that every element
  /// is aligned) and name.
  SafetensorsWriter(std::filesystem::path path, std::vector<SafetensorsEntry> entries,
                    const std::map<std::string, std::string>& metadata, Disk& disk = system_disk());
  SafetensorsWriter(const SafetensorsWriter&) = delete;
  SafetensorsWriter& operator=(const SafetensorsWriter&) = delete;
  /// Removes the temporary file unless finish() was called.
  ~SafetensorsWriter();

  /// In the order in which append() must bring them.
  [[nodiscard]] const std::vector<SafetensorsEntry>& order() const { return entries_; }
  /// The next rows of the current tensor, converted to its dtype; columns must be all of them. Host memory.
  void append(Tensor rows);
  /// Makes the file durable under its name. Error(internal) unless every tensor was written.
  void finish();

 private:
  void skip_empty();
  Disk& disk_;
  std::filesystem::path path_, temporary_;
  std::vector<SafetensorsEntry> entries_;
  FileWriter file_;
  std::size_t current_ = 0;
  std::int64_t rows_written_ = 0;
  bool finished_ = false;
};

/// An entry to be written.
[[nodiscard]] SafetensorsEntry safetensors_entry(std::string name, Dtype dtype,
                                                 std::vector<std::int64_t> shape);

}  // namespace edgetrain
