#include "sightglass/bins/inference_bins.h"

#include <algorithm>
#include <filesystem>

#include "sightglass/bins/inference_params.h"
#include "sightglass/bins/migration.h"
#include "sightglass/bins/preprocess_plan.h"
#include "sightglass/core/registry.h"
#include "sightglass/elements/availability.h"
#include "sightglass/elements/tensor_inference/tensor_inference.h"
#include "sightglass/model/labels.h"
#include "sightglass/model/store.h"

namespace sightglass {
namespace {

enum class Role { infer, detect, classify };

// Turns the values of one bin into its stages.
class Planner {
 public:
  Planner(InferenceWishes wishes, Role role)
      : wishes_(std::move(wishes)), params_(wishes_.params), role_(role) {}

  // `set` are the values as the user has set them.
  Result<Stages> plan(const ParamSet& set) {
    if (auto status = check_older_properties(set); !status) return forward_error(status);
    if (!params_.model.empty()) {
      if (auto status = load(set); !status) return forward_error(status);
    }
    if (auto status = plan_preprocessing(); !status) return forward_error(status);
    if (!params_.model.empty()) {
      plan_.stages[process] = {inference_};
      if (auto status = plan_postprocess(); !status) return forward_error(status);
    }
    plan_.stages[aggregate] = {{"meta_aggregate",
                                {{"attach-tensor-data", wishes_.attach_tensors ? "true" : "false"},
                                 {"write-roi-meta", params_.write_roi_meta ? "true" : "false"}}}};
    // On a device two workers with two batches each; every frame that waits for them is a surface of the
    // decoder.
    const unsigned usual = wishes_.is_on_cuda ? 4 : 2 * usable_cores();
    const unsigned batch = batch_size_, requests = params_.nireq ? params_.nireq : usual;
    plan_.queues = {batch + 2, batch + 2, batch * requests + 2, batch * requests + batch + 2, std::nullopt};
    // There pre-processing only puts a kernel into a queue of the device, so that the thread that brings the
    // frame can hand the tensor to the model as well: each change of threads would cost more than both.
    if (wishes_.is_on_cuda) plan_.queues[preprocess] = plan_.queues[process] = std::nullopt;
    return std::move(plan_);
  }

 private:
  Status check_older_properties(const ParamSet& set) {
    auto warnings = check_gva_properties(set);
    if (!warnings) return forward_error(warnings);
    plan_.warnings = *std::move(warnings);
    auto ignored = apply_pre_process_config(params_);
    if (!ignored) return forward_error(ignored);
    for (const auto& key : *ignored)
      plan_.warnings.push_back(std::format("pre-process-config: {} is ignored", key));
    if (params_.no_block) {
      plan_.leaky = true;
      plan_.warnings.emplace_back(
          "no-block: frames that come while the model is busy go on without results; only the latest one is "
          "kept for it");
    }
    for (const std::string_view several : {"MULTI:", "HETERO:"}) {
      if (!starts_with_no_case(params_.device, several)) continue;
      auto pieces = missing({Facility::openvino});
      pieces.emplace_back("no OpenVINO engine in this version");
      const std::string usable[] = {"CPU", "GPU[.n]", "CUDA[:n]", "CUDA:*", "AUTO"};
      return std::unexpected(availability_error("device=" + params_.device, pieces, usable));
    }
    return {};
  }

  static bool starts_with_no_case(std::string_view text, std::string_view start) {
    return text.size() >= start.size() &&
           std::ranges::equal(text.substr(0, start.size()), start,
                              [](char a, char b) { return (a >= 'a' && a <= 'z' ? a - 32 : a) == b; });
  }

