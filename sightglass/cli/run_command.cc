#include "sightglass/cli/run_command.h"

#include <filesystem>
#include <memory>

#include "sightglass/cli/exit.h"
#include "sightglass/cli/flow_runner.h"
#include "sightglass/cli/gst_setup.h"
#include "sightglass/cli/module_command.h"
#include "sightglass/cli/pipeline_runner.h"
#include "sightglass/cli/pipeline_text.h"

namespace sightglass::cli {
namespace {

struct Options {
  std::vector<std::string> pipeline, inputs;
  std::string output;
  uint64_t limit = 0;
  bool is_quiet = false, is_flow = false, strict_zero_copy = false, is_development = false;
};

bool is_module_file(const std::string& text) {
  const std::filesystem::path path(text);
  std::error_code ignored;
  return (path.extension() == ".yml" || path.extension() == ".yaml") &&
         std::filesystem::is_regular_file(path, ignored);
}

std::string summary(const Totals& totals) {
  std::string text = std::format("{} in {:.1f} s", count_text(totals.frames, "frame"), totals.seconds);
  if (totals.seconds > 0) text += std::format(", {:.1f} fps", double(totals.frames) / totals.seconds);
  if (totals.objects) text += ", " + count_text(totals.objects, "detection");
  if (totals.tracks) text += ", " + count_text(totals.tracks, "track");
  return text;
}

int run_in_flow(const std::string& text, const Options& options) {
  auto flow = Flow::parse(text, {.strict_zero_copy = options.strict_zero_copy, .frame_limit = options.limit});
  if (!flow) return complain(flow.error());
  Progress progress(options.is_quiet);
  const auto outcome = run_flow(*flow, progress, options.limit);
  if (!options.is_quiet && outcome.frames)
    progress.note(summary({.frames = outcome.frames, .seconds = outcome.seconds}));
  return outcome.exit_code();
}

int run(const Options& options) {
  std::string text;
  for (const auto& word : options.pipeline) text += (text.empty() ? "" : " ") + word;
  if (is_module_file(text))
    return run_module({.file = text,
                       .inputs = options.inputs,
                       .output = options.output,
                       .limit = options.limit,
                       .is_quiet = options.is_quiet,
                       .is_development = options.is_development});
  if (!options.inputs.empty() || !options.output.empty())
    return complain("--input and --output are for modules; {} is not a .yml or .yaml file that exists", text);
  if (options.is_flow) return run_in_flow(text, options);
  if (auto status = init_gstreamer(); !status) return complain(status.error());
  auto pipeline = parse_pipeline(text);
  if (!pipeline) return complain(pipeline.error());

  FrameCounter counter;
  counter.attach(pipeline->get(), options.limit);
  Progress progress(options.is_quiet);
  const Outcome outcome =
      run_pipeline(pipeline->get(), counter, progress, {.wanted_frames = options.limit, .on_tick = {}});
  report(outcome, progress);
  if (!options.is_quiet && (outcome.status || outcome.totals.frames)) progress.note(summary(outcome.totals));
  return outcome.exit_code();
}

}  // namespace

void add_run_command(CLI::App& app) {
  auto options = std::make_shared<Options>();
  auto* command = app.add_subcommand("run", "Run a pipeline that is given as text, or a module (FILE.yml)");
  command
      ->add_option("pipeline", options->pipeline, "the pipeline, as for gst-launch-1.0, or the module's file")
      ->required()
      ->type_name("PIPELINE");
  command->add_option("--limit", options->limit, "end after so many frames")->type_name("N");
  command->add_option("--input", options->inputs, "of a module: read these in the place of its source")
      ->type_name("FILE or URL");
  command
      ->add_option(
          "--output", options->output,
          "of a module: write SOURCE.jsonl, SOURCE.mp4 and summary.json there, in the place of its sinks")
      ->type_name("DIR");
  command->add_flag("--development", options->is_development,
                    "of a module: take changed code of functions while streams run");
  command->add_flag("--flow", options->is_flow, "run it without GStreamer, in the flow runtime");
  command->add_flag("--strict-zero-copy", options->strict_zero_copy,
                    "with --flow: refuse a pipeline that copies");
  command->add_flag("-q,--quiet", options->is_quiet, "neither progress nor summary");
  command->footer(
      "sightglass run 'filesrc location=street.mp4 ! decodebin ! object_detect model=centernet ! fakesink'\n"
      "sightglass run gate.yml --input street.mp4 --output out");
  command->callback([options] { exit_with(run(*options)); });
}

}  // namespace sightglass::cli
