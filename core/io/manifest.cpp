#include "core/io/manifest.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <map>
#include <span>
#include <tuple>

#include "core/base/error.h"

namespace edgetrain {
namespace {

constexpr std::string_view kFormat = "edgetrain-checkpoint";
constexpr std::string_view kTrailerBegin = ",\n\"xxh3_128\": \"";
constexpr std::string_view kTrailerEnd = "\"\n}\n";
constexpr std::size_t kTrailerBytes = kTrailerBegin.size() + 32 + kTrailerEnd.size();
constexpr std::int64_t kMaxElements = std::numeric_limits<std::int64_t>::max() / 8;
constexpr JsonLimits kLimits{.max_bytes = static_cast<std::size_t>(kManifestMaxBytes),
                             .max_values = std::size_t{16} << 20,
                             .max_depth = 24};

[[noreturn]] void refuse(std::string_view origin, const std::string& what) {
  throw Error(ErrorClass::data, fmt::format("{}: {}", origin, what));
}

// ---- reading JSON values
// ---------------------------------------------------------------------------------------

// An object of the manifest: all keys are asked for, no others may be there.
class Fields {
 public:
  Fields(const Json& value, std::string_view origin, std::string where,
         std::initializer_list<std::string_view> keys)
      : value_(value), origin_(origin), where_(std::move(where)) {
    if (value.object() == nullptr) fail(fmt::format("must be an object, not a {}", value.kind()));
    for (const JsonMember& member : *value.object()) {
      if (std::find(keys.begin(), keys.end(), member.key) == keys.end()) {
        fail(fmt::format("unknown key {}", json_quoted(member.key)));
      }
    }
  }
  [[nodiscard]] const Json& at(std::string_view key) const {
    const Json* value = value_.find(key);
    if (value == nullptr) fail(fmt::format("'{}' is missing", key));
    return *value;
  }
  [[nodiscard]] std::int64_t integer(std::string_view key, std::int64_t min) const {
    const auto* value = at(key).integer();
    if (value == nullptr || *value < min) {
      fail(fmt::format("'{}' must be a whole number >= {}, not {}", key, min, at(key).text()));
    }
    return *value;
  }
  [[nodiscard]] const std::string& string(std::string_view key) const {
    const auto* value = at(key).string();
    if (value == nullptr) fail(fmt::format("'{}' must be a string", key));
    return *value;
  }
  [[nodiscard]] const Json::Array& array(std::string_view key) const {
    const auto* value = at(key).array();
    if (value == nullptr) fail(fmt::format("'{}' must be a list", key));
    return *value;
  }
  [[noreturn]] void fail(const std::string& what) const {
    refuse(origin_, where_.empty() ? what : fmt::format("{}: {}", where_, what));
  }

