#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <format>
#include <fstream>
#include <string>
#include <vector>

#include "sightglass/adapters/adapter.h"
#include "sightglass/adapters/sources/access_units.h"
#include "tests/temporary_folder.h"

namespace sightglass::adapters {
namespace {

namespace fs = std::filesystem;
using Settings = std::vector<std::pair<std::string, std::string>>;

std::string input(const std::string& name) {
  const char* folder = std::getenv("SIGHTGLASS_TEST_INPUTS");
  return folder ? std::string(folder) + "/" + name : name;
}

class VideoFileSink : public testing::Test {
 protected:
  std::unique_ptr<Sink> open(const Settings& settings) {
    const SinkDesc* desc = find_sink("video_file");
    ParamSet params(desc->params);
    EXPECT_TRUE(params.set_text("folder", folder.string()));
    for (const auto& [key, value] : settings) EXPECT_TRUE(params.set_text(key, value));
    auto sink = desc->create(params, {.name = "local"});
    EXPECT_TRUE(sink);
    if (!sink) return nullptr;
    EXPECT_TRUE((*sink)->start());
    return std::move(*sink);
  }

  // What a camera sends: 60 frames of H.264 that begin with a keyframe, `times` over.
  static std::vector<RecordRef> street(int times = 1) {
    struct Collected final : Deliver {
      bool deliver(stream::Delivery delivery) override {
        if (RecordRef record = record_of(delivery)) records.push_back(std::move(record));
        return true;
      }
      std::unique_ptr<Deliver> another() override { return nullptr; }
      std::vector<RecordRef> records;
    } out;
    const SourceDesc* desc = find_source("video_file");
    ParamSet params(desc->params);
    EXPECT_TRUE(params.set_text("location", input("v.mp4")));
    EXPECT_TRUE(params.set_text("source-id", "cam-1"));
    EXPECT_TRUE(params.set_text("loop", std::to_string(times - 1)));
    auto source = desc->create(params, {.name = "camera"});
    EXPECT_TRUE((*source)->start());
    EXPECT_TRUE((*source)->run(out, {}));
    return out.records;
  }
  static Status write(Sink& sink, const std::vector<RecordRef>& records) {
    std::vector<Stored> outcome(records.size());
    const Status status = sink.write(records, outcome);
    for (const Stored each : outcome) EXPECT_EQ(each, Stored::yes);
    return status;
  }
  std::vector<fs::path> videos() const {
    std::vector<fs::path> found;
    for (const auto& entry : fs::directory_iterator(folder))
      if (entry.path().extension() == ".mp4") found.push_back(entry.path());
    std::ranges::sort(found);
    return found;
  }
  // Frames that can be read back; the first has to be a keyframe.
  static size_t frames(const fs::path& file) {
    auto units = AccessUnits::open(file);
    EXPECT_TRUE(units) << units.error().message;
    if (!units) return 0;
    for (size_t count = 0;; ++count) {
      auto unit = (*units)->next();
      EXPECT_TRUE(unit);
      if (!unit || !*unit) return count;
      EXPECT_TRUE(count > 0 || (*unit)->keyframe);
    }
  }

