// The latest picture of a stream with its results drawn, as JPEG: the last keyframe and what was found in it
// go through a pipeline of their own that decodes, draws and encodes. Costs nothing until somebody asks, then
// some 10 to 50 ms on the caller's thread; frames never wait for it. Thread-safe, one at a time.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "sightglass/adapters/record.h"
#include "sightglass/module/pipeline_template.h"
#include "sightglass/module/stream_instance.h"

namespace sightglass::module {

class Snapshot {
 public:
  Result<std::vector<uint8_t>> take(const stream::Delivery& keyframe, const adapters::Record& record,
                                    std::shared_ptr<const ParameterSet> parameters);

 private:
  std::mutex mutex_;
  std::shared_ptr<PipelineTemplate> template_;  // made at the first use
};

}  // namespace sightglass::module
