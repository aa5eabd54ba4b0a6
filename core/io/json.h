// JSON values, read strictly and written so that equal values give equal bytes.
//
// Why a value type of our own: nlohmann-json takes seconds to compile wherever it is included, keeps the last
// of two equal keys without a word, and has no limit on depth or number of values. It does the lexing (UTF-8,
// numbers, escapes) inside json.cpp; duplicates and limits are checked as its events arrive.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace edgetrain {

struct JsonMember;

/// What a file may ask of us before it is refused.
struct JsonLimits {
  std::size_t max_bytes = std::size_t{16} << 20;
  std::size_t max_values = std::size_t{1} << 20;
  int max_depth = 32;
};

/// null, true/false, integer (fits in 64 bits, signed), number (anything else that is finite), string, array,
/// object.
class Json {
 public:
  using Array = std::vector<Json>;
  using Object = std::vector<JsonMember>;  // in the order of the text; keys are unique

  // Defined below, where JsonMember is complete. Implicit, so that values can be written down as they are.
  Json();
  Json(bool value);          // NOLINT(google-explicit-constructor)
  Json(std::int64_t value);  // NOLINT(google-explicit-constructor)
  Json(double value);        // NOLINT(google-explicit-constructor)
  Json(std::string value);   // NOLINT(google-explicit-constructor)
  Json(const char* value);   // NOLINT(google-explicit-constructor)
  Json(Array value);         // NOLINT(google-explicit-constructor)
  Json(Object value);        // NOLINT(google-explicit-constructor)

  [[nodiscard]] bool is_null() const { return holds<std::monostate>(); }
  /// Null unless the value is of that kind.
  [[nodiscard]] const bool* boolean() const { return std::get_if<bool>(&value_); }
  [[nodiscard]] const std::int64_t* integer() const { return std::get_if<std::int64_t>(&value_); }
  [[nodiscard]] const double* real() const { return std::get_if<double>(&value_); }
  [[nodiscard]] const std::string* string() const { return std::get_if<std::string>(&value_); }
  [[nodiscard]] const Array* array() const { return std::get_if<Array>(&value_); }
  [[nodiscard]] const Object* object() const { return std::get_if<Object>(&value_); }
  /// integer() or real() as a double.
  [[nodiscard]] bool number(double& value) const;
  /// The member of that name; null if there is none or this is no object. Linear in the number of members.
  [[nodiscard]] const Json* find(std::string_view key) const;
  /// "null", "boolean", "integer", "number", "string", "array", "object".
  [[nodiscard]] std::string_view kind() const;

  /// Appends to an object (a null becomes one); the caller sees to it that keys are unique.
  Json& set(std::string key, Json value);
  /// Appends to an array (a null becomes one).
  Json& push(Json value);

  /// One line, no spaces; doubles in the shortest form that reads back to the same bits, with a point or
  /// exponent.
  [[nodiscard]] std::string text() const;
  /// Two spaces per level; arrays of scalars on one line.
  [[nodiscard]] std::string pretty() const;

  /// The one value in `text`. `origin` (a path) opens the message of every Error(data): syntax with line and
  /// column, bad UTF-8, duplicate keys, numbers out of range, NaN, comments, trailing text, limits.
  [[nodiscard]] static Json parse(std::string_view text, std::string_view origin,
                                  const JsonLimits& limits = {});

 private:
  template <typename T>
  [[nodiscard]] bool holds() const {
    return std::holds_alternative<T>(value_);
  }
  std::variant<std::monostate, bool, std::int64_t, double, std::string, Array, Object> value_;
};

struct JsonMember {
  std::string key;
  Json value;
};

inline Json::Json() = default;
inline Json::Json(bool value) : value_(value) {}
inline Json::Json(std::int64_t value) : value_(value) {}
inline Json::Json(double value) : value_(value) {}
inline Json::Json(std::string value) : value_(std::move(value)) {}
inline Json::Json(const char* value) : value_(std::string(value)) {}
inline Json::Json(Array value) : value_(std::move(value)) {}
inline Json::Json(Object value) : value_(std::move(value)) {}

/// `text` as a JSON string, with quotes.
[[nodiscard]] std::string json_quoted(std::string_view text);

}  // namespace edgetrain
