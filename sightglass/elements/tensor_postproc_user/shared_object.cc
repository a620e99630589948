#include <dlfcn.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <span>

#include "sightglass/decoder.h"
#include "sightglass/elements/tensor_postproc_user/user_decoder.h"
#include "sightglass/memory/system/system_memory.h"

namespace sightglass {
namespace {

std::optional<AttributeKind> kind_of(SightglassKind kind) {
  switch (kind) {
    case SIGHTGLASS_CLASS:
      return AttributeKind::classification;
    case SIGHTGLASS_TEXT:
      return AttributeKind::text;
    case SIGHTGLASS_NUMBER:
      return AttributeKind::number;
    case SIGHTGLASS_VECTOR:
      return AttributeKind::vector;
    case SIGHTGLASS_KEYPOINTS:
      return AttributeKind::keypoints;
    case SIGHTGLASS_CONTOUR:
      return AttributeKind::contour;
    case SIGHTGLASS_MASK:
      return AttributeKind::mask;
  }
  return std::nullopt;  // of a later version
}

// What one call of decode() writes into.
struct Collector {
  DecoderResults& results;
  std::string failure;
};

int32_t add_object(void* context, const SightglassObject* object) {
  auto& results = static_cast<Collector*>(context)->results;
  if (!object || results.objects.size() >= size_t(INT32_MAX)) return -1;
  DecodedObject& added = results.objects.emplace_back();
  added.region.box = {object->x, object->y, object->w, object->h};
  added.region.angle = object->angle;
  added.region.confidence = object->confidence;
  added.region.label_id = object->label_id;
  if (object->label) added.label = object->label;
  return int32_t(results.objects.size() - 1);
}

void add_attribute(void* context, int32_t object, const SightglassAttribute* given) {
  auto& results = static_cast<Collector*>(context)->results;
  const auto kind = given && given->name ? kind_of(given->kind) : std::nullopt;
  if (!kind || object < -1 || object >= int32_t(results.objects.size())) return;
  Attribute attribute{.name = Label(given->name), .kind = *kind};
  if (given->text) attribute.text = given->text;
  attribute.label_id = given->label_id;
  attribute.confidence = given->confidence;
  attribute.number = given->number;
  const size_t count = given->values ? given->value_count : 0;
  if (*kind == AttributeKind::mask) {
    if (count == 0 || size_t(given->rows) * given->columns != count) return;
    auto cells = allocate_tensor({.type = DataType::f32, .shape = {given->rows, given->columns}});
    if (!cells) return;
    auto mapping = map(*cells, Access::write);
    if (!mapping) return;
    std::ranges::copy(std::span(given->values, count), mapping->as<float>().begin());
    mapping->reset();
    attribute.tensor = std::move(*cells);
    if (given->box_w > 0 || given->box_h > 0)
      attribute.values = {given->box_x, given->box_y, given->box_w, given->box_h};
  } else {
    attribute.values.assign(given->values, given->values + count);
  }
  (object < 0 ? results.attributes : results.objects[size_t(object)].attributes)
      .push_back(std::move(attribute));
}

void set_failure(void* context, const char* message) {
  static_cast<Collector*>(context)->failure = message ? message : "";
}

class SharedObject final : public UserDecoder {
 public:
  SharedObject(const SightglassDecoder& table, const DecoderSettings& settings)
      : table_(table), settings_(settings) {
    for (const std::string& label : settings_.labels) labels_.push_back(label.c_str());
  }
  ~SharedObject() override {
    if (decoder_ && table_.destroy) table_.destroy(decoder_);
  }

  Status create() {
    const SightglassDecoderOptions options{labels_.data(), uint32_t(labels_.size()),
                                           settings_.config.c_str()};
    char error[512] = "";
    if (auto status = guarded([&] { decoder_ = table_.create(&options, error, sizeof error); }); !status)
      return status;
    error[sizeof error - 1] = 0;
    if (decoder_) return {};
    return fail(ErrorCode::invalid_argument, "{}", *error ? error : "it gives no reason");
  }

  Status decode(const DecoderInput& input, DecoderResults& results) override {
    tensors_.clear();
    for (size_t i = 0; i < input.tensors.size(); ++i)
      tensors_.push_back({input.names[i].c_str(), to_string(input.tensors[i].type).data(),
                          input.mappings[i].data(), input.tensors[i].shape.begin(),
                          uint32_t(input.tensors[i].shape.rank())});
    Collector collector{results, {}};
    const SightglassFrame frame{.model = input.model.c_str(),
                                .tensors = tensors_.data(),
                                .tensor_count = uint32_t(tensors_.size()),
                                .threshold = input.threshold,
                                .results = &collector,
                                .add_object = add_object,
                                .add_attribute = add_attribute,
                                .fail = set_failure};
    int code = 0;
    if (auto status = guarded([&] { code = table_.decode(decoder_, &frame); }); !status) return status;
    if (code == 0) return {};
    return fail(ErrorCode::internal, "{}",
                collector.failure.empty() ? std::format("it returned {}", code) : collector.failure);
  }

 private:
  // Calls code of the user, which may throw although the interface is C.
  template <class Call>
  static Status guarded(Call call) {
    try {
      call();
      return {};
    } catch (const std::exception& exception) {
      return fail(ErrorCode::internal, "it threw: {}", exception.what());
    } catch (...) {
      return fail(ErrorCode::internal, "it threw an exception");
    }
  }

  const SightglassDecoder& table_;
  const DecoderSettings settings_;
  std::vector<const char*> labels_;
  void* decoder_ = nullptr;
  std::vector<SightglassTensor> tensors_;
};

}  // namespace

Result<std::unique_ptr<UserDecoder>> open_shared_object(const DecoderSettings& settings) {
  const std::filesystem::path file = settings.decoder;
  std::error_code ignored;
  if (!std::filesystem::exists(file, ignored))
    return fail(ErrorCode::not_found, "decoder={}: there is no such file", settings.decoder);
  void* library = dlopen(std::filesystem::absolute(file, ignored).c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    const char* reason = dlerror();
    return fail(ErrorCode::unavailable, "decoder={} cannot be loaded: {}", settings.decoder,
                reason ? reason : "no reason is given");
  }
  auto* entry = reinterpret_cast<decltype(&sightglass_decoder)>(dlsym(library, "sightglass_decoder"));
  if (!entry)
    return fail(ErrorCode::invalid_argument,
                "decoder={} is no decoder: it exports no function sightglass_decoder (sightglass/decoder.h)",
                settings.decoder);
  const SightglassDecoder* table = entry(SIGHTGLASS_DECODER_VERSION);
  if (!table || table->version > SIGHTGLASS_DECODER_VERSION || !table->create || !table->decode)
    return fail(ErrorCode::unsupported,
                "decoder={} was made for another version of sightglass/decoder.h than {}", settings.decoder,
                SIGHTGLASS_DECODER_VERSION);
  auto decoder = std::make_unique<SharedObject>(*table, settings);
  if (auto created = decoder->create(); !created)
    return fail(created.error().code, "decoder={}: {}", settings.decoder, created.error().message);
  return decoder;
}

}  // namespace sightglass
