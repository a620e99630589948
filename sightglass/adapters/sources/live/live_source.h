// A live stream that never gives up: connects, and connects again after whatever happened, waits for a
// keyframe, says what goes on in StreamUpdates and in status(). What all live sources are; they differ in
// their LiveInput only.
//
//   return std::make_unique<LiveSource>(params, "rtsp://camera/1", [=] { return make_input(…); });
//
// Two threads: the one of run() delivers and watches, another reads the input. Times of frames are ns from
// the start of the source and go on growing behind a reconnect.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "sightglass/adapters/sources/frame_messages.h"
#include "sightglass/adapters/sources/live/backoff.h"
#include "sightglass/adapters/sources/live/live_input.h"
#include "sightglass/adapters/sources/live/live_monitor.h"
#include "sightglass/adapters/sources/live/live_params.h"

namespace sightglass::adapters {

class LiveSource final : public Source {
 public:
  // `ends`: the end of the input is the end of the stream, as of a recording; else it is a broken connection.
  LiveSource(LiveParams params, MakeLiveInput make, bool ends = false);
  ~LiveSource() override;

  Status run(Deliver& out, std::stop_token stop) override;
  void request_keyframe(const stream::Uuid& producer, std::string_view source_id, int64_t epoch) override;
  std::map<std::string, uint64_t> rejected() const override;
  std::vector<SourceStatus> status() const override;

 private:
  struct Entry {
    LiveUnit frame;
    uint64_t connection = 0;
    bool discontinuity = false;  // does not go on where the last one ended
    std::string reason;
  };

  // The reading thread.
  void read(const std::stop_token& stop);
  Result<bool> read_connection(LiveInput& input, const std::stop_token& stop);  // true: the end
  bool put(LiveUnit frame, const std::stop_token& stop);
  bool is_wanted(const LiveUnit& frame);
  void set_times(LiveUnit& frame);
  bool pause(Time until, const std::stop_token& stop);

  // The delivering one.
  struct Outlet;
  bool watch(Outlet& outlet);
  bool is_pacing() const;
  void give_up();
  std::string silence() const;
  bool deliver(Outlet& outlet, Entry entry);
  bool send(Outlet& outlet, stream::Delivery delivery);

  const LiveParams params_;
  const MakeLiveInput make_;
  const bool ends_;

  mutable std::mutex mutex_;  // of all below
  std::condition_variable_any changed_;
  LiveMonitor monitor_;
  std::shared_ptr<LiveInput> input_;
  std::deque<Entry> queue_;
  bool is_at_end_ = false;
  uint64_t frames_ = 0, without_keyframe_ = 0, overflow_ = 0, surplus_ = 0;
  std::string last_error_;

  // Written by the reading thread alone.
  bool awaits_keyframe_ = true, is_new_connection_ = true;
  std::string gap_reason_;
  uint64_t connection_ = 0;

  // Of the reading thread alone.
  Backoff backoff_;
  const Time began_;
  Time shift_ = 0, last_pts_ = no_time, next_due_ = 0;
};

}  // namespace sightglass::adapters
