#include "sightglass/elements/video_to_tensor/cuda_preprocess.h"

#include <gmock/gmock.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "sightglass/memory/cuda/cuda_emulation.h"
// After what it is emulated with.
#include "sightglass/elements/video_to_tensor/cuda_kernel.cu"
#include "sightglass/elements/video_to_tensor/test_picture.h"
#include "sightglass/memory/cuda/cuda.h"
#include "sightglass/memory/cuda/cuda_module.h"
#include "sightglass/memory/cuda/cuda_stream.h"
#include "sightglass/memory/mapping.h"

namespace sightglass {

extern const CudaSource video_to_tensor_kernels;

namespace {

using Item = CudaPreprocessor::Item;
using test::Picture;
using test::Reference;

VideoInfo video(PixelFormat format, int width, int height) {
  VideoInfo info;
  info.format = format, info.width = width, info.height = height;
  return info;
}

TEST(CudaKernels, AreThereAsTextWithoutAnythingToInclude) {
  EXPECT_THAT(std::string(video_to_tensor_kernels.text), testing::HasSubstr("KERNELS(f16"));
  EXPECT_THAT(std::string(video_to_tensor_kernels.text), testing::Not(testing::HasSubstr("#include")));
}

TEST(CudaPreprocessOptions, SaysWhatItCannotDo) {
  const auto bicubic = CudaPreprocessor::shared(
      {}, video(PixelFormat::nv12, 64, 48), {.canvas = {32, 32}, .interpolation = Interpolation::bicubic});
  ASSERT_FALSE(bicubic);
  EXPECT_EQ(bicubic.error().code, ErrorCode::unsupported);
  const auto wide = CudaPreprocessor::shared({}, video(PixelFormat::gray16, 64, 48), {.canvas = {32, 32}});
  ASSERT_FALSE(wide);
  EXPECT_THAT(wide.error().message, testing::HasSubstr("GRAY16"));
}

using Kernel = void (*)(cuda::Batch);
const std::map<std::string, Kernel> emulated_kernels = {
#define KERNEL_OF(kind, type) {"preprocess_" #kind "_" #type, preprocess_##kind##_##type}
#define KERNELS_OF(type) KERNEL_OF(nv12, type), KERNEL_OF(p010, type), KERNEL_OF(any, type)
    KERNELS_OF(u8), KERNELS_OF(i8), KERNELS_OF(i32), KERNELS_OF(f16), KERNELS_OF(f32)};

enum class Runs : uint8_t { emulated, on_device };

class CudaPreprocess : public testing::TestWithParam<Runs> {
 protected:
  void SetUp() override {
    if (is_emulated()) return;
    auto opened = default_context(MemoryKind::cuda);
    if (!opened) GTEST_SKIP() << opened.error().message;
    context_ = *opened;
  }
  static bool is_emulated() { return GetParam() == Runs::emulated; }
  CUstream_st* stream() const { return static_cast<CUstream_st*>(context_->handle("CUstream")); }

  MemoryRef on_device(const void* bytes, size_t size) {
    auto block = allocate_cuda(context_, size);
    EXPECT_TRUE(block) << block.error().message;
    if (bytes) {
      Tensor whole{.type = DataType::u8, .shape = {int64_t(size)}, .strides = {1}};
      whole.memory = *block;
      auto mapped = map(whole, Access::write);
      EXPECT_TRUE(mapped) << mapped.error().message;
      std::memcpy(mapped->data(), bytes, size);
    }
    return *block;
  }
  std::vector<std::byte> from_device(const MemoryRef& block) {
    Tensor whole{.type = DataType::u8, .shape = {int64_t(block->size())}, .strides = {1}};
    whole.memory = block;
    EXPECT_TRUE(cuda_written(whole, stream()));
    auto mapped = map(whole, Access::read);
    EXPECT_TRUE(mapped) << mapped.error().message;
    return {mapped->data(), mapped->data() + block->size()};
  }

  // Every crop into a slot of its own; values as the kernels wrote them.
  template <class T>
  std::vector<T> run(Picture& picture, const PreprocessOptions& options, const std::vector<Crop>& crops) {
    const int channels = channel_count(options.channels);
    const int64_t pixels = int64_t(options.canvas.width) * options.canvas.height;
    std::vector<MemoryRef> planes;
    Item item;
    for (size_t p = 0; p < picture.planes.size(); ++p) {
      item.planes[p] = address_of(picture.bytes[p].data());
      if (!is_emulated()) {
        planes.push_back(on_device(picture.bytes[p].data(), picture.bytes[p].size()));
        item.planes[p] = static_cast<CudaMemory&>(*planes[p]).address();
      }
      item.strides[p] = int(picture.planes[p].stride);
    }
    const size_t slot_bytes = size_t(pixels * channels) * sizeof(T);
    std::vector<T> values(size_t(pixels * channels) * crops.size());
    const MemoryRef tensor = is_emulated() ? nullptr : on_device(nullptr, slot_bytes * crops.size());
    std::vector<Item> items(crops.size(), item);
    for (size_t i = 0; i < crops.size(); ++i) {
      items[i].crop = crops[i];
      items[i].slot =
          (is_emulated() ? address_of(values.data()) : static_cast<CudaMemory&>(*tensor).address()) +
          i * slot_bytes;
    }
    const CudaPreprocessor::SlotLayout layout =
        options.planar ? CudaPreprocessor::SlotLayout{options.canvas.width, 1, pixels}
                       : CudaPreprocessor::SlotLayout{int64_t(options.canvas.width) * channels, channels, 1};
    const Status done = is_emulated() ? emulate(picture, options, items, layout)
                                      : run_on_device(picture, options, items, layout);
    EXPECT_TRUE(done) << done.error().message;
    if (!done) return {};
    for (const auto& written : items)
      EXPECT_EQ(
          written.affine,
          affine(place(options.rule, picture.info.pixel_aspect, written.crop, options.canvas), picture.info));
    if (is_emulated()) return values;
    const std::vector<std::byte> bytes = from_device(tensor);
    std::memcpy(values.data(), bytes.data(), bytes.size());
    return values;
  }

