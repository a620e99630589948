#include "sightglass/elements/tensor_postproc_label/tensor_postproc_label.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "sightglass/core/registry.h"

namespace sightglass {
namespace {

// -1 where a free axis leaves it open. The first of several axes is the batch.
int64_t values_of_sample(const Shape& shape) {
  const int64_t all = shape.elements();
  return all > 0 && shape.rank() >= 2 && shape[0] > 0 ? all / shape[0] : all;
}

// Ids and scores in falling order; equal scores by id, so that the result does not depend on the sorting.
constexpr auto better = [](const auto& a, const auto& b) {
  return a.score != b.score ? a.score > b.score : a.id < b.id;
};

}  // namespace

Status TensorPostprocLabel::start() {
  // Which of several files is meant is known when the layer is: the list as such has to be there now.
  auto labels = load_labels(params_.labels, params_.labels_file, params_.layer_name);
  if (!labels) return forward_error(labels);
  const bool per_layer = labels->empty() && !params_.labels.empty() && params_.layer_name.empty();
  if (labels->empty() && params_.classes == 0 && !per_layer)
    return fail(ErrorCode::invalid_argument,
                "no labels; set labels or labels-file, or classes where they have no names");
  labels_ = std::move(*labels);
  return {};
}

Status TensorPostprocLabel::configure(const Format& input, const Format&) {
  auto outputs = outputs_of(input);
  if (!outputs) return forward_error(outputs);
  model_ = Label((*outputs)->model);
  auto found = find_output(**outputs, params_.layer_name);
  if (!found) return forward_error(found);
  tensor_ = *found;
  const TensorInfo& output = (*outputs)->tensors[size_t(tensor_)];
  if (params_.layer_name.empty() && params_.labels_file.empty()) {
    auto labels = load_labels(params_.labels, {}, output.name);
    if (!labels) return forward_error(labels);
    labels_ = std::move(*labels);
    if (labels_.empty() && params_.classes == 0)
      return fail(ErrorCode::invalid_argument, "labels names no file for the output {}",
                  to_string(**outputs));
  }
  name_ = Label(!params_.attribute_name.empty() ? std::string_view(params_.attribute_name)
                : !output.name.empty()          ? std::string_view(output.name)
                                                : "classification");
  if (params_.method == Method::index) return {};
  const int64_t values = values_of_sample(output.shape),
                per_value = params_.method == Method::compound ? 2 : 1;
  if (values >= 0 && int64_t(std::max<size_t>(labels_.size(), params_.classes)) > values * per_value)
    return fail(ErrorCode::invalid_argument, "{} labels, but the output {} has only {} values",
                std::max<size_t>(labels_.size(), params_.classes), to_string(**outputs), values);
  if (params_.method == Method::compound && labels_.size() % 2 != 0)
    return fail(ErrorCode::invalid_argument, "method=compound needs pairs of labels, but there are {}",
                labels_.size());
  return {};
}

std::span<const float> TensorPostprocLabel::activate(std::span<const float> values) {
  switch (params_.method) {
    case Method::softmax:
    case Method::softmax_multi: {
      float largest = -std::numeric_limits<float>::infinity();
      for (float value : values)
        if (std::isfinite(value)) largest = std::max(largest, value);
      double sum = 0;
      activated_.assign(values.begin(), values.end());
      for (float& value : activated_) {
        if (!std::isfinite(value)) continue;
        value = std::exp(value - largest);
        sum += double(value);
      }
      for (float& value : activated_) value = float(double(value) / sum);
      return activated_;
    }
    case Method::sigmoid:
      activated_.assign(values.begin(), values.end());
      for (float& value : activated_) value = 1 / (1 + std::exp(-value));
      return activated_;
    default:
      return values;
  }
}

void TensorPostprocLabel::list(Attribute& attribute) {
  attribute.kind = AttributeKind::multi;
  attribute.label_id = ranked_[0].id;
  attribute.confidence = ranked_[0].score;
  for (const Scored& scored : ranked_) {
    if (&scored != &ranked_[0]) attribute.text += ", ";
    attribute.text += labels_[scored.id].view();
    attribute.values.insert(attribute.values.end(), {float(scored.id), scored.score});
  }
}

bool TensorPostprocLabel::best(std::span<const float> values, Attribute& attribute) {
  const std::span<const float> scores = activate(values);
  const float threshold = float(params_.threshold);
  if (params_.top_k > 1) {
    ranked_.clear();
    for (size_t i = 0; i < scores.size(); ++i)
      if (std::isfinite(scores[i]) && scores[i] >= threshold) ranked_.push_back({int32_t(i), scores[i]});
    const size_t count = std::min<size_t>(params_.top_k, ranked_.size());
    std::ranges::partial_sort(ranked_, ranked_.begin() + ptrdiff_t(count), better);
    ranked_.resize(count);
    if (ranked_.empty()) return false;
    list(attribute);
    return true;
  }
  int32_t found = -1;
  for (size_t i = 0; i < scores.size(); ++i)
    if (std::isfinite(scores[i]) && (found < 0 || scores[i] > scores[size_t(found)])) found = int32_t(i);
  if (found < 0 || !(scores[size_t(found)] >= threshold)) return false;
  attribute.kind = AttributeKind::classification;
  attribute.label_id = found;
  attribute.text = labels_[found].view();
  attribute.confidence = scores[size_t(found)];
  return true;
}

bool TensorPostprocLabel::multi(std::span<const float> values, Attribute& attribute) {
  const std::span<const float> scores = activate(values);
  ranked_.clear();
  for (size_t i = 0; i < scores.size(); ++i)
    if (std::isfinite(scores[i]) && scores[i] >= float(params_.threshold))
      ranked_.push_back({int32_t(i), scores[i]});
  if (ranked_.empty()) return false;
  std::ranges::sort(ranked_, better);
  list(attribute);
  return true;
}

bool TensorPostprocLabel::compound(std::span<const float> values, Attribute& attribute) const {
  const float limit = float(params_.compound_threshold);
  attribute.kind = AttributeKind::classification;
  attribute.confidence = 1;
  int answered = 0;
  for (size_t i = 0; i < values.size() && (labels_.empty() || 2 * i < labels_.size()); ++i) {
    if (!std::isfinite(values[i])) continue;
    const bool first = values[i] >= limit;
    const int32_t id = int32_t(2 * i) + (first ? 0 : 1);
    attribute.text += labels_[id].view();
    attribute.label_id = answered++ == 0 ? id : -1;  // only one answer has one id
    attribute.confidence = std::min(attribute.confidence, first ? values[i] : 1 - values[i]);
  }
  return answered > 0 && attribute.confidence >= float(params_.threshold);
}

bool TensorPostprocLabel::index(std::span<const float> values, Attribute& attribute) const {
  int count = 0;
  for (float value : values) {
    const int64_t classes = int64_t(std::max<size_t>(labels_.size(), params_.classes));
    if (!(value >= 0 && value < float(classes))) break;
    attribute.label_id = int32_t(value);
    attribute.text += labels_[attribute.label_id].view();
    ++count;
  }
  attribute.confidence = 1;
  // One class is a class; a row of them is a text, such as that of a number plate.
  attribute.kind = count == 1 ? AttributeKind::classification : AttributeKind::text;
  if (count > 1) attribute.label_id = -1;
  return count > 0;
}

Result<Verdict> TensorPostprocLabel::process(Frame& frame) {
  auto sample = own_sample(frame, size_t(tensor_));
  if (!sample) return forward_error(sample);
  auto values = read_values(*sample, scratch_);
  if (!values) return forward_error(values);
  Attribute attribute{.name = name_, .model = model_};
  bool found = false;
  switch (params_.method) {
    case Method::max:
    case Method::softmax:
    case Method::sigmoid:
      found = best(values->data, attribute);
      break;
    case Method::multi:
    case Method::softmax_multi:
      found = multi(values->data, attribute);
      break;
    case Method::compound:
      found = compound(values->data, attribute);
      break;
    case Method::index:
      found = index(values->data, attribute);
      break;
  }
  if (found) frame.attributes = with(frame.attributes, std::move(attribute));
  return Verdict::pass;
}

namespace {

const Registration registration([] {
  using P = TensorPostprocLabel::Params;
  return ElementDesc{
      .name = "tensor_postproc_label",
      .title = "Classes from tensors",
      .klass = "Filter/Analyzer",
      .doc =
          "Turns the output of a classifier into a class of the frame or of the object that the frame was "
          "cut to.",
      .kind = ElementKind::transform_inplace,
      .input = any_tensors(),
      .params = ParamTable::of<P>({
          param("labels", &P::labels,
                "class names, or a file with one on each line, or layer=file for several layers"),
          param("labels-file", &P::labels_file, "file with a class name on each line"),
          param("method", &P::method, "how the values become a class")
              .choices({"max", "softmax", "compound", "index", "multi", "softmax-multi", "sigmoid"}),
          param("attribute-name", &P::attribute_name, "name of the result; empty: that of the output"),
          param("layer-name", &P::layer_name, "which output; empty: the only one"),
          param("threshold", &P::threshold, "least score that is kept").range(0, 1).live(),
          param("compound-threshold", &P::compound_threshold,
                "least value that chooses the first label of a pair")
              .range(0, 1),
          param("top-k", &P::top_k, "most classes that are given, for max, softmax and sigmoid")
              .range(1, 1000),
          param("classes", &P::classes, "number of classes where they have no names"),
      }),
      .create = [](const ParamSet& params) -> Result<std::unique_ptr<Element>> {
        return std::make_unique<TensorPostprocLabel>(params.as<P>());
      },
  };
}());

}  // namespace
}  // namespace sightglass
