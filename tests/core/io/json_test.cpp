// JSON: what is accepted, what is refused and where, and that writing gives back the same value.
#include "core/io/json.h"

#include <gtest/gtest.h>

#include <array>
#include <limits>

#include "core/base/error.h"
#include "tests/core/io/temp_folder.h"

namespace edgetrain {
namespace {

using testing::error_of;

std::string refusal(std::string_view text, const JsonLimits& limits = {}) {
  return error_of([&] { (void)Json::parse(text, "x.json", limits); });
}

TEST(Json, ReadsEveryKind) {
  const Json value = Json::parse(R"( {"a": [1, -2.5, true, null, "\u00e9\n"], "b": {}} )", "x");
  EXPECT_EQ(value.text(), "{\"a\":[1,-2.5,true,null,\"\xc3\xa9\\u000a\"],\"b\":{}}");
  EXPECT_EQ(value.find("c"), nullptr);
  EXPECT_EQ(value.find("b")->kind(), "object");
  EXPECT_EQ(*value.find("a")->array()->at(0).integer(), 1);
  EXPECT_EQ(value.find("a")->array()->at(1).integer(), nullptr);
}

TEST(Json, TellsIntegersFromOtherNumbers) {
  const auto values =
      Json::parse("[9223372036854775807, 9223372036854775808, -9223372036854775808, 1.0, 1e3]", "x");
  EXPECT_EQ(*values.array()->at(0).integer(), std::numeric_limits<std::int64_t>::max());
  EXPECT_EQ(values.array()->at(1).integer(), nullptr);
  EXPECT_EQ(*values.array()->at(2).integer(), std::numeric_limits<std::int64_t>::min());
  EXPECT_EQ(values.array()->at(3).integer(), nullptr);
  EXPECT_EQ(*values.array()->at(4).real(), 1000.0);
}

TEST(Json, WritesNumbersThatReadBackToTheSameBits) {
  for (const double value : {1e-5, 0.1, 10000.0, -0.0, 1.7976931348623157e308, 5e-324, 1.0 / 3.0, 1e22}) {
    const Json again = Json::parse(Json(value).text(), "x");
    ASSERT_NE(again.real(), nullptr) << Json(value).text();
    EXPECT_EQ(std::bit_cast<std::uint64_t>(*again.real()), std::bit_cast<std::uint64_t>(value))
        << Json(value).text();
  }
  EXPECT_THROW((void)Json(std::numeric_limits<double>::quiet_NaN()).text(), Error);
}

TEST(Json, PrettyIsReadBackToTheSameText) {
  const Json value = Json::parse(R"({"a":[1,2],"b":[],"c":{"d":[{"e":1.5}],"f":{}},"g":"\"\\"})", "x");
  EXPECT_EQ(Json::parse(value.pretty(), "x").text(), value.text());
  EXPECT_NE(value.pretty().find("\"a\": [1, 2]"), std::string::npos) << value.pretty();
}

TEST(Json, NamesDuplicateKeys) {
  EXPECT_NE(refusal(R"({"a": 1, "b": {"a": 1, "c": 2, "a": 3}})").find("\"a\" stands twice"),
            std::string::npos);
  EXPECT_NE(refusal(R"({"a": 1, "\u0061": 2})").find("stands twice"), std::string::npos);
  EXPECT_EQ(Json::parse(R"({"a": {"a": 1}, "b": {"a": 1}})", "x").object()->size(), 2U);
}

TEST(Json, SaysWhereTheSyntaxIsWrong) {
  EXPECT_NE(refusal("{\n  \"a\": 1,\n  bad\n}").find("x.json:3:3"), std::string::npos)
      << refusal("{\n  \"a\": 1,\n  bad\n}");
}

TEST(Json, RefusesBadTexts) {
  const std::string nul("{\"a\": 1}\0", 9);
  const std::array<std::string, 17> texts = {
      "",   " ",   "{",       "[1,]",     "{\"a\":1,}",       "{} {}",       "NaN",    "Infinity", "1e400",
      "01", "'a'", "// c\n1", "\"\xff\"", "\"\xed\xa0\x80\"", "\"\\ud800\"", "\"\n\"", nul};
  for (const auto& text : texts) EXPECT_NE(refusal(text), "") << text;
}

TEST(Json, KeepsItsLimits) {
  const std::string deep = std::string(100, '[') + std::string(100, ']');
  EXPECT_NE(refusal(deep, {.max_depth = 99}).find("nested more than 99"), std::string::npos);
  EXPECT_NO_THROW((void)Json::parse(deep, "x", {.max_depth = 100}));
  EXPECT_NE(refusal(std::string(1 << 20, '[')).find("nested"), std::string::npos);
  EXPECT_NE(refusal("[1,2,3]", {.max_values = 3}).find("more than 3"), std::string::npos);
  EXPECT_NE(refusal("[1,2,3]", {.max_bytes = 6}).find("at most 6"), std::string::npos);
}

}  // namespace
}  // namespace edgetrain
