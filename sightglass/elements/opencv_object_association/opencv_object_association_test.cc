#include "sightglass/elements/opencv_object_association/opencv_object_association.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "sightglass/core/registry.h"
#include "sightglass/elements/element_test_support.h"

namespace sightglass {
namespace {

constexpr Time step = 100'000'000;

class ObjectAssociationTest : public testing::Test {
 protected:
  void make(std::initializer_list<std::pair<const char*, const char*>> values = {}) {
    const ElementDesc* desc = find_element("opencv_object_association");
    ASSERT_TRUE(desc);
    params_.emplace(desc->params);
    for (const auto& [name, text] : values) ASSERT_TRUE(params_->set_text(name, text)) << name;
    element_ = std::move(*desc->create(*params_));
    ASSERT_TRUE(element_->configure({.media = VideoInfo{.width = 1000, .height = 500}}, {}));
  }
  Frame& frame(std::initializer_list<Region> regions) {
    frame_.clear();
    frame_.pts = next_pts_;
    next_pts_ += step;
    frame_.regions = regions;
    const auto verdict = static_cast<TransformInplace&>(*element_).process(frame_);
    EXPECT_TRUE(verdict && *verdict == Verdict::pass);
    return frame_;
  }
  static Region person(float x, float confidence = 0.9f) {
    Region region;
    region.id = 4;
    region.box = {x, 0.2f, 0.05f, 0.3f};
    region.confidence = confidence;
    region.label = Label("person");
    region.label_id = 3;
    region.model = Label("detector");
    return region;
  }

