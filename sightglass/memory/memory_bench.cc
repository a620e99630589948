// What a frame pays for its memory: taking a block and giving it back, mapping it, wrapping another's,
// counting a copy. malloc stands beside it for comparison.
#include <benchmark/benchmark.h>

#include <cstdlib>

#include "sightglass/memory/completion_fence.h"
#include "sightglass/memory/copy_ledger.h"
#include "sightglass/memory/mapping.h"
#include "sightglass/memory/system/system_memory_pool.h"
#include "sightglass/memory/system/wrapped_memory.h"

namespace sightglass {
namespace {

constexpr size_t picture_bytes = 3 * 416 * 416 * sizeof(float);

void pool_acquire_release(benchmark::State& state) {
  static const auto pool = make_ref<SystemMemoryPool>(SystemMemoryPool::Options{.block_size = picture_bytes});
  for (auto _ : state) benchmark::DoNotOptimize(pool->acquire());
}
BENCHMARK(pool_acquire_release)->Threads(1)->Threads(2);

void malloc_free(benchmark::State& state) {
  for (auto _ : state) {
    void* memory = std::malloc(picture_bytes);
    benchmark::DoNotOptimize(memory);
    std::free(memory);
  }
}
BENCHMARK(malloc_free)->Threads(1)->Threads(2);

void map_unmap(benchmark::State& state) {
  const auto tensor = allocate_tensor({.type = DataType::f32, .shape = {1, 3, 416, 416}});
  for (auto _ : state) benchmark::DoNotOptimize(map(*tensor, Access::read));
}
BENCHMARK(map_unmap);

void map_behind_an_open_fence(benchmark::State& state) {
  const auto memory = allocate_memory(picture_bytes);
  const auto fence = make_ref<CompletionFence>();
  fence->set_ready();
  (*memory)->set_fence(fence);
  const Tensor tensor = tensor_in(*memory, {.type = DataType::f32, .shape = {1, 3, 416, 416}});
  for (auto _ : state) benchmark::DoNotOptimize(map(tensor, Access::read));
}
BENCHMARK(map_behind_an_open_fence);

void wrap_release(benchmark::State& state) {
  const auto pool = make_ref<WrapPool>();
  std::byte bytes[64];
  int released = 0;
  for (auto _ : state)
    benchmark::DoNotOptimize(pool->wrap(bytes, sizeof bytes, [&released] noexcept { ++released; }));
  benchmark::DoNotOptimize(released);
}
BENCHMARK(wrap_release);

void ledger_count(benchmark::State& state) {
  static CopyLedger ledger;
  CopyLedger::Hop& hop = ledger.hop("bench");
  for (auto _ : state) hop.copied(picture_bytes);
}
BENCHMARK(ledger_count);

}  // namespace
}  // namespace sightglass
