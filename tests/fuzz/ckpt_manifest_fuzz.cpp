// Any bytes as a checkpoint manifest: refused with an Error or read, and then written back to the same text.
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>

#include "core/base/error.h"
#include "core/io/manifest.h"

namespace {

void read(const std::string& text) {
  try {
    const auto manifest = edgetrain::parse_manifest(text, "fuzz");
    const std::string written = edgetrain::manifest_text(manifest);
    if (edgetrain::manifest_text(edgetrain::parse_manifest(written, "fuzz")) != written) std::abort();
  } catch (const edgetrain::Error& error) {
    if (error.error_class() != edgetrain::ErrorClass::data) std::abort();
  }
}

// With the right last line, so that the fuzzer gets behind the hash.
std::string sealed(std::string_view body) {
  const auto hash = edgetrain::hash_of(std::as_bytes(std::span(body)));
  return std::string(body) + ",\n\"xxh3_128\": \"" + edgetrain::hex_of(hash) + "\"\n}\n";
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  read(text);
  read(sealed(text));
  return 0;
}
