#include "sightglass/function/wire.h"

#include <bit>
#include <cmath>
#include <cstring>

#include "sightglass/memory/mapping.h"
#include "sightglass/memory/system/system_memory.h"

namespace sightglass::function {
namespace {

static_assert(std::endian::native == std::endian::little);

class Writer {
 public:
  // A message starts with its length, which finish() fills in.
  explicit Writer(std::vector<uint8_t>& out) : out_(out) {
    out_.clear();
    put(uint32_t(0));
  }
  template <class T>
  void put(T value) {
    bytes(&value, sizeof value);
  }
  void bytes(const void* data, size_t size) {
    const auto* first = static_cast<const uint8_t*>(data);
    out_.insert(out_.end(), first, first + size);
  }
  void text(std::string_view text) {
    put(uint32_t(text.size()));
    bytes(text.data(), text.size());
  }
  void finish() {
    const auto size = uint32_t(out_.size() - sizeof(uint32_t));
    std::memcpy(out_.data(), &size, sizeof size);
  }

 private:
  std::vector<uint8_t>& out_;
};

// After the first failure everything reads as zero.
class Reader {
 public:
  explicit Reader(std::span<const uint8_t> bytes) : left_(bytes) {}
  bool ok() const { return error_.empty(); }
  bool at_end() const { return left_.empty(); }
  const std::string& error() const { return error_; }
  void fail_with(std::string error) {
    if (ok()) error_ = std::move(error);
    left_ = {};
  }

  template <class T>
  T get() {
    T value{};
    if (const auto taken = take(sizeof value); !taken.empty())
      std::memcpy(&value, taken.data(), sizeof value);
    return value;
  }
  bool flag() { return get<uint8_t>() != 0; }
  std::span<const uint8_t> take(size_t size) {
    if (size > left_.size()) {
      fail_with("the message ends too early");
      return {};
    }
    const auto taken = left_.first(size);
    left_ = left_.subspan(size);
    return taken;
  }
  std::string_view text(size_t most, const char* what) {
    const size_t size = count(most, 1, what);
    const auto taken = take(size);
    return {reinterpret_cast<const char*>(taken.data()), taken.size()};
  }
  // A number of things that take `bytes_each` at least.
  size_t count(size_t most, size_t bytes_each, const char* what) {
    const size_t number = get<uint32_t>();
    if (number > most)
      fail_with(std::format("{} {}, at most {} are taken", number, what, most));
    else if (number * bytes_each > left_.size())
      fail_with("the message ends too early");
    return ok() ? number : 0;
  }
  template <class E>
  E choice(E last, const char* what) {
    const auto value = get<uint8_t>();
    if (value > uint8_t(last)) fail_with(std::format("{} is no {}", value, what));
    return ok() ? E(value) : E{};
  }

