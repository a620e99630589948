#include "sightglass/elements/detection/device_boxes.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "sightglass/memory/copy_ledger.h"
#include "sightglass/memory/cuda/cuda.h"
#include "sightglass/memory/cuda/device_bytes.h"

namespace sightglass {

extern const CudaSource box_kernels;  // made from cuda_boxes.cu

namespace {

constexpr size_t alignment = 256;  // bytes, of what stands behind each other on the device
constexpr size_t results_at = 64;  // bytes, the boxes behind their number

size_t aligned(size_t bytes) { return (bytes + alignment - 1) / alignment * alignment; }

// Where the parts of the scratch memory begin.
struct Scratch {
  size_t keys, classes, kept, bytes;
  Scratch(size_t sources, size_t most)
      : keys(alignment),
        classes(keys + aligned(sources * sizeof(unsigned long long))),
        kept(classes + aligned(sources * sizeof(int))),
        bytes(kept + most * sizeof(cuda::KeptBox)) {}
};

}  // namespace

Result<bool> DeviceBoxes::find(std::span<const Tensor> outputs) {
  if (is_unusable_) return false;
  outputs_.clear();
  addresses_.clear();
  const Context* device = nullptr;
  // Before anybody is asked: outputs that have been asked for on the device stay there, and the CPU would
  // have to fetch those of each frame by themselves.
  for (const Tensor& output : outputs) {
    const bool is_read = output.type == DataType::f32 || output.type == DataType::f16;
    if (!is_read || output.type != outputs[0].type || !output.dense()) return false;
  }
  for (const Tensor& output : outputs) {
    auto there = device_tensor(output);
    if (!there) return forward_error(there);
    if (!there->memory) return false;
    const size_t bytes = there->bytes(), size = there->memory->size();
    const Context* its = there->memory->context();
    const bool fits = bytes <= size && there->offset <= size - bytes &&
                      there->offset % size_of(there->type) == 0 && its &&
                      (!device || device->same_device(*its));
    if (!fits) return false;
    device = its;
    type_ = there->type;
    addresses_.push_back(cuda_pointer(*there));
    outputs_.push_back(*std::move(there));
  }
  if (outputs_.empty()) return false;
  if (context_ && context_->same_device(*device)) return true;
  const Status opened = open(ContextRef(const_cast<Context*>(device)));
  if (opened) return true;
  // Without kernels the outputs can be read nevertheless.
  is_unusable_ = true;
  warning_ = "boxes are found on the CPU: " + opened.error().message;
  outputs_.clear();
  return false;
}

Status DeviceBoxes::open(const ContextRef& context) {
  auto module = CudaModule::load(context, box_kernels);
  if (!module) return forward_error(module);
  auto f32 = (*module)->kernel("boxes_f32"), f16 = (*module)->kernel("boxes_f16");
  if (!f32) return forward_error(f32);
  if (!f16) return forward_error(f16);
  auto stream = CudaStream::make(context);
  if (!stream) return forward_error(stream);
  context_ = context;
  module_ = *std::move(module);
  kernels_ = {*f32, *f16};
  stream_ = *std::move(stream);
  scratch_ = nullptr;
  results_ = nullptr;
  return {};
}

Status DeviceBoxes::reserve(const cuda::BoxTask& task) {
  const Scratch parts(task.sources, size_t(task.most));
  if (!scratch_ || scratch_->size() < parts.bytes) {
    auto block = allocate_cuda(context_, parts.bytes);
    if (!block) return forward_error(block);
    if (Status cleared = stream_->fill(static_cast<CudaMemory&>(**block).address(), std::byte(0), alignment);
        !cleared)
      return cleared;
    scratch_ = *std::move(block);
  }
  const size_t bytes = results_at + size_t(task.most) * size_t(task.found_bytes);
  if (!results_ || results_->size() < bytes) {
    auto pool = make_pinned_pool(context_, bytes);
    if (!pool) return forward_error(pool);
    auto block = (*pool)->acquire();
    if (!block) return forward_error(block);
    results_ = Ref<SystemMemory>(&static_cast<SystemMemory&>(**block));
  }
  return {};
}

Status DeviceBoxes::run(cuda::BoxTask& task, const SuppressionOptions& options) {
  static CopyLedger::Hop& hop = CopyLedger::process().hop("boxes found on the device, results to the CPU");
  boxes_.clear();
  struct LetGo {
    std::vector<Tensor>& outputs;
    ~LetGo() { outputs.clear(); }
  } let_go{outputs_};
  if (task.sources == 0) return {};
  task.iou_threshold = options.iou_threshold;
  const double apart = 1 - double(options.iou_threshold);
  task.shape_limit = -std::log(std::max(1e-12, 1 - apart * apart));
  task.per_class = options.per_class, task.oriented = options.oriented;
  task.most = int(std::min(options.max_objects, max_frame_objects));
  extras_ = task.extras;
  found_bytes_ = task.found_bytes = int(sizeof(cuda::FoundBox) + size_t(extras_) * sizeof(float));
  if (Status reserved = reserve(task); !reserved) return reserved;

  const uint64_t scratch = static_cast<CudaMemory&>(*scratch_).address();
  const Scratch parts(task.sources, size_t(task.most));
  task.counters = reinterpret_cast<unsigned*>(scratch);
  task.keys = reinterpret_cast<unsigned long long*>(scratch + parts.keys);
  task.classes_found = reinterpret_cast<int*>(scratch + parts.classes);
  task.kept = reinterpret_cast<cuda::KeptBox*>(scratch + parts.kept);
  task.count = reinterpret_cast<unsigned*>(results_->data());
  task.found = reinterpret_cast<unsigned char*>(results_->data() + results_at);
  *task.count = 0;

  Status status;
  for (const Tensor& output : outputs_)
    if (status) status = stream_->wait_for(output);
  const unsigned threads = unsigned(cuda::box_threads);
  const LaunchSize size{.grid = {(task.sources + threads - 1) / threads, 1, 1}, .block = {threads, 1, 1}};
  if (status)
    status =
        launch(context_, type_ == DataType::f16 ? kernels_.f16 : kernels_.f32, size, stream_->get(), &task);
  const Status finished = stream_->finish();
  if (status) status = finished;
  if (!status) {
    scratch_ = nullptr;  // whose counters may stand anywhere
    return status;
  }
  const unsigned count = std::min(*task.count, unsigned(task.most));
  hop.copied(sizeof count + count * size_t(found_bytes_));
  for (unsigned i = 0; i < count; ++i) {
    cuda::FoundBox box;
    std::memcpy(&box, task.found + size_t(i) * size_t(found_bytes_), sizeof box);
    boxes_.push_back({.x1 = box.x1,
                      .y1 = box.y1,
                      .x2 = box.x2,
                      .y2 = box.y2,
                      .score = box.score,
                      .class_id = box.class_id,
                      .order = i,
                      .source = box.source,
                      .angle = box.angle});
  }
  return {};
}

std::span<const float> DeviceBoxes::extra(size_t box) const {
  const std::byte* at = results_->data() + results_at + box * size_t(found_bytes_) + sizeof(cuda::FoundBox);
  return {reinterpret_cast<const float*>(at), size_t(extras_)};
}

}  // namespace sightglass
