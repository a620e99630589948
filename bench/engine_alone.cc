// The engine and nothing else: what it reaches with so many requests side by side is what a pipeline is
// measured against.
//
//   engine_alone MODEL REQUESTS FRAMES [BATCH]
//
// With BATCH so many frames are one run, of a model with a free batch axis. Prints one JSON object: frames
// per second, CPU seconds per frame, and which library it was.
#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <format>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

#include "sightglass/model/engine.h"

namespace sightglass {
namespace {

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) { return double(t.tv_sec) + double(t.tv_usec) * 1e-6; };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// One request with an input of its own, filled with a pattern.
class Worker {
 public:
  Worker(LoadedModel& model, int batch)
      : request_(model.request()), outputs_(model.signature().outputs.size()) {
    for (const TensorInfo& info : model.signature().inputs) {
      TensorInfo fixed = info;
      if (fixed.shape[0] < 0) fixed.shape[0] = batch;
      auto& bytes = storage_.emplace_back(fixed.bytes());
      if (fixed.type == DataType::f32) {
        auto* values = reinterpret_cast<float*>(bytes.data());
        for (size_t i = 0; i < bytes.size() / sizeof(float); ++i) values[i] = float(i * 7919 % 256);
      }
      inputs_.push_back({.data = bytes.data(), .shape = fixed.shape});
    }
  }
  Status run() {
    for (Binding& output : outputs_) output = {};
    return request_->run(inputs_, outputs_);
  }

 private:
  std::unique_ptr<ModelRequest> request_;
  std::vector<std::vector<std::byte>> storage_;
  std::vector<Binding> inputs_, outputs_;
};

Status measure(const std::string& path, int requests, int frames, int batch) {
  auto engine = engine_for(path);
  if (!engine) return forward_error(engine);
  auto model = (*engine)->load(path, {.free_batch = batch > 1});
  if (!model) return forward_error(model);
  std::vector<Worker> workers;
  for (int i = 0; i < requests; ++i) {
    workers.emplace_back(**model, batch);
    if (auto status = workers.back().run(); !status) return status;
  }

  std::atomic<int> left = frames;
  std::atomic<bool> failed = false;
  const double cpu_before = cpu_seconds();
  const auto before = std::chrono::steady_clock::now();
  std::vector<std::thread> threads;
  for (Worker& worker : workers)
    threads.emplace_back([&] {
      while (left.fetch_sub(batch) > 0)
        if (!worker.run()) failed = true;
    });
  for (std::thread& thread : threads) thread.join();
  const std::chrono::duration<double> wall = std::chrono::steady_clock::now() - before;
  const double cpu = cpu_seconds() - cpu_before;
  if (failed) return fail(ErrorCode::internal, "{}: a run failed", path);
  auto info = (*engine)->info();
  if (!info) return forward_error(info);
  std::cout << std::format(R"({{"fps": {:.3f}, "cpu_seconds": {:.6f}, "version": "{}", "library": "{}"}})",
                           frames / wall.count(), cpu / frames, info->version, info->library)
            << std::endl;
  return {};
}

}  // namespace
}  // namespace sightglass

int main(int argc, char** argv) {
  if (argc != 4 && argc != 5) {
    std::cerr << "usage: engine_alone MODEL REQUESTS FRAMES [BATCH]\n";
    return 2;
  }
  const int batch = argc == 5 ? std::max(1, std::atoi(argv[4])) : 1;
  const int frames = std::max(1, std::atoi(argv[3]) / batch) * batch;
  const auto status = sightglass::measure(argv[1], std::max(1, std::atoi(argv[2])), frames, batch);
  if (!status) std::cerr << status.error().to_string() << '\n';
  return status ? 0 : 1;
}
