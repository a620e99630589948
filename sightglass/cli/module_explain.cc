#include "sightglass/cli/module_explain.h"

#include <algorithm>
#include <fstream>
#include <print>
#include <string_view>
#include <vector>

#include "sightglass/cli/exit.h"
#include "sightglass/cli/gst_setup.h"
#include "sightglass/cli/text.h"
#include "sightglass/module/module_file.h"
#include "sightglass/module/pipeline_template.h"
#include "sightglass/module/sink_settings.h"

namespace sightglass::cli {
namespace {

using module::ExplainedStep;

struct Graph {
  std::string module;
  std::vector<std::string> sources;
  std::vector<ExplainedStep> steps;
  struct Sink {
    std::string name, type, policy;
    bool required = false;
  };
  std::vector<Sink> sinks;
};

std::string_view name_of(module::QueuePolicy policy) {
  switch (policy) {
    case module::QueuePolicy::automatic:
      return "automatic";
    case module::QueuePolicy::block:
      return "block";
    case module::QueuePolicy::drop_oldest:
      return "drop_oldest";
    case module::QueuePolicy::drop_to_keyframe:
      return "drop_to_keyframe";
    case module::QueuePolicy::latest:
      return "latest";
    case module::QueuePolicy::spill:
      return "spill";
  }
  return "?";
}

Graph graph_of(const module::ModuleSpec& spec, std::vector<ExplainedStep> steps) {
  Graph graph{.module = spec.name, .steps = std::move(steps)};
  for (const module::SourceSpec& source : spec.pipeline.sources) graph.sources.push_back(source.type);
  for (const module::SinkSpec& sink : spec.pipeline.sinks) {
    module::QueuePolicy policy = sink.queue.policy;
    if (const auto* desc = adapters::find_sink(sink.type); desc && policy == module::QueuePolicy::automatic)
      policy = module::default_policy(desc->nature);
    graph.sinks.push_back({sink.name, sink.type, std::string(name_of(policy)), sink.required});
  }
  return graph;
}

void print_text(const Graph& graph) {
  std::vector<std::vector<std::string>> rows = {
      {"element", "type", "format", "memory", "copied", "bound to"}};
  for (const ExplainedStep& step : graph.steps)
    rows.push_back({step.name, step.type, step.format, step.memory,
                    step.copied_bytes > 0 ? bytes_text(step.copied_bytes) : "-", step.bound});
  std::vector<size_t> widths(rows[0].size());
  for (const auto& cells : rows)
    for (size_t i = 0; i < cells.size(); ++i)
      widths[i] = std::max(widths[i], size_t(display_width(cells[i])));
  std::println("module {}: one such pipeline per stream; bytes are per frame\n", graph.module);
  for (const auto& cells : rows) {
    std::string line;
    for (size_t i = 0; i < cells.size(); ++i)
      line += cells[i] + std::string(widths[i] - size_t(display_width(cells[i])) + 2, ' ');
    line.erase(line.find_last_not_of(' ') + 1);
    std::println("{}", line);
  }
  if (!graph.sinks.empty()) std::println("\nsinks");
  for (const Graph::Sink& sink : graph.sinks)
    std::println("  {} ({}): queue {}{}", sink.name, sink.type, sink.policy,
                 sink.required ? ", required" : "");
}

std::string escaped(std::string_view text) {
  std::string result;
  for (const char c : text) {
    if (c == '<')
      result += "&lt;";
    else if (c == '>')
      result += "&gt;";
    else if (c == '&')
      result += "&amp;";
    else if (c == '"')
      result += "&quot;";
    else
      result += c;
  }
  return result;
}

// One column of boxes, each with the link that leads to it; sinks stand side by side below.
class Svg {
 public:
  std::string draw(const Graph& graph) {
    const int columns = std::max<int>(1, int(graph.sinks.size()));
    width_ = std::max(520, columns * (box_width + gap) + gap);
    const int middle = width_ / 2;
    std::string source;
    for (const std::string& type : graph.sources) source += (source.empty() ? "" : ", ") + type;
    box(middle, source.empty() ? "program" : source, "source", "source");
    for (const ExplainedStep& step : graph.steps) {
      const int from = y_;
      y_ += link_height;
      std::string label = step.format + (step.memory.empty() ? "" : " · " + step.memory);
      label += step.copied_bytes > 0 ? " · copies " + bytes_text(step.copied_bytes) : " · no copy";
      link(middle, from, middle, y_, label, step.copied_bytes > 0);
      box(middle, step.name, step.type, "element");
      if (!step.bound.empty()) text(middle + box_width / 2 + 8, y_ - box_height / 2 + 4, step.bound, "bound");
    }
    const int from = y_;
    y_ += link_height;
    for (size_t i = 0; i < graph.sinks.size(); ++i) {
      const int x = middle + int((double(i) - double(graph.sinks.size() - 1) / 2) * (box_width + gap));
      link(middle, from, x, y_, "", false);
      const int top = y_;
      box(x, graph.sinks[i].name, graph.sinks[i].type + " · " + graph.sinks[i].policy, "sink");
      if (i + 1 < graph.sinks.size()) y_ = top;
    }
    return std::format(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" viewBox=\"0 0 {0} {1}\" "
        "font-family=\"sans-serif\" font-size=\"13\">\n"
        "<style>.element{{fill:#eaf2fb;stroke:#3b76b0}}.source,.sink{{fill:#eef7ea;stroke:#5a8f3c}}"
        ".link{{stroke:#777;fill:none}}.copy{{stroke:#c0392b;stroke-width:2;fill:none}}"
        ".name{{font-weight:bold}}.note,.bound{{fill:#555;font-size:11px}}</style>\n"
        "<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n{2}</svg>\n",
        width_, y_ + gap, body_);
  }

