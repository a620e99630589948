#include "sightglass/elements/gvaattachroi/gvaattachroi.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>

#include "sightglass/elements/element_test_support.h"

namespace sightglass {
namespace {

class GvaAttachRoi : public testing::Test {
 protected:
  void TearDown() override { std::remove(path.c_str()); }

  // A started and configured element for pictures of 200 x 100.
  std::unique_ptr<TransformInplace> attacher(test::Settings settings, const std::string& content = {}) {
    if (!content.empty()) {
      std::ofstream(path) << content;
      settings.emplace_back("file-path", path);
    }
    auto element = test::make<TransformInplace>("gvaattachroi", settings);
    const Format format = test::format_of_picture(test::picture(PixelFormat::gray8, 200, 100));
    status = element->start();
    if (status) status = element->configure(format, format);
    return element;
  }
  static std::vector<Region> attached(TransformInplace& element, Time pts = 0, Time duration = 40) {
    Frame frame;
    frame.pts = pts, frame.duration = duration;
    EXPECT_EQ(element.process(frame).value(), Verdict::pass);
    return frame.regions;
  }
  // The labels of the objects that frames at these times get.
  static std::string labels(TransformInplace& element, std::initializer_list<Time> times) {
    std::string text;
    for (const Time time : times) {
      const auto regions = attached(element, time);
      text += regions.empty() ? "-" : std::string(regions[0].label.view());
    }
    return text;
  }
  static std::string record(const char* label, int64_t time) {
    return std::format(R"({{"timestamp":{},"objects":[{{"x":1,"y":1,"w":1,"h":1,"roi_type":"{}"}}]}})", time,
                       label) +
           "\n";
  }

  const std::string path = testing::TempDir() + "gvaattachroi_" +
                           testing::UnitTest::GetInstance()->current_test_info()->name() + ".json";
  Status status;
};

TEST_F(GvaAttachRoi, OneBoxForEveryFrame) {
  auto element = attacher({{"roi", "20,10,120,60"}});
  ASSERT_TRUE(status) << status.error().message;
  for (int i = 0; i < 3; ++i) {
    const auto regions = attached(*element);
    ASSERT_EQ(regions.size(), 1u);
    EXPECT_EQ(regions[0].id, -1);
    EXPECT_EQ(regions[0].confidence, 1);
    EXPECT_EQ(regions[0].box, (Box{.1f, .1f, .5f, .5f}));
  }
}

TEST_F(GvaAttachRoi, ABoxIsCutAtTheEdgeOfThePicture) {
  auto element = attacher({{"roi", "100,50,5000,5000"}});
  EXPECT_EQ(attached(*element).at(0).box, (Box{.5f, .5f, .5f, .5f}));
}

TEST_F(GvaAttachRoi, ABoxOutsideOfThePictureIsWarnedOf) {
  auto element = attacher({{"roi", "300,0,400,50"}});
  EXPECT_TRUE(attached(*element).empty());
  EXPECT_EQ(element->take_warnings().size(), 1u);
}

TEST_F(GvaAttachRoi, PixelsFollowTheSizeOfTheVideo) {
  auto element = attacher({{"roi", "20,10,120,60"}});
  const Format other = test::format_of_picture(test::picture(PixelFormat::gray8, 400, 200));
  ASSERT_TRUE(element->configure(other, other));
  EXPECT_EQ(attached(*element).at(0).box, (Box{.05f, .05f, .25f, .25f}));
}

TEST_F(GvaAttachRoi, InOrderEndsWithTheFile) {
  auto element = attacher({}, record("a", 0) + record("b", 0));
  ASSERT_TRUE(status) << status.error().message;
  EXPECT_EQ(labels(*element, {0, 0, 0, 0}), "ab--");
}

TEST_F(GvaAttachRoi, InLoopBeginsAnew) {
  auto element = attacher({{"mode", "1"}}, record("a", 0) + record("b", 0));
  EXPECT_EQ(labels(*element, {0, 0, 0, 0, 0}), "ababa");
}

TEST_F(GvaAttachRoi, ByTimestampTakesTheNearestWithinHalfAFrame) {
  auto element = attacher({{"mode", "by-timestamp"}}, record("c", 200) + record("a", 0) + record("b", 41));
  EXPECT_EQ(labels(*element, {0, 40, 80, 120, 160, 200, 1000}), "ab---c-");
}

TEST_F(GvaAttachRoi, ByTimestampNeedsTimes) {
  attacher({{"mode", "by-timestamp"}}, R"([{"objects":[]}])");
  EXPECT_NE(test::message_of(status).find("needs a timestamp"), std::string::npos);
}

TEST_F(GvaAttachRoi, ABoxAndAFileAreBothAttached) {
  auto element = attacher({{"roi", "0,0,10,10"}}, record("a", 0));
  EXPECT_EQ(attached(*element).size(), 2u);
}

TEST_F(GvaAttachRoi, RegionsThatAreThereStay) {
  auto element = attacher({{"roi", "0,0,10,10"}});
  Frame frame;
  frame.regions.push_back(Region{.id = 0});
  ASSERT_TRUE(element->process(frame));
  ASSERT_EQ(frame.regions.size(), 2u);
  EXPECT_EQ(frame.regions[0].id, 0);
}

TEST_F(GvaAttachRoi, SaysWhatIsWrongOnce) {
  attacher({});
  EXPECT_EQ(test::message_of(status), "nothing to attach: set roi=x1,y1,x2,y2 or file-path=FILE");
  for (const char* roi : {"1,2,3", "10,10,10,20", "-1,0,5,5", "a,b,c,d", "1,2,3,4,5", "1.5,0,3,3"}) {
    attacher({{"roi", roi}});
    EXPECT_NE(test::message_of(status).find("must be x1,y1,x2,y2"), std::string::npos) << roi;
  }
  attacher({{"file-path", "nowhere.json"}});
  EXPECT_EQ(test::message_of(status), "file-path=nowhere.json: there is no such file");
}

}  // namespace
}  // namespace sightglass
