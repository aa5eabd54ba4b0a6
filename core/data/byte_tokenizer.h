// Bytes as tokens: ids 0 to 255 are the bytes themselves, 256 ends a document where the vocabulary has room
// for it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace edgetrain {

inline constexpr std::int32_t kByteIds = 256;

/// The end-of-document id for a model with `vocab` ids: 256, or none when vocab is exactly 256.
/// Errors: JobError when vocab is below 256: some bytes would have no id.
[[nodiscard]] std::optional<std::int32_t> byte_end_of_document(std::int64_t vocab);

[[nodiscard]] std::vector<std::int32_t> encode_bytes(std::string_view text);

/// Bytes back to text, raw: a generated sequence need not be valid UTF-8. Ids that are no byte (end of
/// document, unused rows of a padded vocabulary) give nothing.
[[nodiscard]] std::string decode_bytes(std::span<const std::int32_t> ids);

}  // namespace edgetrain
