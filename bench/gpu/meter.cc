#include "bench/gpu/meter.h"

#include <dlfcn.h>
#include <unistd.h>

#include <algorithm>
#include <format>
#include <fstream>
#include <thread>

#include "sightglass/memory/copy_ledger.h"
#include "sightglass/memory/cuda/cuda.h"

namespace sightglass::bench {
namespace {

// Of the driver, which is not linked.
struct DeviceMemory {
  int (*push)(void*) = nullptr;
  int (*pop)(void**) = nullptr;
  int (*info)(size_t*, size_t*) = nullptr;
  void* context = nullptr;

  DeviceMemory() {
    const auto device = cuda_context(0);
    void* const driver = device ? dlopen("libcuda.so.1", RTLD_NOW | RTLD_NOLOAD) : nullptr;
    if (!driver) return;
    push = reinterpret_cast<int (*)(void*)>(dlsym(driver, "cuCtxPushCurrent_v2"));
    pop = reinterpret_cast<int (*)(void**)>(dlsym(driver, "cuCtxPopCurrent_v2"));
    info = reinterpret_cast<int (*)(size_t*, size_t*)>(dlsym(driver, "cuMemGetInfo_v2"));
    context = (*device)->handle("CUcontext");
  }
};

uint64_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  uint64_t all = 0, resident = 0;
  file >> all >> resident;
  return resident * uint64_t(sysconf(_SC_PAGESIZE));
}

}  // namespace

uint64_t memory_in_use() {
  static const DeviceMemory device;
  if (!device.context) return resident_bytes();
  size_t free = 0, total = 0;
  void* ignored = nullptr;
  if (device.push(device.context) != 0) return 0;
  const int code = device.info(&free, &total);
  device.pop(&ignored);
  return code == 0 ? total - free : 0;
}

std::map<std::string, uint64_t> copied() {
  std::map<std::string, uint64_t> bytes;
  for (const auto& hop : CopyLedger::process().snapshot()) bytes[hop.name] = hop.bytes_copied;
  return bytes;
}

std::string copied_json(const std::map<std::string, uint64_t>& before,
                        const std::map<std::string, uint64_t>& after) {
  std::string text;
  for (const auto& [name, bytes] : after) {
    const auto earlier = before.find(name);
    const uint64_t more = bytes - (earlier == before.end() ? 0 : earlier->second);
    if (more > 0) text += std::format("{}\"{}\": {}", text.empty() ? "" : ", ", name, more);
  }
  return "{" + text + "}";
}

void Meter::begin() {
  const std::lock_guard lock(mutex_);
  from_ = now(), from_cpu_ = cpu_seconds();
  copied_before_ = copied();
}

void Meter::wait(double seconds) const {
  const auto until = [&](double time, auto done) {
    while (!done() && now() < time) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  };
  until(now() + 60, [&] { return is_over_ || frames_ >= first_; });
  until(now() + seconds, [&] { return is_over_.load(); });
}

void Meter::end() {
  const std::lock_guard lock(mutex_);
  if (is_over_) return;
  is_over_ = true;
  in_all_ = frames_, to_ = now(), to_cpu_ = cpu_seconds();
  copied_after_ = copied();
}

std::string Meter::json() const {
  const long frames = std::max(in_all_ - first_, 0L);
  const bool counts = frames > 0 && from_ > 0 && to_ > from_;
  return std::format("\"frames\": {}, \"fps\": {:.1f}, \"cpu_ms_per_100\": {:.2f}, \"copied\": {}", frames,
                     counts ? double(frames) / (to_ - from_) : 0.0,
                     counts ? (to_cpu_ - from_cpu_) * 1e5 / double(frames) : 0.0,
                     copied_json(copied_before_, copied_after_));
}

}  // namespace sightglass::bench
