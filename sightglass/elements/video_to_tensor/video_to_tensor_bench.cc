// The fused pre-processing against what a user would write instead, on one thread. Names are
// v2t/FORMAT/SOURCE/TENSOR/WAY, so that the ways can be compared within one run:
//
//   fused      this folder, into one buffer
//   rotating   the same, into buffers that together are larger than the cache, as a ring of batch slots is
//   opencv     cvtColor, resize, convertTo (and split for planar tensors)
//   gstreamer  what videoscale (by default: two taps, as we do) and then videoconvert do, then convertTo
//   gstreamer-bilinear2   the same with method=bilinear2, which averages when it shrinks
//   memcpy, memcpy-rotating   as many bytes as the tensor has
//
// Counter ns_per_pixel: time per pixel of the tensor.
#include <benchmark/benchmark.h>
#include <gst/video/video.h>

#include <cstring>
#include <format>
#include <memory>
#include <string>
#include <vector>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

#include "sightglass/elements/video_to_tensor/kernel.h"
#include "sightglass/elements/video_to_tensor/test_picture.h"

namespace sightglass {
namespace {

struct Case {
  PixelFormat format;
  Size source;
  PreprocessOptions options;

  size_t tensor_bytes() const {
    return size_t(options.canvas.width) * size_t(options.canvas.height) * 3 * size_of(options.type);
  }
  std::string name(std::string_view way) const {
    return std::format("v2t/{}/{}x{}/{}x{}-{}-{}/{}", to_string(format), source.width, source.height,
                       options.canvas.width, options.canvas.height, options.planar ? "nchw" : "nhwc",
                       to_string(options.type), way);
  }
};

class Buffers {
 public:
  Buffers(size_t bytes, bool rotating)
      : bytes_(bytes), count_(rotating ? (size_t(96) << 20) / bytes + 2 : 1) {
    data_.reset(static_cast<std::byte*>(std::aligned_alloc(64, (bytes * count_ + 63) / 64 * 64)));
    std::memset(data_.get(), 0, bytes * count_);
  }
  std::byte* next() { return data_.get() + bytes_ * (++at_ % count_); }

