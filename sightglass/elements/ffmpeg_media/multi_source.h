// The source of sightglass/elements/ffmpeg_multi_source/ffmpeg_multi_source.h: threads, queue and clock
// around the decoders of its inputs.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "sightglass/core/element.h"
#include "sightglass/elements/ffmpeg_media/input_decoder.h"
#include "sightglass/elements/ffmpeg_media/picture_adapter.h"
#include "sightglass/elements/ffmpeg_multi_source/ffmpeg_multi_source.h"
#include "sightglass/memory/ffmpeg/av_picture.h"

namespace sightglass {

class FfmpegMultiSource final : public Source {
 public:
  using Params = FfmpegMultiSourceParams;

  explicit FfmpegMultiSource(const Params& params) : params_(params) {}
  ~FfmpegMultiSource() override { stop(); }
  static Result<std::unique_ptr<Element>> create(const ParamSet& params);

  Status start() override;
  void stop() override;
  std::vector<std::string> take_warnings() override;
  // Waits for the first picture of any input.
  Result<std::vector<Format>> formats() override;
  Status configure(const Format& input, const Format& output) override;
  Result<bool> read(Frame& frame, Output& memory) override;
  void cancel() override;

 private:
  using Clock = std::chrono::steady_clock;

  struct Item {
    Ref<AvPicture> picture;
    Time pts = 0, duration = 0;
    Fraction frame_rate;
    uint64_t arrival = 0;
  };

  // One input: its decoder and thread, and what is decoded ahead.
  struct Input {
    Input(size_t place_, InputDecoder::Options options, const std::atomic<bool>& cancelled, size_t ahead)
        : place(place_), name(options.location), decoder(std::move(options), cancelled), items(ahead) {}

    const size_t place;
    const std::string name;
    InputDecoder decoder;  // the thread's
    Time offset = 0;       // of this pass or connection; the thread's
    Time next = 0;         // after the last frame; the thread's
    Time decoded_to = -1;  // of the media, since it was opened first; the thread's
    bool delivered = false;
    Error failure;                  // before anything was delivered; the thread's
    Clock::time_point first_shown;  // when the first frame was given on

    std::vector<Item> items;  // a ring; guarded, as all that follows
    size_t first = 0, count = 0;
    bool ended = false;
    std::condition_variable space;
    PictureAdapter adapter;  // the reader's
    std::jthread thread;
  };

  enum class Outcome : uint8_t { ended, broken, cancelled };

  void run(Input& input);
  bool open_with_retries(Input& input);
  Outcome play(Input& input);
  bool push(Input& input, Item item);
  void end(Input& input, Error error);
  void warn(std::string warning);
  bool wait(std::chrono::nanoseconds time);  // false: cancelled
  int allowed_retries(const Input& input) const;
  Input* next_input();  // with the frame that has come first; under the lock
  bool all_ended() const;
  Status show(Input& input, Item& item, Frame& frame);

  const Params params_;
  std::atomic<bool> cancelled_ = false;
  const Ref<AvPicturePool> pictures_ = make_ref<AvPicturePool>();

  std::mutex mutex_;
  std::condition_variable arrived_, cancelled_changed_;
  std::vector<std::unique_ptr<Input>> inputs_;  // the list is fixed between start() and stop()
  uint64_t arrivals_ = 0;
  bool any_frame_ = false;
  Error first_error_;  // of an input that has given nothing
  std::vector<std::string> warnings_;

  std::optional<PixelFormat> wanted_;  // where a picture has to be converted anyway
};

}  // namespace sightglass
