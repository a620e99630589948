// What `sightglass detect` makes of the frames besides the pipeline's own files: lines on the screen,
// annotated pictures, the contact sheet and the summary.
#pragma once

#include <gst/gst.h>

#include <deque>
#include <filesystem>
#include <mutex>
#include <string>
#include <vector>

#include "sightglass/cli/contact_sheet.h"
#include "sightglass/cli/frame_counter.h"
#include "sightglass/core/result.h"

namespace sightglass::cli {

// How results are called in the summary.
struct RunNames {
  std::string input, model, engine;
};

class DetectResults {
 public:
  // `output`: folder that exists; empty: nothing is written. `pictures`: the inputs, for their names; empty:
  // a video.
  DetectResults(std::filesystem::path output, std::vector<std::filesystem::path> pictures,
                GstClockTime picture_step);

  // On streaming threads:
  void see(GstPad* pad, GstBuffer* buffer, const Tally& objects);
  Status save_picture(GstSample* jpeg);

  // Lines that are due, for people: one per picture, or one per second of video.
  std::vector<std::string> take_lines();

  // Contact sheet and summary.json.
  Status write_files(const Totals& totals, const RunNames& names, bool is_complete);
  const std::filesystem::path& output() const { return output_; }
  // Paths of what has been written, relative to the folder.
  std::vector<std::string> written() const;

 private:
  size_t picture_of(GstBuffer* buffer) const { return size_t(GST_BUFFER_PTS(buffer) / picture_step_); }

  std::filesystem::path output_;
  std::vector<std::filesystem::path> pictures_;
  std::vector<std::string> picture_names_;  // of the annotated pictures, each once
  GstClockTime picture_step_;
  ContactSheet sheet_;

  mutable std::mutex mutex_;  // guards the rest
  std::deque<std::string> lines_;
  int64_t last_second_ = -1;
  size_t saved_ = 0;
};

}  // namespace sightglass::cli
