// What a rank says about its part: fine, with a text, or an error that others must throw too. Carried by
// TextExchange.
#pragma once

#include <exception>
#include <string>
#include <string_view>

#include "core/base/error.h"

namespace edgetrain {

[[nodiscard]] inline std::string good_verdict(std::string_view text) { return "+" + std::string(text); }

[[nodiscard]] inline std::string bad_verdict(ErrorClass error_class, std::string_view message) {
  return "-" + std::string(1, static_cast<char>('0' + static_cast<int>(error_class))) + std::string(message);
}

/// Of an exception in flight; Error keeps its class, everything else is internal.
[[nodiscard]] inline std::string bad_verdict(const std::exception& error) {
  const auto* ours = dynamic_cast<const Error*>(&error);
  return bad_verdict(ours == nullptr ? ErrorClass::internal : ours->error_class(), error.what());
}

/// The text of a good verdict; throws the Error of a bad one, its message opened by `prefix`.
[[nodiscard]] inline std::string text_or_throw(const std::string& verdict, std::string_view prefix = "") {
  ET_ASSERT(!verdict.empty() && (verdict[0] == '+' || verdict.size() >= 2));
  if (verdict[0] == '+') return verdict.substr(1);
  throw Error(static_cast<ErrorClass>(verdict[1] - '0'), std::string(prefix) + verdict.substr(2));
}

}  // namespace edgetrain
