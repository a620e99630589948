// What a module says of itself: which frames are followed and what their traces hold, which series there are,
// what is logged.
#include <gmock/gmock.h>

#include <algorithm>
#include <mutex>
#include <set>

#include "sightglass/module/accounting.h"
#include "sightglass/module/frame_trace.h"
#include "sightglass/module/log.h"
#include "sightglass/module/metric_families.h"

namespace sightglass::module {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* sampled = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
constexpr const char* unsampled = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

class Kept final : public TraceExporter {
 public:
  void take(FinishedTrace trace) override {
    const std::scoped_lock lock(mutex);
    traces.push_back(std::move(trace));
  }
  std::mutex mutex;
  std::vector<FinishedTrace> traces;
};

stream::Message message_with(const char* traceparent = nullptr) {
  stream::Message message;
  message.source_id = "cam-1";
  if (traceparent) message.trace = stream::TraceContext{traceparent, "vendor=1"};
  return message;
}

TEST(Tracer, FollowsOneFrameOfSoMany) {
  const auto kept = std::make_shared<Kept>();
  Tracer tracer(kept, 10);
  for (int i = 0; i < 100; ++i) (void)tracer.begin(message_with(), 1);
  EXPECT_EQ(kept->traces.size(), 10u);
}

TEST(Tracer, DoesAsTheSenderSaysWhateverTheRate) {
  const auto kept = std::make_shared<Kept>();
  for (const unsigned sample : {0u, 1u, 1000u}) {
    Tracer tracer(kept, sample);
    EXPECT_FALSE(tracer.begin(message_with(unsampled), 1));
    EXPECT_TRUE(tracer.begin(message_with(sampled), 1));
  }
  Tracer none(kept, 0);
  EXPECT_FALSE(none.begin(message_with(), 1));
}

TEST(Tracer, W05StartsANewTraceForABrokenContext) {
  const auto kept = std::make_shared<Kept>();
  Tracer tracer(kept, 1);
  for (const char* broken : {"", "00-", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
                             "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                             "00-00000000000000000000000000000000-b7ad6b7169203331-01",
                             "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
                             "00-0af7651916cd43dd8448eb211c8031zz-b7ad6b7169203331-01"}) {
    EXPECT_FALSE(parse_traceparent(broken)) << broken;
    ASSERT_TRUE(tracer.begin(message_with(broken), 1)) << broken;
    EXPECT_EQ(kept->traces.back().spans[0].parent, 0u);
    EXPECT_EQ(kept->traces.back().tracestate, "");
  }
}

TEST(FrameTrace, KeepsNoMoreOfATracestateThanHasToBePassedOn) {
  Tracer tracer(std::make_shared<Kept>(), 1);
  stream::Message message = message_with(sampled);
  for (const size_t size : {512, 513}) {
    message.trace->tracestate = std::string(size, 'x');
    EXPECT_EQ(tracer.begin(message, 1)->context().tracestate.size(), size == 512 ? 512u : 0u);
  }
}

TEST(FrameTrace, IsFinishedWhenTheLastWhoWorksOnTheFrameLetsGo) {
  const auto kept = std::make_shared<Kept>();
  Tracer tracer(kept, 1);
  auto trace = tracer.begin(message_with(sampled), 100);
  const std::string parent = trace->context().traceparent;
  EXPECT_TRUE(parent.starts_with("00-0af7651916cd43dd8448eb211c80319c-"));
  EXPECT_TRUE(parent.ends_with("-01"));
  EXPECT_EQ(trace->context().tracestate, "vendor=1");
  {
    const auto account = std::make_shared<SourceAccount>("cam-1");
    Receipt receipt(account, nullptr, 100);
    receipt.follow(trace);
    receipt.store();
    EXPECT_FALSE(receipt.trace());
  }
  EXPECT_TRUE(kept->traces.empty());
  const int64_t late = steady_now_ns() + 1'000'000'000;
  trace->add("sink.slow", 200, late);
  trace = nullptr;
  ASSERT_EQ(kept->traces.size(), 1u);
  const auto& spans = kept->traces[0].spans;
  EXPECT_EQ(spans[0].name, "frame");
  EXPECT_EQ(spans[0].parent, 0xb7ad6b7169203331u);
  EXPECT_EQ(spans[0].begin_ns, 100);
  EXPECT_EQ(spans[0].end_ns, late);
  EXPECT_EQ(spans[1].parent, spans[0].id);
}

TEST(FrameTrace, SaysWhyAFrameWasDropped) {
  const auto kept = std::make_shared<Kept>();
  Tracer tracer(kept, 1);
  const auto account = std::make_shared<SourceAccount>("cam-1");
  Receipt receipt(account, nullptr, 100);
  receipt.follow(tracer.begin(message_with(), 100));
  receipt.drop("queue_full");
  ASSERT_EQ(kept->traces.size(), 1u);
  EXPECT_EQ(kept->traces[0].spans[0].error, "queue_full");
}

TEST(FrameTrace, HoldsNoMoreSpansThanItsLimit) {
  const auto kept = std::make_shared<Kept>();
  Tracer tracer(kept, 1);
  {
    const auto trace = tracer.begin(message_with(), 1);
    for (int i = 0; i < 1000; ++i) trace->add("element.faces", 1, 2);
  }
  EXPECT_EQ(kept->traces[0].spans.size(), FrameTrace::most_spans);
  EXPECT_EQ(kept->traces[0].left_out, 1001 - FrameTrace::most_spans);
}

TEST(ElementTrace, LinksItsSamplesToTheBatchThatTheyShare) {
  const auto kept = std::make_shared<Kept>();
  Tracer tracer(kept, 1);
  {
    auto first = std::make_shared<ElementTrace>(tracer.begin(message_with(), 1), "faces", 10);
    auto second = std::make_shared<ElementTrace>(tracer.begin(message_with(), 1), "faces", 11);
    SampleTimes times{.model = "rfb.onnx",
                      .submitted_ns = 12,
                      .begun_ns = 20,
                      .ended_ns = 30,
                      .batch_size = 2,
                      .batch_id = {1, 2, 3},
                      .is_first = true};
    first->ran(times);
    times.is_first = false;
    second->ran(times);
    first->left(40);
    second->left(41);
  }
  ASSERT_EQ(kept->traces.size(), 2u);
  size_t batches = 0;
  for (const auto& trace : kept->traces) {
    const auto named = [&](std::string_view name) {
      return std::ranges::find(trace.spans, name, &Span::name);
    };
    const auto element = named("element.faces"), wait = named("batch.wait"), inference = named("inference");
    ASSERT_NE(element, trace.spans.end());
    EXPECT_EQ(element->parent, trace.spans[0].id);
    EXPECT_EQ(wait->parent, element->id);
    EXPECT_EQ(wait->begin_ns, 12);
    EXPECT_EQ(wait->end_ns, 20);
    EXPECT_EQ(inference->parent, element->id);
    EXPECT_EQ(inference->link->trace, (TraceId{1, 2}));
    EXPECT_EQ(inference->link->span, 3u);
    batches += size_t(std::ranges::count(trace.spans, "batch", &Span::name));
  }
  EXPECT_EQ(batches, 1u);
}

// ── metrics ──

std::vector<std::string> sources_in(const std::vector<MetricFamily>& families) {
  std::vector<std::string> names;
  for (const auto& family : families)
    if (family.name == "sightglass_stream_fps")
      for (const auto& sample : family.samples)
        for (const auto& [label, value] : sample.labels)
          if (label == "source") names.push_back(value);
  return names;
}

TEST(MetricFamilies, HaveSeriesOfNoMoreSourcesThanAllowedAndOfLivingStreamsFirst) {
  ModuleStatus status;
  for (int i = 0; i < 50; ++i)
    status.streams.push_back(
        {.id = "gone-" + std::to_string(i), .state = "ABSENT", .since = double(100 - i)});
  status.streams.push_back({.id = "live", .state = "LIVE", .since = 1e6});
  const auto families = metric_families(status, {}, {}, "1.2", 4);
  EXPECT_THAT(sources_in(families), ::testing::UnorderedElementsAre("live", "gone-49", "gone-48", "gone-47"));
  for (const auto& family : families) {
    std::set<std::string> sources;
    for (const auto& sample : family.samples)
      for (const auto& [label, value] : sample.labels)
        if (label == "source") sources.insert(value);
    EXPECT_LE(sources.size(), 4u) << family.name;
  }
}

TEST(MetricFamilies, LoseAStreamFiveMinutesAfterItHasGone) {
  ModuleStatus status;
  status.streams.push_back({.id = "cam", .state = "ABSENT", .since = 299});
  EXPECT_EQ(sources_in(metric_families(status, {}, {}, "", 10)).size(), 1u);
  status.streams[0].since = 300;
  EXPECT_EQ(sources_in(metric_families(status, {}, {}, "", 10)).size(), 0u);
  status.streams[0].state = "IDLE";
  EXPECT_EQ(sources_in(metric_families(status, {}, {}, "", 10)).size(), 1u);
}

TEST(MetricFamilies, ShowHistogramsInSeconds) {
  ModuleStatus status;
  Histogram latencies(time_bounds);
  latencies.observe(30'000'000);
  status.sinks.push_back({.name = "events", .latencies = latencies.counts()});
  for (const auto& family : metric_families(status, {}, {{"site", "gate"}}, "", 10)) {
    if (family.name != "sightglass_frame_latency_seconds") continue;
    const MetricSample& sample = family.samples.at(0);
    EXPECT_EQ(family.type, MetricType::histogram);
    EXPECT_EQ(sample.labels, (decltype(sample.labels){{"site", "gate"}, {"sink", "events"}}));
    EXPECT_EQ(sample.count(), 1u);
    EXPECT_DOUBLE_EQ(sample.sum, 0.03);
    EXPECT_DOUBLE_EQ(sample.bounds.front(), 0.0001);
    return;
  }
  FAIL() << "no such family";
}

TEST(MetricFamilies, ShowWhatEachOfSeveralDevicesHasToDo) {
  ModuleStatus status;
  ModelState model{.name = "faces", .device = "CUDA:*"};
  model.devices = {{.name = "CUDA:0", .streams = 2, .frames_per_second = 50, .samples = 7, .seconds = 0.5},
                   {.name = "CUDA:1", .streams = 1, .frames_per_second = 25, .samples = 3, .seconds = 0.25}};
  status.models = {model, {.name = "alone", .device = "CPU"}};
  std::map<std::string, std::vector<double>> seen;
  for (const auto& family : metric_families(status, {}, {}, "", 10)) {
    if (!family.name.starts_with("sightglass_model_device_")) continue;
    for (const MetricSample& sample : family.samples) {
      EXPECT_EQ(sample.labels.at(0).second, "faces");
      EXPECT_TRUE(sample.labels.at(1).second.starts_with("CUDA:"));
      seen[family.name].push_back(sample.value);
    }
  }
  EXPECT_EQ(seen, (decltype(seen){{"sightglass_model_device_frames_per_second", {50, 25}},
                                  {"sightglass_model_device_samples_total", {7, 3}},
                                  {"sightglass_model_device_seconds_total", {0.5, 0.25}},
                                  {"sightglass_model_device_streams", {2, 1}}}));
}

// ── log ──

TEST(Log, WritesWhatIsOfItsLevelAndHidesSecrets) {
  std::vector<std::string> lines;
  TelemetrySpec telemetry;
  telemetry.log_level = "warning";
  const Log log("gate", telemetry, [&](std::string_view line) { lines.emplace_back(line); });
  log.info("element faces", "nothing");
  log.warning("traces", "http://ops:hunter2@collector/v1?token=abc says\nno");
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_THAT(lines[0], HasSubstr("warning gate: traces: http://ops:***@collector/v1?token=*** says no"));
}

TEST(Log, WritesOneJsonObjectALineWhereThatIsWanted) {
  std::vector<std::string> lines;
  TelemetrySpec telemetry;
  telemetry.log_format = "json";
  const Log log("gate", telemetry, [&](std::string_view line) { lines.emplace_back(line); });
  log.info("decoder", "a \"quoted\"\nline \xff");
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_THAT(lines[0], ::testing::StartsWith("{"));
  EXPECT_THAT(lines[0], HasSubstr(R"("about":"decoder")"));
  EXPECT_THAT(lines[0], HasSubstr(R"(a \"quoted\" line)"));
  EXPECT_THAT(lines[0], Not(HasSubstr("\n")));
}

TEST(LogLimit, IsDueOnceAMinute) {
  constexpr int64_t second = 1'000'000'000;
  LogLimit limit;
  EXPECT_TRUE(limit.is_due(1 * second));
  EXPECT_FALSE(limit.is_due(60 * second));
  EXPECT_TRUE(limit.is_due(61 * second));
  EXPECT_FALSE(limit.is_due(62 * second));
}

}  // namespace
}  // namespace sightglass::module
