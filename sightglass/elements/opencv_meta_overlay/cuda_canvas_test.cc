#include "sightglass/elements/opencv_meta_overlay/cuda_canvas.h"

#include <gmock/gmock.h>

#include <cstring>
#include <random>

#include "sightglass/memory/cuda/cuda_emulation.h"
// After what it is emulated with.
#include "sightglass/elements/opencv_meta_overlay/draw_kernel.cu"

#include "sightglass/core/registry.h"
#include "sightglass/elements/opencv_meta_overlay/canvas.h"
#include "sightglass/elements/opencv_meta_overlay/opencv_meta_overlay.h"
#include "sightglass/elements/opencv_meta_overlay/test_picture.h"
#include "sightglass/memory/copy_ledger.h"
#include "sightglass/memory/cuda/cuda.h"
#include "sightglass/memory/cuda/cuda_module.h"
#include "sightglass/memory/map_to.h"
#include "tests/cuda/driver_double.h"

namespace sightglass {

extern const CudaSource meta_overlay_kernels;

namespace {

TEST(OverlayKernels, AreThereAsTextWithoutAnythingToInclude) {
  EXPECT_THAT(std::string(meta_overlay_kernels.text), testing::HasSubstr("draw_tiles"));
  EXPECT_THAT(std::string(meta_overlay_kernels.text), testing::Not(testing::HasSubstr("#include")));
}

// Draws lists by the kernels, emulated.
class EmulatedCanvas final : public Painter {
 public:
  explicit EmulatedCanvas(TestPicture& picture) {
    std::array<ComponentPlace, 4> places;
    canvas_.component_count = int(component_places(picture.frame.video->format, places));
    canvas_.width = picture.frame.video->width, canvas_.height = picture.frame.video->height;
    for (int i = 0; i < canvas_.component_count; ++i) {
      const ComponentPlace& place = places[size_t(i)];
      canvas_.components[i] = {picture.row(place.plane, 0) + place.byte, picture.stride(place.plane),
                               place.step, place.shift_x, place.shift_y};
    }
    for (size_t i = 0; i < palette_size; ++i)
      std::ranges::copy(ink_of(palette_color(i), *picture.frame.video), canvas_.palette[i]);
  }

  Status draw(const DrawList& list) override {
    for (size_t next = 0; next < list.commands().size();) {
      next = plan_.step(list, next);
      block_.assign(plan_.bytes(), std::byte{0});
      plan_.write(list, block_.data());
      if (plan_.is_mosaic()) {
        draw::Mosaic mosaic{};
        std::ranges::copy(canvas_.components, mosaic.components);
        mosaic.component_count = canvas_.component_count;
        mosaic.squares = at<draw::Area>(plan_.squares());
        cuda_emulation::launch({plan_.blocks(), 1, 1}, {32, 8, 1}, draw_mosaic, mosaic);
        continue;
      }
      canvas_.commands = at<draw::Command>(plan_.commands());
      canvas_.tiles = at<draw::Tile>(plan_.tiles());
      canvas_.references = at<unsigned>(plan_.references());
      canvas_.masks = at<draw::Mask>(plan_.masks());
      canvas_.cells = at<unsigned char>(plan_.cells());
      canvas_.atlas = list.atlas().masks.data();
      cuda_emulation::launch({plan_.blocks(), 1, 1}, {draw::tile_width / 2, draw::tile_height / 2, 1},
                             draw_tiles, canvas_);
    }
    return {};
  }

