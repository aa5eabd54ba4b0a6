// The keys of one JSON object of config.json: typed, bounded, every problem collected instead of thrown.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "core/io/json.h"
#include "core/model/hf_config.h"

namespace edgetrain {

/// null counts as absent, as it does in Hugging Face. Reading a key marks it as known.
class HfFields {
 public:
  /// `prefix` ("rope_scaling.") opens the keys of problems. All are borrowed.
  HfFields(const Json& object, HfConfig& result, std::string prefix = "")
      : object_(object), result_(result), prefix_(std::move(prefix)) {}

  /// Null if the key is absent or null.
  [[nodiscard]] const Json* find(std::string_view key);
  /// A whole number in [min, max].
  [[nodiscard]] std::optional<std::int64_t> integer(std::string_view key, std::int64_t min, std::int64_t max);
  /// A finite number in [min, max].
  [[nodiscard]] std::optional<double> number(std::string_view key, double min, double max);
  [[nodiscard]] std::optional<bool> boolean(std::string_view key);
  [[nodiscard]] std::optional<std::string> string(std::string_view key);

  void problem(std::string_view key, std::string message);
  void warn(std::string_view key, std::string message);
  [[nodiscard]] const std::set<std::string, std::less<>>& known() const { return known_; }
  [[nodiscard]] const Json& object() const { return object_; }
  [[nodiscard]] HfConfig& result() { return result_; }

 private:
  const Json& object_;
  HfConfig& result_;
  std::string prefix_;
  std::set<std::string, std::less<>> known_;
};

}  // namespace edgetrain
