#include "sightglass/cli/streams_command.h"

#include <libsoup/soup.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <memory>
#include <print>
#include <string>
#include <thread>
#include <vector>
#include <nlohmann/json.hpp>

#include "sightglass/cli/exit.h"
#include "sightglass/cli/signals.h"

namespace sightglass::cli {
namespace {

using nlohmann::json;

struct Options {
  std::string url = "http://127.0.0.1:8080", token_file, state;
  bool watch = false, as_json = false;
};

struct Unref {
  template <class T>
  void operator()(T* object) const {
    g_object_unref(object);
  }
};

Result<std::string> get(SoupSession* session, const std::string& url, const std::string& token) {
  std::unique_ptr<SoupMessage, Unref> message(soup_message_new("GET", url.c_str()));
  if (!message) return fail(ErrorCode::invalid_argument, "{}: is no URL", url);
  if (!token.empty())
    soup_message_headers_replace(soup_message_get_request_headers(message.get()), "Authorization",
                                 ("Bearer " + token).c_str());
  GError* error = nullptr;
  GBytes* bytes = soup_session_send_and_read(session, message.get(), nullptr, &error);
  if (!bytes) {
    const std::string reason = error ? error->message : "no answer";
    if (error) g_error_free(error);
    return fail(ErrorCode::io, "{}: {}; is the module running, and `http.bind` set?", url, reason);
  }
  gsize size = 0;
  const auto* data = static_cast<const char*>(g_bytes_get_data(bytes, &size));
  std::string body(data ? data : "", size);
  g_bytes_unref(bytes);
  const guint status = soup_message_get_status(message.get());
  if (status == 401 || status == 403)
    return fail(ErrorCode::invalid_argument, "{}: a token is needed: --token-file", url);
  if (status != 200) return fail(ErrorCode::io, "{}: status {}", url, status);
  return body;
}

// "12 no_keyframe, 3 late": the most frequent first.
std::string drops(const json& stream) {
  std::vector<std::pair<uint64_t, std::string>> reasons;
  if (const auto dropped = stream.find("dropped_by"); dropped != stream.end())
    for (const auto& [reason, count] : dropped->items())
      if (count.get<uint64_t>() > 0) reasons.emplace_back(count.get<uint64_t>(), reason);
  std::ranges::sort(reasons, std::greater());
  std::string text;
  for (const auto& [count, reason] : reasons)
    text += std::format("{}{} {}", text.empty() ? "" : ", ", count, reason);
  if (const uint64_t lost = stream.value("lost", uint64_t(0)))
    text += std::format("{}{} lost on the way", text.empty() ? "" : ", ", lost);
  return text;
}

std::string age(double seconds) {
  if (seconds < 120) return std::format("{:.0f}s", seconds);
  if (seconds < 7200) return std::format("{:.0f}m", seconds / 60);
  return std::format("{:.1f}h", seconds / 3600);
}

std::vector<std::string> row(const json& stream) {
  const json& size = stream["size"];
  const int width = size.value("width", 0), height = size.value("height", 0);
  std::string state = stream.value("state", "");
  std::ranges::transform(state, state.begin(), [](unsigned char c) { return char(std::tolower(c)); });
  std::string why = drops(stream);
  if (const std::string error = stream.value("last_error", ""); !error.empty() && state != "live")
    why += (why.empty() ? "" : "; ") + error;
  if (const double retry = stream.value("retry_in", 0.0); retry > 0)
    why += std::format(" (again in {:.0f} s)", retry);
  return {stream.value("id", ""),
          state + " " + age(stream.value("since", 0.0)),
          std::to_string(stream.value("epoch", 0)),
          stream.value("codec", "") + (width > 0 ? std::format(" {}x{}", width, height) : ""),
          std::format("{:.1f}", stream.value("fps", 0.0)),
          std::format("{:.0f} ms", stream.value("lag", 0.0) * 1000),
          std::to_string(stream.value("stored", uint64_t(0))),
          std::to_string(stream.value("in_flight", uint64_t(0))),
          why};
}

void print_table(const json& streams) {
  std::vector<std::vector<std::string>> rows = {
      {"STREAM", "STATE", "EPOCH", "VIDEO", "FPS", "LAG", "STORED", "IN FLIGHT", "DROPPED"}};
  for (const json& stream : streams) rows.push_back(row(stream));
  std::vector<size_t> widths(rows[0].size());
  for (const auto& cells : rows)
    for (size_t i = 0; i < cells.size(); ++i) widths[i] = std::max(widths[i], cells[i].size());
  for (const auto& cells : rows) {
    std::string line;
    for (size_t i = 0; i < cells.size(); ++i)
      line += i + 1 < cells.size() ? std::format("{:<{}}  ", cells[i], widths[i]) : cells[i];
    line.erase(line.find_last_not_of(' ') + 1);
    std::println("{}", line);
  }
  if (streams.empty()) std::println("(no streams)");
}

int show(const Options& options) {
  std::string token;
  if (!options.token_file.empty()) {
    std::ifstream file(options.token_file);
    if (!(file >> token)) return complain("--token-file: {} cannot be read", options.token_file);
    // A line of the module's own file: NAME SCOPE TOKEN.
    std::string scope, last;
    if (file >> scope >> last) token = last;
  }
  std::unique_ptr<SoupSession, Unref> session(soup_session_new_with_options("timeout", 10u, nullptr));
  const StopOnSignal stop;
  do {
    auto body =
        get(session.get(),
            options.url + "/v1/streams?limit=1000" + (options.state.empty() ? "" : "&state=" + options.state),
            token);
    if (!body) return complain(body.error());
    const json streams = json::parse(*body, nullptr, false);
    if (!streams.is_array()) return complain("{}: this is no module", options.url);
    if (options.watch && isatty(STDOUT_FILENO)) std::print("\x1b[H\x1b[2J");
    if (options.as_json)
      std::println("{}", *body);
    else
      print_table(streams);
    if (std::fflush(stdout) != 0) return 1;  // whoever read it has gone
    if (options.watch) std::this_thread::sleep_for(std::chrono::seconds(1));
  } while (options.watch && !stop.token().stop_requested());
  return 0;
}

}  // namespace

void add_streams_command(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  auto* command = app.add_subcommand(
      "streams", "Virtual streams of a running module: who is live, how fast, what was dropped and why");
  command->add_option("--url", options->url, "of the module's HTTP API");
  command->add_option("--token-file", options->token_file, "file with a token");
  command->add_option("--state", options->state, "only those in this state");
  command->add_flag("--watch", options->watch, "again every second");
  command->add_flag("--json", options->as_json, "as the API has it");
  command->callback([options] { exit_with(show(*options)); });
}

}  // namespace sightglass::cli