 private:
  template <class T>
  const T* at(size_t offset) const {
    return reinterpret_cast<const T*>(block_.data() + offset);
  }
  draw::Canvas canvas_{};
  DrawPlan plan_;
  std::vector<std::byte> block_;
};

class Drawn : public testing::TestWithParam<PixelFormat> {
 protected:
  Drawn() {
    atlas_.masks.resize(1000);
    for (uint8_t& value : atlas_.masks) value = uint8_t(number(0, 255));
  }
  int number(int low, int high) { return std::uniform_int_distribution(low, high)(random_); }
  Rect rect(int width, int height) {
    return {number(-10, width + 5), number(-10, height + 5), number(1, width), number(1, height)};
  }
  Ink ink() { return {uint8_t(number(0, 255)), uint8_t(number(0, 255)), uint8_t(number(0, 255)), 255}; }
  Point point(int width, int height) {
    return {float(number(-200, 10 * width + 200)) / 10, float(number(-200, 10 * height + 200)) / 10};
  }
  Mapping mask(DataType type, int height, int width) {
    auto tensor = allocate_tensor({.type = type, .shape = {height, width}});
    auto mapping = map(*tensor, Access::read_write);
    for (int i = 0; i < height * width; ++i) {
      if (type == DataType::f32)
        mapping->as<float>()[size_t(i)] = float(number(0, 1000)) / 1000;
      else
        mapping->as<uint8_t>()[size_t(i)] = number(0, 3) == 0 ? 255 : uint8_t(number(0, 30));
    }
    return *std::move(mapping);
  }
  // The same for both, by the same numbers.
  void fill_list(DrawList& list, unsigned seed) {
    random_.seed(seed);
    const int w = list.width(), h = list.height();
    for (int i = 0; i < 3; ++i) list.mosaic(rect(w, h), number(5, 20));
    for (int i = 0; i < 40; ++i) switch (number(0, 6)) {
        case 0:
          list.fill(rect(w, h), ink());
          break;
        case 1:
          list.fill(rect(w, h), ink(), uint8_t(number(0, 255)));
          break;
        case 2:
          list.frame(rect(w, h), number(1, 5), ink());
          break;
        case 3:
          list.glyph({number(-5, w), number(-5, h), 25, 30}, uint32_t(number(0, 250)), ink());
          break;
        case 4:
          list.line(point(w, h), point(w, h), float(number(1, 60)) / 10, ink());
          break;
        case 5:
          list.scores(mask(DataType::f32, number(1, 20), number(1, 20)), rect(w, h), ink());
          break;
        case 6:
          list.labels(mask(DataType::u8, number(1, 60), number(1, 60)), rect(w, h));
          break;
      }
  }
  void add_noise(TestPicture& picture, unsigned seed) {
    random_.seed(seed);
    for (size_t plane = 0; plane < plane_count(picture.frame.video->format); ++plane)
      for (int64_t y = 0; y < picture.frame.tensors[plane].shape[0]; ++y)
        for (int64_t x = 0; x < picture.frame.tensors[plane].shape[1]; ++x)
          picture.row(plane, y)[x] = uint8_t(number(0, 255));
  }

