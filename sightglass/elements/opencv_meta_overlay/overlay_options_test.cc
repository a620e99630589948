#include "sightglass/elements/opencv_meta_overlay/overlay_options.h"

#include <gtest/gtest.h>

namespace sightglass {
namespace {

class DisplayConfig : public testing::Test {
 protected:
  void apply(std::string_view text) { apply_display_config(text, options_, warnings_); }
  OverlayOptions options_;
  std::vector<std::string> warnings_;
};

TEST_F(DisplayConfig, ReadsEveryKey) {
  apply(
      "show-labels=false,font-scale=1.5, thickness=3 "
      ",color-idx=2,font-type=plain,draw-txt-bg=0,show-roi=person:car,hide-roi=dog,"
      "enable-blur=true,show-blur-roi=face,hide-blur-roi=hand,text-x=5,text-y=50,ff-custom-txt=Gate 3,");
  EXPECT_TRUE(warnings_.empty()) << warnings_[0];
  EXPECT_FALSE(options_.show_labels);
  EXPECT_EQ(options_.font_scale, 1.5);
  EXPECT_EQ(options_.thickness, 3);
  EXPECT_EQ(options_.color_index, 2);
  EXPECT_FALSE(options_.text_background);
  EXPECT_EQ(options_.show, (std::vector{Label("person"), Label("car")}));
  EXPECT_EQ(options_.hide, std::vector{Label("dog")});
  EXPECT_TRUE(options_.blur);
  EXPECT_EQ(options_.show_blur, std::vector{Label("face")});
  EXPECT_EQ(options_.hide_blur, std::vector{Label("hand")});
  EXPECT_EQ(options_.text_x, 5);
  EXPECT_EQ(options_.text_y, 50);
  EXPECT_EQ(options_.frame_text, "Gate 3");
}

TEST_F(DisplayConfig, WarnsOfWhatItDoesNotUnderstandAndGoesOn) {
  apply("font-scale=9,bogus=1,thickness=two,alone,color-idx=1.5,text-x=7");
  ASSERT_EQ(warnings_.size(), 5u);
  EXPECT_NE(warnings_[0].find("font-scale=9"), std::string::npos);
  EXPECT_NE(warnings_[1].find("'bogus' is unknown"), std::string::npos);
  EXPECT_FALSE(options_.font_scale);
  EXPECT_FALSE(options_.thickness);
  EXPECT_EQ(options_.text_x, 7);
}

TEST(OverlayOptions, ShowWinsOverHide) {
  const std::vector<Label> none, cat{Label("cat")};
  EXPECT_TRUE(is_shown(Label("cat"), none, none));
  EXPECT_FALSE(is_shown(Label("cat"), none, cat));
  EXPECT_TRUE(is_shown(Label("cat"), cat, cat));
  EXPECT_FALSE(is_shown(Label("dog"), cat, none));
}

}  // namespace
}  // namespace sightglass
