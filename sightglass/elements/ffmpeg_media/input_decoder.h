// One file, URL or camera, opened and decoded. One thread; it gives up as soon as the flag that it is made
// with is set, wherever it waits.
#pragma once

#include <atomic>
#include <chrono>
#include <optional>
#include <string>
#include <utility>

#include "sightglass/core/frame.h"
#include "sightglass/core/result.h"
#include "sightglass/elements/ffmpeg_media/av_handles.h"

namespace sightglass {

class InputDecoder {
 public:
  struct Options {
    std::string location;
    int threads = 1;                       // of the decoder
    std::chrono::milliseconds timeout{0};  // silence of the network that is an error; 0: no limit
  };
  // `cancelled` outlives the decoder.
  InputDecoder(Options options, const std::atomic<bool>& cancelled)
      : options_(std::move(options)), cancelled_(cancelled) {}
  InputDecoder(const InputDecoder&) = delete;
  InputDecoder& operator=(const InputDecoder&) = delete;

  Status open();
  void close();

  struct Times {
    Time pts = 0;       // since the start of the input
    Time duration = 0;  // 0: unknown
  };
  // The next picture; nothing at the end. After an error nothing more comes. `picture` is empty before.
  Result<std::optional<Times>> read(AVFrame& picture);

  // Back to the first picture.
  Status rewind();

  bool network() const { return network_; }
  bool live() const { return live_; }                    // has no end of its own: cameras, rtsp, udp…
  Fraction frame_rate() const { return frame_rate_; }    // 0/1: unknown
  uint64_t damaged_packets() const { return damaged_; }  // since it was made

 private:
  static int interrupted(void* self);
  std::unexpected<Error> failed(int error) const;
  void renew_deadline();
  Times times_of(const AVFrame& picture);

  const Options options_;
  const std::atomic<bool>& cancelled_;
  AvInputPtr input_;
  AvCodecPtr decoder_;
  AvPacketPtr packet_;
  AVStream* stream_ = nullptr;
  bool network_ = false, live_ = false;
  bool at_end_ = false;  // the decoder has been told
  int read_error_ = 0;   // comes after what is still in the decoder
  bool timed_out_ = false;
  Fraction frame_rate_{0, 1};
  int64_t start_ = AV_NOPTS_VALUE;  // of the first picture, in units of the stream
  Time next_ = 0;                   // where a picture without a time is put
  uint64_t damaged_ = 0;
  std::chrono::steady_clock::time_point deadline_;
};

}  // namespace sightglass
