#include "tests/support/run_folder.h"

#include <unistd.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <random>
#include <sstream>

#include "core/base/error.h"
#include "core/io/checkpoint_reader.h"

namespace edgetrain::testing {
namespace {

namespace fs = std::filesystem;

constexpr std::uint32_t kTextSeed = 20240611;

constexpr const char* kJob = R"(model:
  config: {model_type: llama, vocab_size: 257, hidden_size: 48, intermediate_size: 88, num_hidden_layers: 2,
           num_attention_heads: 4, num_key_value_heads: 2, max_position_embeddings: 64, tie_word_embeddings: true}
data: {path: [FOLDER/text.txt], seq_len: 32, val_fraction: 0.0}
train: {steps: 20, global_batch_size: 24, micro_batch_size: 1, dtype: fp32, threads: 1, eval_interval: 0}
optimizer: {name: adamw, lr: 3.0e-3}
lr_scheduler: {warmup_steps: 4, min_lr: 3.0e-4}
memory: {device: 256MiB}
checkpoint: {interval: 0}
generate: {max_new_tokens: 0}
)";

// Words of a small vocabulary: something to learn within 20 steps.
std::string some_text() {
  constexpr std::size_t kBytes = 60'000;
  std::mt19937 random(kTextSeed);
  const std::vector<std::string> words = {"the", "ship",  "sea",   "wind", "a",    "of",
                                          "and", "sails", "under", "moon", "whale"};
  std::string text;
  while (text.size() < kBytes) text += words[random() % words.size()] + (random() % 11 == 0 ? ".\n" : " ");
  return text;
}

void write(const fs::path& path, std::string_view text) { std::ofstream(path, std::ios::binary) << text; }

std::string read(const fs::path& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

double number(const Json& json, std::string_view key) {
  double value = std::numeric_limits<double>::quiet_NaN();
  if (const Json* member = json.find(key)) (void)member->number(value);
  return value;
}

std::int64_t integer(const Json* json) {
  return json != nullptr && json->integer() != nullptr ? *json->integer()
                                                       : std::numeric_limits<std::int64_t>::min();
}

std::int64_t peak_device_bytes(const Json& json) {
  const Json* tiers = json.find("peak_bytes");
  const Json* device = tiers == nullptr ? nullptr : tiers->find("device");
  return device == nullptr ? 0 : integer(device->find("total"));
}

StepLine step_line(const std::string& text, const std::string& origin) {
  const Json json = Json::parse(text, origin);
  StepLine line;
  line.step = integer(json.find("step"));
  line.tokens = integer(json.find("tokens"));
  line.loss = number(json, "loss");
  line.grad_norm = number(json, "grad_norm");
  line.lr = number(json, "lr");
  const Json* skipped = json.find("skipped");
  line.skipped = skipped != nullptr && skipped->boolean() != nullptr && *skipped->boolean();
  if (json.find("val_loss") != nullptr) line.val_loss = number(json, "val_loss");
  if (json.find("loss_scale") != nullptr) line.loss_scale = number(json, "loss_scale");
  line.peak_device_bytes = peak_device_bytes(json);
  return line;
}

}  // namespace

bool same_bits(const StepLine& a, const StepLine& b) {
  // A step that was skipped since its gradients overflowed has no norm.
  const bool no_norm = a.skipped && std::isnan(a.grad_norm) && std::isnan(b.grad_norm);
  return a.step == b.step && a.tokens == b.tokens && a.loss == b.loss &&
         (a.grad_norm == b.grad_norm || no_norm) && a.lr == b.lr && a.skipped == b.skipped &&
         a.val_loss == b.val_loss;
}

// A short name: Open MPI keeps sockets below it, whose paths may have 107 bytes.
RunFolder::RunFolder() {
  static int count = 0;
  path_ = fs::temp_directory_path() / ("et-" + std::to_string(::getpid()) + "-" + std::to_string(count++));
  fs::remove_all(path_);
  fs::create_directories(path_ / "tmp");
  write(path_ / "text.txt", some_text());
  std::string job = kJob;
  job.replace(job.find("FOLDER"), 6, path_.string());
  write(path_ / "job.yaml", job);
}

RunFolder::~RunFolder() {
  std::error_code ignored;  // a failed test must not end the program on a file that somebody still writes
  fs::remove_all(path_, ignored);
}

fs::path RunFolder::checkpoint(std::int64_t step, const std::string& name) const {
  std::string digits = std::to_string(step);
  digits.insert(0, 8 - digits.size(), '0');
  return output(name) / "checkpoints" / ("step-" + digits);
}

std::vector<std::string> RunFolder::command(const RunSpec& spec) const {
  std::vector<std::string> words;
  const auto add_program = [&](const std::vector<std::string>& more) {
    words.push_back(edgetrain_binary());
    words.insert(words.end(), spec.verb.begin(), spec.verb.end());
    words.push_back(job());
    words.push_back("output_dir=" + output(spec.name).string());
    words.insert(words.end(), spec.overrides.begin(), spec.overrides.end());
    words.insert(words.end(), more.begin(), more.end());
  };
  ET_CHECK(spec.of_last_rank.empty() || spec.ranks > 1, "one rank has no other to differ from");
  const int alike = spec.of_last_rank.empty() ? spec.ranks : spec.ranks - 1;
  if (spec.ranks > 1) words = {(source_root() / "scripts/mpirun.sh").string(), "-np", std::to_string(alike)};
  add_program({});
  if (alike < spec.ranks) {
    words.insert(words.end(), {":", "-np", "1"});
    add_program(spec.of_last_rank);
  }
  return words;
}

// Open MPI leaves its session folder and its shared segments behind when it is killed: here they go with
// ours.
std::vector<std::string> RunFolder::environment(const RunSpec& spec) const {
  auto variables = spec.environment;
  variables.push_back("TMPDIR=" + (path_ / "tmp").string());
  variables.push_back("OMPI_MCA_btl_vader_backing_directory=" + (path_ / "tmp").string());
  return variables;
}

Ended RunFolder::run(const RunSpec& spec, std::chrono::seconds timeout) const {
  return Process(command(spec), environment(spec)).wait(timeout);
}

Ended RunFolder::verb(const std::vector<std::string>& arguments) const {
  std::vector<std::string> words = {edgetrain_binary()};
  words.insert(words.end(), arguments.begin(), arguments.end());
  return Process(words).wait(std::chrono::seconds(60));
}

std::vector<StepLine> RunFolder::metrics(const std::string& name) const {
  const std::string path = output(name) / "metrics.jsonl";
  std::istringstream text(read(path));
  std::vector<StepLine> lines;
  for (std::string line; std::getline(text, line) && !text.eof();) lines.push_back(step_line(line, path));
  return lines;
}

Json RunFolder::status(const std::string& name) const {
  const fs::path path = output(name) / "status.json";
  return fs::exists(path) ? Json::parse(read(path), path.string()) : Json();
}

std::string RunFolder::state(const std::string& name) const {
  const Json status_json = status(name);
  const Json* state = status_json.find("state");
  return state != nullptr && state->string() != nullptr ? *state->string() : std::string();
}

CheckpointBytes RunFolder::tensors(std::int64_t step, const std::string& name) const {
  auto reader = CheckpointReader::open(checkpoint(step, name));
  CheckpointBytes out;
  for (const auto& tensor : reader.tensors()) {
    auto& bytes = out[tensor.name + "/" + tensor.state];
    bytes.resize(static_cast<std::size_t>(tensor.rows * tensor.cols * size_of(tensor.dtype)));
    reader.read(tensor.name, tensor.state, {0, 0, tensor.rows, 0, tensor.cols, 0},
                matrix(bytes.data(), tensor.rows, tensor.cols, tensor.dtype));
  }
  return out;
}

void RunFolder::copy(const fs::path& from, const fs::path& to) const {
  fs::create_directories(to.parent_path());
  fs::copy(from, to, fs::copy_options::recursive);
}

std::string edgetrain_binary() { return EDGETRAIN_TEST_BINARY; }
std::string full_disk_library() { return EDGETRAIN_TEST_FULL_DISK; }
fs::path source_root() { return EDGETRAIN_TEST_SOURCE_ROOT; }

std::vector<double> losses(const std::vector<StepLine>& lines) {
  std::vector<double> values;
  values.reserve(lines.size());
  for (const auto& line : lines) values.push_back(line.loss);
  return values;
}

}  // namespace edgetrain::testing
