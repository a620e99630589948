#include "sightglass/elements/opencv_meta_overlay/opencv_meta_overlay.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "sightglass/core/registry.h"
#include "sightglass/memory/system/system_memory.h"

namespace sightglass {
namespace {

constexpr std::optional<Color> no_color;
constexpr Color black{0, 0, 0}, white{255, 255, 255}, dark{24, 24, 24};

bool is_bright(Color color) { return 0.299 * color.r + 0.587 * color.g + 0.114 * color.b > 140; }

// Of a class without an id: the same in every run.
uint64_t hash_of(std::string_view text) {
  uint64_t hash = 14695981039346656037u;
  for (const char c : text) hash = (hash ^ uint8_t(c)) * 1099511628211u;
  return hash;
}

int to_pixels(float part, int size) { return int(std::lround(std::clamp(double(part) * size, -1e6, 1e6))); }

bool is_drawable(const Box& box) {
  return std::isfinite(box.x) && std::isfinite(box.y) && std::isfinite(box.w) && std::isfinite(box.h) &&
         box.w > 0 && box.h > 0;
}

// Part of a frame in pixels.
Rect to_rect(const Box& box, int width, int height) {
  const int x = to_pixels(box.x, width), y = to_pixels(box.y, height);
  return {x, y, to_pixels(box.right(), width) - x, to_pixels(box.bottom(), height) - y};
}

bool has_text(const Attribute& attribute) {
  return attribute.kind == AttributeKind::classification || attribute.kind == AttributeKind::multi ||
         attribute.kind == AttributeKind::text || attribute.kind == AttributeKind::number;
}

}  // namespace

MetaOverlay::MetaOverlay(const ParamSet& params) { update(params); }

void MetaOverlay::update(const ParamSet& params) {
  const Params& p = params.as<Params>();
  attach_label_mask_ = p.attach_label_mask;
  options_ = {
      .font_thickness = p.font_thickness,
      .show_labels = p.show_labels,
      .text_background = p.draw_txt_bg,
      .color_index = p.color_idx,
      .show = class_names(p.show_roi),
      .hide = class_names(p.hide_roi),
      .blur = p.enable_blur,
      .show_blur = class_names(p.show_blur_roi),
      .hide_blur = class_names(p.hide_blur_roi),
      .text_x = p.text_x,
      .text_y = p.text_y,
      .frame_text = p.ff_custom_txt,
      .average_rate = p.displ_avgfps,
      .oriented_boxes = p.obb,
  };
  if (params.is_set("lines-thickness")) options_.thickness = p.lines_thickness;
  if (params.is_set("font-scale")) options_.font_scale = p.font_scale;
  apply_display_config(p.displ_cfg, options_, warnings_);
  if (auto status = set_rules(p); !status) warnings_.push_back(kept_as_it_was(status.error()));
}

Status MetaOverlay::set_rules(const Params& params) {
  if (auto status = select_.set(params.select); !status) return status;
  if (params.draw == draw_) return {};
  auto rules = parse_draw_rules(params.draw);
  if (!rules) return forward_error(rules);
  rules_ = *std::move(rules);
  draw_ = params.draw;
  return {};
}

Status MetaOverlay::start() {
  if (auto opened = font_.open(); !opened) warnings_.push_back(opened.error().message);
  return {};
}

Result<Verdict> MetaOverlay::process(Frame& frame) {
  if (options_.average_rate && frames_++ == 0) first_frame_ = std::chrono::steady_clock::now();
  if (!frame.video || !has_work(frame)) return Verdict::pass;
  choose_looks(frame);
  if (attach_label_mask_) {
    if (auto attached = attach_label_masks(frame); !attached) return forward_error(attached);
    return Verdict::pass;
  }
  auto painter = target_.open(frame);
  if (!painter) return forward_error(painter);
  list_.begin(*frame.video, font_.atlas(), *painter);
  choose_sizes();
  bars_.clear();

  const std::vector<Region>& regions = frame.regions;
  for (size_t i = 0; i < regions.size(); ++i)
    if (looks_[i].blur) blur(regions[i]);
  Status drawn = draw_attributes(frame.attributes, nullptr, {.points = true, .masks = true});
  for (size_t i = 0; i < regions.size() && drawn; ++i)
    if (looks_[i].drawn()) drawn = draw_shape(regions[i], looks_[i]);
  // Labels last, so that no line crosses them.
  if (drawn && font_.usable()) {
    draw_frame_text(frame);
    if (options_.show_labels) {
      draw_contour_texts(frame.attributes);
      for (size_t i = 0; i < regions.size(); ++i)
        if (looks_[i].label) draw_label(regions[i], looks_[i]);
    }
  }
  const Status ended = list_.end();
  const Status closed = target_.close();
  const Status* const all[] = {&drawn, &ended, &closed};
  for (const Status* status : all)
    if (!*status) return std::unexpected(status->error());
  return Verdict::pass;
}

bool MetaOverlay::has_work(const Frame& frame) const {
  return !frame.regions.empty() || (frame.attributes && !frame.attributes->items().empty()) ||
         !options_.frame_text.empty() || options_.average_rate;
}

void MetaOverlay::choose_looks(const Frame& frame) {
  select_.begin(frame);
  for (DrawRule& rule : rules_) rule.match.begin(frame);
  looks_.clear();
  for (const Region& region : frame.regions) looks_.push_back(look_of(frame, region));
}

MetaOverlay::Look MetaOverlay::look_of(const Frame& frame, const Region& region) const {
  Look look;
  if (!is_drawable(region.box) || !select_.matches(frame, region)) return look;
  const bool shown = is_shown(region.label, options_.show, options_.hide);
  if (rules_.empty()) {
    look.box = look.label = look.points = look.masks = shown;
    look.blur = options_.blur && is_shown(region.label, options_.show_blur, options_.hide_blur);
    return look;
  }
  if (!shown) return look;
  for (const DrawRule& rule : rules_) {
    if (!rule.match.matches(frame, region)) continue;
    return {.box = rule.box,
            .label = rule.label.has_value(),
            .points = rule.dot,
            .masks = rule.mask,
            .blur = rule.blur,
            .rule = &rule};
  }
  return look;
}

Status MetaOverlay::configure(const Format& input, const Format&) { return target_.prepare(input.memory); }

// Two pixels and letters of 14 pixels at 576 rows, three and 25 at 1080.
void MetaOverlay::choose_sizes() {
  const int height = list_.height();
  const int line = height < 300 ? 1 : std::max(2, (height + 180) / 360);
  usual_thickness_ = thickness_ = options_.thickness ? std::max(*options_.thickness, 1) : line;
  const int em =
      options_.font_scale ? int(std::lround(30 * *options_.font_scale)) : std::max(10, (height + 21) / 42);
  font_.set_size(std::clamp(em, 4, 400), std::clamp(options_.font_thickness, 1, 20));
  padding_ = std::max(2, em / 6);
}

Color MetaOverlay::color_of(const Region& region, const std::optional<Color>& chosen) const {
  if (chosen) return *chosen;
  if (options_.color_index >= 0) return palette_color(uint64_t(options_.color_index));
  if (region.track > 0) return palette_color(uint64_t(region.track - 1));
  if (region.label_id >= 0) return palette_color(uint64_t(region.label_id));
  return palette_color(region.label.empty() ? 0 : hash_of(region.label.view()));
}

MetaOverlay::Style MetaOverlay::style_of(Color color) const {
  return {color, list_.ink(color), list_.ink(is_bright(color) ? black : white)};
}

// The lines lie half outside of the box, on even coordinates where chroma is shared, and inside the picture
// where the box ends at its edge.
Rect MetaOverlay::outline(const Region& region) const {
  const Box& box = region.box;
  const int grain = thickness_ > 1 ? list_.grain() : 1, half = thickness_ / 2;
  const auto snapped = [grain](int value) { return (value + grain / 2) & ~(grain - 1); };
  int left = snapped(to_pixels(box.x, list_.width()) - half),
      top = snapped(to_pixels(box.y, list_.height()) - half);
  int right = snapped(to_pixels(box.right(), list_.width()) + half),
      bottom = snapped(to_pixels(box.bottom(), list_.height()) + half);
  const int margin = 2 * thickness_;
  if (left < 0 && left >= -margin) left = 0;
  if (top < 0 && top >= -margin) top = 0;
  if (right > list_.width() && right <= list_.width() + margin) right = list_.width();
  if (bottom > list_.height() && bottom <= list_.height() + margin) bottom = list_.height();
  return {left, top, std::max(right - left, 1), std::max(bottom - top, 1)};
}

void MetaOverlay::blur(const Region& region) {
  const int x = to_pixels(region.box.x, list_.width()), y = to_pixels(region.box.y, list_.height());
  const int w = to_pixels(region.box.right(), list_.width()) - x,
            h = to_pixels(region.box.bottom(), list_.height()) - y;
  list_.mosaic({x, y, w, h}, std::max(4, std::min(w, h) / 6));
}

Status MetaOverlay::draw_shape(const Region& region, const Look& look) {
  const DrawRule* rule = look.rule;
  thickness_ = rule && rule->width ? *rule->width : usual_thickness_;
  const Ink ink = list_.ink(color_of(region, rule ? rule->color : no_color));
  const Ink tint = rule && rule->mask_color ? list_.ink(*rule->mask_color) : ink;
  // What is tinted lies below the lines.
  if (auto drawn = draw_attributes(region.attributes, &tint, look); !drawn) return drawn;
  if (look.box) draw_outline(region, ink);
  if (rule && rule->dot) draw_dot(region, look);
  thickness_ = usual_thickness_;
  return {};
}

// Of an object that has no points of its own.
void MetaOverlay::draw_dot(const Region& region, const Look& look) {
  if (region.attributes &&
      std::ranges::contains(region.attributes->items(), AttributeKind::keypoints, &Attribute::kind))
    return;
  const Point middle{(region.box.x + region.box.w / 2) * float(list_.width()),
                     (region.box.y + region.box.h / 2) * float(list_.height())};
  const float radius = look.rule->radius ? float(*look.rule->radius) : 1.25f * float(thickness_);
  list_.line(middle, middle, 2 * radius, list_.ink(color_of(region, look.rule->dot_color)));
}

void MetaOverlay::draw_outline(const Region& region, const Ink& ink) {
  if (region.angle == 0 || !std::isfinite(region.angle)) {
    list_.frame(outline(region), thickness_, ink);
    return;
  }
  const float w = float(list_.width()), h = float(list_.height());
  const float cx = (region.box.x + region.box.w / 2) * w, cy = (region.box.y + region.box.h / 2) * h;
  const float c = std::cos(region.angle), s = std::sin(region.angle);
  Point corners[4];
  for (int i = 0; i < 4; ++i) {
    const float dx = (i == 0 || i == 3 ? -0.5f : 0.5f) * region.box.w * w,
                dy = (i < 2 ? -0.5f : 0.5f) * region.box.h * h;
    corners[i] = {cx + c * dx - s * dy, cy + s * dx + c * dy};
  }
  for (int i = 0; i < 4; ++i) list_.line(corners[i], corners[(i + 1) % 4], float(thickness_), ink);
}

// Masks first, then outlines, then points; texts come later.
Status MetaOverlay::draw_attributes(const AttributesRef& list, const Ink* ink, const Look& look) {
  if (!list) return {};
  for (const Attribute& attribute : list->items())
    if (attribute.kind == AttributeKind::mask && look.masks && !options_.oriented_boxes)
      if (auto drawn = draw_mask(attribute, ink); !drawn) return drawn;
  uint64_t number = 0;
  for (const Attribute& attribute : list->items()) {
    const bool is_contour = attribute.kind == AttributeKind::contour;
    if (!is_contour && attribute.kind != AttributeKind::keypoints) continue;
    const Ink own = ink ? *ink : list_.ink(palette_color(number++));
    const DrawRule* rule = look.rule;
    if (is_contour && look.masks) draw_contour(attribute, own);
    if (!is_contour && look.points)
      draw_points(attribute, rule && rule->dot_color ? list_.ink(*rule->dot_color) : own,
                  rule && rule->radius ? float(*rule->radius) : 1.25f * float(thickness_));
  }
  return {};
}

void MetaOverlay::draw_contour(const Attribute& contour, const Ink& ink) {
  const float w = float(list_.width()), h = float(list_.height());
  const std::vector<float>& v = contour.values;
  const size_t points = v.size() / 2, lines = points > 2 ? points : points < 2 ? 0 : 1;
  for (size_t i = 0; i < lines; ++i) {
    const size_t next = (i + 1) % points;
    list_.line({v[2 * i] * w, v[2 * i + 1] * h}, {v[2 * next] * w, v[2 * next + 1] * h}, float(thickness_),
               ink);
  }
}

void MetaOverlay::draw_points(const Attribute& points, const Ink& ink, float radius) {
  const float w = float(list_.width()), h = float(list_.height()), line = float(thickness_);
  const std::vector<float>& v = points.values;
  const auto is_found = [&](size_t i) { return 3 * i + 2 < v.size() && v[3 * i] >= 0 && v[3 * i + 1] >= 0; };
  const auto place = [&](size_t i) { return Point{v[3 * i] * w, v[3 * i + 1] * h}; };
  if (points.legend)
    for (const auto& [from, to] : points.legend->links)
      if (is_found(from) && is_found(to)) list_.line(place(from), place(to), line, ink);
  for (size_t i = 0; 3 * i < v.size(); ++i)
    if (is_found(i)) list_.line(place(i), place(i), 2 * radius, ink);
}

Status MetaOverlay::draw_mask(const Attribute& mask, const Ink* ink) {
  if (!mask.tensor || mask.tensor.shape.rank() != 2 || mask.tensor.shape.elements() < 1) return {};
  Box part{0, 0, 1, 1};
  if (mask.values.size() == 4) part = {mask.values[0], mask.values[1], mask.values[2], mask.values[3]};
  if (!is_drawable(part)) return {};
  const Rect area = to_rect(part, list_.width(), list_.height());
  if (area.empty()) return {};
  auto mapping = map(mask.tensor, Access::read);
  if (!mapping) return forward_error(mapping);
  if (mapping->type() == DataType::f32)
    list_.scores(*std::move(mapping), area, ink ? *ink : list_.ink(palette_color(hash_of(mask.name.view()))));
  else if (mapping->type() == DataType::u8)
    list_.labels(*std::move(mapping), area);
  return {};
}

// "#12 person, glad, 34"
void MetaOverlay::compose(const Region& region, const Look& look) {
  text_.clear();
  if (look.rule) return look.rule->label->append(region, text_);
  if (region.track != 0) {
    char digits[24];
    const auto [end, error] = std::to_chars(digits, digits + sizeof digits, region.track);
    text_ += '#';
    text_.append(digits, end);
  }
  if (!region.label.empty()) {
    if (!text_.empty()) text_ += ' ';
    text_ += region.label.view();
  }
  append_texts(region.attributes, region.label);
}

void MetaOverlay::append_texts(const AttributesRef& list, Label but) {
  if (!list) return;
  for (const Attribute& attribute : list->items()) {
    if (!has_text(attribute) || attribute.text == but.view()) continue;
    // Counts stand beside the outlines.
    if (attribute.kind == AttributeKind::number && attribute.model == analytics_) continue;
    // What elements tell each other.
    if (attribute.model == track_ || attribute.model == tag_ || attribute.model == stream_) continue;
    if (attribute.text.empty() && attribute.kind != AttributeKind::number) continue;
    if (!text_.empty()) text_ += ", ";
    if (!attribute.text.empty()) {
      text_ += attribute.text;
    } else {
      char digits[32];
      const auto [end, error] =
          std::to_chars(digits, digits + sizeof digits, attribute.number, std::chars_format::general, 4);
      if (error == std::errc{}) text_.append(digits, end);
    }
  }
}

void MetaOverlay::draw_label(const Region& region, const Look& look) {
  compose(region, look);
  if (text_.empty()) return;
  const DrawRule* rule = look.rule;
  const std::optional<Color>& chosen = !rule ? no_color : rule->label_color ? rule->label_color : rule->color;
  draw_text_bar(outline(region), style_of(color_of(region, chosen)));
}

// The text beside a rectangle.
void MetaOverlay::draw_text_bar(const Rect& beside, const Style& style) {
  font_.lay_out(text_, list_.width() - 2 * padding_, line_);
  if (line_.items.empty()) return;
  const int grain = list_.grain();
  const auto whole = [grain](int size) { return (size + grain - 1) / grain * grain; };
  const Rect bar = place_bar(beside, whole(line_.width + 2 * padding_),
                             whole(font_.ascent() + font_.descent() + padding_ / 2));
  bars_.push_back(bar);
  if (options_.text_background) list_.fill(bar, style.ink);
  draw_bar(bar.x + padding_, bar.y + (bar.h - font_.ascent() - font_.descent()) / 2 + font_.ascent(), style);
}

// At the highest point of each.
void MetaOverlay::draw_contour_texts(const AttributesRef& list) {
  if (!list) return;
  uint64_t number = 0;
  for (const Attribute& attribute : list->items()) {
    if (attribute.kind == AttributeKind::keypoints) ++number;
    if (attribute.kind != AttributeKind::contour) continue;
    const Color color = palette_color(number++);
    const std::vector<float>& v = attribute.values;
    if (attribute.text.empty() || v.size() < 4) continue;
    size_t highest = 0;
    for (size_t i = 1; i < v.size() / 2; ++i)
      if (v[2 * i + 1] < v[2 * highest + 1]) highest = i;
    const float x = v[2 * highest], y = v[2 * highest + 1];
    if (!std::isfinite(x) || !std::isfinite(y)) continue;
    text_ = attribute.text;
    draw_text_bar({to_pixels(x, list_.width()), to_pixels(y, list_.height()), 1, 1}, style_of(color));
  }
}

// The texts as masks where they would be drawn, above the box.
Status MetaOverlay::attach_label_masks(Frame& frame) {
  if (!font_.usable() || !options_.show_labels) return {};
  list_.begin(*frame.video, font_.atlas(), nullptr);
  choose_sizes();
  bars_.clear();
  const float w = float(list_.width()), h = float(list_.height());
  for (size_t i = 0; i < frame.regions.size(); ++i) {
    Region& region = frame.regions[i];
    if (!looks_[i].label) continue;
    compose(region, looks_[i]);
    if (text_.empty()) continue;
    font_.lay_out(text_, list_.width() - 2 * padding_, line_);
    if (line_.items.empty() || line_.width < 1) continue;
    const Rect bar = place_bar(outline(region), line_.width, font_.ascent() + font_.descent());
    bars_.push_back(bar);
    auto tensor = allocate_tensor({.type = DataType::f32, .shape = {bar.h, bar.w}, .layout = Layout::hw});
    if (!tensor) return forward_error(tensor);
    {
      auto mapping = map(*tensor, Access::write);
      if (!mapping) return forward_error(mapping);
      std::ranges::fill(mapping->as<float>(), 0.0f);
      for (const TextLine::Item& item : line_.items) {
        const Glyph& glyph = *item.glyph;
        const std::vector<uint8_t>& masks = font_.atlas().masks;
        const int left = item.x + glyph.left, top = font_.ascent() - glyph.top;
        for (int y = std::max(0, -top); y < std::min(glyph.height, bar.h - top); ++y)
          for (int x = std::max(0, -left); x < std::min(glyph.width, bar.w - left); ++x) {
            float& score = mapping->row<float>(top + y)[left + x];
            score = std::max(score,
                             float(masks[glyph.first + size_t(y) * size_t(glyph.width) + size_t(x)]) / 255);
          }
      }
    }
    Attribute mask{.name = label_mask_,
                   .kind = AttributeKind::mask,
                   .text = text_,
                   .confidence = 1,
                   .values = {float(bar.x) / w, float(bar.y) / h, float(bar.w) / w, float(bar.h) / h}};
    mask.tensor = std::move(*tensor);
    region.attributes = with(region.attributes, std::move(mask));
  }
  return {};
}

// Above the box, else inside, else below, else to the right of what is there: the first place inside the
// picture that no other label takes.
Rect MetaOverlay::place_bar(const Rect& box, int width, int height) const {
  const int x = std::clamp(box.x, 0, std::max(list_.width() - width, 0));
  const int lowest = std::max(list_.height() - height, 0);
  const int places[] = {box.y - height, box.y, box.bottom(), box.bottom() - height};
  const auto in_the_way = [&](const Rect& bar) {
    return std::ranges::find_if(bars_, [&](const Rect& other) { return other.overlaps(bar); });
  };
  const auto is_inside = [&](int y) { return y >= 0 && y <= lowest; };
  for (const int y : places)
    if (const Rect bar{x, y, width, height}; is_inside(y) && in_the_way(bar) == bars_.end()) return bar;
  const auto first = std::ranges::find_if(places, is_inside);
  if (first == std::end(places)) return {x, std::clamp(box.y - height, 0, lowest), width, height};
  Rect bar{x, *first, width, height};
  for (auto other = in_the_way(bar); other != bars_.end(); other = in_the_way(bar)) {
    bar.x = other->right();
    if (bar.right() > list_.width()) return {x, *first, width, height};
  }
  return bar;
}

// The laid out line with its base line at y.
void MetaOverlay::draw_bar(int x, int y, const Style& style) {
  const bool on_bar = options_.text_background;
  const Ink shadow = list_.ink(black);
  for (const TextLine::Item& item : line_.items) {
    const Glyph& glyph = *item.glyph;
    if (glyph.width == 0) continue;
    const Rect area{x + item.x + glyph.left, y - glyph.top, glyph.width, glyph.height};
    if (!on_bar) list_.glyph({area.x + 1, area.y + 1, area.w, area.h}, glyph.first, shadow);
    list_.glyph(area, glyph.first, on_bar ? style.text_ink : style.ink);
  }
}

void MetaOverlay::append_average_rate() {
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - first_frame_).count();
  if (frames_ < 2 || seconds <= 0) return;
  char digits[32];
  const auto [end, error] = std::to_chars(digits, digits + sizeof digits, double(frames_ - 1) / seconds,
                                          std::chars_format::fixed, 1);
  if (error != std::errc{}) return;
  if (!text_.empty()) text_ += ", ";
  text_.append(digits, end);
  text_ += " fps";
}

