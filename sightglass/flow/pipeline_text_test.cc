#include "sightglass/flow/pipeline_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sightglass::flow {
namespace {

using testing::HasSubstr;

// "a>b": who is linked to whom, by element.
std::string links(std::string_view text) {
  const auto parsed = parse_pipeline(text);
  if (!parsed) return parsed.error().message;
  std::string all;
  for (const auto& link : parsed->links)
    all += (all.empty() ? "" : " ") + parsed->elements[link.from].element + ">" +
           parsed->elements[link.to].element;
  return all;
}

std::string error(std::string_view text) {
  const auto parsed = parse_pipeline(text);
  return parsed ? "" : parsed.error().message;
}

TEST(PipelineText, ElementsStandOneBehindTheOther) {
  EXPECT_EQ(links("a ! b!c\n  ! d"), "a>b b>c c>d");
  EXPECT_EQ(links("a b"), "");
}

TEST(PipelineText, BranchesAreNamedBeforeOrAfterTheyAreMade) {
  EXPECT_EQ(links("a ! tee name=t  t. ! b ! m.  t. ! c ! join name=m ! d"),
            "a>tee tee>b b>join tee>c c>join join>d");
  const auto parsed = parse_pipeline("a ! m.sink  b ! m.tensor_0  join name=m");
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->links[0].to_pad, "sink");
  EXPECT_EQ(parsed->links[1].to_pad, "tensor_0");
}

TEST(PipelineText, ValuesAreQuotedInEveryWay) {
  const auto parsed =
      parse_pipeline(R"(a one=x!y two="a b ! c" three='it "is"' four = 5 five=a\ b six="say \"hi\"" ! b)");
  ASSERT_TRUE(parsed) << parsed.error().message;
  using Setting = std::pair<std::string, std::string>;
  EXPECT_EQ(parsed->elements[0].settings, (std::vector<Setting>{{"one", "x!y"},
                                                                {"two", "a b ! c"},
                                                                {"three", "it \"is\""},
                                                                {"four", "5"},
                                                                {"five", "a b"},
                                                                {"six", "say \"hi\""}}));
  EXPECT_EQ(parsed->links.size(), 1u);
}

TEST(PipelineText, CapsStandBetweenElements) {
  for (const auto* text :
       {"a ! video/x-raw,format=NV12, width=64 ! b", "a ! \"video/x-raw,format=NV12, width=64\" ! b"}) {
    const auto parsed = parse_pipeline(text);
    ASSERT_TRUE(parsed) << parsed.error().message;
    ASSERT_EQ(parsed->elements.size(), 3u);
    EXPECT_EQ(parsed->elements[1].element, "capsfilter");
    EXPECT_EQ(parsed->elements[1].settings[0].second, "video/x-raw,format=NV12, width=64");
  }
}

TEST(PipelineText, WhatCannotBeReadIsSaid) {
  EXPECT_THAT(error(""), HasSubstr("empty"));
  EXPECT_THAT(error("! a"), HasSubstr("in front of a '!'"));
  EXPECT_THAT(error("a ! ! b"), HasSubstr("in front of a '!'"));
  EXPECT_THAT(error("a !"), HasSubstr("nothing follows"));
  EXPECT_THAT(error("a ! t."), HasSubstr("no element is called t"));
  EXPECT_THAT(error("a name=x ! b name=x"), HasSubstr("two elements are called x"));
  EXPECT_THAT(error("a x=\"y"), HasSubstr("not closed"));
  EXPECT_THAT(error("( a ! b )"), HasSubstr("brackets"));
  EXPECT_THAT(error("=b"), HasSubstr("no name"));
  EXPECT_THAT(error("a@b"), HasSubstr("'@'"));
}

TEST(CapsText, SetsOfPicturesAndTensorsAreRead) {
  auto caps = parse_caps(
      "video/x-raw(memory:CUDAMemory), format=(string){ NV12, I420 }, width=(int)[ 16, 640 ], "
      "height=480, framerate=30/1; other/tensors,types=float32,dimensions=416:416:3:1");
  ASSERT_TRUE(caps) << caps.error().message;
  ASSERT_EQ(caps->size(), 2u);
  EXPECT_EQ((*caps)[0].memory, MemoryKind::cuda);
  const auto& video = std::get<VideoSpec>((*caps)[0].media);
  EXPECT_EQ(video.formats, (std::vector{PixelFormat::nv12, PixelFormat::i420}));
  EXPECT_EQ(video.width, (IntRange{16, 640}));
  EXPECT_EQ(video.height, IntRange::exactly(480));
  const auto& tensors = std::get<TensorsSpec>((*caps)[1].media);
  EXPECT_EQ(tensors.tensors.at(0).shape, (Shape{1, 3, 416, 416}));
  EXPECT_EQ(tensors.tensors.at(0).types, std::vector{DataType::f32});
}

TEST(CapsText, WhatIsNotKnownIsSaid) {
  const auto text = [](std::string_view caps) {
    auto parsed = parse_caps(caps);
    return parsed ? "" : parsed.error().message;
  };
  EXPECT_THAT(text("video/x-raw,format=XYZ"), HasSubstr("format=XYZ"));
  EXPECT_THAT(text("video/x-raw,width=-3"), HasSubstr("width=-3"));
  EXPECT_THAT(text("video/x-raw,width=[9,3]"), HasSubstr("width"));
  EXPECT_THAT(text("video/x-raw,depth=3"), HasSubstr("depth"));
  EXPECT_THAT(text("video/x-raw,width"), HasSubstr("width"));
  EXPECT_THAT(text("audio/x-raw"), HasSubstr("audio/x-raw"));
  EXPECT_THAT(text("video/x-raw(memory:Cheese)"), HasSubstr("memory:Cheese"));
  EXPECT_THAT(text("other/tensors,types=float7"), HasSubstr("float7"));
  EXPECT_THAT(text(" ; "), HasSubstr("none"));
}

}  // namespace
}  // namespace sightglass::flow
