#include "core/io/safetensors.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <numeric>
#include <set>

#include "core/base/error.h"
#include "core/io/convert.h"
#include "core/io/json.h"

namespace edgetrain {
namespace {

constexpr std::int64_t kBufferBytes = 32 << 10;  // on the stack; a multiple of every element size
constexpr std::string_view kIndexSuffix = ".index.json";

using Buffer = std::array<std::byte, kBufferBytes>;

[[noreturn]] void refuse(const std::filesystem::path& path, const std::string& what) {
  throw Error(ErrorClass::data, fmt::format("{}: {}", path.string(), what));
}

std::filesystem::path file_of_folder(const std::filesystem::path& folder) {
  for (const char* name : {"model.safetensors", "model.safetensors.index.json"}) {
    if (std::filesystem::exists(folder / name)) return folder / name;
  }
  refuse(folder, "holds neither model.safetensors nor model.safetensors.index.json");
}

std::string read_header_text(const FileReader& file) {
  const std::string origin = file.path().string();
  std::array<std::byte, 8> field{};
  if (file.size() < 8) refuse(file.path(), fmt::format("no safetensors file: {} bytes", file.size()));
  file.read_at(0, field);
  std::uint64_t length = 0;
  for (std::size_t i = 8; i-- > 0;) length = (length << 8U) | std::to_integer<std::uint64_t>(field[i]);
  std::string text(static_cast<std::size_t>(safetensors_header_bytes(length, file.size(), origin)), '\0');
  file.read_at(8, std::as_writable_bytes(std::span(text)));
  return text;
}

// Elements [begin, begin + n) of a stored run, converted, through a small buffer unless the types are equal.
void read_run(const FileReader& file, std::int64_t at, Dtype stored, std::byte* out, Dtype dtype,
              std::int64_t n) {
  if (stored == dtype) {
    file.read_at(at, {out, static_cast<std::size_t>(n * size_of(dtype))});
    return;
  }
  Buffer buffer;
  const std::int64_t step = kBufferBytes / size_of(stored);
  for (std::int64_t done = 0; done < n; done += step) {
    const std::int64_t count = std::min(step, n - done);
    file.read_at(at + done * size_of(stored),
                 std::span(buffer).first(static_cast<std::size_t>(count * size_of(stored))));
    convert_elements(buffer.data(), stored, out + done * size_of(dtype), dtype, count);
  }
}

}  // namespace

// ---- reader
// ----------------------------------------------------------------------------------------------------

SafetensorsReader SafetensorsReader::open(const std::filesystem::path& path) {
  const auto file = std::filesystem::is_directory(path) ? file_of_folder(path) : path;
  SafetensorsReader reader;
  if (file.string().ends_with(kIndexSuffix)) {
    reader.open_index(file);
  } else {
    reader.add_file(file, Symlinks::follow);
  }
  reader.sort_entries();
  return reader;
}

void SafetensorsReader::add_file(const std::filesystem::path& path, Symlinks symlinks) {
  FileReader file(path, symlinks);
  const std::string text = read_header_text(file);
  const std::int64_t buffer_at = 8 + static_cast<std::int64_t>(text.size());
  SafetensorsHeader header = parse_safetensors_header(text, file.size() - buffer_at, path.string());
  for (SafetensorsEntry& entry : header.entries) {
    entries_.push_back(std::move(entry));
    sources_.push_back({files_.size(), buffer_at});
  }
  if (files_.empty()) metadata_ = std::move(header.metadata);
  files_.push_back(std::move(file));
}

void SafetensorsReader::open_index(const std::filesystem::path& path) {
  const auto index = parse_safetensors_index(read_whole_file(path, kMaxIndexBytes), path.string());
  std::set<std::string> names;
  for (const auto& [tensor, file] : index.file_of) names.insert(file);
  for (const std::string& name : names) add_file(path.parent_path() / name, Symlinks::refuse);
  check_index(path, index);
}

void SafetensorsReader::check_index(const std::filesystem::path& path, const SafetensorsIndex& index) {
  std::map<std::string_view, std::string> holder;
  std::int64_t total = 0;
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    const std::string file = files_[sources_[i].file].path().filename().string();
    total += entries_[i].end - entries_[i].begin;
    if (!holder.emplace(entries_[i].name, file).second) {
      refuse(path, fmt::format("tensor {} lies in two files", json_quoted(entries_[i].name)));
    }
    if (!index.file_of.contains(entries_[i].name)) {
      warnings_.push_back(fmt::format("{}: tensor {} of {} is not in the index", path.string(),
                                      json_quoted(entries_[i].name), file));
    }
  }
  for (const auto& [tensor, file] : index.file_of) {
    const auto found = holder.find(tensor);
    if (found == holder.end() || found->second != file) {
      refuse(path, fmt::format("tensor {} is not in {}, where the index has it", json_quoted(tensor), file));
    }
  }
  if (index.total_size && *index.total_size != static_cast<double>(total)) {
    warnings_.push_back(fmt::format("{}: total_size is {}, the tensors have {} bytes", path.string(),
                                    *index.total_size, total));
  }
}

