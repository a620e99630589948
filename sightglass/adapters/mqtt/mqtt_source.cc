// Messages of an MQTT 5 broker as user data. A message counts as received once it stands in its stream's
// queue: while that is full the broker waits, and a message that still waits for room when the source is
// stopped is never acknowledged, so that the broker keeps it for the session's next connection.
//
// libmosquitto makes out an acknowledgement (QoS 1) before it gives us the message. So it only queues what it
// sends, as for a program with threads, and we write that when the stream has taken the message: reading and
// writing are two calls here. With QoS 2 the message is ours before we see it.
#include <mosquitto.h>
#include <mqtt_protocol.h>
#include <poll.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <random>
#include <thread>
#include <utility>
#include <nlohmann/json.hpp>

#include "sightglass/adapters/module_adapter.h"
#include "sightglass/adapters/mqtt/client.h"
#include "sightglass/adapters/sources/source_names.h"
#include "sightglass/core/left_behind.h"
#include "sightglass/stream/message_writer.h"
#include "sightglass/stream/uuid.h"

namespace sightglass::adapters {
namespace {

using Clock = std::chrono::steady_clock;
using Json = nlohmann::json;
constexpr auto first_pause = std::chrono::milliseconds(500),
               longest_pause = std::chrono::milliseconds(30'000);
constexpr size_t most_attributes = 128, most_text = 65'536, most_sources = 4096;

std::vector<std::string_view> levels_of(std::string_view topic) {
  std::vector<std::string_view> levels;
  for (size_t from = 0; from <= topic.size();) {
    const size_t to = std::min(topic.find('/', from), topic.size());
    levels.push_back(topic.substr(from, to - from));
    from = to + 1;
  }
  return levels;
}

// The template with the topic put in; what ids may not have becomes '-'.
std::string id_from(const std::string& pattern, std::string_view topic) {
  const auto levels = levels_of(topic);
  std::string id;
  for (size_t at = 0; at < pattern.size(); ++at) {
    const size_t end = pattern[at] == '{' ? pattern.find('}', at) : pattern.npos;
    if (end == pattern.npos) {
      id += pattern[at];
      continue;
    }
    const std::string_view name = std::string_view(pattern).substr(at + 1, end - at - 1);
    size_t level = 0;
    const auto read = std::from_chars(name.data(), name.data() + name.size(), level);
    if (name == "topic")
      id += topic;
    else if (read.ec == std::errc{} && level < levels.size())
      id += levels[level];
    at = end;
  }
  for (char& c : id)
    if (c == '/')
      c = ':';
    else if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') && c != '.' &&
             c != '_' && c != ':' && c != '-')
      c = '-';
  return id;
}

std::optional<stream::Value> value_of(const Json& json) {
  if (json.is_boolean()) return json.get<bool>();
  if (json.is_number_integer()) return json.get<int64_t>();
  if (json.is_number()) return json.get<double>();
  if (json.is_string() && json.get_ref<const std::string&>().size() <= most_text)
    return json.get<std::string>();
  if (json.is_array() && json.size() <= most_text &&
      std::ranges::all_of(json, [](const Json& each) { return each.is_number(); }))
    return stream::Doubles{json.get<std::vector<double>>()};
  return std::nullopt;
}

class MqttSource final : public Source {
 public:
  MqttSource(MqttSourceParams params, ServerUrl url) : params_(std::move(params)), url_(std::move(url)) {}

  static Result<std::unique_ptr<Source>> create(const ParamSet& set, const SourceContext& context) {
    MqttSourceParams params = set.as<MqttSourceParams>();
    auto url = checked_mqtt(params, context.name, context.folder);
    if (!url) return forward_error(url);
    if (params.topics.empty())
      return fail(ErrorCode::invalid_argument, "{}: topics is missing, as in sensors/+/lux", context.name);
    for (const std::string& topic : params.topics)
      if (mosquitto_sub_topic_check(topic.c_str()) != MOSQ_ERR_SUCCESS)
        return fail(ErrorCode::invalid_argument, "{}: topics: '{}' is no topic to read", context.name, topic);
    if (Status valid = check_source_id(id_from(params.source_id, "a/b/c/d/e/f/g/h")); !valid)
      return forward_error(valid);
    return std::make_unique<MqttSource>(std::move(params), std::move(*url));
  }

