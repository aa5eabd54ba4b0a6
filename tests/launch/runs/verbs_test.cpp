// What a user sees beside the training itself: traces, plans for many ranks, bench step, inspect, the outputs
// of a run.
#include <gtest/gtest.h>

#include <fmt/format.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <regex>
#include <set>

#include "tests/support/run_folder.h"

namespace edgetrain::testing {
namespace {

namespace fs = std::filesystem;

std::string read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(Trace, IsWellFormedOnEveryRank) {
  const RunFolder folder;
  const Ended ended = folder.run({2, {"logging.trace_steps=[3, 4]", "train.steps=6"}});
  ASSERT_EQ(ended.code, 0) << ended.output;
  for (const int rank : {0, 1}) {
    const fs::path path = folder.output() / ("trace-rank" + std::to_string(rank) + ".json");
    const Json trace = Json::parse(read(path), path.string());
    const Json* events = trace.find("traceEvents");
    ASSERT_NE(events, nullptr);
    ASSERT_NE(events->array(), nullptr);
    std::set<std::string> names;
    for (const auto& event : *events->array()) {
      ASSERT_NE(event.find("ph"), nullptr);
      if (*event.find("ph")->string() != "X") continue;
      double begin = -1.0, duration = -1.0;
      ASSERT_TRUE(event.find("ts")->number(begin) && event.find("dur")->number(duration));
      EXPECT_GE(begin, 0.0);
      EXPECT_GE(duration, 0.0);
      names.insert(event.find("name")->string()->substr(0, 6));
    }
    for (const char* verb : {"forwar", "backwa", "reduce", "update"})
      EXPECT_EQ(names.count(verb), 1U) << verb;
  }
}

TEST(Plan, OfFourThousandRanksTakesNoCluster) {
  const RunFolder folder;
  const Ended ended =
      folder.verb({"plan", folder.job(), "--ranks", "4096", "~model.config", "model.preset=gpt2-124m",
                   "data.seq_len=1024", "train.global_batch_size=4096", "memory.device=16GiB"});
  EXPECT_EQ(ended.code, 0) << ended.output;
  EXPECT_LT(ended.seconds, 10.0);
  EXPECT_TRUE(ended.says("4096 ranks")) << ended.output;
  EXPECT_TRUE(ended.says("simulated ")) << ended.output;
  EXPECT_FALSE(fs::exists(folder.output())) << "a plan wrote something";
}

// Calls, ms, share and limit of an operator's line in the table of `bench step`.
std::array<double, 4> operator_line(const std::string& table, const std::string& name) {
  const std::regex line("(?:^|\\n)" + name + R"( +(\d+) +([\d.]+) +([\d.]+)% +([\d.]+))");
  std::smatch match;
  if (!std::regex_search(table, match, line)) {
    ADD_FAILURE() << "no line of " << name << " in\n" << table;
    return {};
  }
  return {std::stod(match[1]), std::stod(match[2]), std::stod(match[3]), std::stod(match[4])};
}

// Wide enough that the smallest limit is not 0.00 ms.
std::string bench_step(const std::string& reproducible) {
  const RunFolder folder;
  const Ended ended = folder.verb(
      {"bench", "step", folder.job(), "reproducible=" + reproducible, "train.dtype=fp32",
       "train.global_batch_size=16",
       "model.config={model_type: llama, vocab_size: 257, hidden_size: 192, intermediate_size: 512, "
       "num_hidden_layers: 2, num_attention_heads: 6, num_key_value_heads: 2, max_position_embeddings: "
       "256}"});
  EXPECT_EQ(ended.code, 0) << ended.output;
  return ended.output;
}

double figure(const std::string& output, const char* key) {
  const auto begin = output.rfind("{\"tokens_per_s\"");
  const Json json = Json::parse(begin == std::string::npos ? "{}" : output.substr(begin), "bench step");
  double value = 0.0;
  EXPECT_TRUE(json.find(key) != nullptr && json.find(key)->number(value)) << key << " in\n" << output;
  return value;
}

TEST(BenchStep, HasALimitForEveryOperator) {
  const std::string plain = bench_step("false"), folded = bench_step("true");
  for (const char* name : {"gemm", "attention", "attention_backward", "swiglu", "swiglu_backward", "rms_norm",
                           "rms_norm_backward", "cross_entropy", "add", "sum_squares", "adamw"}) {
    for (const double value : operator_line(plain, name)) EXPECT_GT(value, 0.0) << name;
  }
  for (const char* key : {"tokens_per_s", "step_ms", "products_alone_ms", "peak_bytes"}) {
    EXPECT_GT(figure(plain, key), 0.0) << key;
  }
  // Gradients folded over leaves are added too.
  const auto bytes_added = [](const std::string& output) {
    return operator_line(output, "add")[3] * figure(output, "memory_bytes_per_s");
  };
  EXPECT_GT(bytes_added(folded), 2.0 * bytes_added(plain));
}

TEST(Check, SaysThatAJobIsRightAndWritesNothing) {
  const RunFolder folder;
  const Ended ended = folder.verb({"check", folder.job()});
  EXPECT_EQ(ended.code, 0) << ended.output;
  EXPECT_TRUE(ended.says("the job is right")) << ended.output;
  const Ended wrong = folder.verb({"check", folder.job(), "train.steps=-1"});
  EXPECT_EQ(wrong.code, 2) << wrong.output;
}

TEST(Inspect, TellsWhatLiesThere) {
  const RunFolder folder;
  ASSERT_EQ(folder.run({2, {"checkpoint.interval=10"}}).code, 0);
  const Ended checkpoint = folder.verb({"inspect", folder.checkpoint(20).string()});
  EXPECT_EQ(checkpoint.code, 0) << checkpoint.output;
  EXPECT_TRUE(checkpoint.says("checkpoint of step 20") && checkpoint.says("model.embed_tokens.weight"))
      << checkpoint.output;
  const Ended checkpoints = folder.verb({"inspect", (folder.output() / "checkpoints").string()});
  EXPECT_TRUE(checkpoints.says("step       10") && checkpoints.says("step       20")) << checkpoints.output;
  EXPECT_EQ(folder.verb({"inspect", folder.output().string()}).output, checkpoints.output);
  const Ended model = folder.verb({"inspect", (source_root() / "tests/reference/qwen3").string()});
  EXPECT_EQ(model.code, 0) << model.output;
  EXPECT_TRUE(model.says("qwen3: 2 layers") || model.says("qwen3: 3 layers")) << model.output;
  EXPECT_TRUE(model.says("40416 parameters")) << model.output;
  const Ended text = folder.verb({"inspect", (folder.path() / "text.txt").string()});
  EXPECT_EQ(text.code, 0) << text.output;
  EXPECT_TRUE(text.says(std::to_string(fs::file_size(folder.path() / "text.txt")))) << text.output;
  EXPECT_EQ(folder.verb({"inspect", (folder.path() / "nothing").string()}).code, 2);
}

// Another layout wrote the same tensors, states and shapes, and inspect cannot tell them apart.
TEST(Inspect, ACheckpointHasNoLayout) {
  const RunFolder folder;
  const auto shown = [&](int ranks, int zero) {
    const std::string name = fmt::format("on{}", ranks);
    EXPECT_EQ(folder.run({ranks, {"train.steps=5", fmt::format("parallel.zero={}", zero)}, name}).code, 0);
    return folder.verb({"inspect", folder.checkpoint(5, name).string()}).output;
  };
  const std::string text = shown(3, 3);
  EXPECT_EQ(text, shown(1, 0));
  for (const char* state : {"master", "m", "v"}) {
    EXPECT_TRUE(
        std::regex_search(text, std::regex(fmt::format("  model\\.norm\\.weight +{} +1 x 48 fp32\n", state))))
        << state << "\n"
        << text;
  }
  EXPECT_NE(text.find("every byte verified"), std::string::npos) << text;
  EXPECT_NE(text.find("next_sample          120\n"), std::string::npos) << text;
}

// Missing, cut, one bit flipped: the shard is named, and the other checkpoint of the folder is whole.
TEST(Inspect, NamesADamagedCheckpoint) {
  const RunFolder folder;
  ASSERT_EQ(folder.run({2, {"checkpoint.interval=10"}}).code, 0);
  const fs::path shard = folder.checkpoint(20) / "shard-00001.bin", kept = folder.path() / "kept";
  fs::copy_file(shard, kept);
  const auto flip = [&] {
    std::fstream file(shard, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(1237);
    const char byte = static_cast<char>(file.get() ^ 4);
    file.seekp(1237);
    file.put(byte);
  };
  const std::vector<std::pair<const char*, std::function<void()>>> damages = {
      {"missing", [&] { fs::remove(shard); }},
      {"cut", [&] { fs::resize_file(shard, 4000); }},
      {"flipped", flip}};
  for (const auto& [what, damage] : damages) {
    fs::copy_file(kept, shard, fs::copy_options::overwrite_existing);
    EXPECT_EQ(folder.verb({"inspect", folder.checkpoint(20).string()}).code, 0);
    damage();
    const Ended ended = folder.verb({"inspect", folder.checkpoint(20).string()});
    EXPECT_NE(ended.code, 0) << what << "\n" << ended.output;
    EXPECT_TRUE(ended.says("shard-00001.bin")) << what << "\n" << ended.output;
    const Ended both = folder.verb({"inspect", (folder.output() / "checkpoints").string()});
    EXPECT_EQ(both.code, 0) << both.output;
    EXPECT_EQ(both.count("every byte verified\n"), 1) << what << "\n" << both.output;
    EXPECT_EQ(both.count("DAMAGED: "), 1) << what << "\n" << both.output;
    EXPECT_TRUE(both.says("shard-00001.bin")) << what << "\n" << both.output;
  }
}

// resolved.yaml is a job: it runs, and gives the same training.
TEST(Outputs, TheResolvedJobRunsAgain) {
  const RunFolder folder;
  ASSERT_EQ(folder.run({1, {"optimizer.lr=0.002"}, "first"}).code, 0);
  fs::copy_file(folder.output("first") / "resolved.yaml", folder.job(), fs::copy_options::overwrite_existing);
  const std::string other = (folder.output("second") / "checkpoints").string();
  const Ended ended = folder.run({1, {"checkpoint.dir=" + other}, "second"});
  ASSERT_EQ(ended.code, 0) << ended.output;
  const auto first = folder.metrics("first"), second = folder.metrics("second");
  ASSERT_EQ(first.size(), second.size());
  for (std::size_t i = 0; i < first.size(); ++i) EXPECT_TRUE(same_bits(first[i], second[i])) << i;
}

TEST(Outputs, ValidationAndTextComeAtTheEnd) {
  const RunFolder folder;
  const Ended ended =
      folder.run({2, {"data.val_fraction=0.1", "train.eval_interval=5", "generate.max_new_tokens=12"}});
  ASSERT_EQ(ended.code, 0) << ended.output;
  EXPECT_EQ(ended.count("the model writes:"), 1) << ended.output;
  const auto lines = folder.metrics();
  ASSERT_EQ(lines.size(), 20U);
  for (const auto& line : lines) EXPECT_EQ(line.val_loss.has_value(), line.step % 5 == 0) << line.step;
  EXPECT_LT(*lines.back().val_loss, *lines[4].val_loss);
}

}  // namespace
}  // namespace edgetrain::testing
