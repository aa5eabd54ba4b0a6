#include "core/model/hf_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>

#include "core/base/error.h"
#include "core/io/file.h"
#include "core/io/json.h"
#include "core/model/hf_fields.h"
#include "core/model/hf_known_keys.h"

namespace edgetrain {
namespace {

// Far above any model, far below where a product of them could overflow 64 bits.
constexpr std::int64_t kMaxIds =
    std::numeric_limits<std::int32_t>::max();  // token ids and positions are int32
constexpr std::int64_t kMaxWidth = 1 << 22;
constexpr std::int64_t kMaxLayers = 1 << 14;
constexpr std::int64_t kMaxHeads = 1 << 14;
constexpr std::int64_t kMaxConfigBytes = 1 << 20;

constexpr std::array kFamilies = {Family::gpt2, Family::llama, Family::mistral, Family::qwen2, Family::qwen3};

struct NamedActivation {
  std::string_view name;
  Activation activation;
};
constexpr NamedActivation kActivations[] = {
    {"silu", Activation::silu},     {"swish", Activation::silu},
    {"gelu", Activation::gelu_erf}, {"gelu_new", Activation::gelu_tanh},
    {"relu", Activation::relu},     {"gelu_pytorch_tanh", Activation::gelu_tanh},
};

// Fills one ModelConfig. A missing or wrong value is noted, and reading goes on, so that all problems come at
// once.
class ConfigReader {
 public:
  explicit ConfigReader(HfFields& fields) : fields_(fields), model_(fields.result().model) {}

  void read(Family family) {
    model_.family = family;
    check_architecture();
    if (family == Family::gpt2) {
      read_gpt2();
    } else {
      read_llama_like();
    }
    read_common();
    check_other_keys(fields_);
  }

 private:
  [[nodiscard]] Family family() const { return model_.family; }
  [[nodiscard]] bool is_qwen() const { return family() == Family::qwen2 || family() == Family::qwen3; }

  std::int64_t required(std::string_view key, std::int64_t max) {
    const std::size_t before = fields_.result().problems.size();
    const auto value = fields_.integer(key, 1, max);
    if (!value && fields_.result().problems.size() == before) fields_.problem(key, "is missing");
    return value.value_or(0);
  }
  // GPT-2's own name, or the general one that Hugging Face takes as well.
  std::int64_t required(std::string_view own, std::string_view general, std::int64_t max) {
    const auto value = fields_.integer(general, 1, max);
    if (fields_.find(own) == nullptr && value) return *value;
    const std::int64_t result = required(own, max);
    if (value && *value != result)
      fields_.problem(general, fmt::format("is {}, but '{}' is {}", *value, own, result));
    return result;
  }

  void check_architecture() {
    constexpr std::string_view kNames[] = {"GPT2LMHeadModel", "LlamaForCausalLM", "MistralForCausalLM",
                                           "Qwen2ForCausalLM", "Qwen3ForCausalLM"};
    const std::string_view expected = kNames[static_cast<std::size_t>(family())];
    const Json* list = fields_.find("architectures");
    if (list == nullptr) return;
    const bool fits = list->array() != nullptr &&
                      std::all_of(list->array()->begin(), list->array()->end(), [&](const Json& name) {
                        return name.string() != nullptr && *name.string() == expected;
                      });
    if (!fits)
      fields_.problem("architectures", fmt::format("{}: only {} is implemented", list->text(), expected));
  }

  Activation activation(std::string_view key, Activation otherwise) {
    const auto name = fields_.string(key);
    if (!name) return otherwise;
    const auto found = std::find_if(std::begin(kActivations), std::end(kActivations),
                                    [&](const NamedActivation& a) { return a.name == *name; });
    const bool implemented = found != std::end(kActivations) &&
                             (family() == Family::gpt2 || found->activation == Activation::silu);
    if (!implemented) {
      fields_.problem(
          key,
          fmt::format("{} is not implemented for {}; it can be {}", json_quoted(*name), name_of(family()),
                      family() == Family::gpt2 ? "gelu_new, gelu_pytorch_tanh, gelu, relu or silu" : "silu"));
      return otherwise;
    }
    return found->activation;
  }

  void read_gpt2() {
    model_.hidden_size = required("n_embd", "hidden_size", kMaxWidth);
    model_.num_hidden_layers = required("n_layer", "num_hidden_layers", kMaxLayers);
    model_.num_attention_heads = required("n_head", "num_attention_heads", kMaxHeads);
    model_.num_key_value_heads = model_.num_attention_heads;
    const auto positions = fields_.integer("n_positions", 1, kMaxIds);
    model_.max_position_embeddings =
        positions.value_or(fields_.integer("max_position_embeddings", 1, kMaxIds).value_or(1024));
    model_.intermediate_size = fields_.integer("n_inner", 1, kMaxWidth).value_or(4 * model_.hidden_size);
    model_.hidden_act = activation("activation_function", Activation::gelu_tanh);
    model_.norm_eps = fields_.number("layer_norm_epsilon", 1e-30, 1.0).value_or(1e-5);
    model_.tie_word_embeddings = fields_.boolean("tie_word_embeddings").value_or(true);
    model_.qkv_bias = model_.attn_out_bias = model_.mlp_bias = true;
    model_.rope.type = RopeConfig::Type::none;
    infer_head_dim();
  }

