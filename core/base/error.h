// Errors: every exception says where it came from and what a person can do about it.
//
// Three kinds reach main(), which turns them into exit codes: JobError (the job or its input is wrong, 2),
// Error (failed while running, 1) and anything else (a defect of ours, 1). An Error carries the class that
// status.json reports.
#pragma once

#include <fmt/format.h>

#include <source_location>
#include <stdexcept>
#include <string>
#include <string_view>

namespace edgetrain {

/// What went wrong, as written to status.json.
enum class ErrorClass { job, data, numeric, resource, peer, hang, internal };

[[nodiscard]] std::string_view name_of(ErrorClass error_class);

/// A failure with its class, message and source location. `what()` is the message alone, made for a user.
class Error : public std::runtime_error {
 public:
  Error(ErrorClass error_class, const std::string& message,
        std::source_location where = std::source_location::current());
  [[nodiscard]] ErrorClass error_class() const { return class_; }
  [[nodiscard]] const std::source_location& where() const { return where_; }

 private:
  ErrorClass class_;
  std::source_location where_;
};

/// Input (job, model, data, checkpoint) that is wrong and was found to be wrong before anything started.
class JobError : public Error {
 public:
  explicit JobError(const std::string& message, std::source_location where = std::source_location::current())
      : Error(ErrorClass::job, message, where) {}
};

namespace detail {
[[noreturn]] void assert_failed(std::string_view expression, std::string_view message,
                                std::source_location where);
}  // namespace detail

}  // namespace edgetrain

/// An invariant of ours. Stays on in release builds. Throws Error(internal).
#define ET_ASSERT(expression)                                                               \
  do {                                                                                      \
    if (!(expression)) [[unlikely]]                                                         \
      ::edgetrain::detail::assert_failed(#expression, "", std::source_location::current()); \
  } while (false)

/// ET_ASSERT with a formatted explanation: ET_CHECK(a == b, "rows differ: {} and {}", a, b).
#define ET_CHECK(expression, ...)                                                 \
  do {                                                                            \
    if (!(expression)) [[unlikely]]                                               \
      ::edgetrain::detail::assert_failed(#expression, ::fmt::format(__VA_ARGS__), \
                                         std::source_location::current());        \
  } while (false)
