#include "launch/runs/inspect.h"

#include <algorithm>
#include <vector>

#include "core/base/error.h"
#include "core/data/files.h"
#include "core/io/safetensors.h"
#include "core/io/tensor_store.h"
#include "core/model/hf_config.h"
#include "core/model/model.h"
#include "core/model/peft_config.h"
#include "launch/runs/adapter_choice.h"
#include "launch/runs/run_output.h"

namespace edgetrain {
namespace {

namespace fs = std::filesystem;

// What is no tensor: where the run stood, and what must be the same when it goes on.
std::string meta_lines(const Json& meta) {
  std::string text;
  for (const auto& [key, value] : *meta.object()) text += fmt::format("  {:<20} {}\n", key, value.text());
  return text;
}

std::string inspect_checkpoint(const fs::path& path) {
  auto reader = CheckpointReader::open(path);
  reader.verify_all();
  std::string text = fmt::format("checkpoint of step {}: {} tensors, every byte verified\n", reader.step(),
                                 reader.tensors().size());
  std::int64_t bytes = 0;
  for (const auto& tensor : reader.tensors()) {
    bytes += tensor.rows * tensor.cols * size_of(tensor.dtype);
    text += fmt::format("  {:<48} {:<8} {} x {} {}\n", tensor.name, tensor.state, tensor.rows, tensor.cols,
                        name_of(tensor.dtype));
  }
  return text + fmt::format("  {} in all\n", human_bytes(bytes)) + meta_lines(reader.meta());
}

// "every byte verified", or what is wrong.
std::string verdict_on(const fs::path& checkpoint) {
  try {
    CheckpointReader::open(checkpoint).verify_all();
    return "every byte verified";
  } catch (const Error& error) {
    return fmt::format("DAMAGED: {}", error.what());
  }
}

std::string inspect_run_checkpoints(const fs::path& path) {
  std::string text;
  for (const auto& folder : list_checkpoints(path))
    text += fmt::format("step {:>8}  {}  {}\n", folder.step, folder.path.string(), verdict_on(folder.path));
  return text;
}

std::string inspect_tensors(const fs::path& path) {
  const auto reader = SafetensorsReader::open(path);
  std::string text;
  for (const auto& entry : reader.entries()) {
    text += fmt::format("  {:<56} {} x {}\n", entry.name, entry.rows(), entry.cols());
  }
  for (const auto& warning : reader.warnings()) text += "warning: " + warning + "\n";
  return text;
}

bool holds_weights(const fs::path& folder) {
  return fs::exists(folder / "model.safetensors") || fs::exists(folder / "model.safetensors.index.json");
}

std::string inspect_model(const fs::path& path) {
  std::vector<std::string> warnings;
  const ModelConfig config = load_hf_config(path, warnings);
  std::string text = fmt::format(
      "{}: {} layers, hidden {}, {} heads ({} key/value) of {}, vocabulary {}, {} parameters\n",
      name_of(config.family), config.num_hidden_layers, config.hidden_size, config.num_attention_heads,
      config.num_key_value_heads, config.head_dim, config.vocab_size, num_parameters(config));
  for (const auto& warning : warnings) text += "warning: " + warning + "\n";
  return holds_weights(path) ? text + inspect_tensors(path) : text + "no weights here\n";
}

std::string inspect_adapter(const fs::path& path) {
  std::vector<std::string> warnings;
  std::string text = fmt::format("adapter: {}\n", describe(load_peft_config(path, warnings)));
  for (const auto& warning : warnings) text += "warning: " + warning + "\n";
  return text + inspect_tensors(path / kPeftWeightsFile);
}

std::string inspect_text(const fs::path& path) {
  const std::vector<std::string> paths = {path.string()};
  std::string text;
  std::int64_t bytes = 0;
  const auto files = expand_data_paths(paths);
  for (const auto& file : files) {
    bytes += file.bytes;
    text += fmt::format("  {:>12} {}\n", file.bytes, file.path);
  }
  return text + fmt::format("{} files, {} bytes\n", files.size(), bytes);
}

}  // namespace

std::string inspect(const fs::path& path) {
  if (!fs::exists(path)) throw JobError(fmt::format("{}: there is nothing here", path.string()));
  if (fs::is_directory(path)) {
    if (fs::exists(path / "manifest.json")) return inspect_checkpoint(path);
    for (const auto& folder : {path / "checkpoints", path}) {
      if (fs::is_directory(folder) && !list_checkpoints(folder).empty())
        return inspect_run_checkpoints(folder);
    }
    if (fs::exists(path / kPeftConfigFile)) return inspect_adapter(path);
    if (fs::exists(path / "config.json")) return inspect_model(path);
    if (holds_weights(path)) return inspect_tensors(path);
  }
  if (path.extension() == ".safetensors" || path.string().ends_with(".safetensors.index.json"))
    return inspect_tensors(path);
  return inspect_text(path);
}

}  // namespace edgetrain
