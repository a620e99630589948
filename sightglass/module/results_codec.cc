#include "sightglass/module/results_codec.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <string_view>
#include <type_traits>
#include <utility>

#include "sightglass/adapters/wire_metadata.h"
#include "sightglass/memory/mapping.h"
#include "sightglass/memory/system/system_memory.h"

namespace sightglass::module {
namespace {

// Linear search finds the few labels of a frame at once; those beyond are written where they stand.
constexpr size_t most_labels = 64;
constexpr uint16_t label_in_place = 0xffff;

// In the order in which they stand. The texts of labels that are new follow the head that names them.

struct FrameHead {
  uint8_t has_video = 0, has_attributes = 0, format = 0, matrix = 0, full_range = 0;
  int32_t width = 0, height = 0;
  int32_t aspect_num = 1, aspect_den = 1, rate_num = 0, rate_den = 1;
  int64_t pts = 0, duration = 0;
  uint32_t regions = 0, json_bytes = 0;
};
struct RegionHead {
  int64_t track = 0;
  int32_t id = 0, parent = 0, label_id = 0;
  Box box;
  float angle = 0, confidence = 0;
  uint32_t attributes = 0;  // their number plus one; 0: no list
  uint16_t label = 0, model = 0;
};
struct AttributeHead {
  double number = 0;
  int32_t label_id = 0;
  float confidence = 0;
  uint32_t age = 0, text_bytes = 0, values = 0;
  uint16_t name = 0, model = 0;
  uint8_t kind = 0, has_tensor = 0, has_legend = 0;
};
struct TensorHead {
  uint8_t type = 0, layout = 0, rank = 0;
};
struct LegendHead {
  uint32_t names = 0, links = 0;
};

class Writer {
 public:
  // `expected`: about how many bytes there will be.
  Writer(std::vector<uint8_t>& bytes, std::vector<Label>& labels, size_t expected)
      : bytes_(bytes), labels_(labels), at_(bytes.size()) {
    bytes_.resize(at_ + expected);
    labels_.clear();
  }
  ~Writer() { bytes_.resize(at_); }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  void raw(const void* data, size_t size) {
    if (size == 0) return;
    if (bytes_.size() - at_ < size) bytes_.resize(2 * bytes_.size() + size);
    std::memcpy(bytes_.data() + at_, data, size);
    at_ += size;
  }
  template <class T>
  void value(const T& from) {
    static_assert(std::is_trivially_copyable_v<T>);
    raw(&from, sizeof from);
  }
  void text(std::string_view from) {
    value(uint32_t(from.size()));
    raw(from.data(), from.size());
  }
  void add(const Region& from) {
    const uint16_t label = number_of(from.label), model = number_of(from.model);
    value(RegionHead{.track = from.track,
                     .id = from.id,
                     .parent = from.parent,
                     .label_id = from.label_id,
                     .box = from.box,
                     .angle = from.angle,
                     .confidence = from.confidence,
                     .attributes = from.attributes ? uint32_t(from.attributes->items().size()) + 1 : 0,
                     .label = label,
                     .model = model});
    add_new(from.label, label);
    add_new(from.model, model);
    if (from.attributes) attributes(*from.attributes);
  }
  void attributes(const AttributeList& list) {
    for (const Attribute& attribute : list.items()) add(attribute);
  }

