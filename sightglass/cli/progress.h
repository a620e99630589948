// Shows on stderr how far a pipeline is: one line that is redrawn on a terminal, a plain line every few
// seconds in a log. Lines for people that come meanwhile go through note(), so that they do not run into it.
// One thread.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "sightglass/cli/text.h"

namespace sightglass::cli {

class Progress {
 public:
  // `is_quiet`: notes only.
  explicit Progress(bool is_quiet);
  ~Progress() { clear(); }

  void update(const Standing& standing);  // as often as one likes; draws ten times a second at most
  void note(std::string_view line);       // a line of its own
  void clear();                           // takes the redrawn line away

  bool is_terminal() const { return is_terminal_; }

 private:
  using Clock = std::chrono::steady_clock;
  bool is_quiet_, is_terminal_, is_unicode_;
  bool is_drawn_ = false;
  Clock::time_point next_;
};

}  // namespace sightglass::cli
