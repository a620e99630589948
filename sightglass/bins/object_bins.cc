#include "sightglass/bins/object_bins.h"

#include <algorithm>
#include <format>
#include <map>
#include <span>

#include "sightglass/bins/inference_params.h"
#include "sightglass/bins/preprocess_plan.h"
#include "sightglass/core/registry.h"
#include "sightglass/elements/availability.h"
#include "sightglass/model/engine.h"

namespace sightglass {
namespace {

constexpr const char* tracker_name = "opencv_object_association";
constexpr const char* overlay_name = "opencv_meta_overlay";
constexpr const char* embedding_name = "tensor_postproc_embedding";

// Parameters that the bin has from its elements, by name.
struct Forwarded {
  std::map<std::string, ParamValue, std::less<>> values;
};

ParamDesc forwarded(const ParamDesc& of_element) {
  ParamDesc desc = of_element;
  desc.store = [name = desc.name](void* params, const ParamValue& value) {
    static_cast<Forwarded*>(params)->values[name] = value;
  };
  desc.load = [name = desc.name, standard = desc.default_value](const void* params) {
    const auto& values = static_cast<const Forwarded*>(params)->values;
    const auto found = values.find(name);
    return found == values.end() ? standard : found->second;
  };
  return desc;
}

void forward_all(const ParamTable& table, std::vector<ParamDesc>& list) {
  for (const auto& desc : table.params)
    if (!std::ranges::contains(list, desc.name, &ParamDesc::name)) list.push_back(forwarded(desc));
}

// What the user has set on the bin, as settings of whoever has that table. As text, since a choice may have
// another number there.
Settings forwarded_settings(const ParamTable& table, const ParamSet& params) {
  Settings settings;
  for (const auto& desc : table.params) {
    const auto* own = params.table().find(desc.name);
    if (!own || !params.is_set(desc.name)) continue;
    if (auto value = params.get(desc.name)) settings.emplace_back(desc.name, own->to_text(*value));
  }
  return settings;
}
Settings forwarded_settings(const char* element, const ParamSet& params) {
  return forwarded_settings(find_element(element)->params, params);
}

void set(Settings& settings, const std::string& name, const std::string& value) {
  std::erase_if(settings, [&](const auto& known) { return known.first == name; });
  settings.emplace_back(name, value);
}
void set_unless_set(Settings& settings, const std::string& name, const std::string& value) {
  if (!std::ranges::contains(settings, name, &std::pair<std::string, std::string>::first))
    settings.emplace_back(name, value);
}

// Live values go to every element that has a live parameter of that name.
Settings live(const ParamSet& params, const ElementDesc& element) {
  auto settings = forwarded_settings(element.params, params);
  std::erase_if(settings, [&](const auto& setting) { return !element.params.find(setting.first)->is_live; });
  return settings;
}

Result<Stages> only(ElementSettings element) {
  Stages plan;
  plan.stages[postaggregate] = {std::move(element)};
  return plan;
}

// ---- tracking

enum class SpatialFeature { none, histogram, sliced_histogram, inference };

struct TrackParams : Forwarded {
  std::string tracking_type;
  SpatialFeature spatial_feature = SpatialFeature::none;
};

// The deprecated names: which switches they stand for.
struct TrackingType {
  const char* name;
  bool generate, adjust;
  SpatialFeature feature;
};
constexpr TrackingType tracking_types[] = {
    {"zero-term", false, false, SpatialFeature::sliced_histogram},
    {"short-term-imageless", true, false, SpatialFeature::none},
    {"zero-term-imageless", false, false, SpatialFeature::none},
    {"short-term", true, false, SpatialFeature::sliced_histogram},
};

void apply(const TrackingType& type, Settings& settings) {
  set(settings, "generate-objects", type.generate ? "true" : "false");
  set(settings, "adjust-objects", type.adjust ? "true" : "false");
}

// The attribute between the stage that describes an object and the tracker.
std::string feature_name(const Settings& tracker) {
  const auto found = std::ranges::find(tracker, "spatial-feature-metadata-name",
                                       &std::pair<std::string, std::string>::first);
  return found == tracker.end() ? "spatial-feature" : found->second;
}

// One picture of 64 by 64 for each object, its histogram as a vector among the results. `inference` are
// values of video_inference: what its first stage is told.
Result<Stages> with_histogram(bool sliced, Settings tracker, const ParamSet& inference) {
  auto wished = wishes(inference.as<InferenceParams>(), inference);
  if (!wished) return forward_error(wished);
  wished->params.region = InferenceRegion::roi_list;
  ModelInfo picture;
  auto& input = picture.inputs.emplace_back();
  input.size.value = PictureSize{64, 64};
  input.color.value = "rgb";
  input.layout.value = "nhwc";
  input.dtype.value = "uint8";
  auto first = plan_preprocess(*wished, picture, MemoryKind::system);
  if (!first) return forward_error(first);

  // How far the histograms of one person in two frames are apart, measured on PETS09-S2L1: 0.2 in 95 of 100
  // frames that follow each other, 0.35 with slices; of different persons from 0.32 and 0.48 on. Boxes of
  // detectors are less steady than those that were drawn by hand, so that the nearest of the last looks
  // counts.
  set_unless_set(tracker, "max-feature-distance", sliced ? "0.55" : "0.35");
  set_unless_set(tracker, "feature-history", "10");
  set_unless_set(tracker, "spatial-feature-distance", "bhattacharyya");
  Settings histogram{{"device", wished->params.device}};
  if (sliced) {
    histogram.emplace_back("num-slices-x", "2");
    histogram.emplace_back("num-slices-y", "2");
  }
  Stages plan;
  plan.needs = std::move(first->needs);
  plan.preprocess_for = [wished = *wished, picture](MemoryKind memory) {
    return plan_preprocess(wished, picture, memory);
  };
  plan.stages[preprocess] = std::move(first->stage);
  plan.stages[process] = {{"tensor_histogram", std::move(histogram)}};
  plan.stages[postprocess] = {
      {embedding_name, {{"attribute-name", feature_name(tracker)}, {"normalize", "none"}}}};
  plan.stages[aggregate] = {{"meta_aggregate", {{"attach-tensor-data", "false"}}}};
  plan.stages[postaggregate] = {{tracker_name, std::move(tracker)}};
  const unsigned requests = 2 * usable_cores();
  plan.queues = {3, 3, requests + 2, requests + 3, std::nullopt};
  return plan;
}

// What the user has set of video_inference's properties.
Result<ParamSet> inference_values(const ParamSet& params) {
  ParamSet values(find_bin("video_inference")->params);
  for (const auto& [name, text] : forwarded_settings(values.table(), params))
    if (auto status = values.set_text(name, text); !status) return forward_error(status);
  if (auto status = values.set_text("inference-region", "roi-list"); !status) return forward_error(status);
  return values;
}

// The stages of video_inference on every object, with an embedding as their result.
Result<Stages> with_embedding(const ParamSet& params, Settings tracker) {
  if (!params.is_set("model")) return std::unexpected(no_model_error());
  auto values = inference_values(params);
  if (!values) return forward_error(values);
  auto plan = find_bin("video_inference")->build(*values);
  if (!plan) return plan;

  auto& stage = plan->stages[postprocess];
  const auto described = std::ranges::find(stage, embedding_name, &ElementSettings::element);
  ElementSettings chosen = described != stage.end() ? *described : ElementSettings{embedding_name, {}};
  set(chosen.params, "attribute-name", feature_name(tracker));
  std::erase_if(stage, [](const ElementSettings& e) { return e.element.starts_with("tensor_postproc"); });
  stage.insert(stage.begin(), std::move(chosen));
  // One look is not enough to know somebody by: the nearest of the last thirty counts.
  set_unless_set(tracker, "feature-history", "30");
  set_unless_set(tracker, "max-feature-distance", "0.3");
  set_unless_set(tracker, "spatial-feature-distance", "cosine");
  plan->stages[postaggregate] = {{tracker_name, std::move(tracker)}};
  return plan;
}

// What the tracker selects: the objects of `select`, on the frames of `when`.
std::string tracked(const ParamSet& params) {
  const auto text = [&](const char* name) { return to_string(params.get(name).value()); };
  return both(text("select"), text("when"));
}

Result<Stages> build_track(const ParamSet& params) {
  const auto& values = params.as<TrackParams>();
  auto settings = forwarded_settings(tracker_name, params);
  if (auto select = tracked(params); !select.empty()) set(settings, "select", select);
  SpatialFeature feature = values.spatial_feature;
  if (!values.tracking_type.empty()) {
    const auto type = std::ranges::find(tracking_types, values.tracking_type,
                                        [](const TrackingType& t) { return std::string(t.name); });
    if (type == std::end(tracking_types)) {
      return fail(ErrorCode::invalid_argument,
                  "tracking-type={} is not known; known: zero-term, zero-term-imageless, short-term, "
                  "short-term-imageless",
                  values.tracking_type);
    }
    apply(*type, settings);
    feature = type->feature;
  }
  if (feature == SpatialFeature::none && params.is_set("model")) feature = SpatialFeature::inference;
  switch (feature) {
    case SpatialFeature::none:
      return only({tracker_name, std::move(settings)});
    case SpatialFeature::histogram:
    case SpatialFeature::sliced_histogram: {
      auto inference = inference_values(params);
      if (!inference) return forward_error(inference);
      return with_histogram(feature == SpatialFeature::sliced_histogram, std::move(settings), *inference);
    }
    case SpatialFeature::inference:
      return with_embedding(params, std::move(settings));
  }
  return only({tracker_name, std::move(settings)});
}

Settings live_track(const ParamSet& params, const ElementDesc& element) {
  auto settings = live(params, element);
  if (element.name == tracker_name && (params.is_set("select") || params.is_set("when")))
    set(settings, "select", tracked(params));
  return settings;
}

ParamTable track_params() {
  std::vector<ParamDesc> list;
  forward_all(find_element(tracker_name)->params, list);
  // The distance follows from the feature where it is not set. The order of names is another one than the
  // tracker's.
  auto distance = std::ranges::find(list, "spatial-feature-distance", &ParamDesc::name);
  distance->choice_names = {"none", "bhattacharyya", "cosine"};
  distance->default_value = int64_t(0);
  *distance = forwarded(*distance);
  list.push_back(
      param("spatial-feature", &TrackParams::spatial_feature,
            "appearance that helps to tell objects apart: colours, of the whole or of four parts, or what an "
            "embedding model says; each sets the distances of the tracker that suit it unless they are set")
          .choices({"none", "histogram", "sliced-histogram", "inference"}));
  list.push_back(param("tracking-type", &TrackParams::tracking_type,
                       "deprecated: zero-term, short-term and the -imageless forms of both"));
  forward_all(video_inference_params(), list);
  return ParamTable::of<TrackParams>(std::move(list));
}

enum class GvaTrackingType { zero_term, short_term_imageless, zero_term_imageless, deep_sort };

struct GvaTrackParams {
  GvaTrackingType type = GvaTrackingType::zero_term;
  std::string config, deepsort, device = "CPU";
};

// Keys of the two configuration texts and what they are called here.
struct TrackKey {
  const char *key, *name;
};
constexpr TrackKey config_track_keys[] = {
    {"tracking_per_class", "tracking-per-class"},
    {"max_num_objects", "max-objects"},
};
constexpr TrackKey deepsort_keys[] = {
    {"max_iou_distance", "max-iou-distance"},
    {"max_age", "max-age"},
    {"n_init", "min-hits"},
    {"max_cosine_distance", "max-feature-distance"},
    {"nn_budget", "feature-history"},
    {"object_class", "object-class"},
    {"reid_max_age", "reid-max-age"},
};

Status read_keys(const char* property, const std::string& text, std::span<const TrackKey> keys,
                 Settings& settings) {
  auto pairs = parse_config(text);
  if (!pairs) return fail(pairs.error().code, "{}: {}", property, pairs.error().message);
  const auto& tracker = find_element(tracker_name)->params;
  for (const auto& [key, value] : *pairs) {
    const auto known =
        std::ranges::find(keys, key, [](const TrackKey& entry) { return std::string(entry.key); });
    if (known == keys.end()) {
      std::string names;
      for (const TrackKey& entry : keys) names += std::string(names.empty() ? "" : ", ") + entry.key;
      return fail(ErrorCode::invalid_argument, "{}: {} is not known; known: {}", property, key, names);
    }
    if (auto parsed = tracker.find(known->name)->parse(value); !parsed)
      return fail(ErrorCode::invalid_argument, "{}: {}: {}", property, key, parsed.error().message);
    set(settings, known->name, value);
  }
  return {};
}

Result<Stages> build_gvatrack(const ParamSet& params) {
  const auto& values = params.as<GvaTrackParams>();
  Settings settings{{"tracking-per-class", "true"}};
  const bool deep_sort = values.type == GvaTrackingType::deep_sort;
  if (deep_sort) {
    settings.insert(settings.end(), {{"spatial-feature-distance", "cosine"},
                                     {"spatial-feature-metadata-name", ""},  // whatever is on the objects
                                     {"max-iou-distance", "0.7"},
                                     {"max-age", "30"},
                                     {"min-hits", "3"},
                                     {"max-feature-distance", "0.2"},
                                     {"feature-history", "100"}});
  }
  if (auto status = read_keys("config", values.config, config_track_keys, settings); !status)
    return forward_error(status);
  if (auto status = read_keys("deepsort-trck-cfg", values.deepsort, deepsort_keys, settings); !status)
    return forward_error(status);
  // The names have the numbers of tracking_types, but for the last one.
  constexpr const char* names[] = {"zero-term", "short-term-imageless", "zero-term-imageless"};
  SpatialFeature feature = SpatialFeature::none;
  if (deep_sort) {
    set(settings, "generate-objects", "false");
    set(settings, "adjust-objects", "false");
  } else {
    const TrackingType& type =
        *std::ranges::find(tracking_types, std::string_view(names[size_t(values.type)]),
                           [](const TrackingType& t) { return std::string_view(t.name); });
    apply(type, settings);
    feature = type.feature;
  }
  if (feature == SpatialFeature::none) return only({tracker_name, std::move(settings)});
  ParamSet inference(find_bin("video_inference")->params);
  if (auto status = inference.set_text("device", values.device); !status) return forward_error(status);
  for (const auto& [name, text] : settings)
    if (name == "object-class")
      if (auto status = inference.set_text(name, text); !status) return forward_error(status);
  return with_histogram(true, std::move(settings), inference);
}

ParamTable gvatrack_params() {
  return ParamTable::of<GvaTrackParams>({
      param("tracking-type", &GvaTrackParams::type,
            "zero-term: number objects by place and colours; short-term-imageless: by place, missed ones are "
            "filled in; zero-term-imageless: by place; deep-sort: by place and the embeddings that the "
            "objects have")
          .choices({"zero-term", "short-term-imageless", "zero-term-imageless", "deep-sort"}),
      param("config", &GvaTrackParams::config, "KEY=VALUE,…: tracking_per_class (true), max_num_objects"),
      param("deepsort-trck-cfg", &GvaTrackParams::deepsort,
            "KEY=VALUE,…: max_iou_distance (0.7), max_age (30), n_init (3), max_cosine_distance (0.2), "
            "nn_budget (100), object_class, reid_max_age (0)"),
      param("device", &GvaTrackParams::device, "where colours are looked at"),
  });
}

// ---- drawing

enum class OverlayDevice { cpu = 1, gpu = 2 };

struct OverlayParams : Forwarded {
  OverlayDevice device = OverlayDevice::cpu;
};
struct WatermarkParams : Forwarded {
  std::string device;
};

// Frames in CUDA memory are drawn on where they lie, unless the CPU is asked for. Otherwise frames that are
// not in system memory are brought there and back, by GStreamer's own elements; the caps outside stay as they
// are.
MemoryStage overlay_for(MemoryKind memory, const ElementSettings& overlay, bool on_cpu) {
  const auto in = [](const char* feature) { return caps_filter(std::format("video/x-raw({})", feature)); };
  BackendNeeds needs{std::format("drawing into {} memory", to_string(memory)), {}, {"system memory"}};
  if (memory == MemoryKind::cuda) needs.missing = missing({Facility::cuda});
  if (memory == MemoryKind::va || memory == MemoryKind::dmabuf)
    needs.missing = missing({Facility::va_display});
  switch (memory) {
    case MemoryKind::cuda:
      if (!on_cpu) return {{overlay}, needs};
      return {{{"cudadownload", {}}, overlay, {"cudaupload", {}}, in("memory:CUDAMemory")}, needs};
    case MemoryKind::va:
    case MemoryKind::dmabuf:
      return {{{"vapostproc", {}},
               caps_filter("video/x-raw"),
               overlay,
               {"vapostproc", {}},
               in(memory == MemoryKind::va ? "memory:VAMemory" : "memory:DMABuf")},
              needs};
    default:
      return {{overlay}, needs};
  }
}

Result<Stages> build_overlay(const ParamSet& params) {
  const ElementSettings overlay{overlay_name, forwarded_settings(overlay_name, params)};
  auto plan = only(overlay);
  const auto device = params.get("device");
  const std::string name =
      device && params.is_set("device") ? params.table().find("device")->to_text(*device) : "";
  const bool on_cpu = name == "CPU";
  plan->preprocess_for = [overlay, on_cpu](MemoryKind memory) -> Result<MemoryStage> {
    return overlay_for(memory, overlay, on_cpu);
  };
  if (!name.empty() && !on_cpu && name != "AUTO" && !missing({Facility::cuda}).empty())
    plan->warnings.push_back("device=" + name + ": there is no CUDA device here; drawn on the CPU");
  return plan;
}

ParamTable overlay_params() {
  std::vector<ParamDesc> list;
  forward_all(find_element(overlay_name)->params, list);
  list.push_back(param("device", &OverlayParams::device,
                       "where to draw on frames in CUDA memory; where it is not set they are drawn on the "
                       "GPU as well, and "
                       "frames in system memory always on the CPU")
                     .choices({"CPU", "GPU"}, {1, 2}));
  return ParamTable::of<OverlayParams>(std::move(list));
}

// As the older element had them: without the selectors.
ParamTable watermark_params() {
  std::vector<ParamDesc> list;
  forward_all(find_element(overlay_name)->params, list);
  std::erase_if(list, [](const ParamDesc& desc) { return desc.name == "select" || desc.name == "draw"; });
  list.push_back(
      param("device", &WatermarkParams::device,
            "where to draw on frames in CUDA memory; empty: on the GPU; frames in system memory are "
            "always drawn on the CPU"));
  return ParamTable::of<WatermarkParams>(std::move(list));
}

}  // namespace

std::vector<const BinDesc*> object_bins() {
  static const BinDesc object_track{"object_track",
                                    "Object tracking",
                                    "Bin/Analyzer/Video",
                                    "Gives objects the numbers that they had in earlier frames",
                                    track_params(),
                                    build_track,
                                    live_track};
  static const BinDesc gvatrack{"gvatrack",
                                "Object tracking (gva name)",
                                "Bin/Analyzer/Video",
                                "object_track under its older name",
                                gvatrack_params(),
                                build_gvatrack,
                                nullptr};
  static const BinDesc meta_overlay{"meta_overlay",
                                    "Result overlay",
                                    "Bin/Filter/Effect/Video",
                                    "Draws boxes, labels and track numbers into the picture",
                                    overlay_params(),
                                    build_overlay,
                                    live};
  static const BinDesc gvawatermark{"gvawatermark",
                                    "Result overlay (gva name)",
                                    "Bin/Filter/Effect/Video",
                                    "meta_overlay under its older name",
                                    watermark_params(),
                                    build_overlay,
                                    live};
  return {&object_track, &gvatrack, &meta_overlay, &gvawatermark};
}

}  // namespace sightglass
