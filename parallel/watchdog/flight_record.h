// What this rank was doing last, in a small mapped file that outlives the process and that other ranks can
// read.
//
// Why a file and not a message: a rank that hangs or is stopped answers nothing. Its file says what it
// started last, in which group, and what it was busy with; the first rank past its deadline reads all of them
// (diagnosis.h). Why lock-free and fixed-layout: a stamp is on the path of every collective (under 200 ns),
// and a reader may look while a writer is stopped in the middle of one; each stamp carries its own number and
// is ignored while torn.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "core/comm/communicator.h"

namespace edgetrain {

struct FlightFile;  // flight_file.h: the layout

/// What a stamp says about a call.
struct FlightStamp {
  std::uint32_t group = 0;     // from add_group
  std::uint64_t sequence = 0;  // of the collective in its group; of the message in its pair and direction
  Collective op = Collective::all_reduce;
  std::int64_t bytes = 0;
  int peer = -1;  // rank in the world; send, recv and broadcast
  std::string_view site = {};
};

class FlightRecord {
 public:
  /// Makes `<dir>/flight-<rank>.bin` anew, mapped. Errors: Error(resource) when the file cannot be made.
  FlightRecord(const std::filesystem::path& dir, int rank, int world_size);
  FlightRecord(const FlightRecord&) = delete;
  FlightRecord& operator=(const FlightRecord&) = delete;
  /// close(), waits until the file is on its disk, for readers on other hosts, and unmaps. The file stays.
  ~FlightRecord();

  /// Marks the file as closed: the end of this process is no accident. Waits for no disk. It stays mapped:
  /// any thread may call this, while the driver's still stamps. Who ends the process without running
  /// destructors calls it first, or its peers take that end for the cause of theirs.
  void close();

  /// Tells readers who takes part in a group; its number for stamps. `ranks`: world ranks in group order.
  /// Errors: Error(resource) when the table (32 groups) is full.
  [[nodiscard]] std::uint32_t add_group(std::string_view name, std::span<const int> ranks);

  /// A call has been started; the token is for finish(). One thread only.
  [[nodiscard]] std::uint64_t start(const FlightStamp& stamp);
  /// The call is complete on this rank.
  void finish(std::uint64_t token);
  /// What this rank does now, e.g. "backward blocks.3 micro-batch 1"; shortened to 111 characters.
  void set_phase(std::int64_t step, std::string_view text);
  /// Communication has been polled just now, at a clock of some milliseconds: a rank that started a
  /// collective and never polls it again holds up the others.
  void polled();

  [[nodiscard]] int rank() const { return rank_; }
  [[nodiscard]] int world_size() const { return world_size_; }
  [[nodiscard]] const std::filesystem::path& dir() const { return dir_; }

 private:
  std::filesystem::path dir_;
  int rank_, world_size_;
  std::int64_t bytes_;
  FlightFile* file_ = nullptr;
};

/// The name of this host as records have it (at most 63 characters).
[[nodiscard]] std::string flight_host();
/// `<dir>/flight-<rank>.bin`.
[[nodiscard]] std::filesystem::path flight_path(const std::filesystem::path& dir, int rank);

}  // namespace edgetrain
