// Decoders in Python, in a process that has no interpreter of its own.
#include <gmock/gmock.h>

#include <fstream>

#include "sightglass/elements/element_test_support.h"

namespace sightglass {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr const char* script = R"(
import time
import sightglass

class Good:
    def __init__(self, labels, scale="1"):
        self.labels, self.scale = labels, float(scale)

    def decode(self, tensors):
        scores = tensors["scores"].numpy()
        region = sightglass.Region((0.1, 0.2, 0.3, 0.4), self.labels[1], 0.75, label_id=1)
        region.add(sightglass.Attribute("points", [0.1, 0.2, 1.0], kind="keypoints"))
        return [region, sightglass.Attribute("sum", float(scores.sum()) * self.scale)]

class Lazy(Good):
    def decode(self, tensors):
        yield from super().decode(tensors)

class Nothing:
    def decode(self, tensors): pass

class Throws:
    def decode(self, tensors): raise ValueError("out of ideas")

class Hangs:
    def decode(self, tensors):
        while True: pass

class NotFinite:
    def decode(self, tensors):
        yield sightglass.Region((float("nan"), 0, 1, 1), "bad", 1)
        yield sightglass.Region((0, 0, 1, 1), "good", 1)
        yield sightglass.Attribute("number", float("inf"))

class Wrong:
    def decode(self, tensors): return [5]

class NoDecoder: pass
)";

class PythonDecoders : public testing::Test {
 protected:
  static void SetUpTestSuite() { std::ofstream(file()) << script; }
  static std::string file() { return testing::TempDir() + "/user_decoders.py"; }
  static Frame frame() { return test::frame_of({test::tensor<float>({1, 4}, {1, 2, 3, 4})}); }

  std::unique_ptr<TransformInplace> start(const std::string& name, const std::string& config = "",
                                          const std::string& budget = "60000") {
    auto element = test::make<TransformInplace>("tensor_postproc_user", {{"decoder", file() + ":" + name},
                                                                         {"labels", "<glad,calm>"},
                                                                         {"config", config},
                                                                         {"time-budget", budget}});
    const Format format = test::format_of(frame(), {"scores"}, "net");
    Status done = element->start();
    if (done) done = element->configure(format, format);
    if (done) return element;
    error = done.error().message;
    return nullptr;
  }

  std::string error;
};

TEST_F(PythonDecoders, GiveRegionsAndAttributes) {
  for (const char* name : {"Good", "Lazy"}) {
    for (const char* budget : {"60000", "0"}) {
      auto element = start(name, "scale=2", budget);
      ASSERT_TRUE(element) << error;
      Frame result = frame();
      const auto done = element->process(result);
      ASSERT_TRUE(done) << done.error().message;
      ASSERT_EQ(result.regions.size(), 1u);
      EXPECT_EQ(result.regions[0].label.view(), "calm");
      EXPECT_EQ(result.regions[0].confidence, .75f);
      EXPECT_EQ(result.regions[0].attributes->find("points")->values.size(), 3u);
      EXPECT_EQ(result.attributes->find("sum")->number, 20);
    }
  }
}

TEST_F(PythonDecoders, MayGiveNothing) {
  auto element = start("Nothing");
  ASSERT_TRUE(element) << error;
  Frame result = frame();
  ASSERT_TRUE(element->process(result));
  EXPECT_TRUE(result.regions.empty());
}

TEST_F(PythonDecoders, ThatRaiseEndTheStreamWithAnErrorThatNamesThem) {
  auto element = start("Throws");
  ASSERT_TRUE(element) << error;
  Frame result = frame();
  const auto done = element->process(result);
  ASSERT_FALSE(done);
  EXPECT_THAT(done.error().message, HasSubstr("user_decoders.py:Throws has failed"));
  EXPECT_THAT(done.error().message, HasSubstr("ValueError: out of ideas"));
}

TEST_F(PythonDecoders, ThatHangAreGivenUpAndFramesGoOnWithOneWarning) {
  auto element = start("Hangs", "", "50");
  ASSERT_TRUE(element) << error;
  for (int i = 0; i < 3; ++i) {
    Frame result = frame();
    ASSERT_TRUE(element->process(result));
    EXPECT_TRUE(result.regions.empty());
  }
  EXPECT_THAT(element->take_warnings(), ElementsAre(HasSubstr("took more than 50 ms")));
  element->stop();
  auto other = start("Good");
  ASSERT_TRUE(other) << "the interpreter is free for others: " << error;
  Frame result = frame();
  EXPECT_TRUE(other->process(result));
}

TEST_F(PythonDecoders, LoseWhatIsNotFiniteWithOneWarning) {
  auto element = start("NotFinite");
  ASSERT_TRUE(element) << error;
  for (int i = 0; i < 2; ++i) {
    Frame result = frame();
    ASSERT_TRUE(element->process(result));
    ASSERT_EQ(result.regions.size(), 1u);
    EXPECT_EQ(result.regions[0].label.view(), "good");
    EXPECT_FALSE(result.attributes);
  }
  EXPECT_THAT(element->take_warnings(), ElementsAre(HasSubstr("not finite")));
}

TEST_F(PythonDecoders, ThatGiveSomethingElseAreToldSo) {
  auto element = start("Wrong");
  ASSERT_TRUE(element) << error;
  Frame result = frame();
  const auto done = element->process(result);
  ASSERT_FALSE(done);
  EXPECT_THAT(done.error().message, HasSubstr("gives Regions and Attributes, not int"));
}

TEST_F(PythonDecoders, ThatAreNoneAreRefusedWithTheReason) {
  EXPECT_FALSE(start("Missing"));
  EXPECT_THAT(error, HasSubstr("AttributeError"));
  EXPECT_FALSE(start("NoDecoder"));
  EXPECT_THAT(error, HasSubstr("has no method decode"));
  EXPECT_FALSE(start("Good", "size=3"));
  EXPECT_THAT(error, HasSubstr("takes no size; it takes labels, scale"));
  auto element = test::make<TransformInplace>("tensor_postproc_user", {{"decoder", "no_such_module:Class"}});
  EXPECT_THAT(test::message_of(element->start()), HasSubstr("no_such_module"));
}

}  // namespace
}  // namespace sightglass
