// Pipelines as text, in GStreamer's syntax:
//
//   frame_source ! tee name=t  t. ! queue ! a key=value ! m.  t. ! b key="some text" ! meta_aggregate name=m
//
// Only the text is read here; whether the elements exist and take these values is for whoever builds the
// graph.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sightglass/core/format.h"
#include "sightglass/core/result.h"

namespace sightglass::flow {

struct PipelineText {
  struct Element {
    std::string element;  // "capsfilter" for caps between two '!'
    std::string name;     // empty: automatic
    std::vector<std::pair<std::string, std::string>> settings;
  };
  // From one place in `elements` to another.
  struct Link {
    size_t from, to;
    std::string from_pad, to_pad;  // empty: not said
  };
  std::vector<Element> elements;
  std::vector<Link> links;
};

Result<PipelineText> parse_pipeline(std::string_view text);

// "video/x-raw(memory:CUDAMemory),format={NV12,I420},width=640" or "other/tensors,…"; sets separated by ';'.
Result<std::vector<FormatSpec>> parse_caps(std::string_view text);

}  // namespace sightglass::flow
