// A Tensor as the kernels take it.
#pragma once

#include "core/ops/cuda/kernels.h"
#include "core/tensor/tensor.h"

namespace edgetrain::cuda {

[[nodiscard]] inline Matrix matrix_of(const Tensor& tensor) {
  return {tensor.data, tensor.rows, tensor.cols, tensor.row_stride, tensor.dtype};
}

}  // namespace edgetrain::cuda
