// For tests: a picture of one colour in any format, with padded rows whose padding is watched, and its pixels
// as red, green and blue.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "sightglass/core/frame.h"
#include "sightglass/elements/opencv_meta_overlay/canvas.h"
#include "sightglass/memory/system/system_memory.h"

namespace sightglass {

class TestPicture {
 public:
  static constexpr uint8_t guard = 0xa5;

  TestPicture(PixelFormat format, int width, int height) {
    frame.video = VideoInfo{.format = format, .width = width, .height = height};
    for (size_t plane = 0; plane < plane_count(format); ++plane) {
      const int64_t row = int64_t(plane_width(*frame.video, plane)) * plane_layout(format, plane).pixel_bytes,
                    stride = row + 5;
      const int rows = plane_height(*frame.video, plane);
      auto memory = allocate_memory(size_t(stride * rows));
      EXPECT_TRUE(memory);
      auto* data = reinterpret_cast<uint8_t*>((*memory)->data());
      std::memset(data, guard, size_t(stride * rows));
      frame.tensors.push_back(
          tensor_in(*memory, {.type = DataType::u8, .shape = {rows, row}, .strides = {stride, 1}}));
      planes_.push_back({reinterpret_cast<std::byte*>(data), stride});
    }
    Canvas canvas = this->canvas();
    canvas.fill({0, 0, width, height}, ink_of({64, 64, 64}, *frame.video));
    pristine_ = bytes();
  }

  Canvas canvas() const {
    Canvas canvas;
    canvas.open(*frame.video, planes_);
    return canvas;
  }
  uint8_t sample(size_t plane, int x, int y) const {
    return uint8_t(planes_[plane].data[y * planes_[plane].stride + x]);
  }

  // Nearest chroma; the same value three times for GRAY8.
  Color at(int x, int y) const {
    const PixelFormat format = frame.video->format;
    const auto chroma = [&](size_t plane, int offset) {
      const PlaneLayout layout = plane_layout(format, plane);
      return double(sample(plane, (x >> layout.shift_x) * layout.pixel_bytes + offset, y >> layout.shift_y)) -
             128;
    };
    const auto color = [](double r, double g, double b) {
      const auto byte = [](double v) { return uint8_t(std::clamp(std::lround(v), 0l, 255l)); };
      return Color{byte(r), byte(g), byte(b)};
    };
    double cb = 0, cr = 0;
    switch (format) {
      case PixelFormat::rgb:
        return color(sample(0, 3 * x, y), sample(0, 3 * x + 1, y), sample(0, 3 * x + 2, y));
      case PixelFormat::bgr:
        return color(sample(0, 3 * x + 2, y), sample(0, 3 * x + 1, y), sample(0, 3 * x, y));
      case PixelFormat::rgbx:
      case PixelFormat::rgba:
        return color(sample(0, 4 * x, y), sample(0, 4 * x + 1, y), sample(0, 4 * x + 2, y));
      case PixelFormat::bgrx:
      case PixelFormat::bgra:
        return color(sample(0, 4 * x + 2, y), sample(0, 4 * x + 1, y), sample(0, 4 * x, y));
      case PixelFormat::rgbp:
        return color(sample(0, x, y), sample(1, x, y), sample(2, x, y));
      case PixelFormat::bgrp:
        return color(sample(2, x, y), sample(1, x, y), sample(0, x, y));
      case PixelFormat::nv12:
        cb = chroma(1, 0), cr = chroma(1, 1);
        break;
      case PixelFormat::nv21:
        cr = chroma(1, 0), cb = chroma(1, 1);
        break;
      case PixelFormat::yv12:
        cr = chroma(1, 0), cb = chroma(2, 0);
        break;
      case PixelFormat::gray8:
        break;
      default:
        cb = chroma(1, 0), cr = chroma(2, 0);
        break;
    }
    const double y_value = 1.164384 * (sample(0, x, y) - 16);
    return color(y_value + 1.596027 * cr, y_value - 0.391762 * cb - 0.812968 * cr, y_value + 2.017232 * cb);
  }

  uint8_t* row(size_t plane, int64_t y) const {
    return reinterpret_cast<uint8_t*>(planes_[plane].data + y * planes_[plane].stride);
  }
  int64_t stride(size_t plane) const { return planes_[plane].stride; }

  bool untouched() const { return bytes() == pristine_; }
  void expect_padding_intact() const {
    for (size_t plane = 0; plane < planes_.size(); ++plane)
      for (int64_t y = 0; y < frame.tensors[plane].shape[0]; ++y)
        for (int64_t x = frame.tensors[plane].shape[1];
             x < planes_[plane].stride && y + 1 < frame.tensors[plane].shape[0]; ++x)
          ASSERT_EQ(sample(plane, int(x), int(y)), guard);
  }

  Frame frame;

  std::vector<uint8_t> bytes() const {
    std::vector<uint8_t> all;
    for (size_t plane = 0; plane < planes_.size(); ++plane) {
      const auto* data = reinterpret_cast<const uint8_t*>(planes_[plane].data);
      all.insert(all.end(), data, data + frame.tensors[plane].memory->size());
    }
    return all;
  }

 private:
  std::vector<Canvas::Plane> planes_;
  std::vector<uint8_t> pristine_;
};

inline void expect_near(Color actual, Color expected, int tolerance = 3) {
  EXPECT_NEAR(actual.r, expected.r, tolerance);
  EXPECT_NEAR(actual.g, expected.g, tolerance);
  EXPECT_NEAR(actual.b, expected.b, tolerance);
}

}  // namespace sightglass