 private:
  struct Free {
    void operator()(std::byte* data) const { std::free(data); }
  };
  size_t bytes_, count_, at_ = 0;
  std::unique_ptr<std::byte, Free> data_;
};

test::Picture picture_of(const Case& c) {
  VideoInfo info;
  info.format = c.format, info.width = c.source.width, info.height = c.source.height;
  test::Picture picture(info, 0);
  picture.fill_smooth();
  return picture;
}

void count_pixels(benchmark::State& state, const Case& c) {
  const double pixels = double(c.options.canvas.width) * c.options.canvas.height;
  state.counters["ns_per_pixel"] = benchmark::Counter(
      pixels * 1e-9, benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}

void fused(benchmark::State& state, const Case& c, bool rotating) {
  test::Picture picture = picture_of(c);
  auto pre = *Preprocessor::make(picture.info, c.options);
  Buffers out(c.tensor_bytes(), rotating);
  const ptrdiff_t value = ptrdiff_t(size_of(c.options.type)), row = c.options.canvas.width * value;
  for (auto _ : state)
    pre->run(picture.planes, {0, 0, c.source.width, c.source.height},
             {out.next(), c.options.planar ? row : 3 * row, row * c.options.canvas.height});
  count_pixels(state, c);
  state.SetLabel(Preprocessor::instruction_set());
}

void copy(benchmark::State& state, const Case& c, bool rotating) {
  Buffers out(c.tensor_bytes(), rotating), in(c.tensor_bytes(), rotating);
  for (auto _ : state) {
    std::memcpy(out.next(), in.next(), c.tensor_bytes());
    benchmark::ClobberMemory();
  }
  count_pixels(state, c);
}

// The last step of both rivals: bytes to floats of the tensor, mean 127.5 and std 127.5, which OpenCV does
// best.
class ToFloat {
 public:
  explicit ToFloat(const Case& c) : case_(c), out_(c.tensor_bytes(), false) {}
  void operator()(const cv::Mat& pixels) {
    const Size size = case_.options.canvas;
    auto* out = reinterpret_cast<float*>(out_.next());
    if (!case_.options.planar) {
      cv::Mat tensor(size.height, size.width, CV_32FC3, out);
      pixels.convertTo(tensor, CV_32FC3, 1 / 127.5, -1);
      return;
    }
    pixels.convertTo(floats_, CV_32FC3, 1 / 127.5, -1);
    cv::Mat planes[3];
    for (int i = 0; i < 3; ++i)
      planes[i] = cv::Mat(size.height, size.width, CV_32F, out + ptrdiff_t(i) * size.width * size.height);
    cv::split(floats_, planes);
  }

 private:
  const Case& case_;
  Buffers out_;
  cv::Mat floats_;
};

void opencv(benchmark::State& state, const Case& c) {
  cv::setNumThreads(1);
  test::Picture picture = picture_of(c);
  cv::Mat source, rgb, scaled;
  const int w = c.source.width, h = c.source.height;
  const bool is_packed = c.format == PixelFormat::rgb || c.format == PixelFormat::bgr;
  std::vector<uint8_t> joined;  // OpenCV wants the planes one behind the other
  for (const auto& plane : picture.bytes) joined.insert(joined.end(), plane.begin(), plane.end());
  source = is_packed ? cv::Mat(h, w, CV_8UC3, joined.data()) : cv::Mat(h * 3 / 2, w, CV_8U, joined.data());
  ToFloat to_float(c);
  for (auto _ : state) {
    // Of packed pixels fewer are converted after the resize.
    if (c.format == PixelFormat::i420) cv::cvtColor(source, rgb, cv::COLOR_YUV2RGB_I420);
    if (c.format == PixelFormat::nv12) cv::cvtColor(source, rgb, cv::COLOR_YUV2RGB_NV12);
    cv::resize(is_packed ? source : rgb, scaled, {c.options.canvas.width, c.options.canvas.height}, 0, 0,
               cv::INTER_LINEAR);
    if (c.format == PixelFormat::bgr) cv::cvtColor(scaled, scaled, cv::COLOR_BGR2RGB);
    to_float(scaled);
  }
  count_pixels(state, c);
}

class GstPicture {
 public:
  GstPicture(GstVideoFormat format, Size size) {
    gst_video_info_set_format(&info, format, guint(size.width), guint(size.height));
    if (GST_VIDEO_INFO_IS_YUV(&info)) {
      info.colorimetry.matrix = GST_VIDEO_COLOR_MATRIX_BT601;
      info.colorimetry.range = GST_VIDEO_COLOR_RANGE_16_235;
    }
    buffer_ = gst_buffer_new_allocate(nullptr, info.size, nullptr);
    gst_buffer_memset(buffer_, 0, 128, info.size);
    gst_video_frame_map(&frame, &info, buffer_, GST_MAP_READWRITE);
  }
  ~GstPicture() {
    gst_video_frame_unmap(&frame);
    gst_buffer_unref(buffer_);
  }
  GstPicture(const GstPicture&) = delete;
  GstPicture& operator=(const GstPicture&) = delete;
  GstVideoInfo info{};
  GstVideoFrame frame{};

 private:
  GstBuffer* buffer_ = nullptr;
};

void gstreamer(benchmark::State& state, const Case& c, bool all_taps) {
  gst_init(nullptr, nullptr);
  const GstVideoFormat format = gst_video_format_from_string(std::string(to_string(c.format)).c_str());
  GstPicture source(format, c.source), scaled(format, c.options.canvas),
      rgb(GST_VIDEO_FORMAT_RGB, c.options.canvas);
  const test::Picture picture = picture_of(c);
  for (size_t p = 0; p < picture.planes.size(); ++p)
    for (int y = 0; y < plane_height(picture.info, p); ++y)
      std::memcpy(static_cast<uint8_t*>(GST_VIDEO_FRAME_PLANE_DATA(&source.frame, p)) +
                      y * GST_VIDEO_FRAME_PLANE_STRIDE(&source.frame, p),
                  picture.planes[p].data + y * picture.planes[p].stride, size_t(picture.planes[p].stride));
  // The options are those that videoscale sets for its methods.
  GstStructure* options =
      gst_structure_new("options", GST_VIDEO_CONVERTER_OPT_RESAMPLER_METHOD, GST_TYPE_VIDEO_RESAMPLER_METHOD,
                        GST_VIDEO_RESAMPLER_METHOD_LINEAR, nullptr);
  if (!all_taps) gst_structure_set(options, GST_VIDEO_RESAMPLER_OPT_MAX_TAPS, G_TYPE_INT, 2, nullptr);
  GstVideoConverter* scale = gst_video_converter_new(&source.info, &scaled.info, options);
  GstVideoConverter* convert = gst_video_converter_new(&scaled.info, &rgb.info, nullptr);
  cv::setNumThreads(1);
  const cv::Mat pixels(c.options.canvas.height, c.options.canvas.width, CV_8UC3,
                       GST_VIDEO_FRAME_PLANE_DATA(&rgb.frame, 0),
                       size_t(GST_VIDEO_FRAME_PLANE_STRIDE(&rgb.frame, 0)));
  ToFloat to_float(c);
  for (auto _ : state) {
    gst_video_converter_frame(scale, &source.frame, &scaled.frame);
    gst_video_converter_frame(convert, &scaled.frame, &rgb.frame);
    to_float(pixels);
  }
  gst_video_converter_free(scale);
  gst_video_converter_free(convert);
  count_pixels(state, c);
}

const bool registered = [] {
  auto add = [](const Case& c, std::string_view way, auto run) {
    benchmark::RegisterBenchmark(c.name(way), [c, run](benchmark::State& state) {
      run(state, c);
    })->Unit(benchmark::kMillisecond);
  };
  auto ours = [&](const Case& c) {
    add(c, "fused", [](auto& state, const Case& k) { fused(state, k, false); });
    add(c, "rotating", [](auto& state, const Case& k) { fused(state, k, true); });
  };
  auto everything = [&](const Case& c) {
    ours(c);
    add(c, "opencv", opencv);
    add(c, "gstreamer", [](auto& state, const Case& k) { gstreamer(state, k, false); });
    add(c, "gstreamer-bilinear2", [](auto& state, const Case& k) { gstreamer(state, k, true); });
    add(c, "memcpy", [](auto& state, const Case& k) { copy(state, k, false); });
    add(c, "memcpy-rotating", [](auto& state, const Case& k) { copy(state, k, true); });
  };
  PreprocessOptions packed;
  packed.canvas = {512, 512}, packed.mean = {127.5}, packed.std = {127.5};
  PreprocessOptions planar = packed, bytes = packed;
  planar.planar = true;
  bytes.type = DataType::u8, bytes.mean = {}, bytes.std = {};
  for (Size source : {Size{768, 576}, Size{1920, 1080}}) {
    everything({PixelFormat::i420, source, packed});
    everything({PixelFormat::i420, source, planar});
    everything({PixelFormat::nv12, source, packed});
    everything({PixelFormat::rgb, source, packed});
    ours({PixelFormat::i420, source, bytes});
    for (PixelFormat format : all_8_bit_formats())
      if (format != PixelFormat::i420 && format != PixelFormat::nv12 && format != PixelFormat::rgb)
        ours({format, source, packed});
  }
  return true;
}();

}  // namespace
}  // namespace sightglass
