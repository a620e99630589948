#include "sightglass/function/wire.h"

#include <gmock/gmock.h>

#include <cmath>
#include <random>

#include "sightglass/memory/mapping.h"
#include "sightglass/memory/system/system_memory.h"

namespace sightglass::function {
namespace {

using testing::HasSubstr;

Frame frame_of_two() {
  Frame frame;
  frame.video = VideoInfo{.format = PixelFormat::nv12, .width = 96, .height = 64, .frame_rate = {25, 1}};
  frame.pts = 40'000'000;
  Tensor mask = *allocate_tensor({.type = DataType::f32, .shape = {2, 3}});
  std::ranges::fill(sightglass::map(mask, Access::write)->as<float>(), 0.5f);
  auto legend = make_ref<Legend>();
  legend->names = {"nose", "ear"};
  legend->links = {{0, 1}};
  frame.regions.push_back({.id = 0,
                           .box = {0.1f, 0.2f, 0.3f, 0.4f},
                           .confidence = 0.9f,
                           .label = Label("face"),
                           .label_id = 1,
                           .model = Label("faces"),
                           .track = 7});
  frame.regions[0].attributes = with(
      nullptr, {.name = Label("mask"), .kind = AttributeKind::mask, .tensor = mask, .model = Label("faces")});
  frame.regions[0].attributes = with(frame.regions[0].attributes, {.name = Label("points"),
                                                                   .kind = AttributeKind::keypoints,
                                                                   .values = {0.1f, 0.2f, 1, -1, -1, 0},
                                                                   .legend = legend,
                                                                   .model = Label("faces")});
  frame.regions.push_back({.id = 1, .parent = 0, .box = {0, 0, 1, 1}, .label = Label("person")});
  frame.attributes = with(
      nullptr, {.name = Label("lux"), .kind = AttributeKind::number, .number = 12, .model = Label("sensor")});
  return frame;
}

// A message without the length in front, as the other end sees it.
std::span<const uint8_t> body(const std::vector<uint8_t>& message) {
  return std::span(message).subspan(sizeof(uint32_t));
}

TEST(FunctionWire, BringsAFrameToTheWorker) {
  Frame frame = frame_of_two();
  const FrameFacts facts{.keyframe = true, .seq = 5, .pts = 123, .param_revision = 4, .queue_fill = 0.25};
  const StreamInfo stream{.source_id = "cam-1", .codec = "h264", .epoch = 2, .width = 96, .height = 64};
  std::vector<uint8_t> message;
  write_request({.frame = &frame, .facts = &facts, .stream = &stream, .region = 1, .text = "{}"}, 9, true,
                message);
  NameCache names;
  const auto request = read_request(body(message), names);
  ASSERT_TRUE(request) << request.error().message;
  EXPECT_EQ(request->object, 9u);
  EXPECT_EQ(request->stream.source_id, "cam-1");
  EXPECT_EQ(request->stream.epoch, 2);
  EXPECT_TRUE(request->has_picture);
  EXPECT_EQ(request->region, 1);
  EXPECT_TRUE(request->facts.keyframe);
  EXPECT_EQ(request->facts.pts, 123);
  EXPECT_EQ(*request->frame.video, *frame.video);
  ASSERT_EQ(request->frame.regions.size(), 2u);
  EXPECT_EQ(request->frame.regions[0].box, frame.regions[0].box);
  EXPECT_EQ(request->frame.regions[0].label, frame.regions[0].label);
  EXPECT_EQ(request->frame.regions[0].track, 7);
  const auto& attributes = request->frame.regions[0].attributes->items();
  ASSERT_EQ(attributes.size(), 2u);
  EXPECT_EQ(attributes[0].tensor.shape, (Shape{2, 3}));
  EXPECT_EQ(sightglass::map(attributes[0].tensor, Access::read)->as<float>()[5], 0.5f);
  EXPECT_EQ(attributes[1].values, frame.regions[0].attributes->items()[1].values);
  EXPECT_EQ(attributes[1].legend->names[1], "ear");
  EXPECT_EQ(request->frame.attributes->find("lux")->number, 12);
}

TEST(FunctionWire, LeavesAttributesThatHaveNotChangedAsTheyAre) {
  Frame frame = frame_of_two();
  std::vector<uint8_t> message;
  write_request({.frame = &frame}, 1, false, message);
  NameCache names;
  auto request = read_request(body(message), names);
  ASSERT_TRUE(request);
  Frame results = request->frame;
  results.regions.erase(results.regions.begin() + 1);
  results.regions[0].label = Label("known");
  results.attributes =
      with(results.attributes, {.name = Label("count"), .kind = AttributeKind::number, .number = 1});
  std::vector<uint8_t> back;
  write_answer({.verdict = Verdict::drop}, &results, request->frame, back);
  EXPECT_LT(back.size(), 300u) << "no mask is sent back";

  const AttributesRef before = frame.regions[0].attributes;
  const auto answer = read_answer(body(back), &frame, names);
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(answer->verdict, Verdict::drop);
  ASSERT_EQ(frame.regions.size(), 1u);
  EXPECT_EQ(frame.regions[0].label.view(), "known");
  EXPECT_EQ(frame.regions[0].attributes, before) << "the very same list";
  EXPECT_EQ(frame.attributes->items().size(), 2u);
}

TEST(FunctionWire, ChangesNothingWhereNoResultsAreSent) {
  Frame frame = frame_of_two();
  std::vector<uint8_t> back;
  write_answer({.ok = false, .text = "ValueError: no"}, nullptr, frame, back);
  NameCache names;
  const auto answer = read_answer(body(back), &frame, names);
  ASSERT_TRUE(answer);
  EXPECT_FALSE(answer->ok);
  EXPECT_EQ(answer->text, "ValueError: no");
  EXPECT_EQ(frame.regions.size(), 2u);
}

TEST(FunctionWire, RefusesBoxesThatAreNoNumbersAndTooManyObjects) {
  Frame frame = frame_of_two();
  frame.regions[1].box.w = std::nanf("");
  EXPECT_THAT(check_results(frame).error().message, HasSubstr("no number"));
  frame.regions.assign(wire_limits.objects + 1, Region{.box = {0, 0, 1, 1}});
  EXPECT_THAT(check_results(frame).error().message, HasSubstr("1025 objects, at most 1024"));
  std::vector<uint8_t> back;
  write_answer({}, &frame, {}, back);
  NameCache names;
  Frame target = frame_of_two();
  EXPECT_FALSE(read_answer(body(back), &target, names));
  EXPECT_EQ(target.regions.size(), 2u);
}

TEST(FunctionWire, RefusesEndlesslyManyNames) {
  NameCache names;
  Label label;
  for (size_t i = 0; i < NameCache::most_names; ++i) ASSERT_TRUE(names.find("n" + std::to_string(i), label));
  EXPECT_FALSE(names.find("one more", label));
  EXPECT_TRUE(names.find("n17", label));
}

// Every cut and every changed byte is either refused or read as something; nothing is touched on refusal.
TEST(FunctionWire, SurvivesAnswersThatAreCutOrChanged) {
  const Frame frame = frame_of_two();
  std::vector<uint8_t> good;
  write_answer({}, &frame, {}, good);
  NameCache names;
  for (size_t size = 0; size + sizeof(uint32_t) < good.size(); ++size) {
    Frame target = frame_of_two();
    EXPECT_FALSE(read_answer(body(good).first(size), &target, names)) << size;
    EXPECT_EQ(target.regions.size(), 2u);
  }
  std::mt19937 random(1);
  for (int round = 0; round < 20000; ++round) {
    std::vector<uint8_t> changed(body(good).begin(), body(good).end());
    for (unsigned count = 1 + random() % 4; count > 0; --count)
      changed[random() % changed.size()] = uint8_t(random());
    Frame target = frame_of_two();
    NameCache fresh;
    if (!read_answer(changed, &target, fresh)) {
      EXPECT_EQ(target.regions.size(), 2u);
    }
  }
}

TEST(FunctionWire, ChecksLengthsBeforeItAllocates) {
  // ok, no text, pass, accepted, pixels unchanged, box, results, a million objects.
  std::vector<uint8_t> lying = {1, 0, 0, 0, 0, 0, 1, 0};
  lying.resize(lying.size() + sizeof(Box));
  lying.push_back(1);
  lying.insert(lying.end(), {0x40, 0x42, 0x0f, 0});
  NameCache names;
  const auto answer = read_answer(lying, nullptr, names);
  ASSERT_FALSE(answer);
  EXPECT_THAT(answer.error().message, HasSubstr("1000000 objects"));
}

}  // namespace
}  // namespace sightglass::function
