// For tests of elements: makes one by its name and parameters as a pipeline would, builds tensors and
// pictures by hand, and keeps what comes out.
//
//   auto decoder = test::make<TransformInplace>("tensor_postproc_yolo", {{"threshold", "0.3"}});
//   Frame frame = test::frame_of({test::tensor<float>({1, 1, 6}, {…})});
//   ASSERT_TRUE(test::run(*decoder, frame));
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <initializer_list>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "sightglass/core/element.h"
#include "sightglass/core/registry.h"
#include "sightglass/memory/mapping.h"
#include "sightglass/memory/system/system_memory.h"

namespace sightglass::test {

using Settings = std::vector<std::pair<std::string, std::string>>;

// The parameters are checked as those of a pipeline are.
template <class Kind>
std::unique_ptr<Kind> make(std::string_view name, const Settings& settings = {}) {
  const ElementDesc* desc = find_element(name);
  if (!desc) throw std::runtime_error("no element " + std::string(name));
  ParamSet params(desc->params);
  for (const auto& [key, text] : settings)
    if (auto set = params.set_text(key, text); !set) throw std::runtime_error(set.error().message);
  auto element = desc->create(params);
  if (!element) throw std::runtime_error(element.error().message);
  return std::unique_ptr<Kind>(dynamic_cast<Kind*>(element->release()));
}

template <class T>
constexpr DataType type_of() {
  if constexpr (std::is_same_v<T, uint8_t>)
    return DataType::u8;
  else if constexpr (std::is_same_v<T, int32_t>)
    return DataType::i32;
  else if constexpr (std::is_same_v<T, int64_t>)
    return DataType::i64;
  else if constexpr (std::is_same_v<T, double>)
    return DataType::f64;
  else
    return DataType::f32;
}

template <class T>
Tensor tensor(const Shape& shape, const std::vector<T>& values, DataType type = type_of<T>()) {
  TensorInfo info;
  info.type = type;
  info.shape = shape;
  Tensor made = allocate_tensor(info).value();
  if (int64_t(values.size()) != shape.elements()) throw std::runtime_error("values do not fill the shape");
  if (!values.empty())
    std::memcpy(map(made, Access::write)->data(), values.data(), values.size() * sizeof(T));
  return made;
}

// All elements of a tensor, whatever its strides.
template <class T>
std::vector<T> values_of(const Tensor& from) {
  auto mapping = map(from, Access::read).value();
  std::vector<T> values;
  std::vector<int64_t> index(from.shape.rank(), 0);
  for (int64_t n = 0; n < from.shape.elements(); ++n) {
    const std::byte* at = mapping.data();
    for (size_t axis = 0; axis < index.size(); ++axis) at += index[axis] * from.strides[axis];
    values.push_back(*reinterpret_cast<const T*>(at));
    for (size_t axis = index.size(); axis-- > 0 && ++index[axis] == from.shape[axis];) index[axis] = 0;
  }
  return values;
}

inline Frame frame_of(std::vector<Tensor> tensors) {
  Frame frame;
  frame.pts = 0;
  frame.tensors = std::move(tensors);
  return frame;
}

// What the frame's tensors are, with names for the first ones.
inline Format format_of(const Frame& frame, const std::vector<std::string>& names = {},
                        const std::string& model = {}) {
  TensorsInfo info;
  info.model = model;
  for (const Tensor& tensor : frame.tensors) {
    TensorInfo& added = info.tensors.emplace_back();
    added.type = tensor.type;
    added.shape = tensor.shape;
    added.layout = tensor.layout;
    if (info.tensors.size() <= names.size()) added.name = names[info.tensors.size() - 1];
  }
  Format format;
  format.media = std::move(info);
  return format;
}

// A picture of zeros; planes one behind the other, rows padded to a multiple of `row_multiple` bytes.
inline Frame picture(PixelFormat pixel_format, int width, int height, int row_multiple = 1) {
  Frame frame;
  frame.pts = 0;
  frame.video = VideoInfo{.format = pixel_format, .width = width, .height = height};
  std::vector<size_t> strides, offsets;
  size_t size = 0;
  for (size_t p = 0; p < plane_count(pixel_format); ++p) {
    const size_t row = size_t(plane_width(*frame.video, p)) * plane_layout(pixel_format, p).pixel_bytes;
    strides.push_back((row + size_t(row_multiple) - 1) / size_t(row_multiple) * size_t(row_multiple));
    offsets.push_back(size);
    size += strides.back() * size_t(plane_height(*frame.video, p));
  }
  auto memory = allocate_memory(size).value();
  std::memset(memory->data(), 0, size);
  for (size_t p = 0; p < strides.size(); ++p) {
    const int64_t row = plane_width(*frame.video, p) * plane_layout(pixel_format, p).pixel_bytes;
    frame.tensors.push_back({memory,
                             offsets[p],
                             DataType::u8,
                             Layout::hw,
                             {plane_height(*frame.video, p), row},
                             {int64_t(strides[p]), 1}});
  }
  return frame;
}

inline Format format_of_picture(const Frame& frame) {
  Format format;
  format.media = *frame.video;
  return format;
}

// value(plane, row, byte of the row)
template <class F>
void fill(Frame& frame, F value) {
  for (size_t p = 0; p < frame.tensors.size(); ++p) {
    auto mapping = map(frame.tensors[p], Access::write).value();
    for (int64_t y = 0; y < mapping.shape()[0]; ++y)
      for (int64_t x = 0; x < mapping.shape()[1]; ++x)
        mapping.row<uint8_t>(y)[x] = uint8_t(value(int(p), int(y), int(x)));
  }
}

// Keeps what an element sends, in order.
class Collected final : public Output {
 public:
  Collected() = default;
  explicit Collected(Format format) : format_(std::move(format)) {}

  Status allocate(Frame& frame) override {
    ++allocated;
    if (const VideoInfo* video = format_.video()) {
      Frame made = picture(video->format, video->width, video->height, 4);
      frame.video = *video;
      frame.tensors = made.tensors;
    } else if (const TensorsInfo* infos = format_.tensors()) {
      frame.video.reset();
      frame.tensors.clear();
      for (const TensorInfo& info : infos->tensors) {
        auto made = allocate_tensor(info);
        if (!made) return forward_error(made);
        frame.tensors.push_back(*made);
      }
    }
    return {};
  }
  Status push(const Frame& frame) override {
    items.emplace_back(frame);
    return {};
  }
  Status gap(const Gap& gap) override {
    items.emplace_back(gap);
    return {};
  }

  const Frame& frame(size_t i) const { return std::get<Frame>(items.at(i)); }
  const Gap& gap_at(size_t i) const { return std::get<Gap>(items.at(i)); }
  bool is_gap(size_t i) const { return std::holds_alternative<Gap>(items.at(i)); }

  std::vector<std::variant<Frame, Gap>> items;
  int allocated = 0;

 private:
  Format format_;
};

// start, configure for this frame, process; the error of the first that fails.
inline Status run(TransformInplace& element, Frame& frame, const std::vector<std::string>& names = {}) {
  const Format format = format_of(frame, names, "model");
  if (auto started = element.start(); !started) return started;
  if (auto configured = element.configure(format, format); !configured) return configured;
  auto verdict = element.process(frame);
  if (!verdict) return forward_error(verdict);
  return {};
}

inline std::string message_of(const Status& status) {
  return status ? std::string("no error") : status.error().message;
}

}  // namespace sightglass::test
