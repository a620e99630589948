// What `explain` shows of a module: the chain that every stream gets.
#include <algorithm>
#include <format>

#include "sightglass/module/decoder_table.h"
#include "sightglass/module/pipeline_plan.h"
#include "sightglass/module/references.h"

namespace sightglass::module {
namespace {

constexpr uint64_t picture_bytes = uint64_t(1920) * 1080 * 3 / 2;  // I420, NV12

void add(std::string& list, const std::string& item) { list += (list.empty() ? "" : ", ") + item; }

// "threshold ← parameters.min_face"
std::string bounds_of(const ElementPlan& plan) {
  std::string text;
  const auto see = [&](const std::string& key, const Value& value) {
    for (const std::string& name : referenced_parameters(value))
      add(text, std::format("{} ← parameters.{}", key, name));
  };
  for (const PropertyPlan& property : plan.properties) {
    std::string key = property.name;
    std::ranges::replace(key, '-', '_');
    see(key, property.value);
  }
  for (const auto& [attribute, threshold] : plan.thresholds)
    see("attributes." + attribute + ".threshold", threshold);
  see("keep", plan.spec->keep);
  if (plan.kind == ElementKind::function) see("select", plan.spec->select), see("when", plan.spec->when);
  for (const BindingPlan& binding : plan.bindings) {
    std::string key = binding.name;
    std::ranges::replace(key, '-', '_');
    add(text, std::format("{} ← frame {}.{}", key, binding.binding.model(), binding.binding.name()));
  }
  return text;
}

}  // namespace

std::vector<ExplainedStep> explain(const PipelineTemplate& pipeline) {
  const auto& plan = static_cast<const PipelinePlan&>(pipeline);
  const ModuleSpec& spec = plan.spec();
  std::vector<ExplainedStep> steps;
  steps.push_back({.name = "input", .type = "appsrc", .format = "as it comes", .memory = "system"});
  const auto decoders = decoder_table("h264", spec.streams.decoders, plan.cuda_devices()[0]);
  const MemoryKind memory = decoders.empty() ? MemoryKind::system : decoders[0].memory;
  steps.push_back({.name = "decoder",
                   .type = decoders.empty() ? "none" : decoders[0].elements.back().element + " (h264)",
                   .format = memory == MemoryKind::system ? "I420" : "NV12",
                   .memory = std::string(to_string(memory))});
  MemoryKind at = memory;
  const auto download = [&] {
    if (at == MemoryKind::system) return uint64_t(0);
    at = MemoryKind::system;
    return picture_bytes;
  };
  for (const auto& element : plan.plans()) {
    ExplainedStep step{.name = element->name(), .type = element->spec->type, .format = "as before"};
    if (element->kind != ElementKind::ours) step.copied_bytes += download();
    const auto& function = element->spec->function;
    // A worker gets the picture in memory that it shares with us.
    if (function && function->language == "python" && function->isolation == "process")
      step.copied_bytes += picture_bytes;
    step.memory = to_string(at);
    step.bound = bounds_of(*element);
    steps.push_back(std::move(step));
  }
  const OutputFrameSpec& output = spec.output_frame;
  ExplainedStep end{.name = "output", .type = "results", .format = "metadata", .memory = "system"};
  if (output.codec == "copy") {
    end.type = "results, original bitstream";
    end.format = "as it came";
  } else if (output.codec == "raw") {
    end.type = "results, raw pictures";
    end.format = "as before, rows without padding";
    end.copied_bytes = download() + picture_bytes;
  } else if (output.codec != "none") {
    end.type = plan.encoder().empty() ? output.codec : plan.encoder();
    end.format = output.codec;
    end.copied_bytes = download();
    // Pixels are drawn into a copy where somebody else still reads them.
    if (!spec.draw.is_null()) end.copied_bytes += picture_bytes;
  }
  for (const std::string& name : referenced_parameters(output.when))
    add(end.bound, "when ← parameters." + name);
  for (const std::string& name : referenced_parameters(spec.draw))
    add(end.bound, "draw ← parameters." + name);
  steps.push_back(std::move(end));
  return steps;
}

}  // namespace sightglass::module
