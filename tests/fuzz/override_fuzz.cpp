// Any lines as overrides behind a right job: never a crash, and whatever goes wrong is blamed on an argument.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "launch/job/parse.h"

namespace {

constexpr const char* kJob =
    "model: {config: {model_type: llama, sizes: [1, 2], inner: {a: 1}}}\n"
    "data: {path: [data/austen]}\n"
    "optimizer: {betas: [0.9, 0.95]}\n";

std::vector<edgetrain::Override> lines(const std::string& text) {
  std::vector<edgetrain::Override> list;
  for (std::size_t at = 0; at <= text.size();) {
    const auto end = std::min(text.find('\n', at), text.size());
    list.push_back({text.substr(at, end - at), static_cast<int>(list.size()) + 2});
    at = end + 1;
  }
  return list;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto changes = lines(std::string(reinterpret_cast<const char*>(data), size));
  const auto parsed = edgetrain::parse_job_text(kJob, "fuzz.yaml", changes);
  for (const auto& problem : parsed.problems) {
    const bool is_missing = problem.message.find("is missing") != std::string::npos;
    if (!is_missing && (!problem.at.source || problem.at.source->is_file)) std::abort();
  }
  (void)format(parsed.problems);
  return 0;
}