// Results of the whole frame and the user's own text, in the corner.
void MetaOverlay::draw_frame_text(const Frame& frame) {
  text_ = options_.frame_text;
  if (options_.average_rate) append_average_rate();
  if (options_.show_labels) append_texts(frame.attributes, {});
  if (text_.empty()) return;
  font_.lay_out(text_, list_.width() - 2 * padding_, line_);
  const int width = line_.width + 2 * padding_, height = font_.ascent() + font_.descent() + padding_;
  const int x = std::clamp(options_.text_x, 0, std::max(list_.width() - width, 0));
  const int y =
      std::clamp(options_.text_y - font_.ascent() - padding_ / 2, 0, std::max(list_.height() - height, 0));
  const Rect bar{x, y, width, height};
  bars_.push_back(bar);
  const Style style{white, list_.ink(white), list_.ink(white)};
  if (options_.text_background) list_.fill(bar, list_.ink(dark), 190);
  draw_bar(x + padding_, y + padding_ / 2 + font_.ascent(), style);
}

namespace {

using Params = MetaOverlay::Params;

std::vector<PixelFormat> every_format() { return {all_pixel_formats().begin(), all_pixel_formats().end()}; }

const Registration registration({
    .name = "opencv_meta_overlay",
    .title = "Results overlay",
    .klass = "Filter/Effect/Video",
    .doc =
        "Draws boxes, labels, track numbers, attributes, points, masks, zones and lines into the picture, "
        "in whatever pixel format it has, where it lies: in memory of the CPU, or by kernels in CUDA memory.",
    .kind = ElementKind::transform_inplace,
    .input = {{VideoSpec{.formats = every_format()}},
              {VideoSpec{.formats = every_format()}, MemoryKind::cuda}},
    .writes_pixels = true,
    .params = ParamTable::of<Params>({
        param("lines-thickness", &Params::lines_thickness,
              "width of lines; when it is not set it grows with the picture")
            .range(1, 100)
            .in("px")
            .live(),
        param("font-thickness", &Params::font_thickness, "strength of letters; 1: as designed")
            .range(1, 20)
            .in("px")
            .live(),
        param("font-scale", &Params::font_scale,
              "size of letters, 1 is 30 pixels; when it is not set it grows with the picture")
            .range(0.1, 10)
            .live(),
        param("attach-label-mask", &Params::attach_label_mask,
              "attach texts as masks to the objects and leave the picture as it is"),
        param("displ-cfg", &Params::displ_cfg,
              "the following properties as key=value,key=value (also thickness and font-scale); they win "
              "over the properties")
            .live(),
        param("show-labels", &Params::show_labels, "draw texts").live(),
        param("color-idx", &Params::color_idx,
              "colour of everything, a number in the palette; -1: by track, else by class")
            .range(-1, 1000)
            .live(),
        param("font-type", &Params::font_type, "accepted for compatibility; there is one typeface").live(),
        param("draw-txt-bg", &Params::draw_txt_bg, "draw texts on a bar").live(),
        param("show-roi", &Params::show_roi, "classes that are drawn, separated by ':'; empty: all").live(),
        param("hide-roi", &Params::hide_roi, "classes that are not drawn, separated by ':'").live(),
        param("enable-blur", &Params::enable_blur, "make what is inside of the boxes unrecognisable").live(),
        param("show-blur-roi", &Params::show_blur_roi,
              "classes for enable-blur, separated by ':'; empty: all")
            .live(),
        param("hide-blur-roi", &Params::hide_blur_roi,
              "classes that enable-blur leaves as they are, separated by ':'")
            .live(),
        param("text-x", &Params::text_x, "left end of texts that belong to the whole frame")
            .range(0, 100000)
            .in("px")
            .live(),
        param("text-y", &Params::text_y, "base line of texts that belong to the whole frame")
            .range(0, 100000)
            .in("px")
            .live(),
        param("ff-custom-txt", &Params::ff_custom_txt, "text that is drawn into every frame").live(),
        param("displ-avgfps", &Params::displ_avgfps,
              "draw how many frames per second there have been on average")
            .live(),
        param("obb", &Params::obb, "of objects with masks draw the boxes only").live(),
        param("select", &Params::select, "selector of the objects that are drawn, as JSON; empty: all")
            .live(),
        param("draw", &Params::draw,
              "how which objects are drawn, a list of rules as JSON: match, box, label, dot, blur, mask; "
              "empty: "
              "all that there is")
            .live(),
    }),
    .create = [](const ParamSet& params) -> Result<std::unique_ptr<Element>> {
      const auto& values = params.as<Params>();
      if (auto status = Selection::check(values.select, "select"); !status) return forward_error(status);
      if (auto rules = parse_draw_rules(values.draw); !rules) return forward_error(rules);
      return std::make_unique<MetaOverlay>(params);
    },
});

}  // namespace
}  // namespace sightglass
