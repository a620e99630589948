#include "sightglass/model/onnx/onnx_library.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "sightglass/model/onnx/onnx_engine.h"

namespace sightglass {
namespace {

namespace fs = std::filesystem;

// The API of Debian 13's headers, and the oldest library that has it. A higher one must not even be asked
// for: the library would print.
constexpr uint32_t api_version = 21;
static_assert(ORT_API_VERSION >= api_version);

// y = Identity(x), one float.
constexpr uint8_t identity_model[] = {
    0x08, 0x08, 0x3a, 0x37, 0x0a, 0x10, 0x0a, 0x01, 0x78, 0x12, 0x01, 0x79, 0x22, 0x08, 0x49, 0x64, 0x65,
    0x6e, 0x74, 0x69, 0x74, 0x79, 0x12, 0x01, 0x69, 0x5a, 0x0f, 0x0a, 0x01, 0x78, 0x12, 0x0a, 0x0a, 0x08,
    0x08, 0x01, 0x12, 0x04, 0x0a, 0x02, 0x08, 0x01, 0x62, 0x0f, 0x0a, 0x01, 0x79, 0x12, 0x0a, 0x0a, 0x08,
    0x08, 0x01, 0x12, 0x04, 0x0a, 0x02, 0x08, 0x01, 0x42, 0x04, 0x0a, 0x00, 0x10, 0x0d};

// Nothing is written to stderr while one of these lives.
class QuietStderr {
 public:
  QuietStderr() {
    fflush(stderr);
    saved_ = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
    const int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (saved_ >= 0 && null >= 0) dup2(null, STDERR_FILENO);
    if (null >= 0) close(null);
  }
  ~QuietStderr() {
    fflush(stderr);
    if (saved_ < 0) return;
    dup2(saved_, STDERR_FILENO);
    close(saved_);
  }
  QuietStderr(const QuietStderr&) = delete;

 private:
  int saved_ = -1;
};

// "1.21.0" → 21
int minor_version(const std::string& version) {
  const size_t dot = version.find('.');
  return dot == version.npos ? 0 : std::atoi(version.c_str() + dot + 1);
}

Result<OnnxLibrary> open_library(const std::string& name) {
  void* handle = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!handle) return fail(ErrorCode::unavailable, "{}", dlerror());
  const auto get_base = reinterpret_cast<const OrtApiBase* (*)()>(dlsym(handle, "OrtGetApiBase"));
  if (!get_base) return fail(ErrorCode::unavailable, "{} is not ONNX Runtime: it has no OrtGetApiBase", name);

  OnnxLibrary library;
  library.info.version = get_base()->GetVersionString();
  library.info.library = name;
  Dl_info where{};
  if (dladdr(reinterpret_cast<void*>(get_base), &where) && where.dli_fname)
    library.info.library = where.dli_fname;
  const int minor = minor_version(library.info.version);
  const OrtApi* api = minor >= int(api_version) ? get_base()->GetApi(api_version) : nullptr;
  if (!api)
    return fail(ErrorCode::unavailable, "{} is ONNX Runtime {}; 1.{} or newer is needed",
                library.info.library, library.info.version, api_version);
  Ort::InitApi(api);
  try {
    // Errors come back as values; at a lower level a failing model would also print a line per frame.
    library.env = new Ort::Env(ORT_LOGGING_LEVEL_FATAL, "sightglass");
    library.env->DisableTelemetryEvents();
    if (minor < 22) {
      // Debian's build prints hundreds of "Schema error" lines when the first session is made, whatever the
      // log level. Let it be this one.
      const QuietStderr quiet;
      Ort::SessionOptions options;
      options.SetIntraOpNumThreads(1);
      Ort::Session(*library.env, identity_model, sizeof identity_model, options);
    }
  } catch (const Ort::Exception& error) {
    return fail(ErrorCode::unavailable, "{} does not start: {}", library.info.library,
                one_line(error.what()));
  }
  return library;
}

Result<OnnxLibrary> find_library() {
  setenv("ORT_DISABLE_TELEMETRY", "1", 1);
  if (const char* wanted = std::getenv("SIGHTGLASS_ONNXRUNTIME"); wanted && *wanted) {
    Result<OnnxLibrary> library = open_library(wanted);
    if (!library) library.error().message = "SIGHTGLASS_ONNXRUNTIME: " + library.error().message;
    return library;
  }
  std::string note;
  std::error_code ignored;
  if (const fs::path fetched = onnxruntime_path(); fs::exists(fetched, ignored)) {
    Result<OnnxLibrary> library = open_library(fetched.string());
    if (library) return library;
    note = library.error().message;
  }
  for (const char* name : {"libonnxruntime.so.1.21", "libonnxruntime.so.1", "libonnxruntime.so"}) {
    Result<OnnxLibrary> library = open_library(name);
    if (!library) continue;
    library->info.note = std::move(note);
    return library;
  }
  return fail(ErrorCode::unavailable,
              "ONNX Runtime is not installed: no libonnxruntime.so, and none in {}{}{}; install Debian's "
              "libonnxruntime1.21, or set "
              "SIGHTGLASS_ONNXRUNTIME to a library file",
              onnxruntime_path().parent_path().string(), note.empty() ? "" : ": ", note);
}

}  // namespace

fs::path onnxruntime_path() {
  const auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return fs::path(value ? value : "");
  };
  fs::path cache = variable("SIGHTGLASS_CACHE");
  if (cache.empty()) {
    cache = variable("XDG_CACHE_HOME");
    if (cache.empty()) cache = variable("HOME") / ".cache";
    cache /= "sightglass";
  }
  return cache / "engines" / "onnxruntime" / "libonnxruntime.so.1";
}

Result<const OnnxLibrary*> onnx_library() {
  static const Result<OnnxLibrary> library = find_library();
  if (!library) return std::unexpected(library.error());
  return &*library;
}

std::string one_line(const char* text) {
  std::string line;
  for (const char* c = text; *c; ++c) {
    const bool space = *c == '\n' || *c == '\r' || *c == '\t' || *c == ' ';
    if (space && (line.empty() || line.back() == ' ')) continue;
    line += space ? ' ' : *c;
  }
  while (!line.empty() && line.back() == ' ') line.pop_back();
  return line;
}

}  // namespace sightglass
