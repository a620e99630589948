#include "sightglass/cli/models_command.h"

#include <algorithm>
#include <cstdio>
#include <memory>
#include <print>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "sightglass/model/description.h"
#include "sightglass/model/engine.h"
#include "sightglass/model/spelling.h"
#include "sightglass/model/store.h"
#include "sightglass/model/tfjs/convert.h"

namespace sightglass {
namespace {

namespace fs = std::filesystem;

constexpr size_t longest_value = 72;

[[noreturn]] void quit(const Error& error) {
  std::println(stderr, "error: {}", error.to_string());
  throw CLI::RuntimeError(1);
}

template <class T>
T need(Result<T> result) {
  if (!result) quit(result.error());
  return std::move(*result);
}

// The manifests of these names, all without any.
std::vector<Manifest> chosen(const std::vector<std::string>& names) {
  std::vector<Manifest> all = need(known_manifests());
  if (names.empty()) return all;
  std::vector<std::string> known;
  for (const Manifest& manifest : all) known.push_back(manifest.name);
  for (const std::string& name : names)
    if (std::ranges::find(known, name) == known.end())
      quit({ErrorCode::not_found,
            std::format("{}: no such model, video or engine{}; known are {}", name, did_you_mean(name, known),
                        joined(known)),
            {},
            {}});
  std::erase_if(
      all, [&](const Manifest& manifest) { return std::ranges::find(names, manifest.name) == names.end(); });
  return all;
}

std::string size_of_files(const Manifest& manifest) {
  uintmax_t bytes = 0;
  for (const fs::path& path : stored_paths(manifest)) {
    std::error_code error;
    const uintmax_t size = fs::file_size(path, error);
    if (!error) bytes += size;
  }
  return std::format("{:.1f} MB", double(bytes) / 1e6);
}

void list(const std::vector<std::string>& names, bool paths) {
  for (const Manifest& manifest : chosen(names)) {
    const bool stored = is_stored(manifest);
    if (!paths) {
      std::println("{:<12} {:<7} {:>11}  {:<11} {}", manifest.name, to_string(manifest.kind),
                   stored ? size_of_files(manifest) : "not fetched", manifest.licence, manifest.title);
    } else if (stored) {
      for (const fs::path& path : stored_paths(manifest))
        std::println("{}\t{}", manifest.name, path.string());
    }
  }
}

void fetch_command(const std::vector<std::string>& names, bool quiet) {
  const std::vector<Manifest> manifests = chosen(names);
  const auto errors = fetch(manifests, [&](std::string_view line) {
    if (!quiet) std::println(stderr, "{}", line);
  });
  for (const Error& error : errors) std::println(stderr, "error: {}", error.to_string());
  if (!errors.empty()) throw CLI::RuntimeError(1);
  if (!quiet)
    std::println("{} of {} are ready in {}", manifests.size(), manifests.size(), cache_dir().string());
}

void import(const std::string& graph, const std::string& onnx, const std::vector<std::string>& outputs) {
  if (auto status = convert_tfjs(graph, onnx, outputs); !status) quit(status.error());
  std::println("{}: written; describe it in {}", onnx,
               fs::path(onnx).replace_extension(".sightglass.yaml").string());
}

std::string shortened(const std::string& value) {
  if (value.size() <= longest_value) return value;
  size_t end = longest_value;
  while (end > 0 && (static_cast<unsigned char>(value[end]) & 0xC0) == 0x80)
    --end;  // not inside a UTF-8 character
  const auto items = std::ranges::count(value, ',') + 1;
  return value.substr(0, end) + (value.starts_with('<') ? std::format("… ({} items)", items) : "…");
}

std::string pipeline(const ModelInfo& info, const std::string& model) {
  const std::string task = info.task.value_or("raw"),
                    head = "gst-launch-1.0 filesrc location=VIDEO ! decodebin ! ",
                    tail = " ! meta_overlay ! videoconvert ! autovideosink";
  if (task == "detect" || task == "pose") return head + "object_detect model=" + model + tail;
  if (task == "segment") return head + "video_inference model=" + model + tail;
  if (task == "classify" || task == "ocr")
    return head + "object_detect model=DETECTOR ! object_classify model=" + model + tail;
  if (task == "embed") return head + "object_detect model=DETECTOR ! object_track model=" + model + tail;
  return head + "video_inference model=" + model +
         " ! gvametaconvert add-tensor-data=true ! gvametapublish ! fakesink";
}

void print_tensors(const char* title, const std::vector<TensorInfo>& tensors) {
  for (const TensorInfo& tensor : tensors)
    std::println("  {:<7} {}  {} {}", title, tensor.name, to_string(tensor.type), tensor.shape.to_string());
}

// By the engine that runs the model; where there is none, as far as the file can be read without.
ModelSignature signature_of(const fs::path& path) {
  auto engine = engine_for(path);
  if (engine) return need((*engine)->load(path, {}))->signature();
  auto signature = read_signature(path);
  if (!signature) quit(engine.error());
  std::println(stderr, "warning: it cannot be run here: {}", engine.error().message);
  return *std::move(signature);
}

void print_element(const std::string& element, const Settings& params) {
  std::string line = "  " + element;
  for (const auto& [name, value] : params) line += std::format(" {}={}", name, shortened(value));
  std::println("{}", line);
}

void info_command(const std::string& name, const std::string& model_proc) {
  const fs::path path = need(resolve_model(name));
  const ModelSignature signature = signature_of(path);
  const ModelInfo info = need(describe_model(path, signature, {.model_proc = model_proc}));

  std::println("{}", path.string());
  print_tensors("input", signature.inputs);
  print_tensors("output", signature.outputs);
  std::println("\nWhat is known, and from where:");
  const std::vector<DescribedKey> keys = described_keys(info);
  size_t key_width = 0, value_width = 0;
  for (const DescribedKey& key : keys) {
    key_width = std::max(key_width, key.key.size());
    value_width = std::max(value_width, std::min(key.value.size(), size_t{32}));
  }
  for (const DescribedKey& key : keys)
    std::println("  {:<{}}  {:<{}}  ({})", key.key, key_width, shortened(key.value), value_width, key.source);
  if (const auto missing = missing_keys(info, signature); !missing.empty()) {
    std::println("\nWhat is missing (to be written into {}):",
                 fs::path(path).replace_extension(".sightglass.yaml").filename().string());
    for (const std::string& line : missing) std::println("  {}", line);
  }
  for (const std::string& warning : info.warnings) std::println(stderr, "warning: {}", warning);
  std::println("\nElements before and after the network:");
  print_element("video_to_tensor", preprocess_params(info));
  for (const ElementSettings& element : postprocess_elements(info))
    print_element(element.element, element.params);
  std::println("\nPipeline:\n  {}", pipeline(info, path.string()));
  if (info.task.value_or("") == "detect") std::println("or:\n  sightglass detect VIDEO --model {}", name);
}

}  // namespace

void add_models_command(CLI::App& app) {
  struct Options {
    std::vector<std::string> names, outputs;
    std::string graph, onnx, file, model_proc;
    bool paths = false, quiet = false;
  };
  auto options = std::make_shared<Options>();  // lives as long as the callbacks
  CLI::App* models =
      app.add_subcommand("models", "Models, sample media and engines: list, fetch, import, describe");
  models->require_subcommand(1);

  CLI::App* listing =
      models->add_subcommand("list", "What is known by name, and whether it has been fetched");
  listing->add_option("names", options->names, "only these");
  listing->add_flag("--paths", options->paths, "only what has been fetched, as lines of name, tab, path");
  listing->callback([options] { list(options->names, options->paths); });

  CLI::App* fetching = models->add_subcommand("fetch", "Download, check and convert what is not there yet");
  fetching->add_option("names", options->names, "only these; all without any");
  fetching->add_flag("--quiet", options->quiet, "say nothing unless something fails");
  fetching->callback([options] { fetch_command(options->names, options->quiet); });

  CLI::App* importing = models->add_subcommand("import", "Make ONNX from a TensorFlow.js graph model");
  importing->add_option("graph", options->graph, "graph-model JSON, its weight files beside it")->required();
  importing->add_option("onnx", options->onnx, "file to write")->required();
  importing->add_option("--outputs", options->outputs,
                        "nodes to expose; all that no other consumes without any");
  importing->callback([options] { import(options->graph, options->onnx, options->outputs); });

  CLI::App* describing =
      models->add_subcommand("info", "What is understood of a model, from where, and what is missing");
  describing->add_option("model", options->file, "file, or name of a fetched model")->required();
  describing->add_option("--model-proc", options->model_proc,
                         "description to use: model-proc JSON or neutral YAML");
  describing->callback([options] { info_command(options->file, options->model_proc); });
}

}  // namespace sightglass