 private:
  uint16_t number_of(Label label) {
    const auto same = [&](Label known) { return known.c_str() == label.c_str(); };
    const size_t number = size_t(std::ranges::find_if(labels_, same) - labels_.begin());
    if (number == most_labels) return label_in_place;
    if (number == labels_.size()) labels_.push_back(label);
    return uint16_t(number);
  }
  void add_new(Label label, uint16_t number) {
    if (number < said_) return;
    if (number != label_in_place) ++said_;
    text(label.view());
  }
  void add(const Attribute& from) {
    std::optional<Mapping> tensor;
    if (from.tensor && from.tensor.dense())
      if (auto mapped = map(from.tensor, Access::read)) tensor = std::move(*mapped);
    const uint16_t name = number_of(from.name), model = number_of(from.model);
    value(AttributeHead{.number = from.number,
                        .label_id = from.label_id,
                        .confidence = from.confidence,
                        .age = from.age,
                        .text_bytes = uint32_t(from.text.size()),
                        .values = uint32_t(from.values.size()),
                        .name = name,
                        .model = model,
                        .kind = uint8_t(from.kind),
                        .has_tensor = tensor.has_value(),
                        .has_legend = bool(from.legend)});
    add_new(from.name, name);
    add_new(from.model, model);
    raw(from.text.data(), from.text.size());
    raw(from.values.data(), from.values.size() * sizeof(float));
    if (tensor) {
      value(TensorHead{.type = uint8_t(from.tensor.type),
                       .layout = uint8_t(from.tensor.layout),
                       .rank = uint8_t(from.tensor.shape.rank())});
      raw(from.tensor.shape.begin(), from.tensor.shape.rank() * sizeof(int64_t));
      raw(tensor->data(), tensor->bytes());
    }
    if (!from.legend) return;
    value(LegendHead{uint32_t(from.legend->names.size()), uint32_t(from.legend->links.size())});
    for (const std::string& point : from.legend->names) text(point);
    for (const auto& [a, b] : from.legend->links) value(a), value(b);
  }

  std::vector<uint8_t>& bytes_;
  std::vector<Label>& labels_;
  size_t at_;
  uint16_t said_ = 0;  // labels whose text has been written
};

// After the first thing that is wrong everything reads as zero; ok() is asked at the end.
class Reader {
 public:
  explicit Reader(std::span<const uint8_t> bytes) : bytes_(bytes) {}
  bool is_done() const { return ok_ && bytes_.empty(); }
  bool ok() const { return ok_; }
  void fail() { ok_ = false, bytes_ = {}; }

  std::span<const uint8_t> raw(size_t size) {
    if (size > bytes_.size()) {
      fail();
      return {};
    }
    const auto taken = bytes_.first(size);
    bytes_ = bytes_.subspan(size);
    return taken;
  }
  template <class T>
  T value() {
    T to{};
    if (const auto from = raw(sizeof to); !from.empty()) std::memcpy(&to, from.data(), sizeof to);
    return to;
  }
  // Of that many items, each of which takes at least `least` bytes.
  size_t count(size_t items, size_t least) {
    if (items > bytes_.size() / least) fail();
    return ok_ ? items : 0;
  }
  std::string_view text(size_t size) {
    const auto from = raw(size);
    return {reinterpret_cast<const char*>(from.data()), from.size()};
  }
  std::string_view text() { return text(value<uint32_t>()); }
  Label label(uint16_t number) {
    if (number < labels_.size()) return labels_[number];
    if (number != label_in_place && number != labels_.size()) fail();
    const Label read = adapters::wire_label(text());
    if (number != label_in_place && ok_) labels_.push_back(read);
    return read;
  }
  template <class T>
  void array(size_t items, std::vector<T>& to) {
    to.resize(count(items, sizeof(T)));
    const auto from = raw(to.size() * sizeof(T));
    if (!from.empty()) std::memcpy(to.data(), from.data(), from.size());
  }
  AttributesRef attributes(size_t items) {
    std::vector<Attribute> list(count(items, sizeof(AttributeHead)));
    for (Attribute& attribute : list) read(attribute);
    return make_ref<const AttributeList>(std::move(list));
  }

