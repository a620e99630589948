#include "sightglass/elements/opencv_object_association/opencv_object_association.h"

#include <algorithm>
#include <utility>

#include "sightglass/core/registry.h"

namespace sightglass {
namespace {

// A predicted box that covers a detected one shows the same thing twice.
constexpr float same_place = 0.7f;
constexpr double seconds_without_clock = 1.0 / 30;

TrackerParams tracker_params(const ObjectAssociation::Params& params) {
  const bool fills_in = params.generate_objects;
  return {
      .algorithm = params.algorithm,
      .per_class = params.tracking_per_class,
      .max_age = params.max_age ? params.max_age
                 : fills_in     ? 20
                                : 120,
      .min_hits = params.min_hits ? params.min_hits
                  : fills_in      ? 1
                                  : 3,
      .max_objects = params.max_objects,
      .max_iou_distance = float(params.max_iou_distance),
      .feature_distance = params.spatial_feature_distance,
      .max_feature_distance = float(params.max_feature_distance),
      .feature_history = params.feature_history,
      .reid_max_age = params.reid_max_age,
      .shape_weight = float(params.shape_feature_weight),
      .trajectory_weight = float(params.trajectory_feature_weight),
      .spatial_weight = float(params.spatial_feature_weight),
      .min_ratio_inside = float(params.min_region_ratio_in_boundary),
  };
}

std::vector<Label> class_list(std::string_view text) {
  std::vector<Label> labels;
  while (!text.empty()) {
    const size_t comma = std::min(text.find(','), text.size());
    std::string_view name = text.substr(0, comma);
    text.remove_prefix(std::min(comma + 1, text.size()));
    while (name.starts_with(' ')) name.remove_prefix(1);
    while (name.ends_with(' ')) name.remove_suffix(1);
    if (!name.empty()) labels.emplace_back(name);
  }
  return labels;
}

Attribute state_attribute(TrackState state) {
  return {
      .name = Label(track_state_name), .text = std::string(to_string(state)), .model = Label(track_model)};
}

Box inside_picture(const Box& box) {
  const float x = std::clamp(box.x, 0.0f, 1.0f), y = std::clamp(box.y, 0.0f, 1.0f);
  return {x, y, std::clamp(box.right(), 0.0f, 1.0f) - x, std::clamp(box.bottom(), 0.0f, 1.0f) - y};
}

}  // namespace

ObjectAssociation::ObjectAssociation(const Params& params)
    : params_(params),
      feature_name_(params.spatial_feature_metadata_name),
      classes_(class_list(params.object_class)),
      tracker_(tracker_params(params)) {
  if (auto status = select_.set(params.select); !status) warnings_.push_back(status.error().message);
  if (params.write_states) {
    lost_ = with(nullptr, state_attribute(TrackState::lost));
    tentative_ = with(nullptr, state_attribute(TrackState::tentative));
  }
}

void ObjectAssociation::update(const ParamSet& params) {
  const Params& values = params.as<Params>();
  classes_ = class_list(values.object_class);
  if (auto status = select_.set(values.select); !status) warnings_.push_back(kept_as_it_was(status.error()));
}

Status ObjectAssociation::configure(const Format& input, const Format&) {
  format_ = input;
  return {};
}

void ObjectAssociation::flush() {
  tracker_.reset();
  select_.reset();
  last_pts_ = no_time;
}

Result<Verdict> ObjectAssociation::process(Frame& frame) {
  // Tensors have no size in pixels; any square does.
  const VideoInfo* video = frame.video ? &*frame.video : format_.video();
  const float width = video && video->width > 0 ? float(video->width) : 1000;
  const float height = video && video->height > 0 ? float(video->height) : 1000;

  if (auto collected = collect(frame, width, height); !collected) return forward_error(collected);
  const size_t detected = frame.regions.size();
  for (const Track& track : tracker_.update(detections_, seconds_until(frame), {0, 0, width, height})) {
    const Box box{track.box.x / width, track.box.y / height, track.box.w / width, track.box.h / height};
    if (track.detection < 0) {
      if (params_.generate_objects) generate(frame, track, box, detected);
      continue;
    }
    Region& region = frame.regions[region_of_[track.detection]];
    region.track = track.id;
    if (params_.adjust_objects) {
      const Box adjusted = region.angle == 0 ? inside_picture(box) : box;
      if (adjusted.w > 0 && adjusted.h > 0) region.box = adjusted;
    }
    if (likenesses_.size() <= size_t(track.slot)) likenesses_.resize(track.slot + 1);
    likenesses_[track.slot] = {region.label, region.model, region.label_id, region.angle};
  }
  mappings_.clear();
  if (params_.write_states) write_tentative(frame);
  return Verdict::pass;
}

// Objects that are tracked and have no number yet.
void ObjectAssociation::write_tentative(Frame& frame) const {
  for (const size_t index : region_of_) {
    Region& region = frame.regions[index];
    if (region.track != 0) continue;
    region.attributes = region.attributes ? with(region.attributes, tentative_->items()[0]) : tentative_;
  }
}

Status ObjectAssociation::collect(Frame& frame, float width, float height) {
  detections_.clear();
  region_of_.clear();
  mappings_.clear();
  select_.begin(frame);
  for (size_t i = 0; i < frame.regions.size(); ++i)
    if (wanted(frame, frame.regions[i])) region_of_.push_back(i);
  for (const size_t index : region_of_) {
    Region& region = frame.regions[index];
    region.track = 0;
    Detection& detection = detections_.emplace_back();
    detection.box = {region.box.x * width, region.box.y * height, region.box.w * width,
                     region.box.h * height};
    detection.score = region.confidence > 0 ? region.confidence : 1;  // 0: the source knows no confidence
    detection.label = region.label;
    if (params_.spatial_feature_distance == FeatureDistance::none) continue;
    if (auto found = find_feature(region); !found) return found;
  }
  return {};
}

// The feature of the detection that was added last.
Status ObjectAssociation::find_feature(const Region& region) {
  if (!region.attributes) return {};
  for (const Attribute& attribute : region.attributes->items()) {
    if (!feature_name_.empty() && !(attribute.name == feature_name_)) continue;
    if (attribute.kind == AttributeKind::vector) {
      detections_.back().feature = attribute.values;
      return {};
    }
    if (attribute.kind != AttributeKind::tensor || attribute.tensor.type != DataType::f32 ||
        !attribute.tensor.dense() || attribute.tensor.shape.elements() < 2)
      continue;
    auto mapping = map(attribute.tensor, Access::read);
    if (!mapping) return forward_error(mapping);
    detections_.back().feature = mapping->as<const float>();
    mappings_.push_back(std::move(*mapping));
    return {};
  }
  return {};
}

void ObjectAssociation::generate(Frame& frame, const Track& track, const Box& box, size_t detected) const {
  const Likeness& likeness = likenesses_[track.slot];
  for (size_t i = 0; i < detected; ++i) {
    const Region& region = frame.regions[i];
    const bool comparable = !params_.tracking_per_class || region.label == likeness.label;
    if (comparable && iou(region.box, box) > same_place) return;
  }
  Region region;
  region.box = likeness.angle == 0 ? inside_picture(box) : box;
  if (!(region.box.w > 0 && region.box.h > 0)) return;
  region.angle = likeness.angle;
  region.confidence = track.score;
  region.label = likeness.label;
  region.label_id = likeness.label_id;
  region.model = likeness.model;
  region.track = track.id;
  region.attributes = lost_;
  frame.regions.push_back(std::move(region));
}

bool ObjectAssociation::wanted(const Frame& frame, const Region& region) const {
  return (classes_.empty() || std::ranges::contains(classes_, region.label)) &&
         select_.matches(frame, region);
}

// The first frame, and one whose clock runs backwards, counts as one ordinary step.
float ObjectAssociation::seconds_until(const Frame& frame) {
  const Time last = std::exchange(last_pts_, frame.pts);
  if (last != no_time && frame.pts > last) return float(double(frame.pts - last) / 1e9);
  if (frame.duration > 0) return float(double(frame.duration) / 1e9);
  const VideoInfo* video = frame.video ? &*frame.video : format_.video();
  if (video && video->frame_rate.num > 0) return float(video->frame_rate.den) / float(video->frame_rate.num);
  return float(seconds_without_clock);
}

namespace {

using Params = ObjectAssociation::Params;

const Registration registration({
    .name = "opencv_object_association",
    .title = "Object tracker",
    .klass = "Filter/Analyzer/Video",
    .doc = "Follows objects from frame to frame and numbers them, by position, shape and, where there is "
           "one, a feature vector.",
    .kind = ElementKind::transform_inplace,
    .input = {{AnySpec{}}},
    .params = ParamTable::of<Params>({
        param("generate-objects", &Params::generate_objects,
              "add tracked objects that were not detected, at their predicted place"),
        param("adjust-objects", &Params::adjust_objects, "smooth the boxes of tracked objects"),
        param("tracking-per-class", &Params::tracking_per_class, "match objects of equal label only"),
        param("spatial-feature-metadata-name", &Params::spatial_feature_metadata_name,
              "attribute that holds an object's feature, a vector or a float32 tensor; empty: the first one "
              "that can be one"),
        param("spatial-feature-distance", &Params::spatial_feature_distance,
              "how feature vectors are compared")
            .choices({"none", "cosine", "bhattacharyya"}),
        param("shape-feature-weight", &Params::shape_feature_weight,
              "weight of the shape (algorithm=association)")
            .range(0, 1),
        param("trajectory-feature-weight", &Params::trajectory_feature_weight,
              "weight of the place (algorithm=association)")
            .range(0, 1),
        param("spatial-feature-weight", &Params::spatial_feature_weight,
              "weight of the feature (algorithm=association)")
            .range(0, 1),
        param("min-region-ratio-in-boundary", &Params::min_region_ratio_in_boundary,
              "visible part of its predicted box below which an undetected object's track ends")
            .range(0, 1),
        param("algorithm", &Params::algorithm,
              "byte: two-stage association as in ByteTrack; sort: one stage; iou: without prediction; "
              "association: the weights above")
            .choices({"byte", "sort", "iou", "association"}),
        param("max-age", &Params::max_age,
              "frames without detection after which a track ends; 0: 20 when objects are generated, else 120")
            .in("frames"),
        param("min-hits", &Params::min_hits,
              "detections before an object gets its number; 0: 1 when objects are generated, else 3"),
        param("max-objects", &Params::max_objects, "objects that are tracked at once; 0: any number"),
        param("max-iou-distance", &Params::max_iou_distance,
              "largest distance of a match: 1 - intersection over union, or the weighted sum "
              "(algorithm=association)")
            .range(0, 1),
        param("max-feature-distance", &Params::max_feature_distance,
              "largest distance of feature vectors of a match")
            .range(0, 1),
        param("feature-history", &Params::feature_history,
              "feature vectors remembered per track, of which the nearest counts")
            .range(1, 1000),
        param("reid-max-age", &Params::reid_max_age,
              "frames for which an object that was lost is found again by its feature alone; 0: never")
            .in("frames"),
        param("object-class", &Params::object_class,
              "labels that are tracked, separated by commas; empty: all")
            .live(),
        param("select", &Params::select,
              "selector of the objects that are tracked, as JSON; others are passed by; empty: all")
            .live(),
        param("write-states", &Params::write_states,
              "say of objects whether they are tentative or lost, as the attribute state of the model track"),
        param("write-roi-meta", &Params::write_roi_meta,
              "write GstVideoRegionOfInterestMeta as well, for older elements"),
    }),
    .create = [](const ParamSet& params) -> Result<std::unique_ptr<Element>> {
      if (auto status = Selection::check(params.as<Params>().select, "select"); !status)
        return forward_error(status);
      return std::make_unique<ObjectAssociation>(params.as<Params>());
    },
});

}  // namespace
}  // namespace sightglass
