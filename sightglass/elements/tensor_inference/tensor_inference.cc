#include "sightglass/elements/tensor_inference/tensor_inference.h"

#include <algorithm>
#include <charconv>
#include <climits>
#include <filesystem>
#include <iterator>
#include <optional>
#include <utility>

#include "sightglass/model/gather.h"
#include "sightglass/model/tensor_ids.h"

namespace sightglass {
namespace {

// NAME:value:value… as the tensor that an input always gets.
Result<std::vector<ConstantInput>> constant_inputs(const std::vector<std::string>& texts) {
  std::vector<ConstantInput> constants;
  for (const std::string& text : texts) {
    const char* const end = text.data() + text.size();
    ConstantInput constant{.name = text.substr(0, text.find(':')), .values = {}};
    bool good = !constant.name.empty() && constant.name.size() < text.size();
    for (const char* at = text.data() + constant.name.size(); good && at != end;) {
      const auto [stop, error] = std::from_chars(at + 1, end, constant.values.emplace_back());
      good = error == std::errc() && (stop == end || *stop == ':');
      at = stop;
    }
    if (!good)
      return fail(ErrorCode::invalid_argument,
                  "constant-inputs: '{}' is not a name and its values, such as image_info:416:416:1", text);
    constants.push_back(std::move(constant));
  }
  return constants;
}

Result<SessionOptions> session_options(const ParamSet& params, std::string_view engine) {
  const auto& values = params.as<TensorInference::Params>();
  const auto if_set = [&]<class T>(std::string_view name, const T& value) {
    return params.is_set(name) ? std::optional<T>(value) : std::nullopt;
  };
  // What was not set is left to whoever opened the session of this id; without an id the defaults of the
  // parameters hold.
  const bool alone = values.shared_instance_id.empty();
  SessionOptions options;
  options.shared_id = values.shared_instance_id;
  options.model = if_set("model", values.model);
  options.device = if_set("device", values.device);
  options.config = if_set("config", values.config);
  options.policy = if_set("scheduling-policy", values.scheduling_policy);
  options.input_shape = if_set("input-shape", values.input_shape);
  options.outputs = if_set("outputs", values.outputs);
  if (params.is_set("batch-size")) options.batch_size = unsigned(values.batch_size);
  options.batch_timeout = if_set("batch-timeout", values.batch_timeout);
  if (params.is_set("constant-inputs")) {
    auto constants = constant_inputs(values.constant_inputs);
    if (!constants) return forward_error(constants);
    options.constants = *std::move(constants);
  }
  if (alone || params.is_set("buffer-pool-size")) options.requests = unsigned(values.buffer_pool_size);
  options.warmup = if_set("warmup", values.warmup);
  if (!values.model_weights.empty())
    options.config = values.config + (values.config.empty() ? "" : ",") + "weights=" + values.model_weights;
  Engine* const added = added_engine_for(values.model);
  options.engine = added ? added : find_engine(engine);
  return options;
}

// Whether tensors of `spec` can be such as `info` says.
bool compatible(const TensorSpec& spec, const TensorInfo& info) {
  if (!spec.types.empty() && std::ranges::find(spec.types, info.type) == spec.types.end()) return false;
  if (spec.shape.empty()) return true;
  if (spec.shape.rank() != info.shape.rank()) return false;
  for (size_t axis = 0; axis < spec.shape.rank(); ++axis)
    if (spec.shape[axis] >= 0 && info.shape[axis] >= 0 && spec.shape[axis] != info.shape[axis]) return false;
  return true;
}

FormatSpec spec_of(const std::vector<TensorInfo>& tensors, std::string model) {
  TensorsSpec spec{.tensors = {}, .model = std::move(model)};
  for (const TensorInfo& info : tensors)
    spec.tensors.push_back(
        {.types = {info.type}, .shape = info.shape, .layout = info.layout, .strides = {}, .name = info.name});
  return {.media = std::move(spec)};
}

std::string shapes_of(const std::vector<TensorInfo>& tensors) {
  std::string text;
  for (const TensorInfo& info : tensors) {
    if (!text.empty()) text += ", ";
    text += std::format("{} {}", to_string(info.type), info.shape.to_string());
  }
  return text;
}

}  // namespace

TensorInference::TensorInference(const ParamSet& params, std::string_view engine)
    : options_(session_options(params, engine)),
      strict_zero_copy_(params.as<Params>().strict_zero_copy),
      model_name_(params.as<Params>().model_name) {}

std::string TensorInference::model_name() const {
  return model_name_.empty() ? std::filesystem::path(session_->model()).stem().string() : model_name_;
}

Status TensorInference::open() const {
  if (session_) return {};
  if (!options_) return std::unexpected(options_.error());
  auto opened = open_session(*options_);
  if (!opened) return forward_error(opened);
  {
    const std::lock_guard lock(session_mutex_);
    session_ = std::move(opened->session);
  }
  joined_ = opened->joined;
  remember_tensor_ids(model_name(), session_->signature());
  std::ranges::move(opened->warnings, std::back_inserter(warnings_));
  return {};
}

Status TensorInference::start() {
  const Status opened = open();
  const bool comes_later = !opened && options_ && !options_->model && !options_->shared_id.empty() &&
                           opened.error().code == ErrorCode::not_found;
  return comes_later ? Status{} : opened;
}

void TensorInference::stop() {
  if (stream_) stream_->cancel();
  {
    std::lock_guard lock(stream_mutex_);
    stream_ = nullptr;
  }
  std::shared_ptr<Session> closed;  // outside of the lock
  {
    const std::lock_guard lock(session_mutex_);
    closed = std::move(session_);
  }
  last_pts_ = period_ = no_time;
  made_.clear();
}

std::vector<std::string> TensorInference::take_warnings() { return std::exchange(warnings_, {}); }

FormatSpec TensorInference::input_spec(Outer outer, MemoryKind memory) const {
  TensorsSpec spec;
  for (const TensorInfo& info : session_->signature().inputs) {
    TensorSpec tensor{
        .types = {info.type}, .shape = info.shape, .layout = info.layout, .strides = {}, .name = {}};
    for (DataType also : {DataType::f32, DataType::u8})
      if (memory == MemoryKind::system && also != info.type && can_gather(also, info.type))
        tensor.types.push_back(also);
    const bool has_outer = tensor.shape.rank() > 1 && tensor.shape[0] == 1;
    if (outer == Outer::left_out && has_outer) {
      tensor.shape = Shape(std::span(tensor.shape.begin() + 1, tensor.shape.end()));
      tensor.layout = layout_of(tensor.shape);
    }
    if (outer == Outer::batch && has_outer) tensor.shape[0] = int64_t(session_->batch_size());
    spec.tensors.push_back(std::move(tensor));
  }
  return {.media = std::move(spec), .memory = memory};
}

std::vector<FormatSpec> TensorInference::transform_format(Direction from, const FormatSpec& spec) const {
  if (!open()) return {{.media = TensorsSpec{}}};  // not known yet
  const auto* tensors = std::get_if<TensorsSpec>(&spec.media);
  if (!tensors && !std::holds_alternative<AnySpec>(spec.media)) return {};
  const ModelSignature& model = session_->signature();
  const size_t count = tensors ? tensors->tensors.size() : 0;

  if (from == Direction::output) {
    const auto fits = [&](size_t samples) {
      if (count != 0 && count != model.outputs.size()) return false;
      for (size_t i = 0; i < count; ++i) {
        TensorInfo info = model.outputs[i];
        if (samples > 1 && info.shape.rank() > 0) info.shape[0] = int64_t(samples);
        if (!compatible(tensors->tensors[i], info)) return false;
      }
      return true;
    };
    std::vector<FormatSpec> specs;
    const bool has_outer = std::ranges::any_of(
        model.inputs, [](const TensorInfo& info) { return info.shape.rank() > 1 && info.shape[0] == 1; });
    const size_t batch = session_->batch_size();
    const auto add = [&](MemoryKind memory) {
      if (fits(1)) specs.push_back(input_spec(Outer::present, memory));
      if (fits(1) && has_outer) specs.push_back(input_spec(Outer::left_out, memory));
      if (batch > 1 && fits(batch)) specs.push_back(input_spec(Outer::batch, memory));
    };
    if (const ContextRef device = session_->device()) add(device->kind());
    add(MemoryKind::system);
    return specs;
  }

  std::vector<TensorInfo> outputs = model.outputs;
  if (count > 0) {
    std::vector<Shape> shapes;
    for (size_t i = 0; i < count; ++i) {
      const Shape& shape = tensors->tensors[i].shape;
      shapes.push_back(shape.empty() && i < model.inputs.size() ? model.inputs[i].shape : shape);
    }
    if (auto found = session_->outputs_for(shapes)) {
      outputs = *std::move(found);
    } else {
      // The input does not fit. The format only has to get as far as configure(), which says why, better than
      // a failed negotiation can.
      for (TensorInfo& info : outputs)
        for (size_t axis = 0; axis < info.shape.rank(); ++axis)
          info.shape[axis] = std::max<int64_t>(info.shape[axis], 1);
    }
  }
  return {spec_of(outputs, model_name())};
}

Status TensorInference::configure(const Format& input, const Format& output) {
  if (Status opened = open(); !opened) return opened;
  const TensorsInfo* offered = input.tensors();
  const ContextRef device = session_->device();
  const bool is_readable = input.memory == MemoryKind::system || (device && device->kind() == input.memory);
  if (!offered || !is_readable)
    return fail(ErrorCode::not_negotiated,
                "tensors in system memory are wanted, {} in {} memory came; put tensor_convert or "
                "video_to_tensor in front",
                to_string(input), to_string(input.memory));
  for (size_t i = 0; strict_zero_copy_ && i < offered->tensors.size(); ++i) {
    const TensorInfo& tensor = offered->tensors[i];
    const auto& inputs = session_->signature().inputs;
    if (i < inputs.size() && (tensor.type != inputs[i].type || !tensor.dense()))
      return fail(
          ErrorCode::not_negotiated,
          "strict-zero-copy: {} takes dense {}, {}{} came, which would be copied; make the element in "
          "front give that",
          session_->model(), to_string(inputs[i].type), to_string(tensor.type),
          tensor.dense() ? "" : " with gaps");
  }
  auto stream = session_->open_stream(offered->tensors, input.memory);
  if (!stream) return forward_error(stream);
  if (const TensorsInfo* wanted = output.tensors();
      wanted && shapes_of(wanted->tensors) != shapes_of((*stream)->outputs()))
    return fail(ErrorCode::not_negotiated, "{} gives {}, {} was agreed", session_->model(),
                shapes_of((*stream)->outputs()), shapes_of(wanted->tensors));
  if (const std::string& note = (*stream)->note(); !note.empty() && !std::ranges::contains(said_, note)) {
    said_.push_back(note);
    warnings_.push_back(note);
  }
  if (period_ > 0) (*stream)->set_frame_period(period_);
  std::lock_guard lock(stream_mutex_);
  stream_ = *std::move(stream);  // what is under way in the old format is finished first
  return {};
}

// A frame's tensors lie in one block each, and the runtime fills one block per frame.
Ref<MemoryPool> TensorInference::input_pool() {
  return stream_ && session_->signature().inputs.size() == 1 ? stream_->input_pool(0) : nullptr;
}

Status TensorInference::process(const Frame& frame, Output& output) {
  if (!stream_) return fail(ErrorCode::not_negotiated, "a frame came before its format");
  if (strict_zero_copy_ && !std::ranges::all_of(frame.tensors, &Tensor::dense))
    return fail(ErrorCode::not_negotiated,
                "strict-zero-copy: a tensor with gaps came, which would be copied");
  const Time when = frame.source && frame.source->pts != no_time ? frame.source->pts : frame.pts;
  note_time(when, frame.duration);
  if (Status submitted = stream_->submit(frame.tensors, when, made_.tensors); !submitted) return submitted;
  made_.pts = frame.pts;
  made_.duration = frame.duration;
  made_.source = frame.source;
  made_.affine = frame.affine;
  made_.batch.assign(frame.batch.begin(), frame.batch.end());
  return output.push(made_);
}

// How far frames are apart, for the automatic batch time-out: what they say themselves, else their distance.
void TensorInference::note_time(Time pts, Time duration) {
  const Time distance = pts - last_pts_;
  if (pts == no_time || distance == 0) return;
  if (duration <= 0 && last_pts_ != no_time && distance > 0) duration = distance;
  last_pts_ = pts;
  constexpr Time longest = 10'000'000'000;  // a jump in a stream is no frame period
  if (duration <= 0 || duration > longest ||
      (duration >= period_ - period_ / 8 && duration <= period_ + period_ / 8))
    return;
  period_ = duration;
  if (stream_) stream_->set_frame_period(period_);
}

Status TensorInference::gap(const Gap& gap, Output& output) {
  note_time(gap.source && gap.source->pts != no_time ? gap.source->pts : gap.pts, gap.duration);
  return output.gap(gap);
}

Status TensorInference::drain(Output&) {
  if (stream_) stream_->drain();
  return {};
}

void TensorInference::update(const ParamSet& params) {
  if (session_ && params.is_set("batch-timeout"))
    session_->set_batch_timeout(params.as<Params>().batch_timeout);
}

Result<ParamValue> TensorInference::value(std::string_view name) const {
  if (name != "device-load")
    return fail(ErrorCode::not_found, "there is no value '{}' that can be read", name);
  const std::lock_guard lock(session_mutex_);
  std::string text;
  for (const DeviceLoad& load : session_ ? session_->loads() : std::vector<DeviceLoad>())
    text += std::format("{}{}: {} streams, {:.0f} frames/s", text.empty() ? "" : "; ", load.device,
                        load.streams, load.frames_per_second);
  return ParamValue(std::move(text));
}

void TensorInference::flush() {
  if (!stream_) return;
  stream_->cancel();
  stream_->resume();
}

void TensorInference::cancel() {
  std::lock_guard lock(stream_mutex_);
  if (stream_) stream_->cancel();
}

ElementDesc TensorInference::descriptor(std::string_view config_keys) {
  ElementDesc desc;
  desc.klass = "Filter/Analyzer/Tensor";
  desc.input = {{.media = TensorsSpec{}}, {.media = TensorsSpec{}, .memory = MemoryKind::cuda}};
  desc.output = {{.media = TensorsSpec{}}};
  desc.params = ParamTable::of<Params>({
      param("model", &Params::model, "model file"),
      param("device", &Params::device,
            "where to run: CPU, GPU[.n], CUDA[:n], AUTO; CUDA:*: on all devices, streams spread by load"),
      param("config", &Params::config, std::format("settings of the engine as KEY=VALUE,…: {}", config_keys)),
      param("batch-size", &Params::batch_size,
            "most samples of one request, of all streams that share the model; 0: as in the model")
          .range(0, 1024),
      param(
          "batch-timeout", &Params::batch_timeout,
          "longest time that a sample waits for others; 0: it does not, -1: two frame periods of the slowest "
          "stream, or 40 ms")
          .range(-1, 1e6)
          .in("ms")
          .live(),
      param("buffer-pool-size", &Params::buffer_pool_size,
            "most requests under way at once; 0: two per worker thread")
          .range(0, 1024),
      param("shared-instance-id", &Params::shared_instance_id,
            "elements with the same id share one loaded model; the first sets its parameters"),
      param("input-shape", &Params::input_shape,
            "sizes for free axes, innermost first, 0 leaves one open: 416:416:3:1; several inputs by commas"),
      param("outputs", &Params::outputs, "names of the outputs wanted, in this order; empty: all"),
      param("constant-inputs", &Params::constant_inputs,
            "inputs that are always the same, with their values or one for all: <image_info:416:416:1>"),
      param("warmup", &Params::warmup, "runs before the first frame").range(0, 1000),
      param("model-name", &Params::model_name,
            "what results are said to come from; empty: the name of the model's file"),
      param("scheduling-policy", &Params::scheduling_policy,
            "throughput: single-threaded requests side by side; latency: one request at a time on all cores, "
            "earliest pts first")
          .choices({"throughput", "latency"}),
      param("strict-zero-copy", &Params::strict_zero_copy,
            "an input that would have to be copied or converted is an error"),
      param("device-load", &Params::device_load,
            "with device=CUDA:* what each device has to do: CUDA:0: 4 streams, 120 frames/s; CUDA:1: …"),
  });
  desc.params.params.back().is_readable_only = true;
  return desc;
}

}  // namespace sightglass