 private:
  void read(Attribute& to) {
    const auto head = value<AttributeHead>();
    if (head.kind > uint8_t(AttributeKind::mask)) return fail();
    to.kind = AttributeKind(head.kind);
    to.number = head.number;
    to.label_id = head.label_id;
    to.confidence = head.confidence;
    to.age = head.age;
    to.name = label(head.name);
    to.model = label(head.model);
    to.text = text(head.text_bytes);
    array(head.values, to.values);
    if (head.has_tensor) read(to.tensor);
    if (head.has_legend) read(to.legend);
  }
  void read(Tensor& to) {
    const auto head = value<TensorHead>();
    if (head.type > uint8_t(DataType::boolean) || head.layout > uint8_t(Layout::nc) ||
        head.rank > Shape::max_rank)
      return fail();
    std::vector<int64_t> shape;
    array(head.rank, shape);
    const TensorInfo info{.type = DataType(head.type), .shape = Shape(shape), .layout = Layout(head.layout)};
    if (!info.shape.fixed() || std::ranges::any_of(shape, [](int64_t side) { return side < 0; }))
      return fail();
    const auto data = raw(info.bytes());
    if (!ok_) return;
    auto tensor = allocate_tensor(info);
    if (!tensor) return fail();
    const auto mapping = map(*tensor, Access::write);
    if (!mapping) return fail();
    if (!data.empty()) std::memcpy(mapping->data(), data.data(), data.size());
    to = std::move(*tensor);
  }
  void read(Ref<const Legend>& to) {
    const auto head = value<LegendHead>();
    auto legend = make_ref<Legend>();
    legend->names.resize(count(head.names, sizeof(uint32_t)));
    for (std::string& name : legend->names) name = text();
    legend->links.resize(count(head.links, 2 * sizeof(uint16_t)));
    for (auto& [a, b] : legend->links) a = value<uint16_t>(), b = value<uint16_t>();
    to = std::move(legend);
  }

  std::span<const uint8_t> bytes_;
  bool ok_ = true;
  std::vector<Label> labels_;
};

}  // namespace

void ResultsWriter::write(const Frame& results, std::vector<uint8_t>& bytes) {
  Writer writer(bytes, labels_, 256 + 128 * results.regions.size());
  FrameHead head{.has_attributes = bool(results.attributes),
                 .pts = results.pts,
                 .duration = results.duration,
                 .regions = uint32_t(results.regions.size()),
                 .json_bytes = uint32_t(results.json.size())};
  if (const auto& video = results.video) {
    head.has_video = 1;
    head.format = uint8_t(video->format), head.matrix = uint8_t(video->matrix);
    head.full_range = video->full_range;
    head.width = video->width, head.height = video->height;
    head.aspect_num = video->pixel_aspect.num, head.aspect_den = video->pixel_aspect.den;
    head.rate_num = video->frame_rate.num, head.rate_den = video->frame_rate.den;
  }
  writer.value(head);
  writer.raw(results.json.data(), results.json.size());
  for (const Region& region : results.regions) writer.add(region);
  if (!results.attributes) return;
  writer.value(uint32_t(results.attributes->items().size()));
  writer.attributes(*results.attributes);
}

bool read_results(std::span<const uint8_t> bytes, Frame& results) {
  Reader reader(bytes);
  const auto head = reader.value<FrameHead>();
  results.pts = head.pts;
  results.duration = head.duration;
  if (head.has_video) {
    if (head.format > uint8_t(PixelFormat::gray16) || head.matrix > uint8_t(ColorMatrix::bt2020))
      return false;
    results.video = VideoInfo{.format = PixelFormat(head.format),
                              .width = head.width,
                              .height = head.height,
                              .matrix = ColorMatrix(head.matrix),
                              .full_range = head.full_range != 0,
                              .pixel_aspect = {head.aspect_num, head.aspect_den},
                              .frame_rate = {head.rate_num, head.rate_den}};
  }
  results.json = reader.text(head.json_bytes);
  results.regions.resize(reader.count(head.regions, sizeof(RegionHead)));
  for (Region& region : results.regions) {
    const auto from = reader.value<RegionHead>();
    region.track = from.track;
    region.id = from.id, region.parent = from.parent;
    region.label_id = from.label_id;
    region.box = from.box;
    region.angle = from.angle, region.confidence = from.confidence;
    region.label = reader.label(from.label);
    region.model = reader.label(from.model);
    if (from.attributes > 0) region.attributes = reader.attributes(from.attributes - 1);
  }
  if (head.has_attributes) results.attributes = reader.attributes(reader.value<uint32_t>());
  return reader.is_done();
}

}  // namespace sightglass::module