  static Status emulate(const Picture& picture, const PreprocessOptions& options, std::span<Item> items,
                        const CudaPreprocessor::SlotLayout& layout) {
    auto plan = CudaPreprocessPlan::make(picture.info, options);
    if (!plan) return forward_error(plan);
    cuda::Batch batch = plan->batch(layout);
    for (; !items.empty(); items = items.subspan(size_t(batch.tasks))) {
      batch.tasks = int(std::min<size_t>(items.size(), cuda::most_tasks));
      for (size_t i = 0; i < size_t(batch.tasks); ++i) batch.task[i] = plan->task(items[i]);
      const auto [grid, block, shared] = plan->launch_size(size_t(batch.tasks));
      cuda_emulation::launch({grid[0], grid[1], grid[2]}, {block[0], block[1], block[2]},
                             emulated_kernels.at(plan->kernel()), batch);
    }
    return {};
  }
  Status run_on_device(const Picture& picture, const PreprocessOptions& options, std::span<Item> items,
                       const CudaPreprocessor::SlotLayout& layout) {
    auto made = CudaPreprocessor::shared(context_, picture.info, options);
    if (!made) return forward_error(made);
    // Uploads ran in the context's stream, as this does.
    return (*made)->run(items, layout, stream());
  }

  double error_of(Picture& picture, const PreprocessOptions& options, const std::vector<Crop>& crops) {
    const std::vector<float> values = run<float>(picture, options, crops);
    const int channels = channel_count(options.channels);
    const auto [width, height] = options.canvas;
    double worst = values.empty() ? 1e9 : 0;
    size_t slot = 0;
    for (const Crop& crop : crops) {
      const Reference reference(picture, options,
                                place(options.rule, picture.info.pixel_aspect, crop, options.canvas));
      for (int y = 0; y < height; ++y)
        for (int x = 0; x < width; ++x) {
          std::array<double, 3> expected{};
          if (reference.inside(x, y))
            expected = reference.pixel(x, y);
          else
            for (size_t c = 0; c < 3; ++c)
              expected[c] = options.pad_value.empty()
                                ? 0
                                : options.pad_value[std::min(c, options.pad_value.size() - 1)];
          for (int c = 0; c < channels; ++c) {
            const size_t at = options.planar ? size_t((c * height + y) * width + x)
                                             : size_t((y * width + x) * channels + c);
            worst = std::max(worst, std::abs(values.at(slot + at) - expected[size_t(c)]));
          }
        }
      slot += size_t(width) * size_t(height) * size_t(channels);
    }
    return worst;
  }