  // Finds the model, opens its session (kept until the inference element has joined it) and describes it.
  Status load(const ParamSet& set) {
    auto path = resolve_model(params_.model);
    if (!path) return forward_error(path);
    if (path->extension() == ".xml") {
      auto pieces = missing({Facility::openvino});
      pieces.emplace_back("no OpenVINO engine in this version");
      const std::string usable[] = {"the .onnx form of the model", "the TorchScript form of the model"};
      return std::unexpected(availability_error("model=" + path->string(), pieces, usable));
    }
    const auto engine = engine_for(*path);
    if (!engine) return std::unexpected(engine.error());
    inference_ = {(*engine)->name() == "torch" ? "pytorch_tensor_inference" : "onnx_tensor_inference",
                  engine_settings(set, path->string())};
    auto session = open_model((*engine)->name());
    if (!session) return forward_error(session);
    if (const auto shape = wished_shape()) {
      inference_.params.emplace_back("input-shape", *shape);
      session = open_model((*engine)->name());
      if (!session) return forward_error(session);
    }
    auto info =
        describe_model(*path, (*session)->signature_with_constants(), {.model_proc = params_.model_proc});
    if (!info) return forward_error(info);
    info_ = std::move(*info);
    if (info_.name && info_.name.origin.kind == OriginKind::model_proc)
      inference_.params.emplace_back("model-name", *info_.name);
    std::ranges::copy(info_.warnings, std::back_inserter(plan_.warnings));
    if (const auto constants = constant_inputs(); !constants.empty() && signature_.inputs.size() > 1) {
      session->reset();
      plan_.keep_alive = nullptr;  // what was opened without them
      inference_.params.emplace_back("constant-inputs", "<" + constants + ">");
      session = open_model((*engine)->name());
      if (!session) return forward_error(session);
    }
    return check_inputs(path->string());
  }

  // What the user has set; the rest is left to whoever has opened the model under the same id.
  Settings engine_settings(const ParamSet& set, const std::string& path) const {
    Settings settings{{"model", path}, {"shared-instance-id", params_.model_instance_id}};
    const auto pass = [&](std::initializer_list<const char*> own, const char* name, std::string value) {
      const bool is_set =
          std::ranges::any_of(own, [&](const char* one) { return set.table().find(one) && set.is_set(one); });
      if (is_set || params_.model_instance_id.empty()) settings.emplace_back(name, std::move(value));
    };
    pass({"device"}, "device", params_.device);
    pass({"ie-config", "config"}, "config", params_.ie_config);
    pass({"batch-size"}, "batch-size", std::to_string(params_.batch_size));
    pass({"batch-timeout"}, "batch-timeout", std::to_string(params_.batch_timeout));
    pass({"nireq"}, "buffer-pool-size", std::to_string(params_.nireq));
    pass({"scheduling-policy"}, "scheduling-policy",
         params_.scheduling_policy == Policy::latency ? "latency" : "throughput");
    if (params_.strict_zero_copy) settings.emplace_back("strict-zero-copy", "true");
    return settings;
  }

  Result<std::shared_ptr<Session>> open_model(std::string_view engine) {
    ParamSet values(find_element(inference_.element)->params);
    for (const auto& [name, value] : inference_.params) {
      if (auto status = values.set_text(name, value); !status) return forward_error(status);
    }
    auto inference = std::make_shared<TensorInference>(values, engine);
    if (auto status = inference->start(); !status) return forward_error(status);
    std::shared_ptr<Session> session = inference->session();
    if (!session)
      return fail(ErrorCode::not_found, "nobody has opened the model {}", params_.model_instance_id);
    signature_ = session->signature();
    batch_size_ = unsigned(session->batch_size());
    const ContextRef device = session->device();
    wishes_.is_on_cuda = device && device->kind() == MemoryKind::cuda;
    // What differs from others' wishes the inference element itself says.
    if (!inference->joined())
      std::ranges::move(inference->take_warnings(), std::back_inserter(plan_.warnings));
    plan_.keep_alive = std::move(inference);
    return session;
  }

  // Inputs that need no picture, as `constant-inputs` of the engine wants them.
  std::string constant_inputs() const {
    const InputInfo* picture = info_.picture();
    std::string text;
    for (const InputInfo& input : info_.inputs) {
      const std::string format = input.format.value_or("image");
      if (format == "image" || !input.layer) continue;
      std::string values = "1";
      if (format == "image-info") {
        if (!picture || !picture->size) continue;
        values = std::format("{}:{}:1", picture->size->height, picture->size->width);
      }
      text += std::format("{}{}:{}", text.empty() ? "" : ",", *input.layer, values);
    }
    return text;
  }

