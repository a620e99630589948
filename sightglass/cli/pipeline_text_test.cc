#include "sightglass/cli/pipeline_text.h"

#include <gtest/gtest.h>

#include "sightglass/cli/contact_sheet.h"
#include "sightglass/cli/pipeline_plan.h"

namespace sightglass::cli {
namespace {

std::string parse_error(std::string_view text) {
  const auto parsed = parse_pipeline(text);
  return parsed ? "" : parsed.error().message;
}

TEST(ParsePipeline, NamesTheNearestElement) {
  EXPECT_EQ(parse_error("videotestsrc ! fakesing"),
            "no element fakesing; did you mean 'fakesink'?; `sightglass doctor fakesing` says more");
}

TEST(ParsePipeline, NamesTheNearestProperty) {
  EXPECT_EQ(parse_error("videotestsrc num-bufers=3 ! fakesink"),
            "videotestsrc: no property num-bufers; did you mean 'num-buffers'?; `gst-inspect-1.0 "
            "videotestsrc` lists them");
}

TEST(ParsePipeline, ListsTheChoices) {
  const std::string text = parse_error("videotestsrc pattern=zebra ! fakesink");
  EXPECT_TRUE(text.starts_with("videotestsrc")) << text;
  EXPECT_TRUE(text.contains("pattern=zebra is not possible; one of: smpte, snow")) << text;
}

TEST(ParsePipeline, RefusesWhatCannotBeRead) {
  EXPECT_FALSE(parse_error("").empty());
  EXPECT_FALSE(parse_error("videotestsrc ! ! fakesink").empty());
  EXPECT_FALSE(parse_error("videotestsrc ! filesrc").empty());
}

TEST(ParsePipeline, AlwaysGivesAPipeline) {
  for (const char* text : {"fakesrc", "fakesrc ! fakesink", "( fakesrc ! fakesink )"}) {
    const auto parsed = parse_pipeline(text);
    ASSERT_TRUE(parsed) << parsed.error().message;
    EXPECT_TRUE(GST_IS_PIPELINE(parsed->get()));
  }
}

TEST(MessageText, LeavesOurOwnMessagesAsTheyAre) {
  EXPECT_EQ(
      message_text("object_detect0", "object_detect0: x.onnx: no such file", "element.cc(12): f ():\nmore"),
      "object_detect0: x.onnx: no such file");
}

TEST(MessageText, AddsWhatHelps) {
  EXPECT_EQ(
      message_text("src", "Resource not found.",
                   "gstfilesrc.c(1083): start (): /GstPipeline:p/GstFileSrc:src:\nNo such file \"x.mp4\""),
      "src: Resource not found (No such file \"x.mp4\")");
  EXPECT_EQ(message_text("d", "It failed.", "a.c(1): f (): /GstPipeline:p/GstX:d"), "d: It failed");
  EXPECT_EQ(message_text("q", "Internal data stream error.",
                         "a.c(1):\nstreaming stopped, reason not-negotiated (-4)"),
            "q: Internal data stream error (streaming stopped, reason not-negotiated (-4)); two neighbouring "
            "elements have no format in "
            "common; a videoconvert between them often helps");
}

TEST(PipelinePlan, TextSaysWhatIsBuilt) {
  const PipelinePlan plan{{"videotestsrc", {{"num-buffers", "2"}}},
                          caps_filter("video/x-raw,width=16"),
                          {"tee", {}, "t"},
                          {"queue"},
                          {"filesink", {{"location", "/tmp/a \"b\""}}},
                          {"queue", {}, "", "t"},
                          {"fakesink"}};
  EXPECT_EQ(to_text(plan),
            "videotestsrc num-buffers=2 ! video/x-raw,width=16 ! tee name=t ! queue ! filesink "
            "location='/tmp/a \"b\"'  t. ! queue ! fakesink");
  const auto built = build_pipeline(plan);
  ASSERT_TRUE(built) << built.error().message;
  EXPECT_EQ(GST_BIN_NUMCHILDREN(built->get()), 7);
}

TEST(PipelinePlan, NamesWhatIsMissing) {
  const auto built = build_pipeline({{"no_such_element"}});
  ASSERT_FALSE(built);
  EXPECT_TRUE(built.error().message.contains("no_such_element"));
}

TEST(EvenChoice, SpreadsOverAnyNumber) {
  for (const size_t count : {1uz, 2uz, 5uz, 6uz, 7uz, 12uz, 13uz, 24uz, 25uz, 100uz, 795uz}) {
    EvenChoice choice(6);
    std::vector<size_t> kept;
    for (size_t i = 0; i < count; ++i) {
      bool thin_out = false;
      if (!choice.offer(thin_out)) continue;
      if (thin_out) {
        std::vector<size_t> half;
        for (size_t k = 0; k < kept.size(); k += 2) half.push_back(kept[k]);
        kept = half;
      }
      kept.push_back(i);
    }
    const auto chosen = choice.chosen();
    ASSERT_EQ(chosen.size(), std::min<size_t>(6, count));
    EXPECT_EQ(kept.at(chosen.front()), 0u);
    for (size_t i = 1; i < chosen.size(); ++i) EXPECT_LT(kept.at(chosen[i - 1]), kept.at(chosen[i]));
    EXPECT_GE(kept.at(chosen.back()), count / 2) << count;
  }
}

}  // namespace
}  // namespace sightglass::cli

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  gst_init(nullptr, nullptr);
  return RUN_ALL_TESTS();
}
