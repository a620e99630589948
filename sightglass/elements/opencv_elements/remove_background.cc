#include <cstring>

#include "sightglass/elements/module_element.h"
#include "sightglass/elements/opencv_elements/mask_picture.h"
#include "sightglass/elements/opencv_remove_background/opencv_remove_background.h"
#include "sightglass/memory/opencv/mat_memory.h"

namespace sightglass {
namespace {

class RemoveBackground final : public TransformInplace {
 public:
  explicit RemoveBackground(const OpencvRemoveBackgroundParams& params) : params_(params) {}

  static Result<std::unique_ptr<Element>> create(const ParamSet& params) {
    return std::make_unique<RemoveBackground>(params.as<OpencvRemoveBackgroundParams>());
  }

  void update(const ParamSet& params) override {
    params_.threshold = params.as<OpencvRemoveBackgroundParams>().threshold;
  }
  std::vector<std::string> take_warnings() override { return std::exchange(warnings_, {}); }

  Result<Verdict> process(Frame& frame) override {
    return without_exceptions([&]() -> Result<Verdict> {
      if (!frame.video || frame.tensors.size() != 1)
        return fail(ErrorCode::invalid_argument, "this frame is no picture of one plane");
      const cv::Size picture(frame.video->width, frame.video->height);
      cv::Rect area(0, 0, picture.width, picture.height);
      if (frame.crop) area &= cv::Rect(frame.crop->x, frame.crop->y, frame.crop->w, frame.crop->h);
      if (area.empty()) return Verdict::pass;
      keep_.create(area.size(), CV_8U);
      keep_.setTo(0);
      bool any = false;
      for (const Region& region : frame.regions)
        if (auto status = add(region.attributes, picture, area, any); !status) return forward_error(status);
      if (frame.regions.empty())
        if (auto status = add(frame.attributes, picture, area, any); !status) return forward_error(status);
      if (!any) {
        warn_once();
        return Verdict::pass;
      }
      if (auto status = clear(frame, area); !status) return forward_error(status);
      return Verdict::pass;
    });
  }

 private:
  // Adds what one mask covers to what is kept.
  Status add(const AttributesRef& attributes, cv::Size picture, const cv::Rect& area, bool& any) {
    const Attribute* mask = find_mask(attributes, params_.mask_metadata_name);
    if (!mask) return {};
    auto cells = MaskCells::open(*mask);
    if (!cells) return forward_error(cells);
    any = true;
    const cv::Rect part = pixels_of(covered(*mask), picture) & area;
    if (part.empty()) return {};
    foreground(*mask, *cells, params_.threshold, picture, part, scratch_, inside_);
    cv::Mat target = keep_(part - area.tl());
    cv::bitwise_or(target, inside_, target);
    return {};
  }

  // Pixels that are not kept become black; an alpha channel transparent.
  Status clear(Frame& frame, const cv::Rect& area) {
    auto pixels = map(frame.tensors[0], Access::read_write);
    if (!pixels) return forward_error(pixels);
    const size_t bytes = plane_layout(frame.video->format, 0).pixel_bytes;
    for (int y = 0; y < area.height; ++y) {
      const uint8_t* keep = keep_.ptr<uint8_t>(y);
      uint8_t* row = pixels->row<uint8_t>(area.y + y) + size_t(area.x) * bytes;
      for (int x = 0; x < area.width;) {
        if (keep[x]) {
          ++x;
          continue;
        }
        int end = x + 1;
        while (end < area.width && !keep[end]) ++end;
        std::memset(row + size_t(x) * bytes, 0, size_t(end - x) * bytes);
        x = end;
      }
    }
    return {};
  }

  void warn_once() {
    if (std::exchange(warned_, true)) return;
    warnings_.push_back(std::format("no mask called {} came along; such pictures stay as they are",
                                    params_.mask_metadata_name));
  }

  OpencvRemoveBackgroundParams params_;
  cv::Mat keep_, inside_, scratch_;
  std::vector<std::string> warnings_;
  bool warned_ = false;
};

const ModuleElement registration("opencv_remove_background", &RemoveBackground::create);

}  // namespace
}  // namespace sightglass
