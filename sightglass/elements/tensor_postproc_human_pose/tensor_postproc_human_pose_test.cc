#include "sightglass/elements/tensor_postproc_human_pose/tensor_postproc_human_pose.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "sightglass/elements/element_test_support.h"

namespace sightglass {
namespace {

using test::tensor;
using testing::ElementsAre;
using testing::FloatEq;
using testing::HasSubstr;

constexpr float nan = std::numeric_limits<float>::quiet_NaN();

struct Decoded {
  Frame frame;
  std::string error;

  const Attribute& points(size_t person = 0) const {
    return *frame.regions.at(person).attributes->find("keypoints");
  }
};
Decoded decode(std::vector<Tensor> tensors, const test::Settings& settings = {},
               std::optional<uint32_t> roi = {}, int sample = 0) {
  Decoded decoded{test::frame_of(std::move(tensors)), ""};
  decoded.frame.source = SourceId{.roi = roi, .batch_index = sample};
  auto element = test::make<TransformInplace>("tensor_postproc_human_pose", settings);
  if (auto done = test::run(*element, decoded.frame, {"one", "two"}); !done)
    decoded.error = done.error().message;
  return decoded;
}

// ---- lists

const Tensor four_points = tensor<float>({1, 1, 4, 3}, {.2f, .5f, .9f,   // y, x, score
                                                        .4f, .25f, .7f,  //
                                                        .6f, .75f, .8f,  //
                                                        .9f, .9f, .1f});

TEST(HumanPose, AListBecomesOnePersonWithABox) {
  const Decoded decoded =
      decode({four_points}, {{"point-names", "a,b,c,d"}, {"point-connections", "a,b,a,c"}});
  ASSERT_EQ(decoded.frame.regions.size(), 1u) << decoded.error;
  const Region& person = decoded.frame.regions[0];
  EXPECT_EQ(person.label.view(), "person");
  EXPECT_THAT(person.box.x, FloatEq(.25f));
  EXPECT_THAT(person.box.y, FloatEq(.2f));
  EXPECT_THAT(person.box.w, FloatEq(.5f));
  EXPECT_THAT(person.box.h, FloatEq(.4f));
  EXPECT_THAT(person.confidence, FloatEq(.8f));
  EXPECT_THAT(decoded.points().values, ElementsAre(.5f, .2f, .9f, .25f, .4f, .7f, .75f, .6f, .8f, -1, -1,
                                                   .1f));  // the last is missing
  ASSERT_TRUE(decoded.points().legend);
  EXPECT_THAT(decoded.points().legend->names, ElementsAre("a", "b", "c", "d"));
  EXPECT_THAT(decoded.points().legend->links, ElementsAre(std::pair(0, 1), std::pair(0, 2)));
}

TEST(HumanPose, ThePointsOfARegionBelongToItsObject) {
  const Decoded decoded = decode({four_points}, {}, 3);
  EXPECT_TRUE(decoded.frame.regions.empty());
  ASSERT_TRUE(decoded.frame.attributes);
  EXPECT_EQ(decoded.frame.attributes->find("keypoints")->values.size(), 12u);
}

TEST(HumanPose, SeventeenPointsAreCocos) {
  std::vector<float> values;
  for (int i = 0; i < 17; ++i) values.insert(values.end(), {float(i) / 17, .5f, 1});
  const Decoded decoded = decode({tensor<float>({1, 1, 17, 3}, values)});
  ASSERT_TRUE(decoded.points().legend);
  EXPECT_EQ(decoded.points().legend->names[5], "left_shoulder");
  EXPECT_EQ(decoded.points().legend->links.size(), 16u);
}

TEST(HumanPose, AListOfSeveralPersonsHasAScoreForEach) {
  std::vector<float> values;
  for (float score : {.9f, .05f, .8f}) {
    for (int k = 0; k < 4; ++k) values.insert(values.end(), {.1f * float(k), .2f, score});
    values.insert(values.end(), {0, 0, 1, 1, score});
  }
  const Decoded decoded = decode({tensor<float>({1, 3, 17}, values)});
  ASSERT_EQ(decoded.frame.regions.size(), 2u) << decoded.error;
  EXPECT_FLOAT_EQ(decoded.frame.regions[1].confidence, .8f);
}

TEST(HumanPose, ThresholdAndLeastPointsDecideWhoIsThere) {
  EXPECT_TRUE(decode({four_points}, {{"threshold", "0.75"}}).frame.regions.empty());
  EXPECT_EQ(decode({four_points}, {{"threshold", "0.75"}, {"minimum-points", "2"}}).frame.regions.size(), 1u);
  const Decoded decoded = decode({four_points}, {{"threshold", "0.7"}});  // equal is enough
  EXPECT_EQ(decoded.frame.regions.size(), 1u);
  EXPECT_TRUE(decode({tensor<float>({1, 1, 4, 3}, std::vector<float>(12, nan))}).frame.regions.empty());
}

TEST(HumanPose, ReadsItsOwnSample) {
  std::vector<float> values(2 * 12, .5f);
  values[12] = .25f;
  const Decoded decoded = decode({tensor<float>({2, 1, 4, 3}, values)}, {}, {}, 1);
  EXPECT_FLOAT_EQ(decoded.points().values[1], .25f);
}

// ---- heat maps

TEST(HumanPose, AHeatMapsPeakMovesAQuarterTowardsItsNeighbour) {
  std::vector<float> maps(4 * 8 * 10);
  const auto at = [&](int k, int x, int y) -> float& {
    return maps[(size_t(k) * 8 + size_t(y)) * 10 + size_t(x)];
  };
  at(0, 3, 4) = 1, at(0, 4, 4) = .5f, at(0, 3, 3) = .5f, at(0, 3, 5) = .25f;
  at(1, 0, 0) = .6f;  // on the border there is no other side
  at(2, 9, 7) = .7f;
  const Decoded decoded = decode({tensor<float>({1, 4, 8, 10}, maps)});
  ASSERT_EQ(decoded.frame.regions.size(), 1u) << decoded.error;
  EXPECT_THAT(decoded.points().values, ElementsAre(FloatEq(.325f), FloatEq(3.75f / 8), 1, 0, 0, .6f,
                                                   FloatEq(.9f), FloatEq(7 / 8.f), .7f, -1, -1, 0));
}

// ---- OpenPose

// Maps on which persons are drawn: a peak for each point, and along each link a field that points along it.
class Scene {
 public:
  static constexpr int w = 48, h = 40;
  Scene(size_t points, std::vector<PoseLink> links, size_t fields)
      : links_(std::move(links)), heat_(points * w * h), fields_(fields * w * h) {}

