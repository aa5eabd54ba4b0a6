#include "core/ops/cuda/gemm.h"

#include <algorithm>
#include <utility>

#include "core/device/cuda/check.h"
#include "core/ops/cuda/kernels.h"
#include "core/ops/cuda/matrix.h"

namespace edgetrain::cuda {
namespace {

// cuBLASLt thinks in columns: a row-major matrix is its transpose there. So C^T (N, M) = op(B)^T (N, K) *
// op(A)^T (K, M) is asked for: operands swapped, transposes as they are, and the bias, one value per column
// of C, is one value per row of C^T, which is what its bias epilogue adds.

cudaDataType_t data_type(Dtype dtype) { return dtype == Dtype::bf16 ? CUDA_R_16BF : CUDA_R_32F; }
cublasOperation_t operation(bool transposed) { return transposed ? CUBLAS_OP_T : CUBLAS_OP_N; }

// The largest power of two up to 256 that divides the address: algorithms are chosen by it.
std::uint32_t alignment_of(const void* data) {
  const auto address = reinterpret_cast<std::uintptr_t>(data) | 256U;
  return static_cast<std::uint32_t>(address & (~address + 1U));
}

// One handle of the descriptor kinds of cuBLASLt, which differ only in the function that destroys them.
template <typename Handle, cublasStatus_t (*destroy)(Handle)>
class Descriptor {
 public:
  Descriptor() = default;
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (handle_ != nullptr) destroy(handle_);  // fails only for handles that are not ours
  }
  Handle* out() { return &handle_; }
  [[nodiscard]] Handle get() const { return handle_; }

 private:
  Handle handle_ = nullptr;
};
using Layout = Descriptor<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy>;
using Operation = Descriptor<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy>;
using Preference = Descriptor<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceDestroy>;

// The transpose of `tensor`, which in columns is the tensor as it lies in memory.
void describe(Layout& layout, const Tensor& tensor) {
  // A single row may have any stride, also one below its width.
  const std::int64_t stride = std::max(tensor.row_stride, tensor.cols);
  check(cublasLtMatrixLayoutCreate(layout.out(), data_type(tensor.dtype),
                                   static_cast<std::uint64_t>(tensor.cols),
                                   static_cast<std::uint64_t>(tensor.rows), stride),
        "cublasLtMatrixLayoutCreate");
}

template <typename T>
void set(const Operation& operation, cublasLtMatmulDescAttributes_t attribute, const T& value) {
  check(cublasLtMatmulDescSetAttribute(operation.get(), attribute, &value, sizeof value),
        "cublasLtMatmulDescSetAttribute");
}
template <typename T>
void set(const Preference& preference, cublasLtMatmulPreferenceAttributes_t attribute, const T& value) {
  check(cublasLtMatmulPreferenceSetAttribute(preference.get(), attribute, &value, sizeof value),
        "cublasLtMatmulPreferenceSetAttribute");
}

// The epilogue takes a bias of the result's dtype only.
bool bias_in_epilogue(const Tensor& c, const Tensor& bias) { return !bias.absent() && bias.dtype == c.dtype; }

// Vectorised epilogues read the bias in 16-byte words; in a bucket it may lie anywhere.
constexpr std::uintptr_t kBiasAlignment = 16;

const void* aligned_bias(const Tensor& bias, Workspace& workspace, const CudaStream& stream) {
  std::byte* copy = workspace.take(bias.bytes());
  if (reinterpret_cast<std::uintptr_t>(bias.data) % kBiasAlignment == 0) return bias.data;
  check(cudaMemcpyAsync(copy, bias.data, static_cast<std::size_t>(bias.bytes()), cudaMemcpyDeviceToDevice,
                        stream.handle()),
        "cudaMemcpyAsync of a bias");
  return copy;
}

}  // namespace

struct Gemm::Product {
  const Tensor& a;
  bool trans_a;
  const Tensor& b;
  bool trans_b;
  const Tensor& c;
  bool bias;  // in the epilogue
};

struct Gemm::Plan {
  Operation operation;
  Layout a, b, c;
  cublasLtMatmulAlgo_t algorithm{};

