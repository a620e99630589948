// For tests of sinks against servers: a sink with the queue, retries and dead letters of a module, and many
// records.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "sightglass/adapters/adapter.h"
#include "sightglass/adapters/test_records.h"
#include "sightglass/module/sink_runner.h"
#include "sightglass/module/sink_settings.h"
#include "tests/long_form.h"
#include "tests/servers/server_process.h"

namespace sightglass::adapters::testing {

using Options = std::vector<std::pair<std::string, std::string>>;

inline Result<std::unique_ptr<Sink>> make_sink(const std::string& type, const Options& options,
                                               uint64_t batch_bytes = 0) {
  const SinkDesc& desc = *find_sink(type);
  ParamSet params(desc.params);
  for (const auto& [key, value] : options)
    if (Status set = params.set_text(key, value); !set) return forward_error(set);
  return desc.create(params, {.name = "store", .batch_bytes = batch_bytes ? batch_bytes : desc.batch_bytes});
}

inline std::unique_ptr<Sink> open_sink(const std::string& type, const Options& options,
                                       uint64_t batch_bytes = 0) {
  auto sink = make_sink(type, options, batch_bytes);
  EXPECT_TRUE(sink) << sink.error().message;
  const Status started = (*sink)->start();
  EXPECT_TRUE(started) << started.error().message;
  return std::move(*sink);
}

// Writes once; what the sink says of each.
inline Result<std::vector<Stored>> write_to(Sink& sink, const std::vector<RecordRef>& records) {
  std::vector<Stored> outcome(records.size(), Stored::yes);
  if (Status written = sink.write(records, outcome); !written) return forward_error(written);
  return outcome;
}
inline std::vector<Stored> outcome_of(Sink& sink, const std::vector<RecordRef>& records) {
  auto outcome = write_to(sink, records);
  if (outcome) return *outcome;
  ADD_FAILURE() << outcome.error().message;
  return {};
}

class Flow {
 public:
  Flow(const std::string& type, const Options& options, const std::string& folder, unsigned batch = 100) {
    const SinkDesc& desc = *find_sink(type);
    auto params = std::make_shared<ParamSet>(desc.params);
    for (const auto& [key, value] : options) {
      const Status set = params->set_text(key, value);
      EXPECT_TRUE(set) << set.error().message;
    }
    module::SinkSettings settings{.name = "store", .module = "test", .desc = &desc};
    settings.required = true;
    settings.queue.records = 500;
    settings.queue.policy = module::QueuePolicy::block;
    settings.params = params;
    settings.batch_records = batch;
    settings.batch_bytes = desc.batch_bytes;
    settings.retry_initial = 20'000'000;
    settings.retry_max = 200'000'000;
    settings.dead_letter = folder + "/dead";
    auto runner = module::SinkRunner::open(settings);
    EXPECT_TRUE(runner) << runner.error().message;
    if (!runner) return;
    runner_ = std::move(*runner);
    const Status started = runner_->start();
    EXPECT_TRUE(started) << started.error().message;
  }

  // Waits while the queue is full, as a stream does.
  void give(const RecordRef& record) {
    const auto parcel = std::make_shared<const module::Parcel>(record, nullptr, nullptr);
    while (runner_->offer(parcel, 1, [] {}) == module::SinkRunner::Offer::full) {
      most_queued_ = std::max(most_queued_, runner_->status().queued);
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    parcel->done(true);
    uuids_.insert(stream::to_string(record->uuid));
  }
  // `meanwhile` is called between them, with how many have been given.
  void give_many(int records, const std::function<void(int)>& meanwhile = {}) {
    for (int i = 0; i < records; ++i) {
      if (meanwhile) meanwhile(i);
      give(frame_record({.source_id = i % 2 ? "odd" : "even", .seq = i, .objects = 1}));
    }
  }
  bool wait_stored() {
    return test::eventually([&] { return runner_->is_idle(); }, std::chrono::seconds(120));
  }
  module::SinkStatus status() const { return runner_->status(); }
  const std::set<std::string>& uuids() const { return uuids_; }
  uint64_t most_queued() const { return most_queued_; }

 private:
  std::unique_ptr<module::SinkRunner> runner_;
  std::set<std::string> uuids_;
  uint64_t most_queued_ = 0;
};

inline std::vector<std::string> lines_of(const std::string& path) {
  std::vector<std::string> lines;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

// How many records flow past a fault.
inline int flow_records() { return test::long_or(10'000, 2'000); }

// Records flow while their server is killed, started again, stopped in mid-air, goes on, and is restarted.
// A server dies with the thread that has started it: that is this one.
inline void disturb(Flow& flow, test::ServerProcess& server) {
  const auto records = uint64_t(flow_records());
  std::jthread giving([&] { flow.give_many(int(records)); });
  const auto delivered = [&](uint64_t least) {
    EXPECT_TRUE(test::eventually([&] { return flow.status().delivered >= least; })) << least;
  };
  const auto has_failed = [&] {
    const uint64_t before = flow.status().retries;
    EXPECT_TRUE(test::eventually([&] { return flow.status().retries > before; }));
  };
  delivered(records / 5);
  server.kill();
  has_failed();
  server.restart();
  delivered(records / 2);
  server.pause();
  has_failed();
  server.go_on();
  delivered(records * 4 / 5);
  server.stop();
  server.restart();
}

}  // namespace sightglass::adapters::testing
