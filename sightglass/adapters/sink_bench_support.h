// For benchmarks of sinks beside the client library that stands behind them: CPU of this process per record,
// of several ways that take turns, so that a machine that is busy meanwhile is so for all of them.
//
//   Turns turns(bench_batch);  // records of one batch
//   turns.add("bare_us", [&] { … });
//   turns.add("sink_us", [&] { … });
//   turns.run(state);
//   state.counters["ratio"] = turns.ratio("sink_us", "bare_us");
#pragma once

#include <benchmark/benchmark.h>
#include <sys/resource.h>

#include <algorithm>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sightglass/adapters/test_records.h"

namespace sightglass::adapters::testing {

inline constexpr size_t bench_batch = 500;  // records

// A batch of frames with ten objects each.
inline const std::vector<RecordRef>& bench_records() {
  static const std::vector<RecordRef> all = [] {
    std::vector<RecordRef> made;
    for (size_t i = 0; i < bench_batch; ++i) made.push_back(frame_record({.seq = int64_t(i), .objects = 10}));
    return made;
  }();
  return all;
}

// Of all threads; what other processes do does not count.
inline double cpu_seconds() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  const auto seconds = [](const timeval& time) { return double(time.tv_sec) + double(time.tv_usec) * 1e-6; };
  return seconds(used.ru_utime) + seconds(used.ru_stime);
}

class Turns {
 public:
  explicit Turns(size_t records) : records_(records) {}

  // `write` does one batch; false: it has failed.
  void add(std::string name, std::function<bool()> write) {
    ways_.push_back({.name = std::move(name), .write = std::move(write), .us = {}});
  }

  // A, B, C, A, B, C, …; medians of the rounds become counters.
  void run(benchmark::State& state, int rounds = 9, size_t batches = 20) {
    for (Way& way : ways_)
      if (!way.write()) return state.SkipWithError(way.name + " has failed");
    for (auto _ : state)
      for (int round = 0; round < rounds; ++round)
        for (Way& way : ways_) {
          const double begin = cpu_seconds();
          for (size_t i = 0; i < batches; ++i)
            if (!way.write()) return state.SkipWithError(way.name + " has failed");
          way.us.push_back((cpu_seconds() - begin) * 1e6 / double(records_ * batches));
        }
    for (const Way& way : ways_) state.counters[way.name] = median(way.us);
  }

  // The median of what each round says: both have run right after each other in it.
  double ratio(std::string_view a, std::string_view b) const {
    const auto& above = of(a);
    const auto& below = of(b);
    std::vector<double> ratios;
    for (size_t i = 0; i < std::min(above.size(), below.size()); ++i) ratios.push_back(above[i] / below[i]);
    return median(std::move(ratios));
  }

 private:
  struct Way {
    std::string name;
    std::function<bool()> write;
    std::vector<double> us;
  };
  static double median(std::vector<double> values) {
    if (values.empty()) return 0;
    std::ranges::sort(values);
    return values[values.size() / 2];
  }
  const std::vector<double>& of(std::string_view name) const {
    return std::ranges::find(ways_, name, &Way::name)->us;
  }

  const size_t records_;
  std::vector<Way> ways_;
};

}  // namespace sightglass::adapters::testing
