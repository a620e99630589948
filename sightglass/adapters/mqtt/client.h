// A client of an MQTT 5 broker, made from parameters; what sink and source have in common.
#pragma once

#include <mosquitto.h>

#include <memory>
#include <string>

#include "sightglass/adapters/mqtt/mqtt_params.h"
#include "sightglass/adapters/server_url.h"
#include "sightglass/core/result.h"

namespace sightglass::adapters {

struct FreeMosquitto {
  void operator()(mosquitto* client) const { mosquitto_destroy(client); }
};
using MosquittoPtr = std::unique_ptr<mosquitto, FreeMosquitto>;

// MQTT's property list.
class MqttProperties {
 public:
  MqttProperties() = default;
  MqttProperties(const MqttProperties&) = delete;
  MqttProperties& operator=(const MqttProperties&) = delete;
  ~MqttProperties();
  MqttProperties& user(const char* name, std::string_view value);
  MqttProperties& text(int identifier, const char* value);
  MqttProperties& byte(int identifier, uint8_t value);
  MqttProperties& number(int identifier, uint32_t value);
  MqttProperties& number16(int identifier, uint16_t value);
  const mqtt5__property* get() const { return list_; }

 private:
  mqtt5__property* list_ = nullptr;
};

// Checks url, names and secrets; paths from `folder`.
Result<ServerUrl> checked_mqtt(MqttParams& params, const std::string& name, const std::string& folder);

// Not connected yet. `user_data` is what callbacks get. With an empty client id the session is a new one each
// time.
Result<MosquittoPtr> make_mqtt_client(const MqttParams& params, const ServerUrl& url, bool keeps_session,
                                      void* user_data);

}  // namespace sightglass::adapters
