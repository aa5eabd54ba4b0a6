#include "core/io/safetensors_header.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <span>
#include <tuple>

#include "core/base/error.h"
#include "core/io/json.h"

namespace edgetrain {
namespace {

struct StoredType {
  std::string_view name;
  int bits;
  std::optional<Dtype> dtype;
};

// All of the format's types, so that a file with a tensor that nobody asks for can still be opened.
constexpr StoredType kTypes[] = {
    {"F32", 32, Dtype::f32}, {"BF16", 16, Dtype::bf16}, {"F16", 16, Dtype::f16},
    {"F64", 64, Dtype::f64}, {"I32", 32, Dtype::i32},   {"I64", 64, Dtype::i64},
    {"U8", 8, Dtype::u8},    {"BOOL", 8, {}},           {"I8", 8, {}},
    {"I16", 16, {}},         {"U16", 16, {}},           {"U32", 32, {}},
    {"U64", 64, {}},         {"C64", 64, {}},           {"F8_E5M2", 8, {}},
    {"F8_E4M3", 8, {}},      {"F8_E8M0", 8, {}},        {"F8_E4M3FNUZ", 8, {}},
    {"F8_E5M2FNUZ", 8, {}},  {"F6_E2M3", 6, {}},        {"F6_E3M2", 6, {}},
    {"F4", 4, {}},
};
constexpr std::int64_t kMaxSize = std::numeric_limits<std::int64_t>::max();
constexpr std::size_t kMaxRank = 64;

const StoredType* type_named(std::string_view name) {
  const auto found =
      std::find_if(std::begin(kTypes), std::end(kTypes), [&](const auto& t) { return t.name == name; });
  return found == std::end(kTypes) ? nullptr : found;
}

std::optional<std::int64_t> product(std::span<const std::int64_t> sizes, std::int64_t factor) {
  // A size of 0 makes the product 0 whatever the others are, also where their product alone would overflow.
  if (std::find(sizes.begin(), sizes.end(), 0) != sizes.end()) return 0;
  std::int64_t result = factor;
  for (const std::int64_t size : sizes) {
    if (size > kMaxSize / result) return std::nullopt;
    result *= size;
  }
  return result;
}

// Parses the entry of one tensor; knows its name for messages.
class EntryParser {
 public:
  EntryParser(const JsonMember& member, std::string_view origin, std::int64_t buffer_bytes)
      : member_(member), origin_(origin), buffer_bytes_(buffer_bytes) {}

