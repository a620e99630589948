#include "sightglass/cli/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>
#include <print>

namespace sightglass::cli {
namespace {

int columns() {
  winsize size{};
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return 80;
}

bool has_unicode() {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    const char* value = std::getenv(name);
    if (!value || !*value) continue;
    const std::string_view text = value;
    return text.contains("UTF-8") || text.contains("utf8") || text.contains("UTF8");
  }
  return false;
}

}  // namespace

Progress::Progress(bool is_quiet)
    : is_quiet_(is_quiet),
      is_terminal_(isatty(STDERR_FILENO) == 1),
      is_unicode_(has_unicode()),
      next_(Clock::now()) {
  if (!is_terminal_) next_ += std::chrono::seconds(5);
}

void Progress::update(const Standing& standing) {
  const auto now = Clock::now();
  if (is_quiet_ || now < next_) return;
  if (is_terminal_) {
    next_ = now + std::chrono::milliseconds(100);
    // One column stays free: writing into the last one makes some terminals wrap.
    std::print(stderr, "\r{}\x1b[K", progress_line(standing, columns() - 1, is_unicode_));
    is_drawn_ = true;
  } else {
    next_ = now + std::chrono::seconds(5);
    std::println(stderr, "{}", speed_line(standing));
  }
  std::fflush(stderr);
}

void Progress::note(std::string_view line) {
  clear();
  std::println(stderr, "{}", line);
}

void Progress::clear() {
  if (!is_drawn_) return;
  std::print(stderr, "\r\x1b[K");
  std::fflush(stderr);
  is_drawn_ = false;
}

}  // namespace sightglass::cli
