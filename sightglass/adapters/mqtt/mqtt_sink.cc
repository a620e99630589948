// Records to an MQTT 5 broker. What libmosquitto has been given, it sends again itself after a lost
// connection; so a record that is asked for again meanwhile is only waited for.
#include <mosquitto.h>
#include <mqtt_protocol.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <format>
#include <map>
#include <mutex>
#include <random>
#include <set>
#include <thread>
#include <utility>

#include "sightglass/adapters/module_adapter.h"
#include "sightglass/adapters/mqtt/client.h"
#include "sightglass/adapters/record_names.h"
#include "sightglass/stream/uuid.h"

namespace sightglass::adapters {
namespace {

constexpr auto first_pause = std::chrono::duration<double>(0.5),
               longest_pause = std::chrono::duration<double>(30);

std::string filled(std::string text, std::string_view name, std::string_view value) {
  for (size_t at = 0; (at = text.find(name, at)) != text.npos; at += value.size())
    text.replace(at, name.size(), value);
  return text;
}

// What the broker will never take, as opposed to what it does not take now, or not from us.
bool is_refused_for_good(int reason) {
  return reason == MQTT_RC_TOPIC_NAME_INVALID || reason == MQTT_RC_PACKET_TOO_LARGE ||
         reason == MQTT_RC_PAYLOAD_FORMAT_INVALID || reason == MQTT_RC_RETAIN_NOT_SUPPORTED ||
         reason == MQTT_RC_QOS_NOT_SUPPORTED;
}

class MqttSink final : public Sink {
 public:
  MqttSink(MqttSinkParams params, ServerUrl url) : params_(std::move(params)), url_(std::move(url)) {}

  static Result<std::unique_ptr<Sink>> create(const ParamSet& set, const SinkContext& context) {
    MqttSinkParams params = set.as<MqttSinkParams>();
    auto url = checked_mqtt(params, context.name, context.folder);
    if (!url) return forward_error(url);
    for (std::string* topic : {&params.topic, &params.state_topic}) {
      *topic = filled(*topic, "{module}", context.module.empty() ? context.name : context.module);
      if (topic->find_first_of("+#") != topic->npos)
        return fail(ErrorCode::invalid_argument, "{}: topic '{}': + and # are for readers", context.name,
                    *topic);
    }
    if (params.topic.empty()) return fail(ErrorCode::invalid_argument, "{}: topic is empty", context.name);
    return std::make_unique<MqttSink>(std::move(params), std::move(*url));
  }

  // A broker that is away is no error: it is waited for.
  Status start() override {
    auto made = make_mqtt_client(params_, url_, false, this);
    if (!made) return forward_error(made);
    client_ = std::move(*made);
    mosquitto* const client = client_.get();
    mosquitto_connect_v5_callback_set(client,
                                      [](mosquitto*, void* self, int reason, int, const mosquitto_property*) {
                                        static_cast<MqttSink*>(self)->connected(reason);
                                      });
    mosquitto_disconnect_v5_callback_set(client,
                                         [](mosquitto*, void* self, int reason, const mosquitto_property*) {
                                           static_cast<MqttSink*>(self)->disconnected(reason);
                                         });
    mosquitto_publish_v5_callback_set(
        client, [](mosquitto*, void* self, int message, int reason, const mosquitto_property*) {
          static_cast<MqttSink*>(self)->acknowledged(message, reason);
        });
    mosquitto_max_inflight_messages_set(client, 100);
    if (has_state()) {
      const std::string text = state("offline");
      mosquitto_will_set_v5(client, params_.state_topic.c_str(), int(text.size()), text.data(), 1, true,
                            nullptr);
    }
    mosquitto_threaded_set(client, true);
    thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
    return {};
  }