 private:
  const Json& value_;
  std::string_view origin_;
  std::string where_;
};

CheckpointPiece parse_piece(const Json& value, std::string_view origin, const std::string& where) {
  const Fields fields(value, origin, where, {"row", "rows", "col", "cols", "file", "offset", "xxh3_128"});
  CheckpointPiece piece;
  piece.row = fields.integer("row", 0);
  piece.rows = fields.integer("rows", 1);
  piece.col = fields.integer("col", 0);
  piece.cols = fields.integer("cols", 1);
  piece.file = static_cast<std::size_t>(fields.integer("file", 0));
  piece.offset = fields.integer("offset", 0);
  for (const Json& item : fields.array("xxh3_128")) {
    Hash128 hash;
    if (item.string() == nullptr || !hash_from_hex(*item.string(), hash))
      fields.fail("a hash has 32 digits 0-9, a-f");
    piece.chunks.push_back(hash);
  }
  return piece;
}

CheckpointTensor parse_tensor(const Json& value, std::string_view origin, std::size_t index) {
  Fields fields(value, origin, fmt::format("tensors[{}]", index),
                {"name", "state", "dtype", "rows", "cols", "pieces"});
  CheckpointTensor tensor;
  tensor.name = fields.string("name");
  tensor.state = fields.string("state");
  const auto dtype = dtype_from_name(fields.string("dtype"));
  if (!dtype) fields.fail(fmt::format("unknown dtype {}", json_quoted(fields.string("dtype"))));
  tensor.dtype = *dtype;
  tensor.rows = fields.integer("rows", 1);
  tensor.cols = fields.integer("cols", 1);
  if (tensor.rows > kMaxElements / tensor.cols) fields.fail("rows x cols overflows");
  const std::string where =
      fmt::format("a piece of {} ({})", json_quoted(tensor.name), json_quoted(tensor.state));
  for (const Json& piece : fields.array("pieces")) tensor.pieces.push_back(parse_piece(piece, origin, where));
  return tensor;
}

std::vector<CheckpointTensor> parse_tensor_list(const Json::Array& list, std::string_view origin) {
  std::vector<CheckpointTensor> tensors;
  for (const Json& value : list) tensors.push_back(parse_tensor(value, origin, tensors.size()));
  return tensors;
}

CheckpointFile parse_file(const Json& value, std::string_view origin, std::size_t index) {
  const Fields fields(value, origin, fmt::format("files[{}]", index), {"name", "bytes"});
  CheckpointFile file{fields.string("name"), fields.integer("bytes", 1)};
  const bool plain =
      !file.name.empty() && file.name.front() != '.' &&
      file.name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789.-_") == std::string::npos;
  if (!plain) fields.fail(fmt::format("{} is no plain file name", json_quoted(file.name)));
  return file;
}

// ---- writing
// ---------------------------------------------------------------------------------------------------

Json to_json(const CheckpointPiece& piece) {
  Json hashes{Json::Array{}};
  for (const Hash128& hash : piece.chunks) hashes.push(hex_of(hash));
  Json json;
  json.set("row", piece.row).set("rows", piece.rows).set("col", piece.col).set("cols", piece.cols);
  json.set("file", static_cast<std::int64_t>(piece.file)).set("offset", piece.offset);
  json.set("xxh3_128", std::move(hashes));
  return json;
}

Json to_json(const CheckpointTensor& tensor) {
  Json pieces{Json::Array{}};
  for (const CheckpointPiece& piece : tensor.pieces) pieces.push(to_json(piece));
  Json json;
  json.set("name", tensor.name).set("state", tensor.state).set("dtype", std::string(name_of(tensor.dtype)));
  json.set("rows", tensor.rows).set("cols", tensor.cols).set("pieces", std::move(pieces));
  return json;
}

// One line per item: a manifest of thousands of pieces stays readable, and a diff of two shows what differs.
template <typename Item, typename ToText>
std::string lines_of(const std::vector<Item>& items, ToText to_text) {
  std::string text = "[";
  for (std::size_t i = 0; i < items.size(); ++i) {
    text += i == 0 ? "\n" : ",\n";
    text += to_text(items[i]);
  }
  return text + "\n]";
}

// ---- coverage
// --------------------------------------------------------------------------------------------------

std::string label(const CheckpointTensor& tensor) {
  return fmt::format("tensor {} ({})", json_quoted(tensor.name), json_quoted(tensor.state));
}

// Column ranges that the sweep line of overlap checks stands in.
class ActiveColumns {
 public:
  /// False if the range meets one that is there.
  [[nodiscard]] bool insert(std::int64_t begin, std::int64_t end) {
    const auto next = end_of_.lower_bound(begin);
    if (next != end_of_.end() && next->first < end) return false;
    if (next != end_of_.begin() && std::prev(next)->second > begin) return false;
    end_of_.emplace_hint(next, begin, end);
    return true;
  }
  void erase(std::int64_t begin) { end_of_.erase(begin); }

