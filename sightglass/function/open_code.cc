#include <atomic>
#include <filesystem>
#include <mutex>

#include "sightglass/function/user_code.h"
#include "sightglass/memory/module.h"

namespace sightglass::function {
namespace {

std::atomic<OpenCode> open_inline = nullptr;

std::mutex python_mutex;
std::string& python_program() {
  static std::string& program = *new std::string;
  return program;
}

}  // namespace

InlinePython::InlinePython(OpenCode open) { open_inline = open; }

void set_worker_python(std::string program) {
  std::lock_guard lock(python_mutex);
  python_program() = std::move(program);
}

std::string worker_python() {
  std::lock_guard lock(python_mutex);
  return python_program().empty() ? "python3" : python_program();
}

std::string python_package_folder() {
  const auto here = library_folder();
  // In the build folder, in an installation, in a wheel.
  for (const char* beside : {"../python", "python3/dist-packages", "../lib/python3/dist-packages",
                             "../python3/dist-packages", "../.."})
    if (std::error_code ignored;
        std::filesystem::exists(here / beside / "sightglass" / "__init__.py", ignored))
      return std::filesystem::weakly_canonical(here / beside, ignored).string();
  return {};
}

Result<std::shared_ptr<UserCode>> open_code(const CodeOptions& options) {
  if (options.path.empty())
    return fail(ErrorCode::invalid_argument,
                "a function needs a path: that of a shared object or a Python file");
  if (options.language == "cpp") return open_shared_object(options);
  if (options.language != "python")
    return fail(ErrorCode::invalid_argument, "functions are written in cpp or python, not in '{}'",
                options.language);
  if (options.isolation == "process") return open_workers(options);
  if (options.isolation != "inline")
    return fail(ErrorCode::invalid_argument, "isolation is process or inline, not '{}'", options.isolation);
  if (auto loaded = load_module("python-decoders"); !loaded) return forward_error(loaded);
  if (!open_inline)
    return fail(ErrorCode::internal, "the module python-decoders has been loaded, but runs no functions");
  return open_inline.load()(options);
}

}  // namespace sightglass::function