  void draw(const std::vector<std::pair<float, float>>& points) {
    for (size_t k = 0; k < points.size(); ++k) {
      if (points[k].first < 0) continue;
      for (int y = 0; y < h; ++y)
        for (int x = 0; x < w; ++x) {
          const float d = std::hypot(float(x) - points[k].first, float(y) - points[k].second);
          float& value = heat_[(k * h + size_t(y)) * w + size_t(x)];
          value = std::max(value, std::exp(-d * d / 2));
        }
    }
    for (const PoseLink& link : links_) {
      const auto [x1, y1] = points[link.from];
      const auto [x2, y2] = points[link.to];
      if (x1 < 0 || x2 < 0) continue;
      const float length = std::hypot(x2 - x1, y2 - y1), ux = (x2 - x1) / length, uy = (y2 - y1) / length;
      for (int y = 0; y < h; ++y)
        for (int x = 0; x < w; ++x) {
          const float along = (float(x) - x1) * ux + (float(y) - y1) * uy,
                      across = std::abs((float(y) - y1) * ux - (float(x) - x1) * uy);
          if (along < -1 || along > length + 1 || across > 1.5f) continue;
          fields_[(link.x * size_t(h) + size_t(y)) * w + size_t(x)] = ux;
          fields_[(link.y * size_t(h) + size_t(y)) * w + size_t(x)] = uy;
        }
    }
  }
  std::vector<Tensor> tensors() const {
    const int64_t cells = w * h;
    return {tensor<float>({1, int64_t(heat_.size()) / cells, h, w}, heat_),
            tensor<float>({1, int64_t(fields_.size()) / cells, h, w}, fields_)};
  }

