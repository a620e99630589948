# Every library from outside, as an imported target; all come from Debian (env/packages.txt).
#
#   PkgConfig::gstreamer (core and base), PkgConfig::gstreamer_{video,audio,app,analytics,allocators,check,rtsp_server},
#   PkgConfig::ffmpeg, PkgConfig::freetype, PkgConfig::hwy, PkgConfig::soup, PkgConfig::zmq (with cppzmq), PkgConfig::hiredis, PkgConfig::mosquitto, PkgConfig::mongoc, PkgConfig::rdkafka, yaml-cpp::yaml-cpp,
#   nlohmann_json::nlohmann_json, pugixml::pugixml, ZXing::ZXing, ZLIB::ZLIB, prometheus-cpp::core, CLI11::CLI11, CURL::libcurl, OpenSSL::Crypto, spdlog::spdlog, SQLite::SQLite3, onnxruntime::headers,
#   OpenCL::OpenCL, dlpack::headers, torch::torch (optional); for tests and benchmarks GTest::gmock_main,
#   benchmark::benchmark_main, opencv::core, opencv::imgproc.

find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(gstreamer REQUIRED IMPORTED_TARGET gstreamer-1.0>=1.26 gstreamer-base-1.0)
foreach(part IN ITEMS video audio app analytics allocators check)
  pkg_check_modules(gstreamer_${part} REQUIRED IMPORTED_TARGET gstreamer-${part}-1.0)
endforeach()
pkg_check_modules(gstreamer_rtsp_server REQUIRED IMPORTED_TARGET gstreamer-rtsp-server-1.0)
pkg_check_modules(gio REQUIRED IMPORTED_TARGET gio-2.0)
pkg_check_modules(ffmpeg REQUIRED IMPORTED_TARGET libavformat libavcodec libavdevice libswscale libavutil)
pkg_check_modules(freetype REQUIRED IMPORTED_TARGET freetype2)
pkg_check_modules(hiredis REQUIRED IMPORTED_TARGET hiredis hiredis_ssl)
pkg_check_modules(hwy REQUIRED IMPORTED_TARGET libhwy)
pkg_check_modules(mosquitto REQUIRED IMPORTED_TARGET libmosquitto)
pkg_check_modules(soup REQUIRED IMPORTED_TARGET libsoup-3.0)
pkg_check_modules(zmq REQUIRED IMPORTED_TARGET libzmq)
pkg_check_modules(mongoc REQUIRED IMPORTED_TARGET libmongoc-1.0)
pkg_check_modules(rdkafka REQUIRED IMPORTED_TARGET rdkafka)

find_package(yaml-cpp REQUIRED CONFIG)
find_package(nlohmann_json REQUIRED CONFIG)
find_package(pugixml REQUIRED CONFIG)
find_package(ZXing REQUIRED CONFIG)
find_package(CLI11 REQUIRED CONFIG)
find_package(CURL REQUIRED)
find_package(OpenSSL REQUIRED)
find_package(spdlog REQUIRED CONFIG)
find_package(SQLite3 REQUIRED)
find_package(GTest REQUIRED CONFIG)
find_package(OpenCL REQUIRED)
find_package(prometheus-cpp REQUIRED CONFIG)
find_package(ZLIB REQUIRED)
if(SIGHTGLASS_PYTHON)
  find_package(Python REQUIRED COMPONENTS Interpreter Development.Module OPTIONAL_COMPONENTS Development.Embed)
  find_package(nanobind REQUIRED CONFIG)
endif()
if(SIGHTGLASS_BENCH)
  find_package(benchmark REQUIRED CONFIG)
endif()

# Headers only: the library is found and loaded at run time.
find_path(ONNXRUNTIME_INCLUDE_DIR onnxruntime_c_api.h PATH_SUFFIXES onnxruntime REQUIRED)
add_library(onnxruntime::headers INTERFACE IMPORTED)
target_include_directories(onnxruntime::headers INTERFACE ${ONNXRUNTIME_INCLUDE_DIR})
find_path(DLPACK_INCLUDE_DIR dlpack/dlpack.h REQUIRED)
add_library(dlpack::headers INTERFACE IMPORTED)
target_include_directories(dlpack::headers INTERFACE ${DLPACK_INCLUDE_DIR})

# Debian's OpenCVConfig.cmake wants every module installed.
find_path(OPENCV_INCLUDE_DIR opencv2/core.hpp PATH_SUFFIXES opencv4 REQUIRED)
foreach(module IN ITEMS core imgproc)
  find_library(OPENCV_${module}_LIBRARY opencv_${module} REQUIRED)
  add_library(opencv::${module} UNKNOWN IMPORTED)
  set_target_properties(opencv::${module} PROPERTIES IMPORTED_LOCATION ${OPENCV_${module}_LIBRARY}
                        INTERFACE_INCLUDE_DIRECTORIES ${OPENCV_INCLUDE_DIR})
endforeach()
target_link_libraries(opencv::imgproc INTERFACE opencv::core)

# Optional, for the module torch. Debian's TorchConfig.cmake wants all of Caffe2.
option(SIGHTGLASS_TORCH "Build the module torch where libtorch is installed" ON)
if(SIGHTGLASS_TORCH)
  find_path(TORCH_INCLUDE_DIR torch/script.h)
  foreach(part IN ITEMS torch torch_cpu c10)
    find_library(TORCH_${part}_LIBRARY ${part})
  endforeach()
  if(TORCH_INCLUDE_DIR AND TORCH_torch_LIBRARY AND TORCH_torch_cpu_LIBRARY AND TORCH_c10_LIBRARY)
    add_library(torch::torch INTERFACE IMPORTED)
    target_include_directories(torch::torch INTERFACE ${TORCH_INCLUDE_DIR} ${TORCH_INCLUDE_DIR}/torch/csrc/api/include)
    target_link_libraries(torch::torch INTERFACE ${TORCH_torch_LIBRARY} ${TORCH_torch_cpu_LIBRARY} ${TORCH_c10_LIBRARY})
  endif()
endif()
