# The house's build rules: one static library a folder, tests beside their sources.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)
# Line tables are enough for a profile and a backtrace, and take half of the time to make.
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O2 -g1 -DNDEBUG")
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib)

find_package(Threads REQUIRED)
find_package(GTest REQUIRED)
find_package(benchmark REQUIRED)

add_compile_options(-Wall -Wextra -Wpedantic -Wshadow -Werror -fno-omit-frame-pointer)
# Threads of the engine have a thread pointer but no table of dynamic thread-locals.
add_compile_options(-ftls-model=initial-exec)
add_compile_options(-ffile-prefix-map=${CMAKE_SOURCE_DIR}/=)
if(CMAKE_CXX_COMPILER_ID MATCHES Clang)
  add_compile_options(-Wthread-safety -Wthread-safety-beta)
endif()

if(UZSWAP_SANITIZE STREQUAL "address")
  add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=all -fno-sanitize=vptr -O1)
  add_link_options(-fsanitize=address,undefined)
elseif(UZSWAP_SANITIZE STREQUAL "thread")
  add_compile_options(-fsanitize=thread -O1)
  add_link_options(-fsanitize=thread)
elseif(UZSWAP_SANITIZE STREQUAL "fuzzer")
  add_compile_options(-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
                      -fno-sanitize=vptr -O1)
  add_link_options(-fsanitize=address,undefined)
endif()

# uz_library(NAME SOURCES a.cc ... DEPS other ...): the library `uz_NAME` of one folder.
# Core code has no exceptions and no run-time types: it runs on threads of foreign programs.
function(uz_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS;LINKS" ${ARGN})
  add_library(uz_${name} STATIC ${ARG_SOURCES})
  target_include_directories(uz_${name} PUBLIC ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR}/include)
  target_compile_options(uz_${name} PRIVATE -fno-exceptions -fno-rtti)
  foreach(dep ${ARG_DEPS})
    target_link_libraries(uz_${name} PUBLIC uz_${dep})
  endforeach()
  target_link_libraries(uz_${name} PUBLIC ${ARG_LINKS})
endfunction()

# uz_group(GROUP TARGET): building GROUP builds TARGET; scripts/test builds only what it runs.
function(uz_group group target)
  if(NOT TARGET ${group})
    add_custom_target(${group})
  endif()
  add_dependencies(${group} ${target})
endfunction()

# Half of the time to compile a test is GoogleTest's header: it is compiled once for all tests, and
# once more for the tests that are optimised. Test code has line tables only; what is tested is built
# as always. An executable, because the options of position-independent code must be those of the tests.
function(uz_test_headers name)
  add_executable(${name} ${CMAKE_SOURCE_DIR}/cmake/test_headers.cc)
  target_link_libraries(${name} PRIVATE GTest::gtest GTest::gtest_main)
  target_compile_options(${name} PRIVATE -g1 ${ARGN})
  target_precompile_headers(${name} PRIVATE <gtest/gtest.h>)
endfunction()
uz_test_headers(uz_test_headers -O0)
uz_test_headers(uz_optimised_test_headers -O1)

# uz_test(NAME SOURCES a_test.cc ... DEPS lib ... LABELS l ... [TIMEOUT s] [OPTIMISED]): one test program.
# Labels: unit, concurrency (run under the thread sanitizer too), uffd (needs userfaultfd),
# system (whole programs). OPTIMISED is for a test whose own code runs for seconds. Other tests are
# compiled sooner than an optimised one would be, but not under the thread sanitizer, which makes each
# memory access slow.
function(uz_test name)
  cmake_parse_arguments(ARG "OPTIMISED" "TIMEOUT" "SOURCES;DEPS;LABELS" ${ARGN})
  if(NOT ARG_LABELS)
    set(ARG_LABELS unit)
  endif()
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 600)
  endif()
  add_executable(${name} ${ARG_SOURCES})
  target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR}/include)
  foreach(dep ${ARG_DEPS})
    target_link_libraries(${name} PRIVATE uz_${dep})
  endforeach()
  target_link_libraries(${name} PRIVATE GTest::gtest GTest::gtest_main Threads::Threads)
  if(ARG_OPTIMISED OR UZSWAP_SANITIZE STREQUAL "thread")
    target_compile_options(${name} PRIVATE -g1 -O1)
    target_precompile_headers(${name} REUSE_FROM uz_optimised_test_headers)
  else()
    target_compile_options(${name} PRIVATE -g1 -O0)
    target_precompile_headers(${name} REUSE_FROM uz_test_headers)
  endif()
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT ${ARG_TIMEOUT})
  foreach(label ${ARG_LABELS})
    uz_group(tests_${label} ${name})
  endforeach()
endfunction()

# uz_bench(NAME SOURCES ... DEPS ...): a Google Benchmark program, built but never run as a test.
function(uz_bench name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})

  foreach(dep ${ARG_DEPS})
    target_link_libraries(${name} PRIVATE uz_${dep})
  endforeach()
  target_link_libraries(${name} PRIVATE benchmark::benchmark)
endfunction()

# uz_fuzz(NAME SOURCES x_fuzz.cc ... DEPS lib ...): a libFuzzer target under the preset `fuzz`.
# Elsewhere the same sources are two short tests: NAME runs over seeded random inputs, and
# NAME_corpus over the files of tests/fuzz/corpus/NAME.
function(uz_fuzz name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  if(UZSWAP_SANITIZE STREQUAL "fuzzer")
    add_executable(${name} ${ARG_SOURCES})
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
    add_test(NAME ${name} COMMAND ${name} -max_total_time=10)
  else()
    add_executable(${name} ${ARG_SOURCES} ${CMAKE_SOURCE_DIR}/tests/fuzz_replay_main.cc)
    add_test(NAME ${name} COMMAND ${name})
    add_test(NAME ${name}_corpus COMMAND ${name} ${CMAKE_SOURCE_DIR}/tests/fuzz/corpus/${name})
    set_tests_properties(${name}_corpus PROPERTIES LABELS unit TIMEOUT 600)
  endif()
  target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR}/include)
  foreach(dep ${ARG_DEPS})
    target_link_libraries(${name} PRIVATE uz_${dep})
  endforeach()
  set_tests_properties(${name} PROPERTIES LABELS unit TIMEOUT 600)
  uz_group(tests_fuzz ${name})
endfunction()
