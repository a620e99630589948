#include <gtest/gtest.h>

#include <algorithm>

#include "sightglass/core/allocation_count.h"
#include "sightglass/elements/detection/decoder_test_support.h"

namespace sightglass {
namespace {

using test::tensor;
using test::Texts;

// The outputs for an input of so many pixels, with nothing found yet: class, objectness, box, points of the
// strides 8, 16, 32.
struct Outputs {
  int width, height;
  std::vector<float> values[3][4];
  Outputs(int w, int h) : width(w), height(h) {
    for (int level = 0; level < 3; ++level)
      for (int part = 0; part < 4; ++part)
        values[level][part].assign(size_t(cells(level) * columns[part]), 0.f);
  }
  static constexpr int columns[4] = {1, 1, 4, 10};
  int cells(int level) const { return (width >> (3 + level)) * (height >> (3 + level)); }

  Outputs& set(int level, int cell, float cls, float obj, const std::vector<float>& box,
               const std::vector<float>& points = std::vector<float>(10, 0.f)) {
    values[level][0][size_t(cell)] = cls, values[level][1][size_t(cell)] = obj;
    std::ranges::copy(box, values[level][2].begin() + cell * 4);
    std::ranges::copy(points, values[level][3].begin() + cell * 10);
    return *this;
  }
  // All classes first, as the model has them.
  std::vector<Tensor> done() const {
    std::vector<Tensor> tensors;
    for (int part = 0; part < 4; ++part)
      for (int level = 0; level < 3; ++level)
        tensors.push_back(tensor<float>({1, cells(level), columns[part]}, values[level][part]));
    return tensors;
  }
};

test::Decoded decode(std::vector<Tensor> tensors, const test::Settings& settings = {}, int batch_index = 0) {
  return test::decode("tensor_postproc_yunet", std::move(tensors), settings, batch_index);
}
Texts texts(std::vector<Tensor> tensors, const test::Settings& settings = {}, int batch_index = 0) {
  return test::decode_texts("tensor_postproc_yunet", std::move(tensors), settings, batch_index);
}

TEST(Yunet, CellsHaveNoHalfAndSizesAreLogarithms) {
  Outputs out(64, 64);
  // Stride 8, cell 2,3: centre (2+.5)·8, (3+.25)·8 = 20, 26; size 16×8.
  out.set(0, 3 * 8 + 2, .81f, 1, {.5f, .25f, std::log(2.f), 0}, {0, 0, 1, 0, .5f, .5f, 0, 1, 1, 1});
  out.set(2, 1, .49f, 1, {0, .5f, 0, 0});  // stride 32: centre 32,16, size 32×32; √0.49 = 0.7
  const auto decoded = decode(out.done());
  ASSERT_EQ(decoded.frame.regions.size(), 2u) << decoded.error;
  EXPECT_EQ(test::text_of(decoded.frame.regions[0]), "0 900 188,344,250,125");
  EXPECT_EQ(test::text_of(decoded.frame.regions[1]), "0 700 250,0,500,500");
  EXPECT_EQ(test::points_of(decoded.frame.regions[0], "landmarks"),
            "250,375,900 375,375,900 313,438,900 250,500,900 375,500,900");
  EXPECT_EQ(decoded.frame.regions[0].label.view(), "face");
  EXPECT_EQ(decoded.frame.regions[0].attributes->find("landmarks")->legend->names[2], "nose");
}

TEST(Yunet, AnySizeThatIsToldIsRead) {
  Outputs out(96, 64);
  out.set(0, 3 * 12 + 2, 1, 1, {0, 0, 0, 0});  // centre 16,24 of 96×64, size 8
  EXPECT_EQ(texts(out.done(), {{"input-width", "96"}, {"input-height", "64"}}),
            (Texts{"0 1000 125,313,83,125"}));
  EXPECT_NE(texts(out.done())[0].find("input-width"), std::string::npos);
  EXPECT_NE(texts(out.done(), {{"input-width", "64"}, {"input-height", "64"}})[0].find("64x64 has 64 cells"),
            std::string::npos);
}

TEST(Yunet, TheOrderOfOutputsDoesNotCount) {
  Outputs out(64, 64);
  out.set(1, 0, .81f, 1, {0, 0, 0, 0});
  auto tensors = out.done();
  std::ranges::reverse(tensors);
  EXPECT_EQ(texts(tensors), (Texts{"0 900 -125,-125,250,250"}));
}

TEST(Yunet, ScoresAreClampedAndWhatIsNotANumberIsLeftOut) {
  const float nan = std::nanf(""), inf = INFINITY;
  Outputs out(64, 64);
  out.set(0, 0, 7, 1, {0, 0, 0, 0});
  out.set(0, 9, nan, 1, {0, 0, 0, 0});
  out.set(0, 18, 1, 1, {nan, 0, 0, 0});
  out.set(0, 27, 1, 1, {0, 0, inf, 0});
  out.set(0, 36, 1, 1, {0, 0, 1e30f, 0});
  out.set(0, 45, -1, -1, {0, 0, 0, 0});
  EXPECT_EQ(texts(out.done()), (Texts{"0 1000 -63,-63,125,125"}));
}

TEST(Yunet, ThresholdAndSuppression) {
  Outputs out(64, 64);
  out.set(0, 0, .36f, 1, {0, 0, 0, 0});     // exactly 0.6
  out.set(0, 1, .81f, 1, {-.9f, 0, 0, 0});  // nearly the same box
  out.set(0, 2, .3599f, 1, {5, 5, 0, 0});
  EXPECT_EQ(texts(out.done()).size(), 1u);
  EXPECT_EQ(texts(out.done(), {{"iou-threshold", "1"}}).size(), 2u);
  EXPECT_EQ(texts(out.done(), {{"threshold", "0.7"}}).size(), 1u);
}

TEST(Yunet, LandmarksMayBeLeftOut) {
  Outputs out(64, 64);
  out.set(0, 0, 1, 1, {0, 0, 0, 0});
  const auto decoded = decode(out.done(), {{"landmarks", "false"}});
  EXPECT_EQ(test::points_of(decoded.frame.regions.at(0), "landmarks"), "none");
  auto without = out.done();
  without.resize(9);
  EXPECT_EQ(texts(without, {{"landmarks", "false"}}).size(), 1u);
  EXPECT_NE(texts(without)[0].find("YuNet"), std::string::npos);
}

TEST(Yunet, OnlyTheOwnSampleOfABatchIsRead) {
  Outputs one(64, 64), two(64, 64);
  one.set(0, 0, 1, 1, {0, 0, 0, 0});
  two.set(0, 9, .81f, 1, {0, 0, 0, 0});
  std::vector<Tensor> both;
  for (int part = 0; part < 4; ++part)
    for (int level = 0; level < 3; ++level)
      both.push_back(test::batch_of<float>({1, one.cells(level), Outputs::columns[part]},
                                           one.values[level][part], two.values[level][part]));
  EXPECT_EQ(texts(both, {}, 0), (Texts{"0 1000 -63,-63,125,125"}));
  EXPECT_EQ(texts(both, {}, 1), (Texts{"0 900 63,63,125,125"}));
}

TEST(Yunet, OutputsOfAnotherModelAreNamed) {
  const Texts error = texts({tensor<float>({1, 2, 6}, std::vector<float>(12))});
  ASSERT_EQ(error.size(), 1u);
  EXPECT_NE(error[0].find("float32 1x2x6"), std::string::npos) << error[0];
  EXPECT_EQ(error[0].find('\n'), std::string::npos);
  EXPECT_FALSE(test::make<TransformInplace>("tensor_postproc_yunet", {{"labels", "a,b"}})->start());
}

TEST(Yunet, FreeAxesAndAnotherSizeAreFilledByTheFrame) {
  auto element = test::make<TransformInplace>("tensor_postproc_yunet");
  Format format;
  {
    Frame frame = test::frame_of(Outputs(64, 64).done());
    format = test::format_of(frame);
    for (auto& info : std::get<TensorsInfo>(format.media).tensors) info.shape[0] = info.shape[1] = -1;
  }
  ASSERT_TRUE(element->start());
  ASSERT_TRUE(element->configure(format, format));
  for (const int side : {64, 128, 64}) {
    Frame frame = test::frame_of(Outputs(side, side).set(0, 0, 1, 1, {1, 1, 0, 0}).done());
    ASSERT_TRUE(element->process(frame));
    ASSERT_EQ(frame.regions.size(), 1u);
    EXPECT_FLOAT_EQ(frame.regions[0].box.w, 8.f / float(side));
  }
}

TEST(Yunet, DoesNotAllocateOnceWarmWithoutLandmarks) {
  auto element = test::make<TransformInplace>("tensor_postproc_yunet", {{"landmarks", "false"}});
  Frame frame = test::frame_of(Outputs(64, 64).set(0, 0, 1, 1, {1, 1, 0, 0}).done());
  ASSERT_TRUE(test::run(*element, frame));
  const size_t before = allocation_count();
  frame.regions.clear();
  ASSERT_TRUE(element->process(frame));
  EXPECT_EQ(allocation_count(), before);
  EXPECT_EQ(frame.regions.size(), 1u);
}

}  // namespace
}  // namespace sightglass
