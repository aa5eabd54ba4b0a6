#include "core/io/json.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <unordered_set>

#include "core/base/error.h"

namespace edgetrain {
namespace {

struct Position {
  std::size_t line = 1, column = 1;
};

// nlohmann counts bytes from 1, and points behind the token.
Position position_of(std::string_view text, std::size_t byte) {
  const auto before = text.substr(0, std::min(byte == 0 ? 0 : byte - 1, text.size()));
  const auto newline = before.rfind('\n');
  return {1 + static_cast<std::size_t>(std::count(before.begin(), before.end(), '\n')),
          before.size() - (newline == std::string_view::npos ? 0 : newline + 1) + 1};
}

// "[json.exception.parse_error.101] parse error at line 1, column 2: what a person can read"
std::string_view reason_of(std::string_view message) {
  const auto start = message.find(": ");
  return start == std::string_view::npos ? message : message.substr(start + 2);
}

// Receives the parser's events and builds the value. Throws Error(data) at the first thing that is not
// allowed.
class Builder {
 public:
  using number_integer_t = nlohmann::json::number_integer_t;
  using number_unsigned_t = nlohmann::json::number_unsigned_t;
  using number_float_t = nlohmann::json::number_float_t;
  using string_t = nlohmann::json::string_t;
  using binary_t = nlohmann::json::binary_t;

  Builder(std::string_view text, std::string_view origin, const JsonLimits& limits)
      : text_(text), origin_(origin), limits_(limits) {}

  bool null() { return add(Json()); }
  bool boolean(bool value) { return add(Json(value)); }
  bool number_integer(number_integer_t value) { return add(Json(static_cast<std::int64_t>(value))); }
  bool number_unsigned(number_unsigned_t value) {
    constexpr auto kMax = static_cast<number_unsigned_t>(std::numeric_limits<std::int64_t>::max());
    return value <= kMax ? add(Json(static_cast<std::int64_t>(value)))
                         : add(Json(static_cast<double>(value)));
  }
  bool number_float(number_float_t value, const string_t&) { return add(Json(value)); }
  bool string(string_t& value) { return add(Json(std::move(value))); }
  bool binary(binary_t&) { fail("binary values are no JSON"); }
  bool start_object(std::size_t) { return open(Json(Json::Object{})); }
  bool key(string_t& name) {
    if (!open_.back().keys.insert(name).second)
      fail(fmt::format("the key {} stands twice", json_quoted(name)));
    open_.back().next_key = std::move(name);
    return true;
  }
  bool end_object() { return close(); }
  bool start_array(std::size_t) { return open(Json(Json::Array{})); }
  bool end_array() { return close(); }
  bool parse_error(std::size_t byte, const std::string&, const nlohmann::json::exception& error) {
    const auto [line, column] = position_of(text_, byte);
    throw Error(ErrorClass::data,
                fmt::format("{}:{}:{}: no valid JSON: {}", origin_, line, column, reason_of(error.what())));
  }

  [[nodiscard]] Json take() { return std::move(root_); }

 private:
  struct Level {
    Json value;
    std::string next_key;
    std::unordered_set<std::string> keys;
  };

  [[noreturn]] void fail(const std::string& what) {
    throw Error(ErrorClass::data, fmt::format("{}: {}", origin_, what));
  }
  void count() {
    if (++values_ > limits_.max_values) fail(fmt::format("more than {} JSON values", limits_.max_values));
  }
  bool add(Json value) {
    count();
    place(std::move(value));
    return true;
  }
  bool open(Json value) {
    count();
    if (static_cast<int>(open_.size()) >= limits_.max_depth) {
      fail(fmt::format("JSON nested more than {} deep", limits_.max_depth));
    }
    open_.push_back({std::move(value), {}, {}});
    return true;
  }
  bool close() {
    Json value = std::move(open_.back().value);
    open_.pop_back();
    place(std::move(value));
    return true;
  }
  void place(Json value) {
    if (open_.empty()) {
      root_ = std::move(value);
    } else if (Level& level = open_.back(); level.value.object() != nullptr) {
      level.value.set(std::move(level.next_key), std::move(value));
    } else {
      level.value.push(std::move(value));
    }
  }

