// For tests of sinks that show pictures: streams of plain grey, and of a video.
#pragma once

#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "sightglass/adapters/sink_test_support.h"

namespace sightglass::adapters::test {

// A raw picture, 64 by 48, all of this brightness.
inline RecordRef grey(const std::string& id, uint8_t brightness, int64_t seq = 0) {
  auto message = std::make_shared<stream::Message>();
  message->kind = stream::Kind::frame;
  message->source_id = id;
  message->seq = seq;
  stream::VideoFrame& made = message->frame.emplace();
  made.uuid = stream::make_uuid_v7();
  made.width = 64, made.height = 48;
  made.codec = "raw";
  made.raw.emplace().format = "I420";
  made.keyframe = true;
  made.time_base = {1, 25};
  made.pts = seq;
  std::vector<uint8_t> bytes(64 * 48 * 3 / 2, 128);
  std::fill(bytes.begin(), bytes.begin() + 64 * 48, brightness);
  return record_of({.message = message, .payloads = {stream::own(std::move(bytes))}});
}

// The frames of a file of SIGHTGLASS_TEST_INPUTS, encoded.
inline std::vector<RecordRef> video(const std::string& id, const std::string& name = "v.mp4") {
  struct Collected final : Deliver {
    bool deliver(stream::Delivery delivery) override {
      if (delivery.message->frame) records.push_back(record_of(delivery));
      return true;
    }
    std::unique_ptr<Deliver> another() override { return nullptr; }
    std::vector<RecordRef> records;
  } out;
  const char* folder = std::getenv("SIGHTGLASS_TEST_INPUTS");
  const SourceDesc* desc = find_source("video_file");
  ParamSet params(desc->params);
  EXPECT_TRUE(params.set_text("location", std::string(folder ? folder : ".") + "/" + name));
  EXPECT_TRUE(params.set_text("source-id", id));
  auto source = desc->create(params, {.name = "camera"});
  EXPECT_TRUE(source && (*source)->start() && (*source)->run(out, {}));
  return out.records;
}

// A camera: gives the sink these records at 25 a second, over and over, until it goes.
class Camera {
 public:
  Camera(Sink& sink, std::vector<std::vector<RecordRef>> streams)
      : thread_([&sink, streams = std::move(streams)](const std::stop_token& stop) {
          for (size_t n = 0; !stop.stop_requested(); ++n) {
            for (const auto& records : streams) {
              std::vector<Stored> outcome(1);
              (void)sink.write(std::span(records).subspan(n % records.size(), 1), outcome);
            }
            std::this_thread::sleep_for(std::chrono::milliseconds(40));
          }
        }) {}

 private:
  std::jthread thread_;
};

}  // namespace sightglass::adapters::test
