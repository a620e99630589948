// What every decoder of boxes owes its callers whatever comes in: an error of one line that says what is
// wrong, or a bounded number of boxes that are numbers. Shapes and values are those of networks gone wrong.
#include <gtest/gtest.h>

#include <random>

#include "sightglass/elements/detection/candidates.h"
#include "sightglass/elements/detection/decoder_test_support.h"

namespace sightglass {
namespace {

struct Decoder {
  std::string name;
  test::Settings settings;
};
std::vector<Decoder> decoders() {
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

std::vector<std::vector<Shape>> outputs() {
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

std::vector<float> values(int64_t count, Fill fill) {
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

void expect_sound(const Frame& frame) {
  EXPECT_LE(frame.regions.size(), max_frame_objects);
  for (const Region& region : frame.regions) {
    const Box& box = region.box;
    EXPECT_TRUE(std::isfinite(box.x) && std::isfinite(box.y) && std::isfinite(box.w) &&
                std::isfinite(box.h) && std::isfinite(region.confidence) && std::isfinite(region.angle));
    EXPECT_TRUE(box.w >= 0 && box.h >= 0);
    if (!region.attributes) continue;
    for (const Attribute& attribute : region.attributes->items()) {
      for (const float value : attribute.values) EXPECT_TRUE(std::isfinite(value));
      if (attribute.kind != AttributeKind::mask) continue;
      for (const float value : test::values_of<float>(attribute.tensor))
        EXPECT_TRUE(value >= 0 && value <= 1) << value;
    }
  }
}

TEST(Decoders, WhateverComesInGivesAnErrorOrSoundBoxes) {
  const auto shapes = outputs();
  for (const Decoder& decoder : decoders()) {
    for (const auto& tensors : shapes) {
      for (int fill = 0; fill < int(Fill::count); ++fill) {
        std::vector<Tensor> made;
        for (const Shape& shape : tensors)
          made.push_back(test::tensor<float>(shape, values(shape.elements(), Fill(fill))));
        SCOPED_TRACE(std::format("{} {} outputs, first {}, fill {}", decoder.name, tensors.size(),
                                 tensors[0].to_string(), fill));
        const auto decoded = test::decode(decoder.name, std::move(made), decoder.settings);
        EXPECT_EQ(decoded.error.find('\n'), std::string::npos);
        expect_sound(decoded.frame);
      }
    }
  }
}

// The format was agreed with free axes; what comes then may be anything.
TEST(Decoders, ShapesThatShowWithTheFrameAreChecked) {
  const auto shapes = outputs();
  for (const Decoder& decoder : decoders()) {
    for (const auto& agreed : shapes) {
      auto element = test::make<TransformInplace>(decoder.name, decoder.settings);
      ASSERT_TRUE(element->start());
      Format format;
      TensorsInfo info;
      for (const Shape& shape : agreed) {
        TensorInfo& tensor = info.tensors.emplace_back();
        tensor.shape = shape;
        for (size_t axis = 0; axis + 1 < tensor.shape.rank(); ++axis) tensor.shape[axis] = -1;
      }
      format.media = info;
      if (!element->configure(format, format)) continue;
      for (const auto& tensors : shapes) {
        std::vector<Tensor> made;
        for (const Shape& shape : tensors)
          made.push_back(test::tensor<float>(shape, values(shape.elements(), Fill::noise)));
        Frame frame = test::frame_of(std::move(made));
        SCOPED_TRACE(
            std::format("{} {} then {}", decoder.name, agreed[0].to_string(), tensors[0].to_string()));
        const auto done = element->process(frame);
        EXPECT_TRUE(done || done.error().message.find('\n') == std::string::npos);
        expect_sound(frame);
      }
    }
  }
}

TEST(Decoders, ABatchThatNobodyTookApartIsRefused) {
  for (const Decoder& decoder : decoders()) {
    auto element = test::make<TransformInplace>(decoder.name, decoder.settings);
    Frame frame = test::frame_of({test::tensor<float>({2, 84, 7}, std::vector<float>(2 * 84 * 7))});
    const Format format = test::format_of(frame);
    ASSERT_TRUE(element->start());
    if (!element->configure(format, format)) continue;
    frame.batch.resize(2);
    EXPECT_FALSE(element->process(frame)) << decoder.name;
    EXPECT_TRUE(frame.regions.empty());
  }
}

}  // namespace
}  // namespace sightglass