  Status write(std::span<const RecordRef> records, std::span<Stored> outcome) override {
    if (Status up = wait_connected(); !up) return up;
    forget_others(records);
    std::vector<int> messages(records.size(), none);
    for (size_t i = 0; i < records.size(); ++i) {
      const Record& record = *records[i];
      if (!is_wanted(record)) continue;
      if (const auto found = pending_.find(record.uuid); found != pending_.end()) {
        messages[i] = found->second;
        continue;
      }
      const int failed = publish(record, messages[i]);
      if (failed == MOSQ_ERR_SUCCESS) {
        pending_.emplace(record.uuid, messages[i]);
        continue;
      }
      messages[i] = none;
      const bool never = failed == MOSQ_ERR_OVERSIZE_PACKET || failed == MOSQ_ERR_PAYLOAD_SIZE ||
                         failed == MOSQ_ERR_INVAL || failed == MOSQ_ERR_MALFORMED_UTF8;
      outcome[i] = never ? Stored::never : Stored::retry;
    }
    return wait_acknowledged(records, messages, outcome);
  }

  void stop() override {
    if (!client_) return;
    if (is_connected_) {
      if (has_state()) publish_state("offline");
      mosquitto_disconnect_v5(client_.get(), MQTT_RC_NORMAL_DISCONNECTION, nullptr);
      std::unique_lock lock(mutex_);
      changed_.wait_for(lock, std::chrono::seconds(1), [&] { return !is_connected_; });
    }
    thread_ = {};
    client_.reset();
  }
  ~MqttSink() override { stop(); }

  void cancel() override {
    const std::lock_guard lock(mutex_);
    is_cancelled_ = true;
    changed_.notify_all();
  }

 private:
  static constexpr int none = -1;
  std::chrono::nanoseconds timeout() const {
    return std::chrono::nanoseconds(int64_t(params_.timeout * 1e9));
  }
  bool has_state() const { return params_.state && !params_.state_topic.empty(); }
  static std::string state(std::string_view text) { return std::format("{{\"state\":\"{}\"}}", text); }
  bool is_wanted(const Record& record) const {
    if (record.is_replay) return false;
    const bool is_state =
        record.kind == RecordKind::stream_update || record.kind == RecordKind::end_of_stream;
    return !is_state || params_.state;
  }

  // Records that were given up in the meantime. Messages are numbered anew after 65,535: no answer may stay.
  void forget_others(std::span<const RecordRef> records) {
    const std::lock_guard lock(mutex_);
    std::erase_if(pending_, [&](const auto& each) {
      if (std::ranges::contains(records, each.first, [](const RecordRef& record) { return record->uuid; }))
        return false;
      if (answers_.erase(each.second) == 0) own_.insert(each.second);
      return true;
    });
  }

  Status wait_connected() {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, timeout(), [&] { return is_connected_ || is_cancelled_; });
    if (is_cancelled_) return fail(ErrorCode::cancelled, "{}: given up", params_.url);
    if (is_connected_) return {};
    return fail(ErrorCode::io, "{}: not connected{}{}", params_.url, last_error_.empty() ? "" : ": ",
                last_error_);
  }

  int publish(const Record& record, int& message) {
    json_.clear();
    write_record_json(record, json_);
    std::string topic =
        filled(filled(params_.topic, "{source_id}", record.source_id), "{kind}", name_of(record.kind));
    const bool is_state =
        record.kind == RecordKind::stream_update || record.kind == RecordKind::end_of_stream;
    if (is_state) topic += "/state";
    MqttProperties properties;
    properties.byte(MQTT_PROP_PAYLOAD_FORMAT_INDICATOR, 1)
        .text(MQTT_PROP_CONTENT_TYPE, "application/json")
        .user("uuid", stream::to_string(record.uuid))
        .user("source_id", record.source_id)
        .user("kind", name_of(record.kind));
    return mosquitto_publish_v5(client_.get(), &message, topic.c_str(), int(json_.size()), json_.data(),
                                int(params_.qos), params_.retain || is_state, properties.get());
  }

  void publish_state(std::string_view text) {
    const std::string payload = state(text);
    int message = none;
    const std::lock_guard lock(mutex_);  // the answer comes behind it
    const int failed = mosquitto_publish_v5(client_.get(), &message, params_.state_topic.c_str(),
                                            int(payload.size()), payload.data(), 1, true, nullptr);
    if (failed == MOSQ_ERR_SUCCESS) own_.insert(message);
  }

