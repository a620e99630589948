// The keys that all live sources have in common. A source's Params inherit LiveParams and pass their table to
// add_live_params<Params>().
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "sightglass/core/param.h"

namespace sightglass::adapters {

struct LiveParams {
  // What happens to frames that downstream does not take in time.
  enum class Policy { drop_to_keyframe, block };
  enum class Timestamps { stream, wall };

  std::string source_id;
  double start_timeout = 15, stall_after = 3, block_after = 1, retry_initial = 0.5, retry_max = 30;  // s
  unsigned queue = 64;
  Policy queue_policy = Policy::drop_to_keyframe;
  Timestamps timestamps = Timestamps::stream;
  double max_fps = 0;
  bool eos_on_reconnect = false;
};

template <class P>
void add_live_params(std::vector<ParamDesc>& params) {
  const auto seconds = [&](std::string_view name, double LiveParams::* member, std::string_view doc) {
    params.push_back(param(name, static_cast<double P::*>(member), doc).range(0.1, 86'400).in("s"));
  };
  params.push_back(
      param("source-id", static_cast<std::string P::*>(&LiveParams::source_id), "name of the stream"));
  seconds("start-timeout", &LiveParams::start_timeout, "without a frame for so long at first, it is stalled");
  seconds("stall-after", &LiveParams::stall_after,
          "without a frame for so long, or for the time of 5 frames, it is stalled and connected anew");
  seconds("block-after", &LiveParams::block_after,
          "when a frame waits for its reader for so long, the stream is blocked");
  seconds("retry-initial", &LiveParams::retry_initial,
          "before the second attempt to connect; doubled each time, ±20 %");
  seconds("retry-max", &LiveParams::retry_max, "longest time between two attempts; there is no last one");
  params.push_back(param("queue", static_cast<unsigned P::*>(&LiveParams::queue), "frames that wait at most")
                       .range(1, 10'000));
  params.push_back(param("queue-policy", static_cast<LiveParams::Policy P::*>(&LiveParams::queue_policy),
                         "what happens when the queue is full: all up to the next keyframe is dropped, or "
                         "the camera has to wait")
                       .choices({"drop_to_keyframe", "block"}));
  params.push_back(param("timestamps", static_cast<LiveParams::Timestamps P::*>(&LiveParams::timestamps),
                         "times of frames: those of the stream, or the clock of this machine when they come")
                       .choices({"stream", "wall"}));
  params.push_back(param("max-fps", static_cast<double P::*>(&LiveParams::max_fps),
                         "frames above this rate are left out where each stands alone; 0: none")
                       .range(0, 1000));
  params.push_back(param("eos-on-reconnect", static_cast<bool P::*>(&LiveParams::eos_on_reconnect),
                         "whether a broken connection ends the stream and the next one begins another"));
}

}  // namespace sightglass::adapters
