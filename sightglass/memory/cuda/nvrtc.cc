#include "sightglass/memory/cuda/nvrtc.h"

#include <dlfcn.h>

#include <algorithm>
#include <format>
#include <memory>
#include <utility>

#include "sightglass/memory/cuda/kernel_cache.h"

namespace sightglass {
namespace {

// As in nvrtc.h, which is not needed to build this.
struct Program;
struct Compiler {
  int (*version)(int*, int*);
  int (*create)(Program**, const char*, const char*, int, const char* const*, const char* const*);
  int (*destroy)(Program**);
  int (*compile)(Program*, int, const char* const*);
  int (*binary_size)(Program*, size_t*);
  int (*binary)(Program*, char*);
  int (*log_size)(Program*, size_t*);
  int (*log)(Program*, char*);
  const char* (*error_string)(int);
};

template <class Function>
bool find(void* library, const char* name, Function*& function) {
  function = reinterpret_cast<Function*>(dlsym(library, name));
  return function;
}

Result<const Compiler*> open() {
  static Compiler c;
  void* library = nullptr;
  for (const char* name : {"libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"})
    if ((library = dlopen(name, RTLD_NOW | RTLD_LOCAL))) break;
  if (!library)
    return fail(ErrorCode::unavailable,
                "CUDA kernels have to be compiled for this device, and NVRTC is not "
                "found (libnvrtc.so.13 or .12)");
  const bool found =
      find(library, "nvrtcVersion", c.version) && find(library, "nvrtcCreateProgram", c.create) &&
      find(library, "nvrtcDestroyProgram", c.destroy) && find(library, "nvrtcCompileProgram", c.compile) &&
      find(library, "nvrtcGetCUBINSize", c.binary_size) && find(library, "nvrtcGetCUBIN", c.binary) &&
      find(library, "nvrtcGetProgramLogSize", c.log_size) && find(library, "nvrtcGetProgramLog", c.log) &&
      find(library, "nvrtcGetErrorString", c.error_string);
  if (!found) return fail(ErrorCode::unavailable, "NVRTC is too old: {}", dlerror());
  return &c;
}

}  // namespace

Result<CompiledKernels> compile_kernels(const std::string& name, const std::string& text, int capability,
                                        bool anew) {
  static const Result<const Compiler*> opened = open();
  if (!opened) return std::unexpected(opened.error());
  const Compiler& c = **opened;
  int major = 0, minor = 0;
  c.version(&major, &minor);
  const std::string compiler = std::format("NVRTC {}.{}", major, minor);
  const KernelKey key{.name = name, .text = text, .capability = capability, .compiler = compiler};
  if (!anew)
    if (auto kept = find_kernels(key)) return CompiledKernels{*std::move(kept), compiler};
  Program* program = nullptr;
  if (const int code = c.create(&program, text.c_str(), (name + ".cu").c_str(), 0, nullptr, nullptr))
    return fail(ErrorCode::internal, "{}: NVRTC: {}", name, c.error_string(code));
  const auto destroy = [&](Program* made) { c.destroy(&made); };
  const std::unique_ptr<Program, decltype(destroy)> owner(program, destroy);
  const std::string architecture = std::format("--gpu-architecture=sm_{}", capability);
  const char* const options[] = {architecture.c_str(), "--std=c++17"};
  if (const int code = c.compile(program, 2, options)) {
    size_t size = 0;
    c.log_size(program, &size);
    std::string log(size, '\0');
    c.log(program, log.data());
    log.resize(std::min({log.find('\0'), log.size(), size_t(2000)}));
    std::ranges::replace(log, '\n', ' ');
    return fail(ErrorCode::internal, "{}: NVRTC: {}: {}", name, c.error_string(code), log);
  }
  size_t size = 0;
  CompiledKernels compiled;
  c.binary_size(program, &size);
  compiled.binary.resize(size);
  if (const int code = c.binary(program, reinterpret_cast<char*>(compiled.binary.data())))
    return fail(ErrorCode::internal, "{}: NVRTC: {}", name, c.error_string(code));
  compiled.compiler = compiler;
  keep_kernels(key, compiled.binary);
  return compiled;
}

}  // namespace sightglass
