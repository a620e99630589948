#include "sightglass/module/log.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <format>
#include <nlohmann/json.hpp>

#include "sightglass/core/masked_url.h"

namespace sightglass::module {
namespace {

constexpr std::array<std::string_view, 6> level_names{"trace", "debug", "info", "warning", "error", "off"};

LogLevel level_of(std::string_view name) {
  const auto found = std::ranges::find(level_names, name);
  return found == level_names.end() ? LogLevel::info : LogLevel(found - level_names.begin());
}

// What others say may be long, and may break lines.
std::string cleaned(std::string_view text) {
  constexpr size_t longest = 2000;
  std::string result(text.substr(0, longest));
  for (char& c : result)
    if (uint8_t(c) < ' ' || c == 0x7f) c = ' ';
  return masked_url(result);
}

}  // namespace

Log::Log(std::string module, const TelemetrySpec& telemetry, std::function<void(std::string_view)> write)
    : module_(std::move(module)),
      least_(level_of(telemetry.log_level)),
      is_json_(telemetry.log_format == "json"),
      write_(std::move(write)) {}

void Log::line(LogLevel level, std::string_view about, std::string_view text) const {
  if (level < least_) return;
  const auto now = std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now());
  const std::string time = std::format("{:%FT%T}Z", now), clean = cleaned(text);
  std::string line;
  if (is_json_)
    line = nlohmann::json{{"time", time},
                          {"level", level_names[size_t(level)]},
                          {"module", module_},
                          {"about", about},
                          {"text", clean}}
               .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  else
    line = std::format("{} {} {}: {}: {}", time, level_names[size_t(level)], module_, about, clean);
  if (write_) return write_(line);
  line += '\n';
  std::fwrite(line.data(), 1, line.size(), stderr);
}

}  // namespace sightglass::module
