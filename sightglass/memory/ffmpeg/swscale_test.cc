#include "sightglass/memory/ffmpeg/swscale.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <thread>
#include <vector>

#include "sightglass/memory/map_to.h"
#include "sightglass/memory/mapping.h"
#include "sightglass/memory/system/system_frame.h"
#include "sightglass/memory/system/wrapped_memory.h"
#include "sightglass/memory/view.h"

namespace sightglass {
namespace {

struct Weights {
  double red, blue;
};
Weights weights(ColorMatrix matrix) {
  return matrix == ColorMatrix::bt709    ? Weights{.2126, .0722}
         : matrix == ColorMatrix::bt2020 ? Weights{.2627, .0593}
                                         : Weights{.299, .114};
}

using Colour = std::array<double, 3>;

// Straight from the definition, 0..255.
Colour to_yuv(const Colour& rgb, const VideoInfo& video) {
  const auto [red, blue] = weights(video.matrix);
  const double y = red * rgb[0] + (1 - red - blue) * rgb[1] + blue * rgb[2];
  const double u = (rgb[2] - y) / (2 * (1 - blue)), v = (rgb[0] - y) / (2 * (1 - red));
  if (video.full_range) return {y, u + 128, v + 128};
  return {y * 219 / 255 + 16, u * 224 / 255 + 128, v * 224 / 255 + 128};
}

Colour to_rgb(const Colour& yuv, const VideoInfo& video) {
  const auto [red, blue] = weights(video.matrix);
  const double y = video.full_range ? yuv[0] : (yuv[0] - 16) * 255 / 219;
  const double scale = video.full_range ? 1 : 255.0 / 224;
  const double u = (yuv[1] - 128) * scale, v = (yuv[2] - 128) * scale;
  const double r = y + 2 * (1 - red) * v, b = y + 2 * (1 - blue) * u;
  return {r, (y - red * r - blue * b) / (1 - red - blue), b};
}

double clamped(double value) { return std::clamp(value, 0.0, 255.0); }

// Where the picture's three components of a pixel lie: plane and byte in the pixel.
std::array<std::pair<size_t, int>, 3> components(PixelFormat format) {
  switch (format) {
    case PixelFormat::rgb:
    case PixelFormat::rgbx:
    case PixelFormat::rgba:
      return {{{0, 0}, {0, 1}, {0, 2}}};
    case PixelFormat::bgr:
    case PixelFormat::bgrx:
    case PixelFormat::bgra:
      return {{{0, 2}, {0, 1}, {0, 0}}};
    case PixelFormat::bgrp:
      return {{{2, 0}, {1, 0}, {0, 0}}};
    default:
      return {{{0, 0}, {1, 0}, {2, 0}}};
  }
}

template <class F>
void for_each_pixel(const Frame& frame, Access access, F visit) {
  std::vector<Mapping> planes;
  for (const Tensor& tensor : frame.tensors) planes.push_back(map(tensor, access).value());
  const auto where = components(frame.video->format);
  for (int y = 0; y < frame.video->height; ++y)
    for (int x = 0; x < frame.video->width; ++x) {
      std::array<uint8_t*, 3> bytes;
      for (size_t c = 0; c < 3; ++c)
        bytes[c] = planes[where[c].first].row<uint8_t>(y) +
                   x * plane_layout(frame.video->format, where[c].first).pixel_bytes + where[c].second;
      visit(x, y, bytes);
    }
}

constexpr int width = 37, height = 23;

// A gradient of all colours; in Y'CbCr those that a screen can show.
Frame picture(const VideoInfo& video) {
  Frame frame = allocate_frame(video, 4).value();
  for_each_pixel(frame, Access::write, [&](int x, int y, const std::array<uint8_t*, 3>& bytes) {
    Colour colour = {x * 255.0 / (width - 1), y * 255.0 / (height - 1), double((x * 11 + y * 5) % 256)};
    if (is_yuv(video.format)) colour = to_yuv(colour, video);
    for (size_t c = 0; c < 3; ++c) *bytes[c] = uint8_t(std::lround(clamped(colour[c])));
  });
  return frame;
}

double worst(const Frame& from, const Frame& to) {
  std::vector<Colour> expected;
  for_each_pixel(from, Access::read, [&](int, int, const std::array<uint8_t*, 3>& bytes) {
    Colour colour = {double(*bytes[0]), double(*bytes[1]), double(*bytes[2])};
    if (is_yuv(from.video->format)) colour = to_rgb(colour, *from.video);
    for (double& c : colour) c = clamped(c);
    if (is_yuv(to.video->format)) colour = to_yuv(colour, *to.video);
    expected.push_back(colour);
  });
  double result = 0;
  size_t i = 0;
  for_each_pixel(to, Access::read, [&](int, int, const std::array<uint8_t*, 3>& bytes) {
    for (size_t c = 0; c < 3; ++c) result = std::max(result, std::abs(expected[i][c] - *bytes[c]));
    ++i;
  });
  return result;
}

constexpr PixelFormat rgb_formats[] = {PixelFormat::rgb,  PixelFormat::bgr,  PixelFormat::rgbx,
                                       PixelFormat::bgrx, PixelFormat::rgba, PixelFormat::bgra,
                                       PixelFormat::rgbp, PixelFormat::bgrp};

TEST(Swscale, IsWithinTwoLevelsOfTheDefinitionAtFullChroma) {
  for (const ColorMatrix matrix : {ColorMatrix::bt601, ColorMatrix::bt709, ColorMatrix::bt2020})
    for (const bool full_range : {false, true})
      for (const PixelFormat rgb : rgb_formats) {
        const VideoInfo yuv{PixelFormat::y444, width, height, matrix, full_range};
        VideoInfo other = yuv;
        other.format = rgb;
        const Frame from_yuv = picture(yuv), from_rgb = picture(other);
        EXPECT_LE(worst(from_yuv, convert_picture(from_yuv, other).value()), 2)
            << "to " << to_string(rgb) << " matrix " << int(matrix) << " full " << full_range;
        EXPECT_LE(worst(from_rgb, convert_picture(from_rgb, yuv).value()), 2)
            << "from " << to_string(rgb) << " matrix " << int(matrix) << " full " << full_range;
      }
}

TEST(Swscale, ReordersColoursExactly) {
  for (const PixelFormat from : rgb_formats)
    for (const PixelFormat to : rgb_formats) {
      const Frame frame = picture({from, width, height});
      EXPECT_EQ(worst(frame, convert_picture(frame, {to, width, height}).value()), 0)
          << to_string(from) << " to " << to_string(to);
    }
}

TEST(Swscale, ChangesTheRangeAndTheMatrix) {
  const VideoInfo limited{PixelFormat::y444, width, height, ColorMatrix::bt601, false};
  VideoInfo full = limited;
  full.full_range = true;
  EXPECT_LE(worst(picture(limited), convert_picture(picture(limited), full).value()), 2);
  EXPECT_LE(worst(picture(full), convert_picture(picture(full), limited).value()), 2);
  VideoInfo hd = limited;
  hd.matrix = ColorMatrix::bt709;
  EXPECT_LE(worst(picture(limited), convert_picture(picture(limited), hd).value()), 3);
}

TEST(Swscale, EveryPairKeepsAPlainColour) {
  const Colour red = {200, 60, 40};
  for (const PixelFormat from : all_pixel_formats())
    for (const PixelFormat to : all_pixel_formats()) {
      if (from == to) continue;
      SCOPED_TRACE(std::format("{} to {}", to_string(from), to_string(to)));
      // Through RGB there and back, so that one definition serves for all.
      const VideoInfo rgb{PixelFormat::rgb, 13, 11};
      Frame frame = allocate_frame(rgb).value();
      for_each_pixel(frame, Access::write, [&](int, int, const auto& bytes) {
        for (size_t c = 0; c < 3; ++c) *bytes[c] = uint8_t(red[c]);
      });
      const auto step = [](const Frame& picture, PixelFormat format) {
        auto mapped = map_to(picture, {.form = {MemoryKind::system, format}});
        if (!mapped) throw std::runtime_error(mapped.error().message);
        return mapped->frame();
      };
      const Frame made = step(step(step(frame, from), to), PixelFormat::rgb);
      const bool grey = from == PixelFormat::gray8 || from == PixelFormat::gray16 ||
                        to == PixelFormat::gray8 || to == PixelFormat::gray16;
      const double luma = .299 * red[0] + .587 * red[1] + .114 * red[2];
      for_each_pixel(made, Access::read, [&](int x, int y, const auto& bytes) {
        for (size_t c = 0; c < 3; ++c)
          ASSERT_NEAR(*bytes[c], grey ? luma : red[c], 4) << x << "," << y << " component " << c;
      });
    }
}

TEST(Swscale, HalfChromaIsRepeatedAndWithinThreeLevels) {
  for (const int w : {64, 38, 37})
    for (const PixelFormat from :
         {PixelFormat::i420, PixelFormat::yv12, PixelFormat::y42b, PixelFormat::nv12, PixelFormat::nv21})
      for (const PixelFormat to : rgb_formats)
        for (const bool full_range : {false, true}) {
          const VideoInfo video{from, w, 24, ColorMatrix::bt709, full_range};
          const Frame frame = allocate_frame(video).value();
          for (const Tensor& tensor : frame.tensors) {
            auto mapping = map(tensor, Access::write).value();
            for (int64_t y = 0; y < mapping.shape()[0]; ++y)
              for (int64_t x = 0; x < mapping.shape()[1]; ++x)
                mapping.row<uint8_t>(y)[x] = uint8_t(70 + (x * 37 + y * 23) % 110);
          }
          // The same with all its chroma.
          VideoInfo full = video;
          full.format = PixelFormat::y444;
          const Frame repeated = allocate_frame(full).value();
          const bool pairs = frame.tensors.size() == 2, swapped = from == PixelFormat::nv21;
          for (size_t c = 0; c < 3; ++c) {
            const size_t p = c == 0 ? 0 : pairs ? 1 : from == PixelFormat::yv12 ? 3 - c : c;
            const PlaneLayout layout = plane_layout(from, p);
            auto in = map(frame.tensors[p], Access::read).value();
            auto out = map(repeated.tensors[c], Access::write).value();
            const int64_t byte = pairs && c > 0 ? ((c == 2) != swapped) : 0;
            for (int y = 0; y < 24; ++y)
              for (int x = 0; x < w; ++x)
                out.row<uint8_t>(y)[x] =
                    in.row<uint8_t>(y >> layout.shift_y)[(x >> layout.shift_x) * layout.pixel_bytes + byte];
          }
          VideoInfo wanted = video;
          wanted.format = to;
          EXPECT_LE(worst(repeated, convert_picture(frame, wanted).value()), 3)
              << to_string(from) << " to " << to_string(to) << " width " << w << " full " << full_range;
        }
}

// Blocks come back from the pool as they were left.
TEST(Swscale, EveryByteIsWritten) {
  for (const PixelFormat from : all_pixel_formats())
    for (const PixelFormat to : all_pixel_formats())
      for (const bool full_range : {false, true})
        for (const int size : {16, 13, 24}) {
          const VideoInfo video{from, size == 24 ? 23 : size, size == 13 ? 11 : 12, ColorMatrix::bt601,
                                full_range};
          VideoInfo wanted = video;
          wanted.format = to;
          Frame frame = allocate_frame(video).value();
          for (const Tensor& tensor : frame.tensors) {
            auto mapping = map(tensor, Access::write).value();
            for (int64_t y = 0; y < mapping.shape()[0]; ++y)
              std::fill_n(mapping.row<uint8_t>(y), mapping.shape()[1], uint8_t(100));
          }
          std::vector<uint8_t> results[2];
          for (const uint8_t left : {uint8_t(0x11), uint8_t(0xee)}) {
            {
              const Frame before = convert_picture(frame, wanted).value();
              const MemoryRef& memory = before.tensors[0].memory;
              std::fill_n(*memory->map(Access::write), memory->size(), std::byte(left));
              memory->unmap(Access::write);
            }
            const Frame made = convert_picture(frame, wanted).value();
            for (const Tensor& tensor : made.tensors) {
              auto mapping = map(tensor, Access::read).value();
              for (int64_t y = 0; y < mapping.shape()[0]; ++y)
                results[left == 0xee].insert(results[left == 0xee].end(), mapping.row<uint8_t>(y),
                                             mapping.row<uint8_t>(y) + mapping.shape()[1]);
            }
          }
          EXPECT_EQ(results[0], results[1]) << to_string(from) << " to " << to_string(to) << " " << size;
        }
}

// A picture that ends with the last byte of its pages, as in shared memory.
TEST(Swscale, ReadsNothingBehindTheEndOfAPage) {
  const size_t page = size_t(sysconf(_SC_PAGESIZE));
  auto* const pages = static_cast<std::byte*>(
      mmap(nullptr, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  ASSERT_NE(pages, MAP_FAILED);
  ASSERT_EQ(mprotect(pages + page, page, PROT_NONE), 0);
  for (const PixelFormat from : all_pixel_formats())
    for (const PixelFormat to : all_pixel_formats()) {
      const VideoInfo video{from, 29, 13};
      Frame frame;
      frame.video = video;
      size_t end = page;
      for (size_t p = plane_count(from); p-- > 0;) {
        const int64_t rows = plane_height(video, p),
                      row = plane_width(video, p) * plane_layout(from, p).pixel_bytes;
        end -= size_t(rows * row);
        frame.tensors.insert(frame.tensors.begin(),
                             Tensor{nullptr, end, DataType::u8, Layout::hw, {rows, row}, {row, 1}});
      }
      const MemoryRef memory = wrap_memory(pages, page, {});
      for (Tensor& tensor : frame.tensors) tensor.memory = memory;
      EXPECT_TRUE(convert_picture(frame, {to, 29, 13})) << to_string(from) << " to " << to_string(to);
      if (from != to) {
        EXPECT_TRUE(convert_picture_into(convert_picture(frame, {to, 29, 13}).value(), frame));
      }
    }
  munmap(pages, 2 * page);
}

TEST(Swscale, ToOpaqueAlpha) {
  const Frame frame = picture({PixelFormat::rgb, width, height});
  const Frame made = convert_picture(frame, {PixelFormat::rgba, width, height}).value();
  auto mapping = map(made.tensors[0], Access::read).value();
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x) ASSERT_EQ(mapping.row<uint8_t>(y)[4 * x + 3], 255);
}

TEST(Swscale, WritesBackIntoAViewAndNothingBeside) {
  for (const PixelFormat format : {PixelFormat::rgb, PixelFormat::bgra, PixelFormat::i420, PixelFormat::nv12,
                                   PixelFormat::gray8, PixelFormat::p010}) {
    SCOPED_TRACE(to_string(format));
    const Frame whole = allocate_frame({format, 64, 48}, 4).value();
    for (const Tensor& tensor : whole.tensors) {
      auto mapping = map(tensor, Access::write).value();
      for (int64_t y = 0; y < mapping.shape()[0]; ++y)
        std::fill_n(mapping.row<uint8_t>(y), mapping.shape()[1], uint8_t(77));
    }
    const Frame part = view_of(whole, {.x = 8, .y = 4, .w = 37, .h = 21}).value();
    auto mapped =
        map_to(part, {.form = {MemoryKind::system, PixelFormat::y444}, .access = Access::read_write});
    ASSERT_TRUE(mapped) << mapped.error().message;
    for (const Tensor& tensor : mapped->frame().tensors) {
      auto mapping = map(tensor, Access::write).value();
      for (int64_t y = 0; y < mapping.shape()[0]; ++y)
        std::fill_n(mapping.row<uint8_t>(y), mapping.shape()[1], uint8_t(180));
    }
    ASSERT_TRUE(mapped->finish());
    for (size_t p = 0; p < whole.tensors.size(); ++p) {
      const PlaneLayout layout = plane_layout(format, p);
      auto mapping = map(whole.tensors[p], Access::read).value();
      const int64_t left = (8 >> layout.shift_x) * layout.pixel_bytes, top = 4 >> layout.shift_y;
      const int64_t right = left + part.tensors[p].shape[1], bottom = top + part.tensors[p].shape[0];
      for (int64_t y = 0; y < mapping.shape()[0]; ++y)
        for (int64_t x = 0; x < mapping.shape()[1]; ++x)
          if (x < left || x >= right || y < top || y >= bottom) {
            ASSERT_EQ(mapping.row<uint8_t>(y)[x], 77) << "plane " << p << " at " << x << "," << y;
          }
    }
    EXPECT_NE(map(part.tensors[0], Access::read)->row<uint8_t>(3)[5], 77);
  }
}

TEST(Swscale, ManyThreadsConvertAtATime) {
  const Frame frame = picture({PixelFormat::y444, width, height});
  const Frame expected = convert_picture(frame, {PixelFormat::rgb, width, height}).value();
  std::vector<std::jthread> threads;
  std::array<double, 4> results{};
  for (size_t t = 0; t < results.size(); ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 50; ++i) {
        // Of several sizes, so that conversions are made, kept and dropped.
        const int size = 8 + (i + int(t)) % 24;
        (void)convert_picture(allocate_frame({PixelFormat::rgb, size, 8}).value(),
                              {PixelFormat::nv12, size, 8});
        results[t] = std::max(
            results[t], worst(expected, convert_picture(frame, {PixelFormat::rgb, width, height}).value()));
      }
    });
  threads.clear();
  for (const double result : results) EXPECT_EQ(result, 0);
}

TEST(Swscale, RefusesOtherSizesAndBrokenFrames) {
  const Frame frame = picture({PixelFormat::rgb, width, height});
  auto other_size = convert_picture(frame, {PixelFormat::rgb, width + 1, height});
  ASSERT_FALSE(other_size);
  EXPECT_EQ(other_size.error().message, "a conversion keeps the size; 37x23 cannot become 38x23");
  Frame broken = frame;
  broken.tensors[0].shape = {height, 5};
  EXPECT_FALSE(convert_picture(broken, {PixelFormat::bgr, width, height}));
  broken.tensors.clear();
  EXPECT_FALSE(convert_picture(broken, {PixelFormat::bgr, width, height}));
  broken = frame;
  broken.tensors[0].memory = nullptr;
  EXPECT_FALSE(convert_picture(broken, {PixelFormat::bgr, width, height}));
  broken = frame;
  broken.tensors[0].offset += size_t(1) << 20;
  EXPECT_FALSE(convert_picture(broken, {PixelFormat::bgr, width, height}));
}

}  // namespace
}  // namespace sightglass
