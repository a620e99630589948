#include "sightglass/elements/video_to_tensor/kernel.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <utility>

#include "sightglass/elements/video_to_tensor/channel_math.h"
#include "sightglass/elements/video_to_tensor/kernel_simd.h"
#include "sightglass/elements/video_to_tensor/tables.h"

namespace sightglass {

using namespace preprocess;

namespace {

YuvMatrix yuv_matrix(ColorMatrix matrix, bool full_range, bool blue_first) {
  const YuvCoefficients c = yuv_coefficients(matrix, full_range);
  auto half = [](double v) { return int16_t(std::lround(v / 2 * 32768)); };
  YuvMatrix result{half(c.y_gain),    int16_t(std::lround((c.y_gain * (128 - c.y_black) - 128) * 128)),
                   half(c.red_v - 2), half(c.green_u),
                   half(c.green_v),   half(c.blue_u - 2)};
  if (blue_first) {
    std::swap(result.v0, result.u2);
    std::swap(result.u1, result.v1);
  }
  return result;
}

StoreAs store_as(DataType type, bool plain) {
  switch (type) {
    case DataType::u8:
      return plain ? StoreAs::u8_plain : StoreAs::u8;
    case DataType::i8:
      return StoreAs::i8;
    case DataType::i32:
      return StoreAs::i32;
    case DataType::f16:
      return StoreAs::f16;
    default:
      return StoreAs::f32;
  }
}

}  // namespace

struct Preprocessor::State {
  State(const VideoInfo& video_info, const PreprocessOptions& preprocess_options);

  void update_tables(const Placement& wanted);
  void fill_borders(const TensorView& tensor) const;
  // The samples of source row `row` of a component, interpolated across.
  const int16_t* row_of(std::span<const PlaneView> planes, size_t component, int row);
  RowPair pair_of(std::span<const PlaneView> planes, size_t component, int k);
  // The samples of output row k of a component, finished.
  const int16_t* finished_row(std::span<const PlaneView> planes, size_t component, int k);
  void store(const TensorView& tensor, int k, const int16_t* const* rows) const;

  // Planes that are sampled alike share a table: luma and everything packed, or chroma.
  size_t table_of(size_t component) const { return yuv && component > 0 ? 1 : 0; }
  bool general() const { return options.interpolation >= Interpolation::bicubic; }
  char* row_address(const TensorView& tensor, int y, int channel) const {
    return static_cast<char*>(tensor.data) + y * tensor.row_stride + channel * tensor.plane_stride;
  }

  const VideoInfo video;
  const PreprocessOptions options;
  const Kernels& loops = kernels();
  const std::vector<Component> parts;
  const bool yuv;
  const int channels;
  const YuvMatrix matrix;
  const size_t value_bytes;
  StoreAs kind = StoreAs::f32;
  Normalise normalise{};
  std::vector<std::byte> border;  // a row of it per channel, or one of whole pixels

  Placement placement;
  struct Axes {
    PlaneAxis x, y;
    int pixel_bytes = 1;
    PairTableBuilder pairs;
    std::vector<RowTap> rows;
    TapTable x_taps, y_taps;
  };
  std::array<Axes, 2> axes;
  std::vector<float> columns;