  void read_llama_like() {
    model_.hidden_size = required("hidden_size", kMaxWidth);
    model_.intermediate_size = required("intermediate_size", kMaxWidth);
    model_.num_hidden_layers = required("num_hidden_layers", kMaxLayers);
    model_.num_attention_heads = required("num_attention_heads", kMaxHeads);
    model_.hidden_act = activation("hidden_act", Activation::silu);
    model_.norm_eps = fields_.number("rms_norm_eps", 1e-30, 1.0).value_or(1e-6);
    model_.tie_word_embeddings = fields_.boolean("tie_word_embeddings").value_or(false);
    model_.qk_norm = family() == Family::qwen3;
    const std::int64_t positions = is_qwen() ? 32768 : family() == Family::mistral ? 131072 : 2048;
    model_.max_position_embeddings =
        fields_.integer("max_position_embeddings", 1, kMaxIds).value_or(positions);
    read_kv_heads();
    read_head_dim();
    read_biases();
    read_sliding_window();
    read_rope();
  }

  void read_kv_heads() {
    const Json* stated = fields_.object().find("num_key_value_heads");
    if (stated == nullptr && family() != Family::llama) {
      fields_.warn("num_key_value_heads",
                   fmt::format("is missing: taken as num_attention_heads, {}; Hugging Face has "
                               "another default for {}",
                               model_.num_attention_heads, name_of(family())));
    }
    model_.num_key_value_heads =
        fields_.integer("num_key_value_heads", 1, kMaxHeads).value_or(model_.num_attention_heads);
    if (model_.num_attention_heads % std::max<std::int64_t>(model_.num_key_value_heads, 1) != 0) {
      fields_.problem("num_key_value_heads",
                      fmt::format("{} does not divide num_attention_heads, {}", model_.num_key_value_heads,
                                  model_.num_attention_heads));
    }
  }

  void infer_head_dim() {
    if (model_.num_attention_heads < 1 || model_.hidden_size < 1) return;  // noted already
    if (model_.hidden_size % model_.num_attention_heads != 0) {
      fields_.problem(family() == Family::gpt2 ? "n_head" : "num_attention_heads",
                      fmt::format("{} heads do not divide the hidden size, {}", model_.num_attention_heads,
                                  model_.hidden_size));
    }
    model_.head_dim = model_.hidden_size / model_.num_attention_heads;
  }

  void read_head_dim() {
    const auto stated = fields_.integer("head_dim", 1, kMaxWidth);
    if (stated) {
      model_.head_dim = *stated;
    } else if (family() == Family::qwen3) {
      model_.head_dim = 128;  // Hugging Face's default; never hidden_size / heads
    } else {
      infer_head_dim();
    }
    if (model_.head_dim % 2 != 0) {
      fields_.problem("head_dim", fmt::format("is {}; rotary embeddings need an even one", model_.head_dim));
    }
  }

  // A true one elsewhere is a problem: see check_other_keys.
  void read_biases() {
    if (family() == Family::llama || family() == Family::qwen3) {
      model_.qkv_bias = model_.attn_out_bias = fields_.boolean("attention_bias").value_or(false);
    }
    if (family() == Family::llama) model_.mlp_bias = fields_.boolean("mlp_bias").value_or(false);
    if (family() == Family::qwen2) {
      model_.qkv_bias = true;
      if (!fields_.boolean("attention_bias").value_or(true)) {
        fields_.problem("attention_bias", "is false, but Qwen2 always has biases on q, k and v");
      }
    }
  }

