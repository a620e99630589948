// Functions in shared objects: the host's side of sightglass/function.h.
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <filesystem>
#include <optional>

#include "sightglass/function.h"
#include "sightglass/function/user_code.h"
#include "sightglass/function/wire.h"
#include "sightglass/memory/mapping.h"
#include "sightglass/memory/system/system_memory.h"

namespace sightglass::function {
namespace {

std::optional<AttributeKind> kind_of(SightglassKind kind) {
  constexpr AttributeKind kinds[] = {
      AttributeKind::classification, AttributeKind::text,    AttributeKind::number, AttributeKind::vector,
      AttributeKind::keypoints,      AttributeKind::contour, AttributeKind::mask};
  return size_t(kind) < std::size(kinds) ? std::optional(kinds[size_t(kind)]) : std::nullopt;
}

SightglassKind kind_of(AttributeKind kind) {
  switch (kind) {
    case AttributeKind::classification:
    case AttributeKind::multi:
      return SIGHTGLASS_CLASS;
    case AttributeKind::number:
      return SIGHTGLASS_NUMBER;
    case AttributeKind::box:
    case AttributeKind::vector:
    case AttributeKind::tensor:
      return SIGHTGLASS_VECTOR;
    case AttributeKind::keypoints:
      return SIGHTGLASS_KEYPOINTS;
    case AttributeKind::contour:
      return SIGHTGLASS_CONTOUR;
    case AttributeKind::mask:
      return SIGHTGLASS_MASK;
    case AttributeKind::text:
      break;
  }
  return SIGHTGLASS_TEXT;
}

// One call that is given a frame. Works on a copy of the results, so that a call that fails has changed
// nothing; what it copies into keeps its capacity from frame to frame.
class Host {
 public:
  Status begin(Call& call, bool wants_pixels, NameCache& names) {
    frame_ = call.frame;
    names_ = &names;
    verdict = Verdict::pass;
    failure.clear();
    regions = frame_->regions;
    removed_.assign(regions.size(), false);
    attributes = frame_->attributes;
    native = {.size = sizeof native,
              .host = this,
              .pts = call.facts ? call.facts->pts : frame_->pts,
              .duration = frame_->duration,
              .seq = call.facts ? call.facts->seq : -1,
              .keyframe = call.facts && call.facts->keyframe,
              .param_revision = call.facts ? call.facts->param_revision : 0,
              .queue_fill = call.facts ? call.facts->queue_fill : 0,
              .format = "",
              .region_count = uint32_t(regions.size()),
              .get_region = get_region,
              .add_region = add_region,
              .set_region = set_region,
              .remove_region = remove_region,
              .get_attribute = get_attribute,
              .set_attribute = set_attribute,
              .remove_attribute = remove_attribute,
              .has_tag = has_tag,
              .set_tag = set_tag,
              .drop = [](void* host) { self(host).verdict = Verdict::drop; },
              .fail =
                  [](void* host, const char* message) {
                    self(host).failure = message && *message ? message : "it gives no reason";
                  }};
    return wants_pixels ? map_picture(call.writes_pixels) : Status{};
  }

  void end() {
    for (Mapping& mapping : mappings_) mapping.reset();
  }

  // What the call has made becomes that of the frame.
  Status commit() {
    if (std::ranges::contains(removed_, true)) {
      size_t index = 0;
      std::erase_if(regions, [&](const Region&) { return bool(removed_[index++]); });
    }
    frame_->regions.swap(regions);
    std::swap(frame_->attributes, attributes);
    if (auto fine = check_results(*frame_); !fine) {
      frame_->regions.swap(regions);
      std::swap(frame_->attributes, attributes);
      return fine;
    }
    return {};
  }

  SightglassFunctionFrame native{};
  Verdict verdict = Verdict::pass;
  std::string failure;
  std::vector<Region> regions;
  AttributesRef attributes;

