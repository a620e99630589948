#include "sightglass/cli/inspect_command.h"

#include <algorithm>
#include <memory>

#include "sightglass/cli/adapter_options.h"
#include "sightglass/cli/element_info.h"
#include "sightglass/cli/exit.h"
#include "sightglass/cli/gst_setup.h"
#include "sightglass/cli/reference_pages.h"
#include "sightglass/cli/text.h"

namespace sightglass::cli {
namespace {

constexpr size_t width = 100;

// Words of a text on lines of that width, behind an indentation.
std::string wrapped(std::string_view text, size_t indent) {
  std::string lines(indent, ' ');
  size_t used = indent;
  for (size_t from = 0; from < text.size();) {
    const size_t to = std::min(text.find(' ', from), text.size());
    const auto word = text.substr(from, to - from);
    if (used > indent && used + 1 + word.size() > width) {
      lines += "\n" + std::string(indent, ' ');
      used = indent;
    }
    if (used > indent) lines += ' ', ++used;
    lines += word;
    used += word.size();
    from = to + 1;
  }
  return lines;
}

void print_list() {
  const auto elements = all_element_info();
  size_t longest = 0;
  for (const auto& info : elements) longest = std::max(longest, info.name.size());
  for (const bool bins : {true, false}) {
    std::println("{}", bins ? "Bins (whole steps, the usual choice):" : "\nElements (single operations):");
    for (const auto& info : elements)
      if (info.is_bin == bins) std::println("  {:<{}}  {}", info.name, longest, info.title);
  }
  std::println("\nSources (pipeline.source of a module, `sightglass source NAME`):\n{}", source_list());
  std::println("Sinks (pipeline.sinks of a module, `sightglass sink NAME`):\n{}", sink_list());
  std::println("`sightglass inspect NAME` shows one of them.");
}

// A source and a sink may have the same name. False: it is neither.
bool print_adapters(const std::string& name) {
  const bool is_source = adapters::find_source(name);
  const bool is_sink = adapters::find_sink(name);
  if (is_source) std::println("source {}, in a file or on the command line:\n\n{}", name, source_help(name));
  if (is_sink) std::println("sink {}, in a file or on the command line:\n\n{}", name, sink_help(name));
  return is_source || is_sink;
}

void print_formats(const char* title, const std::vector<std::string>& formats) {
  for (const auto& format : formats) std::println("{:<5} {}", title, shortened(format, int(width) - 6));
}

void print_one(const ElementInfo& info) {
  std::println("{}: {} ({})\n", info.name, info.title, info.klass);
  std::println("{}\n", wrapped(info.doc, 0));
  print_formats("in", info.inputs);
  print_formats("out", info.outputs);
  if (info.params.empty()) return;
  std::println("\nParameters (* can be changed while frames flow):");
  for (const auto& param : info.params) {
    std::string type = param.type;
    if (!param.range.empty()) type += " " + param.range;
    if (!param.unit.empty()) type += " " + param.unit;
    if (param.is_readable_only)
      type += ", read only";
    else
      type += ", default " + (param.default_value.empty() ? "none" : shortened(param.default_value, 40));
    std::println("  {}{}", param.name, param.is_live ? " *" : "");
    std::println("{}", wrapped(param.doc, 6));
    std::println("{}", wrapped(type, 6));
  }
}

int run(const std::string& name, const std::string& pages) {
  if (auto status = init_gstreamer(); !status) return complain(status.error());
  if (!pages.empty()) {
    const auto status = write_pages(pages);
    return status ? 0 : complain(status.error());
  }
  if (name.empty()) {
    print_list();
    return 0;
  }
  const auto info = element_info(name);
  if (!info) return print_adapters(name) ? 0 : complain(info.error());
  print_one(*info);
  return 0;
}

}  // namespace

void add_inspect_command(CLI::App& app) {
  struct Options {
    std::string name, pages;
  };
  auto options = std::make_shared<Options>();
  auto* command =
      app.add_subcommand("inspect", "List elements, sources and sinks, or show what one does and takes");
  command->add_option("element", options->name, "name of one; all are listed without it")->type_name("NAME");
  command
      ->add_option("--markdown", options->pages,
                   "write the generated pages (reference/, migrating.md, schema/) below this folder")
      ->type_name("DIR");
  command->callback([options] { exit_with(run(options->name, options->pages)); });
}

}  // namespace sightglass::cli
