#include "sightglass/elements/opencv_elements/mask_picture.h"

#include <algorithm>
#include <cmath>
#include <opencv2/imgproc.hpp>

namespace sightglass {

const Attribute* find_mask(const AttributesRef& attributes, std::string_view name) {
  if (!attributes) return nullptr;
  const auto& items = attributes->items();
  const auto found = std::ranges::find_if(items, [&](const Attribute& item) {
    return item.kind == AttributeKind::mask && item.name.view() == name;
  });
  return found == items.end() ? nullptr : &*found;
}

Box covered(const Attribute& mask) {
  const auto& v = mask.values;
  if (v.empty()) return {0, 0, 1, 1};
  const bool sound = v.size() == 4 && std::ranges::all_of(v, [](float x) { return std::abs(x) < 1e4f; }) &&
                     v[2] > 0 && v[3] > 0;
  return sound ? Box{v[0], v[1], v[2], v[3]} : Box{};
}

Result<MaskCells> MaskCells::open(const Attribute& mask) {
  const Tensor& tensor = mask.tensor;
  const bool scores = tensor.type == DataType::f32, ids = tensor.type == DataType::u8;
  // The limit is that of OpenCV's coordinates.
  const auto fits = [](int64_t size) { return size > 0 && size < 32768; };
  if (!tensor || tensor.shape.rank() != 2 || !(scores || ids) || !fits(tensor.shape[0]) ||
      !fits(tensor.shape[1]) || tensor.strides[1] != int64_t(size_of(tensor.type)) || tensor.strides[0] < 0)
    return fail(ErrorCode::corrupt, "the mask {} is no [height, width] of float32 scores or uint8 ids",
                mask.name.view());
  MaskCells cells;
  auto mapping = map(tensor, Access::read);
  if (!mapping) return forward_error(mapping);
  cells.mapping_ = std::move(*mapping);
  cells.mat_ = cv::Mat(int(tensor.shape[0]), int(tensor.shape[1]), scores ? CV_32F : CV_8U,
                       cells.mapping_.data(), size_t(tensor.strides[0]));
  return cells;
}

bool is_background(const Attribute& mask, uint8_t label_id) {
  if (label_id == 255) return true;
  if (!mask.legend || label_id >= mask.legend->names.size()) return false;
  const std::string& name = mask.legend->names[label_id];
  return name == "background" || name == "Background" || name == "__background__";
}

cv::Rect pixels_of(const Box& box, cv::Size picture) {
  const auto at = [](double value, int size) { return int(std::clamp(value, 0.0, double(size))); };
  const int x0 = at(std::floor(double(box.x) * picture.width), picture.width);
  const int y0 = at(std::floor(double(box.y) * picture.height), picture.height);
  const int x1 = at(std::ceil(double(box.right()) * picture.width), picture.width);
  const int y1 = at(std::ceil(double(box.bottom()) * picture.height), picture.height);
  return {x0, y0, std::max(x1 - x0, 0), std::max(y1 - y0, 0)};
}

void foreground(const Attribute& mask, const MaskCells& cells, double threshold, cv::Size picture,
                const cv::Rect& part, cv::Mat& scratch, cv::Mat& out) {
  const Box box = covered(mask);
  // From a pixel of the part to the cell that its centre lies in.
  const double across = cells.mat().cols / (double(box.w) * picture.width),
               down = cells.mat().rows / (double(box.h) * picture.height);
  const cv::Matx23d to_cell(across, 0, (part.x + 0.5 - double(box.x) * picture.width) * across - 0.5, 0, down,
                            (part.y + 0.5 - double(box.y) * picture.height) * down - 0.5);
  const int method = cells.has_scores() ? cv::INTER_LINEAR : cv::INTER_NEAREST;
  cv::warpAffine(cells.mat(), scratch, to_cell, part.size(), method | cv::WARP_INVERSE_MAP,
                 cv::BORDER_REPLICATE);
  if (cells.has_scores()) {
    cv::compare(scratch, threshold, out, cv::CMP_GE);
  } else {
    uint8_t inside[256];
    for (int id = 0; id < 256; ++id) inside[id] = is_background(mask, uint8_t(id)) ? 0 : 255;
    cv::LUT(scratch, cv::Mat(1, 256, CV_8U, inside), out);
  }
}

}  // namespace sightglass
