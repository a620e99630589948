// The pipeline of `sightglass detect`:
//
//   input ! object_detect [! object_track] [! object_classify …] [! metaconvert ! metapublish …] [!
//   meta_overlay ! display and/or file]
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "sightglass/cli/detect_input.h"
#include "sightglass/cli/pipeline_plan.h"

namespace sightglass::cli {

struct DetectSettings {
  std::filesystem::path model;  // a file
  std::string model_proc;       // its description, where it does not lie beside it; empty: none
  std::vector<std::filesystem::path> classifiers;
  std::optional<double> threshold;  // none: the model's own
  std::string device = "CPU";
  bool is_tracked = false, is_shown = false, prints_json = false;
  std::filesystem::path output;  // folder; empty: nothing is written
};

// Names of elements that detect_command looks for.
inline constexpr const char* picture_source = "pictures";
inline constexpr const char* picture_sink = "annotated";
inline constexpr const char* json_element = "json";

// Fails when something that the outputs need is not on this machine.
Result<PipelinePlan> plan_detect(const Input& input, const DetectSettings& settings);

// Software decoders take only few threads, where the model needs the processors more; they are made while the
// pipeline starts.
void limit_decoder_threads(GstElement* pipeline);

}  // namespace sightglass::cli
