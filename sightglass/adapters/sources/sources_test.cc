#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "sightglass/adapters/adapter.h"
#include "sightglass/adapters/sources/access_units.h"
#include "sightglass/adapters/sources/pace.h"
#include "sightglass/adapters/sources/source_names.h"
#include "sightglass/stream/bitstream.h"

namespace sightglass::adapters {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Settings = std::vector<std::pair<std::string, std::string>>;

std::string input(const std::string& name) {
  const char* folder = std::getenv("SIGHTGLASS_TEST_INPUTS");
  return folder ? std::string(folder) + "/" + name : name;
}

class Collected final : public Deliver {
 public:
  bool deliver(stream::Delivery delivery) override {
    all.push_back(std::move(delivery));
    if (all.back().settlement) all.back().settlement->processed();
    return all.size() < most;
  }
  std::unique_ptr<Deliver> another() override { return nullptr; }
  std::vector<const stream::VideoFrame*> frames(const std::string& id) const {
    std::vector<const stream::VideoFrame*> found;
    for (const stream::Delivery& delivery : all)
      if (delivery.message->frame && delivery.message->source_id == id)
        found.push_back(&*delivery.message->frame);
    return found;
  }
  std::vector<stream::Delivery> all;
  size_t most = SIZE_MAX;
};

Result<std::unique_ptr<Source>> make(const char* name, const Settings& settings) {
  const SourceDesc* desc = find_source(name);
  ParamSet params(desc->params);
  for (const auto& [key, value] : settings)
    if (Status set = params.set_text(key, value); !set) return forward_error(set);
  return desc->create(params, {.name = name});
}

Collected run(const char* name, const Settings& settings) {
  Collected out;
  auto source = make(name, settings);
  EXPECT_TRUE(source) << source.error().message;
  if (!source) return out;
  const Status started = (*source)->start();
  EXPECT_TRUE(started) << started.error().message;
  EXPECT_TRUE((*source)->run(out, {}));
  return out;
}

TEST(VideoFile, EachAccessUnitIsAMessageThatStandsForItself) {
  const Collected out = run("video_file", {{"location", input("v.mp4")}, {"source-id", "cam-1"}});
  const auto frames = out.frames("cam-1");
  ASSERT_EQ(frames.size(), 60u);
  ASSERT_EQ(out.all.size(), 61u);
  std::set<stream::Uuid> uuids;
  for (size_t i = 0; i < frames.size(); ++i) {
    const stream::Delivery& delivery = out.all[i];
    EXPECT_EQ(delivery.message->seq, int64_t(i));
    ASSERT_EQ(delivery.payloads.size(), 1u);
    EXPECT_EQ(std::get<stream::Part>(*&frames[i]->content).size, int64_t(delivery.payloads[0].bytes.size()));
    EXPECT_EQ(frames[i]->codec, "h264");
    EXPECT_EQ(stream::is_keyframe("h264", delivery.payloads[0].bytes), frames[i]->keyframe);
    if (i > 0) {
      EXPECT_EQ(frames[i]->previous_frame, frames[i - 1]->uuid);
    }
    uuids.insert(frames[i]->uuid);
  }
  EXPECT_EQ(uuids.size(), 60u);
  EXPECT_TRUE(frames[0]->keyframe);
  // Parameter sets stand at the keyframe.
  EXPECT_EQ(stream::picture_size("h264", out.all[0].payloads[0].bytes), (stream::PictureSize{320, 240}));
  const stream::EndOfStream& end = *out.all.back().message->end_of_stream;
  EXPECT_EQ(end.reason, stream::EndReason::end);
  EXPECT_EQ(end.frames, 60);
  EXPECT_EQ(end.last_frame, frames.back()->uuid);
}

TEST(VideoFile, TimesGoOnGrowingWhenItIsRepeated) {
  const Collected out = run("video_file", {{"location", input("v.mp4")}, {"source-id", "a"}, {"loop", "2"}});
  const auto frames = out.frames("a");
  ASSERT_EQ(frames.size(), 180u);
  std::set<int64_t> times;
  for (const auto* frame : frames) times.insert(frame->pts);
  EXPECT_EQ(times.size(), 180u);
}

TEST(VideoFile, StartAndStopCutItAtKeyframes) {
  const Collected out = run("video_file", {{"location", input("v.mp4")}, {"source-id", "a"}, {"stop", "1"}});
  EXPECT_LT(out.frames("a").size(), 60u);
  EXPECT_GT(out.frames("a").size(), 5u);
}

TEST(VideoFile, BadOptionsAreNamed) {
  EXPECT_THAT(make("video_file", {}).error().message, HasSubstr("location is missing"));
  EXPECT_THAT(make("video_file", {{"location", "x.mp4"}, {"pace", "fast"}}).error().message,
              HasSubstr("'fast'"));
  EXPECT_THAT(make("video_file", {{"location", "x"}, {"source-id", "../etc"}}).error().message,
              HasSubstr("source id"));
  auto missing = make("video_file", {{"location", "/nowhere/x.mp4"}});
  ASSERT_TRUE(missing);
  const Status started = (*missing)->start();
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code, ErrorCode::not_found);
}

