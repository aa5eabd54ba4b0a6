// Any bytes as the header of a safetensors file: refused with an Error or read; what is read tiles its
// buffer.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

#include "core/base/error.h"
#include "core/io/safetensors_header.h"

namespace {

using edgetrain::SafetensorsHeader;

void expect_tiled(const SafetensorsHeader& header, std::int64_t buffer_bytes) {
  std::int64_t at = 0;
  for (const auto& entry : header.entries) {
    if (entry.begin != at || entry.end < at) std::abort();
    at = entry.end;
    if (entry.rows() < 0 || entry.cols() < 0) std::abort();
  }
  if (at != buffer_bytes) std::abort();
}

// The first two bytes are the size of the buffer, the rest is the JSON. As a length field too, they must not
// be trusted.
void read(std::string_view input) {
  std::uint16_t buffer_bytes = 0;
  std::memcpy(&buffer_bytes, input.data(), sizeof(buffer_bytes));
  try {
    (void)edgetrain::safetensors_header_bytes(buffer_bytes, static_cast<std::int64_t>(input.size()), "fuzz");
  } catch (const edgetrain::Error&) {
  }
  expect_tiled(edgetrain::parse_safetensors_header(input.substr(2), buffer_bytes, "fuzz"), buffer_bytes);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  try {
    read({reinterpret_cast<const char*>(data), size});
  } catch (const edgetrain::Error& error) {
    if (error.error_class() != edgetrain::ErrorClass::data) std::abort();
  }
  return 0;
}
