// The traps of YAML and of its library: notes on bad inputs, items 1 to 14, 18 and 29.
#include "launch/job/yaml.h"

#include <gtest/gtest.h>

#include <chrono>

#include "tests/launch/job/job_fixture.h"

namespace edgetrain {
namespace {

using testing::errors;
using testing::errors_with;
using testing::kMinimal;
using testing::parse;

struct Loaded {
  std::optional<YamlNode> root;
  std::vector<Problem> problems;
};

Loaded load(std::string text) {
  auto source = std::make_shared<Source>();
  source->name = "t.yaml";
  source->text = std::move(text);
  Loaded loaded;
  loaded.root = load_yaml(source, loaded.problems);
  return loaded;
}

TEST(Yaml, KeepsScalarsAsWrittenWithTheirPlace) {
  const auto loaded = load("a: 010\nb:\n  - \"auto\"\n  - auto\n");
  ASSERT_TRUE(loaded.root);
  const YamlNode* a = loaded.root->find("a");
  EXPECT_EQ(a->text, "010");
  EXPECT_FALSE(a->quoted);
  EXPECT_EQ(a->at.line, 1U);
  EXPECT_EQ(a->at.column, 4U);
  const YamlNode* b = loaded.root->find("b");
  EXPECT_TRUE(b->items[0].quoted);
  EXPECT_FALSE(b->items[1].quoted);
  EXPECT_EQ(b->items[1].at.line, 4U);
  EXPECT_EQ(loaded.root->find("c"), nullptr);
}

TEST(Yaml, EmptyFile) {
  for (const auto* text : {"", "\n\n", "# only a comment\n", "---\n", "~\n", "null\n"}) {
    EXPECT_EQ(errors(text),
              "job.yaml: error: the file is empty\n"
              "  `edgetrain init` writes a job to start from\n"
              "1 error; nothing was started.\n")
        << text;
  }
}

TEST(Yaml, BinaryFile) {
  EXPECT_CONTAINS(errors(std::string("\x7f"
                                     "ELF\x02\x01\x00\x00",
                                     8)),
                  "job.yaml:1: error: control character 0x7f");
  EXPECT_CONTAINS(errors(std::string("a: b\0c\n", 7)), "control character 0x00");
  // yaml-cpp takes this byte for the end of the file.
  EXPECT_CONTAINS(errors(std::string(kMinimal) + "\x04"
                                                 "nonsense: 1\n"),
                  "job.yaml:3: error: control character 0x04");
  EXPECT_CONTAINS(errors("\xff\xfe"
                         "a"),
                  "job.yaml:1: error: not valid UTF-8");
}

TEST(Yaml, TabsDoNotIndent) {
  EXPECT_CONTAINS(errors_with("train:\n\tsteps: 3\n"), "job.yaml:4:1: error: a tab cannot indent YAML");
  EXPECT_CONTAINS(errors_with("train:\n  \tsteps: 3\n"), "job.yaml:4:3: error: a tab cannot indent YAML");
  EXPECT_EQ(errors_with("train: {steps:\t3}\t# a tab\n"), "");
}

TEST(Yaml, UnclosedFlow) {
  EXPECT_CONTAINS(errors("data: {path: [a, b}\n"), "job.yaml:1:19: error: not valid YAML: ");
  EXPECT_CONTAINS(errors("seed: 1\ndata: {path: [a, b\n"), "job.yaml:2:19: error: not valid YAML: ");
}

// yaml-cpp 0.7 closes the quote at the end of the file and says nothing.
TEST(Yaml, UnclosedQuote) {
  EXPECT_EQ(errors("seed: \"path\n"),
            "job.yaml:1:12: error: not valid YAML: a quote is opened and never closed\n"
            "  seed: \"path\n"
            "             ^\n"
            "1 error; nothing was started.\n");
  EXPECT_CONTAINS(errors("seed: \"path\n\n"), "a quote is opened and never closed");
  EXPECT_CONTAINS(errors("model: {preset: x}\ndata:\n  path: 'it''s\n"),
                  "job.yaml:3:15: error: not valid YAML: a quote is");
  EXPECT_CONTAINS(errors(kMinimal, {"output_dir=\"x"}),
                  "argument 2: error: not valid YAML: a quote is opened");
}

TEST(Yaml, BlockScalarsAtTheEndOfAFile) {
  for (const auto* end : {"", "\n", "\n\n"}) {
    const auto parsed = parse(std::string(kMinimal) + "generate:\n  prompt: |-\n    two\n    lines" + end);
    EXPECT_EQ(parsed.job.generate.prompt, "two\nlines");
  }
}

TEST(Yaml, ListAndScalarRoots) {
  EXPECT_CONTAINS(errors("- model\n- data\n"),
                  "job.yaml:1:1: error: a job is a mapping of sections, not a list");
  EXPECT_CONTAINS(errors("hello\n"), "job.yaml:1:1: error: a job is a mapping of sections, not 'hello'");
}

TEST(Yaml, DuplicateKeysNameBothLines) {
  EXPECT_EQ(errors_with("train:\n  steps: 3\n  steps: 4\n"),
            "job.yaml:5:3: error: 'steps' is written twice\n"
            "    steps: 4\n"
            "    ^~~~~\n"
            "  it is first written in line 4; remove one\n"
            "1 error; nothing was started.\n");
  EXPECT_CONTAINS(errors_with("model: {preset: x}\n"), "job.yaml:3:1: error: 'model' is written twice");
  EXPECT_CONTAINS(errors("model: {config: {a: 1, a: 2}}\ndata: {path: x}\n"), "'a' is written twice");
}

TEST(Yaml, MergeKeysPointToExtends) {
  const auto text = errors_with("train:\n  <<: {steps: 3}\n");
  EXPECT_CONTAINS(text, "job.yaml:4:3: error: merge keys ('<<') are not supported");
  EXPECT_CONTAINS(text, "extends: other.yaml");
}

TEST(Yaml, AliasesCopyAndBombsAreRefused) {
  const auto parsed =
      parse("model: {preset: llama-tiny}\ndata: {path: &p [a.txt, b.txt]}\nmemory: {ssd_paths: *p}\n");
  EXPECT_TRUE(parsed.problems.empty());
  EXPECT_EQ(parsed.job.memory.ssd_paths, (std::vector<std::string>{"a.txt", "b.txt"}));

  std::string bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 12; ++i) {
    bomb += fmt::format("a{}: &a{} [", i, i);
    for (int k = 0; k < 9; ++k) bomb += fmt::format("{}*a{}", k == 0 ? "" : ", ", i - 1);
    bomb += "]\n";
  }
  const auto start = std::chrono::steady_clock::now();
  EXPECT_CONTAINS(errors(bomb), "error: more than 100000 values");
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
  EXPECT_CONTAINS(errors("a: &a [*a]\n"), "error: this alias stands inside the value that it names");
}

TEST(Yaml, DepthIsLimited) {
  for (const std::size_t depth : {40U, 600U, 10'000U, 100'000U}) {
    EXPECT_CONTAINS(errors("a: " + std::string(depth, '[')), "error: nested more than 32 levels deep")
        << depth;
    std::string block;
    for (std::size_t i = 0; i < std::min<std::size_t>(depth, 1000); ++i)
      block += std::string(i, ' ') + "a:\n";
    EXPECT_CONTAINS(errors(block), "error: nested more than 32 levels deep") << depth;
  }
}

TEST(Yaml, TenMegabytesAreRefusedUnread) {
  std::string text;
  while (text.size() < 10'000'000) text += "a: 1\n";
  EXPECT_EQ(
      errors(text),
      "job.yaml: error: 10000000 bytes are no job; the limit is 1048576\n1 error; nothing was started.\n");
}

TEST(Yaml, BadUtf8) {
  EXPECT_CONTAINS(errors_with("output_dir: \"\xc3\x28\"\n"), "job.yaml:3: error: not valid UTF-8");
  EXPECT_CONTAINS(errors_with("output_dir: \xed\xa0\x80\n"),
                  "job.yaml:3: error: not valid UTF-8");                                         // surrogate
  EXPECT_CONTAINS(errors_with("output_dir: \xc0\xaf\n"), "job.yaml:3: error: not valid UTF-8");  // overlong
  EXPECT_CONTAINS(errors_with("output_dir: \xf4\x90\x80\x80\n"),
                  "job.yaml:3: error: not valid UTF-8");                                       // too high
  EXPECT_CONTAINS(errors_with("output_dir: \xe2\x82"), "job.yaml:3: error: not valid UTF-8");  // cut off
  EXPECT_EQ(parse(std::string(kMinimal) + "output_dir: läufe/öäü€😀\n").job.output_dir, "läufe/öäü€😀");
}

TEST(Yaml, CarriageReturnsAreFine) {
  const auto parsed = parse("model: {preset: llama-tiny}\r\ndata:\r\n  path: [x]\r\n  seq_len: 17\r\n");
  EXPECT_TRUE(parsed.problems.empty()) << format(parsed.problems);
  EXPECT_EQ(parsed.job.data.seq_len, 17);
  EXPECT_CONTAINS(errors("model: {preset: llama-tiny}\r\ndata: {path: [x], seqlen: 1}\r\n"),
                  "job.yaml:2:19: error: unknown key 'seqlen' in 'data'\n  data: {path: [x], seqlen: 1}\n");
}

TEST(Yaml, ByteOrderMarkIsFine) {
  const testing::Folder folder;
  const auto path = folder.write("bom.yaml", std::string("\xEF\xBB\xBF") + kMinimal + "sed: 3\n");
  const auto parsed = parse_job_file(path);
  ASSERT_EQ(parsed.problems.size(), 1U);
  EXPECT_EQ(parsed.problems[0].at.line, 3U);
  EXPECT_EQ(parsed.problems[0].at.column, 1U);
}

TEST(Yaml, SecondDocumentIsRefused) {
  EXPECT_CONTAINS(errors_with("---\nseed: 3\n"), "job.yaml:3:1: error: a job is one document");
  EXPECT_EQ(errors(std::string("---\n") + kMinimal), "");
  EXPECT_EQ(errors(std::string(kMinimal) + "...\n"), "");
}

TEST(Yaml, KeysAreNames) {
  EXPECT_CONTAINS(errors_with("? [a, b]\n: 3\n"), "a key must be a name");
  EXPECT_CONTAINS(errors_with("~: 3\n"), "a key must be a name");
  EXPECT_CONTAINS(errors_with("\"\": 3\n"), "a key must be a name");
}

TEST(Yaml, TagsAreRefused) {
  EXPECT_CONTAINS(errors_with("seed: !!int \"3\"\n"), "means nothing in a job");
  EXPECT_CONTAINS(errors_with("seed: !python/object 3\n"), "means nothing in a job");
}

}  // namespace
}  // namespace edgetrain
