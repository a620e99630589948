# What `cmake --install` puts where, by component, and the Debian packages made of the components with cpack:
#
#   memory    libsightglass-memory.so and the back ends that need nothing else of ours; usable alone
#   runtime   libsightglass.so, its back ends, the GStreamer plug-in, the program, the model manifests
#   torch     the back end that needs libtorch, so that nobody else has to have that
#   python    the Python package
#   dev       headers, what find_package(sightglass) and pkg-config read
#
# Back ends are loaded when needed, so the packages recommend their libraries and do not depend on them.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

install(TARGETS sightglass_memory LIBRARY COMPONENT memory NAMELINK_COMPONENT dev)
install(TARGETS sightglass LIBRARY COMPONENT runtime NAMELINK_COMPONENT dev)
install(TARGETS sightglass_program RUNTIME COMPONENT runtime)
install(TARGETS gstsightglass LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}/gstreamer-1.0 COMPONENT runtime)

get_property(modules GLOBAL PROPERTY SIGHTGLASS_MODULES)
foreach(module IN LISTS modules)
  get_target_property(base ${module} SIGHTGLASS_BASE)
  set(component runtime)
  if(module STREQUAL sightglass_torch)
    set(component torch)
  elseif(base STREQUAL sightglass_memory)
    set(component memory)
  endif()
  install(TARGETS ${module} LIBRARY COMPONENT ${component} NAMELINK_COMPONENT dev)
endforeach()

install(DIRECTORY models DESTINATION ${CMAKE_INSTALL_DATADIR}/sightglass COMPONENT runtime)
install(FILES sightglass/model/tfjs/tfjs_to_onnx.py DESTINATION ${CMAKE_INSTALL_DATADIR}/sightglass/tfjs
        COMPONENT runtime)

# The public interface; what stands beside it for the sources alone is left out.
install(DIRECTORY sightglass/core sightglass/memory
        DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/sightglass COMPONENT dev FILES_MATCHING PATTERN "*.h"
        PATTERN map_planner.h EXCLUDE PATTERN aligned_bytes.h EXCLUDE PATTERN allocation_count.h EXCLUDE PATTERN folder.h EXCLUDE
        PATTERN cl.h EXCLUDE PATTERN cuda_block.h EXCLUDE PATTERN cuda_context.h EXCLUDE PATTERN cuda_driver.h EXCLUDE
        PATTERN kernel_cache.h EXCLUDE PATTERN nvrtc.h EXCLUDE
        PATTERN cuda_emulation.h EXCLUDE PATTERN cuda_half.h EXCLUDE
        PATTERN mat_memory.h EXCLUDE PATTERN opencl_block.h EXCLUDE PATTERN opencl_context.h EXCLUDE
        PATTERN opencl_error.h EXCLUDE PATTERN opencl_probe.h EXCLUDE 
        PATTERN umat_memory.h EXCLUDE PATTERN av_picture.h EXCLUDE PATTERN pixel_formats.h EXCLUDE PATTERN "*_internal.h" EXCLUDE)
install(FILES sightglass/decoder.h sightglass/frame_function.h sightglass/function.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/sightglass COMPONENT dev)
install(FILES sightglass/flow/flow.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/sightglass/flow COMPONENT dev)
install(FILES sightglass/elements/availability.h sightglass/elements/module_element.h sightglass/elements/plugins.h
        DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/sightglass/elements COMPONENT dev)
# Adapters of one's own (docs/write-an-adapter.md).
install(FILES sightglass/adapters/adapter.h sightglass/adapters/module_adapter.h sightglass/adapters/record.h
        DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/sightglass/adapters COMPONENT dev)
install(FILES sightglass/adapters/sources/access_units.h sightglass/adapters/sources/frame_messages.h
        DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/sightglass/adapters/sources COMPONENT dev)
install(FILES sightglass/stream/delivery.h sightglass/stream/limits.h sightglass/stream/recycler.h sightglass/stream/uuid.h
              ${PROJECT_BINARY_DIR}/sightglass/stream/messages.h
        DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/sightglass/stream COMPONENT dev)
install(FILES sightglass/model/description.h sightglass/model/engine.h sightglass/model/labels.h
              sightglass/model/session.h sightglass/model/signature.h
        DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/sightglass/model COMPONENT dev)

# find_package(sightglass COMPONENTS memory elements gst …) and pkg-config.
list(TRANSFORM modules REPLACE "^sightglass_" "" OUTPUT_VARIABLE SIGHTGLASS_MODULE_NAMES)
list(JOIN SIGHTGLASS_MODULE_NAMES " " SIGHTGLASS_MODULE_NAMES)
configure_package_config_file(cmake/sightglassConfig.cmake.in sightglassConfig.cmake
  INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/sightglass PATH_VARS CMAKE_INSTALL_INCLUDEDIR CMAKE_INSTALL_LIBDIR)
