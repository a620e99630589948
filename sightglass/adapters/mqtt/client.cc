#include "sightglass/adapters/mqtt/client.h"

#include <mqtt_protocol.h>

#include <mutex>

#include "sightglass/stream/uuid.h"

namespace sightglass::adapters {

MqttProperties::~MqttProperties() { mosquitto_property_free_all(&list_); }
MqttProperties& MqttProperties::user(const char* name, std::string_view value) {
  mosquitto_property_add_string_pair(&list_, MQTT_PROP_USER_PROPERTY, name, std::string(value).c_str());
  return *this;
}
MqttProperties& MqttProperties::text(int identifier, const char* value) {
  mosquitto_property_add_string(&list_, identifier, value);
  return *this;
}
MqttProperties& MqttProperties::byte(int identifier, uint8_t value) {
  mosquitto_property_add_byte(&list_, identifier, value);
  return *this;
}
MqttProperties& MqttProperties::number(int identifier, uint32_t value) {
  mosquitto_property_add_int32(&list_, identifier, value);
  return *this;
}
MqttProperties& MqttProperties::number16(int identifier, uint16_t value) {
  mosquitto_property_add_int16(&list_, identifier, value);
  return *this;
}

Result<ServerUrl> checked_mqtt(MqttParams& params, const std::string& name, const std::string& folder) {
  if (params.url.empty())
    return fail(ErrorCode::invalid_argument, "{}: url is missing, as in mqtt://host:1883", name);
  auto url = parse_server_url(params.url, {"mqtt", 1883}, {"mqtts", 8883});
  if (!url) return url;
  if (url->scheme != "mqtts")
    if (Status used = refuse_unused_tls(params, name, "mqtts"); !used) return forward_error(used);
  if (!params.tls_server_name.empty() && params.tls_server_name != url->host)
    return fail(ErrorCode::unsupported,
                "{}: tls-server-name: libmosquitto checks the name in the url ('{}') and no other", name,
                url->host);
  for (std::string* path : {&params.tls_ca, &params.tls_cert, &params.tls_key, &params.password_file})
    *path = path_from(folder, *path);
  if (!params.password_file.empty())
    if (auto read = read_secret("", params.password_file, name + ": password-file"); !read)
      return forward_error(read);
  return url;
}

Result<MosquittoPtr> make_mqtt_client(const MqttParams& params, const ServerUrl& url, bool keeps_session,
                                      void* user_data) {
  static std::once_flag once;
  std::call_once(once, [] { mosquitto_lib_init(); });
  const std::string id =
      params.client_id.empty() ? "sightglass-" + stream::to_string(stream::make_uuid_v7()) : params.client_id;
  MosquittoPtr client(mosquitto_new(id.c_str(), !keeps_session, user_data));
  if (!client) return fail(ErrorCode::invalid_argument, "client-id: '{}' cannot be used", id);
  mosquitto_int_option(client.get(), MOSQ_OPT_PROTOCOL_VERSION, MQTT_PROTOCOL_V5);
  mosquitto_int_option(client.get(), MOSQ_OPT_TCP_NODELAY, 1);
  std::string password;
  if (!params.password_file.empty()) {
    auto secret = read_secret("", params.password_file, "password-file");
    if (!secret) return forward_error(secret);
    password = std::move(*secret);
  }
  if (!params.user.empty() || !password.empty())
    mosquitto_username_pw_set(client.get(), params.user.c_str(),
                              password.empty() ? nullptr : password.c_str());
  if (url.scheme != "mqtts") return client;
  const auto or_null = [](const std::string& text) { return text.empty() ? nullptr : text.c_str(); };
  const int set = mosquitto_tls_set(client.get(), or_null(params.tls_ca),
                                    params.tls_ca.empty() ? "/etc/ssl/certs" : nullptr,
                                    or_null(params.tls_cert), or_null(params.tls_key), nullptr);
  if (set != MOSQ_ERR_SUCCESS)
    return fail(ErrorCode::invalid_argument, "tls: {} (ca '{}', cert '{}', key '{}')",
                mosquitto_strerror(set), params.tls_ca, params.tls_cert, params.tls_key);
  mosquitto_tls_insecure_set(client.get(), !params.tls_verify);
  if (!params.tls_verify) mosquitto_tls_opts_set(client.get(), 0, nullptr, nullptr);
  return client;
}

}  // namespace sightglass::adapters
