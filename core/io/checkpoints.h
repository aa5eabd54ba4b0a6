// The folder that holds the checkpoints of a run: step-00000100, step-00000200, ...
//
// The newest checkpoint that verifies is the one to resume from. There is no `latest` file: it could only be
// wrong.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/comm/communicator.h"
#include "core/io/disk.h"

namespace edgetrain {

struct CheckpointFolder {
  std::int64_t step = 0;
  std::filesystem::path path;
};

/// "step-00000100".
[[nodiscard]] std::string checkpoint_folder_name(std::int64_t step);
/// The step in the last component of `path`; nothing if it is not such a name (a temporary one is not).
[[nodiscard]] std::optional<std::int64_t> step_of_folder(const std::filesystem::path& path);

/// Folders with such a name, newest first; nothing in them is looked at. A missing `folder` holds none.
[[nodiscard]] std::vector<CheckpointFolder> list_checkpoints(const std::filesystem::path& folder);

struct CheckpointSearch {
  std::optional<CheckpointFolder> found;
  std::vector<std::string> skipped;  // newer ones and why they were not taken, for the log; on every rank
};
/// Collective over `world`: the newest checkpoint whose manifest and bytes all verify, each rank reading its
/// share of the bytes. Same answer on every rank. `staging` as in TextExchange; empty: 64 KiB of its own.
[[nodiscard]] CheckpointSearch newest_valid_checkpoint(
    const std::filesystem::path& folder, Communicator& world, std::span<std::byte> staging = {},
    std::chrono::milliseconds deadline = std::chrono::minutes(10));

/// Removes what an interrupted save or removal left (step-*.tmp-*), and says what it was. Call it on one
/// rank, and only while nobody writes here.
std::vector<std::string> remove_leftovers(const std::filesystem::path& folder, Disk& disk = system_disk());

/// Keeps the checkpoint of `newest_step` and the keep - 1 before it; removes what is older than these, each
/// through a rename, so that no half-removed one is ever seen. Later steps stay. keep >= 1. Call it on one
/// rank, after a commit. Returns the removed folders. Error(resource).
std::vector<std::filesystem::path> keep_latest(const std::filesystem::path& folder, std::int64_t newest_step,
                                               int keep, Disk& disk = system_disk());

/// Removes a folder of plain files; what cannot be removed stays, for remove_leftovers() to try again.
void remove_checkpoint_folder(const std::filesystem::path& folder, Disk& disk) noexcept;

}  // namespace edgetrain