  ContextRef context_;
};

TEST_P(CudaPreprocess, AgreesWithTheDefinitionForEveryFormat) {
  for (const PixelFormat format : all_8_bit_formats())
    for (const ColorMatrix matrix : {ColorMatrix::bt601, ColorMatrix::bt709}) {
      VideoInfo info = video(format, 97, 61);
      info.matrix = matrix;
      Picture picture(info, 6);
      picture.fill_noise();
      const PreprocessOptions options{
          .canvas = {40, 33}, .rule = {Resize::letterbox}, .planar = true, .pad_value = {114}};
      EXPECT_LT(error_of(picture, options, {{0, 0, 97, 61}, {11, 7, 50, 40}}), 0.02) << to_string(format);
    }
}

TEST_P(CudaPreprocess, AgreesForEveryRuleOrderAndLayout) {
  Picture picture(video(PixelFormat::nv12, 128, 96), 32);
  picture.fill_smooth();
  for (const Resize resize :
       {Resize::stretch, Resize::letterbox, Resize::letterbox_topleft, Resize::crop, Resize::none})
    for (const ChannelOrder order : {ChannelOrder::rgb, ChannelOrder::bgr, ChannelOrder::gray})
      for (const bool planar : {false, true}) {
        const PreprocessOptions options{.canvas = {75, 50},
                                        .rule = {resize},
                                        .channels = order,
                                        .planar = planar,
                                        .pad_value = {10, 20, 30}};
        PreprocessOptions fitting = options;
        if (order == ChannelOrder::gray) fitting.pad_value = {10};
        EXPECT_LT(error_of(picture, fitting, {{0, 0, 128, 96}, {32, 16, 3, 2}, {100, 90, 28, 6}}), 0.02)
            << int(resize) << ' ' << int(order) << ' ' << planar;
      }
}

TEST_P(CudaPreprocess, TakesTheNearestSample) {
  Picture picture(video(PixelFormat::i420, 64, 48), 0);
  picture.fill_noise();
  const PreprocessOptions options{
      .canvas = {32, 24}, .interpolation = Interpolation::nearest, .planar = true};
  EXPECT_LT(error_of(picture, options, {{0, 0, 64, 48}, {8, 8, 16, 16}}), 0.02);
}

TEST_P(CudaPreprocess, FillsMoreSlotsThanOneLaunchHolds) {
  Picture picture(video(PixelFormat::nv12, 200, 100), 56);
  picture.fill_smooth();
  std::vector<Crop> crops;
  for (int i = 0; i < 53; ++i) crops.push_back({2 * i, i, 10 + i, 20 + i % 7});
  EXPECT_LT(error_of(picture, {.canvas = {24, 24}, .planar = true}, crops), 0.02);
}

TEST_P(CudaPreprocess, NormalisesRoundsAndSaturates) {
  Picture picture(video(PixelFormat::rgb, 16, 16), 0);
  picture.fill([](size_t, int x, int y, int) { return uint8_t(16 * y + x); });
  const std::vector<Crop> whole = {{0, 0, 16, 16}};
  PreprocessOptions options{.canvas = {16, 16}, .planar = true, .mean = {127}, .std = {2}};
  options.type = DataType::i8;
  const auto narrow = run<int8_t>(picture, options, whole);
  options.type = DataType::i32;
  const auto wide = run<int32_t>(picture, options, whole);
  options.type = DataType::f16;
  options.range = {0, 1}, options.mean = {0.5}, options.std = {0.25};
  const auto half = run<uint16_t>(picture, options, whole);
  ASSERT_EQ(narrow.size(), 768u);
  for (int v = 0; v < 256; ++v) {
    EXPECT_NEAR(narrow[size_t(v)], (v - 127) / 2.0, 0.5);
    EXPECT_NEAR(wide[size_t(v)], (v - 127) / 2.0, 0.5);
    const _Float16 value = std::bit_cast<_Float16>(half[size_t(v)]);
    EXPECT_NEAR(double(value), (v / 255.0 - 0.5) / 0.25, 2e-3);
  }
  options = {.canvas = {16, 16}, .planar = true, .type = DataType::u8, .mean = {-100}};
  const auto saturated = run<uint8_t>(picture, options, whole);
  for (int v = 0; v < 256; ++v) EXPECT_EQ(saturated[size_t(v)], std::min(v + 100, 255));
}

TEST_P(CudaPreprocess, UsesAllTenBits) {
  Picture picture(video(PixelFormat::p010, 32, 16), 0);
  picture.fill([](size_t plane, int x, int, int byte) {
    const int value = plane == 0 ? (64 + x) << 6 : 512 << 6;  // ten bits, upper part
    return uint8_t(byte == 0 || (plane == 1 && byte == 2) ? value & 255 : value >> 8);
  });
  picture.info.full_range = true;
  const auto values = run<float>(picture, {.canvas = {32, 16}, .planar = true}, {{0, 0, 32, 16}});
  ASSERT_EQ(values.size(), 1536u);
  for (int x = 0; x < 32; ++x) EXPECT_NEAR(values[size_t(x)], (64 + x) / 4.0, 0.01);
}

TEST_P(CudaPreprocess, CompiledAtRunTimeIsTheSame) {
  if (is_emulated()) GTEST_SKIP() << "nothing is compiled for the CPU at run time";
  const auto built = CudaModule::load(context_, video_to_tensor_kernels);
  ASSERT_TRUE(built) << built.error().message;
  const auto compiled = CudaModule::load(context_, video_to_tensor_kernels, true);
  if (!compiled && compiled.error().code == ErrorCode::unavailable) GTEST_SKIP() << compiled.error().message;
  ASSERT_TRUE(compiled) << compiled.error().message;
  EXPECT_THAT(std::string((*compiled)->origin()), testing::HasSubstr("NVRTC"));
  // load() gives the newest from now on.
  Picture picture(video(PixelFormat::nv12, 64, 48), 0);
  picture.fill_smooth();
  EXPECT_LT(error_of(picture, {.canvas = {33, 21}, .planar = true}, {{0, 0, 64, 48}}), 0.02);
}

INSTANTIATE_TEST_SUITE_P(Kernels, CudaPreprocess, testing::Values(Runs::emulated, Runs::on_device),
                         [](const auto& run) {
                           return run.param == Runs::emulated ? "Emulated" : "OnDevice";
                         });

}  // namespace
}  // namespace sightglass
