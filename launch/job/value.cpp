#include "launch/job/value.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "launch/job/scalar.h"

namespace edgetrain {
namespace {

using Json = nlohmann::ordered_json;

// YAML 1.1 and 1.2 readers disagree on these; quoting them is always right.
bool is_reserved(std::string_view text) {
  static constexpr std::array<std::string_view, 14> kWords = {
      "auto", "null", "true", "false", "yes", "no", "on", "off", "y", "n", "Null", "NULL", "True", "False"};
  return std::ranges::find(kWords, text) != kWords.end();
}

bool is_plain(std::string_view text) {
  const auto safe = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '/' || c == '.' || c == '-';
  };
  const auto letter = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '/';
  };
  return !text.empty() && letter(text[0]) && std::ranges::all_of(text, safe) && !is_reserved(text);
}

std::string in_quotes(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      quoted += '\\';
      quoted += c;
    } else if (c == '\n') {
      quoted += "\\n";
    } else if (c == '\t') {
      quoted += "\\t";
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) {
      quoted += fmt::format("\\x{:02x}", static_cast<unsigned>(static_cast<unsigned char>(c)));
    } else {
      quoted += c;
    }
  }
  return quoted + '"';
}

// 17 digits never lose a bit, fewer read better; fmt prints the shortest text that reads back as the same
// double.
std::string number(double value) {
  std::string text = fmt::format("{}", value);
  return text.find_first_of(".en") == std::string::npos ? text + ".0" : text;
}

std::string flow(const Json& json) {
  if (json.is_object()) {
    std::string body;
    for (const auto& [key, value] : json.items()) {
      body += fmt::format("{}{}: {}", body.empty() ? "" : ", ", quoted_if_needed(key), flow(value));
    }
    return "{" + body + "}";
  }
  if (json.is_array()) {
    std::string body;
    for (const auto& item : json) body += (body.empty() ? "" : ", ") + flow(item);
    return "[" + body + "]";
  }
  if (json.is_string()) return quoted_if_needed(json.get_ref<const std::string&>());
  if (json.is_number_float()) return number(json.get<double>());
  return json.dump();
}

struct Printer {
  std::string operator()(NullValue) const { return "null"; }
  std::string operator()(AutoValue) const { return "auto"; }
  std::string operator()(bool value) const { return value ? "true" : "false"; }
  std::string operator()(std::int64_t value) const { return fmt::format("{}", value); }
  std::string operator()(double value) const { return number(value); }
  std::string operator()(Bytes value) const { return to_text(value); }
  std::string operator()(const Word& word) const { return word.text; }
  std::string operator()(const std::string& text) const { return quoted_if_needed(text); }
  std::string operator()(const InlineMapping& mapping) const {
    return mapping.json.empty() ? "null" : flow(Json::parse(mapping.json));
  }
  std::string operator()(const ValueList& list) const {
    std::string body;
    for (const auto& item : list) body += (body.empty() ? "" : ", ") + to_yaml(item);
    return "[" + body + "]";
  }
};

}  // namespace

std::string quoted_if_needed(std::string_view text) {
  return is_plain(text) ? std::string(text) : in_quotes(text);
}

std::string to_text(Bytes bytes) {
  struct Unit {
    std::string_view name;
    std::int64_t bytes;
  };
  static constexpr std::array kUnits = {Unit{"TiB", 1LL << 40}, Unit{"GiB", 1LL << 30},
                                        Unit{"MiB", 1LL << 20}, Unit{"KiB", 1LL << 10}};
  for (const auto& unit : kUnits) {
    if (bytes.count > 0 && bytes.count % unit.bytes == 0) {
      return fmt::format("{}{}", bytes.count / unit.bytes, unit.name);
    }
  }
  return fmt::format("{}", bytes.count);
}

std::string to_yaml(const Value& value) {
  return std::visit(Printer{}, static_cast<const Value::variant&>(value));
}

}  // namespace edgetrain
