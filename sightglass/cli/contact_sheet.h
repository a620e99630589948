// A sheet of six small frames, evenly spread over all that were seen, however many that turn out to be.
// Frames are offered in turn; of most nothing is kept, and which are kept depends on their number alone, so
// that the same video gives the same sheet.
#pragma once

#include <gst/video/video.h>

#include <filesystem>
#include <mutex>
#include <vector>

#include "sightglass/core/result.h"

namespace sightglass::cli {

// Keeps between `wanted` and 2 × `wanted` of any number of items: each `stride`-th, where stride doubles when
// the room is used up.
class EvenChoice {
 public:
  explicit EvenChoice(size_t wanted) : wanted_(wanted) {}
  // Whether the next item is kept; then every kept[i] with odd i has to be dropped first if `thin_out` is
  // set.
  bool offer(bool& thin_out);
  // Which of the kept ones make up the choice, in order.
  std::vector<size_t> chosen() const;

 private:
  size_t wanted_, seen_ = 0, kept_ = 0, stride_ = 1;
};

class ContactSheet {
 public:
  static constexpr int columns = 3, rows = 2, cell_width = 426;

  // A frame with its format; any thread, one at a time.
  void offer(const GstVideoInfo& info, GstBuffer* buffer);
  // Writes the sheet as PNG. Nothing is written when there were no frames.
  Status write(const std::filesystem::path& file);

 private:
  struct Picture {
    int width = 0, height = 0;
    std::vector<uint8_t> rgb;
  };
  static Picture small(const GstVideoInfo& info, GstBuffer* buffer);

  std::mutex mutex_;
  EvenChoice choice_{size_t(columns) * rows};
  std::vector<Picture> kept_;
};

}  // namespace sightglass::cli
