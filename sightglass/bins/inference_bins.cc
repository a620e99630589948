#include "sightglass/bins/inference_bins.h"

#include <algorithm>
#include <filesystem>

#include "sightglass/bins/inference_params.h"
#include "sightglass/core/registry.h"
#include "sightglass/elements/tensor_inference/tensor_inference.h"
#include "sightglass/model/labels.h"
#include "sightglass/model/store.h"

namespace sightglass {
namespace {

enum class Role { infer, detect, classify };

// Turns the values of one bin into its stages.
class Planner {
 public:
  Planner(const InferenceParams& params, Role role) : params_(params), role_(role) {}

  Result<Stages> plan() {
    if (auto status = refuse_unusable(); !status) return forward_error(status);
    if (!params_.model.empty()) {
      if (auto status = load(); !status) return forward_error(status);
    }
    if (auto status = plan_preprocess(); !status) return forward_error(status);
    if (!params_.model.empty()) {
      plan_.stages[process] = {inference_};
      if (auto status = plan_postprocess(); !status) return forward_error(status);
    }
    const bool attach = params_.attach_tensor_data && !params_.skip_raw_tensors;
    plan_.stages[aggregate] = {{"meta_aggregate",
                                {{"attach-tensor-data", attach ? "true" : "false"},
                                 {"write-roi-meta", params_.write_roi_meta ? "true" : "false"}}}};
    const unsigned batch = std::max(1u, params_.batch_size),
                   requests = params_.nireq ? params_.nireq : 2 * usable_cores();
    plan_.queues = {batch + 2, batch + 2, batch * requests + 2, batch * requests + batch + 2, std::nullopt};
    return std::move(plan_);
  }

 private:
  Status refuse_unusable() {
    for (const auto& [name, value] : {std::pair("custom-preproc-lib", params_.custom_preproc_lib),
                                      std::pair("custom-postproc-lib", params_.custom_postproc_lib),
                                      std::pair("ov-extension-lib", params_.ov_extension_lib)}) {
      if (!value.empty()) {
        return fail(ErrorCode::unsupported,
                    "{}={} is built for the binary interface of another framework; write an element of your "
                    "own instead",
                    name, value);
      }
    }
    if (params_.no_block || params_.reshape || !params_.pre_process_config.empty() ||
        params_.cpu_throughput_streams || params_.gpu_throughput_streams) {
      plan_.warnings.emplace_back(
          "no-block, reshape, pre-process-config and the throughput streams have no effect here");
    }
    return {};
  }

  // Finds the model, opens its session (kept until the inference element has joined it) and describes it.
  Status load() {
    auto path = resolve_model(params_.model);
    if (!path) return forward_error(path);
    const auto engine = engine_for(*path);
    if (!engine) return std::unexpected(engine.error());
    inference_ = {
        (*engine)->name() == "torch" ? "pytorch_tensor_inference" : "onnx_tensor_inference",
        {{"model", path->string()},
         {"device", params_.device},
         {"config", params_.ie_config},
         {"batch-size", std::to_string(params_.batch_size)},
         {"buffer-pool-size", std::to_string(params_.nireq)},
         {"shared-instance-id", params_.model_instance_id},
         {"scheduling-policy", params_.scheduling_policy == Policy::latency ? "latency" : "throughput"},
         {"strict-zero-copy", params_.strict_zero_copy ? "true" : "false"}}};
    ParamSet values(find_element(inference_.element)->params);
    for (const auto& [name, value] : inference_.params) {
      if (auto status = values.set_text(name, value); !status) return status;
    }
    auto inference = std::make_shared<TensorInference>(values, (*engine)->name());
    if (auto status = inference->start(); !status) return status;
    plan_.keep_alive = inference;
    if (!inference->session())
      return fail(ErrorCode::not_found, "nobody has opened the model {}", params_.model_instance_id);
    signature_ = inference->session()->signature();
    if (signature_.inputs.size() != 1) {
      return fail(ErrorCode::unsupported,
                  "{}: the model has {} inputs ({}), but only the picture can be given to it; build the "
                  "stages by hand",
                  path->string(), signature_.inputs.size(), shapes(signature_.inputs));
    }
    for (const auto& input : signature_.inputs) {
      if (input.shape.rank() > 3 && input.shape[0] > 1) {
        return fail(ErrorCode::unsupported,
                    "{}: the batch size is fixed at {}; export the model with a batch of 1 or a free one",
                    path->string(), input.shape[0]);
      }
    }
    auto info = describe_model(*path, signature_, {.model_proc = params_.model_proc});
    if (!info) return forward_error(info);
    info_ = std::move(*info);
    std::ranges::copy(info_.warnings, std::back_inserter(plan_.warnings));
    return {};
  }

  bool of_regions() const { return params_.region == InferenceRegion::roi_list; }

