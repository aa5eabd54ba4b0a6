#include "core/mesh/axis.h"

namespace edgetrain {

std::string_view name_of(Axis axis) {
  switch (axis) {
    case Axis::pp:
      return "pp";
    case Axis::dp:
      return "dp";
    case Axis::cp:
      return "cp";
    case Axis::tp:
      return "tp";
  }
  return "?";
}

}  // namespace edgetrain
