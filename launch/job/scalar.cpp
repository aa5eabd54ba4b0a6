#include "launch/job/scalar.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>

namespace edgetrain {
namespace {

template <typename T>
Parsed<T> refuse(std::string why) {
  return {std::nullopt, std::move(why)};
}

bool digit(char c) { return c >= '0' && c <= '9'; }

std::size_t count_digits(std::string_view text) {
  std::size_t count = 0;
  while (count < text.size() && digit(text[count])) ++count;
  return count;
}

// The parts of [+-]digits[.digits][e[+-]digits]; empty whole and fraction: no decimal number.
struct Decimal {
  bool negative = false;
  std::string_view whole, fraction, exponent;
  bool complete = false;
};

Decimal split(std::string_view text) {
  Decimal parts;
  if (!text.empty() && (text[0] == '+' || text[0] == '-')) {
    parts.negative = text[0] == '-';
    text.remove_prefix(1);
  }
  parts.whole = text.substr(0, count_digits(text));
  text.remove_prefix(parts.whole.size());
  if (!text.empty() && text[0] == '.') {
    text.remove_prefix(1);
    parts.fraction = text.substr(0, count_digits(text));
    text.remove_prefix(parts.fraction.size());
  }
  if (!text.empty() && (text[0] == 'e' || text[0] == 'E')) {
    const std::size_t sign = text.size() > 1 && (text[1] == '+' || text[1] == '-') ? 1 : 0;
    const std::size_t digits = count_digits(text.substr(1 + sign));
    if (digits == 0) return parts;
    parts.exponent = text.substr(1, sign + digits);
    text.remove_prefix(1 + sign + digits);
  }
  parts.complete = text.empty() && parts.whole.size() + parts.fraction.size() > 0;
  return parts;
}

std::string why_not_decimal(std::string_view text) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; };
  std::string plain;
  for (const char c : text) plain += lower(c);
  std::string_view body = plain;
  if (!body.empty() && (body[0] == '-' || body[0] == '+')) body.remove_prefix(1);
  if (body.starts_with("0x")) return "is hexadecimal; numbers are decimal here";
  if (body.starts_with("0o") || body.starts_with("0b")) return "is not decimal; numbers are decimal here";
  if (body == ".nan" || body == "nan" || body == ".inf" || body == "inf") return "is not finite";
  if (!body.empty() && digit(body[0]) && body.find('_') != std::string_view::npos) {
    return "has an underscore; write the digits alone, or 1e6";
  }
  return "";
}

std::optional<std::string> leading_zero(const Decimal& parts) {
  if (parts.whole.size() > 1 && parts.whole[0] == '0')
    return "begins with 0, which some readers take for octal";
  return std::nullopt;
}

std::string_view without_plus(std::string_view text) { return text.starts_with('+') ? text.substr(1) : text; }

}  // namespace

Parsed<double> parse_number(std::string_view text) {
  const Decimal parts = split(text);
  if (!parts.complete) return refuse<double>(why_not_decimal(text));
  if (auto why = leading_zero(parts)) return refuse<double>(*why);
  const std::string_view body = without_plus(text);
  double value = 0.0;
  const auto [end, error] = std::from_chars(body.data(), body.data() + body.size(), value);
  if (error == std::errc::result_out_of_range) return refuse<double>("does not fit into a double");
  if (error != std::errc() || end != body.data() + body.size()) return refuse<double>("");
  return {value, ""};
}

Parsed<std::int64_t> parse_integer(std::string_view text) {
  const Decimal parts = split(text);
  if (!parts.complete) return refuse<std::int64_t>(why_not_decimal(text));
  if (auto why = leading_zero(parts)) return refuse<std::int64_t>(*why);
  if (parts.fraction.empty() && parts.exponent.empty() && !text.ends_with('.')) {
    const std::string_view body = without_plus(text);
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(body.data(), body.data() + body.size(), value);
    if (error == std::errc::result_out_of_range) return refuse<std::int64_t>("does not fit into 64 bits");
    if (error != std::errc() || end != body.data() + body.size()) return refuse<std::int64_t>("");
    return {value, ""};
  }
  // 1e3 and 2.0: through double, so only where doubles hold every integer.
  constexpr double kExact = 9007199254740992.0;
  const auto number = parse_number(text);
  if (!number.value) return refuse<std::int64_t>(number.why);
  if (*number.value != std::floor(*number.value)) return refuse<std::int64_t>("is not a whole number");
  if (std::abs(*number.value) > kExact)
    return refuse<std::int64_t>("is too large to be exact; write all digits");
  return {static_cast<std::int64_t>(*number.value), ""};
}

Parsed<bool> parse_boolean(std::string_view text) {
  if (text == "true") return {true, ""};
  if (text == "false") return {false, ""};
  return refuse<bool>("is neither true nor false");
}

Parsed<Bytes> parse_bytes(std::string_view text) {
  struct Unit {
    std::string_view name;
    double bytes;
  };
  static constexpr std::array kUnits = {
      Unit{"KiB", 1024.0}, Unit{"MiB", 1048576.0}, Unit{"GiB", 1073741824.0}, Unit{"TiB", 1099511627776.0},
      Unit{"kB", 1e3},     Unit{"MB", 1e6},        Unit{"GB", 1e9},           Unit{"TB", 1e12},
      Unit{"B", 1.0},
  };
  for (const auto& unit : kUnits) {
    if (!text.ends_with(unit.name)) continue;
    std::string_view digits = text.substr(0, text.size() - unit.name.size());
    while (digits.ends_with(' ')) digits.remove_suffix(1);
    const auto number = parse_number(digits);
    if (!number.value) return refuse<Bytes>(number.why);
    const double bytes = *number.value * unit.bytes;
    if (bytes < 0.0) return refuse<Bytes>("is negative");
    if (bytes > 9.0e15) return refuse<Bytes>("is more than any machine has");
    if (bytes != std::floor(bytes)) return refuse<Bytes>("is not a whole number of bytes");
    return {Bytes{static_cast<std::int64_t>(bytes)}, ""};
  }
  const auto plain = parse_integer(text);
  if (!plain.value) return refuse<Bytes>(plain.why);
  if (*plain.value < 0) return refuse<Bytes>("is negative");
  return {Bytes{*plain.value}, ""};
}

}  // namespace edgetrain
