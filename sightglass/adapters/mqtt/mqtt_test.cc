// The sink and the source `mqtt` against a real broker.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <mosquitto.h>
#include <mqtt_protocol.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <fstream>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>
#include <nlohmann/json.hpp>

#include "sightglass/adapters/sink_test_support.h"
#include "tests/servers/server_process.h"

namespace sightglass::adapters {
namespace {

using sightglass::test::eventually;
using sightglass::test::ServerProcess;
using sightglass::test::TestCertificates;
using test::Settings;
using testing::HasSubstr;

std::string url_of(const ServerProcess& server) { return "mqtt://" + server.address(); }

// A client of the test's own: what comes on a topic, with the uuid that travels beside it.
class Reader {
 public:
  struct Got {
    std::string topic, uuid, payload;
    bool retained = false;
  };
  explicit Reader(const ServerProcess& server, const char* topic = "#", const char* id = nullptr)
      : topic_(topic) {
    mosquitto_lib_init();
    client_ = mosquitto_new(id, id == nullptr, this);
    mosquitto_int_option(client_, MOSQ_OPT_PROTOCOL_VERSION, MQTT_PROTOCOL_V5);
    mosquitto_reconnect_delay_set(client_, 1, 1, false);
    mosquitto_connect_v5_callback_set(
        client_, [](mosquitto* client, void* self, int, int, const mosquitto_property*) {
          mosquitto_subscribe(client, nullptr, static_cast<Reader*>(self)->topic_, 1);
        });
    mosquitto_subscribe_callback_set(client_, [](mosquitto*, void* self, int, int, const int*) {
      auto& reader = *static_cast<Reader*>(self);
      const std::lock_guard lock(reader.mutex_);
      reader.is_subscribed_ = true;
    });
    mosquitto_message_v5_callback_set(client_, [](mosquitto*, void* self, const mosquitto_message* message,
                                                  const mosquitto_property* properties) {
      static_cast<Reader*>(self)->add(*message, properties);
    });
    mqtt5__property* properties = nullptr;
    if (id) mosquitto_property_add_int32(&properties, MQTT_PROP_SESSION_EXPIRY_INTERVAL, 600);
    mosquitto_connect_bind_v5(client_, "127.0.0.1", server.port(), 5, nullptr, properties);
    mosquitto_property_free_all(&properties);
    mosquitto_loop_start(client_);
    EXPECT_TRUE(eventually([this] {
      const std::lock_guard lock(mutex_);
      return is_subscribed_;
    }));
  }
  ~Reader() {
    mosquitto_disconnect(client_);
    mosquitto_loop_stop(client_, true);
    mosquitto_destroy(client_);
  }
  void publish(const char* topic, const std::string& payload) {
    mosquitto_publish(client_, nullptr, topic, int(payload.size()), payload.data(), 1, false);
  }
  std::vector<Got> all() const {
    const std::lock_guard lock(mutex_);
    return all_;
  }
  std::set<std::string> uuids() const {
    std::set<std::string> found;
    for (const Got& got : all())
      if (!got.uuid.empty()) found.insert(got.uuid);
    return found;
  }

 private:
  void add(const mosquitto_message& message, const mosquitto_property* properties) {
    Got got{.topic = message.topic,
            .payload = {static_cast<const char*>(message.payload), size_t(message.payloadlen)},
            .retained = message.retain};
    char *name = nullptr, *value = nullptr;
    for (bool again = false;; again = true) {
      properties =
          mosquitto_property_read_string_pair(properties, MQTT_PROP_USER_PROPERTY, &name, &value, again);
      if (!properties) break;
      if (std::string(name) == "uuid") got.uuid = value;
      free(name), free(value);
    }
    const std::lock_guard lock(mutex_);
    all_.push_back(std::move(got));
  }

