#include "samples/direct/opencl_blur.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "sightglass/core/registry.h"
#include "sightglass/memory/copy_ledger.h"
#include "sightglass/memory/map_to.h"
#include "sightglass/memory/mapping.h"
#include "sightglass/memory/system/system_frame.h"

namespace sightglass {
namespace {

using Plane = std::vector<std::vector<int>>;  // rows of bytes

Plane read(const Tensor& tensor) {
  auto mapped = map(tensor, Access::read).value();
  Plane rows;
  for (int64_t y = 0; y < tensor.shape[0]; ++y) {
    const uint8_t* row = mapped.row<const uint8_t>(y);
    rows.emplace_back(row, row + tensor.shape[1]);
  }
  return rows;
}

int mean(int sum, int count) { return (sum + count / 2) / count; }

// The same, plainly.
void blur(Plane& plane, int step, int left, int top, int right, int bottom, int radius_x, int radius_y) {
  const Plane before = plane;
  Plane rows = plane;
  for (int y = top; y < bottom; ++y)
    for (int x = left * step; x < right * step; ++x) {
      int sum = 0, count = 0;
      for (int i = -radius_x; i <= radius_x; ++i) {
        const int at = x + i * step;
        if (at >= left * step && at < right * step) sum += before[size_t(y)][size_t(at)], ++count;
      }
      rows[size_t(y)][size_t(x)] = mean(sum, count);
    }
  for (int y = top; y < bottom; ++y)
    for (int x = left * step; x < right * step; ++x) {
      int sum = 0, count = 0;
      for (int at = std::max(top, y - radius_y); at <= std::min(bottom - 1, y + radius_y); ++at)
        sum += rows[size_t(at)][size_t(x)], ++count;
      plane[size_t(y)][size_t(x)] = mean(sum, count);
    }
}

class OpenclBlurTest : public testing::Test {
 protected:
  void SetUp() override {
    if (auto context = default_context(MemoryKind::opencl); !context) GTEST_SKIP() << context.error().message;
    const ElementDesc* desc = find_element("opencl_blur");
    ASSERT_TRUE(desc);
    ParamSet params(desc->params);
    ASSERT_TRUE(params.set("radius", int64_t(5)));
    element_.reset(static_cast<TransformInplace*>(desc->create(params)->release()));
    ASSERT_TRUE(element_->start());
  }
  void TearDown() override {
    if (element_) element_->stop();
  }

  static Frame picture(PixelFormat format, int width, int height) {
    Frame frame = allocate_frame({.format = format, .width = width, .height = height}).value();
    unsigned state = 1;
    for (const Tensor& tensor : frame.tensors) {
      auto mapped = map(tensor, Access::write).value();
      for (int64_t y = 0; y < tensor.shape[0]; ++y)
        for (int64_t x = 0; x < tensor.shape[1]; ++x)
          mapped.row<uint8_t>(y)[x] = uint8_t((state = state * 1664525 + 1013904223) >> 24);
    }
    return frame;
  }

  std::unique_ptr<TransformInplace> element_;
};

TEST_F(OpenclBlurTest, IsThePlainBlurInsideTheBoxesAndNothingOutside) {
  for (PixelFormat format : {PixelFormat::i420, PixelFormat::nv12, PixelFormat::y42b, PixelFormat::bgr,
                             PixelFormat::rgbx, PixelFormat::rgbp, PixelFormat::gray8}) {
    SCOPED_TRACE(to_string(format));
    Frame frame = picture(format, 67, 45);
    std::vector<Plane> wanted;
    const Box boxes[] = {{.x = 0.1f, .y = 0.2f, .w = 0.33f, .h = 0.4f},
                         {.x = 0.3f, .y = 0.5f, .w = 0.9f, .h = 0.9f}};  // reaches beyond the picture
    for (size_t p = 0; p < frame.tensors.size(); ++p) wanted.push_back(read(frame.tensors[p]));
    for (const Box& box : boxes) {
      frame.regions.emplace_back().box = box;
      for (size_t p = 0; p < wanted.size(); ++p) {
        const PlaneLayout layout = plane_layout(format, p);
        const float width = float(plane_width(*frame.video, p)),
                    height = float(plane_height(*frame.video, p));
        blur(wanted[p], layout.pixel_bytes, int(std::floor(box.x * width)), int(std::floor(box.y * height)),
             int(std::ceil(std::min(box.right(), 1.f) * width)),
             int(std::ceil(std::min(box.bottom(), 1.f) * height)), 5 >> layout.shift_x, 5 >> layout.shift_y);
      }
    }
    auto verdict = element_->process(frame);
    ASSERT_TRUE(verdict) << verdict.error().message;
    EXPECT_EQ(*verdict, Verdict::pass);
    for (size_t p = 0; p < wanted.size(); ++p) EXPECT_EQ(read(frame.tensors[p]), wanted[p]) << "plane " << p;
  }
}

TEST_F(OpenclBlurTest, CopiesNothingWhereTheDeviceSharesTheMemoryOfTheCpu) {
  auto plan = plan_map({MemoryKind::system, PixelFormat::nv12}, {MemoryKind::opencl, PixelFormat::nv12});
  ASSERT_TRUE(plan) << plan.error().message;
  if ((*plan)->copies()) GTEST_SKIP() << "the device has memory of its own: " << (*plan)->to_string();
  Frame frame = picture(PixelFormat::nv12, 64, 64);
  frame.regions.emplace_back().box = {.x = 0.25f, .y = 0.25f, .w = 0.5f, .h = 0.5f};
  CopyLedger::process().reset();
  ASSERT_TRUE(element_->process(frame));
  EXPECT_EQ(CopyLedger::process().total().bytes_copied, 0u);
  EXPECT_GT(CopyLedger::process().total().bytes_shared, 0u);
}

TEST_F(OpenclBlurTest, LeavesFramesWithoutRegionsAlone) {
  Frame frame = picture(PixelFormat::gray8, 8, 8);
  const Plane before = read(frame.tensors[0]);
  ASSERT_TRUE(element_->process(frame));
  EXPECT_EQ(read(frame.tensors[0]), before);
  frame.regions.emplace_back().box = {.x = 2, .y = 2, .w = 1, .h = 1};  // outside
  ASSERT_TRUE(element_->process(frame));
  EXPECT_EQ(read(frame.tensors[0]), before);
  frame.video.reset();
  EXPECT_FALSE(element_->process(frame));
}

}  // namespace
}  // namespace sightglass
