// Numbers and progress as people read them. Plain functions on values; nothing here knows of GStreamer or the
// terminal.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sightglass::cli {

std::string grouped(uint64_t number);                            // "12,345"
std::string count_text(uint64_t number, std::string_view noun);  // "1 frame", "2,000 frames"
std::string clock_text(double seconds);                          // "0:07", "12:34", "1:02:03"
std::string bytes_text(uint64_t bytes);                          // "730 B", "8.1 MB"
std::string bar(double fraction, int cells,
                bool is_unicode);          // 0..1; eighths of a cell where the terminal can show them
int display_width(std::string_view text);  // cells on a terminal, one per character
std::string shortened(std::string_view text, int cells);  // "long na…"
std::string one_line(std::string_view text);              // line breaks and runs of blanks become one blank
std::string shell_quoted(std::string_view text);          // 'as one word'; unchanged where that is safe

// Where a pipeline stands.
struct Standing {
  double position = -1, duration = -1;     // seconds of the stream; -1: unknown
  uint64_t frames = 0, wanted_frames = 0;  // wanted 0: unknown
  double fps = 0;
  uint64_t objects = 0, tracks = 0;

  double fraction() const;  // 0..1; -1: unknown
};

// "[█████▎    ] 53%  0:42/1:19  24.6 fps  2,134 objects  12 tracks  0:25 left", at most that many cells.
std::string progress_line(const Standing& standing, int columns, bool is_unicode);
// The same for a log: "0:42/1:19  424 frames  24.6 fps  2,134 objects  12 tracks".
std::string speed_line(const Standing& standing);

// "5 person, 1 truck": the most frequent first, at most that many kinds.
std::string tally_text(std::vector<std::pair<std::string, uint64_t>> tally, size_t most = 8);

}  // namespace sightglass::cli
