#include "sightglass/elements/tensor_postproc_text/tensor_postproc_text.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "sightglass/core/registry.h"

namespace sightglass {
namespace {

// As printf's %.*f in the C locale.
void append_number(std::string& text, double value, int precision) {
  char digits[400];  // the largest double has 309 before the point
  const auto end =
      std::to_chars(digits, digits + sizeof(digits), value, std::chars_format::fixed, precision).ptr;
  std::string_view number(digits, size_t(end - digits));
  // No sign before a zero.
  if (number.starts_with('-') && number.find_first_not_of("-0.") == number.npos) number.remove_prefix(1);
  text += number;
}

}  // namespace

Status TensorPostprocText::configure(const Format& input, const Format&) {
  auto outputs = outputs_of(input);
  if (!outputs) return forward_error(outputs);
  model_ = Label((*outputs)->model);
  first_ = 0, count_ = (*outputs)->tensors.size();
  if (!params_.layer_name.empty()) {
    auto found = find_output(**outputs, params_.layer_name);
    if (!found) return forward_error(found);
    first_ = size_t(*found), count_ = 1;
  }
  const std::string& layer = (*outputs)->tensors[first_].name;
  name_ = Label(!params_.attribute_name.empty() ? std::string_view(params_.attribute_name)
                : count_ == 1 && !layer.empty() ? std::string_view(layer)
                                                : "text");
  return {};
}

void TensorPostprocText::reduce(std::span<const double> bins, float& confidence) {
  const auto value = [&](size_t bin) { return params_.value_offset + double(bin) * params_.value_step; };
  if (params_.reduce == Reduce::argmax) {
    size_t best = bins.size();
    for (size_t i = 0; i < bins.size(); ++i)
      if (std::isfinite(bins[i]) && (best == bins.size() || bins[i] > bins[best])) best = i;
    if (best == bins.size()) return;
    numbers_.push_back(value(best));
    confidence = float(std::clamp(bins[best], 0.0, 1.0));
    return;
  }
  double sum = 0, weights = 0;
  for (size_t i = 0; i < bins.size(); ++i) {
    if (!std::isfinite(bins[i])) continue;
    sum += bins[i] * value(i);
    weights += bins[i];
  }
  if (weights > 0) numbers_.push_back(sum / weights);
}

Result<Verdict> TensorPostprocText::process(Frame& frame) {
  numbers_.clear();
  float confidence = 0;
  for (size_t i = first_; i < first_ + count_; ++i) {
    auto sample = own_sample(frame, i);
    if (!sample) return forward_error(sample);
    auto values = read_values(*sample, scratch_);
    if (!values) return forward_error(values);
    if (params_.reduce != Reduce::none)
      reduce(values->data, confidence);
    else
      std::ranges::copy_if(values->data, std::back_inserter(numbers_),
                           [](double v) { return std::isfinite(v); });
  }
  if (numbers_.empty()) return Verdict::pass;

  Attribute attribute{.name = name_, .confidence = confidence, .model = model_};
  for (double& number : numbers_) {
    number *= params_.text_scale;
    if (!attribute.text.empty()) attribute.text += ", ";
    append_number(attribute.text, number, params_.text_precision);
  }
  if (numbers_.size() == 1) {
    attribute.kind = AttributeKind::number;
    attribute.number = numbers_[0];
  } else {
    attribute.kind = AttributeKind::text;
    attribute.values.assign(numbers_.begin(), numbers_.end());
  }
  frame.attributes = with(frame.attributes, std::move(attribute));
  return Verdict::pass;
}

namespace {

const Registration registration([] {
  using P = TensorPostprocText::Params;
  return ElementDesc{
      .name = "tensor_postproc_text",
      .title = "Numbers from tensors",
      .klass = "Filter/Analyzer",
      .doc =
          "Turns the numbers of a model's outputs, or the bins of a distribution, into a number and its "
          "text.",
      .kind = ElementKind::transform_inplace,
      .input = any_tensors(),
      .params = ParamTable::of<P>({
          param("text-scale", &P::text_scale, "factor of each value").range(0, 1e300),
          param("text-precision", &P::text_precision, "decimals of the text").range(0, 30),
          param("attribute-name", &P::attribute_name, "name of the result; empty: that of the output"),
          param("layer-name", &P::layer_name, "which output; empty: all"),
          param("reduce", &P::reduce,
                "treat the values as bins: take the largest, or the mean weighted by them")
              .choices({"none", "argmax", "expectation"}),
          param("value-offset", &P::value_offset, "what bin 0 stands for"),
          param("value-step", &P::value_step, "from one bin to the next"),
      }),
      .create = [](const ParamSet& params) -> Result<std::unique_ptr<Element>> {
        return std::make_unique<TensorPostprocText>(params.as<P>());
      },
  };
}());

}  // namespace
}  // namespace sightglass
