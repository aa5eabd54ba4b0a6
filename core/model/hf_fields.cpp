#include "core/model/hf_fields.h"

#include <fmt/format.h>

#include <cmath>

namespace edgetrain {

const Json* HfFields::find(std::string_view key) {
  known_.emplace(key);
  const Json* value = object_.find(key);
  return value == nullptr || value->is_null() ? nullptr : value;
}

std::optional<std::int64_t> HfFields::integer(std::string_view key, std::int64_t min, std::int64_t max) {
  const Json* value = find(key);
  if (value == nullptr) return std::nullopt;
  const auto* whole = value->integer();
  if (whole != nullptr && *whole >= min && *whole <= max) return *whole;
  problem(key, fmt::format("must be a whole number from {} to {}, not {}", min, max, value->text()));
  return std::nullopt;
}

std::optional<double> HfFields::number(std::string_view key, double min, double max) {
  const Json* value = find(key);
  if (value == nullptr) return std::nullopt;
  double number = 0.0;
  if (value->number(number) && number >= min && number <= max) return number;
  problem(key, fmt::format("must be a number from {} to {}, not {}", min, max, value->text()));
  return std::nullopt;
}

std::optional<bool> HfFields::boolean(std::string_view key) {
  const Json* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (value->boolean() != nullptr) return *value->boolean();
  problem(key, fmt::format("must be true or false, not {}", value->text()));
  return std::nullopt;
}

std::optional<std::string> HfFields::string(std::string_view key) {
  const Json* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (value->string() != nullptr) return *value->string();
  problem(key, fmt::format("must be a string, not {}", value->text()));
  return std::nullopt;
}

void HfFields::problem(std::string_view key, std::string message) {
  result_.problems.push_back({prefix_ + std::string(key), std::move(message)});
}

void HfFields::warn(std::string_view key, std::string message) {
  result_.warnings.push_back({prefix_ + std::string(key), std::move(message)});
}

}  // namespace edgetrain
