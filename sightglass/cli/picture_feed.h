// Feeds pictures into a pipeline, one frame each, as an appsrc asks for them. A picture that cannot be read
// is left out with a warning.
#pragma once

#include <gst/app/gstappsrc.h>

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "sightglass/core/result.h"

namespace sightglass::cli {

class PictureFeed {
 public:
  // Frame i has the time i × step.
  PictureFeed(std::vector<std::filesystem::path> pictures, GstClockTime step,
              std::function<void(std::string)> warn)
      : pictures_(std::move(pictures)), step_(step), warn_(std::move(warn)) {}

  // The feed must outlive the pipeline's run. Pictures are read on the appsrc's thread, which also calls
  // `warn`.
  void attach(GstAppSrc* source);
  size_t fed() const { return fed_; }

 private:
  void push_next(GstAppSrc* source);

  std::vector<std::filesystem::path> pictures_;
  GstClockTime step_;
  std::function<void(std::string)> warn_;
  size_t next_ = 0, fed_ = 0;
};

}  // namespace sightglass::cli
