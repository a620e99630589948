// What the Kafka sink costs beside librdkafka alone: CPU of this process per record, both with the same
// values in the same batches against the same mock cluster, which is a process of its own.
//
//   sink_us    the sink
//   bare_us    librdkafka, used directly, by a program that encodes the same records
//   ready_us   librdkafka with values that are there already
//   ratio      sink / bare; at most 1.25
#include <benchmark/benchmark.h>
#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <array>
#include <vector>

#include "sightglass/adapters/adapter.h"
#include "sightglass/adapters/kafka/client.h"
#include "sightglass/adapters/sink_bench_support.h"
#include "sightglass/stream/message_writer.h"
#include "sightglass/stream/uuid.h"
#include "tests/servers/server_process.h"

namespace sightglass::adapters {
namespace {

constexpr size_t batch = testing::bench_batch;

// Ten tracked objects with an attribute each.
RecordRef record(int number) {
  stream::Message message;
  message.kind = stream::Kind::frame;
  message.source_id = "cam-" + std::to_string(number % 8);
  message.producer = stream::make_uuid_v7();
  message.seq = number;
  auto& frame = message.frame.emplace();
  frame.uuid = stream::make_uuid_v7();
  frame.width = 1920, frame.height = 1080;
  frame.codec = "h264";
  frame.pts = number * 40'000'000ll;
  for (int i = 0; i < 10; ++i) {
    stream::Object object;
    object.id = i;
    object.namespace_ = "people";
    object.label = "person";
    object.confidence = 0.5f + 0.04f * float(i);
    object.detection_box = {.xc = 100.f + 150.f * float(i), .yc = 500, .width = 80, .height = 200};
    object.track_id = 1000 + i;
    frame.objects.push_back(std::move(object));
  }
  return record_of({.message = std::make_shared<stream::Message>(std::move(message))});
}

// librdkafka as anybody would use it: the settings of the sink, values that are there already.
class Bare {
 public:
  Bare(const std::string& brokers, const std::string& topic) {
    std::array<char, 512> text{};
    rd_kafka_conf_t* conf = rd_kafka_conf_new();
    for (const auto& [key, value] : {std::pair("bootstrap.servers", brokers.c_str()),
                                     {"enable.idempotence", "true"},
                                     {"acks", "all"},
                                     {"message.timeout.ms", "0"},
                                     {"partitioner", "murmur2"},
                                     {"compression.codec", "lz4"}})
      rd_kafka_conf_set(conf, key, value, text.data(), text.size());
    rd_kafka_conf_set_dr_msg_cb(conf, [](rd_kafka_t*, const rd_kafka_message_t* message, void*) {
      ++*static_cast<size_t*>(message->_private);
    });
    client_.reset(rd_kafka_new(RD_KAFKA_PRODUCER, conf, text.data(), text.size()));
    topic_.reset(rd_kafka_topic_new(client_.get(), topic.c_str(), nullptr));
  }
  // `value_of` an index: bytes that are copied.
  void write(std::span<const RecordRef> records, auto&& value_of) {
    size_t done = 0;
    for (size_t i = 0; i < records.size(); ++i) {
      const std::string_view value = value_of(i);
      const std::string uuid = stream::to_string(records[i]->uuid);
      rd_kafka_producev(client_.get(), RD_KAFKA_V_RKT(topic_.get()),
                        RD_KAFKA_V_KEY(records[i]->source_id.data(), records[i]->source_id.size()),
                        RD_KAFKA_V_VALUE(const_cast<char*>(value.data()), value.size()),
                        RD_KAFKA_V_HEADER("uuid", uuid.data(), ssize_t(uuid.size())),
                        RD_KAFKA_V_OPAQUE(&done), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END);
    }
    while (done < records.size()) rd_kafka_flush(client_.get(), 1000);
  }

 private:
  KafkaOwned<rd_kafka_t> client_;
  KafkaOwned<rd_kafka_topic_t> topic_;
};

void sink_and_bare(benchmark::State& state, const std::string& format) {
  auto mock = test::ServerProcess::kafka_mock(1);
  const std::string brokers = mock.control("state").at("bootstrap");
  for (const char* topic : {"bare", "sink"}) mock.control("topic", {{"topic", topic}, {"partitions", 4}});
  ParamSet params(find_sink("kafka")->params);
  for (const auto& [key, value] :
       {std::pair<const char*, std::string>("brokers", brokers), {"topic", "sink"}, {"format", format}})
    if (!params.set_text(key, value)) return state.SkipWithError("parameters");
  auto sink = find_sink("kafka")->create(params, {.name = "bench"});
  if (!sink || !(*sink)->start()) return state.SkipWithError("the sink does not start");
  Bare bare(brokers, "bare");

  std::vector<RecordRef> records;
  std::vector<std::string> values;
  stream::MessageWriter writer;
  stream::Message message;
  std::vector<uint8_t> body;
  std::string text;
  const auto encode = [&](size_t i) -> std::string_view {
    if (format == "json") {
      text.clear();
      write_record_json(*records[i], text);
      return text;
    }
    to_message(*records[i], message);
    (void)writer.write(message, {}, body);
    return {reinterpret_cast<const char*>(body.data()), body.size()};
  };
  const auto ready = [&](size_t i) -> std::string_view { return values[i]; };
  for (size_t i = 0; i < batch; ++i) {
    records.push_back(record(int(i)));
    values.emplace_back(encode(i));
  }
  std::vector<Stored> outcome(batch);
  testing::Turns turns(batch);
  turns.add("ready_us", [&] { return bare.write(records, ready), true; });
  turns.add("bare_us", [&] { return bare.write(records, encode), true; });
  turns.add("sink_us", [&] {
    std::ranges::fill(outcome, Stored::yes);
    return (*sink)->write(records, outcome) &&
           std::ranges::all_of(outcome, [](Stored one) { return one == Stored::yes; });
  });
  turns.run(state);
  if (state.skipped()) return;
  state.counters["ratio"] = turns.ratio("sink_us", "bare_us");
  state.counters["ratio_ready"] = turns.ratio("sink_us", "ready_us");
  state.counters["bytes"] = double(values[0].size());
}
BENCHMARK_CAPTURE(sink_and_bare, avro, "avro")->Iterations(1)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(sink_and_bare, json, "json")->Iterations(1)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace sightglass::adapters
