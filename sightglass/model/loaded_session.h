// Makes the session of a model that is loaded already, shared with nobody. open_session() (session.h) is what
// users want.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sightglass/model/request_queue.h"
#include "sightglass/model/session.h"

namespace sightglass {

struct LoadedSessionOptions {
  std::string model;  // file, for messages
  SchedulingPolicy policy = SchedulingPolicy::throughput;
  std::optional<unsigned> batch_size;  // this and the following as in SessionOptions
  int batch_timeout = -1;
  std::vector<ConstantInput> constants;
  unsigned requests = 0;
  unsigned workers = 0;
  unsigned warmup = 1;
  unsigned max_per_stream = 0;
  BatchClock* clock = nullptr;  // null: the real one
};
// What the user should know is added to `notes`.
Result<std::shared_ptr<Session>> start_session(std::unique_ptr<LoadedModel> model,
                                               const LoadedSessionOptions& options,
                                               std::vector<std::string>& notes);

}  // namespace sightglass
