#include "core/io/text_exchange.h"

#include <algorithm>
#include <cstring>

#include "core/base/error.h"
#include "core/comm/stream.h"
#include "core/memory/pool.h"

namespace edgetrain {

CommCall TextExchange::gather_call(std::int64_t slice) const {
  const Tensor out = vector_of(staging_.data(), slice * world_.size(), Dtype::u8);
  return {.op = Collective::all_gather,
          .in = out.col_range(slice * world_.rank(), slice),
          .out = out,
          .site = site_};
}

CommCall TextExchange::broadcast_call(std::int64_t bytes) const {
  const Tensor whole = vector_of(staging_.data(), bytes, Dtype::u8);
  return {.op = Collective::broadcast, .in = whole, .out = whole, .peer = 0, .site = site_};
}

// Of the staging: [what the call works on][scratch of the communicator].
bool TextExchange::fits(const CommCall& call) const {
  return aligned(call.out.bytes()) + world_.scratch_bytes(call) <= static_cast<std::int64_t>(staging_.size());
}

std::span<std::byte> TextExchange::scratch_for(const CommCall& call) {
  const std::int64_t used = aligned(call.out.bytes());
  const std::int64_t needed = world_.scratch_bytes(call);
  ET_CHECK(used + needed <= static_cast<std::int64_t>(staging_.size()), "{} bytes of staging, {} needed",
           staging_.size(), used + needed);
  return staging_.subspan(static_cast<std::size_t>(used), static_cast<std::size_t>(needed));
}

void TextExchange::run(const CommCall& call) {
  const HostStream stream;
  world_.start(call, stream, scratch_for(call)).wait_host(deadline_);
}

// The largest power of two of bytes a rank whose gather and broadcast, with their scratch, fit into staging.
std::int64_t TextExchange::slice_bytes() const {
  const auto both_fit = [this](std::int64_t slice) {
    return fits(gather_call(slice)) && fits(broadcast_call(slice));
  };
  std::int64_t slice = 32 << 10;
  while (slice > 8 && !both_fit(slice)) slice /= 2;
  ET_CHECK(both_fit(slice), "{} bytes of staging are too few for {} ranks", staging_.size(), world_.size());
  return slice;
}

std::vector<std::int64_t> TextExchange::gather_sizes(std::int64_t own) {
  const CommCall call = gather_call(sizeof(own));
  std::memcpy(call.in.data, &own, sizeof(own));
  run(call);
  std::vector<std::int64_t> sizes(static_cast<std::size_t>(world_.size()));
  std::memcpy(sizes.data(), call.out.data, sizes.size() * sizeof(own));
  return sizes;
}

std::vector<std::string> TextExchange::gather(std::string_view own) {
  const std::int64_t slice = slice_bytes();
  const auto sizes = gather_sizes(static_cast<std::int64_t>(own.size()));
  const std::int64_t longest = *std::max_element(sizes.begin(), sizes.end());
  std::vector<std::string> texts(world_.rank() == 0 ? sizes.size() : 0);
  const CommCall call = gather_call(slice);
  for (std::int64_t at = 0; at < longest; at += slice) {
    const auto part =
        own.substr(std::min(static_cast<std::size_t>(at), own.size()), static_cast<std::size_t>(slice));
    std::memset(call.in.data, 0, static_cast<std::size_t>(slice));
    std::memcpy(call.in.data, part.data(), part.size());
    run(call);
    for (std::size_t rank = 0; rank < texts.size(); ++rank) {
      const auto count = std::clamp<std::int64_t>(sizes[rank] - at, 0, slice);
      const auto* from = call.out.data + static_cast<std::int64_t>(rank) * slice;
      texts[rank].append(reinterpret_cast<const char*>(from), static_cast<std::size_t>(count));
    }
  }
  return texts;
}

std::string TextExchange::broadcast(std::string_view text_of_rank_0) {
  auto size = static_cast<std::int64_t>(text_of_rank_0.size());
  const CommCall size_call = broadcast_call(sizeof(size));
  std::memcpy(staging_.data(), &size, sizeof(size));
  run(size_call);
  std::memcpy(&size, staging_.data(), sizeof(size));

  std::string text(static_cast<std::size_t>(size), '\0');
  if (world_.rank() == 0) text = text_of_rank_0;
  const std::int64_t slice = slice_bytes();
  for (std::int64_t at = 0; at < size; at += slice) {
    const auto count = std::min(slice, size - at);
    std::memcpy(staging_.data(), text.data() + at, static_cast<std::size_t>(count));
    run(broadcast_call(count));
    std::memcpy(text.data() + at, staging_.data(), static_cast<std::size_t>(count));
  }
  return text;
}

}  // namespace edgetrain
