// Normal random values keyed by (seed, name, element index): initial weights that no layout can change.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace edgetrain {

/// values[i] = std * z(seed, name, first_element + i), z standard normal with |z| < 6.4, computed in double
/// and rounded once. Any range gives the values that the whole would have there. Method: element e uses word
/// e % 4 of Philox block e / 4 under (key seed, counter half fnv1a(name)), and the inverse normal
/// distribution (Wichura 1988, AS 241). Box-Muller was rejected: it ties elements into pairs and runs sin and
/// cos for every one, where 85% of the values here need no libm at all.
void fill_normal(std::uint64_t seed, std::string_view name, std::int64_t first_element,
                 std::span<float> values, double standard_deviation);

}  // namespace edgetrain
