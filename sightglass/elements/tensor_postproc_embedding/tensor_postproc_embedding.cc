#include "sightglass/elements/tensor_postproc_embedding/tensor_postproc_embedding.h"

#include <cmath>

#include "sightglass/core/registry.h"

namespace sightglass {

Status TensorPostprocEmbedding::configure(const Format& input, const Format&) {
  auto outputs = outputs_of(input);
  if (!outputs) return forward_error(outputs);
  auto found = find_output(**outputs, params_.layer_name);
  if (!found) return forward_error(found);
  tensor_ = size_t(*found);
  model_ = Label((*outputs)->model);
  name_ = Label(params_.attribute_name);
  return {};
}

Result<Verdict> TensorPostprocEmbedding::process(Frame& frame) {
  auto sample = own_sample(frame, tensor_);
  if (!sample) return forward_error(sample);
  auto values = read_values(*sample, scratch_);
  if (!values) return forward_error(values);
  double squares = 0;
  for (float value : values->data) squares += double(value) * double(value);
  const bool unit = params_.normalize == Normalize::l2;
  if (values->data.empty() || !std::isfinite(squares) || (unit && squares == 0)) return Verdict::pass;

  Attribute attribute{.name = name_, .kind = AttributeKind::vector, .model = model_};
  attribute.values.assign(values->data.begin(), values->data.end());
  if (unit) {
    const double length = std::sqrt(squares);
    for (float& value : attribute.values) value = float(double(value) / length);
  }
  frame.attributes = with(frame.attributes, std::move(attribute));
  return Verdict::pass;
}

namespace {

const Registration registration([] {
  using P = TensorPostprocEmbedding::Params;
  return ElementDesc{
      .name = "tensor_postproc_embedding",
      .title = "Feature vectors from tensors",
      .klass = "Filter/Analyzer",
      .doc =
          "Turns the output of an embedding model into a feature vector of the frame or of the object that "
          "the frame was cut to.",
      .kind = ElementKind::transform_inplace,
      .input = any_tensors(),
      .params = ParamTable::of<P>({
          param("attribute-name", &P::attribute_name, "name of the result, which the tracker looks for"),
          param("layer-name", &P::layer_name, "which output; empty: the only one"),
          param("normalize", &P::normalize, "scale the vector to length 1, so that a product is a cosine")
              .choices({"l2", "none"}),
      }),
      .create = [](const ParamSet& params) -> Result<std::unique_ptr<Element>> {
        return std::make_unique<TensorPostprocEmbedding>(params.as<P>());
      },
  };
}());

}  // namespace
}  // namespace sightglass
