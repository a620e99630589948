#include "sightglass/elements/tensor_postproc_ctc/tensor_postproc_ctc.h"

#include <algorithm>
#include <cmath>

#include "sightglass/core/registry.h"

namespace sightglass {
namespace {

// Index of the largest score, the first of equal ones; -1 when one is not finite.
int64_t best_of(std::span<const float> scores) {
  // Sixteen at a time, so that it becomes a few vector instructions. A difference that is not 0 shows what is
  // not finite, since a maximum passes NaN by.
  constexpr size_t lanes = 16;
  float best[lanes], odd[lanes] = {};
  std::ranges::fill(best, scores[0]);
  size_t i = 0;
  for (; i + lanes <= scores.size(); i += lanes)
    for (size_t lane = 0; lane < lanes; ++lane) {
      const float value = scores[i + lane];
      best[lane] = value > best[lane] ? value : best[lane];
      odd[lane] += value - value;
    }
  for (; i < scores.size(); ++i) {
    best[0] = std::max(best[0], scores[i]);
    odd[0] += scores[i] - scores[i];
  }
  float largest = best[0], sum = odd[0];
  for (size_t lane = 1; lane < lanes; ++lane) largest = std::max(largest, best[lane]), sum += odd[lane];
  if (sum != 0 || std::isnan(sum)) return -1;
  return std::ranges::find(scores, largest) - scores.begin();
}

// The probability of one class of a step.
float probability(std::span<const float> scores, size_t index) {
  double sum = 0;
  bool negative = false;
  for (float score : scores) sum += double(score), negative |= score < 0;
  if (!negative && std::abs(sum - 1) < 0.01) return scores[index];
  sum = 0;
  for (float score : scores) sum += std::exp(double(score - scores[index]));
  return float(1 / sum);
}

}  // namespace

Status TensorPostprocCtc::start() {
  const std::string& file = params_.charset_file.empty() ? params_.labels_file : params_.charset_file;
  auto listed = load_labels(params_.labels, file, params_.layer_name);
  if (!listed) return forward_error(listed);
  if (listed->empty())
    return fail(ErrorCode::invalid_argument, "no characters; set charset-file, with one on each line");
  listed_ = std::move(*listed);
  return {};
}

Status TensorPostprocCtc::configure(const Format& input, const Format&) {
  auto outputs = outputs_of(input);
  if (!outputs) return forward_error(outputs);
  auto found = find_output(**outputs, params_.layer_name);
  if (!found) return forward_error(found);
  tensor_ = size_t(*found);
  model_ = Label((*outputs)->model);
  const TensorInfo& output = (*outputs)->tensors[tensor_];
  name_ = Label(!params_.attribute_name.empty() ? std::string_view(params_.attribute_name)
                : !output.name.empty()          ? std::string_view(output.name)
                                                : "text");
  if (output.shape.rank() < 2)
    return fail(ErrorCode::not_negotiated, "steps and classes are needed, but the output is {}",
                to_string(**outputs));

  const int64_t classes = output.shape.back(), listed = int64_t(listed_.size());
  if (params_.blank_index >= classes)
    return fail(ErrorCode::invalid_argument, "blank-index={}, but there are {} classes", params_.blank_index,
                classes);
  const bool with_space = params_.space_last && listed + 2 == classes;
  if (listed != classes && listed + 1 != classes && !with_space)
    return fail(
        ErrorCode::invalid_argument,
        "{} characters do not fit the {} classes of the output; with the blank there should be as many, "
        "without it one less, and with space-last two less",
        listed, classes);
  characters_.assign(size_t(classes), Label());
  for (int64_t i = 0; i < listed; ++i)
    characters_[size_t(listed < classes && i >= params_.blank_index ? i + 1 : i)] = listed_[i];
  if (with_space) characters_.back() = Label(" ");
  characters_[size_t(params_.blank_index)] = Label();
  return {};
}

Result<Verdict> TensorPostprocCtc::process(Frame& frame) {
  if (tensor_ < frame.tensors.size() && frame.tensors[tensor_].shape.back() != int64_t(characters_.size()))
    return fail(ErrorCode::corrupt, "the output has {} classes, not {}", frame.tensors[tensor_].shape.back(),
                characters_.size());
  // [T,1,C]: the first axis is none of samples.
  const bool steps_first = tensor_ < frame.tensors.size() && frame.tensors[tensor_].shape.rank() == 3 &&
                           frame.tensors[tensor_].shape[1] == 1;
  auto sample = own_sample(frame, tensor_, steps_first ? 4 : 3);
  if (!sample) return forward_error(sample);
  auto values = read_values(*sample, scratch_);
  if (!values) return forward_error(values);

  Attribute attribute{.name = name_, .kind = AttributeKind::text, .model = model_};
  int64_t last = params_.blank_index;
  double sum = 0;
  int kept = 0;
  for (std::span<const float> rest = values->data; rest.size() >= characters_.size();
       rest = rest.subspan(characters_.size())) {
    const auto scores = rest.first(characters_.size());
    int64_t best = best_of(scores);
    if (best < 0) best = params_.blank_index;
    if (best != last && best != params_.blank_index) {
      attribute.text += characters_[size_t(best)].view();
      sum += double(probability(scores, size_t(best)));
      ++kept;
    }
    last = best;
  }
  if (kept == 0) return Verdict::pass;
  attribute.confidence = float(sum / kept);
  if (attribute.confidence >= float(params_.threshold))
    frame.attributes = with(frame.attributes, std::move(attribute));
  return Verdict::pass;
}

namespace {

const Registration registration([] {
  using P = TensorPostprocCtc::Params;
  return ElementDesc{
      .name = "tensor_postproc_ctc",
      .title = "Text from tensors",
      .klass = "Filter/Analyzer",
      .doc =
          "Turns the steps of a text recogniser (CTC, greedy) into the text of the frame or of the object "
          "that the frame was cut to.",
      .kind = ElementKind::transform_inplace,
      .input = any_tensors(),
      .params = ParamTable::of<P>({
          param("labels", &P::labels, "the characters, or a file with one on each line"),
          param("labels-file", &P::labels_file, "file with a character on each line"),
          param("charset-file", &P::charset_file,
                "file with a character on each line; counts before labels-file"),
          param("blank-index", &P::blank_index, "class that stands for nothing").range(0, 1e6),
          param("space-last", &P::space_last, "the last class is the space, which the characters lack"),
          param("threshold", &P::threshold, "least mean confidence of a text that is kept")
              .range(0, 1)
              .live(),
          param("attribute-name", &P::attribute_name, "name of the result; empty: that of the output"),
          param("layer-name", &P::layer_name, "which output; empty: the only one"),
      }),
      .create = [](const ParamSet& params) -> Result<std::unique_ptr<Element>> {
        return std::make_unique<TensorPostprocCtc>(params.as<P>());
      },
  };
}());

}  // namespace
}  // namespace sightglass
