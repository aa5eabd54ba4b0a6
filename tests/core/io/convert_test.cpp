// Conversion between stored types: exact one way, nearest even the other.
#include "core/io/convert.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <vector>

#include "core/base/error.h"
#include "core/tensor/bf16.h"

namespace edgetrain {
namespace {

template <typename To, typename From>
std::vector<To> converted(const std::vector<From>& from, Dtype from_dtype, Dtype to_dtype) {
  std::vector<To> to(from.size());
  convert_elements(reinterpret_cast<const std::byte*>(from.data()), from_dtype,
                   reinterpret_cast<std::byte*>(to.data()), to_dtype, static_cast<std::int64_t>(from.size()));
  return to;
}

// All 65,536 values of a 16-bit type.
std::vector<std::uint16_t> all_16_bits() {
  std::vector<std::uint16_t> values(1 << 16);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<std::uint16_t>(i);
  return values;
}

TEST(ConvertElements, WideningAndBackIsTheIdentityButForSignallingNaN) {
  for (const Dtype dtype : {Dtype::bf16, Dtype::f16}) {
    const auto wide = converted<float>(all_16_bits(), dtype, Dtype::f32);
    const auto back = converted<std::uint16_t>(wide, Dtype::f32, dtype);
    for (std::size_t i = 0; i < back.size(); ++i) {
      if (std::isnan(wide[i])) continue;
      ASSERT_EQ(back[i], i) << name_of(dtype);
    }
  }
}

TEST(ConvertElements, RoundsToNearestEven) {
  // 1 + 2^-8 lies between two bf16 values and goes to the even one; a little more goes up.
  const std::vector<float> values = {1.0F + 0x1p-8F, 1.0F + 3 * 0x1p-8F,
                                     std::nextafter(1.0F + 0x1p-8F, 2.0F)};
  const auto narrow = converted<std::uint16_t>(values, Dtype::f32, Dtype::bf16);
  EXPECT_EQ(narrow, (std::vector<std::uint16_t>{0x3f80, 0x3f82, 0x3f81}));
}

TEST(ConvertElements, EqualTypesKeepEveryBit) {
  const auto values = all_16_bits();
  EXPECT_EQ(converted<std::uint16_t>(values, Dtype::f16, Dtype::f16), values);
}

TEST(ConvertElements, NamesPairsThatItDoesNotTake) {
  EXPECT_FALSE(convertible(Dtype::i32, Dtype::f32));
  EXPECT_THROW((void)converted<float>(std::vector<float>(1), Dtype::i32, Dtype::f32), Error);
}

}  // namespace
}  // namespace edgetrain
