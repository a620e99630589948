// Parameters of the sink and the source `mqtt`.
#pragma once

#include <string>
#include <vector>

#include "sightglass/adapters/tls_params.h"

namespace sightglass::adapters {

struct MqttParams : TlsParams {
  std::string url, user, password_file, client_id;
  unsigned qos = 1;
  double keep_alive = 10;
};

struct MqttSinkParams : MqttParams {
  std::string topic = "sightglass/{source_id}", state_topic = "sightglass/{module}";
  double timeout = 5;
  bool retain = false, state = true;
};

struct MqttSourceParams : MqttParams {
  std::vector<std::string> topics;
  std::string source_id = "mqtt", namespace_ = "mqtt";
  double session = 3600;
};

}  // namespace sightglass::adapters
