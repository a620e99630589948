#include "sightglass/elements/tensor_sliding_window/tensor_sliding_window.h"

#include <algorithm>

#include "sightglass/core/registry.h"
#include "sightglass/elements/detection/model_outputs.h"

namespace sightglass {
namespace {

constexpr size_t most_values = size_t{1} << 28;  // 1 GiB

}  // namespace

std::vector<FormatSpec> TensorSlidingWindow::transform_format(Direction from, const FormatSpec& spec) const {
  const auto* tensors = std::get_if<TensorsSpec>(&spec.media);
  if (!tensors && !std::holds_alternative<AnySpec>(spec.media)) return {};
  if (tensors && tensors->tensors.size() > 1) return {};
  if (from == Direction::output) return {{TensorsSpec{{TensorSpec{}}, {}}}};
  return {{TensorsSpec{{TensorSpec{.types = {DataType::f32}}}, {}}}};
}

Status TensorSlidingWindow::configure(const Format& input, const Format& output) {
  const TensorsInfo *in = input.tensors(), *out = output.tensors();
  if (!in || in->tensors.size() != 1 || !out || out->tensors.size() != 1)
    return fail(ErrorCode::not_negotiated, "one tensor is needed, not {} to {}", to_string(input),
                to_string(output));
  const int64_t one = in->tensors[0].shape.elements(), all = out->tensors[0].shape.elements();
  if (one <= 0 || all <= 0 || out->tensors[0].shape.empty())
    return fail(
        ErrorCode::not_negotiated,
        "the length of the window is not known; follow with an element that fixes the size, such as the "
        "inference of the decoder");
  if (all % one != 0)
    return fail(ErrorCode::not_negotiated, "the size of the output, {}, is no multiple of the input's, {}",
                out->tensors[0].shape.to_string(), in->tensors[0].shape.to_string());
  if (size_t(all) > most_values)
    return fail(ErrorCode::exhausted, "a window of {} is too large", out->tensors[0].shape.to_string());
  if (size_ != size_t(one) || length_ != size_t(all / one)) flush();
  size_ = size_t(one), length_ = size_t(all / one);
  return {};
}

Status TensorSlidingWindow::process(const Frame& frame, Output& output) {
  if (frame.tensors.empty()) return fail(ErrorCode::corrupt, "a frame without a tensor came");
  objects_.see(frame.source, frame.pts);
  const bool of_object = frame.source && frame.source->roi && frame.source->object != 0;
  Window& window = of_object ? objects_[frame.source->object] : window_;
  {
    auto values = read_values(frame.tensors[0], scratch_);
    if (!values) return forward_error(values);
    if (values->data.size() != size_)
      return fail(ErrorCode::corrupt, "the tensor is {}, not of {} values",
                  frame.tensors[0].shape.to_string(), size_);
    window.values.resize(size_ * length_);
    std::ranges::copy(values->data, window.values.begin() + ptrdiff_t(window.next * size_));
  }
  window.next = (window.next + 1) % length_;
  window.count = std::min(window.count + 1, length_);
  if (window.count < length_ && params_.partial == Partial::wait)
    return output.gap({frame.pts, frame.duration, frame.source});

  out_.clear();
  if (auto status = output.allocate(out_); !status) return status;
  {
    if (out_.tensors.size() != 1 || out_.tensors[0].type != DataType::f32 || !out_.tensors[0].dense() ||
        out_.tensors[0].shape.elements() != int64_t(size_ * length_))
      return fail(ErrorCode::internal, "was given memory for another format");
    auto mapping = map(out_.tensors[0], Access::write);
    if (!mapping) return forward_error(mapping);
    auto to = mapping->as<float>().begin();
    const size_t oldest = (window.next + length_ - window.count) % length_;
    const auto at = [&](size_t place) { return window.values.begin() + ptrdiff_t(place * size_); };
    for (size_t missing = window.count; missing < length_; ++missing)
      to = params_.partial == Partial::pad ? std::copy_n(at(oldest), size_, to) : std::fill_n(to, size_, 0.f);
    for (size_t i = 0; i < window.count; ++i) to = std::copy_n(at((oldest + i) % length_), size_, to);
  }
  out_.pts = frame.pts, out_.duration = frame.duration;
  out_.source = frame.source;
  out_.affine = frame.affine;
  auto status = output.push(out_);
  out_.clear();
  return status;
}

Status TensorSlidingWindow::gap(const Gap& gap, Output& output) {
  objects_.see(gap.source, gap.pts);
  return output.gap(gap);
}

void TensorSlidingWindow::flush() {
  window_.next = window_.count = 0;
  objects_.clear();
}

namespace {

const Registration registration([] {
  using P = TensorSlidingWindow::Params;
  return ElementDesc{
      .name = "tensor_sliding_window",
      .title = "Window of tensors",
      .klass = "Filter/Converter",
      .doc =
          "Joins the last K tensors to one, oldest first, for a decoder that looks at some time. K is what "
          "downstream asks for, divided by what comes in.",
      .kind = ElementKind::transform,
      .input = {{TensorsSpec{{TensorSpec{}}, {}}}},
      .output = {{TensorsSpec{{TensorSpec{.types = {DataType::f32}}}, {}}}},
      .reads_results = false,
      .params = ParamTable::of<P>({
          param("partial", &P::partial,
                "until K tensors have come: a gap, the oldest repeated, or zeros in front")
              .choices({"wait", "pad", "emit"}),
      }),
      .create = [](const ParamSet& params) -> Result<std::unique_ptr<Element>> {
        return std::make_unique<TensorSlidingWindow>(params.as<P>());
      },
  };
}());

}  // namespace
}  // namespace sightglass