  Status check_inputs(const std::string& path) const {
    if (signature_.inputs.size() != 1) {
      return fail(
          ErrorCode::unsupported,
          "{}: the model has {} inputs ({}), but only the picture can be given to it, and what model-proc "
          "calls image_info or sequence_index; build the stages by hand",
          path, signature_.inputs.size(), shapes(signature_.inputs));
    }
    const Shape& shape = signature_.inputs[0].shape;
    if (shape.rank() > 3 && shape[0] > 1) {
      return fail(
          ErrorCode::unsupported,
          "{}: the batch size is fixed at {}, but not every output has a row per sample ({}); export the "
          "model with a batch of 1 or a free one",
          path, shape[0], shapes(signature_.outputs));
    }
    return {};
  }

  // `reshape` of the gva elements as the engine's input-shape: width and height where the model leaves them
  // open.
  std::optional<std::string> wished_shape() {
    if (!params_.reshape && params_.reshape_width == 0 && params_.reshape_height == 0) return std::nullopt;
    const Shape shape = signature_.inputs.empty() ? Shape{} : signature_.inputs[0].shape;
    const size_t height = layout_of(shape) == Layout::nhwc ? 1 : 2, width = height + 1;
    const bool is_free = shape.rank() == 4 && (shape[height] < 0 || shape[width] < 0);
    if (!is_free || params_.reshape_width == 0 || params_.reshape_height == 0) {
      plan_.warnings.emplace_back(is_free ? "reshape is ignored: give reshape-width and reshape-height"
                                          : "reshape is ignored: the model takes pictures of one size only");
      return std::nullopt;
    }
    std::string text;  // innermost first, 0: as it is
    for (size_t axis = 4; axis-- > 0;) {
      const unsigned size = axis == width    ? params_.reshape_width
                            : axis == height ? params_.reshape_height
                                             : 0;
      text += std::format("{}{}", text.empty() ? "" : ":", size);
    }
    return text;
  }

  Status plan_preprocessing() {
    auto made = plan_preprocess(wishes_, info_, MemoryKind::system);
    if (!made) return forward_error(made);
    plan_.stages[preprocess] = std::move(made->stage);
    plan_.needs = std::move(made->needs);
    if (params_.backend == Backend::automatic)
      plan_.preprocess_for = [wishes = wishes_, info = info_](MemoryKind memory) {
        return plan_preprocess(wishes, info, memory);
      };
    return {};
  }

  static std::string shapes(const std::vector<TensorInfo>& tensors) {
    std::string text;
    for (const auto& tensor : tensors) {
      text += std::format("{}{} {} {}", text.empty() ? "" : ", ", tensor.name, to_string(tensor.type),
                          tensor.shape.to_string());
    }
    return text;
  }

  Status plan_postprocess() {
    if (role_ == Role::detect &&
        std::ranges::none_of(info_.outputs, [](const OutputInfo& output) { return bool(output.decoder); })) {
      return fail(ErrorCode::invalid_argument,
                  "{}: nothing says how to decode the outputs ({}); describe them in a .sightglass.yaml "
                  "beside the model or with model-proc",
                  params_.model, shapes(signature_.outputs));
    }
    auto& stage = plan_.stages[postprocess];
    stage = postprocess_elements(info_);
    if (stage.empty()) stage.push_back({"tensor_postproc_add_params", {}});  // nothing says what they mean
    for (auto& element : stage) {
      if (auto status = override_settings(element); !status) return status;
    }
    if (wishes_.repeat) stage.push_back({"meta_smooth", {}});
    return {};
  }

  // Properties of the bin count more than the description, for every output that has them.
  Status override_settings(ElementSettings& element) const {
    const auto* desc = find_element(element.element);
    if (!desc)
      return fail(ErrorCode::unsupported, "{}: there is no decoder {} in this build", params_.model,
                  element.element);
    const auto set = [&](const char* name, std::string value) {
      if (!desc->params.find(name)) return;
      std::erase_if(element.params, [&](const auto& known) { return known.first == name; });
      element.params.emplace_back(name, std::move(value));
    };
    const bool described =
        std::ranges::contains(element.params, "threshold", &std::pair<std::string, std::string>::first);
    if (const auto least = wishes_.threshold || described ? wishes_.threshold : wishes_.usual_threshold)
      set("threshold", std::format("{}", *least));
    if (wishes_.iou_threshold) set("iou-threshold", std::format("{}", *wishes_.iou_threshold));
    if (!params_.labels.empty()) {
      const auto layer =
          std::ranges::find(element.params, "layer-name", &std::pair<std::string, std::string>::first);
      auto labels = resolve_labels(params_.labels, {}, layer == element.params.end() ? "" : layer->second);
      if (!labels) return forward_error(labels);
      set("labels", labels_text(*labels));
    }
    if (!params_.labels_file.empty()) set("labels-file", params_.labels_file);
    return {};
  }

