// For tests of the sources and sinks: a folder that goes away, moving pictures, files made of them, and
// everything that a source gives.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "sightglass/elements/element_test_support.h"
#include "sightglass/memory/ffmpeg/swscale.h"
#include "sightglass/memory/module.h"
#include "sightglass/memory/system/system_frame.h"
#include "tests/temporary_folder.h"

namespace sightglass::test {

// The linker may leave out a library of which nothing is called by name.
inline const Status media_module = load_module("ffmpeg-media");

using Folder = TemporaryFolder;

// A soft gradient that moves, so that every codec does well on it and no two frames are the same.
inline Frame moving_picture(const VideoInfo& video, int number) {
  Frame frame = allocate_frame(video).value();
  fill(frame, [&](int plane, int y, int x) {
    const double phase = 0.05 * x + 0.07 * y + 0.2 * number + plane;
    return 128 + std::lround(90 * std::sin(phase));
  });
  frame.pts = Time(number) * 40'000'000;
  frame.duration = 40'000'000;
  return frame;
}

inline VideoInfo video_info(PixelFormat format, int width, int height) {
  VideoInfo video{.format = format, .width = width, .height = height};
  video.frame_rate = {25, 1};
  return video;
}

inline Format format_of_video(const VideoInfo& video) {
  Format format;
  format.media = video;
  return format;
}

// The error of the first step that fails.
inline Status write_video(const std::string& location, const VideoInfo& video, int frames,
                          Settings settings = {}) {
  settings.insert(settings.begin(), {"location", location});
  auto sink = make<Sink>("ffmpeg_encoder_sink", settings);
  if (auto status = sink->start(); !status) return status;
  if (auto status = sink->configure(format_of_video(video), {}); !status) return status;
  for (int i = 0; i < frames; ++i)
    if (auto status = sink->write(moving_picture(video, i)); !status) return status;
  return sink->drain();
}

inline std::string list_of(const std::vector<std::string>& inputs) {
  std::string text = "<";
  for (const auto& input : inputs) text += (text.size() > 1 ? "," : "") + input;
  return text + ">";
}

inline std::unique_ptr<Source> source_of(const std::vector<std::string>& inputs, Settings settings = {}) {
  settings.insert(settings.begin(), {"inputs", list_of(inputs)});
  return make<Source>("ffmpeg_multi_source", settings);
}

struct Everything {
  std::vector<Frame> frames;
  Status end;  // success at the end of the stream
  std::vector<std::string> warnings;

  std::vector<Frame> of(uint64_t stream) const {
    std::vector<Frame> some;
    for (const Frame& frame : frames)
      if (frame.source->stream == stream) some.push_back(frame);
    return some;
  }
};

inline Everything read_all(Source& source, size_t limit = 100'000) {
  Everything all;
  Collected memory;
  all.end = source.start();
  while (all.end && all.frames.size() < limit) {
    Frame frame;
    auto more = source.read(frame, memory);
    if (!more) all.end = forward_error(more);
    if (!more || !*more) break;
    all.frames.push_back(std::move(frame));
  }
  source.stop();
  all.warnings = source.take_warnings();
  return all;
}

// Of all planes, in the second picture's format; 100 where the two are the same.
inline double psnr(const Frame& given, const Frame& expected) {
  Frame picture = given;
  if (given.video->format != expected.video->format || given.video->full_range != expected.video->full_range)
    picture = convert_picture(given, *expected.video).value();
  double sum = 0;
  size_t count = 0;
  for (size_t p = 0; p < expected.tensors.size(); ++p) {
    auto a = map(picture.tensors[p], Access::read).value(),
         b = map(expected.tensors[p], Access::read).value();
    for (int64_t y = 0; y < b.shape()[0]; ++y)
      for (int64_t x = 0; x < b.shape()[1]; ++x, ++count) {
        const double difference = double(a.row<uint8_t>(y)[x]) - double(b.row<uint8_t>(y)[x]);
        sum += difference * difference;
      }
  }
  return sum == 0 ? 100 : 10 * std::log10(255.0 * 255.0 * double(count) / sum);
}

inline std::string bytes_of(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}
inline void write_bytes(const std::string& file, std::string_view bytes) {
  std::ofstream(file, std::ios::binary) << bytes;
}

}  // namespace sightglass::test
