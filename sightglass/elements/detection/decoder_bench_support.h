// For benchmarks of decoders: outputs as real networks make them, most cells empty and some objects found
// several times.
#pragma once

#include <random>
#include <vector>

#include "sightglass/elements/element_test_support.h"

namespace sightglass::test {

inline constexpr int classes = 80;

// Scores of empty cells, close to 0 but not quite.
inline std::vector<float> background(size_t count) {
  std::minstd_rand random(1);
  std::uniform_real_distribution<float> score(0, .01f);
  std::vector<float> values(count);
  for (float& value : values) value = score(random);
  return values;
}

inline Tensor yolox_output(int cells) {
  std::vector<float> values = background(size_t(cells) * (5 + classes));
  for (int i = 0; i < 60; ++i) {
    float* row = values.data() + size_t(i * 37 % cells) * (5 + classes);
    row[2] = row[3] = 1.5f;
    row[4] = .9f;
    row[5 + i % 7] = .9f;
  }
  return tensor<float>({1, cells, 5 + classes}, values);
}

inline Tensor yolov8_output(int anchors) {
  std::vector<float> values = background(size_t(anchors) * (4 + classes));
  for (int i = 0; i < 60; ++i) {
    const int at = i * 37 % anchors;
    const float box[4] = {float(20 + i % 10 * 30), float(20 + i / 10 * 40), 40, 60};
    for (int c = 0; c < 4; ++c) values[size_t(c * anchors + at)] = box[c];
    values[size_t((4 + i % 7) * anchors + at)] = .8f;
  }
  return tensor<float>({1, 4 + classes, anchors}, values);
}

// Grids of an input of 640×640 as they leave the network: logits, nearly all of nothing; some objects in the
// finest one.
inline std::vector<Tensor> yolov5_outputs() {
  constexpr int entries = 5 + classes;
  std::vector<Tensor> grids;
  for (const int side : {80, 40, 20}) {
    std::vector<float> values(size_t(3 * side * side) * entries, -6.f);
    for (int i = 0; side == 80 && i < 60; ++i) {
      float* box = values.data() + size_t(i * 107) * entries;
      box[0] = box[1] = box[2] = box[3] = 0, box[4] = 3, box[5 + i % 7] = 3;
    }
    grids.push_back(tensor<float>({1, 3, side, side, entries}, values));
  }
  return grids;
}

}  // namespace sightglass::test
