#include "sightglass/model/engine.h"

#include <sched.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <fstream>
#include <mutex>
#include <thread>

#include "sightglass/model/module_engine.h"
#include "sightglass/model/onnx/onnx_engine.h"

namespace sightglass {
namespace {

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t");
  return first == text.npos ? "" : text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(separator, begin), text.size());
    parts.push_back(trimmed(text.substr(begin, end - begin)));
    begin = end + 1;
  }
  return parts;
}

// TorchScript; and what only looks like it, so that the engine can say what it is.
bool reads_torch_file(const std::filesystem::path& model) {
  constexpr std::string_view extensions[] = {".pt", ".pth", ".ts", ".pt2"};
  return std::ranges::find(extensions, model.extension()) != std::end(extensions) ||
         model.string().starts_with("torchvision.models.");
}

struct Added {
  std::mutex mutex;
  std::vector<Engine*> engines;
};

Added& added() {
  static Added& instance = *new Added;  // never destroyed: plug-ins register from their own start-up code
  return instance;
}

}  // namespace

Result<std::vector<std::string>> Engine::devices(std::string_view pattern) {
  return fail(ErrorCode::unavailable,
              "device={} is not usable: the engine {} runs models on the CPU; usable: CPU", pattern, name());
}

EngineRegistration::EngineRegistration(Engine& engine) {
  const std::lock_guard lock(added().mutex);
  added().engines.push_back(&engine);
}

std::vector<Engine*> engines() {
  static ModuleEngine torch("torch", reads_torch_file);
  std::vector<Engine*> all;
  {
    const std::lock_guard lock(added().mutex);
    all = added().engines;
  }
  all.push_back(&onnx_engine());
  all.push_back(&torch);
  return all;
}

Engine* find_engine(std::string_view name) {
  for (Engine* engine : engines())
    if (engine->name() == name) return engine;
  return nullptr;
}

Result<Engine*> engine_for(const std::filesystem::path& model) {
  for (Engine* engine : engines())
    if (engine->reads(model)) return engine;
  return fail(ErrorCode::unsupported,
              "{}: no engine for this kind of file; known are .onnx, .ort, .pt, .pth and .ts",
              model.string());
}

Engine* added_engine_for(const std::filesystem::path& model) {
  const std::lock_guard lock(added().mutex);
  for (Engine* engine : added().engines)
    if (engine->reads(model)) return engine;
  return nullptr;
}

Status check_model_file(const std::filesystem::path& path) {
  namespace fs = std::filesystem;
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status))
    return fail(ErrorCode::not_found,
                "{}: no such model file; check the path, or fetch it with `sightglass models fetch`",
                path.string());
  if (fs::is_directory(status))
    return fail(ErrorCode::invalid_argument, "{}: is a folder; name the model file in it", path.string());
  if (!std::ifstream(path, std::ios::binary))
    return fail(ErrorCode::io, "{}: the model file cannot be read; check its permissions", path.string());
  if (fs::is_regular_file(status) && fs::file_size(path, error) == 0)
    return fail(ErrorCode::corrupt, "{}: the model file is empty; fetch or export it again", path.string());
  return {};
}

Result<DeviceName> parse_device(std::string_view text) {
  std::string upper(trimmed(text));
  for (char& c : upper) c = c == '.' ? ':' : c >= 'a' && c <= 'z' ? char(c - 'a' + 'A') : c;
  const size_t colon = upper.find(':');
  const std::string kind = upper.substr(0, colon);
  DeviceName device;
  if (colon != upper.npos) {
    const char* end = upper.data() + upper.size();
    device.all = upper.substr(colon + 1) == "*" && (kind == "GPU" || kind == "CUDA");
    const auto [stop, error] = std::from_chars(upper.data() + colon + 1, end, device.index);
    if (!device.all && (error != std::errc() || stop != end || device.index < 0))
      return fail(ErrorCode::invalid_argument, "device={}: no device number behind the colon{}", text,
                  kind == "GPU" || kind == "CUDA" ? "; '*' there means all of them" : "");
  }
  if (kind == "CPU")
    device.kind = DeviceName::Kind::cpu;
  else if (kind == "GPU" || kind == "CUDA")
    device.kind = DeviceName::Kind::gpu;
  else if (kind == "AUTO")
    device.kind = DeviceName::Kind::automatic;
  else
    return fail(ErrorCode::unavailable,
                "device={} is not usable: this engine has no such device; there are CPU, GPU[.n], CUDA[:n], "
                "CUDA:*, AUTO",
                text);
  return device;
}

Result<std::vector<std::pair<std::string, std::string>>> parse_config(std::string_view text) {
  std::vector<std::pair<std::string, std::string>> entries;
  if (trimmed(text).empty()) return entries;
  for (std::string_view part : split(text, ',')) {
    const size_t equals = part.find('=');
    if (equals == part.npos || equals == 0)
      return fail(ErrorCode::invalid_argument, "config: '{}' is not KEY=VALUE", part);
    entries.emplace_back(trimmed(part.substr(0, equals)), trimmed(part.substr(equals + 1)));
  }
  return entries;
}

Result<std::vector<Shape>> parse_input_shapes(std::string_view text) {
  std::vector<Shape> shapes;
  if (trimmed(text).empty()) return shapes;
  for (std::string_view part : split(text, ',')) {
    const auto shape = shape_from_dimensions(part);
    if (!shape)
      return fail(
          ErrorCode::invalid_argument,
          "input-shape={}: '{}' is not a list of sizes, innermost first, such as 416:416:3:1 for 1x3x416x416",
          text, part);
    shapes.push_back(*shape);
  }
  return shapes;
}

Layout layout_of(const Shape& shape) {
  const auto channels = [](int64_t n) { return n == 1 || n == 3 || n == 4; };
  if (shape.rank() != 4 && shape.rank() != 3) return Layout::any;
  const size_t front = shape.rank() - 3;
  const bool first = channels(shape[front]), last = channels(shape.back());
  if (first == last) return Layout::any;
  if (shape.rank() == 4) return first ? Layout::nchw : Layout::nhwc;
  return first ? Layout::chw : Layout::hwc;
}

unsigned usable_cores() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return unsigned(std::max(1, CPU_COUNT(&set)));
  return std::max(1u, std::thread::hardware_concurrency());  // more cores than the set has room for
}

}  // namespace sightglass
