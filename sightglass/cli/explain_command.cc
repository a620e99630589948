#include "sightglass/cli/explain_command.h"

#include <algorithm>
#include <memory>

#include "sightglass/cli/exit.h"
#include "sightglass/cli/flow_runner.h"
#include "sightglass/cli/module_explain.h"
#include "sightglass/cli/text.h"
#include "sightglass/memory/map_to.h"

namespace sightglass::cli {
namespace {

struct Options {
  std::vector<std::string> pipeline;
  std::vector<std::string> map;
  uint64_t limit = 100;
  bool strict_zero_copy = false, load_models = false;
  std::string svg;
};

int explain_map(const std::string& from_text, const std::string& to_text) {
  const auto from = parse_form(from_text);
  if (!from) return complain(from.error());
  const auto to = parse_form(to_text);
  if (!to) return complain(to.error());
  const auto plan = plan_map(*from, *to);
  if (!plan) return complain(plan.error());
  std::println("{}", (*plan)->to_string());
  return 0;
}

void print_ledger(const CopyLedger& ledger) {
  const auto entries = ledger.snapshot();
  size_t longest = 4;
  for (const auto& entry : entries) longest = std::max(longest, size_t(display_width(entry.name)));
  const auto row = [&](const std::string& name, const std::string& copied, const std::string& shared) {
    std::println("{}{}  {:>12}  {:>12}", name, std::string(longest - size_t(display_width(name)), ' '),
                 copied, shared);
  };
  row("link", "copied", "shared");
  for (const auto& entry : entries)
    row(entry.name, bytes_text(entry.bytes_copied), bytes_text(entry.bytes_shared));
}

void print_elements(const std::vector<Flow::NodeStats>& stats) {
  size_t longest = 7;
  for (const auto& node : stats) longest = std::max(longest, node.name.size());
  std::println("{:<{}}  {:>8}  {:>8}  {:>6}  {:>14}", "element", longest, "in", "out", "gaps",
               "busy per frame");
  for (const auto& node : stats) {
    const auto frames = std::max({node.frames_in, node.frames_out, uint64_t(1)});
    std::println("{:<{}}  {:>8}  {:>8}  {:>6}  {:>11.1f} µs", node.name, longest, node.frames_in,
                 node.frames_out, node.gaps, double(node.busy.count()) / 1e3 / double(frames));
  }
}

int explain_pipeline(const Options& options) {
  std::string text;
  for (const auto& word : options.pipeline) text += (text.empty() ? "" : " ") + word;
  auto flow = Flow::parse(text, {.strict_zero_copy = options.strict_zero_copy, .frame_limit = options.limit});
  if (!flow) return complain(flow.error());
  Progress progress(true);
  const auto outcome = run_flow(*flow, progress, options.limit);
  if (!outcome.status && outcome.frames == 0) return outcome.exit_code();
  std::println("{}", flow->explain());
  print_ledger(flow->ledger());
  std::println("");
  print_elements(flow->stats());
  return outcome.exit_code();
}

int run(const Options& options) {
  if (!options.map.empty()) return explain_map(options.map[0], options.map[1]);
  if (options.pipeline.empty()) return complain("give a pipeline{}", ", or --map FROM TO");
  const auto& first = options.pipeline.front();
  if (options.pipeline.size() == 1 && (first.ends_with(".yml") || first.ends_with(".yaml")))
    return explain_module(first, options.svg, options.load_models);
  return explain_pipeline(options);
}

}  // namespace

void add_explain_command(CLI::App& app) {
  auto options = std::make_shared<Options>();
  auto* command = app.add_subcommand("explain",
                                     "Show formats, memory and copies per link: of a module file, or of a "
                                     "pipeline that is run in the flow runtime");
  command
      ->add_option("pipeline", options->pipeline,
                   "a module (FILE.yml), or a pipeline as for `sightglass run --flow`")
      ->type_name("PIPELINE");
  command->add_option("--map", options->map, "the way between two forms instead: cuda:NV12 opencv-umat:BGR")
      ->expected(2)
      ->type_name("FROM TO");
  command->add_option("--limit", options->limit, "end after so many frames; 0: at the end of the input")
      ->type_name("N");
  command->add_flag("--strict-zero-copy", options->strict_zero_copy, "refuse a pipeline that copies");
  command->add_option("--svg", options->svg, "of a module: also as a picture")->type_name("FILE");
  command->add_flag("--load-models", options->load_models,
                    "of a module: load its models, for sizes that only they know");
  command->footer("sightglass explain --map system:NV12 opencv:BGR");
  command->callback([options] { exit_with(run(*options)); });
}

}  // namespace sightglass::cli
