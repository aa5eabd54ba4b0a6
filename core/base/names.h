// Names of enumerators, written once beside the enum: jobs, messages and tables all read this list.
//
// Why not a macro or a map per use: the list is data (`names_of(E)`, found by argument-dependent lookup), and
// its order is the order of the enumerators, which count from 0.
#pragma once

#include <cstddef>
#include <string_view>

namespace edgetrain {

/// An enum with a list of names: `constexpr std::array<std::string_view, N> names_of(E)`.
template <typename E>
concept Named = requires(E value) {
  names_of(value).size();
};

template <Named E>
[[nodiscard]] constexpr std::string_view name_of(E value) {
  return names_of(value)[static_cast<std::size_t>(value)];
}

}  // namespace edgetrain
