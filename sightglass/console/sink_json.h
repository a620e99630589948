// What is said of sinks over HTTP, by a module and by a process with sinks of its own.
#pragma once

#include <span>

#include "sightglass/console/json_text.h"
#include "sightglass/module/module.h"

namespace sightglass::console {

inline Json sinks_json(std::span<const module::SinkStatus> sinks) {
  Json list = Json::array();
  for (const module::SinkStatus& sink : sinks)
    list.push_back({{"name", sink.name},
                    {"type", sink.type},
                    {"required", sink.required},
                    {"up", sink.is_up},
                    {"paused", sink.is_paused},
                    {"last_error", sink.last_error},
                    {"queue",
                     {{"policy", sink.policy},
                      {"records", sink.queued},
                      {"bytes", sink.queued_bytes},
                      {"spilled_bytes", sink.spilled_bytes}}},
                    {"delivered", sink.delivered},
                    {"retries", sink.retries},
                    {"dropped", sink.dropped},
                    {"dead_letters", sink.dead_letters}});
  return list;
}

}  // namespace sightglass::console