  std::minstd_rand random_;
  GlyphAtlas atlas_;
};
INSTANTIATE_TEST_SUITE_P(OverlayKernels, Drawn,
                         testing::ValuesIn(all_pixel_formats().begin(), all_pixel_formats().end()),
                         [](const auto& format) { return std::string(to_string(format.param)); });

TEST_P(Drawn, TheSameByKernelsAsByTheCpu) {
  unsigned seed = 1;
  for (const auto& [width, height] : {std::pair(1, 1), {2, 3}, {33, 21}, {67, 35}}) {
    TestPicture expected(GetParam(), width, height), drawn(GetParam(), width, height);
    add_noise(expected, ++seed), add_noise(drawn, seed);
    Canvas canvas = expected.canvas();
    EmulatedCanvas emulated(drawn);
    for (Painter* painter : {static_cast<Painter*>(&canvas), static_cast<Painter*>(&emulated)}) {
      DrawList list;
      list.begin(*expected.frame.video, atlas_, painter);
      fill_list(list, seed);
      EXPECT_TRUE(list.end());
    }
    EXPECT_EQ(drawn.bytes(), expected.bytes()) << width << 'x' << height;
    EXPECT_FALSE(drawn.untouched());
    drawn.expect_padding_intact();
  }
}

TEST_P(Drawn, FromSeveralStepsAsFromOne) {
  TestPicture expected(GetParam(), 64, 48), drawn(GetParam(), 64, 48);
  Canvas canvas = expected.canvas();
  EmulatedCanvas emulated(drawn);
  for (Painter* painter : {static_cast<Painter*>(&canvas), static_cast<Painter*>(&emulated)}) {
    random_.seed(7);
    DrawList list;
    list.begin(*expected.frame.video, atlas_, painter);
    for (int i = 0; i < 20000; ++i) list.fill({number(0, 60), number(0, 40), 5, 5}, ink(), 90);
    EXPECT_TRUE(list.end());
  }
  EXPECT_EQ(drawn.bytes(), expected.bytes());
}

// ---- On a device, or on the double of one, whose kernels are emulated

using test::cuda_double;
using test::host_address;

void on_host(draw::Component (&components)[4]) {
  for (draw::Component& component : components) component.data = host_address(component.data);
}
dim3 to_dim3(const unsigned (&size)[3]) { return {size[0], size[1], size[2]}; }

void emulate_tiles(const unsigned (&grid)[3], const unsigned (&block)[3], const void* argument) {
  draw::Canvas canvas = *static_cast<const draw::Canvas*>(argument);
  on_host(canvas.components);
  canvas.commands = host_address(canvas.commands);
  canvas.tiles = host_address(canvas.tiles);
  canvas.references = host_address(canvas.references);
  canvas.masks = host_address(canvas.masks);
  canvas.cells = host_address(canvas.cells);
  canvas.atlas = host_address(canvas.atlas);
  cuda_emulation::launch(to_dim3(grid), to_dim3(block), draw_tiles, canvas);
}

void emulate_mosaic(const unsigned (&grid)[3], const unsigned (&block)[3], const void* argument) {
  draw::Mosaic mosaic = *static_cast<const draw::Mosaic*>(argument);
  on_host(mosaic.components);
  mosaic.squares = host_address(mosaic.squares);
  cuda_emulation::launch(to_dim3(grid), to_dim3(block), draw_mosaic, mosaic);
}

class OverlayOnCuda : public testing::TestWithParam<PixelFormat> {
 protected:
  void SetUp() override {
    auto opened = default_context(MemoryKind::cuda);
    if (!opened) GTEST_SKIP() << opened.error().message;
    if (!cuda_double().set_kernel) return;
    cuda_double().set_kernel("draw_tiles", emulate_tiles);
    cuda_double().set_kernel("draw_mosaic", emulate_mosaic);
  }
  void TearDown() override {
    if (cuda_double().heal) cuda_double().heal();
  }
  // Kernels of the double do nothing: for what the host does, in the time that it takes.
  static void leave_out_kernels() {
    if (!cuda_double().set_kernel) return;
    for (const char* kernel : {"draw_tiles", "draw_mosaic"}) cuda_double().set_kernel(kernel, nullptr);
  }
  std::unique_ptr<Element> overlay(std::initializer_list<std::pair<const char*, const char*>> values) {
    const ElementDesc* desc = find_element("opencv_meta_overlay");
    ParamSet params(desc->params);
    for (const auto& [name, text] : values) EXPECT_TRUE(params.set_text(name, text)) << name;
    auto element = desc->create(params);
    EXPECT_TRUE((*element)->start());
    return std::move(*element);
  }
};
INSTANTIATE_TEST_SUITE_P(Formats, OverlayOnCuda,
                         testing::Values(PixelFormat::nv12, PixelFormat::p010, PixelFormat::bgra),
                         [](const auto& format) { return std::string(to_string(format.param)); });

std::vector<Region> many_objects(int count = 40) {
  std::vector<Region> regions;
  for (int i = 0; i < count; ++i) {
    Region& region = regions.emplace_back();
    region.box = {0.11f * float(i % 8) - 0.03f, 0.2f * float(i / 8) - 0.02f, 0.1f, 0.17f};
    region.label = Label(i % 3 ? "person" : "Größe ☃");
    region.track = i;
    region.angle = i % 5 == 0 ? 0.3f : 0;
  }
  return regions;
}

// Edges of lines may be rounded otherwise.
TEST_P(OverlayOnCuda, DrawsWhatTheCpuDraws) {
  const auto on_cpu =
      overlay({{"enable-blur", "true"}, {"show-blur-roi", "Größe ☃"}, {"ff-custom-txt", "camera 1"}});
  const auto on_device =
      overlay({{"enable-blur", "true"}, {"show-blur-roi", "Größe ☃"}, {"ff-custom-txt", "camera 1"}});
  for (int frame = 0; frame < 2; ++frame) {
    TestPicture expected(GetParam(), 241, 135), drawn(GetParam(), 241, 135);
    expected.frame.regions = many_objects(10 + 5 * frame);
    ASSERT_TRUE(static_cast<TransformInplace&>(*on_cpu).process(expected.frame));
    auto mapped = map_to(drawn.frame, {.form = {MemoryKind::cuda, GetParam()}, .access = Access::read_write});
    ASSERT_TRUE(mapped) << mapped.error().message;
    Frame there = mapped->frame();
    there.regions = expected.frame.regions;
    const auto verdict = static_cast<TransformInplace&>(*on_device).process(there);
    ASSERT_TRUE(verdict) << verdict.error().message;
    there.tensors.clear();
    ASSERT_TRUE(mapped->finish());
    EXPECT_FALSE(drawn.untouched());
    double squares = 0;
    int worst = 0;
    const std::vector<uint8_t> a = expected.bytes(), b = drawn.bytes();
    for (size_t i = 0; i < a.size(); ++i) {
      const int away = std::abs(a[i] - b[i]);
      worst = std::max(worst, away), squares += away * away;
    }
    EXPECT_LE(worst, 1);
    EXPECT_LT(squares / double(a.size()), 0.001);  // 78 dB
    drawn.expect_padding_intact();
  }
}

TEST_P(OverlayOnCuda, TenThousandObjectsAreDrawn) {
  leave_out_kernels();
  const auto element = overlay({{"show-labels", "false"}});
  TestPicture drawn(GetParam(), 320, 240);
  auto mapped = map_to(drawn.frame, {.form = {MemoryKind::cuda, GetParam()}, .access = Access::read_write});
  ASSERT_TRUE(mapped) << mapped.error().message;
  Frame there = mapped->frame();
  for (int i = 0; i < 250; ++i)
    for (const Region& region : many_objects()) there.regions.push_back(region);
  ASSERT_TRUE(static_cast<TransformInplace&>(*element).process(there));
  there.tensors.clear();
  ASSERT_TRUE(mapped->finish());
  EXPECT_EQ(drawn.untouched(), cuda_double().set_kernel != nullptr);
}

uint64_t downloaded() {
  uint64_t bytes = 0;
  for (const auto& entry : CopyLedger::process().snapshot())
    if (entry.name == "CUDA memory mapped for the CPU") bytes += entry.bytes_copied;
  return bytes;
}

uint64_t sent() {
  for (const auto& entry : CopyLedger::process().snapshot())
    if (entry.name == "overlay commands to the device") return entry.bytes_copied;
  return 0;
}

// What crosses are a few kilobytes; letters go once, and warm nothing is allocated on the device.
TEST_P(OverlayOnCuda, SendsCommandsOnly) {
  leave_out_kernels();
  const auto element = overlay({});
  TestPicture picture(GetParam(), 1280, 720);
  auto mapped = map_to(picture.frame, {.form = {MemoryKind::cuda, GetParam()}, .access = Access::read_write});
  ASSERT_TRUE(mapped) << mapped.error().message;
  Frame there = mapped->frame();
  const auto all = many_objects();
  there.regions.assign(all.begin(), all.begin() + 10);
  uint64_t first = 0, last = 0;
  unsigned allocations = 0, launches = 0;
  for (int frame = 0; frame < 8; ++frame) {
    const uint64_t before = sent();
    const unsigned allocated = cuda_double().calls ? cuda_double().calls("cuMemAlloc_v2") : 0,
                   launched = cuda_double().calls ? cuda_double().calls("cuLaunchKernel") : 0;
    ASSERT_TRUE(static_cast<TransformInplace&>(*element).process(there));
    last = sent() - before;
    if (frame == 0) first = last;
    if (cuda_double().calls) {
      allocations = cuda_double().calls("cuMemAlloc_v2") - allocated;
      launches = cuda_double().calls("cuLaunchKernel") - launched;
    }
  }
  EXPECT_GT(first, last);
  EXPECT_LT(last, 40000u);
  EXPECT_EQ(allocations, 0u);
  EXPECT_EQ(launches, cuda_double().calls ? 1u : 0u);
  EXPECT_EQ(downloaded(), 0u);
}

// Whatever call of the driver fails: an error, no crash, and the next frame is drawn.
TEST_P(OverlayOnCuda, FailsWithTheDriverAndRecovers) {
  if (!cuda_double().fail) GTEST_SKIP() << "needs the driver of tests/cuda";
  leave_out_kernels();
  TestPicture picture(GetParam(), 64, 48);
  auto mapped = map_to(picture.frame, {.form = {MemoryKind::cuda, GetParam()}, .access = Access::read_write});
  ASSERT_TRUE(mapped) << mapped.error().message;
  const auto element = overlay({{"enable-blur", "true"}});
  bool failed = true;
  for (unsigned call = 1; failed; ++call) {
    ASSERT_LT(call, 500u);
    Frame there = mapped->frame();
    there.regions = many_objects();
    cuda_double().fail("", call, test::device_gone);
    failed = !static_cast<TransformInplace&>(*element).process(there);
    cuda_double().heal();
    const auto again = static_cast<TransformInplace&>(*element).process(there);
    ASSERT_TRUE(again) << again.error().message;
  }
}

TEST_P(OverlayOnCuda, APlaneThatIsTooShortIsAnError) {
  const auto element = overlay({});
  TestPicture picture(GetParam(), 64, 48);
  auto mapped = map_to(picture.frame, {.form = {MemoryKind::cuda, GetParam()}, .access = Access::read_write});
  ASSERT_TRUE(mapped) << mapped.error().message;
  Frame there = mapped->frame();
  there.regions = many_objects();
  there.tensors.back().offset += 4096;
  const auto verdict = static_cast<TransformInplace&>(*element).process(there);
  ASSERT_FALSE(verdict);
  EXPECT_EQ(verdict.error().code, ErrorCode::corrupt);
}

}  // namespace
}  // namespace sightglass
