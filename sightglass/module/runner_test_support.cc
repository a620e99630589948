#include "sightglass/module/runner_test_support.h"

#include <algorithm>
#include <numeric>

#include "sightglass/adapters/record_names.h"

namespace sightglass::module::testing {
namespace {

std::mutex controls_mutex;
std::map<std::string, std::unique_ptr<SinkControl>>& controls() {
  static std::map<std::string, std::unique_ptr<SinkControl>> all;
  return all;
}

struct Params {
  std::string unused;
};

class TestSink final : public adapters::Sink {
 public:
  explicit TestSink(SinkControl& control) : control_(control) {}
  static Result<std::unique_ptr<adapters::Sink>> create(const ParamSet&,
                                                        const adapters::SinkContext& context) {
    return std::make_unique<TestSink>(sink_control(context.name));
  }
  Status write(std::span<const RecordRef> records, std::span<adapters::Stored> outcome) override {
    std::unique_lock lock(control_.mutex);
    control_.changed.wait(lock, [&] { return control_.mode != SinkControl::Mode::hang || is_cancelled_; });
    if (is_cancelled_) return fail(ErrorCode::cancelled, "cancelled");
    if (control_.mode == SinkControl::Mode::fail) return fail(ErrorCode::io, "the store is away");
    for (size_t i = 0; i < records.size(); ++i) {
      if (control_.mode == SinkControl::Mode::refuse && records[i]->kind == RecordKind::frame) {
        outcome[i] = adapters::Stored::never;
        continue;
      }
      control_.records.push_back(records[i]);
      control_.frames += records[i]->kind == RecordKind::frame;
    }
    return {};
  }
  void cancel() override {
    const std::scoped_lock lock(control_.mutex);
    is_cancelled_ = true;
    control_.changed.notify_all();
  }

 private:
  SinkControl& control_;
  bool is_cancelled_ = false;
};

const adapters::SinkRegistration registration(adapters::SinkDesc{
    .name = "test",
    .doc = "Keeps what it is given",
    .nature = adapters::SinkNature::data,
    .batch_records = 16,
    .params = ParamTable::of<Params>({param("unused", &Params::unused, "nothing")}),
    .create = &TestSink::create,
});

}  // namespace

SinkControl& sink_control(const std::string& name) {
  const std::scoped_lock lock(controls_mutex);
  auto& control = controls()[name];
  if (!control) control = std::make_unique<SinkControl>();
  return *control;
}

void forget_sink_controls() {
  const std::scoped_lock lock(controls_mutex);
  controls().clear();
}

SinkSpec test_sink(std::string name, QueuePolicy policy, bool required) {
  SinkSpec spec;
  spec.name = std::move(name);
  spec.type = "test";
  spec.required = required;
  spec.queue.policy = policy;
  Value retry = Value::map();
  retry.set("initial", "1ms");
  retry.set("max", "5ms");
  spec.properties = Value::map();
  spec.properties.set("retry", retry);
  return spec;
}

std::string Recorder::story(std::string_view source) const {
  std::string text;
  for (const auto& record : records(source)) {
    std::string word;
    switch (record->kind) {
      case RecordKind::frame:
        word = "F";
        break;
      case RecordKind::frame_update:
        word = "update";
        break;
      case RecordKind::stream_update:
        word = adapters::name_of(record->message->stream_update->state);
        break;
      case RecordKind::user_data:
        word = "data";
        break;
      case RecordKind::end_of_stream:
        word = std::format("{}({})", adapters::name_of(record->message->end_of_stream->reason),
                           record->message->end_of_stream->frames);
        break;
    }
    text += (text.empty() ? "" : " ") + word;
  }
  return text;
}

StreamStatus status_of(const Module& module, std::string_view source) {
  const auto status = module.status();
  const auto found = std::ranges::find(status.streams, source, &StreamStatus::id);
  return found == status.streams.end() ? StreamStatus() : *found;
}

std::string state_of(const Module& module, std::string_view source) {
  return status_of(module, source).state;
}

uint64_t dropped(const StreamStatus& status, std::string_view reason) {
  const auto found = std::ranges::find(status.dropped, reason, &std::pair<std::string, uint64_t>::first);
  return found == status.dropped.end() ? 0 : found->second;
}

bool holds_its_place(const StreamStatus& stream) {
  static constexpr std::string_view states[] = {"STARTING", "LIVE", "SWITCHING", "DRAINING"};
  return std::ranges::contains(states, stream.state);
}

::testing::AssertionResult is_balanced(const ModuleStatus& status) {
  for (const auto& stream : status.streams) {
    uint64_t sum = stream.stored + stream.in_flight;
    for (const auto& [reason, count] : stream.dropped) sum += count;
    if (sum != stream.received)
      return ::testing::AssertionFailure()
             << stream.id << ": received " << stream.received << ", stored " << stream.stored
             << ", in flight " << stream.in_flight << ", in all " << sum;
    if (const uint64_t lost = dropped(stream, "abandoned"))
      return ::testing::AssertionFailure() << stream.id << ": " << lost << " frames were abandoned";
  }
  return ::testing::AssertionSuccess();
}

ModuleSpec quick_spec() {
  ModuleSpec spec;
  spec.name = "test";
  spec.http.bind = "off";
  auto& rules = spec.streams;
  rules.stall_after = 3600 * 1000 * ms;
  rules.idle_timeout = stream::never;
  rules.quarantine_initial = 20 * ms;
  rules.quarantine_max = 100 * ms;
  rules.max_failures = 100;
  rules.drain_timeout = 20'000 * ms;
  rules.start_timeout = 20'000 * ms;
  rules.new_sources_per_second = 1000;
  rules.new_sources_burst = 1000;
  return spec;
}

}  // namespace sightglass::module::testing