  InferenceWishes wishes_;
  InferenceParams& params_;  // of the wishes
  const Role role_;
  Stages plan_;
  ElementSettings inference_;
  ModelSignature signature_;
  unsigned batch_size_ = 1;
  ModelInfo info_;
};

template <class P, Role role>
Result<Stages> build(const ParamSet& params) {
  auto wished = wishes(params.as<P>(), params);
  if (!wished) return forward_error(wished);
  return Planner(*std::move(wished), role).plan(params);
}

// The selectors as their elements are told them. What does not hold they are told as it is: they say so and
// go on with what they had.
void live_selectors(const ParamSet& params, const ElementDesc& element, Settings& settings) {
  if (!params.table().find("select")) return;
  const auto text = [&](const char* name) { return to_string(params.get(name).value()); };
  const std::string select = text("select"), when = text("when");
  const auto read = read_selectors(select, when);
  if (element.name == "roi_split" && params.is_set("select"))
    settings.emplace_back("select", read ? read->objects : select);
  if (element.name != "rate_adjust") return;
  if (params.is_set("when") || params.is_set("select"))
    settings.emplace_back("when", read ? read->frames : when);
  if (params.is_set("reuse-growth")) settings.emplace_back("reuse-growth", text("reuse-growth"));
}

// Live values go to every element that has a parameter of that name.
Settings live(const ParamSet& params, const ElementDesc& element) {
  Settings settings;
  const bool is_gva = params.table().find("no-block") != nullptr;
  for (const char* name : {"threshold", "iou-threshold", "object-class", "batch-timeout"}) {
    const auto* param = element.params.find(name);
    if (!param || !params.is_set(name)) continue;
    // 0 is what the description says, which the element has got at the start.
    const auto value = params.get(name);
    if (!value || (*value == ParamValue(0.0) && !(is_gva && name == std::string_view("threshold")))) continue;
    auto text = to_string(*value);
    if (param->parse(text)) settings.emplace_back(name, std::move(text));
  }
  live_selectors(params, element, settings);
  return settings;
}

}  // namespace

std::vector<const BinDesc*> inference_bins() {
  static const BinDesc gvainference{"gvainference",
                                    "Inference (gva name)",
                                    "Bin/Analyzer/Video",
                                    "video_inference under its older name",
                                    gvainference_params(),
                                    build<InferenceParams, Role::infer>,
                                    live};
  static const BinDesc gvadetect{"gvadetect",
                                 "Object detection (gva name)",
                                 "Bin/Analyzer/Video",
                                 "object_detect under its older name",
                                 gvadetect_params(),
                                 build<GvaDetectParams, Role::detect>,
                                 live};
  static const BinDesc gvaclassify{"gvaclassify",
                                   "Object classification (gva name)",
                                   "Bin/Analyzer/Video",
                                   "object_classify under its older name",
                                   gvaclassify_params(),
                                   build<ClassifyParams, Role::classify>,
                                   live};
  static const BinDesc video_inference{
      "video_inference",
      "Video inference",
      "Bin/Analyzer/Video",
      "Runs a model on frames or on the objects in them and attaches its results",
      video_inference_params(),
      build<InferenceParams, Role::infer>,
      live};
  static const BinDesc object_detect{"object_detect",
                                     "Object detection",
                                     "Bin/Analyzer/Video",
                                     "Finds objects in frames with a detection model",
                                     object_detect_params(),
                                     build<DetectParams, Role::detect>,
                                     live};
  static const BinDesc object_classify{"object_classify",
                                       "Object classification",
                                       "Bin/Analyzer/Video",
                                       "Describes each object in a frame with a classification model",
                                       object_classify_params(),
                                       build<ClassifyParams, Role::classify>,
                                       live};
  return {&video_inference, &object_detect, &object_classify, &gvainference, &gvadetect, &gvaclassify};
}

}  // namespace sightglass
