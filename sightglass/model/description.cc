#include "sightglass/model/description.h"

#include <algorithm>
#include <iterator>

#include "sightglass/model/importers.h"
#include "sightglass/model/spelling.h"

namespace sightglass {
namespace {

namespace fs = std::filesystem;

Result<ModelInfo> import_model_proc_file(const fs::path& path) {
  auto text = read_description(path);
  if (!text) return forward_error(text);
  const Origin origin{OriginKind::model_proc, "model-proc " + path.filename().string()};
  const size_t first = text->find_first_not_of(" \t\r\n");
  const bool is_json =
      first != text->npos && (*text)[first] == '{' && text->find("sightglass_model") == text->npos;
  return is_json ? import_model_proc(*text, path.string(), path.parent_path(), origin)
                 : import_yaml(*text, path.string(), path.parent_path(), origin);
}

// OpenVINO's keys: rt_info of an IR, or entries "model_info KEY" of an ONNX file.
Result<ModelInfo> embedded_openvino(const fs::path& path, const ModelSignature& signature) {
  if (std::error_code error; path.extension() == ".xml" && fs::exists(path, error)) {
    auto model = read_openvino_xml(path);
    if (!model) return forward_error(model);
    return import_openvino(model->model_info, {OriginKind::metadata, "rt_info of the model (OpenVINO)"});
  }
  constexpr std::string_view prefix = "model_info ";
  std::map<std::string, std::string> keys;
  for (const auto& [key, value] : signature.metadata)
    if (key.starts_with(prefix)) keys[key.substr(prefix.size())] = value;
  return import_openvino(keys, {OriginKind::metadata, "metadata of the model (OpenVINO)"});
}

// ---- merging: `lower` fills in what `target` leaves open

// The keys that sources of rank 3 to 5 disagree on, by the pair of sources.
using Conflicts = std::map<std::pair<std::string, std::string>, std::vector<std::string>>;

bool may_conflict(OriginKind kind) {
  return kind >= OriginKind::sidecar && kind <= OriginKind::training_files;
}

struct Merge {
  Conflicts& conflicts;

  template <class T>
  void fill(const std::string& key, Known<T>& target, const Known<T>& lower) {
    if (!lower) return;
    if (!target) {
      target = lower;
    } else if (target.origin.kind != lower.origin.kind && may_conflict(target.origin.kind) &&
               may_conflict(lower.origin.kind) && value_text(*target) != value_text(*lower)) {
      conflicts[{target.origin.name, lower.origin.name}].push_back(key);
    }
  }

  void input(const std::string& path, InputInfo& target, const InputInfo& lower) {
    for_each_input_key([&](std::string_view key, auto& mine,
                           const auto& theirs) { fill(path + std::string(key), mine, theirs); },
                       target, lower);
  }

  void output(const std::string& path, OutputInfo& target, const OutputInfo& lower) {
    // Parameters belong to their decoder; those of another one mean nothing here.
    const bool same_decoder = !target.decoder || !lower.decoder || *target.decoder == *lower.decoder;
    for_each_output_key([&](std::string_view key, auto& mine,
                            const auto& theirs) { fill(path + std::string(key), mine, theirs); },
                        target, lower);
    if (same_decoder)
      for (const auto& [name, value] : lower.properties) fill(path + name, target.properties[name], value);
  }

  void inputs(std::vector<InputInfo>& target, const std::vector<InputInfo>& lower) {
    std::vector<bool> taken(lower.size());
    const auto take = [&](InputInfo& mine, size_t index, auto matches) {
      for (size_t i = 0; i < lower.size(); ++i) {
        if (taken[i] || !matches(lower[i])) continue;
        taken[i] = true;
        input(std::format("input[{}].", index), mine, lower[i]);
        return true;
      }
      return false;
    };
    // By name first; then those without a name, which want a picture rather than anything else.
    for (size_t i = 0; i < target.size(); ++i)
      if (target[i].layer)
        take(target[i], i,
             [&](const InputInfo& theirs) { return theirs.layer && *theirs.layer == *target[i].layer; });
    for (size_t i = 0; i < target.size(); ++i) {
      const auto unnamed = [&](const InputInfo& theirs) { return !target[i].layer || !theirs.layer; };
      const auto picture = [&](const InputInfo& theirs) {
        return unnamed(theirs) && (theirs.size || theirs.layout || theirs.color);
      };
      if (target[i].layer && std::ranges::any_of(lower, [&](const InputInfo& theirs) {
            return theirs.layer && *theirs.layer == *target[i].layer;
          }))
        continue;
      if (!take(target[i], i, picture)) take(target[i], i, unnamed);
    }
    for (size_t i = 0; i < lower.size(); ++i)
      if (!taken[i]) target.push_back(lower[i]);
  }

