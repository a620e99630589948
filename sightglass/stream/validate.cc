#include "sightglass/stream/validate.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "sightglass/stream/uuid.h"

namespace sightglass::stream {
namespace {

__extension__ using Wide = __int128;

bool fits_nanoseconds(int64_t time, const Rational& base) {
  const Wide nanoseconds = Wide(time) * base.num * 1'000'000'000 / base.den;
  return nanoseconds >= INT64_MIN && nanoseconds <= INT64_MAX;
}

// W3C: version, trace id and parent id, none of them zero, and flags: 00-<32 hex>-<16 hex>-<2 hex>.
bool is_traceparent(std::string_view text) {
  if (text.size() < 55 || text[2] != '-' || text[35] != '-' || text[52] != '-') return false;
  if (text.substr(0, 2) == "ff" || (text.size() > 55 && (text.substr(0, 2) == "00" || text[55] != '-')))
    return false;
  const auto hex = [&](size_t at, size_t size) {
    return std::ranges::all_of(text.substr(at, size),
                               [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
  };
  const auto zero = [&](size_t at, size_t size) {
    return text.substr(at, size).find_first_not_of('0') == text.npos;
  };
  return hex(0, 2) && hex(3, 32) && hex(36, 16) && hex(53, 2) && !zero(3, 32) && !zero(36, 16);
}

void check_confidence(std::optional<float>& confidence) {
  if (!confidence) return;
  if (std::isnan(*confidence)) {
    confidence.reset();
  } else {
    confidence = std::clamp(*confidence, 0.f, 1.f);
  }
}

// Models have masks of their own size, which in small pictures may be more than these have pixels.
constexpr int64_t any_mask_cells = 1024 * 1024;

// In a picture of this size, or in any when it is 0. The box that counts is the upright one around the turned
// one.
bool is_possible(const Box& box, double width, double height) {
  const double angle = box.angle.value_or(0);
  if (!std::isfinite(box.xc) || !std::isfinite(box.yc) || !std::isfinite(angle)) return false;
  if (!(box.width >= 0) || !(box.height >= 0) || !std::isfinite(box.width) || !std::isfinite(box.height))
    return false;
  if (width <= 0) return true;
  const double c = std::abs(std::cos(angle)), s = std::abs(std::sin(angle));
  const double x = (box.width * c + box.height * s) / 2, y = (box.width * s + box.height * c) / 2;
  return box.xc + x >= 0 && box.yc + y >= 0 && box.xc - x <= width && box.yc - y <= height;
}

template <class T>
void keep_unless(std::vector<T>& items, auto&& drop) {
  size_t kept = 0;
  for (size_t i = 0; i < items.size(); ++i) {
    if (drop(items[i])) continue;
    if (kept != i) std::swap(items[kept], items[i]);
    ++kept;
  }
  items.resize(kept);
}

}  // namespace

Rejection Validator::check(Message& message) {
  if (message.trace && !is_traceparent(message.trace->traceparent)) message.trace.reset();
  if (message.frame) return check_frame(*message.frame);
  if (message.frame_update) return check_update(*message.frame_update);
  if (message.stream_update) return check_stream(*message.stream_update);
  if (message.user_data) return check_attributes(message.user_data->attributes);
  if (message.ack && is_zero(message.ack->producer)) return Rejection::uuid;
  return Rejection::none;
}

Rejection Validator::check_size(int32_t width, int32_t height) const {
  const bool possible = width > 0 && height > 0 && width <= limits_.side && height <= limits_.side &&
                        int64_t(width) * height <= limits_.pixels;
  return possible ? Rejection::none : Rejection::geometry;
}

Rejection Validator::check_rate(const Rational& rate) const {
  const bool possible = rate.num > 0 && rate.den > 0 && rate.num <= int64_t(limits_.rate) * rate.den;
  return possible ? Rejection::none : Rejection::geometry;
}

Rejection Validator::check_frame(VideoFrame& frame) {
  if (is_zero(frame.uuid)) return Rejection::uuid;
  if (check_size(frame.width, frame.height) != Rejection::none) return Rejection::geometry;
  if (frame.framerate && check_rate(*frame.framerate) != Rejection::none) return Rejection::geometry;
  if (frame.pixel_aspect.num <= 0 || frame.pixel_aspect.den <= 0) return Rejection::geometry;
  if (frame.orientation < 0 || frame.orientation >= 360 || frame.orientation % 90) return Rejection::geometry;

  const Rational& base = frame.time_base;
  const auto term = [&](int32_t value) { return value >= 1 && value <= limits_.time_base_term; };
  if (!term(base.num) || !term(base.den) || !fits_nanoseconds(frame.pts, base)) return Rejection::timestamp;
  if (frame.dts && (*frame.dts > frame.pts || !fits_nanoseconds(*frame.dts, base))) frame.dts.reset();
  if (frame.duration && (*frame.duration < 0 || !fits_nanoseconds(*frame.duration, base)))
    frame.duration.reset();

  most_cells_ = std::max(int64_t(frame.width) * frame.height, any_mask_cells);
  if (const Rejection r = check_attributes(frame.attributes); r != Rejection::none) return r;
  return check_objects(
      frame.objects, [](Object& object) -> Object& { return object; }, frame.width, frame.height, true);
}

Rejection Validator::check_update(FrameUpdate& update) {
  if (is_zero(update.frame)) return Rejection::uuid;
  if (const Rejection r = check_attributes(update.attributes); r != Rejection::none) return r;
  for (ObjectAttribute& item : update.object_attributes) {
    if (const Rejection r = check_attribute(item.attribute); r != Rejection::none) return r;
  }
  // The picture's size and the objects that it has already are known to the frame's owner only.
  return check_objects(
      update.objects, [](ObjectInsert& item) -> Object& { return item.object; }, 0, 0, false);
}

Rejection Validator::check_stream(StreamUpdate& update) {
  if ((update.width || update.height) &&
      check_size(update.width.value_or(1), update.height.value_or(1)) != Rejection::none) {
    return Rejection::geometry;
  }
  if (update.framerate && check_rate(*update.framerate) != Rejection::none) return Rejection::geometry;
  return check_attributes(update.attributes);
}

Rejection Validator::check_attributes(std::vector<Attribute>& attributes) {
  for (Attribute& attribute : attributes) {
    if (const Rejection r = check_attribute(attribute); r != Rejection::none) return r;
  }
  return Rejection::none;
}

Rejection Validator::check_attribute(Attribute& attribute) {
  if (++attributes_ > limits_.all_attributes) return Rejection::encoding;
  for (AttributeValue& value : attribute.values) {
    check_confidence(value.confidence);
    const auto bad = [](const Box& box) { return !is_possible(box, 0, 0); };
    const auto* box = std::get_if<Box>(&value.value);
    const auto* boxes = std::get_if<Boxes>(&value.value);
    if ((box && bad(*box)) || (boxes && std::ranges::any_of(boxes->boxes, bad))) {
      value.value = std::monostate();
      rejections_.count(Rejection::box);
    }
    const auto* mask = std::get_if<Mask>(&value.value);
    if (mask && !is_possible_mask(*mask)) {
      value.value = std::monostate();
      rejections_.count(Rejection::geometry);
    }
  }
  return Rejection::none;
}

// Its runs cover it exactly, and there is room for what it becomes.
bool Validator::is_possible_mask(const Mask& mask) {
  const int64_t cells = int64_t(mask.width) * mask.height;
  if (mask.width < 1 || mask.height < 1 || cells > most_cells_) return false;
  int64_t sum = 0;
  for (const int32_t run : mask.rle) {
    if (run < 0) return false;
    sum += run;
  }
  if (sum != cells || cells > limits_.mask_cells - mask_cells_) return false;
  mask_cells_ += cells;
  return true;
}

template <class T, class Owner>
Rejection Validator::check_objects(std::vector<T>& items, Owner&& owner, double width, double height,
                                   bool complete) {
  constexpr uint32_t nobody = UINT32_MAX;
  const size_t count = items.size();
  if (count == 0) return Rejection::none;
  // Three rows of scratch: items by id (of two with one id the first), the parent of each item, and which are
  // dropped.
  scratch_.resize(3 * count);
  const std::span by_id(scratch_.data(), count), parents(scratch_.data() + count, count),
      dropped(scratch_.data() + 2 * count, count);
  std::iota(by_id.begin(), by_id.end(), 0u);
  std::ranges::fill(dropped, 0u);
  const auto id = [&](uint32_t i) { return owner(items[i]).id; };
  std::ranges::sort(by_id, [&](uint32_t a, uint32_t b) { return id(a) != id(b) ? id(a) < id(b) : a < b; });
  const auto find = [&](int64_t wanted) {
    const auto found = std::ranges::lower_bound(by_id, wanted, {}, id);
    return found != by_id.end() && id(*found) == wanted ? *found : nobody;
  };

  // W-07: of the objects with one id the first stays.
  for (size_t i = 1; i < count; ++i) {
    if (id(by_id[i]) != id(by_id[i - 1])) continue;
    dropped[by_id[i]] = 1;
    rejections_.count(Rejection::object_graph);
  }
  // A parent that an update does not bring is one that the frame has.
  for (size_t i = 0; i < count; ++i) {
    std::optional<int64_t>& parent = owner(items[i]).parent_id;
    parents[i] = parent ? find(*parent) : nobody;
    if (parent && parents[i] == nobody && complete && !dropped[i]) {
      parent.reset();
      rejections_.count(Rejection::object_graph);
    }
  }
  // Each walk up ends at an object without a parent, or has been more steps than there are objects: then it
  // is in a cycle, or leads into one. From where it ends up the cycle is followed once and all its parents
  // are cleared.
  for (uint32_t i = 0; i < count; ++i) {
    size_t steps = 0;
    uint32_t at = i;
    for (; parents[at] != nobody && steps <= count; at = parents[at]) ++steps;
    if (parents[at] == nobody) continue;
    rejections_.count(Rejection::object_graph);
    for (uint32_t next; parents[at] != nobody; at = next) {
      next = parents[at];
      parents[at] = nobody;
      owner(items[at]).parent_id.reset();
    }
  }
  for (uint32_t i = 0; i < count; ++i) {
    size_t length = 1;
    for (uint32_t at = i; parents[at] != nobody; at = parents[at]) {
      if (++length > limits_.parent_chain) return Rejection::object_graph;
    }
  }

  // W-06: the children of a dropped object are those of its parent now. A chain of dropped ones is followed
  // to its end.
  for (size_t i = 0; i < count; ++i) {
    Object& object = owner(items[i]);
    if (dropped[i]) continue;
    if (const Rejection r = check_attributes(object.attributes); r != Rejection::none) return r;
    check_confidence(object.confidence);
    if (object.track_box && !is_possible(*object.track_box, width, height)) {
      object.track_box.reset();
      rejections_.count(Rejection::box);
    }
    if (is_possible(object.detection_box, width, height)) continue;
    dropped[i] = 1;
    rejections_.count(Rejection::box);
  }
  bool any = false;
  for (size_t i = 0; i < count; ++i) {
    any = any || dropped[i];
    std::optional<int64_t>& parent = owner(items[i]).parent_id;
    for (uint32_t up = parents[i]; up != nobody && dropped[up]; up = parents[up])
      parent = owner(items[up]).parent_id;
  }
  if (any) {
    keep_unless(items, [&](T& item) { return dropped[size_t(&item - items.data())] != 0; });
  }
  return Rejection::none;
}

}  // namespace sightglass::stream