void SafetensorsReader::sort_entries() {
  std::vector<std::size_t> order(entries_.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](auto a, auto b) { return entries_[a].name < entries_[b].name; });
  std::vector<SafetensorsEntry> entries;
  std::vector<Source> sources;
  for (const std::size_t i : order) {
    entries.push_back(std::move(entries_[i]));
    sources.push_back(sources_[i]);
  }
  entries_ = std::move(entries);
  sources_ = std::move(sources);
}

std::size_t SafetensorsReader::index_of(std::string_view name) const {
  const auto found =
      std::lower_bound(entries_.begin(), entries_.end(), name,
                       [](const SafetensorsEntry& entry, std::string_view n) { return entry.name < n; });
  return found != entries_.end() && found->name == name ? static_cast<std::size_t>(found - entries_.begin())
                                                        : entries_.size();
}

const SafetensorsEntry* SafetensorsReader::find(std::string_view name) const {
  const std::size_t index = index_of(name);
  return index == entries_.size() ? nullptr : &entries_[index];
}

void SafetensorsReader::read(std::string_view name, Range rows, Range cols, Tensor out) const {
  const std::size_t index = index_of(name);
  if (index == entries_.size()) {
    throw Error(ErrorClass::data,
                fmt::format("{} and its shards hold no tensor {}",
                            files_.empty() ? "" : files_.front().path().string(), json_quoted(name)));
  }
  const SafetensorsEntry& entry = entries_[index];
  const FileReader& file = files_[sources_[index].file];
  if (!entry.dtype || !convertible(*entry.dtype, out.dtype)) {
    refuse(file.path(),
           fmt::format("tensor {} is stored as {}, which cannot be read as {}: convert the file to F32, "
                       "BF16 or F16",
                       json_quoted(name), entry.dtype_name, name_of(out.dtype)));
  }
  if (rows.begin < 0 || rows.end > entry.rows() || cols.begin < 0 || cols.end > entry.cols() ||
      rows.size() < 0 || cols.size() < 0) {
    refuse(file.path(), fmt::format("tensor {} is {} x {}; asked for rows [{}, {}) and columns [{}, {})",
                                    json_quoted(name), entry.rows(), entry.cols(), rows.begin, rows.end,
                                    cols.begin, cols.end));
  }
  ET_CHECK(out.rows == rows.size() && out.cols == cols.size(), "{}: a tensor of {} x {} for {} x {}", name,
           out.rows, out.cols, rows.size(), cols.size());
  if (out.numel() == 0) return;
  const std::int64_t base = sources_[index].buffer_at + entry.begin;
  const auto offset = [&](std::int64_t row) {
    return base + (row * entry.cols() + cols.begin) * size_of(*entry.dtype);
  };
  if (cols.size() == entry.cols() && out.contiguous()) {
    return read_run(file, offset(rows.begin), *entry.dtype, out.data, out.dtype, out.numel());
  }
  for (std::int64_t r = 0; r < out.rows; ++r) {
    read_run(file, offset(rows.begin + r), *entry.dtype, out.row_range(r, 1).data, out.dtype, out.cols);
  }
}

