# The CUDA toolkit, for -DEDGETRAIN_CUDA=ON only. Building needs nvcc, no GPU.
find_package(CUDAToolkit REQUIRED)
set(CMAKE_CUDA_COMPILER ${CUDAToolkit_NVCC_EXECUTABLE})
set(CMAKE_CUDA_HOST_COMPILER ${CMAKE_CXX_COMPILER})
# Ampere, Hopper and Blackwell as machine code, later ones through PTX. Set before the language is enabled: CMake's own
# default is an architecture that CUDA 13 no longer knows.
if(NOT CMAKE_CUDA_ARCHITECTURES)
  set(CMAKE_CUDA_ARCHITECTURES 80-real 90-real 100-real 100-virtual)
endif()
enable_language(CUDA)
# Not 20: CMake 3.25 does not know that nvcc takes it. The .cu files need nothing newer.
set(CMAKE_CUDA_STANDARD 17)
set(CMAKE_CUDA_STANDARD_REQUIRED ON)
set(CMAKE_CUDA_EXTENSIONS OFF)
