#include "sightglass/elements/metapublish/metapublish.h"

#include "sightglass/core/registry.h"
#include "sightglass/elements/availability.h"

namespace sightglass {

Status MetaPublish::start() {
  if (params_.signal_handoffs)
    warnings_.push_back(
        "signal-handoffs has no effect: put a pad probe or an identity behind this element instead");
  switch (params_.method) {
    case Method::file:
      break;
    case Method::mqtt:
      return std::unexpected(
          availability_error("method=mqtt", {"MQTT is not part of this version"}, {"file"}));
    case Method::kafka:
      return std::unexpected(
          availability_error("method=kafka", {"Kafka is not part of this version"}, {"file"}));
  }
  if (params_.file_path.empty())
    return fail(ErrorCode::invalid_argument, "file-path is empty; name a file, or stdout");
  return file_.open(params_.file_path, params_.file_format);
}

Result<Verdict> MetaPublish::process(Frame& frame) {
  if (frame.json.empty()) return Verdict::pass;
  if (auto written = file_.write(frame.json); !written) return forward_error(written);
  return Verdict::pass;
}

namespace {

using Params = MetaPublish::Params;
using Method = MetaPublish::Method;

ElementDesc descriptor(std::string_view name) {
  return {
      .name = std::string(name),
      .title = "Results publisher",
      .klass = "Sink/Metadata",
      .doc =
          "Sends the JSON text of each frame, written by a metaconvert before it, to a file or a message "
          "broker.",
      .kind = ElementKind::transform_inplace,
      .input = {{AnySpec{}}},
      .reads_results = false,
      .serves_all_streams = true,
      .params = ParamTable::of<Params>({
          param("method", &Params::method, "where to").choices({"file", "mqtt", "kafka"}, {1, 2, 3}),
          param("file-path", &Params::file_path,
                "file that is written, replacing one that exists; stdout: the standard output"),
          param("file-format", &Params::file_format, "json: one array; json-lines: one record per line")
              .choices({"json", "json-lines"}, {1, 2}),
          param("address", &Params::address, "host:port of the broker"),
          param("topic", &Params::topic, "topic of the broker"),
          param("mqtt-client-id", &Params::mqtt_client_id, "name of this client; empty: a random one"),
          param("username", &Params::username, "user known to the broker"),
          param("password", &Params::password, "password of the user"),
          param("mqtt-config", &Params::mqtt_config, "file with further settings of the MQTT client"),
          param("max-connect-attempts", &Params::max_connect_attempts,
                "attempts to connect before it is an error")
              .range(1, 10),
          param("max-reconnect-interval", &Params::max_reconnect_interval,
                "longest pause between attempts to connect again")
              .range(1, 300)
              .in("s"),
          param("signal-handoffs", &Params::signal_handoffs, "accepted for compatibility"),
          param("buffer-messages", &Params::buffer_messages, "messages kept while the broker is away"),
      }),
      .create = [](const ParamSet& params) -> Result<std::unique_ptr<Element>> {
        return std::make_unique<MetaPublish>(params.as<Params>());
      },
  };
}

// The names with a suffix say the method, which stays a property of theirs.
template <Method default_method>
ElementDesc descriptor_for(std::string_view name) {
  ElementDesc desc = descriptor(name);
  desc.params.params.front().default_value = int64_t(default_method);
  desc.params.clone = [](const void* from) -> std::shared_ptr<void> {
    if (from) return std::make_shared<Params>(*static_cast<const Params*>(from));
    return std::make_shared<Params>(Params{.method = default_method});
  };
  return desc;
}

const Registration registrations[] = {
    Registration(descriptor("metapublish")),
    Registration(descriptor("gvametapublish")),
    Registration(descriptor_for<Method::file>("gvametapublishfile")),
    Registration(descriptor_for<Method::mqtt>("gvametapublishmqtt")),
    Registration(descriptor_for<Method::kafka>("gvametapublishkafka")),
};

}  // namespace
}  // namespace sightglass