 private:
  static Host& self(void* host) { return *static_cast<Host*>(host); }

  Status map_picture(bool writable) {
    if (!frame_->video || frame_->tensors.empty()) return {};
    planes_.clear();
    mappings_.resize(frame_->tensors.size());
    for (size_t plane = 0; plane < frame_->tensors.size(); ++plane) {
      auto mapping = sightglass::map(frame_->tensors[plane], writable ? Access::read_write : Access::read);
      if (!mapping) return forward_error(mapping);
      planes_.push_back({.data = reinterpret_cast<uint8_t*>(mapping->data()),
                         .width = plane_width(*frame_->video, plane),
                         .height = plane_height(*frame_->video, plane),
                         .stride = size_t(mapping->strides()[0])});
      mappings_[plane] = std::move(*mapping);
    }
    native.format = to_string(frame_->video->format).data();
    native.width = frame_->video->width;
    native.height = frame_->video->height;
    native.planes = planes_.data();
    native.plane_count = uint32_t(planes_.size());
    return {};
  }

  bool is_region(int32_t index) const {
    return index >= 0 && size_t(index) < regions.size() && !removed_[size_t(index)];
  }
  AttributesRef* list_of(int32_t region) {
    if (region == -1) return &attributes;
    return is_region(region) ? &regions[size_t(region)].attributes : nullptr;
  }
  bool take(Region& region, const SightglassRegion& given) {
    if (given.label && !names_->find(given.label, region.label)) return false;
    if (given.element && !names_->find(given.element, region.model)) return false;
    region.parent = given.parent;
    region.box = {given.x, given.y, given.w, given.h};
    region.angle = given.angle;
    region.confidence = given.confidence;
    region.label_id = given.label_id;
    region.track = given.track;
    return true;
  }

  static int get_region(void* host, int32_t index, SightglassRegion* out) {
    if (!out || !self(host).is_region(index)) return -1;
    const Region& region = self(host).regions[size_t(index)];
    *out = {.size = sizeof *out,
            .id = region.id,
            .parent = region.parent,
            .x = region.box.x,
            .y = region.box.y,
            .w = region.box.w,
            .h = region.box.h,
            .angle = region.angle,
            .confidence = region.confidence,
            .label_id = region.label_id,
            .label = region.label.c_str(),
            .element = region.model.c_str(),
            .track = region.track};
    return 0;
  }
  static int32_t add_region(void* host, const SightglassRegion* given) {
    Host& me = self(host);
    Region region;
    if (!given || me.regions.size() > wire_limits.objects || !me.take(region, *given)) return -1;
    region.id = -1;
    me.regions.push_back(std::move(region));
    me.removed_.push_back(false);
    return int32_t(me.regions.size() - 1);
  }
  static int set_region(void* host, int32_t index, const SightglassRegion* given) {
    if (!given || !self(host).is_region(index)) return -1;
    return self(host).take(self(host).regions[size_t(index)], *given) ? 0 : -1;
  }
  static int remove_region(void* host, int32_t index) {
    if (!self(host).is_region(index)) return -1;
    self(host).removed_[size_t(index)] = true;
    return 0;
  }

