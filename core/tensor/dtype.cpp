#include "core/tensor/dtype.h"

#include <array>

namespace edgetrain {
namespace {

struct Name {
  Dtype dtype;
  std::string_view name;
};
constexpr std::array kNames = {
    Name{Dtype::f32, "fp32"},  Name{Dtype::bf16, "bf16"}, Name{Dtype::f16, "fp16"}, Name{Dtype::f64, "fp64"},
    Name{Dtype::i32, "int32"}, Name{Dtype::i64, "int64"}, Name{Dtype::u8, "uint8"},
};

}  // namespace

std::string_view name_of(Dtype dtype) {
  for (const auto& entry : kNames) {
    if (entry.dtype == dtype) return entry.name;
  }
  return "?";
}

std::optional<Dtype> dtype_from_name(std::string_view name) {
  for (const auto& entry : kNames) {
    if (entry.name == name) return entry.dtype;
  }
  return std::nullopt;
}

}  // namespace edgetrain