  void read_sliding_window() {
    if (family() == Family::mistral) read_mistral_window();
    if (is_qwen()) read_qwen_window();
  }
  void read_mistral_window() {
    if (fields_.object().find("sliding_window") == nullptr) {
      fields_.warn("sliding_window",
                   "is missing: Hugging Face takes 4096 for mistral then, and so does this; null means none");
    }
    const std::int64_t otherwise = fields_.object().find("sliding_window") == nullptr ? 4096 : 0;
    set_windows(fields_.integer("sliding_window", 1, kMaxIds).value_or(otherwise),
                [](std::int64_t) { return true; });
  }
  void read_qwen_window() {
    const bool used = fields_.boolean("use_sliding_window").value_or(false);
    const bool stated = fields_.object().find("sliding_window") != nullptr;
    const std::int64_t window = fields_.integer("sliding_window", 1, kMaxIds).value_or(stated ? 0 : 4096);
    const std::int64_t first = fields_.integer("max_window_layers", 0, kMaxIds).value_or(28);
    const auto slides = layer_types();
    const auto at = [&](std::int64_t layer) {
      return slides.empty() ? used && layer >= first : slides[static_cast<std::size_t>(layer)];
    };
    if (!used && std::find(slides.begin(), slides.end(), true) != slides.end()) {
      fields_.problem("layer_types", "has sliding_attention, but use_sliding_window is not true");
    }
    set_windows(used ? window : 0, at);
  }
  // Which layers slide; empty if the key is absent or wrong.
  std::vector<bool> layer_types() {
    const Json* list = fields_.find("layer_types");
    if (list == nullptr) return {};
    std::vector<bool> slides;
    for (const Json& type : list->array() == nullptr ? Json::Array{} : *list->array()) {
      const bool sliding = type.string() != nullptr && *type.string() == "sliding_attention";
      if (!sliding && (type.string() == nullptr || *type.string() != "full_attention")) {
        fields_.problem("layer_types", fmt::format("{} is not implemented; there are full_attention and "
                                                   "sliding_attention",
                                                   type.text()));
        return {};
      }
      slides.push_back(sliding);
    }
    if (static_cast<std::int64_t>(slides.size()) == model_.num_hidden_layers) return slides;
    fields_.problem("layer_types", fmt::format("must be a list of {} layers", model_.num_hidden_layers));
    return {};
  }
  template <typename Slides>
  void set_windows(std::int64_t window, Slides slides) {
    std::vector<std::int64_t> windows(static_cast<std::size_t>(model_.num_hidden_layers), 0);
    for (std::int64_t layer = 0; layer < model_.num_hidden_layers; ++layer) {
      if (slides(layer)) windows[static_cast<std::size_t>(layer)] = window;
    }
    const bool any = std::any_of(windows.begin(), windows.end(), [](std::int64_t w) { return w > 0; });
    if (any) model_.sliding_window = std::move(windows);
  }

  // transformers 5 has one object, transformers 4 rope_theta beside rope_scaling. Both may be there if they
  // agree.
  void read_rope() {
    const auto theta = fields_.number("rope_theta", 1e-3, 1e12);
    RopeConfig old_rope, new_rope;
    old_rope.theta = theta.value_or(old_rope.theta);
    const bool has_old = read_rope_object("rope_scaling", old_rope);
    new_rope.theta = old_rope.theta;
    const bool has_new = read_rope_object("rope_parameters", new_rope);
    if (has_new && theta && new_rope.theta != *theta) {
      fields_.problem("rope_parameters.rope_theta",
                      fmt::format("is {}, but rope_theta is {}", new_rope.theta, *theta));
    }
    if (has_new && has_old && !same(old_rope, new_rope)) {
      fields_.problem("rope_parameters", "contradicts rope_scaling");
    }
    model_.rope = has_new ? new_rope : old_rope;
  }
  static bool same(const RopeConfig& a, const RopeConfig& b) {
    return a.type == b.type && a.factor == b.factor && a.low_freq_factor == b.low_freq_factor &&
           a.high_freq_factor == b.high_freq_factor &&
           a.original_max_position_embeddings == b.original_max_position_embeddings;
  }

  bool read_rope_object(std::string_view key, RopeConfig& rope) {
    const Json* value = fields_.find(key);
    if (value == nullptr) return false;
    if (value->object() == nullptr) {
      fields_.problem(key, fmt::format("must be an object, not {}", value->text()));
      return false;
    }
    HfFields fields(*value, fields_.result(), std::string(key) + ".");
    const auto type = fields.string("rope_type"), old_type = fields.string("type");
    if (type && old_type && *type != *old_type) {
      fields.problem("rope_type", fmt::format("is {}, but type is {}", *type, *old_type));
    }
    rope.theta = fields.number("rope_theta", 1e-3, 1e12).value_or(rope.theta);
    read_rope_type(type.value_or(old_type.value_or("default")), fields, rope);
    check_rope_keys(fields);
    return true;
  }
  void read_rope_type(const std::string& type, HfFields& fields, RopeConfig& rope) {
    if (type == "default") {
      rope.type = RopeConfig::Type::plain;
    } else if (type == "linear") {
      rope.type = RopeConfig::Type::linear;
      rope.factor = rope_number(fields, "factor");
    } else if (type == "llama3") {
      read_llama3_rope(fields, rope);
    } else {
      fields.problem("rope_type", fmt::format("{} is not implemented; there are default, linear and llama3",
                                              json_quoted(type)));
    }
  }
  void read_llama3_rope(HfFields& fields, RopeConfig& rope) {
    rope.type = RopeConfig::Type::llama3;
    rope.factor = rope_number(fields, "factor");
    rope.low_freq_factor = rope_number(fields, "low_freq_factor");
    rope.high_freq_factor = rope_number(fields, "high_freq_factor");
    const auto positions = fields.integer("original_max_position_embeddings", 1, kMaxIds);
    if (!positions) fields.problem("original_max_position_embeddings", "is needed by llama3");
    rope.original_max_position_embeddings = positions.value_or(1);
    if (!(rope.low_freq_factor < rope.high_freq_factor)) {
      fields.problem("high_freq_factor", "must be greater than low_freq_factor");
    }
  }
  double rope_number(HfFields& fields, std::string_view key) {
    const std::size_t before = fields.result().problems.size();
    const auto value = fields.number(key, 1e-3, 1e6);
    if (!value && fields.result().problems.size() == before) fields.problem(key, "is missing");
    return value.value_or(1.0);
  }
  static void check_rope_keys(HfFields& fields) {
    for (const JsonMember& member : *fields.object().object()) {
      double number = 0.0;
      const bool whole_head =
          member.key == "partial_rotary_factor" && member.value.number(number) && number == 1.0;
      if (fields.known().contains(member.key) || member.value.is_null() || whole_head) continue;
      fields.problem(member.key, "is not implemented for this rope_type");
    }
  }