// ---- writer
// ----------------------------------------------------------------------------------------------------

namespace {

std::vector<SafetensorsEntry> in_file_order(std::vector<SafetensorsEntry> entries) {
  std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) {
    const auto size_a = size_of(a.dtype.value()), size_b = size_of(b.dtype.value());
    return size_a != size_b ? size_a > size_b : a.name < b.name;
  });
  return entries;
}

std::filesystem::path temporary_of(std::filesystem::path path) {
  path += fmt::format(".tmp-{}", ::getpid());
  return path;
}

}  // namespace

SafetensorsEntry safetensors_entry(std::string name, Dtype dtype, std::vector<std::int64_t> shape) {
  SafetensorsEntry entry;
  entry.name = std::move(name);
  entry.dtype = dtype;
  entry.dtype_name = safetensors_name(dtype);
  entry.shape = std::move(shape);
  return entry;
}

SafetensorsWriter::SafetensorsWriter(std::filesystem::path path, std::vector<SafetensorsEntry> entries,
                                     const std::map<std::string, std::string>& metadata, Disk& disk)
    : disk_(disk),
      path_(std::move(path)),
      temporary_(temporary_of(path_)),
      entries_(in_file_order(std::move(entries))),
      file_((static_cast<void>(disk.remove_file(temporary_)), temporary_), disk) {
  try {
    const std::string header = safetensors_header_text(entries_, metadata);
    file_.reserve(static_cast<std::int64_t>(header.size()) + (entries_.empty() ? 0 : entries_.back().end));
    file_.append(std::as_bytes(std::span(header)));
  } catch (...) {
    (void)disk_.remove_file(temporary_);
    throw;
  }
  skip_empty();
}

SafetensorsWriter::~SafetensorsWriter() {
  if (!finished_) (void)disk_.remove_file(temporary_);
}

void SafetensorsWriter::skip_empty() {
  while (current_ < entries_.size() && entries_[current_].begin == entries_[current_].end) ++current_;
}

void SafetensorsWriter::append(Tensor rows) {
  ET_CHECK(current_ < entries_.size(), "{}: all tensors are written", path_.string());
  const SafetensorsEntry& entry = entries_[current_];
  ET_CHECK(rows.cols == entry.cols() && rows_written_ + rows.rows <= entry.rows(),
           "{}: {} x {} rows for {} x {}", entry.name, rows.rows, rows.cols, entry.rows(), entry.cols());
  Buffer buffer;
  const Dtype dtype = entry.dtype.value();
  const std::int64_t step = kBufferBytes / size_of(dtype);
  for (std::int64_t r = 0; r < rows.rows; ++r) {
    for (std::int64_t c = 0; c < rows.cols; c += step) {
      const Tensor part = rows.row_range(r, 1).col_range(c, std::min(step, rows.cols - c));
      convert_elements(part.data, rows.dtype, buffer.data(), dtype, part.cols);
      file_.append(std::span(buffer).first(static_cast<std::size_t>(part.cols * size_of(dtype))));
    }
  }
  rows_written_ += rows.rows;
  if (rows_written_ == entry.rows()) {
    ++current_;
    rows_written_ = 0;
    skip_empty();
  }
}

void SafetensorsWriter::finish() {
  ET_CHECK(current_ == entries_.size(), "{}: tensor {} is not complete", path_.string(),
           entries_[current_].name);
  file_.finish();
  rename_path(temporary_, path_, disk_);
  finished_ = true;
  sync_folder(path_.parent_path().empty() ? "." : path_.parent_path(), disk_);
}

}  // namespace edgetrain
