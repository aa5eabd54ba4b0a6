// Where everything lies in a shared window: flags and signatures on lines of their own, then the staging
// slots.
#pragma once

#include <cstdint>

namespace edgetrain {

/// Two cache lines: the adjacent-line prefetcher must not couple two ranks' flags either.
inline constexpr std::int64_t kFlagBytes = 128;
/// In front of each slot: the signature of the call that filled it.
inline constexpr std::int64_t kSlotHeaderBytes = 128;

/// Which of a rank's progress counters.
enum class Flag : std::uint8_t { filled, reduced, drained };
inline constexpr int kFlags = 3;

/// Offsets in bytes from the start of the window. Slot s of rank r: header, then `slot_data` bytes.
class SharedLayout {
 public:
  constexpr SharedLayout(int ranks, int slots, std::int64_t slot_data)
      : ranks_(ranks), slots_(slots), slot_data_(slot_data) {}

  [[nodiscard]] constexpr std::int64_t flag(int rank, Flag which) const {
    return (rank * kFlags + static_cast<int>(which)) * kFlagBytes;
  }
  [[nodiscard]] constexpr std::int64_t header(int rank, int slot) const {
    return first_slot() + (std::int64_t{rank} * slots_ + slot) * (kSlotHeaderBytes + slot_stride());
  }
  [[nodiscard]] constexpr std::int64_t data(int rank, int slot) const {
    return header(rank, slot) + kSlotHeaderBytes;
  }
  [[nodiscard]] constexpr std::int64_t bytes() const { return round_up(header(ranks_, 0), 4096); }

 private:
  [[nodiscard]] static constexpr std::int64_t round_up(std::int64_t value, std::int64_t grain) {
    return (value + grain - 1) / grain * grain;
  }
  [[nodiscard]] constexpr std::int64_t first_slot() const {
    return round_up(flag(ranks_, Flag::filled), 4096);
  }
  [[nodiscard]] constexpr std::int64_t slot_stride() const { return round_up(slot_data_, 128); }

  int ranks_;
  int slots_;
  std::int64_t slot_data_;
};

}  // namespace edgetrain
