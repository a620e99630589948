#include "sightglass/bins/migration.h"

#include <algorithm>
#include <array>

#include "sightglass/model/engine.h"

namespace sightglass {
namespace {

constexpr std::array aliases = {
    ElementAlias{"gvainference", "video_inference", ""},
    ElementAlias{"gvadetect", "object_detect",
                 "`threshold` reads 0.5; as long as it is not set, the description's value counts, else 0.5"},
    ElementAlias{"gvaclassify", "object_classify",
                 "`skip-raw-tensors` is the opposite of `attach-tensor-data`; without labels and description "
                 "the raw tensor is attached"},
    ElementAlias{"gvatrack", "object_track",
                 "`tracking-type` is an enumeration; `tracking-per-class` is true unless `config` says "
                 "otherwise; `config` and `deepsort-trck-cfg` are read (see below)"},
    ElementAlias{"gvawatermark", "meta_overlay", "`displ-cfg` is read (see below); `device` is a text"},
    ElementAlias{"gvametaaggregate", "meta_aggregate",
                 "request pads `sink_%u`; the one that is linked first has the frames"},
    ElementAlias{"gvametaconvert", "metaconvert", "`layout=dlstreamer` gives the original's JSON"},
    ElementAlias{"gvametapublish", "metapublish", ""},
    ElementAlias{"gvametapublishfile", "metapublish", "`method` is file"},
    ElementAlias{"gvametapublishmqtt", "metapublish", "`method` is mqtt"},
    ElementAlias{"gvametapublishkafka", "metapublish", "`method` is kafka"},
};

constexpr std::array dropped = {
    DroppedElement{"gvainference2", "video_inference", true},
    DroppedElement{"inference_openvino", "video_inference", true},
    DroppedElement{"python_object_association", "opencv_object_association", true},
    DroppedElement{"gvaanalytics", "object_analytics", true},
    DroppedElement{"sycl_meta_overlay", "meta_overlay", true},
    DroppedElement{"sycl_tensor_histogram", "tensor_histogram", true},
    DroppedElement{"gvapython", "an element of your own, in Python or C++", false},
    DroppedElement{"gvanms", "the properties of the decoders (iou-threshold, nms, …)", false},
    DroppedElement{"gvabboxregression", "the properties of the decoders (anchors, box-format, …)", false},
    DroppedElement{"video_frames_buffer", "queue, or ffmpeg_multi_source on-eos=loop to repeat", false},
    DroppedElement{"gvastreammux", "model-instance-id: batches form across the streams of one pipeline",
                   false},
    DroppedElement{"gvastreamdemux", "model-instance-id: every result finds its own stream", false},
    DroppedElement{"gvagenai", "", false},
    DroppedElement{"gvaaudiodetect", "", false},
    DroppedElement{"gvaaudiotranscribe", "", false},
    DroppedElement{"gvamotiondetect", "", false},
    DroppedElement{"gvadeskew", "", false},
    DroppedElement{"gvarealsense", "", false},
    DroppedElement{"g3d*", "", false},
};

constexpr const char* other_framework =
    "built for the binary interface of another framework; write a decoder or an element of your own instead "
    "(docs/write-a-decoder.md, docs/write-an-element.md)";

constexpr std::array gva = {
    GvaProperty{"model", Treatment::same, ""},
    GvaProperty{"model-proc", Treatment::same, "also a description in our YAML"},
    GvaProperty{"labels", Treatment::same, ""},
    GvaProperty{"labels-file", Treatment::same, ""},
    GvaProperty{"object-class", Treatment::same, "a list separated by commas"},
    GvaProperty{"device", Treatment::same, "MULTI: and HETERO: are refused: they need OpenVINO"},
    GvaProperty{"batch-size", Treatment::same, ""},
    GvaProperty{"batch-timeout", Treatment::same, "-1 is chosen by the frame rate, not \"for ever\""},
    GvaProperty{"nireq", Treatment::same, ""},
    GvaProperty{"inference-interval", Treatment::same, ""},
    GvaProperty{"inference-region", Treatment::same, ""},
    GvaProperty{"model-instance-id", Treatment::same, ""},
    GvaProperty{"ie-config", Treatment::same, "keys of the engine in use"},
    GvaProperty{"threshold", Treatment::same, ""},
    GvaProperty{"reclassify-interval", Treatment::same, "0 is once per track"},
    GvaProperty{"pre-process-backend", Treatment::mapped,
                "the names of video_inference; opencv is gst-opencv, ie and \"\" are auto; d3d11 is refused"},
    GvaProperty{"scheduling-policy", Treatment::same, "empty is throughput"},
    GvaProperty{"scale-method", Treatment::same, "empty is default"},
    GvaProperty{"no-block", Treatment::mapped,
                "a queue that drops older frames, of one frame, in front of preprocess"},
    GvaProperty{"pre-process-config", Treatment::mapped,
                "VAAPI_FAST_SCALE_LOAD_FACTOR is scale-method=fast; other keys are ignored"},
    GvaProperty{"reshape", Treatment::mapped,
                "input-shape of the engine where the model has free axes; otherwise ignored"},
    GvaProperty{"reshape-width", Treatment::mapped, "part of reshape"},
    GvaProperty{"reshape-height", Treatment::mapped, "part of reshape"},
    GvaProperty{"cpu-throughput-streams", Treatment::ignored, "a setting of OpenVINO; use nireq"},
    GvaProperty{"gpu-throughput-streams", Treatment::ignored, "a setting of OpenVINO; use nireq"},
    GvaProperty{"share-va-display-ctx", Treatment::ignored, "a display is always shared"},
    GvaProperty{"core-pinning", Treatment::ignored, "threads are the engine's business; see ie-config"},
    GvaProperty{"qos", Treatment::ignored, "late frames are dropped by sinks and live sources, not here"},
    GvaProperty{"custom-preproc-lib", Treatment::refused, other_framework},
    GvaProperty{"custom-postproc-lib", Treatment::refused, other_framework},
    GvaProperty{"ov-extension-lib", Treatment::refused, "extensions of OpenVINO, which is not in use here"},
};

constexpr std::array keys = {
    ConfigKey{"gvatrack config", "tracking_per_class", "tracking-per-class (true unless it is set)"},
    ConfigKey{"gvatrack config", "max_num_objects", "max-objects"},
    ConfigKey{"gvatrack deepsort-trck-cfg", "max_iou_distance", "max-iou-distance"},
    ConfigKey{"gvatrack deepsort-trck-cfg", "max_age", "max-age"},
    ConfigKey{"gvatrack deepsort-trck-cfg", "n_init", "min-hits"},
    ConfigKey{"gvatrack deepsort-trck-cfg", "max_cosine_distance", "max-feature-distance"},
    ConfigKey{"gvatrack deepsort-trck-cfg", "nn_budget", "feature-history"},
    ConfigKey{"gvatrack deepsort-trck-cfg", "object_class", "object-class"},
    ConfigKey{"gvatrack deepsort-trck-cfg", "reid_max_age", "reid-max-age"},
    ConfigKey{"gvawatermark displ-cfg", "show-labels", "draw labels (true)"},
    ConfigKey{"gvawatermark displ-cfg", "font-scale", "size of the text, 0.1 to 2 (0.5)"},
    ConfigKey{"gvawatermark displ-cfg", "thickness", "of the lines, in pixels (2)"},
    ConfigKey{"gvawatermark displ-cfg", "color-idx", "one colour for all; -1: by object (-1)"},
    ConfigKey{"gvawatermark displ-cfg", "font-type", "name of a font (triplex)"},
    ConfigKey{"gvawatermark displ-cfg", "draw-txt-bg", "a background behind the text (true)"},
    ConfigKey{"gvawatermark displ-cfg", "show-roi", "labels that are drawn, a:b; counts more than hide-roi"},
    ConfigKey{"gvawatermark displ-cfg", "hide-roi", "labels that are not drawn, a:b"},
    ConfigKey{"gvawatermark displ-cfg", "enable-blur", "make objects unrecognisable (false)"},
    ConfigKey{"gvawatermark displ-cfg", "show-blur-roi", "labels that are blurred, a:b"},
    ConfigKey{"gvawatermark displ-cfg", "hide-blur-roi", "labels that are not blurred, a:b"},
    ConfigKey{"gvawatermark displ-cfg", "text-x", "place of the frame's own text, in pixels (0)"},
    ConfigKey{"gvawatermark displ-cfg", "text-y", "place of the frame's own text, in pixels (25)"},
    ConfigKey{"gvawatermark displ-cfg", "ff-custom-txt", "text that is drawn on every frame"},
};

// A value that asks for something: not the default, and for switches, on.
bool asks(const ParamSet& params, std::string_view name) {
  const auto* desc = params.table().find(name);
  if (!desc || !params.is_set(name)) return false;
  const auto value = params.get(name);
  return value && *value != desc->default_value;
}

}  // namespace

std::span<const ElementAlias> element_aliases() { return aliases; }
std::span<const DroppedElement> dropped_elements() { return dropped; }
std::span<const GvaProperty> gva_properties() { return gva; }
std::span<const ConfigKey> config_keys() { return keys; }

const DroppedElement* find_dropped(std::string_view name) {
  const auto found = std::ranges::find_if(dropped, [&](const DroppedElement& element) {
    std::string_view known = element.name;
    if (!known.ends_with('*')) return known == name;
    known.remove_suffix(1);
    return name.starts_with(known);
  });
  return found == dropped.end() ? nullptr : &*found;
}

std::string replacement_text(const DroppedElement& element) {
  return element.replacement.empty() ? "there is no replacement" : "use " + std::string(element.replacement);
}

std::string_view to_string(Treatment treatment) {
  switch (treatment) {
    case Treatment::same:
      return "same";
    case Treatment::mapped:
      return "mapped";
    case Treatment::ignored:
      return "ignored";
    case Treatment::refused:
      return "refused";
  }
  return "?";
}

Result<std::vector<std::string>> check_gva_properties(const ParamSet& params) {
  std::vector<std::string> warnings;
  for (const GvaProperty& property : gva) {
    if (!asks(params, property.name)) continue;
    const std::string set = std::string(property.name) + "=" +
                            params.table().find(property.name)->to_text(*params.get(property.name));
    if (property.treatment == Treatment::refused)
      return fail(ErrorCode::unsupported, "{} is refused: it is {}", set, property.meaning);
    if (property.treatment == Treatment::ignored)
      warnings.push_back(std::format("{} is ignored: {}", set, property.meaning));
  }
  return warnings;
}

Result<std::vector<std::string>> apply_pre_process_config(InferenceParams& params) {
  std::vector<std::string> ignored;
  const auto pairs = parse_config(params.pre_process_config);
  if (!pairs)
    return fail(ErrorCode::invalid_argument, "pre-process-config={}: not KEY=VALUE,…",
                params.pre_process_config);
  for (const auto& [key, value] : *pairs) {
    if (key == "VAAPI_FAST_SCALE_LOAD_FACTOR")
      params.scale_method = ScaleMethod::fast;
    else
      ignored.push_back(key);
  }
  return ignored;
}

}  // namespace sightglass
