#include "sightglass/memory/cuda/cuda_emulation.h"

#include <gmock/gmock.h>

#include <numeric>
#include <vector>

#include "sightglass/memory/cuda/cuda_half.h"

namespace sightglass::cuda {
namespace {

using testing::ElementsAre;

struct Numbers {
  const int* from;
  int* to;
  int count;
};

__global__ void add_up(const __grid_constant__ Numbers numbers) {
  __shared__ int part[64];
  const int at = int(blockIdx.x * blockDim.x + threadIdx.x);
  part[threadIdx.x] = at < numbers.count ? numbers.from[at] : 0;
  for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) part[threadIdx.x] += part[threadIdx.x + half];
  }
  if (threadIdx.x == 0) atomicAdd(numbers.to, part[0]);
}

TEST(CudaEmulation, ThreadsOfABlockMeetAtBarriers) {
  std::vector<int> from(1000);
  std::iota(from.begin(), from.end(), 1);
  int sum = 0;
  cuda_emulation::launch({16}, {64}, add_up, Numbers{from.data(), &sum, 1000});
  EXPECT_EQ(sum, 500500);
}

__global__ void take_of_neighbour(int* numbers) {
  const unsigned next = (threadIdx.x + 1) % blockDim.x;
  const int value = numbers[next];  // no barrier here
  numbers[threadIdx.x] = value;
  __syncthreads();
  numbers[threadIdx.x] = numbers[next];
}

TEST(CudaEmulation, AMissingBarrierShows) {
  std::vector<int> numbers(4);
  std::iota(numbers.begin(), numbers.end(), 0);
  cuda_emulation::launch({1}, {4}, take_of_neighbour, numbers.data());
  EXPECT_THAT(numbers, testing::Not(ElementsAre(2, 3, 0, 1)));
}

__global__ void write_place(int* places) {
  const unsigned x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y,
                 z = blockIdx.z * blockDim.z + threadIdx.z;
  places[(z * gridDim.y * blockDim.y + y) * gridDim.x * blockDim.x + x] += int(x + 10 * y + 100 * z);
}

TEST(CudaEmulation, EveryThreadOfTheGridRunsOnce) {
  std::vector<int> places(6 * 4 * 2);
  cuda_emulation::launch({3, 2, 1}, {2, 2, 2}, write_place, places.data());
  for (int z = 0, i = 0; z < 2; ++z)
    for (int y = 0; y < 4; ++y)
      for (int x = 0; x < 6; ++x, ++i) EXPECT_EQ(places[size_t(i)], x + 10 * y + 100 * z);
}

__global__ void some_return_early(int stays) {
  if (int(threadIdx.x) >= stays) return;
  __syncthreads();
}

TEST(CudaEmulationDeathTest, ABarrierThatNotAllReachEndsTheTest) {
  cuda_emulation::launch({1}, {8}, some_return_early, 8);
  EXPECT_DEATH(cuda_emulation::launch({1}, {8}, some_return_early, 5),
               "thread 0 waits in line .*, but thread 5 has returned");
}

TEST(CudaEmulation, HalvesAreRoundedToTheNearest) {
  EXPECT_EQ(to_half(1.f).bits, 0x3c00);
  EXPECT_EQ(to_half(65520.f).bits, 0x7c00);  // no longer 65504
  EXPECT_EQ(to_float(Half{0x3555}), 0.333251953125f);
  for (unsigned bits = 0; bits < 0x7c00; ++bits)
    EXPECT_EQ(to_half(to_float(Half{static_cast<unsigned short>(bits)})).bits, bits);
}

}  // namespace
}  // namespace sightglass::cuda
