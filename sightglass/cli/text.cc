#include "sightglass/cli/text.h"

#include <algorithm>
#include <cmath>
#include <format>

namespace sightglass::cli {

std::string grouped(uint64_t number) {
  std::string text = std::to_string(number);
  for (int at = int(text.size()) - 3; at > 0; at -= 3) text.insert(size_t(at), ",");
  return text;
}

std::string count_text(uint64_t number, std::string_view noun) {
  return std::format("{} {}{}", grouped(number), noun, number == 1 ? "" : "s");
}

std::string clock_text(double seconds) {
  const auto whole = int64_t(std::max(0.0, std::floor(seconds)));
  const int64_t hours = whole / 3600, minutes = whole / 60 % 60, rest = whole % 60;
  return hours ? std::format("{}:{:02}:{:02}", hours, minutes, rest) : std::format("{}:{:02}", minutes, rest);
}

std::string bytes_text(uint64_t bytes) {
  if (bytes < 1000) return std::format("{} B", bytes);
  double value = double(bytes);
  for (const char* unit : {"kB", "MB", "GB", "TB"}) {
    value /= 1000;
    if (value < 9.95) return std::format("{:.1f} {}", value, unit);
    if (value < 999.5) return std::format("{:.0f} {}", value, unit);
  }
  return std::format("{:.0f} PB", value / 1000);
}

std::string bar(double fraction, int cells, bool is_unicode) {
  fraction = std::clamp(fraction, 0.0, 1.0);
  std::string text;
  if (!is_unicode) {
    const int full = int(fraction * cells + 1e-9);
    return std::string(size_t(full), '#') + std::string(size_t(cells - full), '.');
  }
  static constexpr const char* eighths[] = {" ", "▏", "▎", "▍", "▌", "▋", "▊", "▉", "█"};
  const int parts = int(fraction * cells * 8 + 1e-9);
  for (int i = 0; i < cells; ++i) text += eighths[std::clamp(parts - i * 8, 0, 8)];
  return text;
}

int display_width(std::string_view text) {
  return int(std::ranges::count_if(text, [](char c) { return (uint8_t(c) & 0xc0) != 0x80; }));
}

std::string shortened(std::string_view text, int cells) {
  if (display_width(text) <= cells) return std::string(text);
  std::string kept;
  int used = 0;
  for (char c : text) {
    const bool starts = (uint8_t(c) & 0xc0) != 0x80;
    if (starts && ++used >= cells) break;
    kept += c;
  }
  return kept + "…";
}

std::string one_line(std::string_view text) {
  std::string line;
  for (char c : text) {
    const bool blank = c == ' ' || c == '\n' || c == '\r' || c == '\t';
    if (!blank)
      line += c;
    else if (!line.empty() && line.back() != ' ')
      line += ' ';
  }
  while (!line.empty() && line.back() == ' ') line.pop_back();
  return line;
}

std::string shell_quoted(std::string_view text) {
  const auto is_safe = [](char c) {
    return std::isalnum(uint8_t(c)) || std::string_view("_-./:=,@%+").contains(c) || uint8_t(c) >= 0x80;
  };
  if (!text.empty() && std::ranges::all_of(text, is_safe)) return std::string(text);
  std::string quoted = "'";
  for (char c : text) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

double Standing::fraction() const {
  if (wanted_frames) return std::min(1.0, double(frames) / double(wanted_frames));
  if (duration > 0 && position >= 0) return std::min(1.0, position / duration);
  return -1;
}

namespace {

std::string time_text(const Standing& standing) {
  if (standing.wanted_frames)
    return std::format("{}/{} frames", grouped(standing.frames), grouped(standing.wanted_frames));
  if (standing.position < 0) return count_text(standing.frames, "frame");
  if (standing.duration <= 0) return clock_text(standing.position);
  return clock_text(standing.position) + "/" + clock_text(standing.duration);
}

std::string found_text(const Standing& standing) {
  std::string text;
  if (standing.objects) text += "  " + count_text(standing.objects, "object");
  if (standing.tracks) text += "  " + count_text(standing.tracks, "track");
  return text;
}

}  // namespace

std::string progress_line(const Standing& standing, int columns, bool is_unicode) {
  const double fraction = standing.fraction();
  std::string text = time_text(standing);
  if (fraction >= 0) text = std::format("{:3.0f}%  {}", std::floor(fraction * 100), text);
  text += std::format("  {:.1f} fps{}", standing.fps, found_text(standing));
  if (fraction > 0.02 && fraction < 1 && standing.fps > 0) {
    const double left = double(standing.frames) / standing.fps * (1 - fraction) / fraction;
    text += "  " + clock_text(std::ceil(left)) + " left";
  }
  const int cells = std::min(30, columns - display_width(text) - 3);
  if (fraction >= 0 && cells >= 8) text = "[" + bar(fraction, cells, is_unicode) + "] " + text;
  return shortened(text, columns);
}

std::string speed_line(const Standing& standing) {
  std::string text = time_text(standing);
  if (!standing.wanted_frames && standing.position >= 0) text += "  " + count_text(standing.frames, "frame");
  return text + std::format("  {:.1f} fps{}", standing.fps, found_text(standing));
}

std::string tally_text(std::vector<std::pair<std::string, uint64_t>> tally, size_t most) {
  std::ranges::stable_sort(tally, [](const auto& a, const auto& b) {
    return a.second != b.second ? a.second > b.second : a.first < b.first;
  });
  std::string text;
  for (size_t i = 0; i < std::min(most, tally.size()); ++i)
    text += std::format("{}{} {}", i ? ", " : "", grouped(tally[i].second), tally[i].first);
  if (tally.size() > most) text += std::format(" and {} more", count_text(tally.size() - most, "kind"));
  return text;
}

}  // namespace sightglass::cli
