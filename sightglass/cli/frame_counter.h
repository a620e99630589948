// Counts what goes through a pipeline (frames, objects, tracks), and ends it after so many frames. It watches
// where frames enter the first of our elements and leave the last, so it needs no element of its own; a
// pipeline without any is watched at its encoders, or else its sinks.
//
// attach() before the pipeline leaves NULL. The rest from any thread.
#pragma once

#include <gst/gst.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

namespace sightglass::cli {

using Tally = std::vector<std::pair<std::string, uint64_t>>;  // label, how often

struct Totals {
  uint64_t frames = 0, objects = 0, tracks = 0;
  Tally classes;
  double seconds = 0;    // from the first frame that came in to the last that came out
  double position = -1;  // seconds of the stream; -1: unknown
};

class FrameCounter {
 public:
  // Called for each frame that comes out, on its streaming thread.
  using OnFrame = std::function<void(GstPad* pad, GstBuffer* buffer, const Tally& objects)>;

  // `limit`: frames per stream; 0: all.
  void attach(GstElement* pipeline, uint64_t limit, OnFrame on_frame = {});
  // Ends every stream at its next frame.
  void stop() { is_stopped_ = true; }
  Totals totals() const;

 private:
  using Clock = std::chrono::steady_clock;
  struct Entry {
    FrameCounter* counter;
    std::atomic<uint64_t> frames = 0;
    std::atomic<bool> is_ended = false;
  };
  static GstPadProbeReturn enter(GstPad* pad, GstPadProbeInfo* info, gpointer entry);
  static GstPadProbeReturn leave(GstPad* pad, GstPadProbeInfo* info, gpointer self);
  void count(GstPad* pad, GstBuffer* buffer);

  uint64_t limit_ = 0;
  OnFrame on_frame_;
  std::atomic<bool> is_stopped_ = false;
  std::vector<std::unique_ptr<Entry>> entries_;

  mutable std::mutex mutex_;  // guards the rest
  uint64_t frames_ = 0, objects_ = 0;
  std::unordered_set<uint64_t> tracks_;
  std::map<GQuark, uint64_t> classes_;
  std::map<GQuark, uint64_t> of_frame_;
  double position_ = -1;
  Clock::time_point first_{}, last_{};
};

}  // namespace sightglass::cli
