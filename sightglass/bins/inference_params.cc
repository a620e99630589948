#include "sightglass/bins/inference_params.h"

#include <algorithm>
#include <format>
#include <iterator>

#include "sightglass/elements/availability.h"
#include "sightglass/elements/functions/function.h"
#include "sightglass/elements/selection/selector.h"
#include "sightglass/model/spelling.h"

namespace sightglass {
namespace {

// A parameter that a base class declares, with the default of P.
template <class P, class Base, class T>
ParamDesc own(std::string_view name, T Base::* member, std::string_view doc) {
  return param(name, static_cast<T P::*>(member), doc);
}

std::vector<std::string> backend_names() {
  return {"auto",
          "gst-opencv",
          "vaapi",
          "vaapi-tensors",
          "vaapi-surface-sharing",
          "vaapi-opencl",
          "fused",
          "cuda",
          "ie",
          "opencv",
          "va",
          "va-surface-sharing"};
}
// The later names are other words for earlier ones.
std::vector<int> backend_values() { return {0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 4}; }
std::vector<std::string> scale_method_names() {
  return {"default", "nearest", "bilinear", "bicubic", "lanczos", "spline", "fast", "dls-vaapi"};
}
std::vector<std::string> policy_names() { return {"throughput", "latency"}; }
constexpr double most_unsigned = 4294967295.;

template <class P>
std::vector<ParamDesc> common() {
  return {
      own<P>("model", &P::model, "model file, or a name that `sightglass models list` shows"),
      own<P>("device", &P::device,
             "where the model runs: CPU, GPU[.n], CUDA[:n], AUTO; CUDA:*: on all devices, streams spread by "
             "load"),
      own<P>("ie-config", &P::ie_config, "settings of the engine, KEY=VALUE,…"),
      own<P>("model-instance-id", &P::model_instance_id,
             "bins with the same id share one loaded model and its batches"),
      own<P>("nireq", &P::nireq, "requests in flight; 0: chosen for the machine").range(0, 1024),
      own<P>("batch-size", &P::batch_size, "frames or regions per request; 0: 1, or what the model fixes")
          .range(0, 1024),
      own<P>("batch-timeout", &P::batch_timeout,
             "longest wait for a batch to fill; 0: none, -1: two frame periods")
          .range(-1, 2147483647)
          .in("ms")
          .live(),
      own<P>("model-proc", &P::model_proc, "description of the model: model-proc JSON or neutral YAML"),
      own<P>("inference-interval", &P::inference_interval, "infer on every Nth frame, the first included")
          .range(1, most_unsigned),
      own<P>("inference-region", &P::region, "the whole frame, or each object in it")
          .choices({"full-frame", "roi-list"}),
      own<P>("object-class", &P::object_class,
             "only objects with one of these labels, separated by commas; empty: all")
          .live(),
      own<P>("labels", &P::labels,
             "class names: a list, a file, or layer=file,…; before those of the description"),
      own<P>("labels-file", &P::labels_file, "file with a class name per line; before labels"),
      own<P>("write-roi-meta", &P::write_roi_meta,
             "write GstVideoRegionOfInterestMeta as well, for older elements"),
  };
}

template <class P>
std::vector<ParamDesc> of_bins() {
  auto list = common<P>();
  std::ranges::move(
      std::vector<ParamDesc>{
          own<P>("threshold", &P::threshold, "least score that is kept; 0: as described").range(0, 1).live(),
          own<P>("config", &P::ie_config, "the same as ie-config"),
          own<P>("pre-process-backend", &P::backend,
                 "how pictures become tensors; auto: by the memory that they come in")
              .choices(backend_names(), backend_values()),
          own<P>("roi-inference-interval", &P::roi_inference_interval,
                 "infer on every Nth frame of each track (inference-region=roi-list)")
              .range(1, most_unsigned),
          own<P>("scale-method", &P::scale_method, "how pictures are scaled").choices(scale_method_names()),
          own<P>("scheduling-policy", &P::scheduling_policy,
                 "most frames in all, or the soonest answer to each")
              .choices(policy_names()),
          own<P>(
              "select", &P::select,
              "selector as JSON, of the objects to be looked at (which implies inference-region=roi-list) or "
              "of whole frames; empty: all")
              .live(),
          own<P>(
              "when", &P::when,
              "selector of the frames to be looked at, as JSON; on others inference is skipped; empty: all")
              .live(),
          own<P>(
              "preprocess-functions", &P::preprocess_functions,
              "functions in front of the model, as JSON: crop_expand, letterbox, align_face_5pt, warp_plate"),
          own<P>("reuse-growth", &P::reuse_growth,
                 "where an object is not looked at on every frame: look early when its box has grown by this "
                 "factor; 0: off")
              .range(0, 1000)
              .live(),
          own<P>("attach-tensor-data", &P::attach_tensor_data, "keep the raw tensors with the results"),
          own<P>("repeat-metadata", &P::repeat_metadata, "repeat the last result where inference is skipped"),
          own<P>("roi-expand", &P::roi_expand,
                 "grow regions about their centre by this factor; 0: as described")
              .range(0, 10),
          own<P>("strict-zero-copy", &P::strict_zero_copy,
                 "an input of the engine that would have to be copied is an error")},
      std::back_inserter(list));
  return list;
}

template <class P>
std::vector<ParamDesc> of_gva() {
  auto list = common<P>();
  std::ranges::move(
      std::vector<ParamDesc>{
          own<P>("threshold", &P::threshold, "least score that is kept; not set: as described")
              .range(0, 1)
              .live(),
          own<P>("pre-process-backend", &P::backend_name,
                 "how pictures become tensors: the names of video_inference; empty: auto"),
          own<P>("scale-method", &P::scale_method_name,
                 "how pictures are scaled: the names of video_inference; empty: default"),
          own<P>("scheduling-policy", &P::policy_name, "throughput or latency; empty: throughput"),
          own<P>("pre-process-config", &P::pre_process_config,
                 "KEY=VALUE,…: VAAPI_FAST_SCALE_LOAD_FACTOR means scale-method=fast; others are ignored"),
          own<P>("no-block", &P::no_block, "drop frames rather than wait for the model"),
          own<P>("reshape", &P::reshape, "give the model another input size; where it has free axes"),
          own<P>("reshape-width", &P::reshape_width, "width of that size; 0: of the model").in("px"),
          own<P>("reshape-height", &P::reshape_height, "height of that size; 0: of the model").in("px"),
          own<P>("cpu-throughput-streams", &P::cpu_throughput_streams, "deprecated, for OpenVINO; ignored"),
          own<P>("gpu-throughput-streams", &P::gpu_throughput_streams, "deprecated, for OpenVINO; ignored"),
          own<P>("share-va-display-ctx", &P::share_va_display_ctx, "accepted; the display is always shared"),
          own<P>("core-pinning", &P::core_pinning, "accepted; ignored"),
          own<P>("qos", &P::qos, "accepted; ignored"),
          own<P>("custom-preproc-lib", &P::custom_preproc_lib, "refused: built for another framework"),
          own<P>("custom-postproc-lib", &P::custom_postproc_lib, "refused: built for another framework"),
          own<P>("ov-extension-lib", &P::ov_extension_lib, "refused: OpenVINO is not in use")},
      std::back_inserter(list));
  return list;
}

template <class P>
ParamTable table(std::vector<ParamDesc> list, std::vector<ParamDesc> more = {}) {
  std::ranges::move(more, std::back_inserter(list));
  return ParamTable::of<P>(std::move(list));
}

template <class P>
ParamDesc iou() {
  return own<P>("iou-threshold", &P::iou_threshold,
                "boxes of one class that overlap more are one object; 0: as described")
      .range(0, 1)
      .live();
}

template <class P>
ParamDesc reclassify() {
  return own<P>("reclassify-interval", &P::reclassify_interval,
                "classify each track on every Nth of its frames and repeat the result between; 0: once");
}

// The value whose name is `name`.
template <class Enum>
Result<Enum> named(std::string_view property, const std::string& name, const std::vector<std::string>& names,
                   const std::vector<int>& values = {}) {
  const auto found = std::ranges::find(names, name);
  if (found == names.end())
    return fail(ErrorCode::invalid_argument, "{}={} is not known; known: {}", property, name,
                joined(names, ", "));
  const auto place = size_t(found - names.begin());
  return Enum(values.empty() ? int(place) : values[place]);
}

}  // namespace

ParamTable video_inference_params() { return table<InferenceParams>(of_bins<InferenceParams>()); }
ParamTable object_detect_params() {
  return table<DetectParams>(of_bins<DetectParams>(), {iou<DetectParams>()});
}
ParamTable object_classify_params() {
  return table<ClassifyParams>(of_bins<ClassifyParams>(), {reclassify<ClassifyParams>()});
}
ParamTable gvainference_params() { return table<InferenceParams>(of_gva<InferenceParams>()); }
ParamTable gvadetect_params() {
  return table<GvaDetectParams>(of_gva<GvaDetectParams>(), {iou<GvaDetectParams>()});
}
ParamTable gvaclassify_params() {
  return table<ClassifyParams>(of_gva<ClassifyParams>(),
                               {reclassify<ClassifyParams>(),
                                own<ClassifyParams>("skip-raw-tensors", &ClassifyParams::skip_raw_tensors,
                                                    "do not keep the raw tensors with the results")});
}

std::string both(const std::string& one, const std::string& other) {
  // `frame` is the one word that may stand without quotes; it asks for nothing.
  const auto is_empty = [](const std::string& text) {
    return text.find_first_not_of(" \t\r\n") == std::string::npos || text == "frame";
  };
  if (is_empty(one)) return is_empty(other) ? "" : other;
  return is_empty(other) ? one : std::format(R"({{"all": [{}, {}]}})", one, other);
}

Result<Selectors> read_selectors(const std::string& select, const std::string& when) {
  auto selector = Selector::parse(select, "select");
  if (!selector) return forward_error(selector);
  if (auto condition = Selector::parse(when, "when", Selector::Scope::frame); !condition)
    return forward_error(condition);
  if (!selector->whole_frame()) return Selectors{select, both(when, "")};
  return Selectors{"", both(select, when), true};
}

namespace {

// Who runs the functions in front of the model.
Status read_functions(InferenceWishes& wishes) {
  constexpr const char* name = "preprocess-functions";
  const std::string& json = wishes.params.preprocess_functions;
  auto functions = make_functions(json, name);
  if (!functions) return forward_error(functions);
  const NamedFunction *makes_picture = nullptr, *of_user = nullptr;
  bool fits_last = false;
  for (const NamedFunction& one : *functions) {
    if (one.desc->hook == FunctionHook::decode)
      return fail(ErrorCode::invalid_argument, "{}: {} works on results; it is for postprocess_objects", name,
                  one.desc->name);
    const bool is_users_own = one.desc->name == user_prepare;
    if (one.desc->hook == FunctionHook::prepare && makes_picture && !is_users_own)
      return fail(ErrorCode::invalid_argument, "{}: {} and {} both make the picture; one of them can", name,
                  makes_picture->desc->name, one.desc->name);
    if (one.desc->hook == FunctionHook::prepare && !is_users_own) {
      const bool has_size = static_cast<const PrepareFunction&>(*one.function).width() > 0;
      if (of_user && (has_size || one.desc->name != "letterbox"))
        return fail(ErrorCode::invalid_argument,
                    "{}: {} makes the picture, so it stands in front of functions of one's own; behind them "
                    "only letterbox without a size does",
                    name, one.desc->name);
      makes_picture = &one;
      fits_last = of_user != nullptr;
    }
    if (is_users_own) of_user = &one;
    if (one.desc->name != "letterbox" && !is_users_own && wishes.params.region != InferenceRegion::roi_list)
      return fail(ErrorCode::invalid_argument, "{}: {} works on objects; set inference-region=roi-list", name,
                  one.desc->name);
  }
  wishes.region_functions = functions_of(json, name, FunctionHook::region).value_or("");
  wishes.has_user_prepare = of_user != nullptr;
  if (!makes_picture && !of_user) return {};
  if (!makes_picture || fits_last || of_user ||
      static_cast<const PrepareFunction&>(*makes_picture->function).width() > 0)
    wishes.prepare_functions = functions_of(json, name, FunctionHook::prepare, fits_last).value_or("");
  if (!makes_picture || (!fits_last && !wishes.prepare_functions.empty())) return {};
  const auto& function = static_cast<const PrepareFunction&>(*makes_picture->function);
  // Without a size of its own it is that of the model, which the fused pass makes anyway.
  const auto fit = function.projection({0, 0, 2, 1}, {}, {2, 1}, 2, 2);
  wishes.letterbox = fit && fit->m[5] == 0 ? "letterbox-topleft" : "letterbox";
  wishes.pad_value = function.border();
  return {};
}

}  // namespace

Result<InferenceWishes> wishes(const InferenceParams& values, const ParamSet& params) {
  InferenceWishes wishes{.params = values};
  auto& own = wishes.params;
  if (own.backend_name == "d3d11")
    return std::unexpected(availability_error(
        "pre-process-backend=d3d11", {"it is of another operating system"}, {"fused", "gst-opencv"}));
  if (!own.backend_name.empty()) {
    auto backend = named<Backend>("pre-process-backend", own.backend_name, backend_names(), backend_values());
    if (!backend) return forward_error(backend);
    own.backend = *backend;
  }
  if (!own.scale_method_name.empty()) {
    auto method = named<ScaleMethod>("scale-method", own.scale_method_name, scale_method_names());
    if (!method) return forward_error(method);
    own.scale_method = *method;
  }
  if (!own.policy_name.empty()) {
    auto policy = named<Policy>("scheduling-policy", own.policy_name, policy_names());
    if (!policy) return forward_error(policy);
    own.scheduling_policy = *policy;
  }
  // Of the gva elements 0 is a threshold like any other, and the default one that counts.
  const bool is_gva = params.table().find("no-block") != nullptr;
  if (params.is_set("threshold") && (is_gva || own.threshold > 0)) wishes.threshold = own.threshold;
  if (is_gva && own.threshold > 0) wishes.usual_threshold = own.threshold;
  if (own.iou_threshold > 0) wishes.iou_threshold = own.iou_threshold;
  const bool reclassifies = params.is_set("reclassify-interval");
  wishes.roi_interval = reclassifies ? own.reclassify_interval : own.roi_inference_interval;
  wishes.repeat = own.repeat_metadata || reclassifies;
  auto selectors = read_selectors(own.select, own.when);
  if (!selectors) return forward_error(selectors);
  const bool asks_for_objects = own.region == InferenceRegion::roi_list && params.is_set("inference-region");
  if (!selectors->objects.empty())
    own.region = InferenceRegion::roi_list;
  else if (selectors->whole_frame && !asks_for_objects)
    own.region = InferenceRegion::full_frame;
  wishes.select = std::move(selectors->objects);
  wishes.when = std::move(selectors->frames);
  if (auto status = read_functions(wishes); !status) return forward_error(status);
  wishes.attach_tensors = own.attach_tensor_data && !own.skip_raw_tensors;
  return wishes;
}

std::string_view to_string(Backend backend) {
  static const auto names = backend_names();
  return names[size_t(backend)];
}

}  // namespace sightglass
