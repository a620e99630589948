// Contours are attributes of one name, the largest first for each class. `label_id` is the place, among those
// of the mask, of the contour that this one lies in, -1 for outermost ones; a hole lies in its outline.
#include <algorithm>
#include <opencv2/imgproc.hpp>

#include "sightglass/elements/module_element.h"
#include "sightglass/elements/opencv_elements/mask_picture.h"
#include "sightglass/elements/opencv_find_contours/opencv_find_contours.h"
#include "sightglass/memory/opencv/mat_memory.h"

namespace sightglass {
namespace {

// Cells are divided into this many steps, so that outlines of coarse masks are smooth.
constexpr int finest = 8, wanted_size = 256;

class FindContours final : public TransformInplace {
 public:
  explicit FindContours(const OpencvFindContoursParams& params)
      : params_(params), name_(params.contour_metadata_name) {}

  static Result<std::unique_ptr<Element>> create(const ParamSet& params) {
    return std::make_unique<FindContours>(params.as<OpencvFindContoursParams>());
  }

  void update(const ParamSet& params) override {
    params_.threshold = params.as<OpencvFindContoursParams>().threshold;
  }

  Result<Verdict> process(Frame& frame) override {
    return without_exceptions([&]() -> Result<Verdict> {
      for (Region& region : frame.regions)
        if (auto status = add(region.attributes); !status) return forward_error(status);
      if (auto status = add(frame.attributes); !status) return forward_error(status);
      return Verdict::pass;
    });
  }

 private:
  Status add(AttributesRef& attributes) {
    const Attribute* mask = find_mask(attributes, params_.mask_metadata_name);
    if (!mask) return {};
    auto cells = MaskCells::open(*mask);
    if (!cells) return forward_error(cells);
    std::vector<Attribute> list;
    for (const Attribute& item : attributes->items())
      if (item.kind != AttributeKind::contour || !(item.name == name_)) list.push_back(item);

    // A picture of the mask alone, its box being all of it.
    const cv::Size size = cells->mat().size();
    const int steps = std::clamp(wanted_size / std::max(size.width, size.height), 1, finest);
    const cv::Size fine(size.width * steps, size.height * steps);
    Attribute alone = *mask;
    alone.values.clear();
    foreground(alone, *cells, params_.threshold, fine, cv::Rect({0, 0}, fine), scratch_, inside_);
    if (cells->has_scores()) {
      follow(*mask, inside_, {}, list);
    } else {
      bool present[256] = {};
      for (int y = 0; y < size.height; ++y)
        for (int x = 0; x < size.width; ++x) present[cells->mat().at<uint8_t>(y, x)] = true;
      for (int id = 0; id < 256; ++id) {
        if (!present[id] || is_background(*mask, uint8_t(id))) continue;
        cv::compare(scratch_, id, inside_, cv::CMP_EQ);
        const bool named = mask->legend && size_t(id) < mask->legend->names.size();
        follow(*mask, inside_, named ? mask->legend->names[size_t(id)] : std::string(), list);
      }
    }
    attributes = make_ref<const AttributeList>(std::move(list));
    return {};
  }

  // Appends the contours of a picture of 0 and 255 that shows the whole mask.
  void follow(const Attribute& mask, const cv::Mat& picture, const std::string& text,
              std::vector<Attribute>& list) {
    cv::findContours(picture, contours_, hierarchy_, cv::RETR_TREE, cv::CHAIN_APPROX_SIMPLE);
    const auto area = [&](size_t i) { return cv::contourArea(contours_[i]); };
    order_.clear();
    for (size_t i = 0; i < contours_.size(); ++i)
      if (contours_[i].size() >= 3) order_.push_back(i);
    std::ranges::stable_sort(order_, [&](size_t a, size_t b) { return area(a) > area(b); });
    const Box box = covered(mask);
    for (size_t i : order_) {
      const auto parent = std::ranges::find(order_, size_t(hierarchy_[i][3]));
      Attribute contour{.name = name_, .kind = AttributeKind::contour, .text = text};
      contour.label_id =
          hierarchy_[i][3] < 0 || parent == order_.end() ? -1 : int32_t(parent - order_.begin());
      contour.confidence = mask.confidence;
      contour.model = mask.model;
      for (const cv::Point& point : contours_[i]) {
        contour.values.push_back(box.x + (float(point.x) + 0.5f) / float(picture.cols) * box.w);
        contour.values.push_back(box.y + (float(point.y) + 0.5f) / float(picture.rows) * box.h);
      }
      list.push_back(std::move(contour));
    }
  }

  OpencvFindContoursParams params_;
  Label name_;
  cv::Mat scratch_, inside_;
  std::vector<std::vector<cv::Point>> contours_;
  std::vector<cv::Vec4i> hierarchy_;
  std::vector<size_t> order_;
};

const ModuleElement registration("opencv_find_contours", &FindContours::create);

}  // namespace
}  // namespace sightglass
