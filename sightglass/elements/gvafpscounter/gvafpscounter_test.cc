#include "sightglass/elements/gvafpscounter/gvafpscounter.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <thread>

#include "sightglass/core/allocation_count.h"
#include "sightglass/core/registry.h"

namespace sightglass {
namespace {

constexpr int64_t ms = 1'000'000;

class FpsMeterTest : public testing::Test {
 protected:
  FpsMeter meter_{{.interval = 1}, [this](std::string_view lines) { printed_ += lines; }};
  std::string printed_;
};

TEST_F(FpsMeterTest, PrintsOncePerInterval) {
  FpsMeter::Stream* stream = meter_.join();
  for (int i = 1; i <= 11; ++i) meter_.count(*stream, i * 100 * ms);
  EXPECT_EQ(printed_,
            "FpsCounter(last 1.00sec): total=11.00 fps, number-streams=1, per-stream=11.00 fps\n"
            "FpsCounter(average 1.00sec): total=11.00 fps, number-streams=1, per-stream=11.00 fps\n");
  printed_.clear();
  for (int i = 12; i <= 20; ++i) meter_.count(*stream, i * 100 * ms);
  EXPECT_EQ(printed_, "");
  meter_.count(*stream, 2100 * ms);
  EXPECT_EQ(printed_,
            "FpsCounter(last 1.00sec): total=10.00 fps, number-streams=1, per-stream=10.00 fps\n"
            "FpsCounter(average 2.00sec): total=10.50 fps, number-streams=1, per-stream=10.50 fps\n");
}

TEST_F(FpsMeterTest, CountsAllStreams) {
  FpsMeter::Stream *a = meter_.join(), *b = meter_.join();
  for (int i = 0; i < 20; ++i) meter_.count(*a, (100 + i * 50) * ms);
  for (int i = 0; i < 10; ++i) meter_.count(*b, (100 + i * 100) * ms);
  meter_.count(*a, 1100 * ms);
  EXPECT_TRUE(printed_.starts_with(
      "FpsCounter(last 1.00sec): total=31.00 fps, number-streams=2, per-stream=15.50 fps (21.00, 10.00)\n"));
}

TEST_F(FpsMeterTest, PrintsOverallWhenTheLastStreamEnds) {
  FpsMeter::Stream *a = meter_.join(), *b = meter_.join();
  for (int i = 0; i < 5; ++i) meter_.count(*a, (100 + i * 100) * ms);
  meter_.count(*b, 500 * ms);
  meter_.leave(b, 600 * ms);
  EXPECT_EQ(printed_, "");
  meter_.leave(a, 600 * ms);
  EXPECT_EQ(
      printed_,
      "FpsCounter(overall 0.50sec): total=12.00 fps, number-streams=2, per-stream=6.00 fps (10.00, 2.00)\n");
  EXPECT_TRUE(meter_.deserted());
}

TEST_F(FpsMeterTest, AStreamWithoutFramesIsNone) {
  meter_.leave(meter_.join(), 100 * ms);
  EXPECT_EQ(printed_, "");
}

TEST(FpsMeter, PrintsTheDeviationOfTheTimesBetweenFrames) {
  std::string printed;
  FpsMeter meter({.interval = 1, .print_std_dev = true}, [&](std::string_view lines) { printed += lines; });
  FpsMeter::Stream* stream = meter.join();
  int64_t now = 100 * ms;
  for (int i = 0; i < 8; ++i) meter.count(*stream, now += i % 2 ? 90 * ms : 110 * ms);
  meter.leave(stream, now);
  EXPECT_NE(printed.find("\nstd dev interval: "), std::string::npos) << printed;
}

TEST(FpsMeter, ThreadsCountWithoutLosingFrames) {
  std::string printed;
  FpsMeter meter({.interval = 1e-3}, [&](std::string_view lines) { printed = lines; });
  FpsMeter::Stream* streams[4];
  for (auto& stream : streams) stream = meter.join();
  {
    std::vector<std::jthread> threads;
    for (auto* stream : streams)
      threads.emplace_back([&meter, stream] {
        for (int i = 1; i <= 1000; ++i) meter.count(*stream, i * ms);
      });
  }
  for (auto* stream : streams) meter.leave(stream, 1001 * ms);
  EXPECT_TRUE(printed.starts_with("FpsCounter(overall 1.00sec): total=4000.00 fps, number-streams=4"))
      << printed;
}

std::unique_ptr<Element> make(std::initializer_list<std::pair<const char*, const char*>> values) {
  const ElementDesc* desc = find_element("gvafpscounter");
  ParamSet params(desc->params);
  for (const auto& [name, text] : values) EXPECT_TRUE(params.set_text(name, text));
  auto element = desc->create(params);
  return element ? std::move(*element) : nullptr;
}

TEST(FpsCounter, SharesOneMeterInTheProcessAndPrintsAtTheEnd) {
  testing::internal::CaptureStdout();
  const auto first = make({{"interval", "1000,2000"}}),
             second = make({{"interval", "1000"}, {"starting-frame", "1"}});
  Frame frame;
  for (auto* element : {first.get(), second.get()}) {
    ASSERT_TRUE(element->start());
    for (int i = 0; i < 3; ++i) ASSERT_TRUE(static_cast<TransformInplace*>(element)->process(frame));
  }
  EXPECT_GT(std::get<double>(*first->value("avg-fps")), 0);
  ASSERT_TRUE(static_cast<TransformInplace&>(*first).drain());
  second->stop();
  first->stop();
  const std::string printed = testing::internal::GetCapturedStdout();
  // One line for both, and no rate of a moment.
  EXPECT_TRUE(printed.starts_with("FpsCounter: not enough data")) << printed;
  EXPECT_EQ(std::ranges::count(printed, '\n'), 1);
}

TEST(FpsCounter, RefusesIntervalsThatAreNone) {
  for (const char* interval : {"", "fast", "0", "1,", "-1", "1;2"})
    EXPECT_FALSE(make({{"interval", interval}})) << interval;
  EXPECT_TRUE(make({{"interval", "0.5, 10"}}));
}

TEST(FramePipe, BringsTheFramesOfWritersAndTheirEnd) {
  const std::string path = testing::TempDir() + "frame_pipe_test";
  auto reader = FramePipeReader::open(path);
  ASSERT_TRUE(reader) << reader.error().message;
  std::map<uint64_t, std::pair<uint32_t, bool>> seen;
  const auto read = [&] {
    (*reader)->read([&](uint64_t stream, uint32_t frames, bool ended) {
      seen[stream].first += frames;
      seen[stream].second |= ended;
    });
  };
  read();
  EXPECT_TRUE(seen.empty());
  FramePipeWriter a(path);
  {
    FramePipeWriter b(path);
    for (int i = 0; i < 3; ++i) a.count();
    b.count();
  }
  read();
  ASSERT_EQ(seen.size(), 2u);
  const auto [frames_a, ended_a] = seen.begin()->second;
  EXPECT_EQ(frames_a, 3u);
  EXPECT_FALSE(ended_a);
  EXPECT_EQ(std::next(seen.begin())->second, (std::pair{1u, true}));
  // A full pipe and a reader that is gone hold nobody up, and no frame is lost while it can be read again.
  for (int i = 0; i < 10000; ++i) a.count();
  read();
  a.count();
  read();
  EXPECT_EQ(seen.begin()->second.first, 10004u);
  reader->reset();
  a.count();
  a.count();
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(FramePipe, IsNoOtherFile) {
  EXPECT_FALSE(FramePipeReader::open(testing::TempDir()));
  EXPECT_FALSE(FramePipeReader::open("no/such/folder/pipe"));
}

TEST(FpsCounter, PipesJoinTwoCounters) {
  const std::string path = testing::TempDir() + "gvafpscounter_pipe";
  const auto reads = make({{"read-pipe", path.c_str()}}),
             writes = make({{"write-pipe", path.c_str()}, {"interval", "2000"}});
  ASSERT_TRUE(reads->start());
  ASSERT_TRUE(writes->start());
  testing::internal::CaptureStdout();
  Frame frame;
  for (int i = 0; i < 5; ++i) {
    EXPECT_TRUE(static_cast<TransformInplace&>(*writes).process(frame));
    EXPECT_TRUE(static_cast<TransformInplace&>(*reads).process(frame));
  }
  writes->stop();
  reads->stop();
  EXPECT_NE(testing::internal::GetCapturedStdout(), "");
  EXPECT_FALSE(make({{"read-pipe", "no/such/folder/pipe"}})->start());
}

TEST(FpsCounter, TheAverageCannotBeSet) {
  ParamSet params(find_element("gvafpscounter")->params);
  EXPECT_FALSE(params.set("avg-fps", 1.0));
}

TEST(FpsCounter, DoesNotAllocateOnceWarm) {
  const auto element = make({{"interval", "1000"}});
  ASSERT_TRUE(element->start());
  Frame frame;
  ASSERT_TRUE(static_cast<TransformInplace&>(*element).process(frame));
  const size_t before = allocation_count();
  ASSERT_TRUE(static_cast<TransformInplace&>(*element).process(frame));
  EXPECT_EQ(allocation_count(), before);
}

}  // namespace
}  // namespace sightglass
