// Media files, one after another, as the messages of one stream: paced, thinned, with times that go on
// growing and with what side files know.
//
//   FileFeed feed(options, source_id);
//   for (file) {
//     Status played = feed.play(*units, out, stop, {.name = file});   // to its end, or until stopped
//     if (feed.has_stopped(stop)) break;
//     feed.end(out, EndReason::end);                                    // an epoch per file
//   }
//
// One thread.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "sightglass/adapters/adapter.h"
#include "sightglass/adapters/sources/access_units.h"
#include "sightglass/adapters/sources/file_params.h"
#include "sightglass/adapters/sources/frame_messages.h"
#include "sightglass/adapters/sources/sidecar.h"

namespace sightglass::adapters {

class FileFeed {
 public:
  struct Options {
    Pace pace;
    double max_fps = 0;
    Fraction fps{0, 1};  // instead of the file's; 0: its own
    Timestamps timestamps = Timestamps::stream;
  };
  struct Media {
    std::string_view name;                        // as `file` in side files has it
    const Sidecar* metadata = nullptr;            // may be null
    const std::vector<int64_t>* shown = nullptr;  // sorted pts of all frames, where they are reordered
    int64_t number = 0;                           // of its first frame, as side files count
    double stop = 0;                              // seconds from the first frame; 0: the end
    // Told what becomes of each message; may be empty.
    std::function<std::shared_ptr<stream::Settlement>()> settlement = {};
  };

  FileFeed(const Options& options, std::string source_id);

  // Errors are those of the media.
  Status play(AccessUnits& units, Deliver& out, const std::stop_token& stop, const Media& media);
  // Ends the epoch, if it has had any frame; the next frame opens another one.
  void end(Deliver& out, stream::EndReason reason, std::shared_ptr<stream::Settlement> settlement = {});
  // Nothing more is to be delivered.
  bool has_stopped(const std::stop_token& stop) const { return is_refused_ || stop.stop_requested(); }
  int64_t frames() const { return messages_.frames(); }  // of this epoch

 private:
  bool is_surplus(const MediaInfo& info, Time at);

  Options options_;
  FrameMessages messages_;
  bool is_refused_ = false;
  bool has_epoch_ = false;
  Time played_ = 0;           // of all files so far
  Time epoch_end_ = 0;        // pts behind the last frame of the epoch
  Time next_due_ = 0;         // for max_fps
  std::optional<Time> wall_;  // when it began, ns since 1970
};

// What asks a module to shut down.
stream::Delivery shutdown_message(const std::string& token);

}  // namespace sightglass::adapters