 private:
  std::span<const uint8_t> left_;
  std::string error_;
};

enum class List : uint8_t { none, inline_list, same };

// --- attributes
// -----------------------------------------------------------------------------------------------

// Empty where the memory cannot be read, or there is too much of it.
std::vector<uint8_t> content_of(const Tensor& tensor) {
  const int64_t elements = tensor.shape.elements();
  if (!tensor.memory || elements <= 0 || size_t(elements) * size_of(tensor.type) > wire_limits.tensor_bytes ||
      !tensor.dense())
    return {};
  auto mapping = map(tensor, Access::read);
  if (!mapping) return {};
  const auto* first = reinterpret_cast<const uint8_t*>(mapping->data());
  return {first, first + mapping->bytes()};
}

void put_tensor(Writer& out, const Tensor& tensor) {
  const auto content = content_of(tensor);
  out.put(uint8_t(!content.empty()));
  if (content.empty()) return;
  out.put(uint8_t(tensor.type));
  out.put(uint8_t(tensor.layout));
  out.put(uint8_t(tensor.shape.rank()));
  for (int64_t dim : tensor.shape) out.put(dim);
  out.put(uint32_t(content.size()));
  out.bytes(content.data(), content.size());
}

Tensor get_tensor(Reader& in) {
  if (!in.flag()) return {};
  TensorInfo info;
  info.type = in.choice(DataType::boolean, "type of a tensor");
  info.layout = in.choice(Layout::nc, "layout of a tensor");
  const auto rank = in.get<uint8_t>();
  if (rank > Shape::max_rank) in.fail_with("a tensor has too many axes");
  for (uint8_t axis = 0; in.ok() && axis < rank; ++axis) {
    info.shape.push_back(in.get<int64_t>());
    if (info.shape.back() <= 0) in.fail_with("a tensor has no size");
  }
  const size_t size = in.count(wire_limits.tensor_bytes, 1, "bytes in a tensor");
  if (in.ok() && info.bytes() != size) in.fail_with("a tensor is not as large as its shape says");
  const auto content = in.take(size);
  if (!in.ok()) return {};
  auto tensor = allocate_tensor(info);
  if (!tensor) return {};
  if (auto mapping = map(*tensor, Access::write); mapping)
    std::memcpy(mapping->data(), content.data(), content.size());
  return std::move(*tensor);
}

void put_legend(Writer& out, const Ref<const Legend>& legend) {
  out.put(uint8_t(bool(legend)));
  if (!legend) return;
  out.put(uint32_t(legend->names.size()));
  for (const std::string& name : legend->names) out.text(name);
  out.put(uint32_t(legend->links.size()));
  for (const auto& [from, to] : legend->links) {
    out.put(from);
    out.put(to);
  }
}

Ref<const Legend> get_legend(Reader& in) {
  if (!in.flag()) return nullptr;
  auto legend = make_ref<Legend>();
  for (size_t left = in.count(wire_limits.values, 4, "names in a legend"); left > 0 && in.ok(); --left)
    legend->names.emplace_back(in.text(wire_limits.name, "bytes in a name"));
  for (size_t left = in.count(wire_limits.values, 4, "links in a legend"); left > 0 && in.ok(); --left) {
    const auto from = in.get<uint16_t>();
    legend->links.emplace_back(from, in.get<uint16_t>());
  }
  return legend;
}

void put_attribute(Writer& out, const Attribute& attribute) {
  out.text(attribute.name.view());
  out.text(attribute.model.view());
  out.put(uint8_t(attribute.kind));
  out.text(attribute.text);
  out.put(attribute.label_id);
  out.put(attribute.confidence);
  out.put(attribute.number);
  out.put(uint32_t(attribute.values.size()));
  out.bytes(attribute.values.data(), attribute.values.size() * sizeof(float));
  put_tensor(out, attribute.tensor);
  put_legend(out, attribute.legend);
  out.put(attribute.age);
}

Label get_label(Reader& in, NameCache& names) {
  const std::string_view text = in.text(wire_limits.name, "bytes in a name");
  Label label;
  if (in.ok() && !names.find(text, label))
    in.fail_with(
        std::format("more than {} different names and labels; text that was read belongs into an "
                    "attribute of kind text",
                    NameCache::most_names));
  return label;
}

Attribute get_attribute(Reader& in, NameCache& names) {
  Attribute attribute;
  attribute.name = get_label(in, names);
  attribute.model = get_label(in, names);
  attribute.kind = in.choice(AttributeKind::mask, "kind of attribute");
  attribute.text = in.text(wire_limits.text, "bytes in a text");
  attribute.label_id = in.get<int32_t>();
  attribute.confidence = in.get<float>();
  attribute.number = in.get<double>();
  attribute.values.resize(in.count(wire_limits.values, sizeof(float), "values in an attribute"));
  const auto values = in.take(attribute.values.size() * sizeof(float));
  if (!values.empty()) std::memcpy(attribute.values.data(), values.data(), values.size());
  attribute.tensor = get_tensor(in);
  attribute.legend = get_legend(in);
  attribute.age = in.get<uint32_t>();
  return attribute;
}

// The list at a place of the request's frame: 0: the frame's own, then those of its regions.
const AttributesRef* list_at(const Frame& frame, uint32_t place) {
  if (place == 0) return &frame.attributes;
  return place <= frame.regions.size() ? &frame.regions[place - 1].attributes : nullptr;
}

void put_attributes(Writer& out, const AttributesRef& list, const Frame* request) {
  if (!list) return out.put(List::none);
  if (request)
    for (uint32_t place = 0; const AttributesRef* sent = list_at(*request, place); ++place)
      if (*sent == list) {
        out.put(List::same);
        return out.put(place);
      }
  out.put(List::inline_list);
  out.put(uint32_t(list->items().size()));
  for (const Attribute& attribute : list->items()) put_attribute(out, attribute);
}

AttributesRef get_attributes(Reader& in, NameCache& names, const Frame* request, size_t& total) {
  const List kind = in.choice(List::same, "form of a list");
  if (kind == List::none) return nullptr;
  if (kind == List::same) {
    const AttributesRef* sent = request ? list_at(*request, in.get<uint32_t>()) : nullptr;
    if (!sent) in.fail_with("a list is named that was never sent");
    return sent ? *sent : nullptr;
  }
  std::vector<Attribute> items;
  const size_t count = in.count(wire_limits.attributes_per_owner, 40, "attributes of one object");
  if ((total += count) > wire_limits.attributes)
    in.fail_with(std::format("more than {} attributes", wire_limits.attributes));
  for (size_t left = count; left > 0 && in.ok(); --left) items.push_back(get_attribute(in, names));
  return in.ok() && !items.empty() ? make_ref<const AttributeList>(std::move(items)) : AttributesRef();
}

// --- regions
// --------------------------------------------------------------------------------------------------

void put_results(Writer& out, const Frame& frame, const Frame* request) {
  out.put(uint32_t(frame.regions.size()));
  for (const Region& region : frame.regions) {
    out.put(region.id);
    out.put(region.parent);
    out.put(region.box);
    out.put(region.angle);
    out.put(region.confidence);
    out.put(region.label_id);
    out.put(region.track);
    out.text(region.label.view());
    out.text(region.model.view());
    put_attributes(out, region.attributes, request);
  }
  put_attributes(out, frame.attributes, request);
}

void get_results(Reader& in, NameCache& names, const Frame* request, std::vector<Region>& regions,
                 AttributesRef& attributes) {
  size_t total = 0;
  const size_t count = in.count(wire_limits.objects, 48, "objects");
  regions.reserve(count);
  for (size_t left = count; left > 0 && in.ok(); --left) {
    Region& region = regions.emplace_back();
    region.id = in.get<int32_t>();
    region.parent = in.get<int32_t>();
    region.box = in.get<Box>();
    region.angle = in.get<float>();
    region.confidence = in.get<float>();
    region.label_id = in.get<int32_t>();
    region.track = in.get<int64_t>();
    region.label = get_label(in, names);
    region.model = get_label(in, names);
    region.attributes = get_attributes(in, names, request, total);
  }
  attributes = get_attributes(in, names, request, total);
}

void put_video(Writer& out, const std::optional<VideoInfo>& video) {
  out.put(uint8_t(video.has_value()));
  if (!video) return;
  out.put(uint8_t(video->format));
  out.put(video->width);
  out.put(video->height);
  out.put(uint8_t(video->matrix));
  out.put(uint8_t(video->full_range));
  out.put(video->pixel_aspect);
  out.put(video->frame_rate);
}

std::optional<VideoInfo> get_video(Reader& in) {
  if (!in.flag()) return std::nullopt;
  VideoInfo video;
  video.format = in.choice(PixelFormat::gray16, "pixel format");
  video.width = in.get<int>();
  video.height = in.get<int>();
  video.matrix = in.choice(ColorMatrix::bt2020, "colour matrix");
  video.full_range = in.flag();
  video.pixel_aspect = in.get<Fraction>();
  video.frame_rate = in.get<Fraction>();
  return video;
}

bool is_finite(const Box& box) {
  return std::isfinite(box.x) && std::isfinite(box.y) && std::isfinite(box.w) && std::isfinite(box.h);
}

}  // namespace

std::string_view to_string(Hook hook) {
  constexpr std::string_view names[] = {"load",   "start",  "process", "apply", "stop",
                                        "accept", "region", "prepare", "draw",  "map"};
  return names[size_t(hook)];
}

bool NameCache::find(std::string_view name, Label& label) {
  if (const auto found = names_.find(name); found != names_.end()) {
    label = found->second;
    return true;
  }
  if (names_.size() >= most_) return false;
  label = Label(name);
  names_.emplace(name, label);
  return true;
}

void write_request(const Call& call, uint32_t object, bool has_picture, std::vector<uint8_t>& out) {
  Writer writer(out);
  writer.put(call.hook);
  writer.put(object);
  writer.text(call.text);
  writer.put(uint8_t(call.stream != nullptr));
  if (call.stream) {
    writer.text(call.stream->source_id);
    writer.text(call.stream->codec);
    writer.put(call.stream->epoch);
    writer.put(call.stream->width);
    writer.put(call.stream->height);
    writer.put(call.stream->framerate);
  }
  writer.put(uint8_t(call.frame != nullptr));
  if (call.frame) {
    const FrameFacts facts = call.facts ? *call.facts : FrameFacts{.pts = call.frame->pts};
    writer.put(uint8_t(facts.keyframe));
    writer.put(facts.seq);
    writer.put(facts.pts);
    writer.put(facts.param_revision);
    writer.put(facts.queue_fill);
    writer.put(int32_t(call.region));
    writer.put(uint8_t(has_picture));
    writer.put(uint8_t(call.writes_pixels));
    put_video(writer, call.frame->video);
    writer.put(call.frame->pts);
    writer.put(call.frame->duration);
    put_results(writer, *call.frame, nullptr);
  }
  writer.finish();
}

Result<Request> read_request(std::span<const uint8_t> body, NameCache& names) {
  Reader in(body);
  Request request;
  request.hook = in.choice(Hook::map, "hook");
  request.object = in.get<uint32_t>();
  request.text = in.text(wire_limits.message_bytes, "bytes in a text");
  if (in.flag()) {
    request.stream.source_id = in.text(wire_limits.text, "bytes in a text");
    request.stream.codec = in.text(wire_limits.text, "bytes in a text");
    request.stream.epoch = in.get<int64_t>();
    request.stream.width = in.get<int>();
    request.stream.height = in.get<int>();
    request.stream.framerate = in.get<Fraction>();
  }
  if ((request.has_frame = in.flag())) {
    request.facts.keyframe = in.flag();
    request.facts.seq = in.get<int64_t>();
    request.facts.pts = in.get<Time>();
    request.facts.param_revision = in.get<uint64_t>();
    request.facts.queue_fill = in.get<double>();
    request.region = in.get<int32_t>();
    request.has_picture = in.flag();
    request.writes_pixels = in.flag();
    request.frame.video = get_video(in);
    request.frame.pts = in.get<Time>();
    request.frame.duration = in.get<Time>();
    get_results(in, names, nullptr, request.frame.regions, request.frame.attributes);
  }
  if (in.ok() && !in.at_end()) in.fail_with("there are bytes behind the message");
  if (!in.ok()) return fail(ErrorCode::corrupt, "{}", in.error());
  return request;
}

void write_answer(const Answer& answer, const Frame* results, const Frame& request,
                  std::vector<uint8_t>& out) {
  Writer writer(out);
  writer.put(uint8_t(answer.ok));
  writer.text(answer.text);
  writer.put(answer.verdict);
  writer.put(uint8_t(answer.accepted));
  writer.put(uint8_t(answer.pixels_changed));
  writer.put(answer.box);
  writer.put(uint8_t(results != nullptr));
  if (results) put_results(writer, *results, &request);
  writer.finish();
}

Result<Answer> read_answer(std::span<const uint8_t> body, Frame* frame, NameCache& names) {
  Reader in(body);
  Answer answer;
  answer.ok = in.flag();
  answer.text = in.text(wire_limits.message_bytes, "bytes in a text");
  answer.verdict = in.choice(Verdict::drop, "verdict");
  answer.accepted = in.flag();
  answer.pixels_changed = in.flag();
  answer.box = in.get<Box>();
  if (in.flag()) {
    Frame results;
    get_results(in, names, frame, results.regions, results.attributes);
    if (in.ok() && !in.at_end()) in.fail_with("there are bytes behind the message");
    if (in.ok())
      if (auto fine = check_results(results); !fine) in.fail_with(fine.error().message);
    if (in.ok() && frame && answer.ok) {
      frame->regions.swap(results.regions);
      frame->attributes = std::move(results.attributes);
    }
  } else if (in.ok() && !in.at_end()) {
    in.fail_with("there are bytes behind the message");
  }
  if (!in.ok()) return fail(ErrorCode::corrupt, "{}", in.error());
  return answer;
}

namespace {

Status check_attributes(const AttributesRef& list, size_t& total) {
  if (!list) return {};
  const auto& items = list->items();
  if ((total += items.size()) > wire_limits.attributes)
    return fail(ErrorCode::exhausted, "it gave more than {} attributes", wire_limits.attributes);
  if (items.size() > wire_limits.attributes_per_owner)
    return fail(ErrorCode::exhausted, "it gave {} attributes to one object, at most {} are taken",
                items.size(), wire_limits.attributes_per_owner);
  for (const Attribute& attribute : items) {
    if (attribute.text.size() > wire_limits.text || attribute.values.size() > wire_limits.values ||
        attribute.name.view().size() > wire_limits.name || attribute.model.view().size() > wire_limits.name ||
        (attribute.legend && (attribute.legend->names.size() > wire_limits.values ||
                              attribute.legend->links.size() > wire_limits.values)))
      return fail(ErrorCode::exhausted, "the attribute \"{:.40}\" is too large", attribute.name.view());
    if (attribute.name.empty()) return fail(ErrorCode::invalid_argument, "an attribute without a name");
  }
  return {};
}

}  // namespace

Status check_results(const Frame& frame) {
  if (frame.regions.size() > wire_limits.objects)
    return fail(ErrorCode::exhausted, "it gave {} objects, at most {} are taken", frame.regions.size(),
                wire_limits.objects);
  size_t total = 0;
  for (const Region& region : frame.regions) {
    if (!is_finite(region.box) || !std::isfinite(region.angle) || !std::isfinite(region.confidence))
      return fail(ErrorCode::corrupt,
                  "an object \"{:.40}\" has a box, an angle or a confidence that is no number",
                  region.label.view());
    if (region.label.view().size() > wire_limits.name || region.model.view().size() > wire_limits.name)
      return fail(ErrorCode::exhausted, "the label \"{:.40}…\" is too long", region.label.view());
    if (auto fine = check_attributes(region.attributes, total); !fine) return fine;
  }
  return check_attributes(frame.attributes, total);
}

}  // namespace sightglass::function