  std::string_view text_, origin_;
  JsonLimits limits_;
  std::size_t values_ = 0;
  std::vector<Level> open_;
  Json root_;
};

std::string number_text(double value) {
  ET_CHECK(std::isfinite(value), "JSON has no {}", value);
  std::string text = fmt::format("{}", value);
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

bool has_structure(const Json& value) {
  const auto* array = value.array();
  return value.object() != nullptr ||
         (array != nullptr && std::any_of(array->begin(), array->end(), [](const Json& item) {
            return item.object() != nullptr || item.array() != nullptr;
          }));
}

// Writes one value, on one line or over several.
class Printer {
 public:
  explicit Printer(bool pretty) : pretty_(pretty) {}

  void print(const Json& value, int level) {
    if (const auto* object = value.object()) return print_object(*object, level);
    if (const auto* array = value.array()) return print_array(*array, level, pretty_ && has_structure(value));
    print_scalar(value);
  }
  [[nodiscard]] std::string take() { return std::move(text_); }

 private:
  void print_scalar(const Json& value) {
    if (const auto* boolean = value.boolean()) {
      text_ += *boolean ? "true" : "false";
    } else if (const auto* integer = value.integer()) {
      text_ += fmt::format("{}", *integer);
    } else if (const auto* real = value.real()) {
      text_ += number_text(*real);
    } else if (const auto* string = value.string()) {
      text_ += json_quoted(*string);
    } else {
      text_ += "null";
    }
  }
  void print_object(const Json::Object& object, int level) {
    text_ += '{';
    for (std::size_t i = 0; i < object.size(); ++i) {
      separate(i, level + 1, pretty_);
      text_ += json_quoted(object[i].key);
      text_ += pretty_ ? ": " : ":";
      print(object[i].value, level + 1);
    }
    finish(object.empty(), level, pretty_);
    text_ += '}';
  }
  void print_array(const Json::Array& array, int level, bool lines) {
    text_ += '[';
    for (std::size_t i = 0; i < array.size(); ++i) {
      separate(i, level + 1, lines);
      print(array[i], level + 1);
    }
    finish(array.empty(), level, lines);
    text_ += ']';
  }
  void separate(std::size_t index, int level, bool lines) {
    if (index > 0) text_ += pretty_ && !lines ? ", " : ",";
    if (lines) new_line(level);
  }
  void finish(bool empty, int level, bool lines) {
    if (lines && !empty) new_line(level);
  }
  void new_line(int level) {
    text_ += '\n';
    text_.append(static_cast<std::size_t>(2 * level), ' ');
  }
  bool pretty_;
  std::string text_;
};

}  // namespace

bool Json::number(double& value) const {
  if (const auto* whole = integer()) {
    value = static_cast<double>(*whole);
    return true;
  }
  if (const auto* fraction = real()) {
    value = *fraction;
    return true;
  }
  return false;
}

const Json* Json::find(std::string_view key) const {
  const auto* members = object();
  if (members == nullptr) return nullptr;
  const auto found = std::find_if(members->begin(), members->end(),
                                  [&](const JsonMember& member) { return member.key == key; });
  return found == members->end() ? nullptr : &found->value;
}

std::string_view Json::kind() const {
  constexpr std::string_view kNames[] = {"null", "boolean", "integer", "number", "string", "array", "object"};
  return kNames[value_.index()];
}

Json& Json::set(std::string key, Json value) {
  if (is_null()) value_ = Object{};
  std::get<Object>(value_).push_back({std::move(key), std::move(value)});
  return *this;
}

Json& Json::push(Json value) {
  if (is_null()) value_ = Array{};
  std::get<Array>(value_).push_back(std::move(value));
  return *this;
}

std::string Json::text() const {
  Printer printer(false);
  printer.print(*this, 0);
  return printer.take();
}

std::string Json::pretty() const {
  Printer printer(true);
  printer.print(*this, 0);
  return printer.take();
}

Json Json::parse(std::string_view text, std::string_view origin, const JsonLimits& limits) {
  if (text.size() > limits.max_bytes) {
    throw Error(ErrorClass::data, fmt::format("{}: {} bytes of JSON; at most {} are read", origin,
                                              text.size(), limits.max_bytes));
  }
  // The lexer takes a NUL for the end of the text and would let anything follow.
  if (const auto nul = text.find('\0'); nul != std::string_view::npos) {
    throw Error(ErrorClass::data, fmt::format("{}: no valid JSON: a zero byte at {}", origin, nul));
  }
  Builder builder(text, origin, limits);
  nlohmann::json::sax_parse(text.begin(), text.end(), &builder);
  return builder.take();
}

std::string json_quoted(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      quoted += '\\';
      quoted += c;
    } else if (static_cast<unsigned char>(c) < 0x20U) {
      quoted += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      quoted += c;
    }
  }
  return quoted + '"';
}

}  // namespace edgetrain