  // Interpolated rows: two per component, the even and the odd one; and the finished rows.
  std::vector<int16_t> storage;
  struct Cached {
    int16_t* samples;
    int row;
  };
  std::array<std::array<Cached, 2>, 3> cache{};
  std::array<int16_t*, 3> finished{};
  std::array<uint8_t, PairTableBuilder::shortest_row(4)> short_row{};
};

Preprocessor::State::State(const VideoInfo& video_info, const PreprocessOptions& preprocess_options)
    : video(video_info),
      options(preprocess_options),
      parts(components(video.format)),
      yuv(is_yuv(video.format)),
      channels(channel_count(options.channels)),
      matrix(yuv_matrix(video.matrix, video.full_range, options.channels == ChannelOrder::bgr)),
      value_bytes(size_of(options.type)) {
  const int width = options.canvas.width, height = options.canvas.height;

  const ChannelScales scales = channel_scales(options);
  for (size_t c = 0; c < 3; ++c) {
    normalise.mul[c] = float(scales.mul[c] / 128);
    normalise.add[c] = float(128 * scales.mul[c] + scales.add[c]);
  }
  kind = store_as(options.type, scales.plain);

  for (size_t t = 0; t < (yuv ? 2u : 1u); ++t) {
    const PlaneLayout layout = plane_layout(video.format, t);
    axes[t].x = {plane_width(video, t), layout.shift_x};
    axes[t].y = {plane_height(video, t), layout.shift_y};
    axes[t].pixel_bytes = layout.pixel_bytes;
    if (general()) {
      axes[t].x_taps.reserve(width, axes[t].x.size);
      axes[t].y_taps.reserve(height, axes[t].y.size);
    } else {
      axes[t].pairs.reserve(width);
      axes[t].rows.reserve(size_t(height));
    }
  }
  if (general()) columns.resize(size_t(video.width));

  const size_t row_size = size_t(width + row_padding - 1) / row_padding * row_padding;
  storage.resize(row_size * 9 + row_padding);
  // To a cache line, so that no load crosses one.
  auto misaligned = std::bit_cast<uintptr_t>(storage.data()) % 64 / sizeof(int16_t);
  int16_t* next = storage.data() + (misaligned ? 32 - misaligned : 0);
  for (auto& component : cache)
    for (Cached& cached : component) cached = {std::exchange(next, next + row_size), -1};
  for (int16_t*& row : finished) row = std::exchange(next, next + row_size);

  // The border goes through the same code as the picture.
  border.resize(size_t(width) * size_t(channels) * value_bytes);
  std::array<const int16_t*, 3> pad_rows{};
  for (size_t c = 0; c < 3; ++c) {
    const double sample = (std::clamp(scales.pad[c], 0.0, 255.0) - 128) * 128;
    std::fill_n(finished[c], row_size, int16_t(std::lround(sample)));
    pad_rows[c] = finished[c];
  }
  const ptrdiff_t row_bytes = ptrdiff_t(size_t(width) * value_bytes);
  const Placement whole{{.canvas = width}, {.canvas = height}};
  placement = whole;
  placement.x.count = width;
  store({border.data(), 0, row_bytes}, 0, pad_rows.data());
  placement = whole;
}

void Preprocessor::State::store(const TensorView& tensor, int k, const int16_t* const* rows) const {
  const int y = placement.y.at + k, x = placement.x.at, count = placement.x.count;
  if (!options.planar && channels == 3) {
    loops.store_interleaved[size_t(kind)](rows, count, normalise,
                                          row_address(tensor, y, 0) + size_t(x) * 3 * value_bytes);
    return;
  }
  for (int c = 0; c < channels; ++c)
    loops.store_planar[size_t(kind)](rows[c], count, normalise.mul[size_t(c)], normalise.add[size_t(c)],
                                     row_address(tensor, y, c) + size_t(x) * value_bytes);
}

void Preprocessor::State::fill_borders(const TensorView& tensor) const {
  const AxisMap &x = placement.x, &y = placement.y;
  if (x.count == x.canvas && y.count == y.canvas) return;
  const int rows = options.planar ? channels : 1;
  const size_t row_bytes = border.size() / size_t(rows), pixel_bytes = row_bytes / size_t(x.canvas);
  const size_t left = size_t(x.at) * pixel_bytes, right = size_t(x.at + x.count) * pixel_bytes;
  for (int c = 0; c < rows; ++c) {
    const std::byte* pad = border.data() + size_t(c) * row_bytes;
    for (int k = 0; k < y.canvas; ++k) {
      char* row = row_address(tensor, k, c);
      if (k < y.at || k >= y.at + y.count) {
        std::memcpy(row, pad, row_bytes);
      } else {
        std::memcpy(row, pad, left);
        std::memcpy(row + right, pad + right, row_bytes - right);
      }
    }
  }
}

void Preprocessor::State::update_tables(const Placement& wanted) {
  const bool new_x = wanted.x != placement.x, new_y = wanted.y != placement.y;
  placement = wanted;
  const bool nearest = options.interpolation == Interpolation::nearest;
  for (size_t t = 0; t < (yuv ? 2u : 1u); ++t) {
    Axes& a = axes[t];
    if (general()) {
      if (new_x) a.x_taps.build(placement.x, a.x, options.interpolation);
      if (new_y) a.y_taps.build(placement.y, a.y, options.interpolation);
    } else {
      if (new_x) a.pairs.build(placement.x, a.x, a.pixel_bytes, nearest);
      if (new_y) make_row_taps(placement.y, a.y, nearest, a.rows);
    }
  }
}

const int16_t* Preprocessor::State::row_of(std::span<const PlaneView> planes, size_t component, int row) {
  // Two neighbouring rows never share a place.
  Cached& cached = cache[component][size_t(row & 1)];
  if (cached.row == row) return cached.samples;
  const Axes& a = axes[table_of(component)];
  const PlaneView& plane = planes[parts[component].plane];
  const uint8_t* bytes = plane.data + row * plane.stride;
  const int length = a.x.size * a.pixel_bytes;
  if (length < PairTableBuilder::shortest_row(a.pixel_bytes)) {
    std::memcpy(short_row.data(), bytes, size_t(length));
    bytes = short_row.data();
  }
  loops.resize_row(a.pairs.table(), bytes + parts[component].offset, cached.samples);
  cached.row = row;
  return cached.samples;
}

RowPair Preprocessor::State::pair_of(std::span<const PlaneView> planes, size_t component, int k) {
  const Axes& a = axes[table_of(component)];
  if (general()) {
    // Already mixed; taken as a pair of one row.
    int16_t* samples = cache[component][0].samples;
    resample_row(planes[parts[component].plane], a.pixel_bytes, parts[component].offset, a.x_taps,
                 a.y_taps[k], columns.data(), samples);
    return {samples, samples, 0};
  }
  const RowTap& tap = a.rows[size_t(k)];
  return {row_of(planes, component, tap.upper), row_of(planes, component, tap.lower), tap.fraction};
}

const int16_t* Preprocessor::State::finished_row(std::span<const PlaneView> planes, size_t component, int k) {
  const RowPair pair = pair_of(planes, component, k);
  if (pair.fraction == 0) return pair.upper;
  loops.blend(pair, placement.x.count, finished[component]);
  return finished[component];
}

Preprocessor::Preprocessor(std::unique_ptr<State> state) : state_(std::move(state)) {}
Preprocessor::~Preprocessor() = default;

const char* Preprocessor::instruction_set() { return kernels().target; }

Result<std::unique_ptr<Preprocessor>> Preprocessor::make(const VideoInfo& video,
                                                         const PreprocessOptions& options) {
  if (auto status = check(video, options); !status) return forward_error(status);
  return std::unique_ptr<Preprocessor>(new Preprocessor(std::make_unique<State>(video, options)));
}

Affine Preprocessor::run(std::span<const PlaneView> planes, const Crop& crop, const TensorView& tensor) {
  State& s = *state_;
  s.update_tables(place(s.options.rule, s.video.pixel_aspect, crop, s.options.canvas));
  for (auto& component : s.cache)
    for (State::Cached& cached : component) cached.row = -1;

  const int count = s.placement.x.count;
  const bool blue_first = s.options.channels == ChannelOrder::bgr,
             gray = s.options.channels == ChannelOrder::gray;
  for (int k = 0; k < s.placement.y.count; ++k) {
    std::array<const int16_t*, 3> rows{};
    if (s.yuv) {
      const RowPair y = s.pair_of(planes, 0, k), u = s.pair_of(planes, 1, k), v = s.pair_of(planes, 2, k);
      s.loops.yuv_to_rgb(y, blue_first ? v : u, blue_first ? u : v, s.matrix, count, s.finished.data());
      std::copy(s.finished.begin(), s.finished.end(), rows.begin());
    } else if (s.parts.size() == 1) {
      rows.fill(s.finished_row(planes, 0, k));
    } else {
      for (size_t c = 0; c < 3; ++c) rows[blue_first ? 2 - c : c] = s.finished_row(planes, c, k);
    }
    if (gray && s.parts.size() == 3) {
      s.loops.rgb_to_gray(rows[0], rows[1], rows[2], count, s.finished[0]);
      rows[0] = s.finished[0];
    }
    s.store(tensor, k, rows.data());
  }
  s.fill_borders(tensor);
  return affine(s.placement, s.video);
}

}  // namespace sightglass
