// Spans and metrics to a collector: what arrives there, read by code that is not ours, and what a collector
// that says no, says later, or says nothing costs.
#include "sightglass/module/telemetry.h"

#include <gmock/gmock.h>

#include <atomic>
#include <mutex>
#include <set>

#include "sightglass/module/accounting.h"
#include "sightglass/telemetry/otlp_message.h"
#include "tests/servers/server_process.h"

namespace sightglass::telemetry {
namespace {

using module::FinishedTrace;
using module::FrameTrace;
using module::Span;
using module::TelemetryOptions;
using module::TelemetryStatus;
using test::eventually;
using test::ServerProcess;
using ::testing::HasSubstr;
using ::testing::Not;
using Json = nlohmann::json;

class Collector : public ::testing::Test {
 protected:
  std::string url(std::string_view path, std::string_view user = "") const {
    return "http://" + std::string(user) + receiver.address() + std::string(path);
  }
  std::unique_ptr<module::Telemetry> start(TelemetryOptions options) {
    options.module = "gate";
    options.version = "1.2";
    options.retry_ms = 20;
    options.retry_max_ms = 50;
    options.log = &log;
    auto started = module::start_telemetry(std::move(options));
    EXPECT_TRUE(started) << started.error().to_string();
    return started ? std::move(*started) : nullptr;
  }
  std::string logged() {
    const std::scoped_lock lock(mutex);
    return lines;
  }
  // A trace of one frame, as the module makes them; `seq` names it.
  static void trace_a_frame(const std::shared_ptr<module::TraceExporter>& exporter, int64_t seq,
                            const std::string& parent = {}) {
    stream::Message message;
    message.source_id = "cam-1";
    message.seq = seq;
    if (!parent.empty()) message.trace = stream::TraceContext{parent, "vendor=1"};
    module::Tracer tracer(exporter, 1);
    const int64_t now = module::steady_now_ns();
    const auto trace = tracer.begin(message, now);
    trace->add("decode", now, now + 1'000'000);
    trace->settled("", now + 2'000'000);
  }
  // Names of frames that the collector has, each as often as it came.
  std::multiset<std::string> frames() const {
    std::multiset<std::string> all;
    for (const Json& span : receiver.control("spans"))
      if (span["name"] == "frame") all.insert(span["attributes"]["frame.seq"].get<std::string>());
    return all;
  }

