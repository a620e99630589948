// For tests of decoders: runs one on tensors and writes down what comes out, short enough to be compared.
#pragma once

#include <cmath>
#include <format>
#include <string>
#include <vector>

#include "sightglass/elements/element_test_support.h"

namespace sightglass::test {

using Texts = std::vector<std::string>;

inline long milli(float v) { return std::lround(double(v) * 1000); }

// "label_id confidence x,y,w,h" in thousandths, and the angle where there is one.
inline std::string text_of(const Region& r) {
  std::string text = std::format("{} {} {},{},{},{}", r.label_id, milli(r.confidence), milli(r.box.x),
                                 milli(r.box.y), milli(r.box.w), milli(r.box.h));
  if (r.angle != 0) text += std::format(" angle {}", milli(r.angle));
  return text;
}

// The points of an attribute of kind keypoints, "x,y,score" in thousandths.
inline std::string points_of(const Region& region, std::string_view name) {
  const Attribute* found = region.attributes ? region.attributes->find(name) : nullptr;
  if (!found || found->kind != AttributeKind::keypoints) return "none";
  std::string text;
  for (size_t i = 0; i + 2 < found->values.size(); i += 3)
    text += std::format("{}{},{},{}", i == 0 ? "" : " ", milli(found->values[i]), milli(found->values[i + 1]),
                        milli(found->values[i + 2]));
  return text;
}

// The cells of the mask of at least a half as rows of '#' and '.', and what it covers in thousandths.
inline Texts mask_of(const Region& region) {
  const Attribute* found = region.attributes ? region.attributes->find("mask") : nullptr;
  if (!found || found->kind != AttributeKind::mask || found->values.size() != 4) return {"none"};
  Texts rows = {std::format("{},{},{},{}", milli(found->values[0]), milli(found->values[1]),
                            milli(found->values[2]), milli(found->values[3]))};
  const auto cells = values_of<float>(found->tensor);
  for (int64_t y = 0; y < found->tensor.shape[0]; ++y) {
    std::string& row = rows.emplace_back();
    for (int64_t x = 0; x < found->tensor.shape[1]; ++x)
      row += cells[size_t(y * found->tensor.shape[1] + x)] >= .5f ? '#' : '.';
  }
  return rows;
}

// The frame after the element; its error instead, as `error`.
struct Decoded {
  Frame frame;
  std::string error;
};
inline Decoded decode(std::string_view element, std::vector<Tensor> tensors, const Settings& settings = {},
                      int batch_index = 0, const std::vector<std::string>& names = {}) {
  Decoded decoded{frame_of(std::move(tensors)), {}};
  decoded.frame.source = SourceId{.batch_index = batch_index};
  auto made = make<TransformInplace>(element, settings);
  if (auto done = run(*made, decoded.frame, names); !done) decoded.error = done.error().message;
  return decoded;
}

// One text for each region, or the error alone.
inline Texts decode_texts(std::string_view element, std::vector<Tensor> tensors,
                          const Settings& settings = {}, int batch_index = 0,
                          const std::vector<std::string>& names = {}) {
  const Decoded decoded = decode(element, std::move(tensors), settings, batch_index, names);
  if (!decoded.error.empty()) return {decoded.error};
  Texts texts;
  for (const Region& region : decoded.frame.regions) texts.push_back(text_of(region));
  return texts;
}

// The tensors of two frames as those of a batch.
template <class T>
Tensor batch_of(const Shape& one, const std::vector<T>& first, const std::vector<T>& second) {
  Shape both = one;
  both[0] = 2;
  std::vector<T> values = first;
  values.insert(values.end(), second.begin(), second.end());
  return tensor<T>(both, values);
}

}  // namespace sightglass::test