  Plan(cublasLtHandle_t handle, const Product& product) {
    describe(a, product.a);
    describe(b, product.b);
    describe(c, product.c);
    check(cublasLtMatmulDescCreate(operation.out(), CUBLAS_COMPUTE_32F, CUDA_R_32F),
          "cublasLtMatmulDescCreate");
    set(operation, CUBLASLT_MATMUL_DESC_TRANSA, cuda::operation(product.trans_b));
    set(operation, CUBLASLT_MATMUL_DESC_TRANSB, cuda::operation(product.trans_a));
    if (product.bias) {
      set(operation, CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
      set(operation, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, data_type(product.c.dtype));
    }
    choose(handle, product);
  }

 private:
  void choose(cublasLtHandle_t handle, const Product& product) {
    Preference preference;
    check(cublasLtMatmulPreferenceCreate(preference.out()), "cublasLtMatmulPreferenceCreate");
    set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
        static_cast<std::uint64_t>(kGemmWorkspaceBytes));
    set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignment_of(product.b.data));
    set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, alignment_of(product.a.data));
    set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, alignment_of(product.c.data));
    set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, alignment_of(product.c.data));
    cublasLtMatmulHeuristicResult_t best{};
    int found = 0;
    check(cublasLtMatmulAlgoGetHeuristic(handle, operation.get(), b.get(), a.get(), c.get(), c.get(),
                                         preference.get(), 1, &best, &found),
          "cublasLtMatmulAlgoGetHeuristic");
    if (found == 0) {
      throw Error(
          ErrorClass::resource,
          fmt::format(
              "cuBLASLt has no algorithm for {} x {} (transposed {}) times {} x {} (transposed {}), {} to "
              "{}",
              product.a.rows, product.a.cols, product.trans_a, product.b.rows, product.b.cols,
              product.trans_b, name_of(product.a.dtype), name_of(product.c.dtype)));
    }
    algorithm = best.algo;
  }
};

std::int64_t gemm_scratch_bytes(const Tensor& c, const Tensor& bias) {
  return aligned(kGemmWorkspaceBytes) + (bias_in_epilogue(c, bias) ? aligned(bias.bytes()) : 0);
}

Gemm::Gemm() { check(cublasLtCreate(&handle_), "cublasLtCreate"); }

Gemm::~Gemm() {
  plans_.clear();
  cublasLtDestroy(handle_);  // fails only for a handle that is not ours
}

Gemm::Key Gemm::key_of(const Product& p) {
  const std::int64_t inner = p.trans_a ? p.a.rows : p.a.cols;
  return {p.c.rows,
          p.c.cols,
          inner,
          p.a.row_stride,
          p.b.row_stride,
          p.c.row_stride,
          p.a.dtype,
          p.c.dtype,
          p.trans_a,
          p.trans_b,
          p.bias,
          alignment_of(p.a.data),
          alignment_of(p.b.data),
          alignment_of(p.c.data)};
}

Gemm::Plan& Gemm::plan_for(const Product& product) {
  auto& plan = plans_[key_of(product)];
  if (plan == nullptr) plan = std::make_unique<Plan>(handle_, product);
  return *plan;
}

void Gemm::run(const Tensor& a, bool trans_a, const Tensor& b, bool trans_b, const Tensor& c, float beta,
               const Tensor& bias, Workspace& workspace, const CudaStream& stream) {
  if (c.numel() == 0) return;
  ET_CHECK((trans_a ? a.rows : a.cols) > 0, "gemm: an inner dimension of 0 is not built for CUDA");
  const ScratchScope scope(workspace);
  std::byte* scratch = workspace.take(kGemmWorkspaceBytes);
  const bool epilogue = bias_in_epilogue(c, bias);
  Plan& plan = plan_for({a, trans_a, b, trans_b, c, epilogue});
  if (epilogue) {
    set(plan.operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, aligned_bias(bias, workspace, stream));
  } else if (!bias.absent()) {  // bf16 operands, f32 result: c starts as the bias
    check(broadcast_row(matrix_of(bias), matrix_of(c), stream.handle()), "broadcast_row");
    beta = 1.0F;
  }
  const float alpha = 1.0F;
  check(cublasLtMatmul(handle_, plan.operation.get(), &alpha, b.data, plan.b.get(), a.data, plan.a.get(),
                       &beta, c.data, plan.c.get(), c.data, plan.c.get(), &plan.algorithm, scratch,
                       kGemmWorkspaceBytes, stream.handle()),
        "cublasLtMatmul");
}

}  // namespace edgetrain::cuda
