#include "core/comm/communicator.h"

#include <numeric>

namespace edgetrain {

std::string_view name_of(Collective op) {
  switch (op) {
    case Collective::all_reduce:
      return "all_reduce";
    case Collective::reduce_scatter:
      return "reduce_scatter";
    case Collective::all_gather:
      return "all_gather";
    case Collective::all_to_all:
      return "all_to_all";
    case Collective::broadcast:
      return "broadcast";
    case Collective::send:
      return "send";
    case Collective::recv:
      return "recv";
  }
  return "?";
}

std::int64_t CommBytes::total() const {
  return std::accumulate(std::begin(by_op), std::end(by_op), std::int64_t{0});
}

}  // namespace edgetrain
