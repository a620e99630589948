#include "sightglass/bins/object_bins.h"

#include <algorithm>
#include <map>

#include "sightglass/core/registry.h"
#include "sightglass/model/engine.h"

namespace sightglass {
namespace {

constexpr const char* tracker_name = "opencv_object_association";
constexpr const char* overlay_name = "opencv_meta_overlay";

// Parameters that the bin has from its element, by name.
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

std::vector<ParamDesc> all_forwarded(const char* element) {
  std::vector<ParamDesc> list;
  for (const auto& desc : find_element(element)->params.params) list.push_back(forwarded(desc));
  return list;
}

// What the user has set on the bin, as settings of the element.
Settings forwarded_settings(const char* element, const ParamSet& params) {
  Settings settings;
  for (const auto& desc : find_element(element)->params.params) {
    const auto* own = params.table().find(desc.name);
    if (!own || !params.is_set(desc.name)) continue;
    if (auto value = params.get(desc.name)) settings.emplace_back(desc.name, desc.to_text(*value));
  }
  return settings;
}

void set(Settings& settings, const std::string& name, const std::string& value) {
  std::erase_if(settings, [&](const auto& known) { return known.first == name; });
  settings.emplace_back(name, value);
}

Settings live(const ParamSet& params, const ElementDesc& element) {
  if (element.name != tracker_name && element.name != overlay_name) return {};
  auto settings = forwarded_settings(element.name.c_str(), params);
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
  std::string model, tracking_type, device = "CPU";
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

Status need_imageless(SpatialFeature feature, const std::string& model) {
  if (feature == SpatialFeature::none && model.empty()) return {};
  return fail(ErrorCode::unavailable,
              "tracking by appearance is not built in: it needs {}; usable: spatial-feature=none",
              feature == SpatialFeature::inference || !model.empty() ? "tensor_postproc_embedding"
                                                                     : "tensor_histogram");
}

Result<Stages> build_track(const ParamSet& params) {
  const auto& values = params.as<TrackParams>();
  auto settings = forwarded_settings(tracker_name, params);
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
    set(settings, "generate-objects", type->generate ? "true" : "false");
    set(settings, "adjust-objects", type->adjust ? "true" : "false");
    feature = type->feature;
  }
  if (auto status = need_imageless(feature, values.model); !status) return forward_error(status);
  return only({tracker_name, std::move(settings)});
}

ParamTable track_params() {
  auto list = all_forwarded(tracker_name);
  list.push_back(
      param("spatial-feature", &TrackParams::spatial_feature, "appearance that helps to tell objects apart")
          .choices({"none", "histogram", "sliced-histogram", "inference"}));
  list.push_back(param("tracking-type", &TrackParams::tracking_type,
                       "deprecated: zero-term, short-term and the -imageless forms of both"));
  list.push_back(param("model", &TrackParams::model, "embedding model, for spatial-feature=inference"));
  list.push_back(param("device", &TrackParams::device, "where that model runs"));
  return ParamTable::of<TrackParams>(std::move(list));
}

enum class GvaTrackingType { zero_term, short_term_imageless, zero_term_imageless, deep_sort };

struct GvaTrackParams {
  GvaTrackingType type = GvaTrackingType::zero_term_imageless;
  std::string config, deepsort, device = "CPU";
};

// Keys of the two configuration texts and what they are called here; empty: nothing to set.
constexpr std::pair<const char*, const char*> gva_track_keys[] = {
    {"tracking_per_class", "tracking-per-class"},
    {"max_num_objects", "max-objects"},
    {"max_iou_distance", "max-iou-distance"},
    {"max_age", "max-age"},
    {"n_init", "min-hits"},
    {"max_cosine_distance", "max-feature-distance"},
    {"nn_budget", "feature-history"},
    {"object_class", "object-class"},
    {"reid_max_age", "reid-max-age"},
};

Result<Stages> build_gvatrack(const ParamSet& params) {
  const auto& values = params.as<GvaTrackParams>();
  Settings settings{{"tracking-per-class", "true"}};
  for (const auto& text : {values.config, values.deepsort}) {
    auto pairs = parse_config(text);
    if (!pairs) return forward_error(pairs);
    for (const auto& [key, value] : *pairs) {
      const auto known =
          std::ranges::find(gva_track_keys, key, [](const auto& entry) { return std::string(entry.first); });
      if (known == std::end(gva_track_keys))
        return fail(ErrorCode::invalid_argument, "{} is not a setting of the tracker", key);
      set(settings, known->second, value);
    }
  }
  const bool generate = values.type == GvaTrackingType::short_term_imageless;
  set(settings, "generate-objects", generate ? "true" : "false");
  set(settings, "adjust-objects", "false");
  if (values.type == GvaTrackingType::zero_term) {
    if (auto status = need_imageless(SpatialFeature::sliced_histogram, ""); !status)
      return forward_error(status);
  }
  if (values.type == GvaTrackingType::deep_sort) set(settings, "spatial-feature-distance", "cosine");
  return only({tracker_name, std::move(settings)});
}

ParamTable gvatrack_params() {
  return ParamTable::of<GvaTrackParams>({
      param("tracking-type", &GvaTrackParams::type, "what the tracker may do between detections")
          .choices({"zero-term", "short-term-imageless", "zero-term-imageless", "deep-sort"}),
      param("config", &GvaTrackParams::config, "KEY=VALUE,…: tracking_per_class, max_num_objects"),
      param("deepsort-trck-cfg", &GvaTrackParams::deepsort,
            "KEY=VALUE,…: max_iou_distance, max_age, n_init, max_cosine_distance, nn_budget, …"),
      param("device", &GvaTrackParams::device, "ignored: the tracker needs no device"),
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

Result<Stages> build_overlay(const ParamSet& params) {
  return only({overlay_name, forwarded_settings(overlay_name, params)});
}

ParamTable overlay_params() {
  auto list = all_forwarded(overlay_name);
  list.push_back(
      param("device", &OverlayParams::device, "where to draw; frames in system memory are drawn on the CPU")
          .choices({"CPU", "GPU"}, {1, 2}));
  return ParamTable::of<OverlayParams>(std::move(list));
}

ParamTable watermark_params() {
  auto list = all_forwarded(overlay_name);
  list.push_back(param("device", &WatermarkParams::device,
                       "where to draw; frames in system memory are drawn on the CPU"));
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
                                    live};
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
