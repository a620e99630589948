#include "sightglass/elements/tensor_postproc_yunet/tensor_postproc_yunet.h"

#include <algorithm>
#include <cmath>

#include "sightglass/core/registry.h"

namespace sightglass {

Status TensorPostprocYunet::start() {
  auto labels = load_labels(params_.labels, params_.labels_file);
  if (!labels) return forward_error(labels);
  if (labels->size() > 1)
    return fail(ErrorCode::invalid_argument, "{} labels, but there is one class", labels->size());
  const std::string face(labels->empty() ? "face" : (*labels)[0].view());
  labels_ = LabelList(std::span(&face, 1));
  legend_ = face_legend(5);
  return {};
}

void TensorPostprocYunet::update(const ParamSet& params) {
  params_.threshold = params.as<Params>().threshold;
  params_.iou_threshold = params.as<Params>().iou_threshold;
}

Status TensorPostprocYunet::configure(const Format& input, const Format&) {
  auto outputs = outputs_of(input);
  if (!outputs) return forward_error(outputs);
  model_ = Label((*outputs)->model);
  outputs_ = **outputs;
  shapes_.clear();
  // The sizes may be free until the first frame, the rest is not.
  int columns[3] = {};
  for (const TensorInfo& tensor : outputs_.tensors) {
    if (tensor.shape.rank() != 3) continue;
    columns[0] += tensor.shape[2] == 1, columns[1] += tensor.shape[2] == 4,
        columns[2] += tensor.shape[2] == 10;
  }
  if (columns[0] != 6 || columns[1] != 3 || (params_.landmarks && columns[2] != 3))
    return fail(ErrorCode::not_negotiated,
                "a YuNet has class [1,n,1], objectness [1,n,1], box [1,n,4] and points [1,n,10] for strides "
                "8, 16, 32, but the outputs are {}",
                to_string(outputs_));
  return {};
}

Status TensorPostprocYunet::find_levels(const Frame& frame) {
  if (same_shapes(frame, shapes_)) return {};
  const auto unknown = [&](std::string_view why) {
    shapes_.clear();
    return fail(ErrorCode::not_negotiated, "the outputs {} do not fit a YuNet: {}",
                to_string(with_shapes(outputs_, frame)), why);
  };
  cell_rows(frame, rows_);
  int64_t width = params_.input_width, height = params_.input_height;
  if (width == 0 || height == 0) {
    int64_t most = 0;
    for (const CellRows& rows : rows_) most = std::max(most, rows.cells);
    width = height = 8 * std::llround(std::sqrt(double(most)));
    if (width * height != most * 64) return unknown("input-width and input-height have to be set");
  }
  uint32_t source = 0;
  for (size_t i = 0; i < levels_.size(); ++i) {
    Level level{.stride = 8 << i, .width = width / (8 << i), .height = height / (8 << i)};
    for (const CellRows& rows : rows_) {
      if (rows.cells != level.width * level.height) continue;
      if (rows.columns == 1) (level.first < 0 ? level.first : level.second) = rows.tensor;
      if (rows.columns == 4) level.box = rows.tensor;
      if (rows.columns == 10) level.points = rows.tensor;
    }
    if (level.second < 0 || level.box < 0 || (params_.landmarks && level.points < 0))
      return unknown(std::format("an input of {}x{} has {} cells of stride {}", width, height,
                                 level.width * level.height, level.stride));
    level.first_source = source;
    source += uint32_t(level.width * level.height);
    levels_[i] = level;
  }
  width_ = float(width), height_ = float(height);
  return {};
}

Status TensorPostprocYunet::decode(const Frame& frame, Level& level) {
  auto first = reader_.read(frame, size_t(level.first), 3),
       second = reader_.read(frame, size_t(level.second), 3),
       boxes = reader_.read(frame, size_t(level.box), 3);
  if (!first) return forward_error(first);
  if (!second) return forward_error(second);
  if (!boxes) return forward_error(boxes);
  if (params_.landmarks) {
    auto points = reader_.read(frame, size_t(level.points), 3);
    if (!points) return forward_error(points);
    level.point_values = *points;
  }
  const float threshold = float(params_.threshold), stride = float(level.stride);
  const auto unit = [](float v) { return std::min(1.f, std::max(0.f, v)); };  // NaN becomes 0
  for (int64_t i = 0; i < level.width * level.height; ++i) {
    const float score = std::sqrt(unit((*first)[size_t(i)]) * unit((*second)[size_t(i)]));
    if (!(score >= threshold)) continue;
    const float* b = &(*boxes)[size_t(4 * i)];
    const int64_t column = i % level.width, row = i / level.width;
    const float x = (float(column) + b[0]) * stride, y = (float(row) + b[1]) * stride,
                w = std::exp(b[2]) * stride, h = std::exp(b[3]) * stride;
    add_candidate(candidates_, {.x1 = x - w / 2,
                                .y1 = y - h / 2,
                                .x2 = x + w / 2,
                                .y2 = y + h / 2,
                                .score = score,
                                .source = level.first_source + uint32_t(i)});
  }
  return {};
}

Result<bool> TensorPostprocYunet::find_on_device(const Frame& frame) {
  on_device_.clear();
  struct LetGo {
    std::vector<Tensor>& outputs;
    ~LetGo() { outputs.clear(); }
  } let_go{on_device_};
  for (const Level& level : levels_) {
    for (const int tensor : {level.first, level.second, level.box, level.points}) {
      if (tensor == level.points && !params_.landmarks) break;
      auto sample = own_sample(frame, size_t(tensor), 3);
      if (!sample) return forward_error(sample);
      if (sample->shape.rank() > 3) return false;  // its columns lie apart
      on_device_.push_back(*std::move(sample));
    }
  }
  auto there = device_.find(on_device_);
  if (auto warning = device_.take_warning(); !warning.empty()) warnings_.push_back(std::move(warning));
  if (!there || !*there) return there;
  cuda::BoxTask task{};
  task.head = cuda::yunet_head;
  task.threshold = float(params_.threshold);
  task.angle = -1;
  task.extras = params_.landmarks ? 10 : 0;
  for (size_t output = 0; const Level& from : levels_) {
    cuda::BoxLevel& level = task.level[task.levels++];
    for (int i = 0; i < (params_.landmarks ? 4 : 3); ++i) level.values[i] = device_.address(output++);
    level.first_source = from.first_source;
    level.width = int(from.width), level.height = int(from.height);
    level.stride_x = level.stride_y = float(from.stride);
    task.sources = from.first_source + uint32_t(from.width * from.height);
  }
  if (auto done = device_.run(task, {.iou_threshold = float(params_.iou_threshold)}); !done)
    return forward_error(done);
  return true;
}

std::vector<float> TensorPostprocYunet::points_of(size_t face) const {
  const Candidate& found = kept_[face];
  const Level& level = *std::ranges::find_if(
      levels_, [&](const Level& l) { return found.source - l.first_source < uint32_t(l.width * l.height); });
  const int64_t i = found.source - level.first_source, column = i % level.width, row = i / level.width;
  const float stride = float(level.stride);
  const float* p = is_on_device_ ? device_.extra(face).data() : &level.point_values[size_t(10 * i)];
  std::vector<float> triples;
  triples.reserve(15);
  for (int k = 0; k < 5; ++k)
    triples.insert(triples.end(), {(float(column) + p[2 * k]) * stride / width_,
                                   (float(row) + p[2 * k + 1]) * stride / height_, found.score});
  return triples;
}

Result<Verdict> TensorPostprocYunet::process(Frame& frame) {
  struct Release {
    OutputReader& reader;
    ~Release() { reader.release(); }
  } release{reader_};
  if (auto found = find_levels(frame); !found) return forward_error(found);
  auto on_device = find_on_device(frame);
  if (!on_device) return forward_error(on_device);
  is_on_device_ = *on_device;
  if (is_on_device_) {
    kept_ = device_.boxes();
  } else {
    candidates_.clear();
    for (Level& level : levels_)
      if (auto decoded = decode(frame, level); !decoded) return forward_error(decoded);
    kept_ = suppression_.run(candidates_, {.iou_threshold = float(params_.iou_threshold)});
  }
  const size_t before = frame.regions.size();
  add_regions(kept_, {1 / width_, 1 / height_}, labels_, model_, frame);
  static const Label name("landmarks");
  for (size_t i = 0; params_.landmarks && i < kept_.size(); ++i)
    add_keypoints(frame.regions[before + i], name, points_of(i), legend_);
  return Verdict::pass;
}

namespace {

const Registration registration([] {
  using P = TensorPostprocYunet::Params;
  return ElementDesc{
      .name = "tensor_postproc_yunet",
      .title = "YuNet faces from tensors",
      .klass = "Filter/Analyzer",
      .doc =
          "Turns the class, objectness, box and point outputs of the YuNet detectors into faces. Outputs on "
          "an "
          "NVIDIA GPU are read there.",
      .kind = ElementKind::transform_inplace,
      .input = any_tensors(),
      .params = ParamTable::of<P>({
          param("labels", &P::labels, "name of the class, \"face\" when empty"),
          param("labels-file", &P::labels_file, "file with that name"),
          param("threshold", &P::threshold, "least score that is kept").range(0, 1).live(),
          param("iou-threshold", &P::iou_threshold, "overlap above which the weaker box goes")
              .range(0, 1)
              .live(),
          param("landmarks", &P::landmarks, "add the five points of each face"),
          param("input-width", &P::input_width, "width of the model input; 0: found where it is square")
              .in("px"),
          param("input-height", &P::input_height, "height of the model input; 0: found where it is square")
              .in("px"),
      }),
      .create = [](const ParamSet& params) -> Result<std::unique_ptr<Element>> {
        return std::make_unique<TensorPostprocYunet>(params.as<P>());
      },
  };
}());

}  // namespace
}  // namespace sightglass
