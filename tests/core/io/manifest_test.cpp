// The manifest: round trip, every changed byte noticed, and everything that a well-hashed but wrong one can
// hold.
#include "core/io/manifest.h"

#include <gtest/gtest.h>

#include <functional>

#include "core/base/error.h"
#include "tests/core/io/temp_folder.h"

namespace edgetrain {
namespace {

using testing::error_of;

// "a" (param) 4 x 6 bf16 in three pieces over two files, "b" (m) 1 x 5 fp32; chunks of 16 bytes.
CheckpointManifest sample() {
  CheckpointManifest manifest;
  manifest.step = 7;
  manifest.chunk_bytes = 16;
  manifest.files = {{"shard-00000.bin", 24 + 8}, {"shard-00002.bin", 16 + 20}};
  manifest.meta = Json::parse(R"({"seed": 1234, "lr": [1e-4]})", "x");
  CheckpointTensor a{"a", "param", Dtype::bf16, 4, 6, {}};
  a.pieces.push_back({0, 2, 0, 6, 0, 0, {{1, 2}, {3, 4}}});
  a.pieces.push_back({2, 2, 0, 2, 0, 24, {{5, 6}}});
  a.pieces.push_back({2, 2, 2, 4, 1, 0, {{7, 8}}});
  CheckpointTensor b{"b", "m", Dtype::f32, 1, 5, {}};
  b.pieces.push_back({0, 1, 0, 5, 1, 16, {{9, 10}, {11, 12}}});
  manifest.tensors = {a, b};
  return manifest;
}

std::string refusal_of(const std::function<void(CheckpointManifest&)>& damage) {
  CheckpointManifest manifest = sample();
  damage(manifest);
  return error_of([&] { (void)parse_manifest(manifest_text(manifest), "m"); });
}

TEST(Manifest, ReadsBackWhatItWrote) {
  const std::string text = manifest_text(sample());
  const CheckpointManifest again = parse_manifest(text, "m");
  EXPECT_EQ(manifest_text(again), text);
  EXPECT_EQ(again.step, 7);
  EXPECT_EQ(again.tensors[0].pieces[2].chunks[0], (Hash128{7, 8}));
  EXPECT_EQ(tensors_text(parse_tensors(tensors_text(again.tensors), "t")), tensors_text(again.tensors));
  EXPECT_NO_THROW((void)Json::parse(text, "m"));  // an ordinary JSON file for every other tool
}

TEST(Manifest, EveryFlippedBitIsNoticed) {
  const std::string text = manifest_text(sample());
  for (std::size_t i = 0; i < text.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string damaged = text;
      damaged[i] = static_cast<char>(damaged[i] ^ (1 << bit));
      EXPECT_THROW((void)parse_manifest(damaged, "m"), Error) << "byte " << i << " bit " << bit;
    }
  }
}

TEST(Manifest, EveryCutAndEveryExtraByteIsNoticed) {
  const std::string text = manifest_text(sample());
  for (std::size_t size = 0; size < text.size(); ++size) {
    EXPECT_THROW((void)parse_manifest(text.substr(0, size), "m"), Error) << size;
  }
  EXPECT_THROW((void)parse_manifest(text + "\n", "m"), Error);
}

TEST(Manifest, RefusesWrongCoverage) {
  const auto piece = [](CheckpointManifest& m, std::size_t i) -> CheckpointPiece& {
    return m.tensors[0].pieces[i];
  };
  EXPECT_NE(refusal_of([&](auto& m) { m.tensors[0].rows = 5; }).find("hold 24 of 30"), std::string::npos);
  EXPECT_NE(refusal_of([&](auto& m) { piece(m, 1).row = 1; }).find("overlap"), std::string::npos);
  EXPECT_NE(refusal_of([&](auto& m) { piece(m, 2).col = 1; }).find("overlap"), std::string::npos);
  EXPECT_NE(refusal_of([&](auto& m) { piece(m, 2).col = 3; }).find("reaches past"), std::string::npos);
  EXPECT_NE(refusal_of([&](auto& m) { piece(m, 0).row = std::int64_t{1} << 62; }).find("reaches past"),
            std::string::npos);
  EXPECT_NE(refusal_of([&](auto& m) { m.tensors[0].pieces.push_back(piece(m, 0)); }).find("overlap"),
            std::string::npos);
}

TEST(Manifest, RefusesWrongFiles) {
  EXPECT_NE(refusal_of([](auto& m) { m.files[0].bytes = 33; }).find("belong to no tensor"),
            std::string::npos);
  EXPECT_NE(refusal_of([](auto& m) { m.files[1].bytes = 35; }).find("past the end"), std::string::npos);
  EXPECT_NE(refusal_of([](auto& m) { m.tensors[1].pieces[0].offset = 8; }).find("overlap"),
            std::string::npos);
  EXPECT_NE(refusal_of([](auto& m) { m.tensors[1].pieces[0].file = 2; }).find("no file 2"),
            std::string::npos);
  EXPECT_NE(refusal_of([](auto& m) { m.tensors[1].pieces[0].chunks.pop_back(); }).find("1 hashes for 2"),
            std::string::npos);
  EXPECT_NE(refusal_of([](auto& m) { m.files[1].name = m.files[0].name; }).find("twice"), std::string::npos);
  for (const char* name : {"../x", "/etc/x", "", "..", "A b", ".x"}) {
    EXPECT_NE(refusal_of([&](auto& m) { m.files[1].name = name; }).find("no plain file name"),
              std::string::npos);
  }
}

TEST(Manifest, RefusesUnsortedOrRepeatedTensors) {
  EXPECT_NE(refusal_of([](auto& m) { std::swap(m.tensors[0], m.tensors[1]); }).find("sorted"),
            std::string::npos);
  EXPECT_NE(
      refusal_of([](auto& m) { m.tensors[1].name = "a", m.tensors[1].state = "param"; }).find("each once"),
      std::string::npos);
}

// A text of our own with the right last line.
std::string sealed(const std::string& body) {
  return body + ",\n\"xxh3_128\": \"" + hex_of(hash_of(std::as_bytes(std::span(body)))) + "\"\n}\n";
}

TEST(Manifest, RefusesOtherFormatsAndNewerVersions) {
  const std::string rest = R"("step": 1, "chunk_bytes": 8, "files": [], "tensors": [], "meta": {})";
  EXPECT_NO_THROW(
      (void)parse_manifest(sealed(R"({"format": "edgetrain-checkpoint", "version": 1, )" + rest), "m"));
  const auto refusal = [&](const std::string& body) {
    return error_of([&] { (void)parse_manifest(sealed(body), "m"); });
  };
  EXPECT_NE(refusal(R"({"format": "edgetrain-checkpoint", "version": 2, "new": 1, )" + rest)
                .find("newer edgetrain"),
            std::string::npos);
  EXPECT_NE(refusal(R"({"format": "other", "version": 1, )" + rest).find("no checkpoint"), std::string::npos);
  EXPECT_NE(
      refusal(R"({"format": "edgetrain-checkpoint", "version": 1, "more": 1, )" + rest).find("unknown key"),
      std::string::npos);
  EXPECT_NE(refusal("[1").find("valid JSON"), std::string::npos);
  EXPECT_NE(refusal("{").find("'format' is missing"), std::string::npos);
}

}  // namespace
}  // namespace edgetrain
