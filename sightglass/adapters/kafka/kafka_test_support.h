// For tests of the Kafka adapters: a cluster (the one that SIGHTGLASS_TEST_KAFKA names, else librdkafka's
// mock as a process), records to write, and a reader and writer of topics without our code.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <librdkafka/rdkafka.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <format>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sightglass/adapters/adapter.h"
#include "sightglass/adapters/kafka/client.h"
#include "sightglass/adapters/kafka/partition_log.h"
#include "sightglass/stream/message_reader.h"
#include "sightglass/stream/message_writer.h"
#include "sightglass/stream/uuid.h"
#include "tests/servers/server_process.h"

namespace sightglass::adapters::testing {

using namespace std::chrono_literals;

class Cluster {
 public:
  explicit Cluster(int brokers = 3) {
    if (const char* real = std::getenv("SIGHTGLASS_TEST_KAFKA"); real && *real)
      brokers_ = real;
    else
      mock_.emplace(test::ServerProcess::kafka_mock(brokers));
    if (mock_) brokers_ = mock_->control("state").at("bootstrap");
  }
  bool real() const { return !mock_; }
  test::ServerProcess& mock() { return mock_.value(); }
  const std::string& brokers() const { return brokers_; }

  // A topic of a new name.
  std::string topic(int partitions) {
    const std::string name = "test-" + stream::to_string(stream::make_uuid_v7());
    if (mock_) {
      mock_->control("topic", {{"topic", name}, {"partitions", partitions}});
      return name;
    }
    KafkaJournal journal("test");
    const KafkaParams params = this->params();
    auto client = kafka_client(RD_KAFKA_PRODUCER, *kafka_conf(params, "", "test", journal), "test");
    EXPECT_TRUE(make_topic(client->get(), name, partitions, 1, 10'000));
    return name;
  }
  KafkaParams params() const {
    KafkaParams params;
    params.brokers = {brokers_};
    return params;
  }

 private:
  std::optional<test::ServerProcess> mock_;
  std::string brokers_;
};

using Settings = std::vector<std::pair<std::string, std::string>>;

struct Read {
  std::string key, value, uuid;
  int partition = 0;
  int64_t offset = 0;
  stream::Message message() const {
    stream::ReaderOptions options;
    options.allow_location = [](const stream::Location&) { return true; };
    stream::MessageReader reader(options);
    const auto bytes = [](const std::string& text) {
      return stream::Bytes(reinterpret_cast<const uint8_t*>(text.data()), text.size());
    };
    const std::array parts{bytes(key), bytes(value)};
    stream::Message message;
    const auto reading = reader.read(parts, message);
    EXPECT_EQ(reading.verdict, stream::Reading::Verdict::accepted) << to_string(reading.reason);
    return message;
  }
};

// All that stands in a topic, until `count` messages were read or nothing comes for `patience`.
inline std::vector<Read> read_topic(const std::string& brokers, const std::string& topic, size_t count,
                                    std::chrono::milliseconds patience = 30s) {
  char text[512];
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  for (const auto& [key, value] : std::vector<std::pair<const char*, std::string>>{
           {"bootstrap.servers", brokers},
           {"group.id", "judge-" + stream::to_string(stream::make_uuid_v7())},
           {"enable.partition.eof", "true"},
           {"auto.offset.reset", "earliest"}})
    EXPECT_EQ(rd_kafka_conf_set(conf, key, value.c_str(), text, sizeof text), RD_KAFKA_CONF_OK) << text;
  const KafkaOwned<rd_kafka_t> client(rd_kafka_new(RD_KAFKA_CONSUMER, conf, text, sizeof text));
  rd_kafka_poll_set_consumer(client.get());
  KafkaJournal journal("judge");
  const auto partitions = partition_count(client.get(), topic, 10'000, journal);
  EXPECT_TRUE(partitions);
  const KafkaOwned<rd_kafka_topic_partition_list_t> all(rd_kafka_topic_partition_list_new(*partitions));
  rd_kafka_topic_partition_list_add_range(all.get(), topic.c_str(), 0, *partitions - 1);
  for (int i = 0; i < *partitions; ++i) all->elems[i].offset = RD_KAFKA_OFFSET_BEGINNING;
  rd_kafka_assign(client.get(), all.get());
  std::vector<Read> read;
  std::map<int, bool> at_end;
  const auto end = std::chrono::steady_clock::now() + patience;
  while (std::chrono::steady_clock::now() < end) {
    const KafkaOwned<rd_kafka_message_t> message(rd_kafka_consumer_poll(client.get(), 100));
    if (!message) continue;
    if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) at_end[message->partition] = true;
    // One more look at the end, for what was never written.
    if (read.size() >= count && int(at_end.size()) == *partitions) break;
    if (message->err) continue;
    at_end.erase(message->partition);
    Read one{.key = {static_cast<const char*>(message->key), message->key_len},
             .value = {static_cast<const char*>(message->payload), message->len},
             .partition = message->partition,
             .offset = message->offset};
    rd_kafka_headers_t* headers = nullptr;
    const void* value = nullptr;
    size_t size = 0;
    if (!rd_kafka_message_headers(message.get(), &headers) &&
        !rd_kafka_header_get_last(headers, "uuid", &value, &size))
      one.uuid.assign(static_cast<const char*>(value), size);
    read.push_back(std::move(one));
  }
  return read;
}

// A stream as its writer sees it: numbered frames, keyframes every `gop`.
class FrameMaker {
 public:
  explicit FrameMaker(std::string source_id, int gop = 5) : source_id_(std::move(source_id)), gop_(gop) {}
  std::shared_ptr<stream::Message> frame() {
    auto message = header(stream::Kind::frame);
    stream::VideoFrame& frame = message->frame.emplace();
    frame.uuid = stream::make_uuid_v7();
    frame.created_us = 1;
    frame.width = 64, frame.height = 48;
    frame.framerate = stream::Rational{25, 1};
    frame.pts = message->seq * 40'000'000;
    frame.codec = codec;
    frame.keyframe = message->seq % gop_ == 0;
    return message;
  }
  std::shared_ptr<stream::Message> end() {
    auto message = header(stream::Kind::end_of_stream);
    message->end_of_stream.emplace();
    ++epoch_;
    seq_ = 0;
    return message;
  }
  const std::string& source_id() const { return source_id_; }
  std::string codec = "mpeg4";  // the reader does not look into its bitstream

 private:
  std::shared_ptr<stream::Message> header(stream::Kind kind) {
    auto message = std::make_shared<stream::Message>();
    message->kind = kind;
    message->source_id = source_id_;
    message->producer = producer_;
    message->epoch = epoch_;
    message->seq = seq_++;
    return message;
  }
  const std::string source_id_;
  const int gop_;
  const stream::Uuid producer_ = stream::make_uuid_v7();
  int64_t epoch_ = 0, seq_ = 0;
};

// The record of a message, with `payload` as its picture.
inline RecordRef record(std::shared_ptr<const stream::Message> message, std::string_view payload = {}) {
  stream::Delivery delivery{.message = std::move(message)};
  if (!payload.empty()) delivery.payloads.push_back(stream::own({payload.begin(), payload.end()}));
  return record_of(delivery);
}

template <class Desc>
auto make(const Desc& desc, const Settings& settings, const std::string& name) {
  ParamSet params(desc.params);
  for (const auto& [key, value] : settings) {
    const Status set = params.set_text(key, value);
    EXPECT_TRUE(set) << key << ": " << set.error().message;
  }
  if constexpr (requires { SinkContext{}; } && std::is_same_v<Desc, SinkDesc>)
    return desc.create(params, SinkContext{.name = name});
  else
    return desc.create(params, SourceContext{.name = name});
}

// Of the whole program.
inline Cluster& cluster() {
  static Cluster one = [] {
    Cluster made;
    if (!made.real()) made.mock().control("rebalance_delay", {{"ms", 0}});
    return made;
  }();
  return one;
}

inline std::string new_group() { return "group-" + stream::to_string(stream::make_uuid_v7()); }

// Writes messages as the sink of another module does.
class TopicWriter {
 public:
  explicit TopicWriter(const std::string& topic, const Settings& settings = {}) {
    Settings all{{"brokers", cluster().brokers()}, {"video-topic", topic}};
    all.insert(all.end(), settings.begin(), settings.end());
    auto made = make(*find_sink("kafka"), all, "writer");
    EXPECT_TRUE(made && (*made)->start());
    sink_ = std::move(*made);
  }
  void write(std::shared_ptr<const stream::Message> message, std::string_view picture = "ok") {
    const bool has_picture = message->frame.has_value();
    records_.push_back(record(std::move(message), has_picture ? picture : ""));
  }
  // What was written comes in one go.
  void flush() {
    std::vector<Stored> outcome(records_.size(), Stored::yes);
    const Status written = sink_->write(records_, outcome);
    EXPECT_TRUE(written) << written.error().message;
    EXPECT_THAT(outcome, ::testing::Each(Stored::yes));
    records_.clear();
  }

 private:
  std::unique_ptr<Sink> sink_;
  std::vector<RecordRef> records_;
};

struct Committed {
  int64_t offset = -1;
  CommitNote note;
};
// What the group has come to.
inline Committed committed(const std::string& topic, const std::string& group, int partition = 0) {
  KafkaJournal journal("judge");
  auto conf = kafka_conf(cluster().params(), "", "judge", journal);
  EXPECT_TRUE(set_option(conf->get(), "group.id", group));
  const auto client = kafka_client(RD_KAFKA_CONSUMER, std::move(*conf), "judge");
  const KafkaOwned<rd_kafka_topic_partition_list_t> list(rd_kafka_topic_partition_list_new(1));
  auto* const one = rd_kafka_topic_partition_list_add(list.get(), topic.c_str(), partition);
  EXPECT_EQ(rd_kafka_committed(client->get(), list.get(), 10'000), 0);
  Committed found{.offset = one->offset};
  if (one->metadata)
    if (const auto note = parse_commit_note({static_cast<const char*>(one->metadata), one->metadata_size}))
      found.note = *note;
  return found;
}

}  // namespace sightglass::adapters::testing
