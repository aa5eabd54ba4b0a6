#include "launch/job/scalar.h"

#include <gtest/gtest.h>

namespace edgetrain {
namespace {

TEST(ParseInteger, AcceptsDecimalAndIntegralScientific) {
  EXPECT_EQ(parse_integer("0").value, 0);
  EXPECT_EQ(parse_integer("-17").value, -17);
  EXPECT_EQ(parse_integer("+3").value, 3);
  EXPECT_EQ(parse_integer("1e3").value, 1000);
  EXPECT_EQ(parse_integer("2.0").value, 2);
  EXPECT_EQ(parse_integer("1.5e1").value, 15);
  EXPECT_EQ(parse_integer("9223372036854775807").value, INT64_MAX);
}

TEST(ParseInteger, RefusesWhatYamlReadersGuessAt) {
  for (const auto* text : {"010",   "0x10",  "0o17", "0b1",  "1_000", "12abc", "",
                           "-",     "1e",    "1.5",  ".nan", "1e400", "true",  "99999999999999999999",
                           "1e300", "1 000", "--1",  "1e-1", "0x",    "."}) {
    EXPECT_FALSE(parse_integer(text).value) << text;
  }
  EXPECT_EQ(parse_integer("0x10").why, "is hexadecimal; numbers are decimal here");
  EXPECT_EQ(parse_integer("99999999999999999999").why, "does not fit into 64 bits");
  EXPECT_EQ(parse_integer("1.5").why, "is not a whole number");
}

TEST(ParseNumber, AcceptsBothSpellingsOfAnExponent) {
  EXPECT_EQ(parse_number("3e-4").value, 3e-4);
  EXPECT_EQ(parse_number("3.0e-4").value, 3e-4);
  EXPECT_EQ(parse_number("3E-4").value, 3e-4);
  EXPECT_EQ(parse_number(".5").value, 0.5);
  EXPECT_EQ(parse_number("1.").value, 1.0);
  EXPECT_EQ(parse_number("+0.1").value, 0.1);
}

TEST(ParseNumber, RefusesNonFiniteAndNonDecimal) {
  for (const auto* text :
       {".nan", ".inf", "-.inf", "nan", "inf", "infinity", "1e400", "0x1p3", "1,5", "1e5x", "00.5", "e5"}) {
    EXPECT_FALSE(parse_number(text).value) << text;
  }
  EXPECT_EQ(parse_number(".nan").why, "is not finite");
  EXPECT_EQ(parse_number("1e400").why, "does not fit into a double");
}

TEST(ParseBoolean, AcceptsTwoWords) {
  EXPECT_EQ(parse_boolean("true").value, true);
  EXPECT_EQ(parse_boolean("false").value, false);
  for (const auto* text : {"yes", "no", "on", "off", "True", "TRUE", "y", "1", "0", ""}) {
    EXPECT_FALSE(parse_boolean(text).value) << text;
  }
}

TEST(ParseBytes, KnowsBinaryAndDecimalUnits) {
  EXPECT_EQ(parse_bytes("2GiB").value, Bytes{2LL << 30});
  EXPECT_EQ(parse_bytes("512MiB").value, Bytes{512LL << 20});
  EXPECT_EQ(parse_bytes("1.5TiB").value, Bytes{3LL << 39});
  EXPECT_EQ(parse_bytes("4 KiB").value, Bytes{4096});
  EXPECT_EQ(parse_bytes("2GB").value, Bytes{2'000'000'000});
  EXPECT_EQ(parse_bytes("17").value, Bytes{17});
  EXPECT_EQ(parse_bytes("17B").value, Bytes{17});
  for (const auto* text :
       {"2G", "2gib", "GiB", "-1GiB", "-5", "0.1KiB", "1e30GiB", "1e400GiB", "0x1MiB", ".nanGiB", "auto"}) {
    EXPECT_FALSE(parse_bytes(text).value) << text;
  }
}

}  // namespace
}  // namespace edgetrain
