// The program `sightglass`: one file per command beside this one.
#include <poll.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>

#include <CLI/CLI.hpp>

#include "sightglass/cli/detect_command.h"
#include "sightglass/cli/diff_command.h"
#include "sightglass/cli/doctor_command.h"
#include "sightglass/cli/explain_command.h"
#include "sightglass/cli/init_command.h"
#include "sightglass/cli/inspect_command.h"
#include "sightglass/cli/models_command.h"
#include "sightglass/cli/run_command.h"
#include "sightglass/cli/schema_command.h"
#include "sightglass/cli/send_command.h"
#include "sightglass/cli/sink_command.h"
#include "sightglass/cli/source_command.h"
#include "sightglass/cli/streams_command.h"
#include "sightglass/cli/validate_command.h"
#include "sightglass/cli/version.h"
#include "sightglass/core/left_behind.h"
#include "sightglass/elements/plugins.h"

namespace {

int run(int argc, char** argv) {
  for (const auto& error : sightglass::load_plugins())
    std::fprintf(stderr, "warning: %s\n", error.message.c_str());
  CLI::App app("Streaming video analytics: objects found, tracked and described in video");
  app.name("sightglass");
  app.require_subcommand(1);
  app.set_version_flag("--version", std::string("sightglass ") + sightglass::cli::version);
  app.get_formatter()->column_width(28);
  app.failure_message([](const CLI::App* command, const CLI::Error& error) {
    const auto chosen = command->get_subcommands();
    const std::string name = chosen.empty() ? "sightglass" : "sightglass " + chosen.front()->get_name();
    return std::format("error: {}\n`{} --help` shows how it is used\n", error.what(), name);
  });
  sightglass::cli::add_detect_command(app);
  sightglass::cli::add_run_command(app);
  sightglass::cli::add_explain_command(app);
  sightglass::cli::add_init_command(app);
  sightglass::cli::add_validate_command(app);
  sightglass::cli::add_diff_command(app);
  sightglass::cli::add_source_command(app);
  sightglass::cli::add_send_command(app);
  sightglass::cli::add_recv_command(app);
  sightglass::cli::add_sink_command(app);
  sightglass::cli::add_streams_command(app);
  sightglass::cli::add_inspect_command(app);
  sightglass::add_models_command(app);
  sightglass::cli::add_doctor_command(app);
  sightglass::cli::add_schema_command(app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error);
  }
  return 0;
}

// Whoever read what is printed has seen enough: the program ends without a word, as others do.
bool has_lost_reader() {
  pollfd output{.fd = STDOUT_FILENO, .events = POLLOUT, .revents = 0};
  return std::ferror(stdout) && poll(&output, 1, 0) == 1 && (output.revents & POLLERR);
}

// What a command leaves behind in a library that does not come back may use anything at any moment: nothing
// is taken apart under it.
int end_with(int code) {
  if (!sightglass::has_left_threads_behind()) return code;
  std::fflush(nullptr);
  std::_Exit(code);
}

}  // namespace

int main(int argc, char** argv) {
  // Before any engine is loaded: some builds of ONNX Runtime would try to send usage data, and fail where
  // there is no network.
  setenv("ORT_DISABLE_TELEMETRY", "1", 1);
  // Writing past a size limit is an error of that write, as a full disk is, and no reason to die in the
  // middle of a file.
  std::signal(SIGXFSZ, SIG_IGN);
  // So is writing to a connection or a pipe that the other end has closed, which libraries do in every
  // command.
  std::signal(SIGPIPE, SIG_IGN);
  try {
    return end_with(run(argc, argv));
  } catch (const std::exception& error) {  // a library's, out of memory
    if (has_lost_reader()) return end_with(128 + SIGPIPE);
    std::fprintf(stderr, "error: %s\n", error.what());
    return end_with(1);
  }
}