write_basic_package_version_file(sightglassConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/sightglassConfig.cmake ${CMAKE_CURRENT_BINARY_DIR}/sightglassConfigVersion.cmake
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/sightglass COMPONENT dev)
file(RELATIVE_PATH PKGCONFIG_TO_PREFIX /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
foreach(package IN ITEMS sightglass-memory sightglass)
  configure_file(cmake/${package}.pc.in ${package}.pc @ONLY)
  install(FILES ${CMAKE_CURRENT_BINARY_DIR}/${package}.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT dev)
endforeach()

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME sightglass)
set(CPACK_PACKAGE_VENDOR Sightglass)
set(CPACK_PACKAGE_CONTACT "Sightglass <sightglass@localhost>")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_COMPONENTS_ALL memory runtime dev)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_MEMORY_PACKAGE_NAME libsightglass-memory${PROJECT_VERSION_MAJOR})
set(CPACK_DEBIAN_MEMORY_PACKAGE_SECTION libs)
set(CPACK_DEBIAN_MEMORY_DESCRIPTION "Memory interop between media and inference frameworks")
set(CPACK_DEBIAN_MEMORY_PACKAGE_DEPENDS "libc6, libstdc++6 (>= 14)")
set(CPACK_DEBIAN_MEMORY_PACKAGE_RECOMMENDS
    "libopencv-imgproc410, ocl-icd-libopencl1, libswscale8, libgstreamer-plugins-base1.0-0, libgstreamer-plugins-bad1.0-0")
set(CPACK_DEBIAN_RUNTIME_PACKAGE_NAME sightglass)
set(CPACK_DEBIAN_RUNTIME_PACKAGE_SECTION video)
set(CPACK_DEBIAN_RUNTIME_DESCRIPTION "Streaming video analytics: elements, GStreamer plug-in and program")
set(CPACK_DEBIAN_RUNTIME_PACKAGE_DEPENDS
    "libsightglass-memory${PROJECT_VERSION_MAJOR} (= ${PROJECT_VERSION}), libyaml-cpp0.8, libfreetype6, libhwy1t64, fonts-dejavu-core, gstreamer1.0-plugins-base, gstreamer1.0-plugins-good, libgstreamer-plugins-bad1.0-0")
set(CPACK_DEBIAN_RUNTIME_PACKAGE_RECOMMENDS "libonnxruntime1.21, gstreamer1.0-libav, gstreamer1.0-plugins-bad, libavformat61, libavdevice61, libgstrtspserver-1.0-0, libhiredis1.1.0, libmosquitto1, python3-onnx")
set(CPACK_DEBIAN_DEV_PACKAGE_NAME libsightglass-dev)
set(CPACK_DEBIAN_DEV_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEV_DESCRIPTION "Headers and build files of Sightglass")
set(CPACK_DEBIAN_DEV_PACKAGE_DEPENDS "sightglass (= ${PROJECT_VERSION})")
if(TARGET sightglass_torch)
  list(APPEND CPACK_COMPONENTS_ALL torch)
  set(CPACK_DEBIAN_TORCH_PACKAGE_NAME libsightglass-torch${PROJECT_VERSION_MAJOR})
  set(CPACK_DEBIAN_TORCH_PACKAGE_SECTION libs)
  set(CPACK_DEBIAN_TORCH_DESCRIPTION "libtorch as an engine of Sightglass")
  set(CPACK_DEBIAN_TORCH_PACKAGE_DEPENDS "sightglass (= ${PROJECT_VERSION}), libtorch2.6")
endif()
if(TARGET sightglass_python)
  list(APPEND CPACK_COMPONENTS_ALL python)
  set(CPACK_DEBIAN_PYTHON_PACKAGE_NAME python3-sightglass)
  set(CPACK_DEBIAN_PYTHON_PACKAGE_SECTION python)
  set(CPACK_DEBIAN_PYTHON_DESCRIPTION "Sightglass for Python")
  set(CPACK_DEBIAN_PYTHON_PACKAGE_DEPENDS "sightglass (= ${PROJECT_VERSION}), python3 (>= 3.13), python3 (<< 3.14), python3-numpy")
  set(CPACK_DEBIAN_PYTHON_PACKAGE_RECOMMENDS "python3-gst-1.0")
endif()
include(CPack)
