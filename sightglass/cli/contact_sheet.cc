#include "sightglass/cli/contact_sheet.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>

#include "sightglass/memory/gst/handles.h"

namespace sightglass::cli {

bool EvenChoice::offer(bool& thin_out) {
  thin_out = false;
  if (seen_++ % stride_ != 0) return false;
  if (kept_ == 2 * wanted_) {
    thin_out = true;
    kept_ = wanted_;
    stride_ *= 2;
    // `seen_ - 1` is a multiple of the old stride, and of the new one because 2 × wanted items came before
    // it.
  }
  ++kept_;
  return true;
}

std::vector<size_t> EvenChoice::chosen() const {
  const size_t count = std::min(kept_, wanted_);
  std::vector<size_t> places;
  for (size_t i = 0; i < count; ++i)
    places.push_back(count > 1 ? (i * (kept_ - 1) + (count - 1) / 2) / (count - 1) : 0);
  return places;
}

void ContactSheet::offer(const GstVideoInfo& info, GstBuffer* buffer) {
  std::lock_guard lock(mutex_);
  bool thin_out = false;
  if (!choice_.offer(thin_out)) return;
  if (thin_out) {
    for (size_t i = 0; 2 * i < kept_.size(); ++i) std::swap(kept_[i], kept_[2 * i]);
    kept_.resize((kept_.size() + 1) / 2);
  }
  kept_.push_back(small(info, buffer));
}

ContactSheet::Picture ContactSheet::small(const GstVideoInfo& info, GstBuffer* buffer) {
  Picture picture;
  const double aspect =
      double(info.width) * std::max(1, info.par_n) / (double(info.height) * std::max(1, info.par_d));
  picture.width = cell_width;
  picture.height = std::clamp(int(std::lround(cell_width / aspect)), 1, 4 * cell_width);
  GstVideoInfo rgb;
  gst_video_info_set_format(&rgb, GST_VIDEO_FORMAT_RGB, guint(picture.width), guint(picture.height));
  rgb.fps_n = info.fps_n, rgb.fps_d = info.fps_d;  // the converter wants them to be equal
  picture.rgb.resize(size_t(picture.width) * size_t(picture.height) * 3);
  auto* converter = gst_video_converter_new(&info, &rgb, nullptr);
  gst::BufferPtr out(gst_buffer_new_allocate(nullptr, rgb.size, nullptr));
  GstVideoFrame from, to;
  if (converter && gst_video_frame_map(&from, &info, buffer, GST_MAP_READ)) {
    if (gst_video_frame_map(&to, &rgb, out.get(), GST_MAP_WRITE)) {
      gst_video_converter_frame(converter, &from, &to);
      for (int y = 0; y < picture.height; ++y) {
        std::memcpy(picture.rgb.data() + size_t(y) * size_t(picture.width) * 3,
                    static_cast<const uint8_t*>(GST_VIDEO_FRAME_PLANE_DATA(&to, 0)) +
                        size_t(y) * size_t(GST_VIDEO_FRAME_PLANE_STRIDE(&to, 0)),
                    size_t(picture.width) * 3);
      }
      gst_video_frame_unmap(&to);
    }
    gst_video_frame_unmap(&from);
  }
  if (converter) gst_video_converter_free(converter);
  return picture;
}

Status ContactSheet::write(const std::filesystem::path& file) {
  std::lock_guard lock(mutex_);
  std::vector<const Picture*> chosen;
  for (size_t place : choice_.chosen()) chosen.push_back(&kept_[place]);
  if (chosen.empty()) return {};
  constexpr int gap = 4;
  const int across = std::min<int>(columns, int(chosen.size())),
            down = (int(chosen.size()) + across - 1) / across;
  // The cells are as high as most frames are; pictures of other shapes are cut to fit.
  std::vector<int> heights;
  for (const Picture* picture : chosen) heights.push_back(picture->height);
  std::ranges::nth_element(heights, heights.begin() + std::ptrdiff_t(heights.size() / 2));
  const int cell_height = heights[heights.size() / 2];

  GstVideoInfo info;
  gst_video_info_set_format(&info, GST_VIDEO_FORMAT_RGB, guint(across * (cell_width + gap) + gap),
                            guint(down * (cell_height + gap) + gap));
  gst::BufferPtr sheet(gst_buffer_new_allocate(nullptr, info.size, nullptr));
  GstMapInfo map;
  gst_buffer_map(sheet.get(), &map, GST_MAP_WRITE);
  std::memset(map.data, 0x20, map.size);
  for (size_t i = 0; i < chosen.size(); ++i) {
    const Picture& picture = *chosen[i];
    const int left = gap + int(i) % across * (cell_width + gap),
              top = gap + int(i) / across * (cell_height + gap);
    const int skipped = std::max(0, (picture.height - cell_height) / 2),
              shift = std::max(0, (cell_height - picture.height) / 2);
    for (int y = 0; y < std::min(cell_height, picture.height); ++y) {
      std::memcpy(map.data + size_t(top + shift + y) * size_t(info.stride[0]) + size_t(left) * 3,
                  picture.rgb.data() + size_t(skipped + y) * size_t(picture.width) * 3,
                  size_t(picture.width) * 3);
    }
  }
  gst_buffer_unmap(sheet.get(), &map);

  gst::CapsPtr caps(gst_video_info_to_caps(&info)), png(gst_caps_new_empty_simple("image/png"));
  auto* sample = gst_sample_new(sheet.get(), caps.get(), nullptr, nullptr);
  GError* error = nullptr;
  auto* encoded = gst_video_convert_sample(sample, png.get(), 20 * GST_SECOND, &error);
  gst_sample_unref(sample);
  if (!encoded) {
    const std::string reason = error ? error->message : "unknown reason";
    g_clear_error(&error);
    return fail(ErrorCode::internal, "{}: cannot be made: {}", file.string(), reason);
  }
  gst_buffer_map(gst_sample_get_buffer(encoded), &map, GST_MAP_READ);
  std::ofstream stream(file, std::ios::binary);
  stream.write(reinterpret_cast<const char*>(map.data), std::streamsize(map.size));
  stream.close();
  gst_buffer_unmap(gst_sample_get_buffer(encoded), &map);
  gst_sample_unref(encoded);
  if (!stream) return fail(ErrorCode::io, "{}: cannot be written: {}", file.string(), std::strerror(errno));
  return {};
}

}  // namespace sightglass::cli
