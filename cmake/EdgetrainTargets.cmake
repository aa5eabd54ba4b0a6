# The three kinds of target that this project has, and the flags that all of them share.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()
# -O2, not -O3: the hot loops are Highway kernels and oneDNN, and -O3 only makes the build slower.
set(CMAKE_CXX_FLAGS_RELEASE "-O2")
# The sanitizer and fuzz builds: line numbers, and a compile time that two cores can bear.
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O1 -g1")

add_library(edgetrain_flags INTERFACE)
target_include_directories(edgetrain_flags INTERFACE ${PROJECT_SOURCE_DIR})
# -ffp-contract=off: the compiler must not fuse what the scalar twin of a kernel leaves apart (bit equality).
target_compile_options(edgetrain_flags INTERFACE -Wall -Wextra -Wshadow -Wnon-virtual-dtor
  -Woverloaded-virtual -Werror=return-type -ffp-contract=off -fstack-protector-strong)
target_compile_definitions(edgetrain_flags INTERFACE _GLIBCXX_ASSERTIONS)
if(CMAKE_BUILD_TYPE STREQUAL "Release")
  target_compile_definitions(edgetrain_flags INTERFACE _FORTIFY_SOURCE=2)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 15)
  target_compile_options(edgetrain_flags INTERFACE
    "SHELL:-include ${PROJECT_SOURCE_DIR}/core/base/clang14_source_location.h")
endif()
if(EDGETRAIN_FUZZ)  # coverage of the libraries too, or the fuzzer sees no way into them
  target_compile_options(edgetrain_flags INTERFACE -fsanitize=fuzzer-no-link)
  target_link_options(edgetrain_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
if(EDGETRAIN_SANITIZE)
  target_compile_options(edgetrain_flags INTERFACE -fsanitize=${EDGETRAIN_SANITIZE} -fno-omit-frame-pointer
    -fno-sanitize-recover=all)
  target_link_options(edgetrain_flags INTERFACE -fsanitize=${EDGETRAIN_SANITIZE})
  # Kernels are one source for every width, and SSSE3 has that of SSE4, which is the least that we promise.
  target_compile_definitions(edgetrain_flags INTERFACE HWY_DISABLED_TARGETS=HWY_SSSE3)
endif()

# edgetrain_library(name SOURCES a.cpp b.cpp DEPS public_targets... PRIVATE private_targets...)
function(edgetrain_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS;PRIVATE" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_link_libraries(${name} PUBLIC edgetrain_flags ${ARG_DEPS} PRIVATE ${ARG_PRIVATE})
endfunction()

# edgetrain_test(name SOURCES ... DEPS ... LABELS ring RANKS 1 2 3 TIMEOUT s)
# Without RANKS: one process per CTest entry. With RANKS: one entry per count, under mpirun; the source brings
# tests/support/mpi_main.cpp, which fails on every rank when one fails.
function(edgetrain_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT" "SOURCES;DEPS;LABELS;RANKS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  # What counts for tests is how long they compile: -O1 takes two thirds of -O2's time.
  target_compile_options(${name} PRIVATE $<$<CONFIG:Release>:-O1>)
  if(EDGETRAIN_SANITIZE)  # some ten times slower; a limit is there to end what hangs
    math(EXPR ARG_TIMEOUT "4 * ${ARG_TIMEOUT}")
  endif()
  foreach(label ${ARG_LABELS})  # tests_logic, tests_ops, ...: what a sanitizer build needs of the whole tree
    if(NOT TARGET tests_${label})
      add_custom_target(tests_${label})
    endif()
    add_dependencies(tests_${label} ${name})
  endforeach()
  if(ARG_RANKS)
    target_link_libraries(${name} PRIVATE ${ARG_DEPS} edgetrain_mpi_test_main GTest::gtest)
    foreach(ranks ${ARG_RANKS})
      add_test(NAME ${name}.${ranks}ranks
        COMMAND ${PROJECT_SOURCE_DIR}/scripts/mpirun.sh -np ${ranks} $<TARGET_FILE:${name}>
        WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
      set_tests_properties(${name}.${ranks}ranks PROPERTIES TIMEOUT ${ARG_TIMEOUT} LABELS "${ARG_LABELS}")
    endforeach()
  else()
    target_link_libraries(${name} PRIVATE ${ARG_DEPS} GTest::gtest GTest::gtest_main)
    add_test(NAME ${name} COMMAND ${name} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
    set_tests_properties(${name} PROPERTIES TIMEOUT ${ARG_TIMEOUT} LABELS "${ARG_LABELS}")
  endif()
endfunction()

# edgetrain_fuzz(name SOURCES ... DEPS ...): a libFuzzer target; its corpus is tests/fuzz/corpus/<name>.
function(edgetrain_fuzz name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  if(EDGETRAIN_FUZZ)
    add_executable(${name} ${ARG_SOURCES})
    target_link_libraries(${name} PRIVATE ${ARG_DEPS})
    target_compile_options(${name} PRIVATE -fsanitize=fuzzer)
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/fuzz)
    if(NOT TARGET fuzzers)
      add_custom_target(fuzzers)
    endif()
    add_dependencies(fuzzers ${name})
  endif()
endfunction()