TEST(VideoFile, ErrorsDoNotTellPasswords) {
  const auto units = AccessUnits::open("http://me:hunter2@127.0.0.1:1/a.mp4?token=abc");
  ASSERT_FALSE(units);
  EXPECT_THAT(units.error().message, HasSubstr("http://me:***@127.0.0.1:1/a.mp4?token=***"));
}

TEST(VideoFile, StopsWhereNothingIsTakenAnyMore) {
  Collected out;
  out.most = 10;
  auto source = make("video_file", {{"location", input("v.mp4")}});
  ASSERT_TRUE((*source)->start());
  EXPECT_TRUE((*source)->run(out, {}));
  EXPECT_EQ(out.all.size(), 10u);
}

TEST(Multi, OneFileBecomesManyStreamsWithLives) {
  const Collected out =
      run("multi", {{"location", input("v.mp4")}, {"count", "3"}, {"frames", "20"}, {"lives", "2"}});
  for (const char* id : {"cam-0", "cam-1", "cam-2"}) EXPECT_EQ(out.frames(id).size(), 40u);
  std::map<std::string, std::set<int64_t>> epochs;
  unsigned ends = 0;
  for (const stream::Delivery& delivery : out.all) {
    epochs[delivery.message->source_id].insert(delivery.message->epoch);
    ends += delivery.message->end_of_stream.has_value();
  }
  EXPECT_THAT(epochs["cam-1"], ElementsAre(0, 1));
  EXPECT_EQ(ends, 6u);
}

TEST(Multi, AccidentsHappenAsOftenAsWishedAndAlwaysTheSame) {
  const Settings settings = {
      {"location", input("v.mp4")}, {"count", "2"},     {"loss", "0.1"},  {"duplicate", "0.1"},
      {"reorder", "0.1"},           {"corrupt", "0.1"}, {"frames", "500"}};
  const Collected first = run("multi", settings), second = run("multi", settings);
  ASSERT_EQ(first.all.size(), second.all.size());
  std::set<int64_t> seqs;
  size_t back = 0;
  int64_t last = -1;
  for (const stream::Delivery& delivery : first.all) {
    if (delivery.message->source_id != "cam-0" || !delivery.message->frame) continue;
    seqs.insert(delivery.message->seq);
    back += delivery.message->seq < last;
    last = delivery.message->seq;
  }
  EXPECT_NEAR(double(seqs.size()), 450, 40);
  EXPECT_GT(back, 10u);
}

TEST(Multi, ChurnEndsStreamsEarlyAndBringsThemBackWithAKeyframe) {
  const Collected out =
      run("multi", {{"location", input("v.mp4")}, {"count", "2"}, {"frames", "300"}, {"churn", "0.05"}});
  EXPECT_EQ(out.frames("cam-0").size(), 300u);
  EXPECT_EQ(out.frames("cam-1").size(), 300u);
  std::map<std::string, int64_t> epochs;
  for (const stream::Delivery& delivery : out.all) {
    const stream::Message& message = *delivery.message;
    if (message.frame && message.seq == 0) {
      EXPECT_TRUE(message.frame->keyframe);
    }
    epochs[message.source_id] = std::max(epochs[message.source_id], message.epoch);
  }
  EXPECT_GT(epochs["cam-0"], 5);
  EXPECT_NE(epochs["cam-0"], epochs["cam-1"]);
}

TEST(SourceNames, AreMadeOfFileNames) {
  EXPECT_EQ(source_id_of("/media/Gate 1.mp4"), "Gate-1");
  EXPECT_EQ(source_id_of("http://host/a/b.ts?x=1"), "b");
  EXPECT_EQ(source_id_of("http://me:hunter2@host/"), "host");
  EXPECT_EQ(source_id_of("http://me:hunter2@host"), "host");
  EXPECT_EQ(source_id_of("http://me:hunter2@host/a@b.mp4"), "a-b");
  EXPECT_EQ(source_id_of("/a/..hidden..x.mkv"), "hidden.-x");
  EXPECT_EQ(source_id_of("/a/日本.mp4").substr(0, 6), "source");
  for (const char* id : {"/a/b c.mp4", "/x/..", "", "...", "/y/1.2.3.mp4"})
    EXPECT_TRUE(check_source_id(source_id_of(id))) << id;
}

TEST(Pace, UnderstandsItsThreeForms) {
  EXPECT_FALSE(Pace::parse("asap")->waits());
  EXPECT_TRUE(Pace::parse("realtime")->waits());
  EXPECT_TRUE(Pace::parse("2.5")->waits());
  for (const char* text : {"", "fast", "-1", "0", "1x", "1e9", "nan"})
    EXPECT_FALSE(Pace::parse(text)) << text;
}

}  // namespace
}  // namespace sightglass::adapters
