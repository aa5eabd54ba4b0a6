#include "parallel/comm/segment_streams.h"

#include <algorithm>
#include <bit>

#include "core/base/error.h"
#include "parallel/comm/parts.h"

namespace edgetrain {
namespace {

// A message's id holds its stream and its segment.
constexpr std::int64_t kSegmentBits = 40;
std::int64_t id_of(int stream, std::int64_t segment) {
  return (std::int64_t{stream} << kSegmentBits) | segment;
}
int stream_of(std::int64_t id) { return static_cast<int>(id >> kSegmentBits); }
std::int64_t segment_in(std::int64_t id) { return id & ((std::int64_t{1} << kSegmentBits) - 1); }

}  // namespace

SegmentStreams::SegmentStreams(MPI_Comm comm, std::int64_t* sent, std::uint64_t* moves, int tag,
                               std::int64_t segment_bytes, int depth)
    : messages_(comm, sent, moves), tag_(tag), segment_bytes_(segment_bytes), depth_(depth) {
  ET_ASSERT(segment_bytes > 0 && depth > 0 && depth <= 64);
}

int SegmentStreams::add(Stream stream) {
  streams_.push_back(stream);
  return static_cast<int>(streams_.size()) - 1;
}

int SegmentStreams::add_send(std::span<const std::byte> data, int peer) {
  const auto bytes = static_cast<std::int64_t>(data.size());
  return add({const_cast<std::byte*>(data.data()), bytes, bytes, peer,
              false});  // never written: `receives` is false
}

int SegmentStreams::add_receive(std::span<std::byte> data, int peer) {
  const auto bytes = static_cast<std::int64_t>(data.size());
  return add({data.data(), bytes, bytes, peer, true});
}

void SegmentStreams::limit_send(int stream, std::int64_t bytes) {
  streams_[static_cast<std::size_t>(stream)].limit = bytes;
}

std::int64_t SegmentStreams::segments(const Stream& stream) const {
  return pieces(stream.bytes, segment_bytes_);
}

std::int64_t SegmentStreams::arrived(int stream) const {
  const Stream& it = streams_[static_cast<std::size_t>(stream)];
  return std::min(it.prefix * segment_bytes_, it.bytes);
}

void SegmentStreams::post(int index) {
  Stream& it = streams_[static_cast<std::size_t>(index)];
  while (it.posted < segments(it) && it.posted < it.prefix + depth_) {
    const PartRange range = segment_of({0, it.bytes}, segment_bytes_, it.posted);
    if (range.end > it.limit) return;
    const std::span<std::byte> piece{it.data + range.begin, static_cast<std::size_t>(range.count())};
    const std::int64_t id = id_of(index, it.posted++);
    if (it.receives) {
      messages_.receive(piece, it.peer, tag_, id);
    } else {
      messages_.send(piece, it.peer, tag_, id);
    }
  }
}

void SegmentStreams::complete(Stream& stream, std::int64_t segment) const {
  ++stream.completed;
  stream.beyond |= std::uint64_t{1} << (segment - stream.prefix);
  const int run = std::countr_one(stream.beyond);
  stream.prefix += run;
  stream.beyond = run == 64 ? 0 : stream.beyond >> run;
}

bool SegmentStreams::advance() {
  for (int i = 0; i < static_cast<int>(streams_.size()); ++i) post(i);
  for (auto done = messages_.poll(); !done.empty(); done = messages_.poll()) {
    for (const std::int64_t id : done) {
      complete(streams_[static_cast<std::size_t>(stream_of(id))], segment_in(id));
    }
    for (int i = 0; i < static_cast<int>(streams_.size()); ++i) post(i);
  }
  return std::all_of(streams_.begin(), streams_.end(),
                     [this](const Stream& it) { return it.completed == segments(it); });
}

}  // namespace edgetrain
