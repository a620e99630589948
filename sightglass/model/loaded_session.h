// Makes the session of a model that is loaded already, shared with nobody. open_session() (session.h) is what
// users want.
#pragma once

#include <memory>
#include <string>

#include "sightglass/model/session.h"

namespace sightglass {

struct LoadedSessionOptions {
  std::string model;  // file, for messages
  SchedulingPolicy policy = SchedulingPolicy::throughput;
  unsigned requests = 0;  // as in SessionOptions
  unsigned workers = 0;
  unsigned warmup = 1;
};
Result<std::shared_ptr<Session>> start_session(std::unique_ptr<LoadedModel> model,
                                               const LoadedSessionOptions& options);

}  // namespace sightglass
