// For tests of decoders: all kinds of them, and outputs of networks gone wrong.
#pragma once

#include <cmath>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "sightglass/elements/element_test_support.h"

namespace sightglass::test {

struct Decoder {
  std::string name;
  Settings settings;
};
inline std::vector<Decoder> decoders() {
  const std::pair<std::string, std::string> width{"input-width", "64"}, height{"input-height", "64"};
  std::vector<Decoder> all = {{"tensor_postproc_ultraface", {}}, {"tensor_postproc_detection", {}}};
  for (const char* name : {"tensor_postproc_detection", "tensor_postproc_yolo", "tensor_postproc_gfl",
                           "tensor_postproc_yunet", "tensor_postproc_ssd_anchor"})
    all.push_back({name, {width, height}});
  for (const char* head : {"anchor", "x", "v8", "end2end"})
    for (const char* task : {"auto", "box", "obb", "pose", "seg"})
      all.push_back({"tensor_postproc_yolo", {width, height, {"head", head}, {"task", task}}});
  for (const char* version : {"2", "3", "5", "7"})
    all.push_back({"tensor_postproc_yolo", {width, height, {"version", version}, {"labels", "a,b"}}});
  all.push_back({"tensor_postproc_yolo", {width, height, {"head", "anchor"}, {"keypoints", "2"}}});
  all.push_back({"tensor_postproc_yolo", {{"version", "2"}, {"cells-number", "2"}, {"classes", "2"}}});
  all.push_back({"tensor_postproc_detection", {width, height, {"activation", "softmax"}}});
  all.push_back({"tensor_postproc_detection", {{"mask-index", "1"}, {"mask-extent", "input"}}});
  all.push_back({"tensor_postproc_detection", {{"box-offset", "0"}, {"confidence-offset", "4"}}});
  all.push_back(
      {"tensor_postproc_ssd_anchor", {width, height, {"keypoints", "6"}, {"weighted-nms", "true"}}});
  all.push_back({"tensor_postproc_ssd_anchor",
                 {width,
                  height,
                  {"strides", "<8,16,32>"},
                  {"variances", "<0.1,0.2>"},
                  {"softmax", "true"},
                  {"sigmoid", "false"}}});
  all.push_back({"tensor_postproc_gfl", {width, height, {"strides", "<8,16,32>"}, {"labels", "a,b"}}});
  for (Decoder& decoder : all) decoder.settings.push_back({"threshold", "0"});
  return all;
}

inline std::vector<std::vector<Shape>> outputs() {
  std::vector<std::vector<Shape>> all = {
      {{}},
      {{0}},
      {{1}},
      {{7}},
      {{0, 0, 0}},
      {{1, 0, 6}},
      {{1, 6, 0}},
      {{1, 1, 0, 7}},
      {{1, 1, 5, 7}},
      {{2, 5, 7}},
      {{1, 5, 6}},
      {{3, 5, 6}},
      {{5, 5}, {5}},
      {{1, 5, 4}, {1, 5}, {1, 5}},
      {{1, 5, 4}, {1, 5, 3}},
      {{5, 4}, {5, 9, 9}, {5}},
      {{1, 5, 4}, {1, 4, 3}},
      {{1, 5, 5}, {1, 5}, {1, 5, 3, 9, 9}},
      {{1, 84, 2}, {1, 84, 4}},
      {{1, 84, 7}},
      {{1, 84, 5}},
      {{2, 84, 9}},
      {{1, 252, 7}},
      {{1, 252, 11}},
      {{1, 7, 84}},
      {{1, 9, 84}, {1, 2, 8, 8}},
      {{1, 9, 84}, {1, 2, 0, 8}},
      {{1, 9, 84}, {2, 2, 8, 8}},
      {{1, 252, 9}, {1, 2, 8, 8}},
      {{1, 3, 8}, {1, 2, 8, 8}},
      {{1, 35, 2, 2}},
      {{1, 2, 2, 35}},
      {{1, 140}},
      {{1, 21, 2, 2}, {1, 21, 4, 4}, {1, 21, 8, 8}},
      {{1, 3, 2, 2, 7}, {1, 3, 4, 4, 7}, {1, 3, 8, 8, 7}},
      {{1, 3, 0, 2, 7}},
      {{1, 3, 2, 2, 3}},
      {{1, 84, 1}, {1, 84, 16}},
      {{1, 224, 1}, {1, 224, 16}},
      {{1, 84, 34}},
      {{1, 2, 3, 4, 5, 6}},
  };
  std::vector<Shape> yunet, picodet, scrfd;
  for (const int64_t n : {64, 16, 4}) {
    for (const int64_t columns : {1, 1, 4, 10}) yunet.push_back({1, n, columns});
    for (const int64_t columns : {2, 32}) picodet.push_back({1, n, columns});
    for (const int64_t columns : {1, 4, 10}) scrfd.push_back({2 * n, columns});
  }
  all.push_back(yunet), all.push_back(picodet), all.push_back(scrfd);
  yunet[3] = {1, 64, 9};
  picodet[0] = {1, 63, 2};
  scrfd.pop_back();
  all.push_back(yunet), all.push_back(picodet), all.push_back(scrfd);
  return all;
}

enum class Fill { zero, one, nan, infinity, huge, negative, noise, wild, count };

inline std::vector<float> values(int64_t count, Fill fill) {
  std::minstd_rand random(unsigned(count) + 1);
  std::uniform_real_distribution<float> noise(-3, 3), exponent(-60, 60);
  std::vector<float> made(size_t(count), 0.f);
  for (size_t i = 0; i < made.size(); ++i) {
    switch (fill) {
      case Fill::one:
        made[i] = 1;
        break;
      case Fill::nan:
        made[i] = NAN;
        break;
      case Fill::infinity:
        made[i] = INFINITY;
        break;
      case Fill::huge:
        made[i] = 3e38f;
        break;
      case Fill::negative:
        made[i] = -3e38f;
        break;
      case Fill::noise:
        made[i] = noise(random);
        break;
      case Fill::wild:
        made[i] = i % 7 == 0 ? NAN : i % 5 == 0 ? -INFINITY : std::exp(exponent(random)) * noise(random);
        break;
      default:
        break;
    }
  }
  return made;
}

}  // namespace sightglass::test
