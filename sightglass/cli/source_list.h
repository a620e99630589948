// Many sources in one YAML file, for one process:
//
//   out: dealer+connect:tcp://module:5560      # of all that have none of their own
//   http: 127.0.0.1:8081                       # probes and metrics; off by default
//   defaults: {type: rtsp, user: viewer, password_file: cameras.secret}   # of all of this type
//   sources:
//     - {source_id: gate, url: "rtsp://10.0.0.11/1"}
//     - {source_id: yard, url: "rtsp://10.0.0.12/1", transport: udp}
//
// The rules of module descriptions hold: unknown keys, wrong types and names that come twice are errors with
// their line, all at once; `include` works.
#pragma once

#include <string>
#include <vector>

#include "sightglass/module/source_process.h"

namespace sightglass::cli {

struct SourceList {
  std::string folder, http, http_token_file, name;
  std::string shutdown_token_file;  // of `shutdown_after_end`; empty: the module goes on
  stream::CurveOptions curve;
  std::vector<module::SourceProcess::Entry> sources;
};

// The error has a line per mistake. `out`: for all that have none, from the command line; may be empty.
Result<SourceList> read_source_list(const std::string& file, const std::string& out);

}  // namespace sightglass::cli
