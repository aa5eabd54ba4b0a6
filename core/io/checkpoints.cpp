#include "core/io/checkpoints.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <system_error>

#include "core/base/error.h"
#include "core/io/checkpoint_reader.h"
#include "core/io/file.h"
#include "core/io/text_exchange.h"
#include "core/io/verdict.h"

namespace edgetrain {
namespace {

constexpr std::string_view kPrefix = "step-";
constexpr std::string_view kTemporary = ".tmp-";
constexpr std::size_t kOwnStagingBytes = 64 << 10;

std::vector<std::filesystem::path> folders_in(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> folders;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    std::error_code ignored;
    if (entry.is_directory(ignored)) folders.push_back(entry.path());
  }
  if (error && error != std::errc::no_such_file_or_directory) {
    throw Error(ErrorClass::resource, fmt::format("cannot list {}: {}", folder.string(), error.message()));
  }
  std::sort(folders.begin(), folders.end());
  return folders;
}

// What all ranks together find in one checkpoint: "" if nothing is wrong, else the first rank's reason.
std::string defect_of(const std::filesystem::path& path, Communicator& world, TextExchange& exchange) {
  std::string own;
  try {
    CheckpointReader::open(path).verify_part(world.rank(), world.size());
  } catch (const Error& error) {
    own = error.what();
  }
  const auto reasons = exchange.gather(own);
  const auto first =
      std::find_if(reasons.begin(), reasons.end(), [](const auto& reason) { return !reason.empty(); });
  return exchange.broadcast(first == reasons.end() ? "" : *first);
}

// Rank 0's list, so that a slow network file system cannot give two ranks two lists.
std::vector<CheckpointFolder> agreed_list(const std::filesystem::path& folder, Communicator& world,
                                          TextExchange& exchange) {
  std::string verdict;
  if (world.rank() == 0) {
    try {
      for (const CheckpointFolder& found : list_checkpoints(folder))
        verdict += fmt::format("{}\n", found.step);
      verdict = good_verdict(verdict);
    } catch (const Error& error) {
      verdict = bad_verdict(error);
    }
  }
  const std::string steps = text_or_throw(exchange.broadcast(verdict));
  std::vector<CheckpointFolder> list;
  for (std::size_t at = 0; at < steps.size(); at = steps.find('\n', at) + 1) {
    std::int64_t step = 0;
    std::from_chars(steps.data() + at, steps.data() + steps.size(), step);
    list.push_back({step, folder / checkpoint_folder_name(step)});
  }
  return list;
}

}  // namespace

std::string checkpoint_folder_name(std::int64_t step) { return fmt::format("{}{:08}", kPrefix, step); }

std::optional<std::int64_t> step_of_folder(const std::filesystem::path& path) {
  const std::string name = path.filename().string();
  std::int64_t step = -1;
  if (!name.starts_with(kPrefix)) return std::nullopt;
  const char* end = name.data() + name.size();
  const auto [stop, error] = std::from_chars(name.data() + kPrefix.size(), end, step);
  // Only the exact name: step-7 and step-00000007 must not both be step 7.
  if (error != std::errc() || stop != end || step < 0 || name != checkpoint_folder_name(step))
    return std::nullopt;
  return step;
}

std::vector<CheckpointFolder> list_checkpoints(const std::filesystem::path& folder) {
  std::vector<CheckpointFolder> list;
  for (auto& path : folders_in(folder)) {
    if (const auto step = step_of_folder(path)) list.push_back({*step, std::move(path)});
  }
  std::sort(list.begin(), list.end(), [](const auto& a, const auto& b) { return a.step > b.step; });
  return list;
}

CheckpointSearch newest_valid_checkpoint(const std::filesystem::path& folder, Communicator& world,
                                         std::span<std::byte> staging, std::chrono::milliseconds deadline) {
  std::vector<std::byte> own_staging(staging.empty() ? kOwnStagingBytes : 0);
  TextExchange exchange(world, "checkpoint", staging.empty() ? std::span(own_staging) : staging, deadline);
  CheckpointSearch search;
  for (CheckpointFolder& candidate : agreed_list(folder, world, exchange)) {
    const std::string defect = defect_of(candidate.path, world, exchange);
    if (defect.empty()) {
      search.found = std::move(candidate);
      break;
    }
    search.skipped.push_back(defect);
  }
  return search;
}

std::vector<std::string> remove_leftovers(const std::filesystem::path& folder, Disk& disk) {
  std::vector<std::string> removed;
  for (const auto& path : folders_in(folder)) {
    const std::string name = path.filename().string();
    const auto dot = name.find(kTemporary);
    if (dot == std::string::npos || !step_of_folder(name.substr(0, dot))) continue;
    remove_checkpoint_folder(path, disk);
    removed.push_back(name);
  }
  return removed;
}

std::vector<std::filesystem::path> keep_latest(const std::filesystem::path& folder, std::int64_t newest_step,
                                               int keep, Disk& disk) {
  ET_CHECK(keep >= 1, "keep_latest {}", keep);
  std::vector<std::filesystem::path> removed;
  int kept = 0;
  for (const CheckpointFolder& checkpoint : list_checkpoints(folder)) {
    if (checkpoint.step > newest_step || kept++ < keep) continue;
    auto doomed = checkpoint.path;
    doomed += std::string(kTemporary) + "removed";
    remove_checkpoint_folder(doomed, disk);  // of a removal that was cut short
    rename_path(checkpoint.path, doomed, disk);
    remove_checkpoint_folder(doomed, disk);
    removed.push_back(checkpoint.path);
  }
  return removed;
}

void remove_checkpoint_folder(const std::filesystem::path& folder, Disk& disk) noexcept {
  std::error_code error;
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) files.push_back(entry.path());
  for (const auto& file : files) (void)disk.remove_file(file);
  (void)disk.remove_folder(folder);
}

}  // namespace edgetrain
