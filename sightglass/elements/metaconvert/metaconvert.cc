#include "sightglass/elements/metaconvert/metaconvert.h"

#include <utility>
#include <nlohmann/json.hpp>

#include "sightglass/core/registry.h"

namespace sightglass {
namespace {

// On one line, in the order given.
Result<std::string> checked_tags(const std::string& text) {
  if (text.empty()) return text;
  const auto tags = nlohmann::ordered_json::parse(text, nullptr, false);
  if (!tags.is_object())
    return fail(ErrorCode::invalid_argument,
                "tags: '{}' is no JSON object; write for example {{\"site\":\"north\"}}", text);
  return tags.dump();
}

}  // namespace

Result<std::unique_ptr<Element>> MetaConvert::create(const Params& params) {
  auto tags = checked_tags(params.tags);
  if (!tags) return forward_error(tags);
  std::unique_ptr<MetaConvert> element(new MetaConvert(params));
  element->options_ = {
      .layout = params.layout,
      .source = params.source,
      .tags = *tags == "{}" ? std::string() : std::move(*tags),
      .add_tensor_data = params.add_tensor_data,
      .indent = params.json_indent,
  };
  if (params.timestamp_utc || params.timestamp_microseconds)
    element->warnings_.push_back(
        "timestamp-utc and timestamp-microseconds have no effect: frames carry no time code");
  if (params.add_rtp_timestamp)
    element->warnings_.push_back("add-rtp-timestamp has no effect: frames carry no sender's clock");
  if (params.signal_handoffs)
    element->warnings_.push_back(
        "signal-handoffs has no effect: put a pad probe or an identity behind this element instead");
  return element;
}

Result<Verdict> MetaConvert::process(Frame& frame) {
  frame.json.clear();
  if (!params_.add_empty_results && !has_results(frame, options_)) return Verdict::pass;
  if (params_.format == TextFormat::json)
    write_frame_json(frame, options_, frame.json);
  else
    write_detections(frame, frame.json);
  return Verdict::pass;
}

namespace {

ElementDesc descriptor(std::string_view name) {
  using Params = MetaConvert::Params;
  return {
      .name = std::string(name),
      .title = "Results to JSON",
      .klass = "Metadata",
      .doc =
          "Writes the objects and attributes of each frame as JSON, which a metapublish behind it sends on.",
      .kind = ElementKind::transform_inplace,
      .input = {{AnySpec{}}},
      .params = ParamTable::of<Params>({
          param("format", &Params::format, "json, or one line of plain text per object")
              .choices({"json", "dump-detection"}),
          param("add-tensor-data", &Params::add_tensor_data, "write raw tensors and feature vectors as well"),
          param("add-empty-results", &Params::add_empty_results, "write frames without any result as well"),
          param("timestamp-utc", &Params::timestamp_utc,
                "accepted, with a warning: frames carry no time code yet"),
          param("timestamp-microseconds", &Params::timestamp_microseconds,
                "accepted, with a warning: frames carry no time code yet"),
          param("add-rtp-timestamp", &Params::add_rtp_timestamp,
                "accepted, with a warning: frames do not carry the sender's time yet"),
          param("signal-handoffs", &Params::signal_handoffs, "accepted for compatibility"),
          param("source", &Params::source, "text for the field 'source'").live(),
          param("tags", &Params::tags, "JSON object for the field 'tags'"),
          param("json-indent", &Params::json_indent, "spaces per level; -1: one line per frame")
              .range(-1, 10),
          param("layout", &Params::layout, "form of the JSON text").choices({"sightglass", "dlstreamer"}),
      }),
      .create = [](const ParamSet& params) { return MetaConvert::create(params.as<Params>()); },
  };
}

const Registration registration(descriptor("metaconvert"));
const Registration alias(descriptor("gvametaconvert"));

}  // namespace
}  // namespace sightglass
