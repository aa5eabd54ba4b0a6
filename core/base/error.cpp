#include "core/base/error.h"

namespace edgetrain {

std::string_view name_of(ErrorClass error_class) {
  switch (error_class) {
    case ErrorClass::job:
      return "job";
    case ErrorClass::data:
      return "data";
    case ErrorClass::numeric:
      return "numeric";
    case ErrorClass::resource:
      return "resource";
    case ErrorClass::peer:
      return "peer";
    case ErrorClass::hang:
      return "hang";
    case ErrorClass::internal:
      return "internal";
  }
  return "internal";
}

Error::Error(ErrorClass error_class, const std::string& message, std::source_location where)
    : std::runtime_error(message), class_(error_class), where_(where) {}

namespace detail {

void assert_failed(std::string_view expression, std::string_view message, std::source_location where) {
  throw Error(ErrorClass::internal,
              fmt::format("{}:{}: invariant broken: {}{}{}", where.file_name(), where.line(), expression,
                          message.empty() ? "" : ": ", message),
              where);
}

}  // namespace detail

}  // namespace edgetrain
