// What the queue on disk adds to a sink, CPU of the whole process per record of 10 objects; the peers of
// stores only acknowledge.
//
//   memory_us      the queue without a disk (policy block)
//   default_us     policy spill: on disk once memory is full, which it is not here
//   outbox_us      and durable: each record is on disk before it counts as stored
//   ratio_default  default / memory; at most 1.2
//   ratio          outbox / memory; at most 1.2
//
// `…_per_s` are records per second of wall time.
#include <benchmark/benchmark.h>

#include <chrono>

#include "sightglass/adapters/sink_bench_support.h"
#include "sightglass/adapters/sink_flow_test_support.h"

namespace sightglass::adapters {
namespace {

constexpr size_t batch = testing::bench_batch;
const auto& records = testing::bench_records;

class Queued {
 public:
  Queued(const SinkDesc& desc, const testing::Options& options, const std::filesystem::path& folder,
         module::QueuePolicy policy, bool durable) {
    auto params = std::make_shared<ParamSet>(desc.params);
    for (const auto& [key, value] : options) (void)params->set_text(key, value);
    module::SinkSettings settings{
        .name = "store", .module = "bench", .spill_folder = folder, .required = true, .desc = &desc};
    settings.params = params;
    settings.queue.policy = policy;
    settings.queue.records = 4 * batch;
    settings.queue.durable = durable;
    settings.batch_records = batch;
    settings.batch_bytes = desc.batch_bytes;
    settings.batch_time = 20'000'000;
    auto runner = module::SinkRunner::open(settings);
    if (runner && (*runner)->start()) runner_ = std::move(*runner);
  }

  // One batch, until it is stored.
  bool write() {
    if (!runner_) return false;
    const auto begin = std::chrono::steady_clock::now();
    for (const RecordRef& record : records()) {
      const auto parcel = std::make_shared<const module::Parcel>(record, nullptr, nullptr);
      if (runner_->offer(parcel, 1, [] {}) != module::SinkRunner::Offer::taken) return false;
      parcel->done(true);
    }
    while (!runner_->is_idle()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    seconds_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    ++batches_;
    return runner_->status().dropped == 0;
  }
  double per_second() const { return seconds_ > 0 ? double(batches_ * batch) / seconds_ : 0; }

 private:
  std::unique_ptr<module::SinkRunner> runner_;
  double seconds_ = 0;
  size_t batches_ = 0;
};

void compare(benchmark::State& state, const std::string& type, const testing::Options& options) {
  const test::TemporaryFolder folder;
  const SinkDesc& desc = *find_sink(type);
  // One sink of each file.
  const auto with_folder = [&](const char* name) {
    testing::Options all = options;
    if (type == "json_file") all.emplace_back("folder", (folder.path() / name).string());
    return all;
  };
  using module::QueuePolicy;
  Queued memory(desc, with_folder("memory"), folder.path() / "none", QueuePolicy::block, false);
  Queued usual(desc, with_folder("default"), folder.path() / "spill", QueuePolicy::spill, false);
  Queued outbox(desc, with_folder("outbox"), folder.path() / "outbox", QueuePolicy::spill, true);
  testing::Turns turns(batch);
  turns.add("memory_us", [&] { return memory.write(); });
  turns.add("default_us", [&] { return usual.write(); });
  turns.add("outbox_us", [&] { return outbox.write(); });
  turns.run(state);
  if (state.skipped()) return;
  state.counters["ratio_default"] = turns.ratio("default_us", "memory_us");
  state.counters["ratio"] = turns.ratio("outbox_us", "memory_us");
  state.counters["memory_per_s"] = memory.per_second();
  state.counters["outbox_per_s"] = outbox.per_second();
}

void elasticsearch(benchmark::State& state) {
  const auto server = test::ServerProcess::script("elasticsearch_double.py", {"--discard"});
  compare(state, "elasticsearch", {{"url", "http://" + server.address()}});
}
BENCHMARK(elasticsearch)->Iterations(1)->Unit(benchmark::kMillisecond);

void mongodb(benchmark::State& state) {
  const auto server = test::ServerProcess::script("mongodb_double.py", {"--discard"});
  compare(state, "mongodb", {{"url", "mongodb://" + server.address()}});
}
BENCHMARK(mongodb)->Iterations(1)->Unit(benchmark::kMillisecond);

void json_file(benchmark::State& state) { compare(state, "json_file", {}); }
BENCHMARK(json_file)->Iterations(1)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace sightglass::adapters