  Status wait_acknowledged(std::span<const RecordRef> records, const std::vector<int>& messages,
                           std::span<Stored> outcome) {
    std::unique_lock lock(mutex_);
    const auto is_complete = [&] {
      for (const int message : messages)
        if (message != none && !answers_.contains(message)) return false;
      return true;
    };
    changed_.wait_for(lock, timeout(), [&] { return is_cancelled_ || is_complete(); });
    size_t stored = 0;
    int refusal = 0;
    for (size_t i = 0; i < messages.size(); ++i) {
      if (messages[i] == none) continue;
      const auto answer = answers_.find(messages[i]);
      if (answer == answers_.end()) {
        outcome[i] = Stored::retry;
        continue;
      }
      const int reason = answer->second;
      answers_.erase(answer);
      pending_.erase(records[i]->uuid);
      outcome[i] = reason < 0x80 ? Stored::yes : is_refused_for_good(reason) ? Stored::never : Stored::retry;
      stored += outcome[i] != Stored::retry;
      if (reason >= 0x80) refusal = reason;
    }
    if (refusal) last_error_ = mosquitto_reason_string(refusal);
    const bool is_any_left = std::ranges::any_of(outcome, [](Stored each) { return each == Stored::retry; });
    if (!is_any_left || stored > 0) return {};
    return fail(ErrorCode::io, "{}: not acknowledged{}{}", params_.url, last_error_.empty() ? "" : ": ",
                last_error_);
  }

  // --- on the client's thread

  // libmosquitto's own loop ends at what it takes for an error of the program, such as a broker that answers
  // nonsense; this one does not.
  void run(const std::stop_token& stop) {
    // libmosquitto writes to connections that the broker has closed.
    sigset_t pipes;
    sigemptyset(&pipes);
    sigaddset(&pipes, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipes, nullptr);
    std::mt19937_64 random{std::random_device()()};
    auto pause = first_pause;
    while (!stop.stop_requested()) {
      int state =
          mosquitto_connect_async(client_.get(), url_.host.c_str(), url_.port, int(params_.keep_alive));
      while (state == MOSQ_ERR_SUCCESS && !stop.stop_requested()) {
        state = mosquitto_loop(client_.get(), 100, 1);
        if (is_connected_) pause = first_pause;
      }
      disconnected(state);
      // 20 % more or less, so that not all come back at once.
      const double jitter = std::uniform_real_distribution<>(0.8, 1.2)(random);
      std::unique_lock lock(mutex_);
      stopped_.wait_for(lock, stop, pause * jitter, [] { return false; });
      pause = std::min(pause * 2, longest_pause);
    }
  }

  void connected(int reason) {
    {
      const std::lock_guard lock(mutex_);
      is_connected_ = reason == 0;
      last_error_ = reason == 0 ? "" : mosquitto_reason_string(reason);
      changed_.notify_all();
    }
    if (reason == 0 && has_state()) publish_state("online");
  }
  void disconnected(int reason) {
    const std::lock_guard lock(mutex_);
    is_connected_ = false;
    changed_.notify_all();
    // What the broker has said before says more.
    if (reason != 0 && last_error_.empty()) last_error_ = mosquitto_strerror(reason);
  }
  void acknowledged(int message, int reason) {
    const std::lock_guard lock(mutex_);
    if (own_.erase(message) > 0) return;
    answers_[message] = reason;
    changed_.notify_all();
  }

  const MqttSinkParams params_;
  const ServerUrl url_;
  MosquittoPtr client_;
  std::string json_;
  std::map<stream::Uuid, int> pending_;  // given to libmosquitto, not acknowledged; of write() only

  std::mutex mutex_;
  std::condition_variable changed_;
  std::condition_variable_any stopped_;
  std::map<int, int> answers_;  // message → reason
  std::set<int> own_;           // messages whose answer nobody waits for
  std::atomic<bool> is_connected_ = false;
  bool is_cancelled_ = false;
  std::string last_error_;
  std::jthread thread_;
};

const ModuleSink registration("mqtt", &MqttSink::create);

}  // namespace
}  // namespace sightglass::adapters
