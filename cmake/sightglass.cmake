# One helper per kind of target, so that a CMakeLists.txt is a list and no program.
#
#   sg_library(NAME SOURCES file… [DEPENDS dep…] [PART memory])
#       part of libsightglass.so, or of libsightglass-memory.so, which stands alone. A dep is another sg_library by its
#       name, or a target with ::, be it imported or one of our modules.
#   sg_module(NAME SOURCES file… [DEPENDS dep…] [BASE memory])
#       libsightglass-NAME.so, a back end with a library of its own: loaded at run time by load_module(NAME), or linked as
#       sightglass::NAME. It uses libsightglass.so, with BASE memory only libsightglass-memory.so.
#   sg_element(NAME [SOURCES extra…] [DEPENDS dep…] [TEST [file…]] [BENCH [file…]])
#       the element in NAME.cc; TEST and BENCH alone mean NAME_test.cc and NAME_bench.cc.
#   sg_test(NAME SOURCES file… [DEPENDS dep…] [LABELS label…] [ENVIRONMENT VAR=value…] [TIMEOUT seconds])
#       one GoogleTest program and one ctest entry, both called NAME; label `san`: also run under the sanitizers.
#   sg_test_uses_models(NAME)
#       the test reads the tiny models of tests/models.
#   sg_test_uses_cuda_double(NAME)
#       the test runs with the driver of tests/cuda instead of NVIDIA's.
#   sg_fuzz(NAME SOURCES file… [DEPENDS dep…])
#       LLVMFuzzerTestOneInput: the ctest entry fuzz.NAME replays tests/fuzz/corpus/NAME; with SIGHTGLASS_FUZZ there is
#       the libFuzzer program fuzz/NAME as well, which the target `fuzz` builds.
#   sg_bench(NAME SOURCES file… [DEPENDS dep…])
#       one Google Benchmark program, bench/NAME in the build folder.
#   sg_plugin(NAME SOURCES file… [DEPENDS dep…])
#       the GStreamer plug-in libgstNAME.so in gstreamer-1.0/ of the build folder, linked with libsightglass.so.
#   sg_program(NAME SOURCES file… [DEPENDS dep…])
#       bin/NAME, linked with libsightglass.so.
#   sg_cuda(NAME file.cu LIBRARY name [HEADERS file…])
#       `extern const CudaSource NAME` (memory/cuda/cuda_module.h) as part of an sg_library: the text of the kernels, and
#       their machine code where nvcc is found.

