// Each server that sinks write to is stopped, paused, restarted and answers garbage while 10,000 records flow
// through the queue of a module: none is lost, none is invented, what the store has twice has one key, and
// memory is bounded. So it is while the clock of this process jumps. Redis and mosquitto are real; the others
// are doubles that keep what they acknowledged.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <hiredis/hiredis.h>
#include <mosquitto.h>
#include <mqtt_protocol.h>
#include <openssl/evp.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <format>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>
#include <nlohmann/json.hpp>

#include "sightglass/adapters/sink_flow_test_support.h"
#include "tests/adapters/jumping_clock.h"
#include "tests/adapters/resident.h"
#include "tests/long_form.h"

namespace sightglass::adapters {
namespace {

using Json = nlohmann::json;
using test::eventually;
using test::ServerProcess;
using testing::Options;
using Keys = std::map<std::string, int>;  // uuid → how often it is there
using namespace std::chrono_literals;

constexpr int all_records = 10'000;
constexpr size_t mood_bytes = 4096;          // 40 MB in all, many times what may stay
constexpr size_t most_growth = 24ull << 20;  // of the memory of this process, meanwhile

// A server and the sink that writes to it through a proxy.
class Store {
 public:
  virtual ~Store() = default;
  virtual const char* sink() const = 0;
  virtual Options options() const = 0;
  virtual Keys keys() = 0;
  // MongoDB's double takes its time.
  virtual int records() const { return all_records; }
  // Whether it has each key once, whatever happens; else readers tell repeats by the key.
  virtual bool has_each_once() const { return true; }
  virtual void kill() { server().kill(); }
  ServerProcess& server() { return *server_; }
  ServerProcess& proxy() { return proxy_; }

 protected:
  void set(ServerProcess server) {
    server_.emplace(std::move(server));
    proxy_.control("set", {{"to", server_->address()}});
  }
  ServerProcess double_of(const char* name, std::vector<std::string> more = {}) const {
    more.insert(more.end(), {"--data", (folder_.path() / "data").string()});
    return ServerProcess::script(name, std::move(more));
  }
  const ServerProcess& server() const { return *server_; }
  std::string address() const { return proxy_.address(); }

 private:
  test::TemporaryFolder folder_;
  ServerProcess proxy_ = ServerProcess::script("fault_proxy.py", {"--to", "127.0.0.1:1"});
  std::optional<ServerProcess> server_;
};

class Redis final : public Store {
 public:
  Redis() { set(ServerProcess::redis()); }
  const char* sink() const override { return "redis"; }
  Options options() const override {
    return {{"url", "redis://" + address()}, {"length", "0"}, {"timeout", "0.5"}};
  }
  Keys keys() override {
    const std::unique_ptr<redisContext, decltype(&redisFree)> client(
        redisConnect("127.0.0.1", server().port()), &redisFree);
    const std::unique_ptr<void, decltype(&freeReplyObject)> answer(
        redisCommand(client.get(), "XRANGE sightglass - +"), &freeReplyObject);
    const auto& all = *static_cast<redisReply*>(answer.get());
    Keys keys;
    for (size_t i = 0; i < all.elements; ++i) ++keys[all.element[i]->element[1]->element[1]->str];
    return keys;
  }
};

// Read by a session that outlives the broker, which keeps what it has acknowledged when it ends orderly.
class Mqtt final : public Store {
 public:
  Mqtt() {
    set(ServerProcess::mosquitto("max_queued_messages 0\n"));
    mosquitto_lib_init();
    client_ = mosquitto_new("reader", false, this);
    mosquitto_int_option(client_, MOSQ_OPT_PROTOCOL_VERSION, MQTT_PROTOCOL_V5);
    mosquitto_reconnect_delay_set(client_, 1, 1, false);
    mosquitto_connect_v5_callback_set(client_,
                                      [](mosquitto* client, void*, int, int, const mosquitto_property*) {
                                        mosquitto_subscribe(client, nullptr, "sightglass/+", 1);
                                      });
    mosquitto_subscribe_callback_set(client_, [](mosquitto*, void* self, int, int, const int*) {
      static_cast<Mqtt*>(self)->is_subscribed_ = true;
    });
    mosquitto_message_v5_callback_set(
        client_, [](mosquitto*, void* self, const mosquitto_message*, const mosquitto_property* properties) {
          static_cast<Mqtt*>(self)->add(properties);
        });
    mqtt5__property* properties = nullptr;
    mosquitto_property_add_int32(&properties, MQTT_PROP_SESSION_EXPIRY_INTERVAL, 600);
    mosquitto_connect_bind_v5(client_, "127.0.0.1", server().port(), 5, nullptr, properties);
    mosquitto_property_free_all(&properties);
    mosquitto_loop_start(client_);
    EXPECT_TRUE(eventually([this] { return is_subscribed_.load(); }));
  }
  ~Mqtt() override {
    mosquitto_disconnect(client_);
    mosquitto_loop_stop(client_, true);
    mosquitto_destroy(client_);
  }
  const char* sink() const override { return "mqtt"; }
  Options options() const override {
    return {{"url", "mqtt://" + address()}, {"timeout", "1"}, {"keep-alive", "5"}};
  }
  Keys keys() override {
    EXPECT_TRUE(eventually([this] { return size() >= size_t(records()); }));
    const std::lock_guard lock(mutex_);
    return keys_;
  }
  bool has_each_once() const override { return false; }
  void kill() override { server().stop(); }