  const sightglass::test::TemporaryFolder temporary{};
  const fs::path folder = temporary.path();
};

TEST_F(VideoFileSink, FileCanBePlayedAndHasEachFrame) {
  auto sink = open({{"naming", "source"}, {"segment", "0"}});
  ASSERT_TRUE(write(*sink, street()));
  sink->stop();
  ASSERT_EQ(videos().size(), 1u);
  EXPECT_EQ(videos()[0].filename(), "cam-1.mp4");
  EXPECT_EQ(frames(videos()[0]), 60u);
  std::ifstream lines(folder / "cam-1.jsonl");
  size_t count = 0;
  for (std::string line; std::getline(lines, line);) ++count;
  EXPECT_EQ(count, 60u);
}

TEST_F(VideoFileSink, SegmentsBeginAtKeyframes) {
  const auto records = street(3);
  const auto keyframes = std::ranges::count_if(records, [](const auto& each) { return each->keyframe; });
  ASSERT_GT(keyframes, 1);
  auto sink = open({{"segment", "1"}});
  ASSERT_TRUE(write(*sink, records));
  sink->stop();
  ASSERT_EQ(videos().size(), size_t(keyframes));
  size_t all = 0;
  for (const fs::path& each : videos()) all += frames(each);
  EXPECT_EQ(all, 180u);
}

TEST_F(VideoFileSink, TimeThatGoesBackBeginsAFile) {
  auto sink = open({{"segment", "0"}});
  ASSERT_TRUE(write(*sink, street()));
  ASSERT_TRUE(write(*sink, street()));
  sink->stop();
  ASSERT_EQ(videos().size(), 2u);
  for (const fs::path& each : videos()) EXPECT_EQ(frames(each), 60u);
}

TEST_F(VideoFileSink, FilesOfAnEarlierProcessStay) {
  for (int i = 0; i < 2; ++i) {
    auto sink = open({{"naming", "source"}, {"segment", "0"}});
    ASSERT_TRUE(write(*sink, street()));
  }
  ASSERT_EQ(videos().size(), 2u);
  for (const fs::path& each : videos()) EXPECT_EQ(frames(each), 60u);
}

TEST_F(VideoFileSink, WhatAFailureLeavesUndecodableIsNotCalledStored) {
  const auto records = street();
  ASSERT_TRUE(records[0]->keyframe && !records[1]->keyframe);
  auto sink = open({{"segment", "0"}});
  fs::remove_all(folder);
  std::vector<Stored> outcome(2);
  EXPECT_FALSE(sink->write(std::span(records).first(2), outcome));
  EXPECT_EQ(outcome[1], Stored::retry);
  outcome.assign(1, Stored::yes);
  EXPECT_TRUE(sink->write(std::span(records).subspan(1, 1), outcome));
  EXPECT_EQ(outcome[0], Stored::never);
  fs::create_directories(folder);
  ASSERT_TRUE(write(*sink, records));
}

// A kill leaves what was complete, and that can be played.
TEST_F(VideoFileSink, AKilledWriterLeavesFilesThatPlay) {
  const auto records = street(3);
  for (const char* container : {"mp4", "mkv"}) {
    const pid_t child = fork();
    if (child == 0) {
      auto sink = open({{"naming", "source"}, {"segment", "0"}, {"container", container}});
      if (write(*sink, records) && sink->flush()) raise(SIGKILL);
      _exit(1);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    // All but the last group of pictures at the most.
    EXPECT_GE(frames(folder / (std::string("cam-1.") + container)), 120u) << container;
  }
}

// Records of `street` with a tag on some.
std::vector<RecordRef> tagged(std::vector<RecordRef> records, const std::vector<size_t>& events) {
  for (size_t i : events) {
    auto copy = std::make_shared<Record>(*records[i]);
    copy->results.attributes =
        with(copy->results.attributes,
             {.name = Label("event"), .kind = AttributeKind::number, .number = 1, .model = Label("tag")});
    records[i] = copy;
  }
  return records;
}

TEST_F(VideoFileSink, ClipsBeginBeforeTheirEventAtAKeyframeAndEndBehindIt) {
  const auto records = street(6);
  std::vector<size_t> keys;
  for (size_t i = 0; i < records.size(); ++i)
    if (records[i]->keyframe) keys.push_back(i);
  ASSERT_GE(keys.size(), 5u);
  const Time frame = records[1]->pts - records[0]->pts;
  const size_t event = keys[3] + 5;
  const auto seconds = [&](size_t count) {
    return std::to_string((double(count) + 0.5) * double(frame) / 1e9);
  };
  // So far back that the keyframe before the last one is needed.
  auto sink = open({{"pre-roll", seconds(10)},
                    {"post-roll", seconds(4)},
                    {"roll-when", R"({"frame": {"tag": "event"}})"}});
  ASSERT_TRUE(write(*sink, tagged(records, {event, event + 2})));
  sink->stop();
  ASSERT_EQ(videos().size(), 1u);
  EXPECT_EQ(frames(videos()[0]), event + 2 + 4 - keys[2] + 1);
  // Named after its first frame, with the metadata beside it.
  std::string uuid;
  for (const uint8_t byte : records[keys[2]]->uuid) uuid += std::format("{:02x}", byte);
  EXPECT_TRUE(videos()[0].filename().string().contains(uuid));
  EXPECT_TRUE(fs::exists(fs::path(videos()[0]).replace_extension(".jsonl")));
}

TEST_F(VideoFileSink, AClipThatCouldNotBeWrittenIsWholeTheNextTime) {
  const auto records = street(6);
  std::vector<size_t> keys;
  for (size_t i = 0; i < records.size(); ++i)
    if (records[i]->keyframe) keys.push_back(i);
  ASSERT_GE(keys.size(), 5u);
  const Time frame = records[1]->pts - records[0]->pts;
  const size_t event = keys[3] + 5;
  const auto seconds = [&](size_t count) {
    return std::to_string((double(count) + 0.5) * double(frame) / 1e9);
  };
  auto sink = open({{"pre-roll", seconds(10)},
                    {"post-roll", seconds(4)},
                    {"roll-when", R"({"frame": {"tag": "event"}})"}});
  const auto batch = tagged(records, {event});
  fs::remove_all(folder);
  std::vector<RecordRef> left = batch;
  for (int i = 0; i < 2; ++i) {
    std::vector<Stored> outcome(left.size());
    // Only what is in front of the event is stored.
    EXPECT_EQ(bool(sink->write(left, outcome)), i == 0);
    left.erase(left.begin(), left.begin() + (std::ranges::find(outcome, Stored::retry) - outcome.begin()));
    EXPECT_EQ(left.size(), batch.size() - event);
  }
  fs::create_directories(folder);
  ASSERT_TRUE(write(*sink, left));
  sink->stop();
  ASSERT_EQ(videos().size(), 1u);
  EXPECT_EQ(frames(videos()[0]), event + 4 - keys[2] + 1);
}

TEST_F(VideoFileSink, WithoutAnEventThereIsNoClipAndTheMemoryIsBounded) {
  const auto records = street(6);
  auto sink =
      open({{"pre-roll", "600"}, {"roll-bytes", "1"}, {"roll-when", R"({"frame": {"tag": "event"}})"}});
  ASSERT_TRUE(write(*sink, records));
  EXPECT_TRUE(videos().empty());
  for (const RecordRef& record : records) EXPECT_EQ(record.use_count(), 1);  // nobody keeps it
  // The event alone where nothing may wait for it: from its own keyframe on.
  size_t key = records.size() - 1;
  while (!records[key]->keyframe) --key;
  ASSERT_TRUE(write(*sink, tagged({records[key]}, {0})));
  sink->stop();
  EXPECT_EQ(videos().size(), 1u);
  auto wrong = find_sink("video_file");
  ParamSet params(wrong->params);
  EXPECT_TRUE(params.set_text("folder", folder.string()));
  EXPECT_TRUE(params.set_text("roll-when", R"({"frame": {"tagg": "event"}})"));
  EXPECT_FALSE(wrong->create(params, {.name = "local"}));
}

TEST_F(VideoFileSink, TwoEventsFarApartAreTwoClips) {
  const auto records = street(6);
  auto sink = open({{"post-roll", "0.1"}, {"roll-when", R"({"frame": {"tag": "event"}})"}});
  ASSERT_TRUE(write(*sink, tagged(records, {20, 250})));
  sink->stop();
  EXPECT_EQ(videos().size(), 2u);
  for (const fs::path& each : videos()) EXPECT_GT(frames(each), 1u);
}

TEST_F(VideoFileSink, WhatComesBeforeAKeyframeIsLeftOutAndHarmless) {
  auto records = street();
  auto sink = open({{"naming", "source"}, {"segment", "0"}});
  ASSERT_FALSE(records[1]->keyframe);
  ASSERT_TRUE(write(*sink, {records[1], records[2]}));
  EXPECT_TRUE(sink->flush());
  EXPECT_TRUE(videos().empty());
  ASSERT_TRUE(write(*sink, records));
  EXPECT_TRUE(sink->flush());
  sink->stop();
  EXPECT_EQ(frames(videos().at(0)), 60u);
}

}  // namespace
}  // namespace sightglass::adapters