 private:
  std::vector<PoseLink> links_;
  std::vector<float> heat_, fields_;
};

const test::Settings stick = {{"point-names", "head,hip,foot,hand"},
                              {"point-connections", "head,hip,hip,foot,head,hand"}};
// As the pairs of `stick` say; an additional heat map is the background.
Scene stick_scene() { return Scene(5, {{0, 1, 0, 1}, {1, 2, 2, 3}, {0, 3, 4, 5}}, 6); }

TEST(HumanPose, FieldsTellPersonsApart) {
  Scene scene = stick_scene();
  scene.draw({{10, 5}, {10, 18}, {10, 30}, {18, 10}});
  scene.draw({{30, 5}, {30, 18}, {30, 30}, {22, 10}});  // the hands nearly touch
  const Decoded decoded = decode(scene.tensors(), stick);
  ASSERT_EQ(decoded.frame.regions.size(), 2u) << decoded.error;
  for (size_t p = 0; p < 2; ++p) {
    const auto& values = decoded.points(p).values;
    ASSERT_EQ(values.size(), 12u);
    const bool left = values[0] < .5f;
    EXPECT_NEAR(values[0], (left ? 10.5f : 30.5f) / 48, .01f);
    EXPECT_NEAR(values[1], 5.5f / 40, .01f);
    EXPECT_NEAR(values[7], 30.5f / 40, .01f);
    EXPECT_NEAR(values[9], (left ? 18.5f : 22.5f) / 48, .01f);
    EXPECT_NEAR(values[2], 1, .01f);
  }
  EXPECT_NE(decoded.frame.regions[0].box.x < .3f, decoded.frame.regions[1].box.x < .3f);
  EXPECT_THAT(decoded.points().legend->links, ElementsAre(std::pair(0, 1), std::pair(1, 2), std::pair(0, 3)));
}

TEST(HumanPose, APointThatIsNotSeenIsMissing) {
  Scene scene = stick_scene();
  scene.draw({{10, 5}, {10, 18}, {10, 30}, {-1, -1}});
  const Decoded decoded = decode(scene.tensors(), stick);
  ASSERT_EQ(decoded.frame.regions.size(), 1u);
  const auto& values = decoded.points().values;
  EXPECT_THAT(std::vector(values.begin() + 9, values.end()), ElementsAre(-1, -1, 0));
}

TEST(HumanPose, OpenPosesOwnOrderOfFieldsIsKnown) {
  Scene scene(19, {openpose_links().begin(), openpose_links().end()}, 38);
  std::vector<std::pair<float, float>> points(18, {-1, -1});
  points[1] = {20, 10};                                              // neck
  points[2] = {14, 10}, points[3] = {12, 18}, points[4] = {10, 26};  // right arm
  points[5] = {26, 10}, points[8] = {17, 26}, points[11] = {23, 26};
  scene.draw(points);
  const Decoded decoded = decode(scene.tensors());
  ASSERT_EQ(decoded.frame.regions.size(), 1u) << decoded.error;
  const auto& values = decoded.points().values;
  ASSERT_EQ(values.size(), 54u);
  EXPECT_NEAR(values[3 * 4], 10.5f / 48, .01f);
  EXPECT_NEAR(values[3 * 11], 23.5f / 48, .01f);
  EXPECT_EQ(values[0], -1);  // no nose
  EXPECT_EQ(decoded.points().legend->names[4], "right_wrist");
}

TEST(HumanPose, EmptyAndDamagedMapsGiveNobody) {
  EXPECT_TRUE(decode(stick_scene().tensors(), stick).frame.regions.empty());
  const std::vector<float> bad(5 * 48 * 40, nan), fields(6 * 48 * 40, nan);
  EXPECT_TRUE(decode({tensor<float>({1, 5, 40, 48}, bad), tensor<float>({1, 6, 40, 48}, fields)}, stick)
                  .frame.regions.empty());
}

TEST(HumanPose, SaysWhatDoesNotFit) {
  EXPECT_THAT(decode({tensor<float>({1, 4}, {1, 2, 3, 4})}).error,
              HasSubstr("no points can be read from one float32 1x4"));
  EXPECT_THAT(decode({four_points}, {{"point-names", "a,b"}}).error,
              HasSubstr("2 point-names, but 4 points"));
  EXPECT_THAT(decode({four_points}, {{"point-names", "a,b,c,d"}, {"point-connections", "a,x"}}).error,
              HasSubstr("there is no point 'x'"));
  EXPECT_THAT(decode({four_points}, {{"point-connections", "a"}}).error, HasSubstr("are pairs of names"));
  EXPECT_THAT(decode({four_points}, {{"mode", "openpose"}}).error,
              HasSubstr("heat maps and part-affinity maps"));
  EXPECT_THAT(
      decode(stick_scene().tensors(), {{"point-names", "a,b,c,d"}, {"point-connections", "a,b"}}).error,
      HasSubstr("the part-affinity maps are of 3 links, point-connections name 1"));
}

}  // namespace
}  // namespace sightglass
