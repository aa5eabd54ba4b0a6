#include "core/data/byte_tokenizer.h"

#include "core/base/error.h"

namespace edgetrain {

std::optional<std::int32_t> byte_end_of_document(std::int64_t vocab) {
  if (vocab < kByteIds) {
    throw JobError(fmt::format("tokenizer 'bytes' needs a vocabulary of at least {} ids, the model has {}",
                               kByteIds, vocab));
  }
  return vocab > kByteIds ? std::optional(kByteIds) : std::nullopt;
}

std::vector<std::int32_t> encode_bytes(std::string_view text) {
  std::vector<std::int32_t> ids;
  ids.reserve(text.size());
  for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
  return ids;
}

std::string decode_bytes(std::span<const std::int32_t> ids) {
  std::string text;
  text.reserve(ids.size());
  for (const auto id : ids) {
    if (id >= 0 && id < kByteIds) text += static_cast<char>(id);
  }
  return text;
}

}  // namespace edgetrain
