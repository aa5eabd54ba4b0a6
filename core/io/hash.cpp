#include "core/io/hash.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <new>

namespace edgetrain {

struct Hasher::State {
  struct Free {
    void operator()(XXH3_state_t* state) const { XXH3_freeState(state); }
  };
  std::unique_ptr<XXH3_state_t, Free> xxh{XXH3_createState()};
};

std::string hex_of(const Hash128& hash) { return fmt::format("{:016x}{:016x}", hash.high, hash.low); }

namespace {

bool hex_word(std::string_view digits, std::uint64_t& word) {
  word = 0;
  for (const char c : digits) {
    const auto value = std::string_view("0123456789abcdef").find(c);
    if (value == std::string_view::npos) return false;
    word = (word << 4U) | value;
  }
  return true;
}

}  // namespace

bool hash_from_hex(std::string_view text, Hash128& hash) {
  return text.size() == 32 && hex_word(text.substr(0, 16), hash.high) && hex_word(text.substr(16), hash.low);
}

Hash128 hash_of(std::span<const std::byte> bytes) {
  const XXH128_hash_t hash = XXH3_128bits(bytes.data(), bytes.size());
  return {hash.high64, hash.low64};
}

Hasher::Hasher() : state_(std::make_unique<State>()) {
  if (state_->xxh == nullptr || XXH3_128bits_reset(state_->xxh.get()) != XXH_OK) throw std::bad_alloc();
}
Hasher::Hasher(Hasher&&) noexcept = default;
Hasher& Hasher::operator=(Hasher&&) noexcept = default;
Hasher::~Hasher() = default;

void Hasher::add(std::span<const std::byte> bytes) {
  if (!bytes.empty())
    (void)XXH3_128bits_update(state_->xxh.get(), bytes.data(), bytes.size());  // fails on null only
}

Hash128 Hasher::take() {
  const XXH128_hash_t hash = XXH3_128bits_digest(state_->xxh.get());
  (void)XXH3_128bits_reset(state_->xxh.get());
  return {hash.high64, hash.low64};
}

}  // namespace edgetrain
