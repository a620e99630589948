#include "sightglass/model/session_forms.h"

#include <algorithm>
#include <cstring>
#include <format>

#include "sightglass/memory/cuda/cuda.h"
#include "sightglass/memory/cuda/cuda_stream.h"
#include "sightglass/model/gather.h"

namespace sightglass {
namespace {

constexpr size_t largest_batch = 1024;

// The model's shape with its free axes as offered; none when the two do not fit. Outer axes of 1 may be there
// or not.
std::optional<Shape> fitted(const Shape& model, const Shape& offered) {
  Shape result = model;
  const size_t common = std::min(model.rank(), offered.rank());
  for (size_t i = 1; i <= common; ++i) {
    int64_t& axis = result[model.rank() - i];
    const int64_t size = offered[offered.rank() - i];
    if (axis < 0)
      axis = size;
    else if (size >= 0 && axis != size)
      return {};
  }
  for (size_t i = 0; i < model.rank() - common; ++i) {
    if (result[i] < 0) result[i] = 1;
    if (result[i] != 1) return {};
  }
  for (size_t i = 0; i < offered.rank() - common; ++i)
    if (offered[i] != 1) return {};
  return result;
}

// Fills a trial input. Noise only where no value can be out of range: integers other than bytes may be
// indices.
void fill_noise(std::byte* data, const TensorInfo& info, size_t bytes) {
  if (info.type == DataType::u8) {
    for (size_t i = 0; i < bytes; ++i) data[i] = std::byte(i * 37 + i / 251);
  } else if (info.type == DataType::f32) {
    auto* values = reinterpret_cast<float*>(data);
    for (size_t i = 0; i < bytes / sizeof(float); ++i) values[i] = float((i * 37 + i / 251) % 256);
  }
}

// Whether `many` are the outputs of so many samples, given those of one.
bool scales(const std::vector<TensorInfo>& one, const std::vector<TensorInfo>& many, size_t samples) {
  return std::ranges::equal(one, many, [&](const TensorInfo& a, const TensorInfo& b) {
    return a.shape.fixed() && a.shape[0] == 1 && b.shape == with_samples(a.shape, samples);
  });
}

}  // namespace

Shape with_samples(Shape shape, size_t samples) {
  shape[0] = int64_t(samples);
  return shape;
}

bool Form::depends_on_data() const {
  return std::ranges::any_of(places, [](const auto& place) { return !place; });
}

SessionForms::SessionForms(LoadedModel& model, Options options)
    : model_(model), options_(std::move(options)) {}

Status SessionForms::init() {
  if (Status found = find_constants(); !found) return found;
  find_batch();
  make_signature();
  std::vector<Shape> shapes;
  for (const TensorInfo& input : signature_.inputs) shapes.push_back(input.shape);
  if (!std::ranges::all_of(shapes, &Shape::fixed)) return {};
  auto form = form_for(shapes);
  if (!form) return forward_error(form);
  if (!(*form)->note.empty()) notes_.push_back((*form)->note);
  return {};
}

Status SessionForms::find_constants() {
  const std::vector<TensorInfo>& inputs = model_.signature().inputs;
  constants_.assign(inputs.size(), nullptr);
  for (const ConstantInput& constant : options_.constants) {
    const auto found = std::ranges::find(inputs, constant.name, &TensorInfo::name);
    if (found == inputs.end())
      return fail(ErrorCode::not_found, "{} has no input '{}' that could be constant", options_.short_name,
                  constant.name);
    if (!can_gather(DataType::f32, found->type))
      return fail(ErrorCode::unsupported, "input '{}' of {} is {}, for which there are no constants",
                  constant.name, options_.short_name, to_string(found->type));
    constants_[size_t(found - inputs.begin())] = &constant;
  }
  size_t sources = 0;
  for (const ConstantInput* constant : constants_)
    sources_.push_back(constant ? std::nullopt : std::optional(sources++));
  if (sources == 0)
    return fail(ErrorCode::invalid_argument, "{}: all inputs are constant", options_.short_name);
  return {};
}

// A picture's first axis, and whichever the caller calls the batch.
void SessionForms::find_batch() {
  const ModelSignature& model = model_.signature();
  const size_t wanted = options_.batch.value_or(0);
  bool axis = true, pictures = false;
  std::optional<int64_t> size;
  for (size_t i = 0; i < model.inputs.size(); ++i) {
    if (constants_[i]) continue;
    const Shape& shape = model.inputs[i].shape;
    pictures = pictures || shape.rank() >= 4;
    if (!size && shape.rank() >= 2) size = shape[0];
    axis = axis && shape.rank() >= 2 && shape[0] == *size;
  }
  free_ = axis && *size < 0;
  if (axis && *size > 1 && (pictures || size_t(*size) == wanted) &&
      std::ranges::all_of(model.outputs, [&](const TensorInfo& output) {
        return output.shape.rank() > 0 && (output.shape[0] < 0 || output.shape[0] == *size);
      }))
    fixed_ = size_t(*size);
  batch_ = fixed_ ? fixed_ : free_ ? std::clamp<size_t>(wanted, 1, largest_batch) : 1;
  if (free_ && wanted > largest_batch)
    notes_.push_back(std::format("batch-size={}: {} is the largest", wanted, largest_batch));
  if (fixed_ && wanted > 0 && wanted != fixed_)
    notes_.push_back(std::format("batch-size={}: the batch of {} is fixed at {}, so that is used", wanted,
                                 options_.short_name, fixed_));
  if (!fixed_ && !free_ && wanted > 1) notes_.push_back(not_fixed_at("its batch is fixed at 1"));
}

std::string SessionForms::not_fixed_at(std::string_view why) const {
  return std::format("batch-size={} has no effect on {}: {}; export the model with a free batch axis",
                     options_.batch.value_or(0), options_.short_name, why);
}

void SessionForms::make_signature() {
  signature_ = model_.signature();
  const auto of_one_sample = [&](Shape& shape) {
    if (shape.rank() == 0) return;
    if (fixed_ ? shape[0] == int64_t(fixed_) || shape[0] < 0 : free_ && shape[0] < 0) shape[0] = 1;
  };
  for (TensorInfo& input : signature_.inputs) of_one_sample(input.shape);
  for (TensorInfo& output : signature_.outputs) of_one_sample(output.shape);
  full_signature_ = signature_;
  for (size_t i = constants_.size(); i-- > 0;)
    if (constants_[i]) signature_.inputs.erase(signature_.inputs.begin() + ptrdiff_t(i));
}

// The shapes of all inputs: of a sample, or of as many as the first axis says.
std::optional<std::vector<Shape>> SessionForms::fit(std::span<const Shape> offered, bool whole) const {
  std::vector<Shape> shapes;
  std::optional<int64_t> samples;
  for (size_t i = 0; i < sources_.size(); ++i) {
    Shape model = model_.signature().inputs[i].shape;
    if (!sources_[i]) {
      shapes.push_back(model);
      continue;
    }
    if (!whole) model = signature_.inputs[*sources_[i]].shape;
    const auto shape = fitted(model, offered[*sources_[i]]);
    if (!shape) return {};
    if (whole && shape->rank() > 0 && samples.value_or((*shape)[0]) != (*shape)[0]) return {};
    if (whole && shape->rank() > 0) samples = (*shape)[0];
    shapes.push_back(*shape);
  }
  for (size_t i = 0; i < sources_.size(); ++i)
    for (size_t axis = 0; !sources_[i] && axis < shapes[i].rank(); ++axis)
      if (shapes[i][axis] < 0 || (axis == 0 && fixed_ && shapes[i][0] == int64_t(fixed_)))
        shapes[i][axis] = axis == 0 && whole ? samples.value_or(1) : 1;
  return shapes;
}

bool SessionForms::takes(size_t input, const Shape& offered) const {
  return fitted(signature_.inputs[input].shape, offered).has_value();
}

Result<Form*> SessionForms::form_for(std::span<const Shape> offered) {
  const std::vector<TensorInfo>& wanted = signature_.inputs;
  if (offered.size() != wanted.size())
    return fail(ErrorCode::not_negotiated, "{} has {} inputs, not {}", options_.short_name, wanted.size(),
                offered.size());
  auto shapes = fit(offered, false);
  const bool whole = !shapes && (free_ || fixed_);
  if (whole) shapes = fit(offered, true);
  if (!shapes) {
    for (size_t i = 0; i < wanted.size(); ++i)
      if (!takes(i, offered[i]))
        return fail(ErrorCode::not_negotiated, "input '{}' of {} is {}, not {}", wanted[i].name,
                    options_.short_name, wanted[i].shape.to_string(), offered[i].to_string());
    return fail(ErrorCode::not_negotiated, "the inputs of {} hold different numbers of samples",
                options_.short_name);
  }
  const std::lock_guard lock(mutex_);
  for (Form& known : forms_)
    if (known.inputs == *shapes) return &known;
  Form& form = forms_.emplace_back();
  form.inputs = *std::move(shapes);
  form.batches = !whole && (free_ || fixed_);
  form.capacity = whole ? 1 : batch_;
  form.padded = !whole && fixed_;
  if (Status made = make_form(form); !made) {
    forms_.pop_back();
    return forward_error(made);
  }
  return &form;
}

Status SessionForms::make_form(Form& form) {
  if (Status made = make_constants(form); !made) return made;
  if (form.padded) {
    auto outputs = try_run(form, form.capacity);
    if (!outputs) return forward_error(outputs);
    form.outputs = *outputs;
    for (TensorInfo& output : form.outputs)
      if (output.shape.rank() > 0) output.shape[0] = 1;
    if (!scales(form.outputs, *outputs, form.capacity))
      return fail(ErrorCode::unsupported,
                  "{}: the batch is fixed at {}, but not every output has one row per sample",
                  options_.short_name, fixed_);
  } else {
    auto outputs = try_run(form, 1);
    if (!outputs) return forward_error(outputs);
    form.outputs = *std::move(outputs);
    if (form.capacity > 1) {
      const auto many = try_run(form, form.capacity);
      if (!many || !scales(form.outputs, *many, form.capacity)) {
        form.capacity = 1;
        form.note = not_fixed_at(many ? "not every output has one row per sample" : many.error().message);
      }
    }
  }
  for (const TensorInfo& output : form.outputs) {
    const int64_t elements = output.shape.elements();
    Ref<MemoryPool>& places = form.places.emplace_back();
    Ref<MemoryPool>& device_places = form.device_places.emplace_back();
    if (elements <= 0) continue;
    const size_t bytes = size_t(elements) * size_of(output.type) * form.capacity;
    if (const ContextRef device = model_.device()) {
      auto pinned = make_pinned_pool(device, bytes);
      if (!pinned) return forward_error(pinned);
      places = *std::move(pinned);
      auto on_device = make_cuda_pool(device, bytes);
      if (!on_device) return forward_error(on_device);
      device_places = *std::move(on_device);
    } else {
      places = make_ref<SystemMemoryPool>(SystemMemoryPool::Options{.block_size = bytes});
    }
  }
  return {};
}

Status SessionForms::make_constants(Form& form) const {
  form.constants.resize(sources_.size());
  for (size_t i = 0; i < sources_.size(); ++i) {
    if (!constants_[i]) continue;
    const ConstantInput& constant = *constants_[i];
    const TensorInfo& info = model_.signature().inputs[i];
    const size_t elements = size_t(form.inputs[i].elements());
    const size_t given = constant.values.size();
    if (given == 0 || elements % given != 0)
      return fail(ErrorCode::invalid_argument, "input '{}' of {} takes {}, for which {} values are given",
                  constant.name, options_.short_name, form.inputs[i].to_string(), given);
    const size_t count = elements * form.capacity;
    auto block = allocate_memory(count * size_of(info.type));
    if (!block) return forward_error(block);
    std::vector<float> values(count);
    for (size_t k = 0; k < count; ++k) values[k] = constant.values[k % given];
    const Tensor all{.memory = nullptr, .type = DataType::f32, .shape = {int64_t(count)}, .strides = {4}};
    gather(all, reinterpret_cast<const std::byte*>(values.data()), info.type, (*block)->data());
    form.constants[i] = *std::move(block);
  }
  return {};
}

Result<std::vector<TensorInfo>> SessionForms::try_run(const Form& form, size_t samples) const {
  const ModelSignature& model = model_.signature();
  const auto declared = [&](const TensorInfo& info) {
    Shape shape = info.shape;
    if (free_ && shape.rank() > 0 && shape[0] < 0) shape[0] = 1;
    return shape.fixed();
  };
  if (options_.warmup == 0 && std::ranges::all_of(model.outputs, declared)) {
    std::vector<TensorInfo> outputs = model.outputs;
    for (TensorInfo& output : outputs)
      if (free_ && output.shape.rank() > 0 && output.shape[0] < 0) output.shape[0] = int64_t(samples);
    return outputs;
  }

  std::vector<Ref<SystemMemory>> memory;
  std::vector<Binding> inputs;
  for (size_t i = 0; i < form.inputs.size(); ++i) {
    const Shape& one = form.inputs[i];
    const Shape shape =
        form.batches && one.rank() > 0 && model.inputs[i].shape[0] != 1 ? with_samples(one, samples) : one;
    Ref<SystemMemory> block = form.constants[i];
    if (!block) {
      const size_t bytes = size_t(shape.elements()) * size_of(model.inputs[i].type);
      auto made = allocate_memory(bytes);
      if (!made) return forward_error(made);
      block = *std::move(made);
      std::memset(block->data(), 0, bytes);
    }
    inputs.push_back({.data = block->data(), .shape = shape, .memory = nullptr});
    memory.push_back(std::move(block));
  }
  const std::unique_ptr<ModelRequest> request = model_.request();
  std::vector<TensorInfo> outputs = model.outputs;
  std::vector<Binding> made(outputs.size());
  const auto run = [&] {
    std::ranges::fill(made, Binding{});
    return request->run(inputs, made);
  };
  for (unsigned i = 0; i < std::max(1u, options_.warmup); ++i)
    if (const Status status = run(); !status)
      return fail(status.error().code, "{}: a trial run on zeros failed: {}", options_.name,
                  status.error().message);

  const bool depends = !std::ranges::all_of(outputs, declared);
  for (size_t i = 0; i < outputs.size(); ++i) outputs[i].shape = made[i].shape;
  if (!depends) return outputs;
  for (size_t i = 0; i < inputs.size(); ++i)
    if (!form.constants[i]) fill_noise(memory[i]->data(), model.inputs[i], memory[i]->size());
  const bool ran = run().has_value();
  for (size_t i = 0; i < outputs.size(); ++i) {
    Shape& shape = outputs[i].shape;
    const bool same_rank = ran && made[i].shape.rank() == shape.rank();
    // A list with nothing in it will have something in it on real pictures.
    for (size_t axis = 0; axis < shape.rank(); ++axis)
      if (shape[axis] == 0 || (same_rank && shape[axis] != made[i].shape[axis])) shape[axis] = -1;
  }
  return outputs;
}

}  // namespace sightglass