  // A broker that is away is no error: it is waited for.
  Status start() override {
    auto made = make_mqtt_client(params_, url_, !params_.client_id.empty(), this);
    if (!made) return forward_error(made);
    client_ = std::move(*made);
    mosquitto_threaded_set(client_.get(), true);  // what it sends waits for write()
    mosquitto_connect_v5_callback_set(client_.get(),
                                      [](mosquitto*, void* self, int reason, int, const mosquitto_property*) {
                                        static_cast<MqttSource*>(self)->connected(reason);
                                      });
    mosquitto_message_v5_callback_set(
        client_.get(), [](mosquitto*, void* self, const mosquitto_message* message,
                          const mosquitto_property*) { static_cast<MqttSource*>(self)->received(*message); });
    return {};
  }

  Status run(Deliver& out, std::stop_token stop) override {
    out_ = &out;
    auto pause = first_pause;
    while (!stop.stop_requested() && !is_refused_) {
      if (!is_draining_ && connect(stop)) {
        int state = MOSQ_ERR_SUCCESS;
        while (state == MOSQ_ERR_SUCCESS && !stop.stop_requested() && !is_refused_) {
          state = read_and_write();
          if (is_subscribed_) pause = first_pause;
        }
        is_subscribed_ = false;
        if (stop.stop_requested() || is_refused_) break;
      }
      // 20 % more or less, so that not all come back at once.
      const auto jitter = std::uniform_real_distribution<>(0.8, 1.2)(random_);
      const auto until = Clock::now() + std::chrono::duration_cast<Clock::duration>(pause * jitter);
      std::mutex mutex;
      std::condition_variable_any stopped;
      std::unique_lock lock(mutex);
      stopped.wait_until(lock, stop, until, [] { return false; });
      pause = std::min(pause * 2, longest_pause);
    }
    // Behind what is not acknowledged nothing can be said any more: the connection just ends.
    if (!is_refused_ && client_) {
      mosquitto_disconnect_v5(client_.get(), MQTT_RC_NORMAL_DISCONNECTION, nullptr);
      (void)mosquitto_loop_write(client_.get(), 1);  // reading might bring one more
    }
    client_.reset();
    return {};
  }

  bool drain() override {
    is_draining_ = true;
    return true;
  }

  std::map<std::string, uint64_t> rejected() const override {
    std::map<std::string, uint64_t> counts;
    if (const uint64_t count = bad_ids_) counts["source_id"] = count;
    if (const uint64_t count = stopped_) counts["stopped"] = count;
    return counts;
  }

 private:
  int read_and_write() {
    mosquitto* const client = client_.get();
    const short writing = mosquitto_want_write(client) ? POLLOUT : 0;
    // What is not read is not acknowledged, and comes to whoever takes up the session.
    const short reading = is_draining_ ? 0 : POLLIN;
    pollfd ready{.fd = mosquitto_socket(client), .events = short(reading | writing), .revents = 0};
    if (ready.fd < 0) return MOSQ_ERR_NO_CONN;
    if (poll(&ready, 1, reading ? 100 : 20) < 0 && errno != EINTR) return MOSQ_ERR_ERRNO;
    if (!reading && (ready.revents & (POLLERR | POLLHUP | POLLNVAL))) return MOSQ_ERR_CONN_LOST;
    int state = MOSQ_ERR_SUCCESS;
    if (reading && (ready.revents & ~POLLOUT)) state = mosquitto_loop_read(client, 1);
    if (state == MOSQ_ERR_SUCCESS && !is_refused_ && mosquitto_want_write(client))
      state = mosquitto_loop_write(client, 1);
    return state == MOSQ_ERR_SUCCESS && reading ? mosquitto_loop_misc(client) : state;
  }

  // A client that connects, with all that this takes: it may outlive the source.
  struct Attempt {
    MosquittoPtr client;
    const ServerUrl url;
    const int keep_alive;
    MqttProperties properties;
    std::mutex mutex;
    std::condition_variable_any changed;
    std::optional<int> state;
  };

  // On a thread of its own: libmosquitto waits for names, and for an address that swallows connections, as
  // long as the system does, which is minutes. A stop leaves that thread behind, with the client.
  bool connect(const std::stop_token& stop) {
    const auto attempt = std::make_shared<Attempt>(std::move(client_), url_, int(params_.keep_alive));
    if (!params_.client_id.empty())
      attempt->properties.number(MQTT_PROP_SESSION_EXPIRY_INTERVAL, uint32_t(std::min(params_.session, 4e9)));
    // What the queue has not taken stays with the broker.
    attempt->properties.number16(MQTT_PROP_RECEIVE_MAXIMUM, 16);
    std::thread connecting([attempt] {
      const int state =
          mosquitto_connect_bind_v5(attempt->client.get(), attempt->url.host.c_str(), attempt->url.port,
                                    attempt->keep_alive, nullptr, attempt->properties.get());
      const std::lock_guard lock(attempt->mutex);
      attempt->state = state;
      attempt->changed.notify_all();
    });
    std::unique_lock lock(attempt->mutex);
    if (!attempt->changed.wait(lock, stop, [&] { return attempt->state.has_value(); })) {
      connecting.detach();
      note_thread_left_behind();
      return false;
    }
    lock.unlock();
    connecting.join();
    client_ = std::move(attempt->client);
    return attempt->state == MOSQ_ERR_SUCCESS;
  }