  std::optional<ParamSet> params_;
  std::unique_ptr<Element> element_;
  Frame frame_;
  Time next_pts_ = 0;
};

TEST_F(ObjectAssociationTest, NumbersObjectsFromOne) {
  make();
  EXPECT_EQ(frame({person(0.1f), person(0.5f)}).regions[1].track, 2);
  Frame& next = frame({person(0.51f), person(0.11f)});
  EXPECT_EQ(next.regions[0].track, 2);
  EXPECT_EQ(next.regions[1].track, 1);
}

TEST_F(ObjectAssociationTest, FillsInMissedObjectsWithTheirLastLabel) {
  make();
  for (int i = 0; i < 6; ++i) frame({person(0.3f + 0.02f * i)});
  const Frame& empty = frame({});
  ASSERT_EQ(empty.regions.size(), 1u);
  const Region& region = empty.regions[0];
  EXPECT_EQ(region.track, 1);
  EXPECT_EQ(region.id, -1);
  EXPECT_EQ(region.label, Label("person"));
  EXPECT_EQ(region.label_id, 3);
  EXPECT_EQ(region.model, Label("detector"));
  EXPECT_FLOAT_EQ(region.confidence, 0.9f);
  EXPECT_NEAR(region.box.x, 0.42, 0.02);
}

TEST_F(ObjectAssociationTest, WithoutGenerationLostTracksShowNothingAndYoungOnesHaveNoNumber) {
  make({{"generate-objects", "false"}});
  EXPECT_EQ(frame({person(0.3f)}).regions[0].track, 0);
  EXPECT_EQ(frame({person(0.3f)}).regions[0].track, 0);
  EXPECT_EQ(frame({person(0.3f)}).regions[0].track, 1);
  EXPECT_TRUE(frame({}).regions.empty());
}

TEST_F(ObjectAssociationTest, AdjustsBoxesOnlyWhenAsked) {
  for (const bool adjust : {false, true}) {
    make({{"adjust-objects", adjust ? "true" : "false"}});
    for (int i = 0; i < 5; ++i) frame({person(0.3f)});
    const float x = frame({person(0.31f)}).regions[0].box.x;
    if (adjust)
      EXPECT_TRUE(x > 0.3f && x < 0.31f) << x;
    else
      EXPECT_EQ(x, 0.31f);
  }
}

TEST_F(ObjectAssociationTest, AdjustedBoxesStayInsideThePicture) {
  make();
  for (int i = 0; i < 8; ++i) {
    Region region = person(0.85f + 0.02f * i);
    region.box.w = std::min(region.box.w, 1 - region.box.x);  // as the detector sees one that walks out
    EXPECT_LE(frame({region}).regions[0].box.right(), 1);
  }
}

TEST_F(ObjectAssociationTest, TracksTheAskedClassesOnly) {
  make({{"object-class", "car, truck"}});
  Region car = person(0.5f);
  car.label = Label("car");
  car.track = 77;  // of an earlier tracker
  const Frame& both = frame({person(0.1f), car});
  EXPECT_EQ(both.regions[0].track, 0);
  EXPECT_EQ(both.regions[1].track, 1);
  ASSERT_TRUE(params_->set_text("object-class", "person"));
  element_->update(*params_);
  EXPECT_EQ(frame({person(0.1f)}).regions[0].track, 2);
}

TEST_F(ObjectAssociationTest, ReadsTheFeatureAttribute) {
  make({{"spatial-feature-metadata-name", "look"}, {"spatial-feature-distance", "cosine"}});
  Region region = person(0.3f);
  region.attributes = with({}, {.name = Label("look"), .kind = AttributeKind::vector, .values = {1, 0}});
  EXPECT_EQ(frame({region}).regions[0].track, 1);
  region.attributes = with({}, {.name = Label("look"), .kind = AttributeKind::vector, .values = {0, 1}});
  EXPECT_EQ(frame({region}).regions[0].track, 2);
}

TEST_F(ObjectAssociationTest, TakesATensorForAFeatureAndWithoutANameWhateverThereIs) {
  const auto tensor_of = [](std::vector<float> values) {
    Attribute attribute{.name = Label("model/embedding"), .kind = AttributeKind::tensor};
    attribute.tensor = test::tensor<float>({1, 2}, values);
    return attribute;
  };
  for (const char* name : {"model/embedding", ""}) {
    make({{"spatial-feature-metadata-name", name}, {"spatial-feature-distance", "cosine"}});
    Region region = person(0.3f);
    region.attributes = with({}, {.name = Label("age"), .kind = AttributeKind::number, .number = 3});
    region.attributes = with(region.attributes, tensor_of({1, 0}));
    EXPECT_EQ(frame({region}).regions[0].track, 1) << name;
    region.attributes = with({}, tensor_of({0, 1}));
    EXPECT_EQ(frame({region}).regions[0].track, 2) << name;
    region.attributes = with({}, tensor_of({NAN, NAN}));
    EXPECT_GE(frame({region}).regions[0].track, 0) << name;
  }
}

TEST_F(ObjectAssociationTest, BoxesThatAreNoneArePassedBy) {
  make();
  std::vector<Region> regions(7, person(0.3f));
  regions[0].box.x = NAN;
  regions[1].box.w = INFINITY;
  regions[2].box.h = -1;
  regions[3].box = {1e30f, -1e30f, 1e30f, 1};
  regions[4].box = {-4, 7, 0.1f, 0.1f};  // far outside
  regions[5].confidence = NAN;
  for (int i = 0; i < 3; ++i) {
    frame_.clear();
    frame_.pts = next_pts_ += step;
    frame_.regions = regions;
    ASSERT_TRUE(static_cast<TransformInplace&>(*element_).process(frame_));
    EXPECT_EQ(frame_.regions[0].track, 0);
    EXPECT_EQ(frame_.regions[1].track, 0);
    EXPECT_EQ(frame_.regions[2].track, 0);
    EXPECT_EQ(frame_.regions.size(), 7u);
    for (const Region& region : frame_.regions)
      if (region.track) {
        EXPECT_TRUE(std::isfinite(region.box.x) && region.box.w > 0);
      }
  }
}

TEST_F(ObjectAssociationTest, FollowsAThousandObjects) {
  make();
  for (int i = 0; i < 4; ++i) {
    frame_.clear();
    frame_.pts = next_pts_ += step;
    for (int k = 0; k < 1024; ++k) {
      Region region = person(0.03f * float(k % 32) + 0.001f * float(i));
      region.box.y = 0.03f * float(k / 32);
      region.box.w = region.box.h = 0.02f;
      frame_.regions.push_back(region);
    }
    ASSERT_TRUE(static_cast<TransformInplace&>(*element_).process(frame_));
    ASSERT_EQ(frame_.regions.size(), 1024u);
    for (int k = 0; k < 1024; ++k) ASSERT_EQ(frame_.regions[size_t(k)].track, k + 1);
  }
}

TEST_F(ObjectAssociationTest, AnUnknownConfidenceCountsAsSure) {
  make();
  EXPECT_EQ(frame({person(0.3f, 0)}).regions[0].track, 1);
}

TEST_F(ObjectAssociationTest, WorksWithoutClockAndAfterAFlush) {
  make();
  frame({person(0.3f)});
  next_pts_ = no_time;
  EXPECT_EQ(frame({person(0.3f)}).regions[0].track, 1);
  next_pts_ = 5 * step;
  static_cast<TransformInplace&>(*element_).flush();
  EXPECT_EQ(frame({person(0.3f)}).regions[0].track, 2);
  next_pts_ = 0;  // runs backwards
  EXPECT_EQ(frame({person(0.3f)}).regions[0].track, 2);
}

TEST_F(ObjectAssociationTest, RefusesUnknownChoicesAndRanges) {
  ParamSet params(find_element("opencv_object_association")->params);
  EXPECT_FALSE(params.set_text("algorithm", "magic"));
  EXPECT_FALSE(params.set_text("max-iou-distance", "1.5"));
  EXPECT_TRUE(params.set_text("spatial_feature_distance", "cosine"));
}

TEST_F(ObjectAssociationTest, WhatIsNotSelectedIsPassedByUntouched) {
  make({{"select", R"({"confidence": {"ge": 0.5}})"}});
  for (int i = 0; i < 3; ++i) {
    Region other = person(0.6f, 0.3f);
    other.track = 77;
    Frame& seen = frame({person(0.1f), other});
    EXPECT_EQ(seen.regions.size(), 2u);
    EXPECT_EQ(seen.regions[0].track, 1);
    EXPECT_EQ(seen.regions[1].track, 77);
    EXPECT_EQ(seen.regions[1].box, other.box);
  }
  ASSERT_TRUE(params_->set_text("select", ""));
  element_->update(*params_);
  EXPECT_EQ(frame({person(0.1f), person(0.6f, 0.6f)}).regions[1].track, 2);
}

TEST_F(ObjectAssociationTest, SaysWhichTracksAreTentativeAndWhichAreLost) {
  make({{"write-states", "true"}, {"min-hits", "2"}});
  Frame& first = frame({person(0.3f)});
  EXPECT_EQ(track_state(first.regions[0]), TrackState::tentative);
  for (int i = 0; i < 6; ++i) {
    Region seen = person(0.3f);
    if (i == 3) seen.attributes = with(nullptr, {.name = Label("hat"), .text = "red"});
    frame({seen});
    EXPECT_EQ(track_state(frame_.regions[0]), TrackState::confirmed);
    EXPECT_EQ(frame_.regions[0].attributes == seen.attributes, true);
  }
  Frame& missed = frame({});
  ASSERT_EQ(missed.regions.size(), 1u);
  EXPECT_EQ(track_state(missed.regions[0]), TrackState::lost);
  make();
  EXPECT_FALSE(frame({person(0.3f)}).regions[0].attributes);
}

}  // namespace
}  // namespace sightglass