  Status plan_preprocess() {
    auto& stage = plan_.stages[preprocess];
    if (params_.inference_interval > 1)
      stage.push_back({"rate_adjust", {{"ratio", "1/" + std::to_string(params_.inference_interval)}}});
    if (of_regions()) stage.push_back({"roi_split", {{"object-class", params_.object_class}}});
    const int64_t interval = reclassify() > 0 ? reclassify() : params_.roi_inference_interval;
    if (interval > 1) stage.push_back({"rate_adjust", {{"ratio", "1/" + std::to_string(interval)}}});
    // "Once per track" is the smallest ratio that there is.
    if (reclassify() == 0) stage.push_back({"rate_adjust", {{"ratio", "1/2147483647"}}});

    auto backend = chosen_backend(params_);
    if (!backend) return forward_error(backend);
    switch (*backend) {
      case Backend::automatic:
      case Backend::fused:
        return plan_fused(stage);
      case Backend::gst_opencv:
        return plan_gst(stage);
      case Backend::cuda:
        return unusable("cuda", "no CUDA memory upstream, no CUDA kernels in this build");
      case Backend::vaapi:
      case Backend::vaapi_tensors:
      case Backend::vaapi_surface_sharing:
      case Backend::vaapi_opencl:
        return unusable("vaapi", "no VA display (no render node)");
    }
    return {};
  }

  static Status unusable(std::string_view backend, std::string_view missing) {
    return fail(ErrorCode::unavailable, "pre-process-backend={} is not usable: {}; usable: fused, gst-opencv",
                backend, missing);
  }

  int64_t reclassify() const { return params_.reclassify_interval; }

  Result<std::string> interpolation() const {
    switch (params_.scale_method) {
      case ScaleMethod::standard:
        return "";
      case ScaleMethod::nearest:
        return "nearest";
      case ScaleMethod::bilinear:
        return "bilinear";
      case ScaleMethod::bicubic:
      case ScaleMethod::lanczos:
      case ScaleMethod::spline:
        return "bicubic";
      case ScaleMethod::fast:
      case ScaleMethod::dls_vaapi:
        return fail(
            ErrorCode::unavailable,
            "scale-method=fast and dls-vaapi need VA; usable: nearest, bilinear, bicubic, lanczos, spline");
    }
    return "";
  }

  Status plan_fused(Stage& stage) {
    ElementSettings settings{"video_to_tensor", preprocess_params(info_)};
    auto method = interpolation();
    if (!method) return forward_error(method);
    if (!method->empty()) settings.params.emplace_back("interpolation", *method);
    if (params_.roi_expand > 0)
      settings.params.emplace_back("roi-expand", std::to_string(params_.roi_expand));
    stage.push_back(std::move(settings));
    return {};
  }

  // The same by single-purpose elements: scaling and colour by GStreamer, the tensor by reinterpretation.
  Status plan_gst(Stage& stage) {
    auto method = interpolation();
    if (!method) return forward_error(method);
    const InputInfo* picture = info_.picture();
    const std::string resize = picture ? picture->resize.value_or("stretch") : "stretch";
    if (!of_regions() && resize == "stretch") {
      Settings scale{{"add-borders", "false"}};
      if (!method->empty())
        scale.emplace_back("method", *method == "nearest"   ? "nearest-neighbour"
                                     : *method == "bicubic" ? "catrom"
                                                            : "bilinear");
      stage.push_back({"videoscale", scale});
    } else {
      stage.push_back({"videoconvert", {}});
      Settings scale{{"add-borders", resize.starts_with("letterbox") ? "true" : "false"}};
      if (!method->empty()) scale.emplace_back("method", *method);
      stage.push_back({"opencv_cropscale", scale});
    }
    stage.push_back({"videoconvert", {}});
    const std::string color = picture ? picture->color.value_or("bgr") : "bgr";
    stage.push_back(caps_filter(color == "gray"  ? "video/x-raw,format=GRAY8"
                                : color == "rgb" ? "video/x-raw,format={RGB,RGBP}"
                                                 : "video/x-raw,format={BGR,BGRP}"));
    stage.push_back({"tensor_convert", {}});
    Settings normalize;
    for (const auto& [name, value] : preprocess_params(info_)) {
      if (name == "range" || name == "mean" || name == "std") normalize.emplace_back(name, value);
    }
    if (!normalize.empty()) stage.push_back({"opencv_tensor_normalize", normalize});
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
    for (auto& element : stage) {
      if (auto status = override_settings(element); !status) return status;
    }
    if (params_.repeat_metadata || reclassify() >= 0) stage.push_back({"meta_smooth", {}});
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
    if (params_.threshold > 0) set("threshold", std::format("{}", params_.threshold));
    if (params_.iou_threshold > 0) set("iou-threshold", std::format("{}", params_.iou_threshold));
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

  const InferenceParams& params_;
  const Role role_;
  Stages plan_;
  ElementSettings inference_;
  ModelSignature signature_;
  ModelInfo info_;
};

template <class P, Role role>
Result<Stages> build(const ParamSet& params) {
  return Planner(params.as<P>(), role).plan();
}

// Live values go to every element that has a parameter of that name.
Settings live(const ParamSet& params, const ElementDesc& element) {
  Settings settings;
  for (const char* name : {"threshold", "iou-threshold", "object-class"}) {
    const auto* param = element.params.find(name);
    if (!param || !params.is_set(name)) continue;
    auto text = params.get(name).transform([](const ParamValue& value) { return to_string(value); });
    if (text && param->parse(*text)) settings.emplace_back(name, *std::move(text));
  }
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
                                 build<DetectParams, Role::detect>,
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
