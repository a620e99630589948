// One model on several devices (device=CUDA:*): a session on each, and each stream bound to one of them.
//
//   auto session = spread_session({{"CUDA:0", first}, {"CUDA:1", second}});
//   auto stream = session->open_stream(inputs);        // system memory: where least is to do
//
// A stream of tensors in the memory of a device is bound when the first one comes, to the device that it lies
// on; should later ones lie on another device, it goes over to that one, and order is kept. What a device has
// to do is the frames per second of its streams, as they say them. Batches form on each device by itself.
//
// Thread-safe as session.h says.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "sightglass/model/session.h"

namespace sightglass {

struct SpreadPart {
  std::string device;  // "CUDA:0"
  std::shared_ptr<Session> session;
};
// At least one part, all of the same model and options.
std::shared_ptr<Session> spread_session(std::vector<SpreadPart> parts);

}  // namespace sightglass
