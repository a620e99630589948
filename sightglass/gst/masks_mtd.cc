#include "sightglass/gst/masks_mtd.h"

#include <gst/video/video.h>

#include <array>
#include <cstring>

#include "sightglass/gst/mtd.h"
#include "sightglass/memory/gst/gst_memory.h"
#include "sightglass/memory/gst/handles.h"
#include "sightglass/memory/mapping.h"
#include "sightglass/memory/system/system_memory.h"

namespace sightglass::gst {
namespace {

constexpr uint8_t no_label = 255;
constexpr float inside = 0.5f;  // least score of a pixel that belongs to the object

bool is_picture(const Tensor& tensor) {
  return tensor && tensor.shape.rank() == 2 && tensor.shape[0] > 0 && tensor.shape[1] > 0 &&
         tensor.shape[0] < 1 << 15 && tensor.shape[1] < 1 << 15 &&
         tensor.strides[1] == int64_t(size_of(tensor.type)) &&
         tensor.strides[0] >= tensor.shape[1] * tensor.strides[1];
}

// Says what lies in the buffer: rows of one byte per pixel.
void describe(GstBuffer* buffer, const Shape& shape, size_t offset, int64_t stride) {
  gsize offsets[GST_VIDEO_MAX_PLANES] = {offset};
  gint strides[GST_VIDEO_MAX_PLANES] = {gint(stride)};
  gst_buffer_add_video_meta_full(buffer, GST_VIDEO_FRAME_FLAG_NONE, GST_VIDEO_FORMAT_GRAY8, guint(shape[1]),
                                 guint(shape[0]), 1, offsets, strides);
}

// 1 for the pixels of the object.
GstBuffer* picture_of_scores(const Tensor& scores) {
  auto mapping = map(scores, Access::read);
  if (!mapping) return nullptr;
  const int64_t height = scores.shape[0], width = scores.shape[1];
  auto* buffer = gst_buffer_new_allocate(nullptr, gsize(width * height), nullptr);
  GstMapInfo pixels;
  if (!gst_buffer_map(buffer, &pixels, GST_MAP_WRITE)) {
    gst_buffer_unref(buffer);
    return nullptr;
  }
  for (int64_t y = 0; y < height; ++y) {
    const float* row = mapping->row<const float>(y);
    for (int64_t x = 0; x < width; ++x) pixels.data[y * width + x] = row[x] >= inside;
  }
  gst_buffer_unmap(buffer, &pixels);
  describe(buffer, scores.shape, 0, width);
  return buffer;
}

struct Ids {
  std::array<guint, 256> ids;
  gsize count = 0;
};

// The label ids that occur.
Ids ids_in(const Tensor& labels) {
  Ids found;
  auto mapping = map(labels, Access::read);
  if (!mapping) return found;
  std::array<bool, 256> present{};
  for (int64_t y = 0; y < labels.shape[0]; ++y) {
    const uint8_t* row = mapping->row<const uint8_t>(y);
    for (int64_t x = 0; x < labels.shape[1]; ++x) present[row[x]] = true;
  }
  for (guint id = 0; id < no_label; ++id)
    if (present[id]) found.ids[found.count++] = id;
  return found;
}

// ---- reading

struct MaskPicture {
  BufferPtr buffer;
  GstMapInfo map{};
  const uint8_t* data = nullptr;
  gsize offset = 0;
  gint stride = 0;
  guint width = 0, height = 0, bytes = 1;
  bool big_endian = false;

