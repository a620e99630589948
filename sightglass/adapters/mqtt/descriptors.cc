// The sink and the source `mqtt` as files and people see them.
#include "sightglass/adapters/module_adapter.h"
#include "sightglass/adapters/mqtt/mqtt_params.h"

namespace sightglass::adapters {
namespace {

template <class P>
void add_connection(std::vector<ParamDesc>& all) {
  all.push_back(param("qos", static_cast<unsigned P::*>(&MqttParams::qos),
                      "0: at most once, 1: at least once, 2: exactly once between the two")
                    .range(0, 2));
  all.push_back(param("keep-alive", static_cast<double P::*>(&MqttParams::keep_alive),
                      "silence after which the other side is asked whether it is there")
                    .range(5, 3600)
                    .in("s"));
  all.push_back(param("user", static_cast<std::string P::*>(&MqttParams::user), "name of the user"));
  all.push_back(param("password-file", static_cast<std::string P::*>(&MqttParams::password_file),
                      "file with the password"));
  add_tls_params<P>(all);
}

std::vector<ParamDesc> sink_params() {
  using P = MqttSinkParams;
  std::vector<ParamDesc> all;
  all.push_back(param("url", static_cast<std::string P::*>(&P::url), "mqtt://HOST:PORT, or mqtts:// for TLS")
                    .required());
  all.push_back(param("topic", &P::topic, "of each record; {source_id}, {kind} and {module} are put in"));
  all.push_back(param("retain", &P::retain, "the broker keeps the last record of each topic"));
  all.push_back(
      param("state", &P::state,
            "the state of each stream is kept at its topic with /state behind it, that of this sink at "
            "state-topic"));
  all.push_back(param("state-topic", &P::state_topic, "says online; offline, as last will"));
  all.push_back(param("timeout", &P::timeout, "how long the broker may take").range(0.01, 3600).in("s"));
  all.push_back(param("client-id", static_cast<std::string P::*>(&P::client_id),
                      "name of this client; empty: a new one each time"));
  add_connection<P>(all);
  return all;
}

std::vector<ParamDesc> source_params() {
  using P = MqttSourceParams;
  std::vector<ParamDesc> all;
  all.push_back(param("url", static_cast<std::string P::*>(&P::url), "mqtt://HOST:PORT, or mqtts:// for TLS")
                    .required());
  all.push_back(param("topics", &P::topics, "that are read, with + and # as MQTT has them").required());
  all.push_back(param("source-id", &P::source_id,
                      "stream of the data; {topic} stands for the topic, {0}, {1}, … for its levels"));
  all.push_back(param("namespace", &P::namespace_, "of the attributes"));
  all.push_back(param("client-id", static_cast<std::string P::*>(&P::client_id),
                      "name by which the broker keeps messages while this is away; empty: none are kept"));
  all.push_back(param("session", &P::session, "how long it keeps them").range(0, 1e9).in("s"));
  add_connection<P>(all);
  return all;
}

const SinkRegistration sink(SinkDesc{
    .name = "mqtt",
    .doc = "records to a broker, MQTT 5; the uuid travels as user property",
    .nature = SinkNature::data,
    .batch_records = 64,
    .params = ParamTable::of<MqttSinkParams>(sink_params()),
    .create = &create_sink_in_module<"adapters-mqtt", "mqtt">,
});
const SourceRegistration source(SourceDesc{
    .name = "mqtt",
    .doc = "messages of a broker as user data, MQTT 5",
    .params = ParamTable::of<MqttSourceParams>(source_params()),
    .create = &create_source_in_module<"adapters-mqtt", "mqtt">,
});

}  // namespace
}  // namespace sightglass::adapters
