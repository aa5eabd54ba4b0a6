#include "core/device/cuda/check.h"

#include <cstdio>

#include "core/base/error.h"

namespace edgetrain::cuda {
namespace {

[[noreturn]] void fail(std::string_view what, std::string_view name, std::string_view words,
                       std::source_location where) {
  throw Error(ErrorClass::resource, fmt::format("CUDA: {}: {} ({})", what, words, name), where);
}

}  // namespace

void check(cudaError_t code, std::string_view what, std::source_location where) {
  if (code != cudaSuccess) fail(what, cudaGetErrorName(code), cudaGetErrorString(code), where);
}

void check(cublasStatus_t code, std::string_view what, std::source_location where) {
  if (code != CUBLAS_STATUS_SUCCESS)
    fail(what, cublasLtGetStatusName(code), cublasLtGetStatusString(code), where);
}

void check_noexcept(cudaError_t code, std::string_view what) noexcept {
  if (code == cudaSuccess) return;
  std::fprintf(stderr, "CUDA: %.*s: %s\n", static_cast<int>(what.size()), what.data(),
               cudaGetErrorString(code));
}

}  // namespace edgetrain::cuda