  MaskPicture() = default;
  MaskPicture(const MaskPicture&) = delete;
  ~MaskPicture() {
    if (data) gst_buffer_unmap(buffer.get(), &map);
  }
  bool open(GstBuffer* given) {
    buffer.reset(given);
    const auto* meta = given ? gst_buffer_get_video_meta(given) : nullptr;
    if (!meta || meta->width == 0 || meta->height == 0 || meta->width > 32767 || meta->height > 32767)
      return false;
    const bool wide =
        meta->format == GST_VIDEO_FORMAT_GRAY16_LE || meta->format == GST_VIDEO_FORMAT_GRAY16_BE;
    if (!wide && meta->format != GST_VIDEO_FORMAT_GRAY8) return false;
    big_endian = meta->format == GST_VIDEO_FORMAT_GRAY16_BE;
    bytes = wide ? 2 : 1, width = meta->width, height = meta->height, stride = meta->stride[0];
    const gsize row = gsize(width) * bytes;
    if (stride < gint(row) || !gst_buffer_map(given, &map, GST_MAP_READ)) return false;
    data = map.data;
    offset = meta->offset[0];
    return offset + gsize(stride) * (height - 1) + row <= map.size;
  }
  guint at(guint x, guint y) const {
    const uint8_t* pixel = data + offset + gsize(stride) * y + gsize(x) * bytes;
    return bytes == 1   ? *pixel
           : big_endian ? guint(pixel[0] << 8 | pixel[1])
                        : guint(pixel[1] << 8 | pixel[0]);
  }
};

// The names of the regions by their places, where another entry gives one for each.
Ref<const Legend> legend_of(const GstAnalyticsMtd& mtd, gsize count) {
  Ref<Legend> legend;
  for_related(mtd.meta, mtd.id, GST_ANALYTICS_REL_TYPE_ANY, gst_analytics_cls_mtd_get_mtd_type(),
              [&](const GstAnalyticsMtd& related) {
                const auto* classes = reinterpret_cast<const GstAnalyticsClsMtd*>(&related);
                if (legend || gst_analytics_cls_mtd_get_length(classes) != count) return;
                legend = make_ref<Legend>();
                for (gsize i = 0; i < count; ++i)
                  legend->names.emplace_back(label_of(gst_analytics_cls_mtd_get_quark(classes, i)).view());
              });
  return legend ? Ref<const Legend>(legend.get()) : nullptr;
}

}  // namespace

void add_mask_mtd(GstAnalyticsRelationMeta* meta, const Attribute& mask, PixelSize size, int32_t owner,
                  const std::function<GQuark(std::string_view)>& quark) {
  const Tensor& cells = mask.tensor;
  if (!is_picture(cells) || (!mask.values.empty() && mask.values.size() != 4)) return;
  const auto& v = mask.values;
  const PixelBox place = to_pixels(v.empty() ? Box{0, 0, 1, 1} : Box{v[0], v[1], v[2], v[3]}, size);
  if (place.w <= 0 || place.h <= 0) return;

  Ids regions{{0, 1}, 2};
  GstBuffer* buffer = nullptr;
  const bool has_ids = cells.type == DataType::u8;
  if (has_ids) {
    regions = ids_in(cells);
    if (regions.count == 0) return;
    buffer = gst_buffer_new();
    gst_buffer_append_memory(buffer, wrap_memory(cells.memory));
    describe(buffer, cells.shape, cells.offset, cells.strides[0]);
  } else if (cells.type == DataType::f32) {
    buffer = picture_of_scores(cells);
  }
  if (!buffer) return;
  GstAnalyticsSegmentationMtd mtd;
  if (!gst_analytics_relation_meta_add_segmentation_mtd(
          meta, buffer, has_ids ? GST_SEGMENTATION_TYPE_SEMANTIC : GST_SEGMENTATION_TYPE_INSTANCE,
          regions.count, regions.ids.data(), place.x, place.y, guint(place.w), guint(place.h), &mtd)) {
    gst_buffer_unref(buffer);
    return;
  }
  if (owner >= 0)
    gst_analytics_relation_meta_set_relation(meta, GST_ANALYTICS_REL_TYPE_CONTAIN, guint(owner), mtd.id);
  if (!has_ids || !mask.legend) return;
  std::array<gfloat, 256> levels;
  std::array<GQuark, 256> names;
  for (gsize i = 0; i < regions.count; ++i) {
    levels[i] = -1;  // not known
    const auto& all = mask.legend->names;
    names[i] = quark(regions.ids[i] < all.size() ? std::string_view(all[regions.ids[i]]) : "");
  }
  GstAnalyticsClsMtd classes;
  if (gst_analytics_relation_meta_add_cls_mtd(meta, regions.count, levels.data(), names.data(), &classes))
    gst_analytics_relation_meta_set_relation(meta, GST_ANALYTICS_REL_TYPE_RELATE_TO, mtd.id, classes.id);
}

std::optional<Attribute> read_mask_mtd(const GstAnalyticsMtd& mtd, PixelSize size, bool of_object) {
  const auto* segmentation = reinterpret_cast<const GstAnalyticsSegmentationMtd*>(&mtd);
  gint x = 0, y = 0;
  guint w = 0, h = 0;
  MaskPicture picture;
  if (!picture.open(gst_analytics_segmentation_mtd_get_mask(segmentation, &x, &y, &w, &h)) || w == 0 ||
      h == 0)
    return std::nullopt;
  // Places of the regions, by the values of their pixels.
  const gsize count = gst_analytics_segmentation_mtd_get_region_count(segmentation);
  static const Label name("mask");
  Attribute mask{.name = name, .kind = AttributeKind::mask};
  const Box place = from_pixels({x, y, int(w), int(h)}, size);
  mask.values = {place.x, place.y, place.w, place.h};
  auto tensor = allocate_tensor(
      {.type = of_object ? DataType::f32 : DataType::u8, .shape = {picture.height, picture.width}});
  if (!tensor) return std::nullopt;
  auto cells = map(*tensor, Access::write);
  if (!cells) return std::nullopt;
  if (of_object) {
    // One region is the object's; of several the one of value 0 is what lies around it.
    const guint only = count == 1 ? gst_analytics_segmentation_mtd_get_region_id(segmentation, 0) : 0;
    for (guint row = 0; row < picture.height; ++row) {
      float* out = cells->row<float>(row);
      for (guint column = 0; column < picture.width; ++column) {
        const guint value = picture.at(column, row);
        out[column] = (count == 1 ? value == only : value != 0) ? 1 : 0;
      }
    }
  } else {
    mask.legend = legend_of(mtd, count);
    std::vector<std::pair<guint, uint8_t>> places;
    for (gsize i = 0; i < count; ++i) {
      const guint id = gst_analytics_segmentation_mtd_get_region_id(segmentation, i);
      const guint shown = mask.legend ? guint(i) : id;
      if (shown < no_label) places.emplace_back(id, uint8_t(shown));
    }
    std::ranges::sort(places);
    std::array<uint8_t, 256> small;  // most values are
    const auto look_up = [&](guint value) {
      const auto found = std::ranges::lower_bound(places, value, {}, &std::pair<guint, uint8_t>::first);
      return found != places.end() && found->first == value ? found->second : no_label;
    };
    for (guint value = 0; value < 256; ++value) small[value] = look_up(value);
    for (guint row = 0; row < picture.height; ++row) {
      uint8_t* out = cells->row<uint8_t>(row);
      for (guint column = 0; column < picture.width; ++column) {
        const guint value = picture.at(column, row);
        out[column] = value < 256 ? small[value] : look_up(value);
      }
    }
  }
  cells->reset();
  mask.tensor = std::move(*tensor);
  return mask;
}

}  // namespace sightglass::gst