  [[nodiscard]] SafetensorsEntry parse() const {
    only_known_keys();
    SafetensorsEntry entry;
    entry.name = member_.key;
    const StoredType& type = stored_type();
    entry.dtype_name = type.name;
    entry.dtype = type.dtype;
    entry.shape = sizes("shape", kMaxRank);
    const auto offsets = sizes("data_offsets", 2);
    if (offsets.size() != 2) fail("data_offsets must be two numbers");
    entry.begin = offsets[0];
    entry.end = offsets[1];
    check_bytes(entry, type);
    return entry;
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw Error(ErrorClass::data, fmt::format("{}: tensor {}: {}", origin_, json_quoted(member_.key), what));
  }
  void only_known_keys() const {
    if (member_.value.object() == nullptr)
      fail(fmt::format("must be an object, not a {}", member_.value.kind()));
    for (const JsonMember& field : *member_.value.object()) {
      if (field.key != "dtype" && field.key != "shape" && field.key != "data_offsets") {
        fail(fmt::format("unknown key {}", json_quoted(field.key)));
      }
    }
  }
  [[nodiscard]] const Json& field(std::string_view key) const {
    const Json* value = member_.value.find(key);
    if (value == nullptr) fail(fmt::format("{} is missing", key));
    return *value;
  }
  [[nodiscard]] const StoredType& stored_type() const {
    const auto* name = field("dtype").string();
    if (name == nullptr) fail("dtype must be a string");
    const StoredType* type = type_named(*name);
    if (type == nullptr) fail(fmt::format("unknown dtype {}", json_quoted(*name)));
    return *type;
  }
  [[nodiscard]] std::vector<std::int64_t> sizes(std::string_view key, std::size_t max_count) const {
    const auto* array = field(key).array();
    if (array == nullptr) fail(fmt::format("{} must be a list", key));
    if (array->size() > max_count)
      fail(fmt::format("{} has {} entries, at most {}", key, array->size(), max_count));
    std::vector<std::int64_t> values;
    for (const Json& item : *array) {
      const auto* value = item.integer();
      if (value == nullptr || *value < 0)
        fail(fmt::format("{} must hold whole numbers >= 0: {}", key, item.text()));
      values.push_back(*value);
    }
    return values;
  }
  void check_bytes(const SafetensorsEntry& entry, const StoredType& type) const {
    if (entry.end < entry.begin || entry.end > buffer_bytes_) {
      fail(fmt::format("data_offsets [{}, {}] in a buffer of {} bytes", entry.begin, entry.end,
                       buffer_bytes_));
    }
    const auto bits = product(entry.shape, type.bits);
    if (!bits) fail("the number of elements overflows");
    if (*bits % 8 != 0 || *bits / 8 != entry.end - entry.begin) {
      fail(fmt::format("{} elements of {} need {} bytes, data_offsets give {}", *bits / type.bits, type.name,
                       (*bits + 7) / 8, entry.end - entry.begin));
    }
  }
  const JsonMember& member_;
  std::string_view origin_;
  std::int64_t buffer_bytes_;
};

std::map<std::string, std::string> parse_metadata(const Json& value, std::string_view origin) {
  std::map<std::string, std::string> metadata;
  if (value.object() == nullptr) {
    throw Error(ErrorClass::data, fmt::format("{}: __metadata__ must be an object", origin));
  }
  for (const JsonMember& member : *value.object()) {
    const auto* text = member.value.string();
    if (text == nullptr) {
      throw Error(ErrorClass::data,
                  fmt::format("{}: __metadata__ {} must be a string", origin, json_quoted(member.key)));
    }
    metadata[member.key] = *text;
  }
  return metadata;
}

void check_tiling(const std::vector<SafetensorsEntry>& entries, std::int64_t buffer_bytes,
                  std::string_view origin) {
  std::int64_t at = 0;
  for (const SafetensorsEntry& entry : entries) {
    if (entry.begin != at) {
      throw Error(ErrorClass::data,
                  fmt::format("{}: tensor {} begins at byte {}, but the one before it ends at {}: {}", origin,
                              json_quoted(entry.name), entry.begin, at,
                              entry.begin < at ? "they overlap" : "a hole"));
    }
    at = entry.end;
  }
  if (at != buffer_bytes) {
    throw Error(ErrorClass::data, fmt::format("{}: the tensors end at byte {} of a buffer of {} bytes",
                                              origin, at, buffer_bytes));
  }
}

}  // namespace

std::int64_t SafetensorsEntry::rows() const {
  if (shape.size() < 2) return 1;
  return product(std::span(shape).first(shape.size() - 1), 1).value_or(0);
}

std::int64_t SafetensorsEntry::cols() const { return shape.empty() ? 1 : shape.back(); }

std::int64_t safetensors_header_bytes(std::uint64_t length_field, std::int64_t file_bytes,
                                      std::string_view origin) {
  const auto room = static_cast<std::uint64_t>(std::max<std::int64_t>(file_bytes - 8, 0));
  if (length_field < 2 || length_field > static_cast<std::uint64_t>(kSafetensorsMaxHeader) ||
      length_field > room) {
    throw Error(ErrorClass::data,
                fmt::format("{}: no safetensors file: its header claims {} bytes (the file has {}, "
                            "a header 2 to {})",
                            origin, length_field, file_bytes, kSafetensorsMaxHeader));
  }
  return static_cast<std::int64_t>(length_field);
}

SafetensorsHeader parse_safetensors_header(std::string_view json, std::int64_t buffer_bytes,
                                           std::string_view origin) {
  if (json.empty() || json.front() != '{') {
    throw Error(ErrorClass::data,
                fmt::format("{}: no safetensors file: the header does not begin with '{{'", origin));
  }
  const JsonLimits limits{.max_bytes = static_cast<std::size_t>(kSafetensorsMaxHeader),
                          .max_values = std::size_t{8} << 20,
                          .max_depth = 4};
  const Json root = Json::parse(json, origin, limits);
  SafetensorsHeader header;
  for (const JsonMember& member : *root.object()) {
    if (member.key == "__metadata__") {
      header.metadata = parse_metadata(member.value, origin);
    } else {
      header.entries.push_back(EntryParser(member, origin, buffer_bytes).parse());
    }
  }
  // Empty tensors share their begin with a neighbour; they come first, so that ends ascend.
  std::sort(header.entries.begin(), header.entries.end(), [](const auto& a, const auto& b) {
    return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
  });
  check_tiling(header.entries, buffer_bytes, origin);
  return header;
}

std::string_view safetensors_name(Dtype dtype) {
  const auto found = std::find_if(std::begin(kTypes), std::end(kTypes),
                                  [&](const auto& type) { return type.dtype == dtype; });
  ET_ASSERT(found != std::end(kTypes));
  return found->name;
}

std::string safetensors_header_text(std::vector<SafetensorsEntry>& entries,
                                    const std::map<std::string, std::string>& metadata) {
  Json root{Json::Object{}};
  if (!metadata.empty()) {
    Json strings;
    for (const auto& [key, value] : metadata) strings.set(key, value);
    root.set("__metadata__", std::move(strings));
  }
  std::int64_t at = 0;
  for (SafetensorsEntry& entry : entries) {
    entry.begin = at;
    at = entry.end = at + entry.rows() * entry.cols() * size_of(entry.dtype.value());
    Json shape{Json::Array{}};
    for (const std::int64_t size : entry.shape) shape.push(size);
    Json value;
    value.set("dtype", entry.dtype_name).set("shape", std::move(shape));
    value.set("data_offsets", Json::Array{entry.begin, entry.end});
    root.set(entry.name, std::move(value));
  }
  std::string json = root.text();
  json.resize((json.size() + 7) / 8 * 8, ' ');
  std::string text;
  for (int shift = 0; shift < 64; shift += 8) text += static_cast<char>((json.size() >> shift) & 0xffU);
  return text + json;
}

}  // namespace edgetrain
