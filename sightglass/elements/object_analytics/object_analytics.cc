#include "sightglass/elements/object_analytics/object_analytics.h"

#include <algorithm>
#include <format>

#include "sightglass/core/registry.h"

namespace sightglass {
namespace {

constexpr Time ordinary_step = 1'000'000'000 / 30;
constexpr Time longest_step = 10'000'000'000;
constexpr Time longest_absence = 500'000'000;  // that frames nobody looked at add to one

}  // namespace

ObjectAnalytics::ObjectAnalytics(const AnalyticsOptions& options, std::string_view select,
                                 std::string_view model_name, std::string_view when)
    : options_(options), counter_(options.counting), model_(model_name) {
  if (auto status = select_.set(select); !status) warnings_.push_back(status.error().message);
  if (auto status = when_.set(when); !status) warnings_.push_back(status.error().message);
  take_names();
}

Status ObjectAnalytics::configure(const Format& input, const Format&) {
  format_ = input;
  return {};
}

void ObjectAnalytics::update(const ParamSet& params) {
  auto options = read_analytics(params);
  if (!options) {
    warnings_.push_back(kept_as_it_was(options.error()));
    return;
  }
  if (auto status = select_.set(params.as<Params>().select); !status)
    warnings_.push_back(kept_as_it_was(status.error()));
  if (auto status = when_.set(params.as<Params>().when); !status)
    warnings_.push_back(kept_as_it_was(status.error()));
  options_ = *std::move(options);
  counter_.change(options_.counting);
  take_names();
}

void ObjectAnalytics::flush() {
  counter_.reset();
  select_.reset();
  when_.reset();
  looked_at_ = clock_, has_skipped_ = false;
  written_.clear();
  counters_ = nullptr;
  last_pts_ = no_time;
}

void ObjectAnalytics::take_names() {
  zone_names_.clear();
  line_names_.clear();
  for (const ZoneShape& zone : options_.counting.zones)
    zone_names_.push_back({Label(zone.name), Label(zone.name + "/entered"), Label(zone.name + "/left"),
                           Label("dwell/" + zone.name)});
  for (const ZoneShape& line : options_.counting.lines)
    line_names_.push_back({Label(line.name), Label(line.name + "/forward"), Label(line.name + "/backward")});
  tenths_.assign(zone_names_.size(), -1);
  written_.clear();
  counters_ = nullptr;
}

void ObjectAnalytics::resize(const Frame& frame) {
  // Tensors have no size in pixels: any will do where the shapes are parts of the picture.
  const VideoInfo* video = frame.video ? &*frame.video : format_.video();
  const float width = video && video->width > 0 ? float(video->width) : 1000;
  const float height = video && video->height > 0 ? float(video->height) : 1000;
  if (width == width_ && height == height_) return;
  width_ = width, height_ = height;
  counter_.resize(width, height);
  counters_ = nullptr;
}

// A clock that goes on whatever the time stamps do.
Time ObjectAnalytics::now(const Frame& frame) {
  const Time last = std::exchange(last_pts_, frame.pts);
  Time step = frame.duration > 0 ? frame.duration : ordinary_step;
  if (const VideoInfo* video = frame.video ? &*frame.video : format_.video();
      frame.duration <= 0 && video && video->frame_rate.num > 0)
    step = Time(1e9 * video->frame_rate.den / video->frame_rate.num);
  if (last != no_time && frame.pts > last) step = frame.pts - last;
  clock_ += std::min(step, longest_step);
  return clock_;
}

Result<Verdict> ObjectAnalytics::process(Frame& frame) {
  resize(frame);
  when_.begin(frame);
  Time time = now(frame);
  if (!when_.matches(frame)) {
    has_skipped_ = true;
    return Verdict::pass;
  }
  if (std::exchange(has_skipped_, false)) {
    time = clock_ = std::min(time, looked_at_ + longest_step);
    counter_.forgive(std::max<Time>(0, time - looked_at_ - longest_absence));
  }
  looked_at_ = time;
  ++frame_;
  seen_.clear();
  select_.begin(frame);
  for (const Region& region : frame.regions) {
    if (!select_.matches(frame, region)) continue;
    const float x = region.box.x + region.box.w / 2;
    const float y = region.box.y + (options_.anchor == Anchor::bottom ? region.box.h : region.box.h / 2);
    seen_.push_back({region.track, {x * width_, y * height_}});
  }
  const auto events = counter_.update(seen_, time);
  if (!zone_names_.empty()) write_objects(frame);
  write_frame(frame, events);
  return Verdict::pass;
}

void ObjectAnalytics::write_objects(Frame& frame) {
  for (Region& region : frame.regions) {
    if (region.track == 0) continue;
    bool anywhere = false;
    for (size_t i = 0; i < tenths_.size(); ++i) {
      const Time dwell = counter_.dwell(region.track, i);
      tenths_[i] = dwell < 0 ? -1 : dwell / 100'000'000;
      anywhere |= dwell >= 0;
    }
    if (!anywhere) continue;
    auto written = std::ranges::lower_bound(written_, region.track, {}, &Written::track);
    if (written == written_.end() || written->track != region.track) {
      written = written_.insert(written, Written{});
      written->track = region.track;
    }
    written->frame = frame_;
    if (!written->after || written->tenths != tenths_ || !(written->before == region.attributes)) {
      written->before = region.attributes;
      written->tenths = tenths_;
      written->after = described(region.attributes, tenths_);
    }
    region.attributes = written->after;
  }
  if (frame_ % 64 == 0)
    std::erase_if(written_, [this](const Written& entry) { return frame_ - entry.frame > 64; });
}

AttributesRef ObjectAnalytics::described(const AttributesRef& list,
                                         const std::vector<int64_t>& tenths) const {
  Attribute zones{.name = zones_name_, .kind = AttributeKind::multi, .confidence = 1, .model = model_};
  AttributesRef result = list;
  for (size_t i = 0; i < tenths.size(); ++i) {
    if (tenths[i] < 0) continue;
    if (!zones.text.empty()) zones.text += ", ";
    zones.text += zone_names_[i].zone.view();
    result = with(result, {.name = zone_names_[i].dwell,
                           .kind = AttributeKind::number,
                           .number = double(tenths[i]) / 10,
                           .model = model_});
  }
  return with(result, std::move(zones));
}

bool ObjectAnalytics::counters_changed() {
  bool changed = !counters_ || drawn_ != options_.draw || zone_counts_.size() != counter_.zone_count() ||
                 line_counts_.size() != counter_.line_count();
  for (size_t i = 0; i < zone_counts_.size() && !changed; ++i) changed = zone_counts_[i] != counter_.zone(i);
  for (size_t i = 0; i < line_counts_.size() && !changed; ++i) changed = line_counts_[i] != counter_.line(i);
  return changed;
}

void ObjectAnalytics::make_counters() {
  std::vector<Attribute> list;
  zone_counts_.clear();
  line_counts_.clear();
  drawn_ = options_.draw;
  const auto number = [&](Label name, uint64_t value) {
    list.push_back({.name = name, .kind = AttributeKind::number, .number = double(value), .model = model_});
  };
  const auto contour = [&](Label name, std::string text, std::span<const ZonePoint> points) {
    if (!options_.draw) return;
    Attribute& added = list.emplace_back(
        Attribute{.name = name, .kind = AttributeKind::contour, .text = std::move(text), .model = model_});
    for (const ZonePoint& point : points) {
      added.values.push_back(point.x);
      added.values.push_back(point.y);
    }
  };
  for (size_t i = 0; i < zone_names_.size(); ++i) {
    const auto& counted = counter_.zone(i);
    zone_counts_.push_back(counted);
    number(zone_names_[i].zone, counted.present);
    number(zone_names_[i].entered, counted.entered);
    number(zone_names_[i].left, counted.left);
    contour(zone_names_[i].zone, std::format("{}: {}", zone_names_[i].zone.view(), counted.present),
            counter_.zone_outline(i));
  }
  for (size_t i = 0; i < line_names_.size(); ++i) {
    const auto& counted = counter_.line(i);
    line_counts_.push_back(counted);
    number(line_names_[i].forward, counted.forward);
    number(line_names_[i].backward, counted.backward);
    contour(line_names_[i].line,
            std::format("{}: +{} -{}", line_names_[i].line.view(), counted.forward, counted.backward),
            counter_.line_outline(i));
  }
  counters_ = make_ref<const AttributeList>(std::move(list));
}

Attribute ObjectAnalytics::event_attribute(const ZoneEvent& event) const {
  using enum ZoneEvent::Kind;
  const bool of_line = event.kind == cross_forward || event.kind == cross_backward;
  Attribute attribute{.name = of_line               ? cross_
                              : event.kind == enter ? enter_
                                                    : leave_,
                      .kind = AttributeKind::number,
                      .number = double(event.track),
                      .model = model_};
  if (of_line)
    attribute.text = std::format("{} {}", line_names_[event.shape].line.view(),
                                 event.kind == cross_forward ? "forward" : "backward");
  else
    attribute.text = zone_names_[event.shape].zone.view();
  return attribute;
}

void ObjectAnalytics::write_frame(Frame& frame, std::span<const ZoneEvent> events) {
  if (zone_names_.empty() && line_names_.empty()) return;
  if (counters_changed()) make_counters();
  if (!frame.attributes && events.empty()) {
    frame.attributes = counters_;
    return;
  }
  std::vector<Attribute> list;
  if (frame.attributes) list = frame.attributes->items();
  list.insert(list.end(), counters_->items().begin(), counters_->items().end());
  for (const ZoneEvent& event : events) list.push_back(event_attribute(event));
  frame.attributes = make_ref<const AttributeList>(std::move(list));
}

namespace {

using Params = ObjectAnalytics::Params;

const Registration registration({
    .name = "object_analytics",
    .title = "Zones and lines",
    .klass = "Filter/Analyzer/Video",
    .doc =
        "Counts tracked objects in zones and across lines, and says how long they stay and when they enter, "
        "leave or cross.",
    .kind = ElementKind::transform_inplace,
    .input = {{AnySpec{}}},
    .params = ParamTable::of<Params>({
        param("config", &Params::config,
              "any of the following as YAML or JSON, a text or a file; properties that are set win")
            .live(),
        param("zones", &Params::zones,
              "name: [[x, y], [x, y], [x, y], …], in pixels or 0..1, as YAML or JSON, a text or a file")
            .live(),
        param("lines", &Params::lines,
              "name: [[x, y], [x, y]], the same way; forward is from the left of who looks from the first "
              "point to the second to the right")
            .live(),
        param("anchor", &Params::anchor,
              "point of a box that counts: its middle, or the middle of its lower side")
            .choices({"center", "bottom"})
            .live(),
        param("hysteresis", &Params::hysteresis, "distance from a border within which nothing changes")
            .range(0, 10000)
            .in("px")
            .live(),
        param("min-dwell", &Params::min_dwell, "time inside from which an object counts in a zone")
            .range(0, 86400000)
            .in("ms")
            .live(),
        param(
            "confirmed-only", &Params::confirmed_only,
            "count tracks from the third frame on in which they are seen; false: at once, and in zones also "
            "objects without a track")
            .live(),
        param("draw", &Params::draw, "outlines and counts for an overlay further on").live(),
        param("select", &Params::select, "selector of the objects that count, as JSON; empty: all").live(),
        param("when", &Params::when, "selector of the frames that are looked at, as JSON; empty: all").live(),
        param("model-name", &Params::model_name, "what results are said to come from"),
    }),
    .create = [](const ParamSet& params) -> Result<std::unique_ptr<Element>> {
      auto options = read_analytics(params);
      if (!options) return forward_error(options);
      const auto& values = params.as<Params>();
      if (auto status = Selection::check(values.select, "select"); !status) return forward_error(status);
      if (auto status = Selection::check(values.when, "when", Selector::Scope::frame); !status)
        return forward_error(status);
      return std::make_unique<ObjectAnalytics>(*options, values.select, values.model_name, values.when);
    },
});

}  // namespace
}  // namespace sightglass