  void read_common() {
    model_.vocab_size = required("vocab_size", kMaxIds);
    model_.initializer_range = fields_.number("initializer_range", 0.0, 1.0).value_or(0.02);
    model_.bos_token_id = token_id("bos_token_id");
    model_.eos_token_id = token_id("eos_token_id");
  }
  std::optional<std::int64_t> token_id(std::string_view key) {
    const Json* value = fields_.find(key);
    if (value == nullptr) return std::nullopt;
    if (const auto* list = value->array(); list != nullptr && !list->empty()) {
      fields_.warn(key, fmt::format("is a list, {}: the first one is used", value->text()));
      value = &list->front();
    }
    const auto* id = value->integer();
    if (id == nullptr) {
      fields_.problem(key, fmt::format("must be a whole number, not {}", value->text()));
      return std::nullopt;
    }
    if (*id >= 0 && *id < model_.vocab_size) return *id;
    fields_.warn(key,
                 fmt::format("{} is outside the vocabulary of {} and was ignored", *id, model_.vocab_size));
    return std::nullopt;
  }

  HfFields& fields_;
  ModelConfig& model_;
};

std::optional<Family> family_named(std::string_view name) {
  const auto found =
      std::find_if(kFamilies.begin(), kFamilies.end(), [&](Family f) { return name_of(f) == name; });
  return found == kFamilies.end() ? std::nullopt : std::optional(*found);
}

std::string line(std::string_view origin, const ConfigProblem& problem, std::string_view kind) {
  return fmt::format("{}: {}: '{}' {}", origin, kind, problem.key, problem.message);
}

}  // namespace

HfConfig parse_hf_config(std::string_view json, std::string_view origin) {
  const Json root =
      Json::parse(json, origin, {.max_bytes = kMaxConfigBytes, .max_values = 1 << 16, .max_depth = 16});
  if (root.object() == nullptr) {
    throw Error(ErrorClass::data, fmt::format("{}: must be an object, not a {}", origin, root.kind()));
  }
  HfConfig result;
  HfFields fields(root, result);
  const auto type = fields.string("model_type");
  const auto family = type ? family_named(*type) : std::nullopt;
  if (family) {
    ConfigReader(fields).read(*family);
  } else if (type || root.find("model_type") == nullptr || root.find("model_type")->is_null()) {
    fields.problem("model_type",
                   fmt::format("{}; there are gpt2, llama, mistral, qwen2 and qwen3",
                               type ? json_quoted(*type) + " is not implemented" : "is missing"));
  }
  return result;
}

ModelConfig model_config_from_inline(std::string_view json, std::string_view origin,
                                     std::vector<std::string>& warnings) {
  HfConfig result = parse_hf_config(json, origin);
  for (const ConfigProblem& warning : result.warnings) warnings.push_back(line(origin, warning, "warning"));
  if (result.problems.empty()) return std::move(result.model);
  std::string message;
  for (const ConfigProblem& problem : result.problems) {
    message += (message.empty() ? "" : "\n") + line(origin, problem, "error");
  }
  throw Error(ErrorClass::data, message);
}

ModelConfig load_hf_config(const std::filesystem::path& path, std::vector<std::string>& warnings) {
  const auto file = std::filesystem::is_directory(path) ? path / "config.json" : path;
  return model_config_from_inline(read_whole_file(file, kMaxConfigBytes), file.string(), warnings);
}

}  // namespace edgetrain
