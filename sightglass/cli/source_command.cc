#include "sightglass/cli/source_command.h"

#include <algorithm>
#include <chrono>
#include <format>
#include <memory>
#include <print>
#include <string>
#include <vector>

#include "sightglass/adapters/tls_params.h"
#include "sightglass/cli/adapter_options.h"
#include "sightglass/cli/exit.h"
#include "sightglass/cli/process_window.h"
#include "sightglass/cli/signals.h"
#include "sightglass/cli/source_list.h"
#include "sightglass/module/source_process.h"

namespace sightglass::cli {
namespace {

using module::SourceProcess;

constexpr int bad_configuration = 2, deadline_passed = 3;

struct SourceOptions {
  std::string name;
  std::vector<std::string> words;
  std::string to, source_id, http, http_token_file, secret_key_file, server_key, shutdown_token_file;
  double drain = 30;
  bool help = false, quiet = false, no_eos = false;
};

constexpr const char* usage =
    "sightglass source                                          lists the kinds of sources\n"
    "sightglass source NAME --help                              their options\n"
    "sightglass source NAME [KEY=VALUE…] --source-id ID --to ADDRESS\n"
    "                                                           runs one; --KEY VALUE is as good\n"
    "sightglass source FILE.yml [--to ADDRESS]                  runs all of a file's `sources`\n";

bool is_file(const std::string& name) { return name.ends_with(".yml") || name.ends_with(".yaml"); }

Result<SourceList> list_of(const SourceOptions& options) {
  if (is_file(options.name)) {
    if (!options.words.empty() || !options.source_id.empty())
      return fail(ErrorCode::invalid_argument, "options of sources stand in the file, not behind it");
    auto list = read_source_list(options.name, options.to);
    if (list && !options.secret_key_file.empty())
      list->curve = {.secret_key_file = options.secret_key_file, .server_key = options.server_key};
    return list;
  }
  auto settings = as_settings(options.words);
  if (!options.source_id.empty()) settings.push_back("source_id=" + options.source_id);
  auto entry = source_entry(options.name, settings);
  if (!entry) return forward_error(entry);
  if (options.to.empty())
    return fail(ErrorCode::invalid_argument,
                "--to is missing: the address of a module, as dealer+connect:tcp://127.0.0.1:5560");
  SourceList list;
  list.curve = {.secret_key_file = options.secret_key_file, .server_key = options.server_key};
  list.sources.push_back({options.name, options.name, std::move(entry->properties), options.to});
  return list;
}

console::Json streams_of(const SourceProcess& process) {
  console::Json list = console::Json::array();
  for (const adapters::SourceStatus& source : process.status())
    list.push_back({{"id", source.source_id},
                    {"state", adapters::to_string(source.state)},
                    {"since", source.since},
                    {"fps", source.fps},
                    {"frames", source.frames},
                    {"reconnects", source.reconnects},
                    {"blocked_seconds", source.blocked_seconds},
                    {"last_error", source.last_error}});
  return list;
}

// Whether frames flow. One silent camera of many is no reason to restart the process.
bool flows(const SourceProcess& process) {
  const auto sources = process.status();
  return sources.empty() || std::ranges::any_of(sources, [](const adapters::SourceStatus& source) {
           return source.state == adapters::SourceState::running ||
                  source.state == adapters::SourceState::ended;
         });
}

Result<std::unique_ptr<ProcessWindow>> open_window(const SourceList& list, const SourceProcess& process) {
  return ProcessWindow::open(list.http, list.http_token_file,
                             {.what = "streams",
                              .is_ready = [&] { return flows(process); },
                              .list = [&] { return streams_of(process); },
                              .status =
                                  [&] {
                                    return module::ModuleStatus{.name = "source",
                                                                .messages_rejected = process.rejected(),
                                                                .sources = process.status()};
                                  }});
}

int help(const CLI::App& command, const SourceOptions& options) {
  if (!options.name.empty() && !is_file(options.name)) {
    if (auto known = source_entry(options.name, {}); !known && known.error().code == ErrorCode::not_found)
      return complain(known.error()), bad_configuration;
    std::print("sightglass source {} [KEY=VALUE…] --source-id ID --to ADDRESS\n\n{}", options.name,
               source_help(options.name));
    return 0;
  }
  std::print("{}\n{}\nKinds of sources:\n{}", usage, command.help("", CLI::AppFormatMode::Sub),
             source_list());
  return 0;
}

int run(const CLI::App& command, SourceOptions options) {
  options.words = command.remaining();
  options.name = take_name(options.words);
  if (options.help) return help(command, options);
  if (options.name.empty() && options.words.empty()) {
    std::print("{}", source_list());
    return 0;
  }
  const auto refuse = [](const Error& error) {
    complain(error);
    return bad_configuration;
  };
  auto list = list_of(options);
  if (!list) return refuse(list.error());
  if (!options.http.empty()) list->http = options.http;
  if (!options.http_token_file.empty()) list->http_token_file = options.http_token_file;
  if (!options.shutdown_token_file.empty()) list->shutdown_token_file = options.shutdown_token_file;
  std::string token;
  if (!list->shutdown_token_file.empty()) {
    auto read = adapters::read_secret(list->folder, list->shutdown_token_file, "shutdown_after_end");
    if (!read) return refuse(read.error());
    token = std::move(*read);
  }

  SourceProcess process({.name = list->name.empty() ? "sightglass source" : list->name,
                         .folder = list->folder,
                         .socket = {.curve = list->curve},
                         .eos_on_stop = !options.no_eos});
  for (const SourceProcess::Entry& entry : list->sources)
    if (Status added = process.add(entry); !added) return refuse(added.error());
  for (const std::string& warning : process.warnings()) std::println(stderr, "warning: {}", warning);
  std::unique_ptr<ProcessWindow> window;
  if (!list->http.empty() && list->http != "off") {
    auto opened = open_window(*list, process);
    if (!opened) return refuse(opened.error());
    window = std::move(*opened);
    if (!options.quiet) std::println(stderr, "{}", window->url());
  }
  const StopOnSignal stop;
  if (Status started = process.start(stop.token()); !started)
    return started.error().code == ErrorCode::cancelled ? 0 : complain(started.error());

  // What goes on is told once per change.
  std::map<std::string, std::pair<adapters::SourceState, std::string>> told;
  const auto tell = [&] {
    if (options.quiet) return;
    for (const adapters::SourceStatus& source : process.status()) {
      const std::string why =
          source.state == adapters::SourceState::stalled || source.state == adapters::SourceState::starting
              ? source.last_error
              : "";
      auto& last = told[source.source_id];
      if (last == std::pair(source.state, why)) continue;
      last = {source.state, why};
      std::println(stderr, "{}: {}{}{}", source.source_id, adapters::to_string(source.state),
                   why.empty() ? "" : ": ", why);
    }
  };
  bool has_ended = false;
  while (!has_ended && !stop.token().stop_requested()) {
    has_ended = process.wait(std::chrono::milliseconds(500), stop.token());
    tell();
  }
  // Without a signal the reader may be away for any time: what is not acknowledged is waited for.
  const auto patience = std::chrono::milliseconds(int64_t(options.drain * 1000));
  SourceProcess::Outcome outcome = process.finish(patience, stop.token());
  if (has_ended && outcome.failures.empty() && !token.empty())
    if (Status asked = process.ask_for_shutdown(token, patience); !asked)
      outcome.failures.push_back(asked.error().to_string());
  tell();
  if (!options.quiet)
    std::println(stderr, "{} frames, {} messages acknowledged, {} refused, {} dropped for slow readers",
                 outcome.frames, outcome.acknowledged, outcome.refused, outcome.dropped);
  for (const std::string& line : outcome.failures) std::println(stderr, "error: {}", line);
  if (!outcome.in_time) return deadline_passed;
  return outcome.failures.empty() ? 0 : 1;
}

}  // namespace

void add_source_command(CLI::App& app) {
  const auto options = std::make_shared<SourceOptions>();
  auto* command = app.add_subcommand("source", "Bring frames to a module, from a process of its own");
  command->set_help_flag();
  command->allow_extras();
  command->add_flag("--help,-h", options->help, "options of this kind of source");
  command->add_option("--to", options->to, "address of the reader, as dealer+connect:tcp://127.0.0.1:5560");
  command->add_option("--source-id", options->source_id, "name of the stream");
  command->add_option("--http", options->http, "host:port of probes and metrics");
  command->add_option("--http-token-file", options->http_token_file,
                      "who may ask for more than the probes; needed beyond this machine");
  command
      ->add_option("--drain", options->drain,
                   "seconds that the reader has to acknowledge what is there, when it is told to end")
      ->check(CLI::Range(0.0, 86'400.0));
  command->add_flag("--no-eos", options->no_eos, "streams go on elsewhere: they are not ended by a signal");
  command->add_option("--shutdown-after-end", options->shutdown_token_file,
                      "file with the module's shutdown token: behind the last source it is asked to end");
  command->add_option("--secret-key-file", options->secret_key_file, "own key, for encryption");
  command->add_option("--server-key", options->server_key, "public key of the reader");
  command->add_flag("--quiet", options->quiet, "nothing on stderr but what goes wrong");
  command->callback([options, command] { exit_with(run(*command, *options)); });
}

}  // namespace sightglass::cli