  // The highest source that speaks of outputs says which there are.
  void outputs(std::vector<OutputInfo>& target, const std::vector<OutputInfo>& lower) {
    if (target.empty()) {
      target = lower;
      return;
    }
    for (size_t i = 0; i < target.size(); ++i)
      for (const OutputInfo& theirs : lower) {
        const bool both_named = target[i].layers && theirs.layers;
        if (both_named ? *target[i].layers == *theirs.layers : target.size() == 1 && lower.size() == 1)
          output(std::format("output[{}].", i), target[i], theirs);
      }
  }

  void info(ModelInfo& target, const ModelInfo& lower) {
    fill("name", target.name, lower.name);
    fill("task", target.task, lower.task);
    inputs(target.inputs, lower.inputs);
    outputs(target.outputs, lower.outputs);
    target.warnings.insert(target.warnings.end(), lower.warnings.begin(), lower.warnings.end());
  }
};

// ---- what follows when all sources have spoken

std::vector<std::string> names_of(const std::vector<TensorInfo>& tensors) {
  std::vector<std::string> names;
  for (const TensorInfo& tensor : tensors) names.push_back(tensor.name);
  return names;
}

const TensorInfo* find_tensor(const std::vector<TensorInfo>& tensors, const std::string& name) {
  const auto found = std::ranges::find(tensors, name, &TensorInfo::name);
  return found == tensors.end() ? nullptr : &*found;
}

// Whether `input` can be the tensor at all.
Status check_input(const std::string& model, const InputInfo& input, const TensorInfo& tensor) {
  const Shape& shape = tensor.shape;
  if (shape.rank() != 3 && shape.rank() != 4) {
    if (!input.size) return {};
    return fail(ErrorCode::invalid_argument,
                "{}: input '{}' is {} and takes no picture, but {} describes one", model, tensor.name,
                shape.to_string(), input.size.origin.name);
  }
  if (!input.layout) return {};
  const size_t first = shape.rank() - 3;
  const bool chw = *input.layout == "nchw";
  const int64_t channels = chw ? shape[first] : shape[first + 2],
                height = chw ? shape[first + 1] : shape[first],
                width = chw ? shape[first + 2] : shape[first + 1];
  const auto wrong = [&](const auto& key, std::string_view name) {
    return fail(ErrorCode::invalid_argument, "{}: input '{}' is {}, which does not fit {} {} of {}", model,
                tensor.name, shape.to_string(), name, value_text(*key), key.origin.name);
  };
  if (channels > 4) return wrong(input.layout, "layout");
  if (input.size &&
      ((width > 0 && width != input.size->width) || (height > 0 && height != input.size->height)))
    return wrong(input.size, "size");
  if (input.color && channels > 0 && (channels == 1) != (*input.color == "gray"))
    return wrong(input.color, "color");
  if (channels <= 0) return {};
  const std::pair<const Known<std::vector<double>>*, std::string_view> lists[] = {
      {&input.mean, "mean"}, {&input.std, "std"}, {&input.pad_value, "pad_value"}};
  for (const auto& [list, name] : lists)
    if (*list && (*list)->size() != 1 && int64_t((*list)->size()) != channels) return wrong(*list, name);
  return {};
}

Status check_fit(const std::string& model, const ModelInfo& info, const ModelSignature& signature) {
  for (const InputInfo& input : info.inputs) {
    if (signature.inputs.empty() || !input.layer) continue;
    const TensorInfo* tensor = find_tensor(signature.inputs, *input.layer);
    if (!tensor) {
      const auto names = names_of(signature.inputs);
      return fail(ErrorCode::invalid_argument, "{}: {} describes input '{}', but the model's inputs are {}",
                  model, input.layer.origin.name, *input.layer, joined(names));
    }
    if (auto status = check_input(model, input, *tensor); !status) return status;
  }
  for (const OutputInfo& output : info.outputs) {
    if (signature.outputs.empty() || !output.layers) continue;
    for (const std::string& layer : *output.layers)
      if (!find_tensor(signature.outputs, layer)) {
        const auto names = names_of(signature.outputs);
        return fail(ErrorCode::invalid_argument,
                    "{}: {} describes output '{}', but the model's outputs are {}", model,
                    output.layers.origin.name, layer, joined(names));
      }
  }
  return {};
}

template <class T>
void say_default(Known<T>& key, T value) {
  if (!key) key = {std::move(value), {OriginKind::defaults, "default"}};
}

void apply_defaults(const fs::path& path, ModelInfo& info) {
  const std::string extension = path.extension().string();
  const bool torch = extension == ".pt" || extension == ".pth" || extension == ".pt2";
  say_default(info.name, path.stem().string());
  if (const InputInfo* picture = info.picture()) {
    InputInfo& input = info.inputs[size_t(picture - info.inputs.data())];
    say_default(input.color, std::string(torch ? "rgb" : "bgr"));
    say_default(input.resize, std::string(input.crop ? "crop" : "stretch"));
  }
  if (info.task || info.outputs.empty() || !info.outputs[0].decoder) return;
  static const std::map<std::string, std::string> tasks = {
      {"detection", "detect"}, {"yolo", "detect"},         {"ultraface", "detect"},  {"yunet", "detect"},
      {"gfl", "detect"},       {"centernet", "detect"},    {"ssd_anchor", "detect"}, {"label", "classify"},
      {"text", "classify"},    {"human_pose", "pose"},     {"embedding", "embed"},   {"ctc", "ocr"},
      {"add_params", "raw"},   {"segmentation", "segment"}};
  if (const auto found = tasks.find(*info.outputs[0].decoder); found != tasks.end())
    info.task = {found->second, info.outputs[0].decoder.origin};
}

}  // namespace

const InputInfo* ModelInfo::picture() const {
  const auto found = std::ranges::find_if(inputs, [](const InputInfo& input) {
    if (input.format && *input.format != "image") return false;
    return input.size || input.layout || input.color || input.resize || input.range || input.mean ||
           input.std;
  });
  return found == inputs.end() ? nullptr : &*found;
}

bool ModelInfo::described() const {
  const auto says = [](const auto& known) {
    return known && known.origin.kind <= OriginKind::training_files;
  };
  bool any = false;
  for (const InputInfo& input : inputs)
    for_each_input_key([&](std::string_view, const auto& known) { any |= says(known); }, input);
  for (const OutputInfo& output : outputs)
    for_each_output_key([&](std::string_view, const auto& known) { any |= says(known); }, output);
  return any;
}

Result<ModelInfo> describe_model(const fs::path& path, const ModelSignature& signature,
                                 const DescribeOptions& options) {
  std::vector<ModelInfo> sources;  // by precedence
  if (!options.model_proc.empty()) {
    auto info = import_model_proc_file(options.model_proc);
    if (!info) return forward_error(info);
    sources.push_back(std::move(*info));
  }
  fs::path sidecar = path;
  sidecar.replace_extension(".sightglass.yaml");
  if (std::error_code error; fs::exists(sidecar, error)) {
    auto text = read_description(sidecar);
    if (!text) return forward_error(text);
    auto info = import_yaml(*text, sidecar.string(), sidecar.parent_path(),
                            {OriginKind::sidecar, "description " + sidecar.filename().string()});
    if (!info) return forward_error(info);
    sources.push_back(std::move(*info));
  }
  if (const auto own = signature.metadata.find("sightglass"); own != signature.metadata.end()) {
    auto info = import_yaml(own->second, path.string() + " (metadata entry 'sightglass')", path.parent_path(),
                            {OriginKind::metadata, "metadata of the model (sightglass)"});
    if (!info) return forward_error(info);
    sources.push_back(std::move(*info));
  }
  sources.push_back(import_ultralytics(signature.metadata, signature,
                                       {OriginKind::metadata, "metadata of the model (Ultralytics)"}));
  auto openvino = embedded_openvino(path, signature);
  if (!openvino) return forward_error(openvino);
  sources.push_back(std::move(*openvino));
  std::ranges::move(import_training_files(path, signature), std::back_inserter(sources));
  sources.push_back(import_shapes(signature));

  ModelInfo result;
  Conflicts conflicts;
  for (const ModelInfo& source : sources) Merge{conflicts}.info(result, source);
  for (const auto& [pair, keys] : conflicts)
    result.warnings.push_back(std::format("{}: {} and {} disagree on {}; the former counts",
                                          path.filename().string(), pair.first, pair.second, joined(keys)));
  if (auto status = check_fit(path.string(), result, signature); !status) return forward_error(status);
  const bool described = result.described();
  apply_defaults(path, result);
  if (!described) {
    const InputInfo* picture = result.picture();
    result.warnings.push_back(std::format(
        "{}: nothing describes this model, so its input is taken as {}, 0..255, stretched; if that is "
        "wrong, write {} (see `sightglass models info`)",
        path.string(), picture ? *picture->color : "a picture", sidecar.filename().string()));
  }
  return result;
}

Result<ModelSignature> read_signature(const fs::path& path) {
  if (path.extension() != ".xml")
    return fail(ErrorCode::unsupported, "{}: only an engine can say what its inputs and outputs are",
                path.string());
  auto model = read_openvino_xml(path);
  if (!model) return forward_error(model);
  return std::move(model->signature);
}

}  // namespace sightglass
