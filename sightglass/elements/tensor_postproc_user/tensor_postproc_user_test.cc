#include "sightglass/elements/tensor_postproc_user/tensor_postproc_user.h"

#include <gmock/gmock.h>

#include <fstream>

#include "sightglass/elements/element_test_support.h"

namespace sightglass {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class UserDecoders : public testing::Test {
 protected:
  std::unique_ptr<TransformInplace> start(test::Settings settings) {
    auto element = test::make<TransformInplace>("tensor_postproc_user", settings);
    const Format format = test::format_of(frame(), {"scores"}, "net");
    if (auto started = element->start(); !started) {
      error = started.error().message;
      return nullptr;
    }
    if (auto configured = element->configure(format, format); !configured) {
      error = configured.error().message;
      return nullptr;
    }
    return element;
  }
  std::unique_ptr<TransformInplace> start_mode(const std::string& mode, const std::string& budget = "60000") {
    return start({{"decoder", SIGHTGLASS_TEST_DECODER},
                  {"config", "mode=" + mode},
                  {"labels", "<glad,calm>"},
                  {"time-budget", budget}});
  }
  static Frame frame() { return test::frame_of({test::tensor<float>({1, 4}, {1, 2, 3, 4})}); }

  std::string error;
};

TEST_F(UserDecoders, GiveObjectsAndAttributesOfEveryKind) {
  for (const char* budget : {"60000", "0"}) {
    auto element = start_mode("all", budget);
    ASSERT_TRUE(element) << error;
    Frame result = frame();
    ASSERT_TRUE(element->process(result));
    ASSERT_EQ(result.regions.size(), 2u);
    const Region& region = result.regions[0];
    EXPECT_EQ(region.box, (Box{.1f, .2f, .3f, .4f}));
    EXPECT_EQ(region.angle, .5f);
    EXPECT_EQ(region.label.view(), "calm") << "the label of its id";
    EXPECT_EQ(region.model.view(), "net");
    EXPECT_EQ(result.regions[1].label.view(), "own");
    EXPECT_EQ(region.attributes->find("mood")->text, "glad");
    EXPECT_EQ(region.attributes->find("points")->values.size(), 6u);
    const Attribute* mask = region.attributes->find("mask");
    ASSERT_TRUE(mask);
    EXPECT_EQ(mask->tensor.shape, (Shape{2, 3}));
    EXPECT_EQ(mask->values, (std::vector<float>{0, 0, .5f, 1}));
    EXPECT_EQ(result.attributes->find("sum")->number, 10);
    EXPECT_EQ(result.attributes->find("text")->text, "glad of net/scores");
    EXPECT_TRUE(element->take_warnings().empty());
  }
}

TEST_F(UserDecoders, AreHeldToTheThreshold) {
  auto element = start({{"decoder", SIGHTGLASS_TEST_DECODER}, {"threshold", "0.75"}});
  ASSERT_TRUE(element) << error;
  Frame result = frame();
  ASSERT_TRUE(element->process(result));
  ASSERT_EQ(result.regions.size(), 1u);
  EXPECT_EQ(result.regions[0].confidence, .75f) << "equal is kept";
}

TEST_F(UserDecoders, ReadTheirOwnSampleOfABatch) {
  auto element = start_mode("all");
  ASSERT_TRUE(element) << error;
  Frame result = test::frame_of({test::tensor<float>({2, 4}, {1, 2, 3, 4, 10, 20, 30, 40})});
  result.source = SourceId{.batch_index = 1};
  ASSERT_TRUE(element->process(result));
  EXPECT_EQ(result.attributes->find("sum")->number, 100);
}

TEST_F(UserDecoders, ThatThrowOrFailEndTheStreamWithAnErrorThatNamesThem) {
  const std::pair<const char*, const char*> cases[] = {
      {"throw", "it threw: out of ideas"}, {"fail", "the model is not mine"}, {"code", "it returned 4"}};
  for (const auto& [mode, text] : cases) {
    auto element = start_mode(mode);
    ASSERT_TRUE(element) << error;
    Frame result = frame();
    const auto done = element->process(result);
    ASSERT_FALSE(done) << mode;
    EXPECT_THAT(done.error().message, HasSubstr(SIGHTGLASS_TEST_DECODER));
    EXPECT_THAT(done.error().message, HasSubstr(text));
  }
}

TEST_F(UserDecoders, ThatRefuseToStartSayWhy) {
  EXPECT_FALSE(start_mode("refuse"));
  EXPECT_THAT(error, HasSubstr("this model is none of mine"));
  EXPECT_FALSE(start_mode("throw-at-start"));
  EXPECT_THAT(error, HasSubstr("it threw: no start"));
}

TEST_F(UserDecoders, ThatHangAreGivenUpAndFramesGoOnWithOneWarning) {
  auto element = start_mode("hang", "20");
  ASSERT_TRUE(element) << error;
  for (int i = 0; i < 3; ++i) {
    Frame result = frame();
    const auto done = element->process(result);
    ASSERT_TRUE(done);
    EXPECT_EQ(*done, Verdict::pass);
    EXPECT_TRUE(result.regions.empty());
  }
  EXPECT_THAT(element->take_warnings(), ElementsAre(HasSubstr("took more than 20 ms")));
  element->stop();
}

TEST_F(UserDecoders, LoseWhatIsNotFiniteWithOneWarning) {
  auto element = start_mode("nan");
  ASSERT_TRUE(element) << error;
  for (int i = 0; i < 3; ++i) {
    Frame result = frame();
    ASSERT_TRUE(element->process(result));
    ASSERT_EQ(result.regions.size(), 1u);
    EXPECT_EQ(result.regions[0].label.view(), "good");
    EXPECT_FALSE(result.attributes);
  }
  EXPECT_THAT(element->take_warnings(), ElementsAre(HasSubstr("not finite")));
}

TEST_F(UserDecoders, ThatAreNoneAreRefusedWithTheReason) {
  EXPECT_FALSE(start({}));
  EXPECT_THAT(error, HasSubstr("decoder is not set"));
  EXPECT_FALSE(start({{"decoder", "nothing"}}));
  EXPECT_THAT(error, HasSubstr("neither a shared object"));
  EXPECT_FALSE(start({{"decoder", "/nowhere/mine.so"}}));
  EXPECT_THAT(error, HasSubstr("no such file"));
  const std::string text_file = testing::TempDir() + "/text.so";
  std::ofstream(text_file) << "no library";
  EXPECT_FALSE(start({{"decoder", text_file}}));
  EXPECT_THAT(error, HasSubstr("cannot be loaded"));
  EXPECT_FALSE(start({{"decoder", SIGHTGLASS_OTHER_LIBRARY}}));
  EXPECT_THAT(error, HasSubstr("exports no function sightglass_decoder"));
}

}  // namespace
}  // namespace sightglass