  ServerProcess receiver = ServerProcess::script("otlp_receiver.py");
  std::mutex mutex;
  std::string lines;
  const module::Log log{"gate", {}, [this](std::string_view line) {
                          const std::scoped_lock lock(mutex);
                          lines += std::string(line) + "\n";
                        }};
};

TEST_F(Collector, GetsSpansAsTheyWere) {
  const auto telemetry = start({.traces_url = url("/v1/traces")});
  const int64_t before = module::wall_now_us() * 1000;
  trace_a_frame(telemetry->traces(), 7, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
  ASSERT_TRUE(eventually([&] { return receiver.control("spans").size() == 2; }));
  const Json spans = receiver.control("spans");
  const Json &frame = spans[0], &decode = spans[1];
  EXPECT_EQ(frame["name"], "frame");
  EXPECT_EQ(frame["trace"], "0af7651916cd43dd8448eb211c80319c");
  EXPECT_EQ(frame["parent"], "b7ad6b7169203331");
  EXPECT_EQ(frame["tracestate"], "vendor=1");
  EXPECT_EQ(frame["attributes"]["source.id"], "cam-1");
  EXPECT_EQ(frame["attributes"]["frame.outcome"], "stored");
  EXPECT_EQ(frame["service"]["service.name"], "gate");
  EXPECT_EQ(frame["service"]["service.version"], "1.2");
  EXPECT_EQ(frame["kind"], 5);
  EXPECT_GE(frame["begin"].get<int64_t>(), before - 1'000'000'000);
  EXPECT_EQ(frame["end"].get<int64_t>() - frame["begin"].get<int64_t>(), 2'000'000);
  EXPECT_EQ(decode["name"], "decode");
  EXPECT_EQ(decode["parent"], frame["span"]);
  EXPECT_EQ(decode["trace"], frame["trace"]);
  EXPECT_TRUE(eventually([&] { return telemetry->status().spans_sent == 2; }));
}

TEST_F(Collector, LosesNothingToOneThatSaysLater) {
  receiver.control("faults",
                   {{"rules", Json::array({{{"fault", "429"}, {"scope", "request"}, {"count", 3}},
                                           {{"fault", "503"}, {"scope", "request"}, {"count", 3}}})}});
  const auto telemetry = start({.traces_url = url("/v1/traces")});
  std::multiset<std::string> wanted;
  for (int seq = 0; seq < 600; ++seq) {
    trace_a_frame(telemetry->traces(), seq);
    wanted.insert(std::to_string(seq));
  }
  EXPECT_TRUE(eventually([&] { return telemetry->status().spans_sent == 1200; }));
  EXPECT_EQ(frames(), wanted);
  EXPECT_EQ(telemetry->status().spans_dropped, 0u);
  EXPECT_THAT(telemetry->status().last_error, ::testing::AnyOf(HasSubstr("429"), HasSubstr("503")));
}

TEST_F(Collector, WaitsAsLongAsItIsTold) {
  receiver.control(
      "faults",
      {{"rules", Json::array({{{"fault", "429"}, {"scope", "request"}, {"count", 1}, {"seconds", 1}}})}});
  const auto telemetry = start({.traces_url = url("/v1/traces")});
  const int64_t begin = module::steady_now_ns();
  trace_a_frame(telemetry->traces(), 1);
  EXPECT_TRUE(eventually([&] { return telemetry->status().spans_sent == 2; }));
  EXPECT_GE(module::steady_now_ns() - begin, 1'000'000'000);
}

TEST_F(Collector, CountsWhatAPartialSuccessHasLeftOutAndDoesNotRepeatIt) {
  receiver.control("faults",
                   {{"rules", Json::array({{{"fault", "partial"}, {"scope", "request"}, {"count", 1}}})}});
  const auto telemetry = start({.traces_url = url("/v1/traces")});
  trace_a_frame(telemetry->traces(), 1);
  EXPECT_TRUE(eventually([&] { return telemetry->status().spans_dropped == 1; }));
  EXPECT_EQ(telemetry->status().spans_sent, 1u);
  EXPECT_EQ(telemetry->status().last_error, "one was too old");
  EXPECT_EQ(receiver.control("requests")["paths"]["/v1/traces"], 1);
}

TEST_F(Collector, DropsWhatIsRefusedForGoodAndGoesOn) {
  receiver.control("faults",
                   {{"rules", Json::array({{{"fault", "400"}, {"scope", "request"}, {"count", 1}}})}});
  const auto telemetry = start({.traces_url = url("/v1/traces")});
  trace_a_frame(telemetry->traces(), 1);
  ASSERT_TRUE(eventually([&] { return telemetry->status().spans_dropped == 2; }));
  trace_a_frame(telemetry->traces(), 2);
  ASSERT_TRUE(eventually([&] { return telemetry->status().spans_sent == 2; }));
  EXPECT_EQ(frames(), (std::multiset<std::string>{"2"}));
}

TEST_F(Collector, ThatIsAwayCostsSpansAndAWordInTheLogAndNoTime) {
  const std::string address = url("/v1/traces?token=s3cret", "ops:hunter2@");
  receiver.stop();
  const auto telemetry = start({.traces_url = address, .most_spans = 100});
  const int64_t begin = module::steady_now_ns();
  for (int seq = 0; seq < 1000; ++seq) trace_a_frame(telemetry->traces(), seq);
  // Nothing waits for the network: this takes a few ms.
  EXPECT_LT(module::steady_now_ns() - begin, 5'000'000'000);
  EXPECT_EQ(telemetry->status().spans_dropped, 1900u);
  EXPECT_TRUE(eventually([&] { return !logged().empty() && !telemetry->status().last_error.empty(); }));
  for (const std::string& text : {logged(), telemetry->status().last_error}) {
    EXPECT_THAT(text, Not(HasSubstr("hunter2")));
    EXPECT_THAT(text, Not(HasSubstr("s3cret")));
  }
  const auto lines_so_far = logged();
  EXPECT_EQ(std::ranges::count(lines_so_far, '\n'), 1);
  telemetry->stop(50);
  EXPECT_EQ(telemetry->status().spans_dropped, 2000u);
  // A frame that ends later costs nothing more.
  trace_a_frame(telemetry->traces(), 1);
}

TEST_F(Collector, ThatComesBackGetsWhatHasWaited) {
  receiver.stop();
  const auto telemetry = start({.traces_url = url("/v1/traces")});
  for (int seq = 0; seq < 20; ++seq) trace_a_frame(telemetry->traces(), seq);
  ASSERT_TRUE(eventually([&] { return !telemetry->status().last_error.empty(); }));
  receiver.restart();
  EXPECT_TRUE(eventually([&] { return telemetry->status().spans_sent == 40; }));
  EXPECT_EQ(frames().size(), 20u);
}

TEST_F(Collector, GetsWhatWaitsWhenTheModuleEnds) {
  const auto telemetry = start({.traces_url = url("/v1/traces")});
  for (int seq = 0; seq < 20; ++seq) trace_a_frame(telemetry->traces(), seq);
  telemetry->stop(30'000);
  EXPECT_EQ(frames().size(), 20u);
}

TEST_F(Collector, GetsThePasswordOfItsAddress) {
  const auto telemetry = start({.traces_url = url("/v1/traces", "ops:hunter2@")});
  trace_a_frame(telemetry->traces(), 1);
  ASSERT_TRUE(eventually([&] { return telemetry->status().spans_sent == 2; }));
  EXPECT_EQ(receiver.control("requests")["headers"]["authorization"], "Basic b3BzOmh1bnRlcjI=");
}

std::vector<module::MetricFamily> some_metrics() {
  return {
      {.name = "sightglass_frames_total",
       .help = "Frames",
       .type = module::MetricType::counter,
       .samples = {{.labels = {{"source", "cam-1"}, {"stage", "stored"}}, .value = 17}}},
      {.name = "sightglass_ready", .type = module::MetricType::gauge, .samples = {{.value = 1}}},
      {.name = "sightglass_element_seconds",
       .type = module::MetricType::histogram,
       .samples = {
           {.labels = {{"element", "faces"}}, .bounds = {0.001, 0.01}, .buckets = {3, 2, 1}, .sum = 0.25}}}};
}

TEST_F(Collector, GetsTheMetricsThatAreAskedFor) {
  const auto telemetry =
      start({.metrics_url = url("/v1/metrics"), .metrics = some_metrics, .push_interval_ms = 20});
  EXPECT_EQ(telemetry->traces(), nullptr);
  ASSERT_TRUE(eventually([&] { return telemetry->status().pushes > 0; }));
  std::map<std::string, Json> points;
  for (const Json& point : receiver.control("metrics")) points[point["name"]] = point;
  ASSERT_EQ(points.size(), 3u);
  const Json& frames_total = points["sightglass_frames_total"];
  EXPECT_EQ(frames_total["kind"], "sum");
  EXPECT_EQ(frames_total["value"], 17);
  EXPECT_EQ(frames_total["labels"], (Json{{"source", "cam-1"}, {"stage", "stored"}}));
  EXPECT_EQ(points["sightglass_ready"]["kind"], "gauge");
  const Json& seconds = points["sightglass_element_seconds"];
  EXPECT_EQ(seconds["count"], 6);
  EXPECT_EQ(seconds["sum"], 0.25);
  EXPECT_EQ(seconds["buckets"], (Json{3, 2, 1}));
  EXPECT_EQ(seconds["bounds"], (Json{0.001, 0.01}));
}

TEST_F(Collector, MissesNoMoreThanOnePushAfterItWasAway) {
  receiver.stop();
  const auto telemetry =
      start({.metrics_url = url("/v1/metrics"), .metrics = some_metrics, .push_interval_ms = 20});
  ASSERT_TRUE(eventually([&] { return telemetry->status().pushes_failed > 0; }));
  receiver.restart();
  EXPECT_TRUE(eventually([&] { return telemetry->status().pushes > 0; }));
}

TEST_F(Collector, GetsTheMetricsOnceMoreAtTheEnd) {
  const auto telemetry =
      start({.metrics_url = url("/v1/metrics"), .metrics = some_metrics, .push_interval_ms = 3'600'000});
  telemetry->stop(30'000);
  EXPECT_EQ(receiver.control("metrics").size(), 3u);
}

TEST(Telemetry, RefusesWhatIsNoAddressAndShowsNoSecretOfIt) {
  for (const char* address :
       {"collector:4318", "ftp://ops:hunter2@collector/", "http://", "not an address"}) {
    const auto started = module::start_telemetry({.traces_url = address});
    ASSERT_FALSE(started) << address;
    EXPECT_THAT(started.error().message, HasSubstr("telemetry.traces.otlp_url"));
    EXPECT_THAT(started.error().message, Not(HasSubstr("hunter2")));
  }
}

TEST(OtlpMessage, TextsAreUtf8AndIdsStayAsTheyAre) {
  module::FinishedTrace trace{.id = {~uint64_t(0), 1}, .tracestate = {}};
  trace.spans.push_back({.name = "caf\xc3\xa9 \xe9.", .id = 2, .error = "\xff\xfe!"});
  trace.spans.back().attributes = {{"source.id", "cam\xc0-1"}};
  const std::string bytes = traces_request({"gate", "1.2", "one"}, std::span(&trace, 1));
  for (const char* text : {"caf\xc3\xa9 \ufffd.", "\ufffd\ufffd!", "cam\ufffd-1"})
    EXPECT_THAT(bytes, HasSubstr(text));
  EXPECT_THAT(bytes, HasSubstr(std::string(8, '\xff') + std::string(7, '\0') + '\x01'));
}

TEST(OtlpMessage, TakesAnyAnswerWithoutHarm) {
  EXPECT_EQ(read_answer("")->rejected, 0u);
  EXPECT_FALSE(read_answer("\x0a\xff"));               // a length beyond the end
  EXPECT_FALSE(read_answer(std::string(20, '\xff')));  // a number without an end
  EXPECT_FALSE(read_answer("\x0b"));                   // no such wire type
  EXPECT_EQ(read_answer(std::string_view("\x0a\x02\x08\x05", 4))->rejected, 5u);
}

}  // namespace
}  // namespace sightglass::telemetry
