// What every decoder of boxes owes its callers whatever comes in: an error of one line that says what is
// wrong, or a bounded number of boxes that are numbers. Shapes and values are those of networks gone wrong.
#include <gtest/gtest.h>

#include "sightglass/elements/detection/candidates.h"
#include "sightglass/elements/detection/decoder_bad_input.h"
#include "sightglass/elements/detection/decoder_test_support.h"

namespace sightglass {
namespace {

using test::Decoder;
using test::decoders;
using test::Fill;
using test::outputs;
using test::values;

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
