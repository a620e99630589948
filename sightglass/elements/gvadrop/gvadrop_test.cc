#include "sightglass/elements/gvadrop/gvadrop.h"

#include <gtest/gtest.h>

#include "sightglass/elements/element_test_support.h"

namespace sightglass {
namespace {

std::string pattern(TransformInplace& element, int count) {
  std::string text;
  for (int i = 0; i < count; ++i) {
    Frame frame;
    const Verdict verdict = element.process(frame).value();
    text += verdict == Verdict::pass ? 'x' : verdict == Verdict::gap ? 'o' : '.';
  }
  return text;
}
std::string pattern(const test::Settings& settings, int count) {
  return pattern(*test::make<TransformInplace>("gvadrop", settings), count);
}

TEST(GvaDrop, PassesThenDrops) {
  EXPECT_EQ(pattern({{"pass-frames", "1"}, {"drop-frames", "1"}}, 6), "x.x.x.");
  EXPECT_EQ(pattern({{"pass-frames", "2"}, {"drop-frames", "3"}}, 11), "xx...xx...x");
  EXPECT_EQ(pattern({{"pass-frames", "4294967295"}, {"drop-frames", "4294967295"}}, 3), "xxx");
}

TEST(GvaDrop, NothingToDropIsPassthrough) {
  EXPECT_EQ(pattern({}, 4), "xxxx");
  EXPECT_EQ(pattern({{"pass-frames", "3"}}, 4), "xxxx");
}

TEST(GvaDrop, AGapTakesThePlaceWhereAskedFor) {
  EXPECT_EQ(pattern({{"drop-frames", "2"}, {"mode", "gap"}}, 6), "xooxoo");
  EXPECT_EQ(pattern({{"drop-frames", "1"}, {"mode", "1"}}, 4), "xoxo");
}

TEST(GvaDrop, FlushStartsANewRound) {
  auto element = test::make<TransformInplace>("gvadrop", {{"pass-frames", "2"}, {"drop-frames", "1"}});
  EXPECT_EQ(pattern(*element, 1), "x");
  element->flush();
  EXPECT_EQ(pattern(*element, 3), "xx.");
}

TEST(GvaDrop, ARoundHasAtLeastOneThatPasses) {
  EXPECT_THROW(test::make<TransformInplace>("gvadrop", {{"pass-frames", "0"}}), std::runtime_error);
}

}  // namespace
}  // namespace sightglass
