// Whole files: rectangles with conversion, indexes, and files that the writer makes.
#include "core/io/safetensors.h"

#include <gtest/gtest.h>

#include <numeric>

#include "core/base/error.h"
#include "core/tensor/bf16.h"
#include "tests/core/io/faulty_disk.h"
#include "tests/core/io/temp_folder.h"

namespace edgetrain {
namespace {

using testing::error_of;
using testing::FaultyDisk;
using testing::get;
using testing::put;
using testing::TempFolder;

std::vector<float> counting(std::int64_t n, float start) {
  std::vector<float> values(static_cast<std::size_t>(n));
  std::iota(values.begin(), values.end(), start);
  return values;
}

// A file with one tensor per dtype, 5 x 7, values 100 d + i; and an empty one.
void write_sample(const std::filesystem::path& path, Disk& disk = system_disk()) {
  SafetensorsWriter writer(
      path,
      {safetensors_entry("half", Dtype::f16, {5, 7}), safetensors_entry("wide", Dtype::f32, {5, 7}),
       safetensors_entry("empty", Dtype::f32, {0, 3}), safetensors_entry("brain", Dtype::bf16, {5, 7})},
      {{"format", "pt"}}, disk);
  float start = 0.0F;
  for (const SafetensorsEntry& entry : writer.order()) {
    if (entry.begin == entry.end) continue;
    auto values = counting(35, start);
    const Tensor whole = matrix(values.data(), 5, 7, Dtype::f32);
    writer.append(whole.row_range(0, 2));
    writer.append(whole.row_range(2, 3));
    start += 100.0F;
  }
  writer.finish();
}

TEST(Safetensors, WritesSortedAlignedAndDeterministic) {
  const TempFolder folder;
  write_sample(folder / "a");
  write_sample(folder / "b");
  EXPECT_EQ(get(folder / "a"), get(folder / "b"));
  const auto reader = SafetensorsReader::open(folder / "a");
  ASSERT_EQ(reader.entries().size(), 4U);
  EXPECT_EQ(reader.entries().front().name, "brain");
  EXPECT_EQ(reader.find("wide")->begin, 0);
  EXPECT_EQ(reader.find("brain")->begin, 140);
  EXPECT_EQ(reader.find("half")->begin, 210);
  EXPECT_EQ(reader.metadata().at("format"), "pt");
  EXPECT_EQ(static_cast<unsigned char>(get(folder / "a")[0]) % 8, 0);
}

TEST(Safetensors, ReadsRectanglesOfEveryDtypeIntoEveryDtype) {
  const TempFolder folder;
  write_sample(folder / "a");
  const auto reader = SafetensorsReader::open(folder / "a");
  const std::pair<std::string, float> tensors[] = {{"wide", 0.0F}, {"brain", 100.0F}, {"half", 200.0F}};
  for (const auto& [name, start] : tensors) {
    for (const Dtype dtype : {Dtype::f32, Dtype::bf16, Dtype::f16}) {
      std::vector<std::byte> memory(static_cast<std::size_t>(4 * 9 * size_of(dtype)), std::byte{0x55});
      const Tensor wide = matrix(memory.data(), 4, 9, dtype);
      reader.read(name, {1, 4}, {2, 6}, wide.row_range(0, 3).col_range(3, 4));
      for (std::int64_t r = 0; r < 3; ++r) {
        for (std::int64_t c = 0; c < 4; ++c) {
          const float expected = start + static_cast<float>((r + 1) * 7 + c + 2);
          const Tensor element = wide.row_range(r, 1).col_range(3 + c, 1);
          const float actual = dtype == Dtype::f32    ? *element.as<float>()
                               : dtype == Dtype::bf16 ? float_from_bf16(*element.as<std::uint16_t>())
                                                      : float_from_f16(*element.as<std::uint16_t>());
          ASSERT_EQ(actual, expected) << name << " as " << name_of(dtype) << " at " << r << ", " << c;
        }
      }
      EXPECT_EQ(memory[0], std::byte{0x55});  // left of the rectangle
      EXPECT_EQ(memory.back(), std::byte{0x55});
    }
  }
}

TEST(Safetensors, ReadsLongRunsThroughTheBuffer) {
  const TempFolder folder;
  const std::int64_t n = 40'001;  // more than one buffer of either type
  auto values = counting(n, 0.5F);
  SafetensorsWriter writer(folder / "a", {safetensors_entry("x", Dtype::f32, {n})}, {});
  writer.append(vector_of(values.data(), n, Dtype::f32));
  writer.finish();
  std::vector<std::uint16_t> out(static_cast<std::size_t>(n - 2));
  SafetensorsReader::open(folder / "a")
      .read("x", {0, 1}, {1, n - 1}, vector_of(out.data(), n - 2, Dtype::bf16));
  for (std::size_t i = 0; i < out.size(); ++i) ASSERT_EQ(out[i], bf16_from_float(values[i + 1])) << i;
}

TEST(Safetensors, NamesWhatCannotBeRead) {
  const TempFolder folder;
  const std::string json = R"({"q":{"dtype":"F8_E4M3","shape":[2],"data_offsets":[0,2]}})";
  put(folder / "a", std::string(1, static_cast<char>(json.size())) + std::string(7, '\0') + json + "xy");
  const auto reader = SafetensorsReader::open(folder / "a");
  float out[2] = {};
  const auto read = [&](std::string_view name, Range cols) {
    return error_of([&] { reader.read(name, {0, 1}, cols, vector_of(out, cols.size(), Dtype::f32)); });
  };
  EXPECT_NE(read("q", {0, 2}).find("F8_E4M3"), std::string::npos);
  EXPECT_NE(read("z", {0, 2}).find("no tensor \"z\""), std::string::npos);
  write_sample(folder / "b");
  EXPECT_NE(
      error_of([&] {
        SafetensorsReader::open(folder / "b").read("wide", {0, 1}, {6, 8}, vector_of(out, 2, Dtype::f32));
      }).find("5 x 7"),
      std::string::npos);
}

TEST(Safetensors, OneByteMoreOrLessIsNoticed) {
  const TempFolder folder;
  write_sample(folder / "a");
  const std::string bytes = get(folder / "a");
  put(folder / "b", bytes.substr(0, bytes.size() - 1));
  EXPECT_NE(error_of([&] { (void)SafetensorsReader::open(folder / "b"); }), "");
  put(folder / "b", bytes + "x");
  EXPECT_NE(error_of([&] { (void)SafetensorsReader::open(folder / "b"); }), "");
  for (const std::size_t size : {0U, 7U, 8U, 9U}) {
    put(folder / "b", bytes.substr(0, size));
    EXPECT_NE(error_of([&] { (void)SafetensorsReader::open(folder / "b"); }).find("no safetensors"),
              std::string::npos);
  }
}

// Two shards of one tensor each, and the index over them.
class SafetensorsIndex : public ::testing::Test {
 protected:
  void SetUp() override {
    write_one("one.safetensors", "a", 1.0F);
    write_one("two.safetensors", "b", 2.0F);
  }
  void write_one(const std::string& file, const std::string& tensor, float value) {
    SafetensorsWriter writer(folder_ / file, {safetensors_entry(tensor, Dtype::f32, {1})}, {});
    writer.append(vector_of(&value, 1, Dtype::f32));
    writer.finish();
  }
  void write_index(const std::string& map) {
    put(folder_ / "model.safetensors.index.json",
        R"({"metadata":{"total_size":8},"weight_map":)" + map + "}");
  }
  [[nodiscard]] SafetensorsReader open() const { return SafetensorsReader::open(folder_.path()); }
  std::string refusal(const std::string& map) {
    write_index(map);
    return error_of([&] { (void)open(); });
  }
  TempFolder folder_;
};

TEST_F(SafetensorsIndex, ReadsFromAllShards) {
  write_index(R"({"a":"one.safetensors","b":"two.safetensors"})");
  const auto reader = open();
  EXPECT_TRUE(reader.warnings().empty());
  float out = 0.0F;
  reader.read("b", {0, 1}, {0, 1}, vector_of(&out, 1, Dtype::f32));
  EXPECT_EQ(out, 2.0F);
}

TEST_F(SafetensorsIndex, WarnsOfUnmappedTensorsAndAWrongTotal) {
  write_one("one.safetensors", "a", 1.0F);
  write_index(R"({"a":"one.safetensors"})");
  EXPECT_EQ(open().warnings().size(), 1U);  // total_size
  put(folder_ / "model.safetensors.index.json", R"({"weight_map":{}})");
  EXPECT_TRUE(open().entries().empty());
}

TEST_F(SafetensorsIndex, RefusesNamesThatLeaveTheFolder) {
  for (const char* name : {"../one.safetensors", "/etc/passwd", "..", "", "a/b", "a b", "x\\u0000"}) {
    EXPECT_NE(refusal(std::string(R"({"a":")") + name + "\"}").find("no plain file name"), std::string::npos)
        << name;
  }
  EXPECT_NE(refusal(R"({"a":1})").find("no plain file name"), std::string::npos);
  put(folder_ / "model.safetensors.index.json", R"({"weight_map":[]})");
  EXPECT_NE(error_of([&] { (void)open(); }).find("weight_map"), std::string::npos);
}

TEST_F(SafetensorsIndex, RefusesMissingLinkedOrFolderShards) {
  EXPECT_NE(refusal(R"({"a":"three.safetensors"})").find("three.safetensors does not exist"),
            std::string::npos);
  std::filesystem::create_symlink(folder_ / "one.safetensors", folder_ / "link.safetensors");
  EXPECT_NE(refusal(R"({"a":"link.safetensors"})").find("symbolic link"), std::string::npos);
  std::filesystem::create_directory(folder_ / "folder.safetensors");
  EXPECT_NE(refusal(R"({"a":"folder.safetensors"})").find("not a regular file"), std::string::npos);
}

TEST_F(SafetensorsIndex, RefusesATensorThatIsElsewhereOrTwice) {
  EXPECT_NE(refusal(R"({"a":"two.safetensors","b":"two.safetensors"})").find("\"a\" is not in two"),
            std::string::npos);
  write_one("two.safetensors", "a", 3.0F);
  EXPECT_NE(refusal(R"({"a":"one.safetensors","b":"two.safetensors"})").find("in two files"),
            std::string::npos);
}

TEST(Safetensors, AFolderWithoutWeightsIsNamed) {
  const TempFolder folder;
  EXPECT_NE(error_of([&] { (void)SafetensorsReader::open(folder.path()); }).find("neither"),
            std::string::npos);
}

TEST(SafetensorsWriter, AFaultAtAnyCallLeavesNoNewFile) {
  const TempFolder folder;
  bool failed = true;
  for (int at = 0; failed; ++at) {
    FaultyDisk disk(FaultyDisk::Fault::error, at);
    failed = false;
    try {
      write_sample(folder / "a", disk);
    } catch (const Error&) {
      failed = true;
    }
    for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
      EXPECT_EQ(entry.path().filename(), "a") << "call " << at;
      EXPECT_NO_THROW((void)SafetensorsReader::open(entry.path())) << "call " << at;
    }
    std::filesystem::remove(folder / "a");
    ASSERT_LT(at, 200);
  }
}

TEST(SafetensorsWriter, RefusesToFinishEarly) {
  const TempFolder folder;
  {
    SafetensorsWriter writer(folder / "a", {safetensors_entry("x", Dtype::f32, {3})}, {});
    EXPECT_THROW(writer.finish(), Error);
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

}  // namespace
}  // namespace edgetrain
