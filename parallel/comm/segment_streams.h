// Long vectors to and from several peers at once, each cut into segments with a few in flight.
//
// Why segments: above 64 KiB Open MPI changes protocol and loses half its rate, and a pipelined consumer
// (broadcast) can pass on what has arrived. Everything that only moves bytes over the network is one of
// these.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "parallel/comm/messages.h"

namespace edgetrain {

class SegmentStreams {
 public:
  /// `depth` segments of at most `segment_bytes` in flight per stream; at most 64.
  SegmentStreams(MPI_Comm comm, std::int64_t* sent, std::uint64_t* moves, int tag, std::int64_t segment_bytes,
                 int depth);

  /// A stream to (from) `peer`; its index. An empty vector sends nothing. Borrowed until complete. Every pair
  /// has at most one stream per direction, so that segments match by order.
  int add_send(std::span<const std::byte> data, int peer);
  int add_receive(std::span<std::byte> data, int peer);
  /// A send stream sends no further than the first `bytes` bytes; grows only.
  void limit_send(int stream, std::int64_t bytes);

  /// Posts what may be posted, completes what has completed; true once all streams are done. Never blocks.
  bool advance();
  /// Bytes from the start of a receive stream that have arrived without a gap.
  [[nodiscard]] std::int64_t arrived(int stream) const;

 private:
  struct Stream {
    std::byte* data;
    std::int64_t bytes, limit;
    int peer;
    bool receives;
    std::int64_t posted = 0, completed = 0;  // segments
    std::int64_t prefix = 0;                 // segments completed without a gap
    std::uint64_t beyond = 0;                // bit i: segment prefix + i has completed
  };
  int add(Stream stream);
  void post(int index);
  void complete(Stream& stream, std::int64_t segment) const;
  [[nodiscard]] std::int64_t segments(const Stream& stream) const;

  Messages messages_;
  int tag_;
  std::int64_t segment_bytes_;
  int depth_;
  std::vector<Stream> streams_;
};

}  // namespace edgetrain
