// Reads codes with ZXing. A code that lies in several objects is that of the first one.
#include <ZXing/ReadBarcode.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <unordered_map>

#include "sightglass/elements/module_element.h"
#include "sightglass/elements/opencv_barcode_detector/opencv_barcode_detector.h"
#include "sightglass/memory/mapping.h"

namespace sightglass {
namespace {

using Params = OpencvBarcodeDetectorParams;

// Objects are looked at with so much around them: codes need a blank margin to be found.
constexpr float margin = 0.08f;
// Labels are never freed, so that only this many different texts, and no long ones, become one. The text is
// in the attribute `barcode` in any case.
constexpr size_t most_labels = 4096, longest_label = 256;

// One plane that codes can be read in, and which of its bytes count.
struct Channel {
  size_t plane;
  ZXing::ImageFormat format;
};

Channel channel_of(PixelFormat format) {
  using ZXing::ImageFormat;
  switch (format) {
    case PixelFormat::rgb:
      return {0, ImageFormat::RGB};
    case PixelFormat::bgr:
      return {0, ImageFormat::BGR};
    case PixelFormat::rgbx:
    case PixelFormat::rgba:
      return {0, ImageFormat::RGBA};
    case PixelFormat::bgrx:
    case PixelFormat::bgra:
      return {0, ImageFormat::BGRA};
    case PixelFormat::rgbp:
    case PixelFormat::bgrp:
      return {1, ImageFormat::Lum};  // green
    default:
      return {0, ImageFormat::Lum};
  }
}

// Grown, in pixels within the picture.
Crop pixels_of(const Box& box, const VideoInfo& video) {
  const auto at = [](float value, int size) {
    return int(std::clamp(std::round(value * float(size)), 0.f, float(size)));
  };
  const int x0 = at(box.x - margin * box.w, video.width), y0 = at(box.y - margin * box.h, video.height);
  return {x0, y0, at(box.right() + margin * box.w, video.width) - x0,
          at(box.bottom() + margin * box.h, video.height) - y0};
}

class BarcodeReader final : public TransformInplace {
 public:
  explicit BarcodeReader(const Params& params) { set(params); }

  static Result<std::unique_ptr<Element>> create(const ParamSet& params) {
    return std::make_unique<BarcodeReader>(params.as<Params>());
  }

  void update(const ParamSet& params) override { set(params.as<Params>()); }

  Result<Verdict> process(Frame& frame) override {
    const size_t objects = frame.regions.size();
    if (!frame.video) return fail(ErrorCode::invalid_argument, "codes are read in pictures; this is none");
    for (size_t i = 0; i < objects; ++i) {
      if (frame.regions[i].model == model_) continue;  // a code, of an earlier run
      const Crop area = pixels_of(frame.regions[i].box, *frame.video);
      if (auto status = read(frame, area, frame.regions[i].id); !status) return forward_error(status);
    }
    if (objects == 0) {
      const Crop area = frame.crop.value_or(Crop{0, 0, frame.video->width, frame.video->height});
      if (auto status = read(frame, area, -1); !status) return forward_error(status);
    }
    return Verdict::pass;
  }

 private:
  void set(const Params& params) {
    params_ = params;
    undecoded_ = Label(params.undecoded_label);
    options_.setReturnErrors(params.allow_undecoded);
  }

  // Adds the codes in a part of the picture.
  Status read(Frame& frame, const Crop& area, int32_t parent) {
    const auto [plane, format] = channel_of(frame.video->format);
    if (plane >= frame.tensors.size()) return fail(ErrorCode::corrupt, "the frame has no plane {}", plane);
    if (area.w <= 2 || area.h <= 2) return {};
    auto pixels = map(frame.tensors[plane], Access::read);
    if (!pixels) return forward_error(pixels);
    const auto* start = reinterpret_cast<const uint8_t*>(pixels->data()) + area.y * pixels->strides()[0] +
                        area.x * ZXing::PixStride(format);
    try {
      const ZXing::ImageView view(start, area.w, area.h, format, int(pixels->strides()[0]));
      for (const auto& code : ZXing::ReadBarcodes(view, options_)) add(frame, area, parent, code);
    } catch (const std::exception& exception) {
      return fail(ErrorCode::internal, "ZXing: {}", exception.what());
    }
    return {};
  }

  void add(Frame& frame, const Crop& area, int32_t parent, const ZXing::Barcode& code) {
    if (!code.isValid() && !params_.allow_undecoded) return;
    std::vector<float> corners;
    float left = 1, top = 1, right = 0, bottom = 0;
    for (const auto& point : code.position()) {
      const float x = float(area.x + point.x) / float(frame.video->width);
      const float y = float(area.y + point.y) / float(frame.video->height);
      corners.insert(corners.end(), {x, y});
      left = std::min(left, x), right = std::max(right, x);
      top = std::min(top, y), bottom = std::max(bottom, y);
    }
    // The line that a linear code was read along has no height of its own.
    const float pixel_w = 1 / float(frame.video->width), pixel_h = 1 / float(frame.video->height);
    Region found{.id = -1, .parent = parent};
    found.box = {left, top, std::max(right - left, pixel_w), std::max(bottom - top, pixel_h)};
    found.model = model_;
    found.confidence = code.isValid() ? 1 : 0;
    const std::string kind = ZXing::ToString(code.format());
    const std::string text = code.isValid() ? code.text() : std::string();
    const std::string shown = params_.add_type && code.isValid() ? kind + ": " + text : text;
    found.label = code.isValid() ? label_of(shown, kind) : undecoded_;
    const bool known =
        std::ranges::any_of(frame.regions, [&](const Region& other) { return is_same(other, found, text); });
    if (known) return;
    std::vector<Attribute> attributes(3);
    attributes[0] = {
        .name = text_name_, .kind = AttributeKind::text, .text = text, .confidence = found.confidence};
    attributes[1] = {
        .name = type_name_, .kind = AttributeKind::text, .text = kind, .confidence = found.confidence};
    attributes[2] = {.name = corners_name_, .kind = AttributeKind::contour, .values = std::move(corners)};
    for (Attribute& attribute : attributes) attribute.model = model_;
    found.attributes = make_ref<const AttributeList>(std::move(attributes));
    frame.regions.push_back(std::move(found));
  }

  bool is_same(const Region& a, const Region& b, const std::string& text) const {
    const Attribute* known = a.attributes ? a.attributes->find(text_name_.view()) : nullptr;
    if (!known || known->text != text) return false;
    const auto near = [](float x, float y) { return std::abs(x - y) < 0.02f; };
    return iou(a.box, b.box) > 0.3f || (near(a.box.x + a.box.w / 2, b.box.x + b.box.w / 2) &&
                                        near(a.box.y + a.box.h / 2, b.box.y + b.box.h / 2));
  }

  Label label_of(const std::string& text, const std::string& kind) {
    if (const auto known = labels_.find(text); known != labels_.end()) return known->second;
    if (labels_.size() >= most_labels || text.size() > longest_label) return Label(kind);
    return labels_.emplace(text, Label(text)).first->second;
  }

  Params params_;
  ZXing::ReaderOptions options_;
  Label undecoded_;
  const Label model_{"zxing"}, text_name_{"barcode"}, type_name_{"barcode-type"},
      corners_name_{"barcode-corners"};
  std::unordered_map<std::string, Label> labels_;
};

const ModuleElement registration("opencv_barcode_detector", &BarcodeReader::create);

}  // namespace
}  // namespace sightglass
