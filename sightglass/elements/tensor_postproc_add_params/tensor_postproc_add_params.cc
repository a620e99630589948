#include "sightglass/elements/tensor_postproc_add_params/tensor_postproc_add_params.h"

#include <format>

#include "sightglass/core/registry.h"

namespace sightglass {

Status TensorPostprocAddParams::configure(const Format& input, const Format&) {
  auto outputs = outputs_of(input);
  if (!outputs) return forward_error(outputs);
  model_ = Label((*outputs)->model);
  const auto& tensors = (*outputs)->tensors;
  names_.clear();
  for (size_t i = 0; i < tensors.size(); ++i) {
    const std::string layer = tensors[i].name.empty() ? std::to_string(i) : tensors[i].name;
    names_.emplace_back(tensors.size() == 1 ? params_.attribute_name
                                            : std::format("{}/{}", params_.attribute_name, layer));
  }
  return {};
}

Result<Verdict> TensorPostprocAddParams::process(Frame& frame) {
  for (size_t i = 0; i < names_.size(); ++i) {
    auto sample = own_sample(frame, i);
    if (!sample) return forward_error(sample);
    Attribute attribute{.name = names_[i], .kind = AttributeKind::tensor, .model = model_};
    attribute.text = params_.format;
    attribute.tensor = std::move(*sample);
    frame.attributes = with(frame.attributes, std::move(attribute));
  }
  return Verdict::pass;
}

namespace {

const Registration registration([] {
  using P = TensorPostprocAddParams::Params;
  return ElementDesc{
      .name = "tensor_postproc_add_params",
      .title = "Raw tensors as results",
      .klass = "Filter/Analyzer",
      .doc = "Attaches a model's raw outputs to the frame or object, with a name and a tag.",
      .kind = ElementKind::transform_inplace,
      .input = any_tensors(),
      .params = ParamTable::of<P>({
          param("attribute-name", &P::attribute_name, "name of the result"),
          param("format", &P::format, "free tag that says what the numbers are, such as landmark_points"),
      }),
      .create = [](const ParamSet& params) -> Result<std::unique_ptr<Element>> {
        return std::make_unique<TensorPostprocAddParams>(params.as<P>());
      },
  };
}());

}  // namespace
}  // namespace sightglass
