#include "sightglass/elements/gvaattachroi/gvaattachroi.h"

#include <algorithm>
#include <cstdlib>

#include "sightglass/core/registry.h"

namespace sightglass {
namespace {

constexpr Time millisecond = 1'000'000;

Result<Box> parse_box(const std::string& text) {
  const ParamDesc list{.name = "roi", .type = ParamType::integers};
  const auto value = list.parse(text);
  const auto* v = value ? std::get_if<std::vector<int64_t>>(&*value) : nullptr;
  if (!v || v->size() != 4 || std::ranges::any_of(*v, [](int64_t n) { return n < 0 || n > 1'000'000; }) ||
      (*v)[2] <= (*v)[0] || (*v)[3] <= (*v)[1])
    return fail(ErrorCode::invalid_argument,
                "roi={}: must be x1,y1,x2,y2 in pixels with x1 < x2 and y1 < y2, such as 10,10,200,200",
                text);
  return Box{float((*v)[0]), float((*v)[1]), float((*v)[2] - (*v)[0]), float((*v)[3] - (*v)[1])};
}

Box scaled(const Box& box, const VideoInfo& video) {
  const float w = float(video.width), h = float(video.height);
  return {box.x / w, box.y / h, box.w / w, box.h / h};
}

}  // namespace

Status AttachRoi::start() {
  fixed_pixels_.reset();
  records_.clear();
  next_ = 0;
  if (params_.roi.empty() && params_.file_path.empty())
    return fail(ErrorCode::invalid_argument, "nothing to attach: set roi=x1,y1,x2,y2 or file-path=FILE");
  if (!params_.roi.empty()) {
    auto box = parse_box(params_.roi);
    if (!box) return forward_error(box);
    fixed_pixels_ = *box;
  }
  if (params_.file_path.empty()) return {};
  auto records = read_roi_file(params_.file_path);
  if (!records) return forward_error(records);
  records_ = std::move(*records);
  if (params_.mode != Mode::by_timestamp) return {};
  if (std::ranges::any_of(records_, [](const RoiRecord& record) { return record.time == no_time; }))
    return fail(ErrorCode::invalid_argument, "{}: mode=by-timestamp needs a timestamp in every record",
                params_.file_path);
  std::ranges::stable_sort(records_, {}, &RoiRecord::time);
  return {};
}

Status AttachRoi::configure(const Format& input, const Format&) {
  const VideoInfo* video = input.video();
  fixed_.reset();
  scaled_ = records_;
  const bool pixels = fixed_pixels_ || std::ranges::any_of(records_, [](const auto& record) {
                        return !record.pixels.empty();
                      });
  if (!pixels) return {};
  if (!video)
    return fail(ErrorCode::not_negotiated, "objects in pixels can be attached to video only, not to {}",
                to_string(input));
  for (RoiRecord& record : scaled_)
    for (const size_t place : record.pixels)
      record.regions[place].box = scaled(record.regions[place].box, *video);
  if (!fixed_pixels_) return {};
  const Box box = scaled(*fixed_pixels_, *video);
  if (box.x >= 1 || box.y >= 1) {
    warnings_.push_back(std::format("roi={} lies outside of the {}x{} picture; nothing is attached",
                                    params_.roi, video->width, video->height));
    return {};
  }
  fixed_ =
      Region{.box = {box.x, box.y, std::min(box.w, 1 - box.x), std::min(box.h, 1 - box.y)}, .confidence = 1};
  return {};
}

const RoiRecord* AttachRoi::record_for(const Frame& frame) {
  if (scaled_.empty()) return nullptr;
  if (params_.mode != Mode::by_timestamp) {
    if (params_.mode == Mode::in_loop && next_ >= scaled_.size()) next_ = 0;
    return next_ < scaled_.size() ? &scaled_[next_++] : nullptr;
  }
  if (frame.pts == no_time) return nullptr;
  const auto distance = [&](const RoiRecord& record) { return std::abs(record.time - frame.pts); };
  auto nearest = std::ranges::lower_bound(scaled_, frame.pts, {}, &RoiRecord::time);
  if (nearest == scaled_.end() || (nearest != scaled_.begin() && distance(nearest[-1]) < distance(*nearest)))
    --nearest;
  const Time most = frame.duration > 0 ? frame.duration / 2 : millisecond;
  return distance(*nearest) <= most ? &*nearest : nullptr;
}

Result<Verdict> AttachRoi::process(Frame& frame) {
  if (fixed_) frame.regions.push_back(*fixed_);
  if (const RoiRecord* record = record_for(frame)) {
    frame.regions.insert(frame.regions.end(), record->regions.begin(), record->regions.end());
    if (record->attributes && !frame.attributes) {
      frame.attributes = record->attributes;
    } else if (record->attributes) {
      for (const Attribute& attribute : record->attributes->items())
        frame.attributes = with(frame.attributes, attribute);
    }
  }
  return Verdict::pass;
}

namespace {

const Registration registration({
    .name = "gvaattachroi",
    .title = "Object attacher",
    .klass = "Filter/Metadata",
    .doc = "Attaches objects to frames: one box for all of them, or those that a JSON file lists frame by "
           "frame.",
    .kind = ElementKind::transform_inplace,
    .input = {{AnySpec{}}},
    .params = ParamTable::of<AttachRoi::Params>({
        param("roi", &AttachRoi::Params::roi,
              "box for every frame in pixels, x1,y1,x2,y2, the end not included"),
        param("file-path", &AttachRoi::Params::file_path,
              "JSON file with the objects of each frame, as metaconvert writes it"),
        param("mode", &AttachRoi::Params::mode, "which record of the file a frame gets")
            .choices({"in-order", "in-loop", "by-timestamp"}),
        param("write-roi-meta", &AttachRoi::Params::write_roi_meta,
              "write GstVideoRegionOfInterestMeta too, for elements that know nothing else"),
    }),
    .create = [](const ParamSet& params) -> Result<std::unique_ptr<Element>> {
      return std::make_unique<AttachRoi>(params.as<AttachRoi::Params>());
    },
});

}  // namespace
}  // namespace sightglass