  const char* const topic_;
  mosquitto* client_ = nullptr;
  mutable std::mutex mutex_;
  bool is_subscribed_ = false;
  std::vector<Got> all_;
};

std::set<std::string> uuids(const std::vector<RecordRef>& records) {
  std::set<std::string> found;
  for (const auto& record : records) found.insert(stream::to_string(record->uuid));
  return found;
}

std::string write_file(const std::filesystem::path& path, const std::string& text) {
  std::ofstream(path) << text << '\n';
  return path;
}

TEST(MqttSink, RecordsComeWithTheirUuid) {
  auto server = ServerProcess::mosquitto();
  Reader reader(server, "plant/#");
  auto sink = test::open_sink("mqtt", {{"url", url_of(server)}, {"topic", "plant/{source_id}/{kind}"}});
  const auto records = test::frames("cam-1", 100);
  EXPECT_EQ(test::store_all(*sink, records), 0u);
  EXPECT_TRUE(eventually([&] { return reader.all().size() == 100; }));
  const auto got = reader.all();
  for (size_t i = 0; i < got.size(); ++i) {
    EXPECT_EQ(got[i].uuid, stream::to_string(records[i]->uuid));
    EXPECT_EQ(got[i].topic, "plant/cam-1/frame");
    EXPECT_EQ(nlohmann::json::parse(got[i].payload)["seq"], int(i));
    EXPECT_FALSE(got[i].retained);
  }
}

TEST(MqttSink, StatesAreKeptAndTheLastWillTellsOfADeath) {
  auto server = ServerProcess::mosquitto();
  auto proxy = ServerProcess::script("fault_proxy.py", {"--to", server.address()});
  auto sink = test::open_sink("mqtt", {{"url", "mqtt://" + proxy.address()}});
  EXPECT_EQ(test::store_all(*sink, {test::frame("cam-1", 0), test::note("cam-1", stream::EndReason::idle)}),
            0u);
  // Who comes later still learns of it.
  Reader reader(server);
  const auto last = [&](const std::string& topic) {
    std::string payload;
    for (const auto& got : reader.all())
      if (got.topic == topic) payload = got.payload;
    return payload;
  };
  EXPECT_TRUE(eventually([&] { return !last("sightglass/cam-1/state").empty(); }));
  EXPECT_THAT(last("sightglass/cam-1/state"), HasSubstr("\"idle\""));
  EXPECT_TRUE(eventually([&] { return last("sightglass/test") == R"({"state":"online"})"; }));
  proxy.control("set", {{"refuse", true}});
  proxy.control("reset");
  EXPECT_TRUE(eventually([&] { return last("sightglass/test") == R"({"state":"offline"})"; }));
  EXPECT_TRUE(last("sightglass/cam-1").empty());  // records are not kept
}

TEST(MqttSink, PasswordsComeFromFiles) {
  sightglass::test::TemporaryFolder folder;
  const std::string passwords = folder.path() / "users";
  ASSERT_EQ(std::system(("mosquitto_passwd -c -b " + passwords + " me hunter2 2>/dev/null").c_str()), 0);
  auto server = ServerProcess::mosquitto("allow_anonymous false\npassword_file " + passwords + "\n");
  const auto file = write_file(folder.path() / "secret", "hunter2");
  auto sink = test::open_sink("mqtt", {{"url", url_of(server)}, {"user", "me"}, {"password-file", file}});
  EXPECT_EQ(test::store_all(*sink, test::frames("a", 5)), 0u);

  const auto wrong = write_file(folder.path() / "wrong", "letmein");
  auto refused = test::open_sink(
      "mqtt", {{"url", url_of(server)}, {"user", "me"}, {"password-file", wrong}, {"timeout", "1"}});
  std::vector<Stored> outcome(1);
  const Status status = refused->write(test::frames("a", 1), outcome);
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().message,
              testing::AllOf(HasSubstr("uthori"), testing::Not(HasSubstr("letmein"))));
}

TEST(MqttSink, SpeaksTls) {
  const TestCertificates certificates;
  const int port = sightglass::test::free_port();
  auto server = ServerProcess::mosquitto("listener " + std::to_string(port) + " 127.0.0.1\ncafile " +
                                         certificates.path("ca.pem") + "\ncertfile " +
                                         certificates.path("server.pem") + "\nkeyfile " +
                                         certificates.path("server.key") + "\nrequire_certificate true\n");
  Reader reader(server, "sightglass/+");
  const std::string url = "mqtts://127.0.0.1:" + std::to_string(port);
  const auto settings = [&](const char* authority) {
    return Settings{{"url", url},
                    {"timeout", "2"},
                    {"tls-ca", certificates.path(authority)},
                    {"tls-cert", certificates.path("client.pem")},
                    {"tls-key", certificates.path("client.key")}};
  };
  auto sink = test::open_sink("mqtt", settings("ca.pem"));
  const auto records = test::frames("cam", 20);
  EXPECT_EQ(test::store_all(*sink, records), 0u);
  EXPECT_TRUE(eventually([&] { return reader.uuids() == uuids(records); }));
  auto refused = test::open_sink("mqtt", settings("other-ca.pem"));
  std::vector<Stored> outcome(1);
  EXPECT_FALSE(refused->write(test::frames("a", 1), outcome));
  auto missing = test::make_sink("mqtt", {{"url", url}, {"tls-ca", "/nowhere.pem"}});
  const Status started = (*missing)->start();
  EXPECT_FALSE(started);
}

TEST(MqttSink, BadOptionsAreNamed) {
  const auto message = [](const Settings& settings) {
    return test::make_sink("mqtt", settings).error().message;
  };
  EXPECT_THAT(message({}), HasSubstr("url is missing"));
  EXPECT_THAT(message({{"url", "tcp://host"}}), HasSubstr("mqtts://host:8883"));
  EXPECT_THAT(message({{"url", "mqtt://me:pw@host"}}), HasSubstr("password-file"));
  EXPECT_THAT(message({{"url", "mqtt://host"}, {"topic", "a/#"}}), HasSubstr("'a/#'"));
  EXPECT_THAT(message({{"url", "mqtt://host"}, {"qos", "3"}}), HasSubstr("qos"));
  EXPECT_THAT(message({{"url", "mqtt://host"}, {"password-file", "/nowhere"}}),
              HasSubstr("password-file: the file /nowhere cannot be read"));
  EXPECT_THAT(message({{"url", "mqtts://host"}, {"tls-server-name", "other"}}), HasSubstr("tls-server-name"));
}

// --- faults; tests/adapters/sink_faults_test.cc has those of the server

class MqttFaults : public testing::Test {
 protected:
  std::unique_ptr<Sink> open() {
    return test::open_sink("mqtt",
                           {{"url", "mqtt://" + proxy.address()}, {"timeout", "1"}, {"keep-alive", "5"}});
  }
  // The reader's session outlives the broker, which keeps what it has acknowledged.
  ServerProcess server =
      ServerProcess::mosquitto("max_queued_messages 0\nautosave_interval 1\nautosave_on_changes true\n");
  ServerProcess proxy = ServerProcess::script("fault_proxy.py", {"--to", server.address()});
  std::vector<RecordRef> records = test::frames("cam-1", 2000);