  static int get_attribute(void* host, int32_t region, uint32_t index, SightglassAttribute* out,
                           const char** element) {
    const AttributesRef* list = self(host).list_of(region);
    if (!out || !list || !*list || index >= (*list)->items().size()) return -1;
    const Attribute& attribute = (*list)->items()[index];
    *out = {.name = attribute.name.c_str(),
            .kind = kind_of(attribute.kind),
            .text = attribute.text.c_str(),
            .label_id = attribute.label_id,
            .confidence = attribute.confidence,
            .number = attribute.number,
            .values = attribute.values.data(),
            .value_count = attribute.values.size()};
    if (element) *element = attribute.model.c_str();
    return 0;
  }
  static int set_attribute(void* host, int32_t region, const SightglassAttribute* given) {
    AttributesRef* list = self(host).list_of(region);
    if (!list || !given || !given->name) return -1;
    const auto kind = kind_of(given->kind);
    Attribute made;
    if (!kind || !self(host).names_->find(given->name, made.name)) return -1;
    made.kind = *kind;
    if (given->text) made.text = given->text;
    made.label_id = given->label_id;
    made.confidence = given->confidence;
    made.number = given->number;
    const size_t count = given->values ? given->value_count : 0;
    if (count > wire_limits.values) return -1;
    if (*kind == AttributeKind::mask) {
      if (count == 0 || size_t(given->rows) * given->columns != count) return -1;
      auto cells = allocate_tensor({.type = DataType::f32, .shape = {given->rows, given->columns}});
      if (!cells) return -1;
      auto mapping = sightglass::map(*cells, Access::write);
      if (!mapping) return -1;
      std::memcpy(mapping->data(), given->values, count * sizeof(float));
      mapping->reset();
      made.tensor = std::move(*cells);
      if (given->box_w > 0 || given->box_h > 0)
        made.values = {given->box_x, given->box_y, given->box_w, given->box_h};
    } else if (count > 0) {
      made.values.assign(given->values, given->values + count);
    }
    *list = with(*list, std::move(made));
    return 0;
  }
  static int remove_attribute(void* host, int32_t region, const char* element, const char* name) {
    AttributesRef* list = self(host).list_of(region);
    if (!list || !*list || !name) return -1;
    std::vector<Attribute> left;
    for (const Attribute& attribute : (*list)->items())
      if (attribute.name.view() != name || (element && attribute.model.view() != element))
        left.push_back(attribute);
    if (left.size() == (*list)->items().size()) return -1;
    *list = left.empty() ? AttributesRef() : make_ref<const AttributeList>(std::move(left));
    return 0;
  }

  static int has_tag(void* host, const char* tag) {
    const AttributesRef& list = self(host).attributes;
    return tag && list && std::ranges::any_of(list->items(), [&](const Attribute& attribute) {
             return attribute.model.view() == "tag" && attribute.name.view() == tag;
           });
  }
  static void set_tag(void* host, const char* tag, int is_set) {
    if (!tag || !*tag) return;
    if (!is_set) {
      remove_attribute(host, -1, "tag", tag);
      return;
    }
    Attribute made{.kind = AttributeKind::number, .number = 1};
    if (self(host).names_->find(tag, made.name) && self(host).names_->find("tag", made.model))
      self(host).attributes = with(self(host).attributes, std::move(made));
  }

  Frame* frame_ = nullptr;
  NameCache* names_ = nullptr;
  std::vector<bool> removed_;
  std::vector<SightglassPlane> planes_;
  std::vector<Mapping> mappings_;
};

class SharedObject;

// Calls of the user's code may throw although the interface is C.
template <class Function>
Outcome guarded(Function function) {
  try {
    return function();
  } catch (const std::exception& exception) {
    return {Fault::error, std::format("it threw: {}", exception.what())};
  } catch (...) {
    return {Fault::error, "it threw an exception"};
  }
}

class Object final : public UserObject {
 public:
  // `table` is that of `code`.
  Object(std::shared_ptr<const UserCode> code, const SightglassFunction& table, void* function)
      : code_(std::move(code)), table_(table), function_(function) {}
  ~Object() override {
    if (table_.destroy)
      guarded([&] {
        table_.destroy(function_);
        return Outcome{};
      });
  }

  Outcome call(Call& call) override {
    Outcome outcome = guarded([&] { return call.frame ? on_frame(call) : on_text(call); });
    host_.end();
    if (call.hook == Hook::start && outcome.fault != Fault::none) {
      Call stop{.hook = Hook::stop, .text = "start failed"};
      this->call(stop);
    }
    return outcome;
  }