 private:
  void box(int middle, std::string_view name, std::string_view note, std::string_view style) {
    body_ += std::format("<rect class=\"{}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"6\"/>\n",
                         style, middle - box_width / 2, y_, box_width, box_height);
    body_ += std::format("<text class=\"name\" text-anchor=\"middle\" x=\"{}\" y=\"{}\">{}</text>\n", middle,
                         y_ + 18, escaped(name));
    body_ += std::format("<text class=\"note\" text-anchor=\"middle\" x=\"{}\" y=\"{}\">{}</text>\n", middle,
                         y_ + 34, escaped(note));
    y_ += box_height;
  }
  void link(int x1, int y1, int x2, int y2, std::string_view label, bool copies) {
    body_ +=
        std::format("<path class=\"{}\" d=\"M{} {}L{} {}\"/>\n", copies ? "copy" : "link", x1, y1, x2, y2);
    if (!label.empty()) text(x1 + 8, (y1 + y2) / 2 + 4, label, "note");
  }
  void text(int x, int y, std::string_view what, std::string_view style) {
    body_ += std::format("<text class=\"{}\" x=\"{}\" y=\"{}\">{}</text>\n", style, x, y, escaped(what));
  }

  static constexpr int box_width = 200, box_height = 44, link_height = 30, gap = 20;
  int width_ = 0, y_ = gap;
  std::string body_;
};

}  // namespace

int explain_module(const std::string& file, const std::string& svg, bool load_models) {
  if (Status ready = init_gstreamer(); !ready) return complain(ready.error());
  const module::Loaded loaded = module::load_module(file);
  for (const module::Diagnostic& found : loaded.diagnostics.items())
    std::println(stderr, "{}", found.to_string());
  if (!loaded) return 2;
  auto prepared = module::prepare_template(*loaded.value, {.load_models = load_models});
  if (!prepared) return complain(prepared.error());
  for (const std::string& warning : (*prepared)->warnings()) std::println(stderr, "warning: {}", warning);
  const Graph graph = graph_of(*loaded.value, module::explain(**prepared));
  print_text(graph);
  if (const std::string encoder = (*prepared)->encoder(); !encoder.empty())
    std::println("encoder: {}", encoder);
  if (svg.empty()) return 0;
  std::ofstream out(svg);
  out << Svg().draw(graph);
  out.close();
  return out ? 0 : complain("{}: cannot be written", svg);
}

}  // namespace sightglass::cli
