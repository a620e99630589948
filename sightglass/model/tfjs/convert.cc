#include "sightglass/model/tfjs/convert.h"

#include "sightglass/model/process.h"
#include "sightglass/model/sha256.h"
#include "sightglass/model/store.h"

namespace sightglass {
namespace {

namespace fs = std::filesystem;

Result<fs::path> script() {
  // In the source tree it lies beside this file; an installation has it beside the manifests.
  for (const char* place : {"sightglass/model/tfjs/tfjs_to_onnx.py", "tfjs/tfjs_to_onnx.py"})
    if (std::error_code error; fs::is_regular_file(data_dir() / place, error)) return data_dir() / place;
  return fail(ErrorCode::unavailable,
              "{}: the converter tfjs_to_onnx.py is not there; SIGHTGLASS_DATA_DIR names the data folder",
              data_dir().string());
}

}  // namespace

Status convert_tfjs(const fs::path& graph, const fs::path& onnx, const std::vector<std::string>& outputs) {
  auto converter = script();
  if (!converter) return forward_error(converter);
  std::vector<std::string> command = {"python3", "-B", converter->string(), fs::absolute(graph).string(),
                                      fs::absolute(onnx).string()};
  if (!outputs.empty()) {
    command.push_back("--outputs");
    command.insert(command.end(), outputs.begin(), outputs.end());
  }
  auto result = run_process(command, fs::current_path());
  if (!result)
    return fail(ErrorCode::unavailable, "converting {} needs Python: {}", graph.string(),
                result.error().message);
  if (result->exit_code != 0) {
    std::string reason = result->reason();
    if (reason.starts_with("error: ")) reason.erase(0, std::string_view("error: ").size());
    return fail(ErrorCode::corrupt, "{} cannot be converted: {}", graph.string(), reason);
  }
  return {};
}

Result<std::string> tfjs_converter_version() {
  auto converter = script();
  if (!converter) return forward_error(converter);
  std::string sums;
  for (const char* part : {"tfjs_model.py", "tfjs_ops.py", "tfjs_to_onnx.py"})
    sums += sha256_of_file(converter->parent_path() / part).value_or("");
  return sha256(sums);
}

}  // namespace sightglass