 private:
  Outcome failed(int code, const char* error) {
    if (code == 0) return {};
    return {Fault::error, *error ? error : std::format("it returned {}", code)};
  }

  Outcome on_text(Call& call) {
    char error[512] = "";
    const std::string text(call.text);
    int code = 0;
    switch (call.hook) {
      case Hook::start:
        if (table_.start) {
          const StreamInfo& stream = *call.stream;
          const SightglassStreamInfo info{.size = sizeof info,
                                          .source_id = stream.source_id.c_str(),
                                          .codec = stream.codec.c_str(),
                                          .epoch = stream.epoch,
                                          .width = stream.width,
                                          .height = stream.height,
                                          .framerate_num = stream.framerate.num,
                                          .framerate_den = stream.framerate.den,
                                          .parameters = text.c_str()};
          code = table_.start(function_, &info, error, sizeof error);
        }
        break;
      case Hook::apply:
        if (table_.apply) code = table_.apply(function_, text.c_str(), error, sizeof error);
        break;
      case Hook::stop:
        if (table_.stop) table_.stop(function_, text.c_str());
        break;
      case Hook::map:
        call.answer.clear();
        code = table_.map(
            function_, text.c_str(),
            [](void* host, const char* record) { *static_cast<std::string*>(host) = record ? record : ""; },
            &call.answer, error, sizeof error);
        break;
      default:
        return {Fault::error, std::format("there is no {} without a frame", to_string(call.hook))};
    }
    error[sizeof error - 1] = 0;
    return failed(code, error);
  }

  Outcome on_frame(Call& call) {
    const bool wants_pixels = table_.pixels || call.hook == Hook::draw || call.hook == Hook::prepare;
    if (auto begun = host_.begin(call, wants_pixels, names_); !begun)
      return {Fault::error, begun.error().message};
    int code = 0;
    switch (call.hook) {
      case Hook::process:
        code = table_.process(function_, &host_.native);
        break;
      case Hook::draw:
        code = table_.draw(function_, &host_.native);
        break;
      case Hook::accept: {
        const int answer = table_.accept(function_, &host_.native);
        call.accepted = answer > 0;
        code = answer < 0 ? answer : 0;
        break;
      }
      case Hook::region: {
        if (call.region < 0 || size_t(call.region) >= call.frame->regions.size())
          return {Fault::error, "there is no such object"};
        const Box& box = call.frame->regions[size_t(call.region)].box;
        float values[4] = {box.x, box.y, box.w, box.h};
        code = table_.region(function_, &host_.native, call.region, values);
        call.box = {values[0], values[1], values[2], values[3]};
        break;
      }
      case Hook::prepare:
        if (call.region >= int(call.frame->regions.size())) return {Fault::error, "there is no such object"};
        code = table_.prepare(function_, &host_.native, call.region);
        break;
      default:
        return {Fault::error, std::format("a shared object has no {}", to_string(call.hook))};
    }
    if (code != 0 || !host_.failure.empty()) return failed(code == 0 ? -1 : code, host_.failure.c_str());
    if (call.hook == Hook::process) {
      call.verdict = host_.verdict;
      if (auto kept = host_.commit(); !kept) return {Fault::error, kept.error().message};
    }
    return {};
  }

  const std::shared_ptr<const UserCode> code_;
  const SightglassFunction& table_;
  void* const function_;
  NameCache names_;
  Host host_;
};

class SharedObject final : public UserCode, public std::enable_shared_from_this<SharedObject> {
 public:
  SharedObject(const SightglassFunction& table, const CodeOptions& options)
      : table_(table), args_(options.args), element_(options.element) {}

  bool has(Hook hook) const override {
    switch (hook) {
      case Hook::process:
        return table_.process;
      case Hook::accept:
        return table_.accept;
      case Hook::region:
        return table_.region;
      case Hook::draw:
        return table_.draw;
      case Hook::map:
        return table_.map;
      case Hook::prepare:
        return table_.prepare;
      default:
        return true;
    }
  }
  bool wants_pixels() const override { return table_.pixels; }
  bool writes_pixels() const override { return table_.writes_pixels; }

