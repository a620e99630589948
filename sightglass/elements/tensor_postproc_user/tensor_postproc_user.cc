#include "sightglass/elements/tensor_postproc_user/tensor_postproc_user.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "sightglass/core/registry.h"
#include "sightglass/elements/detection/candidates.h"
#include "sightglass/elements/detection/model_outputs.h"
#include "sightglass/memory/system/system_frame.h"
#include "sightglass/memory/system/system_memory.h"

namespace sightglass {
namespace {

// Labels live for ever: more different ones than this are no closed list.
constexpr size_t most_labels = 4096;

bool is_finite(const std::vector<float>& values) {
  return std::ranges::all_of(values, [](float value) { return std::isfinite(value); });
}

bool is_sound(const Attribute& attribute) {
  if (!std::isfinite(attribute.confidence) || !std::isfinite(attribute.number)) return false;
  if (!is_finite(attribute.values)) return false;
  if (attribute.kind != AttributeKind::mask || attribute.tensor.type != DataType::f32) return true;
  auto cells = map(attribute.tensor, Access::read);
  return cells && cells->dense() &&
         std::ranges::all_of(cells->as<const float>(), [](float cell) { return std::isfinite(cell); });
}

bool is_sound(const Region& region) {
  const Box& box = region.box;
  return std::isfinite(box.x) && std::isfinite(box.y) && std::isfinite(box.w) && std::isfinite(box.h) &&
         box.w > 0 && box.h > 0 && std::isfinite(region.angle) && std::isfinite(region.confidence);
}

}  // namespace

Status TensorPostprocUser::start() {
  auto labels = load_labels(params_.labels, params_.labels_file);
  if (!labels) return forward_error(labels);
  labels_ = std::move(*labels);
  is_given_up_ = false;
  std::ranges::fill(warned_, false);
  DecoderSettings settings{params_.decoder, {}, params_.config};
  for (size_t i = 0; i < labels_.size(); ++i) settings.labels.emplace_back(labels_[int64_t(i)].view());
  auto opened = open_user_decoder(settings);
  if (!opened) return forward_error(opened);
  decoder_ =
      std::make_unique<WatchedDecoder>(std::move(*opened), std::chrono::milliseconds(params_.time_budget));
  return {};
}

Status TensorPostprocUser::configure(const Format& input, const Format&) {
  auto outputs = outputs_of(input);
  if (!outputs) return forward_error(outputs);
  names_.clear();
  for (const TensorInfo& tensor : (*outputs)->tensors) names_.push_back(tensor.name);
  model_ = Label((*outputs)->model);
  return {};
}

Result<DecoderInput> TensorPostprocUser::input_of(const Frame& frame) const {
  DecoderInput input;
  input.model = model_.view();
  input.threshold = float(params_.threshold);
  for (size_t i = 0; i < frame.tensors.size(); ++i) {
    auto sample = own_sample(frame, i);
    if (!sample) return forward_error(sample);
    if (!sample->dense()) {
      auto dense = allocate_tensor({.type = sample->type, .shape = sample->shape});
      if (!dense) return forward_error(dense);
      if (auto copied = copy_tensor(*sample, *dense); !copied) return forward_error(copied);
      *sample = std::move(*dense);
    }
    auto mapping = map(*sample, Access::read);
    if (!mapping) return forward_error(mapping);
    input.tensors.push_back(std::move(*sample));
    input.mappings.push_back(std::move(*mapping));
    input.names.push_back(i < names_.size() ? names_[i] : std::string());
  }
  return input;
}

Result<Verdict> TensorPostprocUser::process(Frame& frame) {
  if (is_given_up_) return Verdict::pass;
  auto input = input_of(frame);
  if (!input) return forward_error(input);
  DecoderResults results;
  auto outcome = decoder_->decode(std::move(*input), results);
  if (!outcome)
    return fail(outcome.error().code, "the decoder {} has failed: {}", params_.decoder,
                outcome.error().message);
  if (*outcome == WatchedDecoder::Outcome::too_slow) {
    is_given_up_ = true;
    warn_once(too_slow, std::format("the decoder {} took more than {} ms (time-budget); frames go on without "
                                    "its results until the element is started anew",
                                    params_.decoder, params_.time_budget));
    return Verdict::pass;
  }
  take(results, frame);
  return Verdict::pass;
}

void TensorPostprocUser::take(DecoderResults& results, Frame& frame) {
  const auto keep_sound = [&](std::vector<Attribute>& attributes) {
    if (std::erase_if(attributes, [](const Attribute& item) { return !is_sound(item); }))
      warn_once(
          not_finite,
          std::format("the decoder {} gives numbers that are not finite, or boxes without an area; what "
                      "they belong to is dropped",
                      params_.decoder));
    for (Attribute& attribute : attributes) add_labels(attribute);
  };
  const auto first = ptrdiff_t(frame.regions.size());
  for (DecodedObject& object : results.objects) {
    Region& region = object.region;
    if (!is_sound(region)) {
      warn_once(
          not_finite,
          std::format("the decoder {} gives numbers that are not finite, or boxes without an area; what "
                      "they belong to is dropped",
                      params_.decoder));
      continue;
    }
    if (region.confidence < float(params_.threshold)) continue;
    region.id = region.parent = -1;
    region.model = model_;
    region.label = object.label.empty() ? labels_[region.label_id] : label_of(object.label);
    keep_sound(object.attributes);
    if (!object.attributes.empty())
      region.attributes = make_ref<const AttributeList>(std::move(object.attributes));
    frame.regions.push_back(std::move(region));
  }
  if (frame.regions.size() - size_t(first) > max_frame_objects) {
    std::ranges::stable_sort(frame.regions.begin() + first, frame.regions.end(), std::greater(),
                             &Region::confidence);
    frame.regions.resize(size_t(first) + max_frame_objects);
    warn_once(too_many_objects, std::format("the decoder {} gives more than {} objects for a frame; those of "
                                            "the highest confidence are kept",
                                            params_.decoder, max_frame_objects));
  }
  keep_sound(results.attributes);
  for (Attribute& attribute : results.attributes)
    frame.attributes = with(frame.attributes, std::move(attribute));
}

void TensorPostprocUser::add_labels(Attribute& attribute) {
  attribute.model = model_;
  if (attribute.kind == AttributeKind::classification && attribute.text.empty())
    attribute.text = labels_[attribute.label_id].view();
}

Label TensorPostprocUser::label_of(const std::string& text) {
  if (const auto known = texts_.find(text); known != texts_.end()) return known->second;
  if (texts_.size() >= most_labels) {
    warn_once(too_many_labels, std::format("the decoder {} gives ever new labels; from now on they are left "
                                           "out: free text belongs into an attribute",
                                           params_.decoder));
    return {};
  }
  return texts_.emplace(text, Label(text)).first->second;
}

void TensorPostprocUser::warn_once(Warning warning, std::string text) {
  if (!std::exchange(warned_[warning], true)) warnings_.push_back(std::move(text));
}

namespace {

const Registration registration([] {
  using P = TensorPostprocUser::Params;
  return ElementDesc{
      .name = "tensor_postproc_user",
      .title = "Results by a decoder of one's own",
      .klass = "Filter/Analyzer",
      .doc =
          "Turns the outputs of a model into results by a decoder that the user brings along: a shared "
          "object with one C function, or a class in Python.",
      .kind = ElementKind::transform_inplace,
      .input = any_tensors(),
      .params = ParamTable::of<P>({
          param("decoder", &P::decoder,
                "a shared object (./mine.so, see sightglass/decoder.h) or a class in Python (module:Class or "
                "./mine.py:Class)"),
          param("labels", &P::labels, "class names, or a file with one on each line"),
          param("labels-file", &P::labels_file, "file with a class name on each line"),
          param("threshold", &P::threshold, "least confidence that is kept").range(0, 1).live(),
          param("config", &P::config, "settings of the decoder as KEY=VALUE,…"),
          param("time-budget", &P::time_budget,
                "longest time for one frame; a decoder that takes longer is not called again; 0: no limit")
              .range(0, 3'600'000)
              .in("ms"),
      }),
      .create = [](const ParamSet& params) -> Result<std::unique_ptr<Element>> {
        return std::make_unique<TensorPostprocUser>(params.as<P>());
      },
  };
}());

}  // namespace
}  // namespace sightglass