# What our own code is compiled with, and nobody else's.
add_library(sg_options INTERFACE)
target_include_directories(sg_options INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_options(sg_options INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wno-missing-field-initializers -Werror)
# GStreamer's own macros do this.
target_compile_options(sg_options INTERFACE $<$<CXX_COMPILER_ID:Clang>:-Wno-deprecated-enum-enum-conversion>)
target_link_libraries(sg_options INTERFACE Threads::Threads)

# The two libraries. They take the object files themselves, so that an element which nobody names is there nevertheless.
add_library(sightglass_memory SHARED)
add_library(sightglass SHARED)
target_link_libraries(sightglass PUBLIC sightglass_memory)
set_target_properties(sightglass_memory PROPERTIES OUTPUT_NAME sightglass-memory)
foreach(library IN ITEMS sightglass_memory sightglass)
  target_include_directories(${library} INTERFACE ${PROJECT_SOURCE_DIR})
  target_link_libraries(${library} PRIVATE sg_options ${CMAKE_DL_LIBS})
  set_target_properties(${library} PROPERTIES LINKER_LANGUAGE CXX VERSION ${PROJECT_VERSION}
                        SOVERSION ${PROJECT_VERSION_MAJOR})
endforeach()

# What using a part means, its include paths and vendor libraries, is sg_NAME_api; sg_NAME are its object files. A test
# links the former only, since the objects are in libsightglass.so already.
function(_sg_link target scope)
  foreach(dep IN LISTS ARGN)
    if(NOT dep MATCHES "::")
      set(dep sg_${dep}_api)
    endif()
    target_link_libraries(${target} ${scope} ${dep})
  endforeach()
endfunction()

function(_sg_link_program target)
  target_link_libraries(${target} PRIVATE sg_options sightglass)
  # Elements register themselves: the library is needed although nothing of it may be named.
  target_link_options(${target} PRIVATE LINKER:--no-as-needed)
  _sg_link(${target} PRIVATE ${ARGN})
endfunction()

macro(_sg_parse options single multi)
  cmake_parse_arguments(PARSE_ARGV 1 arg "${options}" "${single}" "${multi}")
  if(arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "${CMAKE_CURRENT_FUNCTION}(${ARGV0}): what is ${arg_UNPARSED_ARGUMENTS}?")
  endif()
endmacro()

function(sg_library name)
  _sg_parse("" "PART" "SOURCES;DEPENDS")
  add_library(sg_${name}_api INTERFACE)
  _sg_link(sg_${name}_api INTERFACE ${arg_DEPENDS})
  add_library(sg_${name} OBJECT ${arg_SOURCES})
  target_link_libraries(sg_${name} PRIVATE sg_options sg_${name}_api)
  set(library sightglass)
  if(arg_PART)
    set(library sightglass_${arg_PART})
  endif()
  target_link_libraries(${library} PRIVATE sg_${name} sg_${name}_api)
endfunction()

function(sg_module name)
  _sg_parse("" "BASE" "SOURCES;DEPENDS")
  set(base sightglass)
  if(arg_BASE)
    set(base sightglass_${arg_BASE})
  endif()
  add_library(sightglass_${name} SHARED ${arg_SOURCES})
  add_library(sightglass::${name} ALIAS sightglass_${name})
  target_link_libraries(sightglass_${name} PUBLIC ${base} PRIVATE sg_options)
  _sg_link(sightglass_${name} PUBLIC ${arg_DEPENDS})
  set_target_properties(sightglass_${name} PROPERTIES OUTPUT_NAME sightglass-${name} VERSION ${PROJECT_VERSION}
                        SOVERSION ${PROJECT_VERSION_MAJOR} SIGHTGLASS_BASE ${base})
  set_property(GLOBAL APPEND PROPERTY SIGHTGLASS_MODULES sightglass_${name})
endfunction()

function(sg_element name)
  _sg_parse("" "" "SOURCES;DEPENDS;TEST;BENCH")
  sg_library(${name} SOURCES ${name}.cc ${arg_SOURCES} DEPENDS core ${arg_DEPENDS})
  if("TEST" IN_LIST arg_KEYWORDS_MISSING_VALUES)
    set(arg_TEST ${name}_test.cc)
  endif()
  if("BENCH" IN_LIST arg_KEYWORDS_MISSING_VALUES)
    set(arg_BENCH ${name}_bench.cc)
  endif()
  if(arg_TEST)
    sg_test(${name} SOURCES ${arg_TEST} DEPENDS ${name} LABELS element)
  endif()
  if(arg_BENCH)
    sg_bench(${name} SOURCES ${arg_BENCH} DEPENDS ${name})
  endif()
endfunction()

function(sg_test name)
  _sg_parse("" "TIMEOUT" "SOURCES;DEPENDS;LABELS;ENVIRONMENT")
  if(NOT SIGHTGLASS_TESTS)
    return()
  endif()
  add_executable(${name}_test ${arg_SOURCES})
  # What is tested is optimised; the tests themselves compile a quarter faster like this.
  target_compile_options(${name}_test PRIVATE $<$<CONFIG:Dev>:-O1>)
  _sg_link_program(${name}_test GTest::gmock_main ${arg_DEPENDS})
  set_target_properties(${name}_test PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
  add_test(NAME ${name} COMMAND ${name}_test)
  sg_test_settings(${name} LABELS ${arg_LABELS} ENVIRONMENT ${arg_ENVIRONMENT} TIMEOUT ${arg_TIMEOUT})
endfunction()

# sg_test_settings(NAME [LABELS…] [ENVIRONMENT…] [TIMEOUT…]): what every ctest entry has in common, for those that
# are made with add_test() as well.
function(sg_test_settings name)
  _sg_parse("" "TIMEOUT" "LABELS;ENVIRONMENT")
  set(environment
    # The report is what env/count-cases counts; the folder is made by GoogleTest.
    GTEST_OUTPUT=xml:${PROJECT_BINARY_DIR}/reports/${name}.xml)
  if(SIGHTGLASS_SANITIZE)
    list(APPEND environment
      LSAN_OPTIONS=suppressions=${PROJECT_SOURCE_DIR}/env/lsan.supp:print_suppressions=0
      UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
      TSAN_OPTIONS=suppressions=${PROJECT_SOURCE_DIR}/env/tsan.supp:halt_on_error=1
      # GStreamer's helper program is not built with sanitizers and could not load our plug-in.
      GST_REGISTRY_FORK=no)
  endif()
  set_tests_properties(${name} PROPERTIES
    LABELS "${arg_LABELS}" ENVIRONMENT "${environment};${arg_ENVIRONMENT}")
  # Otherwise what ctest is told, which depends on the form that runs.
  if(arg_TIMEOUT)
    set_tests_properties(${name} PROPERTIES TIMEOUT ${arg_TIMEOUT})
  endif()
endfunction()

# The test reads models that tests/models/make.py makes, in SIGHTGLASS_TEST_MODELS.
function(sg_test_uses_models name)
  if(SIGHTGLASS_TESTS)
    set_tests_properties(${name} PROPERTIES FIXTURES_REQUIRED test_models
      ENVIRONMENT_MODIFICATION SIGHTGLASS_TEST_MODELS=set:${PROJECT_BINARY_DIR}/tests/models)
  endif()
endfunction()

function(sg_test_uses_cuda_double name)
  if(SIGHTGLASS_TESTS)
    add_dependencies(${name}_test cuda_double nvrtc_double)
    set_tests_properties(${name} PROPERTIES
      ENVIRONMENT_MODIFICATION LD_LIBRARY_PATH=path_list_prepend:${PROJECT_BINARY_DIR}/cuda_double)
  endif()
endfunction()

function(sg_fuzz name)
  _sg_parse("" "" "SOURCES;DEPENDS")
  if(NOT SIGHTGLASS_TESTS)
    return()
  endif()
  add_executable(${name}_replay ${arg_SOURCES} ${PROJECT_SOURCE_DIR}/tests/fuzz/replay.cc)
  _sg_link_program(${name}_replay ${arg_DEPENDS})
  set_target_properties(${name}_replay PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
  add_test(NAME fuzz.${name} COMMAND ${name}_replay ${PROJECT_SOURCE_DIR}/tests/fuzz/corpus/${name})
  sg_test_settings(fuzz.${name} LABELS san)
  if(SIGHTGLASS_FUZZ)
    add_executable(${name}_fuzz EXCLUDE_FROM_ALL ${arg_SOURCES})
    _sg_link_program(${name}_fuzz ${arg_DEPENDS})
    target_link_options(${name}_fuzz PRIVATE -fsanitize=fuzzer)
    set_target_properties(${name}_fuzz PROPERTIES OUTPUT_NAME ${name} RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/fuzz)
    add_dependencies(fuzz ${name}_fuzz)
  endif()
endfunction()

function(sg_bench name)
  _sg_parse("" "" "SOURCES;DEPENDS")
  if(NOT SIGHTGLASS_BENCH)
    return()
  endif()
  add_executable(${name}_bench ${arg_SOURCES})
  _sg_link_program(${name}_bench benchmark::benchmark_main ${arg_DEPENDS})
  set_target_properties(${name}_bench PROPERTIES OUTPUT_NAME ${name}
                        RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bench)
endfunction()

function(sg_plugin name)
  _sg_parse("" "" "SOURCES;DEPENDS")
  add_library(gst${name} MODULE ${arg_SOURCES})
  _sg_link_program(gst${name} ${arg_DEPENDS})
  set_target_properties(gst${name} PROPERTIES LINKER_LANGUAGE CXX LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/gstreamer-1.0)
endfunction()

function(sg_program name)
  _sg_parse("" "" "SOURCES;DEPENDS")
  add_executable(${name}_program ${arg_SOURCES})
  _sg_link_program(${name}_program ${arg_DEPENDS})
  set_target_properties(${name}_program PROPERTIES OUTPUT_NAME ${name})
endfunction()

# As the build, not the target, has them; nvcc of another version has other architectures.
set(SIGHTGLASS_CUDA_ARCHITECTURES "75;80;86;89;90" CACHE STRING "GPUs that kernels are compiled for; others get PTX of the last")
find_program(SIGHTGLASS_NVCC nvcc HINTS /usr/local/cuda/bin DOC "CUDA compiler, optional")

# nvcc's options for fat binaries, in the cached SIGHTGLASS_NVCC_FLAGS; empty where this nvcc cannot make them.
function(_sg_check_nvcc)
  set(architectures "")
  foreach(number IN LISTS SIGHTGLASS_CUDA_ARCHITECTURES)
    list(APPEND architectures -gencode arch=compute_${number},code=sm_${number})
  endforeach()
  list(GET SIGHTGLASS_CUDA_ARCHITECTURES -1 last)
  list(APPEND architectures -gencode arch=compute_${last},code=compute_${last})
  set(tried ${CMAKE_BINARY_DIR}/CMakeFiles/nvcc_check)
  file(WRITE ${tried}.cu "extern \"C\" __global__ void check(float* out) { *out = 1; }\n")
  set(SIGHTGLASS_NVCC_FLAGS "" CACHE INTERNAL "")
  # Compression by size came with CUDA 12.8.
  foreach(compression IN ITEMS --compress-mode=size "")
    set(flags -std=c++17 -O3 ${compression} ${architectures} -fatbin)
    execute_process(COMMAND ${SIGHTGLASS_NVCC} ${flags} -o ${tried}.fatbin ${tried}.cu
                    RESULT_VARIABLE failed OUTPUT_VARIABLE text ERROR_VARIABLE text)
    if(NOT failed)
      set(SIGHTGLASS_NVCC_FLAGS "${flags}" CACHE INTERNAL "")
      return()
    endif()
  endforeach()
  string(STRIP "${text}" text)
  message(WARNING "${SIGHTGLASS_NVCC} does not compile for ${SIGHTGLASS_CUDA_ARCHITECTURES}, so kernels are compiled "
                  "at run time by NVRTC (SIGHTGLASS_CUDA_ARCHITECTURES chooses others): ${text}")
endfunction()

# It takes seconds, so only once for the same.
if(NOT "${SIGHTGLASS_NVCC} ${SIGHTGLASS_CUDA_ARCHITECTURES}" STREQUAL "${SIGHTGLASS_NVCC_CHECKED}")
  set(SIGHTGLASS_NVCC_FLAGS "" CACHE INTERNAL "")
  if(SIGHTGLASS_NVCC)
    _sg_check_nvcc()
  endif()
  set(SIGHTGLASS_NVCC_CHECKED "${SIGHTGLASS_NVCC} ${SIGHTGLASS_CUDA_ARCHITECTURES}" CACHE INTERNAL "")
endif()

function(sg_cuda name source)
  cmake_parse_arguments(PARSE_ARGV 2 arg "" "LIBRARY" "HEADERS")
  set(NAME ${name})
  set(SOURCE ${source})
  set(TEXT ${CMAKE_CURRENT_BINARY_DIR}/${name}.cu)
  set(headers ${arg_HEADERS})
  list(TRANSFORM headers PREPEND ${CMAKE_CURRENT_SOURCE_DIR}/)
  add_custom_command(OUTPUT ${TEXT}
    COMMAND python3 ${PROJECT_SOURCE_DIR}/cmake/kernel_text.py ${CMAKE_CURRENT_SOURCE_DIR}/${source} ${PROJECT_SOURCE_DIR} ${TEXT}
    DEPENDS ${source} ${headers} ${PROJECT_SOURCE_DIR}/cmake/kernel_text.py VERBATIM)
  set(parts ${TEXT})
  set(INCLUDE_BINARY "")
  if(SIGHTGLASS_NVCC_FLAGS)
    set(binary ${CMAKE_CURRENT_BINARY_DIR}/${name}.fatbin)
    add_custom_command(OUTPUT ${binary}
      COMMAND ${SIGHTGLASS_NVCC} ${SIGHTGLASS_NVCC_FLAGS} -o ${binary} ${TEXT}
      DEPENDS ${TEXT} COMMENT "Compiling CUDA kernels ${name}" VERBATIM)
    list(APPEND parts ${binary})
    set(INCLUDE_BINARY "  .incbin \"${binary}\"")
  endif()
  configure_file(${PROJECT_SOURCE_DIR}/cmake/cuda_source.S.in ${name}.S @ONLY)
  configure_file(${PROJECT_SOURCE_DIR}/cmake/cuda_source.cc.in ${name}.cc @ONLY)
  set_source_files_properties(${CMAKE_CURRENT_BINARY_DIR}/${name}.S PROPERTIES LANGUAGE ASM OBJECT_DEPENDS "${parts}")
  target_sources(sg_${arg_LIBRARY} PRIVATE ${CMAKE_CURRENT_BINARY_DIR}/${name}.S ${CMAKE_CURRENT_BINARY_DIR}/${name}.cc)
endfunction()