 private:
  std::map<std::int64_t, std::int64_t> end_of_;
};

// Sweep over rows: O(n log n), because a tensor sharded over thousands of ranks has thousands of pieces.
bool has_overlap(const std::vector<CheckpointPiece>& pieces) {
  struct Event {
    std::int64_t row;
    bool enters;
    const CheckpointPiece* piece;
  };
  std::vector<Event> events;
  for (const CheckpointPiece& piece : pieces) {
    events.push_back({piece.row, true, &piece});
    events.push_back({piece.row + piece.rows, false, &piece});
  }
  std::sort(events.begin(), events.end(), [](const Event& a, const Event& b) {
    return std::tie(a.row, a.enters) < std::tie(b.row, b.enters);
  });
  ActiveColumns active;
  for (const Event& event : events) {
    if (!event.enters) {
      active.erase(event.piece->col);
    } else if (!active.insert(event.piece->col, event.piece->col + event.piece->cols)) {
      return true;
    }
  }
  return false;
}

// No overlap, all inside, and the areas add up: then every element is there exactly once.
void check_coverage(const CheckpointTensor& tensor, std::string_view origin) {
  std::int64_t area = 0;
  for (const CheckpointPiece& piece : tensor.pieces) {
    if (piece.rows > tensor.rows - piece.row || piece.cols > tensor.cols - piece.col) {
      refuse(origin,
             fmt::format("{}: a piece reaches past its {} x {}", label(tensor), tensor.rows, tensor.cols));
    }
    if (piece.numel() > tensor.rows * tensor.cols - area) {
      refuse(origin, fmt::format("{}: its pieces overlap", label(tensor)));
    }
    area += piece.numel();
  }
  if (has_overlap(tensor.pieces)) refuse(origin, fmt::format("{}: its pieces overlap", label(tensor)));
  if (area != tensor.rows * tensor.cols) {
    refuse(origin, fmt::format("{}: its pieces hold {} of {} elements", label(tensor), area,
                               tensor.rows * tensor.cols));
  }
}

struct Extent {
  std::size_t file;
  std::int64_t begin, end;
};

Extent extent_of(const CheckpointTensor& tensor, const CheckpointPiece& piece,
                 const CheckpointManifest& manifest, std::string_view origin) {
  if (piece.file >= manifest.files.size())
    refuse(origin, fmt::format("{}: no file {}", label(tensor), piece.file));
  const std::int64_t bytes = piece.numel() * size_of(tensor.dtype);
  if (bytes > manifest.files[piece.file].bytes || piece.offset > manifest.files[piece.file].bytes - bytes) {
    refuse(origin, fmt::format("{}: a piece reaches past the end of {}", label(tensor),
                               manifest.files[piece.file].name));
  }
  const auto chunks = static_cast<std::size_t>((bytes + manifest.chunk_bytes - 1) / manifest.chunk_bytes);
  if (piece.chunks.size() != chunks) {
    refuse(origin, fmt::format("{}: {} hashes for {} chunks", label(tensor), piece.chunks.size(), chunks));
  }
  return {piece.file, piece.offset, piece.offset + bytes};
}

void check_files(const CheckpointManifest& manifest, std::vector<Extent> extents, std::string_view origin) {
  std::sort(extents.begin(), extents.end(), [](const Extent& a, const Extent& b) {
    return std::tie(a.file, a.begin) < std::tie(b.file, b.begin);
  });
  std::vector<std::int64_t> at(manifest.files.size(), 0);
  for (const Extent& extent : extents) {
    if (extent.begin != at[extent.file]) {
      refuse(origin, fmt::format("{}: a hole or an overlap at byte {}", manifest.files[extent.file].name,
                                 std::min(at[extent.file], extent.begin)));
    }
    at[extent.file] = extent.end;
  }
  for (std::size_t i = 0; i < at.size(); ++i) {
    if (at[i] != manifest.files[i].bytes) {
      refuse(origin, fmt::format("{}: {} of {} bytes belong to no tensor", manifest.files[i].name,
                                 manifest.files[i].bytes - at[i], manifest.files[i].bytes));
    }
  }
}

void check_names(const CheckpointManifest& manifest, std::string_view origin) {
  for (std::size_t i = 1; i < manifest.tensors.size(); ++i) {
    const auto &a = manifest.tensors[i - 1], &b = manifest.tensors[i];
    if (std::tie(a.name, a.state) >= std::tie(b.name, b.state)) {
      refuse(origin, fmt::format("{} is not behind {}: tensors stand sorted, each once", label(b), label(a)));
    }
  }
  std::map<std::string_view, int> files;
  for (const CheckpointFile& file : manifest.files) {
    if (++files[file.name] > 1) refuse(origin, fmt::format("file {} stands twice", json_quoted(file.name)));
  }
}

std::string_view without_trailer(std::string_view text, std::string_view origin) {
  const std::string damaged = "damaged or cut short: its last line does not hold the hash of the rest";
  if (text.size() < kTrailerBytes) refuse(origin, damaged);
  const auto body = text.substr(0, text.size() - kTrailerBytes);
  const auto expected =
      fmt::format("{}{}{}", kTrailerBegin, hex_of(hash_of(std::as_bytes(std::span(body)))), kTrailerEnd);
  if (text.substr(body.size()) != expected) refuse(origin, damaged);
  return body;
}

}  // namespace

void check_manifest(const CheckpointManifest& manifest, std::string_view origin) {
  check_names(manifest, origin);
  std::vector<Extent> extents;
  for (const CheckpointTensor& tensor : manifest.tensors) {
    check_coverage(tensor, origin);
    for (const CheckpointPiece& piece : tensor.pieces)
      extents.push_back(extent_of(tensor, piece, manifest, origin));
  }
  check_files(manifest, std::move(extents), origin);
}

std::string tensors_text(const std::vector<CheckpointTensor>& tensors) {
  return lines_of(tensors, [](const CheckpointTensor& tensor) { return to_json(tensor).text(); });
}

std::vector<CheckpointTensor> parse_tensors(std::string_view text, std::string_view origin) {
  const Json list = Json::parse(text, origin, kLimits);
  if (list.array() == nullptr) refuse(origin, "must be a list of tensors");
  return parse_tensor_list(*list.array(), origin);
}

std::string manifest_text(const CheckpointManifest& manifest) {
  ET_CHECK(manifest.meta.object() != nullptr, "meta of a checkpoint must be an object");
  std::string body =
      fmt::format("{{\n\"format\": {},\n\"version\": {},\n\"step\": {},\n\"chunk_bytes\": {},\n",
                  json_quoted(kFormat), kManifestVersion, manifest.step, manifest.chunk_bytes);
  body += "\"files\": " + lines_of(manifest.files, [](const CheckpointFile& file) {
            return Json().set("name", file.name).set("bytes", file.bytes).text();
          });
  body += ",\n\"tensors\": " + tensors_text(manifest.tensors);
  body += ",\n\"meta\": " + manifest.meta.pretty();
  const std::string hash = hex_of(hash_of(std::as_bytes(std::span(body))));
  return fmt::format("{}{}{}{}", body, kTrailerBegin, hash, kTrailerEnd);
}

CheckpointManifest parse_manifest(std::string_view text, std::string_view origin) {
  const std::string body = std::string(without_trailer(text, origin)) + "}";
  const Json root = Json::parse(body, origin, kLimits);
  const Json* version = root.find("version");
  if (version != nullptr && version->integer() != nullptr && *version->integer() > kManifestVersion) {
    refuse(origin,
           fmt::format("checkpoint format version {}; this edgetrain reads up to {}: use a newer edgetrain",
                       *version->integer(), kManifestVersion));
  }
  const Fields fields(root, origin, "",
                      {"format", "version", "step", "chunk_bytes", "files", "tensors", "meta"});
  if (fields.string("format") != kFormat) fields.fail("no checkpoint of edgetrain");
  (void)fields.integer("version", 1);
  CheckpointManifest manifest;
  manifest.step = fields.integer("step", 0);
  manifest.chunk_bytes = fields.integer("chunk_bytes", 8);
  if (manifest.chunk_bytes % 8 != 0 || manifest.chunk_bytes > kMaxChunkBytes) {
    fields.fail(fmt::format("'chunk_bytes' must be a multiple of 8, at most {}", kMaxChunkBytes));
  }
  for (const Json& file : fields.array("files")) {
    manifest.files.push_back(parse_file(file, origin, manifest.files.size()));
  }
  manifest.tensors = parse_tensor_list(fields.array("tensors"), origin);
  manifest.meta = fields.at("meta");
  if (manifest.meta.object() == nullptr) fields.fail("'meta' must be an object");
  check_manifest(manifest, origin);
  return manifest;
}

}  // namespace edgetrain
