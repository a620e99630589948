// What all sources that read files have in common, in YAML and on a command line.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "sightglass/adapters/sources/pace.h"
#include "sightglass/core/param.h"

namespace sightglass::adapters {

enum class Eos { file, list, never };
enum class Timestamps { stream, wall };

struct FileParams {
  std::string location, source_id, pace = "asap", metadata, shutdown_token_file;
  unsigned loop = 0;
  double max_fps = 0;
  Timestamps timestamps = Timestamps::stream;
  Eos eos = Eos::file;
  bool shutdown_after_end = false;
};

template <class P>
void add_file_params(std::vector<ParamDesc>& params, std::string_view location_doc, std::string_view id_doc) {
  const auto add = [&](std::string_view name, auto FileParams::* member, std::string_view doc) -> ParamDesc& {
    using T = std::remove_reference_t<decltype(std::declval<FileParams>().*member)>;
    params.push_back(param(name, static_cast<T P::*>(member), doc));
    return params.back();
  };
  add("location", &FileParams::location, location_doc).is_required = true;
  add("source-id", &FileParams::source_id, id_doc);
  add("pace", &FileParams::pace, "asap, realtime, or a factor of the recorded speed");
  add("loop", &FileParams::loop, "how often it is repeated, with times that go on growing");
  ParamDesc& max_fps = add("max-fps", &FileParams::max_fps,
                           "frames above this rate are left out where each stands alone; 0: none");
  max_fps.min = 0, max_fps.max = 1000;
  add("timestamps", &FileParams::timestamps,
      "stream: as in the file; wall: by the clock, from when reading begins")
      .choice_names = {"stream", "wall"};
  add("metadata", &FileParams::metadata,
      "side file with what is known of the frames, JSON lines; {file} stands for the path of the media "
      "without its ending");
  add("shutdown-after-end", &FileParams::shutdown_after_end, "asks the module to shut down behind the end");
  add("shutdown-token-file", &FileParams::shutdown_token_file,
      "file with the token for this; empty: that of the module which the source is part of");
}

}  // namespace sightglass::adapters