  void connected(int reason) {
    if (reason != 0) return;  // the broker closes the connection then
    for (const std::string& topic : params_.topics)
      mosquitto_subscribe_v5(client_.get(), nullptr, topic.c_str(), int(params_.qos), 0, nullptr);
    is_subscribed_ = true;
  }

  void received(const mosquitto_message& from) {
    if (is_refused_) return not_taken(from);
    const std::string topic = from.topic;
    const std::string id = id_from(params_.source_id, topic);
    if (!check_source_id(id)) {
      ++bad_ids_;
      return;
    }
    auto message = std::make_shared<stream::Message>();
    message->kind = stream::Kind::user_data;
    message->source_id = id;
    message->producer = producer_;
    // Topics may come without end.
    if (seq_.size() >= most_sources && !seq_.contains(id)) seq_.clear(), ++epoch_;
    message->epoch = epoch_;
    message->seq = seq_[id]++;
    message->sent_us = std::chrono::duration_cast<std::chrono::microseconds>(
                           std::chrono::system_clock::now().time_since_epoch())
                           .count();
    stream::UserData& data = message->user_data.emplace();
    data.attributes.push_back(attribute("topic", topic));
    const std::span bytes(static_cast<const uint8_t*>(from.payload), size_t(std::max(from.payloadlen, 0)));
    stream::Delivery delivery{.received_ns = Clock::now().time_since_epoch().count()};
    if (!add_values(bytes, data.attributes) && !bytes.empty()) {
      delivery.payloads.push_back(stream::own({bytes.begin(), bytes.end()}));
      data.content = stream::part_content(delivery.payloads[0].bytes);
    }
    delivery.message = std::move(message);
    if (out_->deliver(std::move(delivery))) return;
    is_refused_ = true;
    not_taken(from);
  }

  // Counted where no broker brings it again: nothing is kept for a client without a name, and with QoS 2 it
  // has handed the message over already.
  void not_taken(const mosquitto_message& message) {
    if (params_.client_id.empty() || message.qos != 1) ++stopped_;
  }

  stream::Attribute attribute(const std::string& name, stream::Value value) const {
    return {.namespace_ = params_.namespace_, .name = name, .values = {{.value = std::move(value)}}};
  }

  // JSON becomes attributes: the keys of an object, or `value`. False: it is none, or holds what attributes
  // cannot.
  bool add_values(std::span<const uint8_t> bytes, std::vector<stream::Attribute>& attributes) const {
    const Json json = Json::parse(bytes.begin(), bytes.end(), nullptr, false);
    if (json.is_discarded()) return false;
    std::vector<stream::Attribute> made;
    if (!json.is_object()) {
      auto value = value_of(json);
      if (!value) return false;
      made.push_back(attribute("value", std::move(*value)));
    } else {
      for (const auto& [name, content] : json.items()) {
        auto value = value_of(content);
        if (!value || name.empty() || name.size() > 256 || made.size() + 1 >= most_attributes) return false;
        made.push_back(attribute(name == "topic" ? "payload.topic" : name, std::move(*value)));
      }
    }
    std::ranges::move(made, std::back_inserter(attributes));
    return true;
  }

  const MqttSourceParams params_;
  const ServerUrl url_;
  const stream::Uuid producer_ = stream::make_uuid_v7();
  MosquittoPtr client_;
  Deliver* out_ = nullptr;
  bool is_refused_ = false, is_subscribed_ = false;
  std::map<std::string, int64_t> seq_;  // of epoch_
  int64_t epoch_ = 0;
  std::mt19937_64 random_{std::random_device()()};
  std::atomic<uint64_t> bad_ids_ = 0, stopped_ = 0;
  std::atomic<bool> is_draining_ = false;
};

const ModuleSource registration("mqtt", &MqttSource::create);

}  // namespace
}  // namespace sightglass::adapters