 private:
  size_t size() {
    const std::lock_guard lock(mutex_);
    return keys_.size();
  }
  void add(const mosquitto_property* properties) {
    char *name = nullptr, *value = nullptr;
    for (bool again = false;; again = true) {
      properties =
          mosquitto_property_read_string_pair(properties, MQTT_PROP_USER_PROPERTY, &name, &value, again);
      if (!properties) break;
      if (std::string_view(name) == "uuid") {
        const std::lock_guard lock(mutex_);
        ++keys_[value];
      }
      free(name), free(value);
    }
  }

  mosquitto* client_ = nullptr;
  std::atomic<bool> is_subscribed_ = false;
  std::mutex mutex_;
  Keys keys_;
};

class Mongodb final : public Store {
 public:
  Mongodb() { set(double_of("mongodb_double.py", {"--advertise", address()})); }
  const char* sink() const override { return "mongodb"; }
  int records() const override { return test::long_or<int>(all_records, 3'000); }
  Options options() const override {
    return {{"url", "mongodb://" + address()}, {"database", "faults"}, {"timeout", "1"}};
  }
  Keys keys() override {
    Keys keys;
    for (const Json& id : server().control("ids", {{"namespace", "faults.frames"}})) ++keys[id];
    EXPECT_EQ(server().control("ids", {{"namespace", "faults.objects"}}).size(), size_t(records()));
    return keys;
  }
};

class Elasticsearch final : public Store {
 public:
  Elasticsearch() { set(double_of("elasticsearch_double.py")); }
  const char* sink() const override { return "elasticsearch"; }
  Options options() const override {
    return {{"url", "http://" + address()}, {"index", "faults"}, {"timeout", "1"}};
  }
  Keys keys() override {
    Keys keys, objects;
    for (const Json& index : server().control("ids", {{"index", "faults-frames-*"}}))
      for (const Json& id : index) ++keys[id];
    for (const Json& index : server().control("ids", {{"index", "faults-objects-*"}}))
      for (const Json& id : index) ++objects[id];
    EXPECT_EQ(objects.size(), size_t(records()));
    return keys;
  }
};

class Webhook final : public Store {
 public:
  Webhook() { set(double_of("webhook_double.py")); }
  const char* sink() const override { return "webhook"; }
  Options options() const override { return {{"url", "http://" + address() + "/hook"}, {"timeout", "1"}}; }
  // The double keeps one request per idempotency key; a batch that comes again has the key that it had.
  Keys keys() override {
    Keys keys;
    for (const Json& record : server().control("records")) ++keys[record["uuid"]];
    return keys;
  }
};

class Kafka final : public Store {
 public:
  Kafka() {
    set(double_of("kafka_double.py", {"--advertise", address()}));
    server().control("topic", {{"topic", "faults"}, {"partitions", 3}});
  }
  const char* sink() const override { return "kafka"; }
  Options options() const override {
    return {{"brokers", address()}, {"topic", "faults"},
            {"format", "json"},     {"compression", "none"},
            {"send-timeout", "1"},  {"options", "socket.timeout.ms=2000,request.timeout.ms=1500"}};
  }
  Keys keys() override {
    Keys keys;
    const Json all = server().control("records", {{"topic", "faults"}});
    for (const Json& record : all["records"]) {
      const std::string encoded = record["headers"]["uuid"];
      std::string uuid(encoded.size(), 0);
      (void)EVP_DecodeBlock(reinterpret_cast<unsigned char*>(uuid.data()),
                            reinterpret_cast<const unsigned char*>(encoded.data()), int(encoded.size()));
      ++keys[uuid.substr(0, 36)];
    }
    return keys;
  }
  // An answer that makes no sense may cost librdkafka its session, and a new one repeats.
  bool has_each_once() const override { return false; }
};

struct System {
  const char* name;
  std::unique_ptr<Store> (*open)();
};
template <class T>
std::unique_ptr<Store> open() {
  return std::make_unique<T>();
}

// 10,000 records on their way into a store, in four parts: a part begins when the test lets it.
class Stream {
 public:
  explicit Stream(Store& store)
      : store_(store),
        flow_(store.sink(), store.options(), folder_.path(), 200),
        allowed_(store.records() / 4),
        giver_([this] { give(); }) {}
  ~Stream() {  // early, where a server does not do what it is told
    is_over_ = true;
    allowed_ = store_.records();
    allowed_.notify_all();
  }

  // Most of the parts up to this one are stored, and those of the next may be given: while something goes
  // wrong, there is something to be written.
  void reach(int part) {
    const uint64_t wanted = uint64_t(store_.records()) * uint64_t(part) / 4 - 500;
    EXPECT_TRUE(eventually([&] { return flow_.status().delivered >= wanted; }, 60s)) << wanted;
    allowed_ = store_.records() * (part + 1) / 4;
    allowed_.notify_all();
  }
  void has_failed(int times = 1) {
    const uint64_t wanted = flow_.status().retries + uint64_t(times);
    EXPECT_TRUE(eventually([&] { return flow_.status().retries >= wanted; }, 30s));
  }
  void expect_all() {
    giver_.join();
    ASSERT_TRUE(flow_.wait_stored()) << flow_.status().last_error;
    const Keys keys = store_.keys();
    size_t invented = 0, repeats = 0;
    for (const auto& [key, times] : keys) {
      invented += !flow_.uuids().contains(key);
      repeats += size_t(times - 1);
    }
    EXPECT_EQ(unsorted_, 0u) << "keys sort by age, whatever the clock does";
    EXPECT_EQ(invented, 0u);
    EXPECT_EQ(keys.size() - invented, flow_.uuids().size()) << "lost";
    EXPECT_TRUE(repeats == 0 || !store_.has_each_once()) << repeats;
    EXPECT_EQ(flow_.status().dead_letters, 0u);
    EXPECT_LE(flow_.most_queued(), 700u);
    EXPECT_LT(memory_.growth(), most_growth);
    ::testing::Test::RecordProperty("repeats", int(repeats));
    ::testing::Test::RecordProperty("grew_by_kib", int(memory_.growth() >> 10));
  }

 private:
  void give() {
    const std::string mood(mood_bytes, 'm');
    const int records = store_.records();
    stream::Uuid last{};
    for (int i = 0; i < records && !is_over_; ++i) {
      for (int allowed = allowed_; i >= allowed; allowed = allowed_) allowed_.wait(allowed);
      if (i == records / 4) memory_.begin();  // all that is needed once is there
      if (i % 50 == 0) memory_.look();
      const RecordRef record =
          testing::frame_record({.source_id = i % 2 ? "odd" : "even", .seq = i, .mood = mood});
      unsorted_ += record->uuid <= last;
      last = record->uuid;
      flow_.give(record);
    }
  }

  Store& store_;
  test::TemporaryFolder folder_;
  testing::Flow flow_;
  std::atomic<int> allowed_;
  std::atomic<bool> is_over_ = false;
  test::Resident memory_;
  size_t unsorted_ = 0;
  std::jthread giver_;  // a server dies with the thread that has started it: that is not this one
};

class SinkFaults : public ::testing::TestWithParam<System> {
 protected:
  std::unique_ptr<Store> store_ = GetParam().open();
  ServerProcess& server() { return store_->server(); }
};

TEST_P(SinkFaults, ServerIsStoppedForAWhile) {
  Stream stream(*store_);
  for (int part = 1; part <= 2; ++part) {
    stream.reach(part);
    part == 1 ? server().stop() : store_->kill();
    stream.has_failed(2);
    server().restart();
  }
  stream.reach(3);
  stream.expect_all();
}

TEST_P(SinkFaults, ServerIsPaused) {
  Stream stream(*store_);
  for (int part = 1; part <= 2; ++part) {
    stream.reach(part);
    server().pause();
    stream.has_failed();
    server().go_on();
  }
  stream.reach(3);
  stream.expect_all();
}

TEST_P(SinkFaults, ServerIsRestartedAgainAndAgain) {
  Stream stream(*store_);
  for (int part = 1; part <= 3; ++part) {
    stream.reach(part);
    store_->kill();
    server().restart();
  }
  stream.expect_all();
}

// What is written arrives, but nobody understands what the server says.
TEST_P(SinkFaults, ServerAnswersGarbage) {
  Stream stream(*store_);
  for (int part = 1; part <= 2; ++part) {
    stream.reach(part);
    store_->proxy().control("set", {{"garbage", true}, {"direction", "down"}});
    stream.has_failed(2);
    store_->proxy().control("clear");
    store_->proxy().control("reset");
  }
  stream.reach(3);
  stream.expect_all();
}

class SinkClock : public SinkFaults {};

TEST_P(SinkClock, JumpsDoNoHarm) {
  test::JumpingClock clock;
  Stream stream(*store_);
  for (const auto& [part, by] : {std::pair(1, 24h), std::pair(2, -48h), std::pair(3, 25h)}) {
    stream.reach(part);
    const auto before = std::chrono::system_clock::now();
    clock.jump(by);
    ASSERT_GT(std::chrono::abs(std::chrono::system_clock::now() - before), 23h);
  }
  stream.expect_all();
}

INSTANTIATE_TEST_SUITE_P(Of, SinkClock,
                         ::testing::Values(System{"Redis", &open<Redis>}, System{"Mqtt", &open<Mqtt>},
                                           System{"Mongodb", &open<Mongodb>},
                                           System{"Elasticsearch", &open<Elasticsearch>},
                                           System{"Webhook", &open<Webhook>}),
                         [](const auto& each) { return each.param.name; });

INSTANTIATE_TEST_SUITE_P(Of, SinkFaults,
                         ::testing::Values(System{"Redis", &open<Redis>}, System{"Mqtt", &open<Mqtt>},
                                           System{"Mongodb", &open<Mongodb>},
                                           System{"Elasticsearch", &open<Elasticsearch>},
                                           System{"Webhook", &open<Webhook>}, System{"Kafka", &open<Kafka>}),
                         [](const auto& each) { return each.param.name; });

}  // namespace
}  // namespace sightglass::adapters