  Result<std::unique_ptr<UserObject>> create(std::string_view source_id) override {
    const std::string source(source_id);
    const SightglassFunctionOptions options{.size = sizeof options,
                                            .args = args_.c_str(),
                                            .element = element_.c_str(),
                                            .source_id = source.c_str()};
    char error[512] = "";
    void* function = nullptr;
    const Outcome outcome = guarded([&] {
      function = table_.create(&options, error, sizeof error);
      return Outcome{};
    });
    error[sizeof error - 1] = 0;
    if (outcome.fault != Fault::none) return fail(ErrorCode::internal, "{}", outcome.message);
    if (!function)
      return fail(ErrorCode::internal, "{}", *error ? error : "it makes no object and gives no reason");
    return std::make_unique<Object>(shared_from_this(), table_, function);
  }

 private:
  const SightglassFunction table_;
  const std::string args_, element_;
};

// The loader knows a file by its name and its inode and would hand out the old code: what has changed is
// loaded from a copy in memory, by a name that has not been there yet.
void* load_copy(const std::filesystem::path& file) {
  const int from = open(file.c_str(), O_RDONLY | O_CLOEXEC);
  const int to = memfd_create(file.filename().c_str(), MFD_CLOEXEC);
  struct stat facts{};
  void* library = nullptr;
  if (from >= 0 && to >= 0 && fstat(from, &facts) == 0) {
    off_t left = facts.st_size;
    while (left > 0) {
      const ssize_t copied = sendfile(to, from, nullptr, size_t(left));
      if (copied <= 0) break;
      left -= copied;
    }
    static std::atomic<int> copies = 0;
    std::string name = "/proc/self/fd/";
    for (int copy = ++copies; copy > 0; --copy) name += "./";
    if (left == 0) library = dlopen((name + std::to_string(to)).c_str(), RTLD_NOW | RTLD_LOCAL);
  }
  if (from >= 0) close(from);
  if (to >= 0) close(to);
  return library;
}

}  // namespace

Result<std::shared_ptr<UserCode>> open_shared_object(const CodeOptions& options) {
  std::error_code ignored;
  auto file = std::filesystem::path(options.folder) / options.path;
  file = std::filesystem::absolute(file, ignored);
  if (!std::filesystem::is_regular_file(file, ignored))
    return fail(ErrorCode::not_found, "{}: there is no such file", file.string());
  void* library = options.is_reload ? load_copy(file) : dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    const char* reason = dlerror();
    return fail(ErrorCode::unavailable, "{} cannot be loaded: {}", file.string(),
                reason ? reason : "no reason is given");
  }
  const std::string symbol = options.symbol.empty() ? "sightglass_function" : options.symbol;
  auto* entry = reinterpret_cast<decltype(&sightglass_function)>(dlsym(library, symbol.c_str()));
  if (!entry)
    return fail(ErrorCode::invalid_argument, "{} exports no function {} (see sightglass/function.h)",
                file.string(), symbol);
  const SightglassFunction* table = entry(SIGHTGLASS_FUNCTION_VERSION);
  // What has been built with an older header has a shorter table: what it lacks is null.
  constexpr size_t least = offsetof(SightglassFunction, prepare);
  SightglassFunction known{};
  if (table && table->version == SIGHTGLASS_FUNCTION_VERSION && table->size >= least)
    std::memcpy(&known, table, std::min(table->size, sizeof known));
  if (!known.create)
    return fail(ErrorCode::unsupported, "{} was made for another version of sightglass/function.h than {}",
                file.string(), SIGHTGLASS_FUNCTION_VERSION);
  return std::make_shared<SharedObject>(known, options);
}

}  // namespace sightglass::function
