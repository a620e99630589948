#include "sightglass/cli/sink_command.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <print>
#include <string>
#include <vector>

#include "sightglass/cli/adapter_options.h"
#include "sightglass/cli/exit.h"
#include "sightglass/cli/process_window.h"
#include "sightglass/cli/signals.h"
#include "sightglass/console/sink_json.h"
#include "sightglass/module/module_file.h"
#include "sightglass/module/sink_process.h"

namespace sightglass::cli {
namespace {

constexpr int bad_configuration = 2;

struct SinkOptions {
  std::string name;
  std::vector<std::string> words, from;
  std::string module = "sink", state, http, http_token_file, secret_key_file, server_key, allowed_keys_dir;
  double drain = 30;
  bool help = false, quiet = false;
};

constexpr const char* usage =
    "sightglass sink                                       lists the kinds of sinks\n"
    "sightglass sink NAME --help                           their options\n"
    "sightglass sink NAME [KEY=VALUE…] --from ADDRESS      runs one; --KEY VALUE is as good\n"
    "sightglass sink FILE.yml [--from ADDRESS]             runs all of a file's pipeline.sinks\n";

void print_help(const CLI::App& command, const SinkOptions& options) {
  if (options.name.empty() || options.name.ends_with(".yml") || options.name.ends_with(".yaml")) {
    std::print("{}\n{}", usage, command.help("", CLI::AppFormatMode::Sub));
    std::print("\nKinds of sinks:\n{}", sink_list());
    return;
  }
  std::print("sightglass sink {} [KEY=VALUE…] --from ADDRESS\n\n{}", options.name, sink_help(options.name));
}

module::Value curve_of(const SinkOptions& options) {
  module::Value curve;
  const auto set = [&](const char* key, const std::string& value) {
    if (!value.empty()) curve.set(key, value);
  };
  set("secret_key_file", options.secret_key_file);
  set("server_key", options.server_key);
  set("allowed_keys_dir", options.allowed_keys_dir);
  return curve;
}

// None: it has been said what is wrong; the exit code is 2.
std::optional<module::ModuleSpec> spec_of(const SinkOptions& options, int& code) {
  code = bad_configuration;
  module::ModuleSpec spec;
  if (options.name.ends_with(".yml") || options.name.ends_with(".yaml")) {
    if (!options.words.empty()) {
      complain("{}: options of sinks stand in the file, not behind it", options.words[0]);
      return {};
    }
    auto loaded = module::load_module(options.name);
    for (const module::Diagnostic& item : loaded.diagnostics.items())
      std::println(stderr, "{}", item.to_string());
    if (!loaded) return {};
    spec = std::move(*loaded.value);
  } else {
    auto sink = sink_entry(options.name, as_settings(options.words));
    if (!sink) {
      complain(sink.error());
      return {};
    }
    spec.name = options.module;
    spec.storage.state = options.state;
    spec.pipeline.sinks.push_back(std::move(*sink));
  }
  if (!options.from.empty()) {
    module::SourceSpec source;
    module::Value urls;
    for (const std::string& url : options.from) urls.add(url);
    source.properties.set("url", std::move(urls));
    if (auto curve = curve_of(options); !curve.is_null()) source.properties.set("curve", std::move(curve));
    spec.pipeline.sources = {std::move(source)};
  }
  return spec;
}

// Ready while every sink works: one that is away is waited for, and says why in the answer.
Result<std::unique_ptr<ProcessWindow>> open_window(const SinkOptions& options,
                                                   const module::SinkProcess& process) {
  return ProcessWindow::open(
      options.http, options.http_token_file,
      {.what = "sinks",
       .is_ready = [&] { return std::ranges::all_of(process.status(), &module::SinkStatus::is_up); },
       .list = [&] { return console::sinks_json(process.status()); },
       .status = [&] { return module::ModuleStatus{.name = "sink", .sinks = process.status()}; }});
}

int run(const CLI::App& command, SinkOptions options) {
  options.words = command.remaining();
  options.name = take_name(options.words);
  if (options.help) {
    if (!options.name.empty() && !options.name.contains('.'))
      if (auto known = sink_entry(options.name, {}); !known && known.error().code == ErrorCode::not_found)
        return complain(known.error()), bad_configuration;
    print_help(command, options);
    return 0;
  }
  if (options.name.empty() && options.words.empty()) {
    std::print("{}", sink_list());
    return 0;
  }
  int code = 0;
  auto spec = spec_of(options, code);
  if (!spec) return code;
  auto process = module::SinkProcess::open(std::move(*spec));
  if (!process) {
    complain(process.error());
    return bad_configuration;
  }
  // Servers may let a sink wait while it starts. Nothing has been read by then, so a signal ends the process
  // there and then.
  std::atomic<bool> is_starting = true;
  const StopOnSignal stop([&] {
    if (is_starting) std::_Exit(0);
  });
  std::unique_ptr<ProcessWindow> window;
  if (!options.http.empty() && options.http != "off") {
    auto opened = open_window(options, **process);
    if (!opened) return complain(opened.error()), bad_configuration;
    window = std::move(*opened);
    if (!options.quiet) std::println(stderr, "{}", window->url());
  }
  if (Status started = (*process)->start(); !started) return complain(started.error());
  is_starting = false;
  if (!options.quiet)
    for (const std::string& address : (*process)->addresses()) std::println(stderr, "reading {}", address);
  auto left = (*process)->run(stop.token(), Time(options.drain * 1e9),
                              [](const std::string& line) { std::println(stderr, "{}", line); });
  if (!left) return complain(left.error());
  bool has_lost = false;
  for (const module::SinkStatus& sink : (*process)->status()) {
    if (!options.quiet)
      std::println(stderr, "sink {}: {} records stored, {} dropped, {} dead letters, {} retries", sink.name,
                   sink.delivered, sink.dropped, sink.dead_letters, sink.retries);
    has_lost = has_lost || sink.dead_letters > 0;
  }
  for (const std::string& line : *left) std::println(stderr, "not stored: {}", line);
  return left->empty() && !has_lost ? 0 : 1;
}

}  // namespace

void add_sink_command(CLI::App& app) {
  const auto options = std::make_shared<SinkOptions>();
  auto* command = app.add_subcommand("sink", "Store what a module sends, in a process of its own");
  command->set_help_flag();
  command->allow_extras();
  command->add_flag("--help,-h", options->help, "options of this kind of sink");
  command->add_option("--from", options->from, "address that is read, as sub+connect:tcp://127.0.0.1:5561")
      ->expected(1);
  command->add_option("--name", options->module, "of this process; what waits on disk is filed under it");
  command->add_option("--state", options->state, "folder of what waits on disk; default: the user's");
  command->add_option("--http", options->http, "host:port of probes and metrics");
  command->add_option("--http-token-file", options->http_token_file,
                      "who may ask for more than the probes; needed beyond this machine");
  command->add_option("--drain", options->drain, "seconds to store what is there, when it is told to end")
      ->check(CLI::Range(0.0, 86'400.0));
  command->add_option("--secret-key-file", options->secret_key_file, "own key, for encryption");
  command->add_option("--server-key", options->server_key, "public key of the writer");
  command->add_option("--allowed-keys-dir", options->allowed_keys_dir,
                      "public keys of those who may connect");
  command->add_flag("--quiet", options->quiet, "nothing on stderr but what goes wrong");
  command->callback([options, command] { exit_with(run(*command, *options)); });
}

}  // namespace sightglass::cli
