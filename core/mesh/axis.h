// The axes of the process grid, outermost first.
#pragma once

#include <cstdint>
#include <string_view>

namespace edgetrain {

enum class Axis : std::uint8_t { pp, dp, cp, tp };
inline constexpr int kAxes = 4;
[[nodiscard]] std::string_view name_of(Axis axis);

}  // namespace edgetrain