  void expect_all(const Reader& reader) {
    const auto expected = uuids(records);
    EXPECT_TRUE(eventually([&] { return reader.uuids().size() >= expected.size(); }));
    EXPECT_EQ(reader.uuids(), expected);
  }
};

TEST_F(MqttFaults, NothingIsLostOrInventedWhenConnectionsBreak) {
  Reader reader(server, "sightglass/cam-1");
  auto sink = open();
  proxy.control("set", {{"cut_after", 60'000}, {"times", 4}});
  test::store_all(*sink, records);
  expect_all(reader);
}

// --- source

class Collected final : public Deliver {
 public:
  bool deliver(stream::Delivery delivery) override {
    const std::lock_guard lock(mutex_);
    all_.push_back(std::move(delivery));
    return true;
  }
  std::unique_ptr<Deliver> another() override { return nullptr; }
  std::vector<stream::Delivery> all() const {
    const std::lock_guard lock(mutex_);
    return all_;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<stream::Delivery> all_;
};

std::unique_ptr<Source> open_source(const Settings& settings) {
  const SourceDesc* desc = find_source("mqtt");
  ParamSet params(desc->params);
  for (const auto& [key, value] : settings) EXPECT_TRUE(params.set_text(key, value));
  auto source = desc->create(params, {.name = "sensors"});
  EXPECT_TRUE(source) << source.error().message;
  EXPECT_TRUE((*source)->start());
  return std::move(*source);
}

TEST(MqttSource, MessagesBecomeUserData) {
  auto server = ServerProcess::mosquitto();
  auto source =
      open_source({{"url", url_of(server)}, {"topics", "sensors/+/lux"}, {"source-id", "gate-{1}"}});
  Collected out;
  std::jthread runner([&](std::stop_token stop) { EXPECT_TRUE(source->run(out, stop)); });
  Reader reader(server);
  // Until it has subscribed.
  EXPECT_TRUE(eventually([&] {
    reader.publish("sensors/north/lux", R"({"lux": 31.5, "on": true, "name": "a"})");
    return !out.all().empty();
  }));
  reader.publish("sensors/south/lux", "42");
  reader.publish("sensors/south/lux", std::string("\xff\x00\x01", 3));
  reader.publish("other/south/lux", "1");
  EXPECT_TRUE(eventually([&] { return !out.all().back().payloads.empty(); }));
  const auto all = out.all();
  const stream::Message& first = *all[0].message;
  EXPECT_EQ(first.source_id, "gate-north");
  std::map<std::string, stream::Value> values;
  for (const auto& each : first.user_data->attributes)
    values[each.namespace_ + "." + each.name] = each.values[0].value;
  EXPECT_EQ(std::get<double>(values["mqtt.lux"]), 31.5);
  EXPECT_EQ(std::get<bool>(values["mqtt.on"]), true);
  EXPECT_EQ(std::get<std::string>(values["mqtt.topic"]), "sensors/north/lux");
  EXPECT_EQ(all.back().message->source_id, "gate-south");
  EXPECT_EQ(all.back().message->seq, 1);
  EXPECT_EQ(all.back().payloads[0].bytes.size(), 3u);
  EXPECT_EQ(std::get<stream::Part>(all.back().message->user_data->content).size, 3);
}

TEST(MqttSource, SpeaksTls) {
  const TestCertificates certificates;
  const int port = sightglass::test::free_port();
  auto server =
      ServerProcess::mosquitto("listener " + std::to_string(port) + " 127.0.0.1\ncafile " +
                               certificates.path("ca.pem") + "\ncertfile " + certificates.path("server.pem") +
                               "\nkeyfile " + certificates.path("server.key") + "\n");
  Reader reader(server);
  auto source = open_source({{"url", "mqtts://127.0.0.1:" + std::to_string(port)},
                             {"topics", "t"},
                             {"tls-ca", certificates.path("ca.pem")}});
  Collected out;
  std::jthread runner([&](std::stop_token stop) { EXPECT_TRUE(source->run(out, stop)); });
  // More than one record of TLS holds.
  const std::string large(100'000, 'x');
  EXPECT_TRUE(eventually([&] {
    reader.publish("t", large);
    return out.all().size() >= 3;
  }));
  EXPECT_EQ(out.all()[0].payloads[0].bytes.size(), large.size());
}

TEST(MqttSource, ComesBackAndGetsWhatWasKeptForIt) {
  auto server = ServerProcess::mosquitto();
  auto proxy = ServerProcess::script("fault_proxy.py", {"--to", server.address()});
  auto source =
      open_source({{"url", "mqtt://" + proxy.address()}, {"topics", "t/#"}, {"client-id", "module-1"}});
  Collected out;
  std::jthread runner([&](std::stop_token stop) { EXPECT_TRUE(source->run(out, stop)); });
  Reader reader(server);
  EXPECT_TRUE(eventually([&] {
    reader.publish("t/a", "0");
    return !out.all().empty();
  }));
  proxy.control("set", {{"refuse", true}});
  proxy.control("reset");
  const size_t before = out.all().size();
  for (int i = 1; i <= 50; ++i) reader.publish("t/b", std::to_string(i));
  proxy.control("clear");
  EXPECT_TRUE(eventually([&] { return out.all().size() >= before + 50; }));
  std::set<int64_t> numbers;
  for (const auto& each : out.all())
    for (const auto& attribute : each.message->user_data->attributes)
      if (attribute.name == "value") numbers.insert(std::get<int64_t>(attribute.values[0].value));
  EXPECT_EQ(numbers.size(), 51u);
}

// Takes some, then holds the next one until it is stopped.
class FullAfter final : public Deliver {
 public:
  FullAfter(size_t room, std::stop_token stop) : room_(room), stop_(std::move(stop)) {}
  bool deliver(stream::Delivery delivery) override {
    std::unique_lock lock(mutex_);
    if (taken_.size() < room_) {
      taken_.push_back(value_of(delivery));
      return true;
    }
    is_waiting_ = true;
    changed_.wait(lock, stop_, [] { return false; });
    return false;
  }
  std::unique_ptr<Deliver> another() override { return nullptr; }
  bool is_waiting() const { return is_waiting_; }
  std::vector<int64_t> taken() const {
    const std::lock_guard lock(mutex_);
    return taken_;
  }

 private:
  static int64_t value_of(const stream::Delivery& delivery) {
    for (const auto& attribute : delivery.message->user_data->attributes)
      if (attribute.name == "value") return std::get<int64_t>(attribute.values[0].value);
    return -1;
  }

  const size_t room_;
  const std::stop_token stop_;
  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  std::vector<int64_t> taken_;
  std::atomic<bool> is_waiting_{false};
};

// What one run of a source takes of `count` messages that the broker has, before it is stopped; it has room
// for `room` of them. And what it says that is lost.
struct Taken {
  std::vector<int64_t> values;
  uint64_t lost = 0;
};
Taken take_some(
    const Settings& settings, size_t room, bool is_held, const std::function<void()>& publish = [] {}) {
  auto source = open_source(settings);
  std::stop_source stop;
  FullAfter out(room, stop.get_token());
  std::jthread runner([&] { EXPECT_TRUE(source->run(out, stop.get_token())); });
  EXPECT_TRUE(eventually([&] {
    publish();
    return is_held ? out.is_waiting() : out.taken().size() == room;
  }));
  stop.request_stop();
  runner.join();
  const auto counts = source->rejected();
  return {out.taken(), counts.contains("stopped") ? counts.at("stopped") : 0};
}

TEST(MqttSource, MessageThatWaitsForRoomWhenItStopsComesAgain) {
  auto server = ServerProcess::mosquitto();
  Reader reader(server);
  const Settings settings{{"url", url_of(server)}, {"topics", "t"}, {"client-id", "module-1"}};
  // The broker knows the session from now on.
  take_some(settings, 1, false, [&] { reader.publish("t", "0"); });
  for (int i = 1; i <= 20; ++i) reader.publish("t", std::to_string(i));
  EXPECT_TRUE(eventually([&] { return reader.all().size() >= 21; }));
  std::set<int64_t> values;
  for (int stops = 0; stops < 4; ++stops) {
    const Taken taken = take_some(settings, 4, true);
    values.insert(taken.values.begin(), taken.values.end());
    EXPECT_EQ(taken.lost, 0u);
  }
  auto source = open_source(settings);
  Collected rest;
  std::jthread runner([&](std::stop_token stop) { EXPECT_TRUE(source->run(rest, stop)); });
  EXPECT_TRUE(eventually([&] {
    for (const auto& each : rest.all())
      for (const auto& attribute : each.message->user_data->attributes)
        if (attribute.name == "value") values.insert(std::get<int64_t>(attribute.values[0].value));
    return values.contains(20);
  }));
  values.erase(0);
  EXPECT_EQ(values.size(), 20u);
}

TEST(MqttSource, MessagesThatNobodyBringsAgainAreCountedWhenItStops) {
  auto server = ServerProcess::mosquitto();
  Reader reader(server);
  const auto lost = [&](const Settings& more) {
    Settings settings{{"url", url_of(server)}, {"topics", "t"}};
    settings.insert(settings.end(), more.begin(), more.end());
    return take_some(settings, 0, true, [&] { reader.publish("t", "1"); }).lost;
  };
  EXPECT_GE(lost({}), 1u);  // a client without a name
  EXPECT_GE(lost({{"client-id", "module-1"}, {"qos", "0"}}), 1u);
}

TEST(MqttSource, BadOptionsAreNamed) {
  const auto message = [](const Settings& settings) {
    const SourceDesc* desc = find_source("mqtt");
    ParamSet params(desc->params);
    for (const auto& [key, value] : settings) EXPECT_TRUE(params.set_text(key, value));
    auto source = desc->create(params, {.name = "sensors"});
    return source ? std::string("none") : source.error().message;
  };
  EXPECT_THAT(message({{"url", "mqtt://host"}}), HasSubstr("topics is missing"));
  EXPECT_THAT(message({{"url", "mqtt://host"}, {"topics", "a/#/b"}}), HasSubstr("'a/#/b'"));
  EXPECT_THAT(message({{"url", "mqtt://host"}, {"topics", "a"}, {"source-id", "../x"}}),
              HasSubstr("source id"));
}

}  // namespace
}  // namespace sightglass::adapters
