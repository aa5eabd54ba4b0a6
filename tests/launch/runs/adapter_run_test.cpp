// model.adapter in a whole run: only the adapter is trained and kept, under every layout alike; it leaves as
// PEFT's files and comes back from them; and merged, the model computes the same.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/io/safetensors.h"
#include "core/model/peft_config.h"
#include "launch/runs/adapter_choice.h"
#include "launch/runs/prepare.h"
#include "launch/runs/svd_weights.h"
#include "tests/support/compare.h"
#include "tests/support/model_folder.h"
#include "tests/support/run_folder.h"

namespace edgetrain::testing {
namespace {

const std::string kAdapter = "model.adapter={rank: 3, alpha: 4.5, targets: [q_proj, v_proj, down_proj]}";
const std::string kSvd = "model.adapter={rank: 3, init: svd, targets: [q_proj, down_proj]}";

class AdapterRun : public ::testing::Test {
 protected:
  Ended run(const std::string& name, std::vector<std::string> overrides, int ranks = 1) const {
    overrides.push_back("optimizer.lr=0.01");
    return folder_.run({ranks, std::move(overrides), name});
  }
  CheckpointBytes trained(const std::string& name, std::vector<std::string> overrides, int ranks = 1) const {
    const Ended ended = run(name, std::move(overrides), ranks);
    EXPECT_EQ(ended.code, 0) << ended.output;
    return folder_.tensors(20, name);
  }
  std::filesystem::path exported(const std::string& from, bool merge) const {
    const auto to = folder_.path() / (from + (merge ? "-merged" : "-exported"));
    std::vector<std::string> words = {"export", folder_.output(from).string(), "--to", to.string()};
    if (merge) words.emplace_back("--merge");
    const Ended ended = folder_.verb(words);
    EXPECT_EQ(ended.code, 0) << ended.output;
    return to;
  }
  // A model to start from, in a folder.
  std::vector<std::string> pretrained() const {
    const auto model = folder_.path() / "model";
    write_model(model, Dtype::f32, [](const std::string& name, std::int64_t element) {
      const bool norm = name.find("norm") != std::string::npos;
      return (norm ? 1.0F : 0.0F) +
             0.05F * std::sin(static_cast<float>(element % 1013) * 1.7F + static_cast<float>(name.size()));
    });
    return starts_from(model);
  }
  static std::vector<std::string> joined(std::vector<std::string> a, const std::vector<std::string>& b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
  }
  const RunFolder folder_;
};

std::vector<float> values_of(const std::filesystem::path& file, const std::string& name) {
  const auto reader = SafetensorsReader::open(file);
  const auto* entry = reader.find(name);
  if (entry == nullptr) return {};
  std::vector<float> out(static_cast<std::size_t>(entry->rows() * entry->cols()));
  reader.read(name, {0, entry->rows()}, {0, entry->cols()},
              matrix(out.data(), entry->rows(), entry->cols(), Dtype::f32));
  return out;
}

TEST_F(AdapterRun, CheckpointsHoldTheAdapterAloneAndItLearns) {
  const auto tensors = trained("out", {kAdapter});
  EXPECT_EQ(tensors.size(), 2U * 3U * 2U * 3U) << "layers, targets, A and B, master and two moments";
  for (const auto& [key, bytes] : tensors) EXPECT_NE(key.find(".lora_"), std::string::npos) << key;
  const auto lines = folder_.metrics("out");
  EXPECT_LT(lines.back().loss, lines.front().loss - 0.1);
}

TEST_F(AdapterRun, TheSameBitsUnderEveryStageAndRecomputation) {
  const std::vector<std::string> job = {kAdapter, "train.micro_batch_size=8"};
  const auto whole = trained("z0", joined(job, {"parallel.zero=0"}), 3);
  for (const std::string zero : {"1", "2", "3"}) {
    EXPECT_TRUE(trained("z" + zero, joined(job, {"parallel.zero=" + zero, "train.recompute=full"}), 3) ==
                whole)
        << zero;
  }
}

TEST_F(AdapterRun, TheBaseMayBeHeldInBlocks) {
  const std::vector<std::string> job = {kAdapter, "model.frozen_dtype=nf4", "train.micro_batch_size=12"};
  const auto whole = trained("z0", joined(job, {"parallel.zero=0"}), 2);
  EXPECT_TRUE(trained("z3", joined(job, {"parallel.zero=3", "checkpoint.interval=10"}), 2) == whole);
  EXPECT_TRUE(trained("resumed", joined(job, {"checkpoint.resume=" + folder_.checkpoint(10, "z3").string()}),
                      2) == whole);
  EXPECT_FALSE(trained("plain", {kAdapter, "train.micro_batch_size=12"}, 2) == whole);
}

TEST_F(AdapterRun, ReproducibleOverRanks) {
  const std::vector<std::string> job = {kAdapter, "reproducible=true"};
  const auto one = trained("one", job);
  EXPECT_TRUE(trained("two", joined(job, {"parallel.zero=3"}), 2) == one);
}

TEST_F(AdapterRun, SvdIsTheSameOnEveryRankAndStage) {
  const auto whole = trained("one", {kSvd, "reproducible=true"});
  EXPECT_TRUE(trained("two", {kSvd, "reproducible=true", "parallel.zero=3"}, 2) == whole);
  EXPECT_TRUE(whole.contains("model.layers.0.self_attn.q_proj.lora_sigma/master"));
  EXPECT_TRUE(whole.contains("model.layers.0.self_attn.q_proj.lora_A.weight/master")) << "to be exported";
  EXPECT_FALSE(whole.contains("model.layers.0.self_attn.q_proj.lora_A.weight/m")) << "frozen";
}

TEST_F(AdapterRun, GoesOnAsIfItHadNeverStopped) {
  const auto start = pretrained();
  const auto whole = trained("whole", joined(start, {kAdapter, "checkpoint.interval=10"}));
  const auto resumed = trained(
      "resumed", joined(start, {kAdapter, "checkpoint.resume=" + folder_.checkpoint(10, "whole").string()}));
  EXPECT_TRUE(resumed == whole);
}

TEST_F(AdapterRun, AnotherAdapterOrBaseIsRefused) {
  const auto start = pretrained();
  (void)trained("first", joined(start, {kAdapter}));
  const std::string resume = "checkpoint.resume=" + folder_.checkpoint(20, "first").string();
  const auto refused = [&](std::vector<std::string> overrides, const std::string& what) {
    const Ended ended = run("second", joined(overrides, {resume}));
    EXPECT_NE(ended.code, 0);
    EXPECT_TRUE(ended.says(what)) << ended.output;
  };
  refused(joined(start, {"model.adapter={rank: 3, alpha: 9, targets: [q_proj, v_proj, down_proj]}"}),
          "alpha 4.5");
  refused(start, "adapter");
  write_model(folder_.path() / "model", Dtype::f32, [](const std::string&, std::int64_t) { return 0.01F; });
  refused(joined(start, {kAdapter}), "base_xxh3_128");
}

TEST_F(AdapterRun, LeavesAsPeftsFilesAndComesBack) {
  const auto start = pretrained();
  (void)trained("out", joined(start, {kAdapter}));
  const auto to = exported("out", /*merge=*/false);
  const auto lines = joined(start, {"model.adapter={path: " + to.string() + "}"});
  const auto again = joined(lines, {"optimizer.lr=1e-30", "lr_scheduler.min_lr=0"});
  ASSERT_EQ(folder_.run({1, again, "back"}).code, 0);
  const auto before = folder_.tensors(20, "out"), after = folder_.tensors(20, "back");
  for (const auto& [key, bytes] : before) {
    const bool value = key.ends_with("/master");
    EXPECT_TRUE(!value || after.at(key) == bytes) << key;
  }
}

// PEFT wrote these files: what comes in leaves as it came, to the name and the bit.
TEST_F(AdapterRun, FilesOfPeftComeOutAsTheyWentIn) {
  const auto peft = source_root() / "tests/reference/lora/bytes";
  const Ended ended = folder_.run(
      {1,
       {"model.adapter={path: " + peft.string() + "}", "optimizer.lr=1e-30", "lr_scheduler.min_lr=0"},
       "out"});
  ASSERT_EQ(ended.code, 0) << ended.output;
  const auto to = exported("out", /*merge=*/false);
  const auto theirs = SafetensorsReader::open(peft / "adapter_model.safetensors");
  EXPECT_EQ(theirs.entries().size(),
            SafetensorsReader::open(to / "adapter_model.safetensors").entries().size());
  for (const auto& entry : theirs.entries()) {
    const auto before = values_of(peft / "adapter_model.safetensors", entry.name);
    EXPECT_FALSE(before.empty());
    EXPECT_EQ(values_of(to / "adapter_model.safetensors", entry.name), before) << entry.name;
  }
  std::vector<std::string> warnings;
  const AdapterSpec in = load_peft_config(peft, warnings), out = load_peft_config(to, warnings);
  EXPECT_EQ(describe(in), describe(out));
  const Ended inspected = folder_.verb({"inspect", to.string()});
  EXPECT_TRUE(inspected.says("adapter: lora of rank 2, alpha 3 on down_proj, k_proj")) << inspected.output;
}

TEST_F(AdapterRun, MergedWeightsComputeTheSame) {
  for (const std::string& adapter : {kAdapter, kSvd}) {
    const std::string name = adapter == kSvd ? "svd" : "lora";
    const auto start = pretrained();
    (void)trained(name, joined(start, {adapter}));
    const auto goes_on = folder_.run(
        {1, joined(start, {"model.adapter={path: " + exported(name, false).string() + "}"}), name + "-a"});
    ASSERT_EQ(goes_on.code, 0) << goes_on.output;
    const auto merged = exported(name, /*merge=*/true);
    const auto plain = folder_.run({1, starts_from(merged), name + "-b"});
    ASSERT_EQ(plain.code, 0) << plain.output;
    EXPECT_NEAR(folder_.metrics(name + "-a").front().loss, folder_.metrics(name + "-b").front().loss, 1e-5)
        << name << ": the first loss, before any update";
    EXPECT_GT(std::abs(folder_.metrics(name).front().loss - folder_.metrics(name + "-b").front().loss), 1e-3)
        << name << ": merged weights are those of the base";
  }
}

TEST_F(AdapterRun, AModelWithoutAdapterIsExportedWhole) {
  const auto tensors = trained("out", {});
  const auto to = exported("out", /*merge=*/false);
  const auto norm = values_of(to / "model.safetensors", "model.norm.weight");
  const auto& bytes = tensors.at("model.norm.weight/master");
  ASSERT_EQ(norm.size() * sizeof(float), bytes.size());
  EXPECT_EQ(std::memcmp(norm.data(), bytes.data(), bytes.size()), 0);
  const Ended merged = folder_.verb(
      {"export", folder_.output("out").string(), "--to", (folder_.path() / "never").string(), "--merge"});
  EXPECT_EQ(merged.code, 2);
  EXPECT_TRUE(merged.says("no adapter to merge")) << merged.output;
}

TEST_F(AdapterRun, OnlyTheAdapterHasGradientsAndStates) {
  const PreparedRun run = prepare_run(
      folder_.job(), {{"data.path=[" + (folder_.path() / "text.txt").string() + "]", 2}, {kAdapter, 3}}, {});
  const auto& layout = run.plan->train().layout;
  for (const auto& object : run.plan->train().program.objects) {
    if (object.kind != Kind::grad && object.kind != Kind::state) continue;
    for (const int param : layout.bucket(object.id).params)
      EXPECT_TRUE(layout.table().specs[static_cast<std::size_t>(param)].adapter);
  }
  EXPECT_EQ(layout.first_trained_unit(), 1);
}

// Fewer threads, or a weight once more alone, where memory is short; nothing where it is too little for one.
TEST_F(AdapterRun, SingularVectorsDoNotDependOnTheRoomForThem) {
  const auto run =
      prepare_run(folder_.job(),
                  {{"model.adapter={rank: 2, init: svd}", 0}, {"output_dir=" + folder_.output().string(), 0}},
                  Place{0, 1, 1});
  const auto& layout = run.plan->train().layout;
  const auto vectors = [&](int threads, std::int64_t bytes) {
    const auto source =
        singular_vectors(random_weights(7), layout, run.model.family, {threads, bytes}, [] {});
    std::vector<float> all;
    const auto& specs = layout.table().specs;
    for (std::size_t p = 0; p < specs.size(); ++p) {
      if (!specs[p].adapter) continue;
      std::vector<float> values(static_cast<std::size_t>(specs[p].numel()));
      source(specs[p], {static_cast<int>(p), 0, specs[p].rows, 0, specs[p].cols, 0}, values);
      all.insert(all.end(), values.begin(), values.end());
    }
    return all;
  };
  const auto [least, most] = svd_bytes(layout);
  ASSERT_GT(most, least);
  const auto roomy = vectors(2, 10 * most);
  EXPECT_TRUE(std::ranges::any_of(roomy, [](float value) { return value != 0.0F; }));
  EXPECT_EQ(roomy, vectors(1, most));
  EXPECT_EQ(roomy, vectors(2, most));  // two threads at first, each with too little
  EXPECT_THROW((void)vectors(1, least), Error);
}

TEST_F(AdapterRun, GroupsReachTheAdapter) {
  const auto tensors =
      trained("out", {kAdapter, "optimizer.groups=[{match: \"*.lora_A.weight\", frozen: true}]"});
  EXPECT_FALSE(tensors.contains("model.layers.0.self_attn.q_proj.lora_A.weight/m"));
  EXPECT_TRUE(tensors.contains("model.layers.0.self_attn.q_proj.lora_B.weight/m"));
}

TEST_F(AdapterRun, MistakesAreNamed) {
  const auto says = [&](const std::vector<std::string>& overrides, const std::string& what) {
    std::vector<std::string> words = {"plan", folder_.job()};
    words.insert(words.end(), overrides.begin(), overrides.end());
    const Ended planned = folder_.verb(words);
    EXPECT_EQ(planned.code, 2) << planned.output;
    EXPECT_TRUE(planned.says(what)) << planned.output;
  };
  says({"model.adapter={targets: [q_prj]}"}, "did you mean 'q_proj'?");
  says({"model.adapter={targets: [lm_head]}"}, "no product of the model's blocks is called 'lm_head'");
  says({"model.adapter={rank: 25, init: svd}"}, "has 24 singular values, not 25");
  says({"model.adapter={init: svd, alpha: 2}"}, "alpha says nothing");
  // Enough for the steps, too little for the vectors in front of them.
  says({"model.adapter={rank: 24, init: svd}", "data.seq_len=4", "memory.device=480000"}, "init: svd takes");
  says({kAdapter, "optimizer.groups=[{match: \"*norm*\", lr_scale: 2}]"}, "all others are frozen");
  says({kAdapter, "optimizer.groups=[{match: \"*\", frozen: true}]"}, "freeze every parameter");
  says({"model.adapter={path: nowhere}"}, "nowhere/adapter_config.json");
  const auto peft = (source_root() / "tests/reference/lora/llama").string();
  says({"model.adapter={path: " + peft + ", rank: 8}"}, "has rank 4, the job says 8");
  const Ended checked = folder_.verb({"check", folder_.job(), "model.adapter={path: " + peft + "}"});
  EXPECT_EQ(checked.code, 2) << checked.output;
  EXPECT_TRUE(checked.says("the adapter does not fit the model")) << checked.output;
}

}  // namespace
}  // namespace edgetrain::testing
