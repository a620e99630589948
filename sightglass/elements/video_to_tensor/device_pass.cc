#include "sightglass/elements/video_to_tensor/device_pass.h"

#include <algorithm>
#include <mutex>
#include <utility>

#include "sightglass/memory/cuda/cuda.h"

namespace sightglass {

// One picture, and how it becomes a tensor.
class DeferredPicture final : public DeferredWrite {
 public:
  std::shared_ptr<const CudaPreprocessor> preprocessor;
  CudaPreprocessor::SlotLayout layout;
  cuda::Task task;
  std::vector<MemoryRef> blocks;  // of the picture

  // Tensors are dense, so that those of a plan have one layout.
  const void* kind() const override { return preprocessor.get(); }
  Status run(std::span<const Part> parts, CUstream_st* stream) override {
    for (const Part& part : parts)
      for (const MemoryRef& block : static_cast<DeferredPicture*>(part.write)->blocks)
        if (Status ordered = static_cast<CudaMemory&>(*block).wait_in(stream); !ordered) return ordered;
    const auto task_of = [&](size_t i) {
      cuda::Task one = static_cast<DeferredPicture*>(parts[i].write)->task;
      one.out = reinterpret_cast<void*>(parts[i].to);
      return one;
    };
    return preprocessor->run(parts.size(), task_of, layout, stream);
  }

 private:
  friend DeferredPictures;
  void dispose() noexcept override;
  Ref<DeferredPictures> home_;       // null in there
  const Memory* picture_ = nullptr;  // of blocks, for give_back() to find
};

// Those of a stream. Thread-safe.
class DeferredPictures final : public RefCounted {
 public:
  // Null: of as many other pictures as there may be.
  Ref<DeferredPicture> take(const Memory* picture) {
    const std::lock_guard lock(mutex_);
    auto held = std::ranges::find(held_, picture, &Held::picture);
    if (held == held_.end()) held = std::ranges::find(held_, size_t(0), &Held::tensors);
    if (held == held_.end()) return {};
    *held = {picture, held->tensors + 1};
    if (free_.empty()) free_.push_back(all_.emplace_back(std::make_unique<DeferredPicture>()).get());
    Ref<DeferredPicture> one(free_.back());
    free_.pop_back();
    one->home_ = Ref(this);
    one->picture_ = picture;
    return one;
  }
  void give_back(DeferredPicture* one) {
    const std::lock_guard lock(mutex_);
    const auto held = std::ranges::find(held_, one->picture_, &Held::picture);
    if (--held->tensors == 0) held->picture = nullptr;
    free_.push_back(one);
  }

 private:
  struct Held {
    const Memory* picture = nullptr;
    size_t tensors = 0;
  };
  std::mutex mutex_;
  std::array<Held, DevicePass::most_described> held_;
  std::vector<std::unique_ptr<DeferredPicture>> all_;
  std::vector<DeferredPicture*> free_;
};

void DeferredPicture::dispose() noexcept {
  const Ref<DeferredPictures> home = std::move(home_);
  blocks.clear();
  home->give_back(this);
}

DevicePass::DevicePass(const VideoInfo& video, const PreprocessOptions& options, size_t row_axis,
                       size_t channel_axis)
    : video_(video),
      options_(options),
      row_axis_(row_axis),
      channel_axis_(channel_axis),
      deferred_(make_ref<DeferredPictures>()) {}

Result<std::unique_ptr<DevicePass>> DevicePass::make(const VideoInfo& video, const PreprocessOptions& options,
                                                     size_t row_axis, size_t channel_axis) {
  if (auto plan = CudaPreprocessPlan::make(video, options); !plan) return forward_error(plan);
  std::unique_ptr<DevicePass> pass(new DevicePass(video, options, row_axis, channel_axis));
  // Of several devices it is the one that the first tensor lies on.
  if (cuda_devices() > 1) return pass;
  auto context = default_context(MemoryKind::cuda);
  Status opened = context ? pass->open(*context) : forward_error(context);
  if (!opened) return forward_error(opened);
  return pass;
}

DevicePass::~DevicePass() { finish(); }

Status DevicePass::open(const ContextRef& context) {
  let_go(0);
  auto stream = CudaStream::make(context);
  if (!stream) return forward_error(stream);
  auto preprocessor = CudaPreprocessor::shared(context, video_, options_);
  if (!preprocessor) return forward_error(preprocessor);
  context_ = context;
  stream_ = *std::move(stream);
  preprocessor_ = *std::move(preprocessor);
  return {};
}

void DevicePass::begin(const Tensor& tensor) {
  items_.clear();
  pictures_.clear();
  tensor_ = tensor;
}

Result<bool> DevicePass::add(const Frame& frame, const Crop& part, size_t place) {
  CudaPreprocessor::Item item;
  item.crop = part;
  for (size_t p = 0; p < frame.tensors.size(); ++p) {
    const Tensor& plane = frame.tensors[p];
    item.planes[p] = cuda_pointer(plane);
    const size_t bytes = plane.bytes(), size = plane.memory ? plane.memory->size() : 0;
    if (item.planes[p] == 0 || bytes > size || plane.offset > size - bytes) return false;
    const Context *from = plane.memory->context(), *to = tensor_.memory->context();
    if (from && to && !from->same_device(*to))
      return fail(
          ErrorCode::not_negotiated,
          "the pictures lie on another CUDA device ({}) than the model's input ({}); decode them on "
          "that device (nvh264device1dec is the decoder of the second one), or run the model on theirs "
          "(device=CUDA:N)",
          from->description(), to->description());
    item.strides[p] = int(plane.strides[0]);
    // What a kernel reads at once: samples of p010 have two bytes, and both chroma samples of a pixel are
    // one.
    const bool is_wide = video_.format == PixelFormat::p010,
               is_pair = p == 1 && video_.format == PixelFormat::nv12;
    const unsigned unit = is_wide ? (p == 1 ? 4 : 2) : is_pair ? 2 : 1;
    if (item.planes[p] % unit || plane.strides[0] % unit)
      return fail(
          ErrorCode::unsupported,
          "on CUDA plane {} of {} has to lie at multiples of {} bytes, not at {} with rows of {} bytes", p,
          to_string(video_.format), unit, item.planes[p] % unit, plane.strides[0]);
  }
  item.slot = cuda_pointer(tensor_) + (place ? place * uint64_t(tensor_.strides[0]) : 0);
  items_.push_back(item);
  for (const Tensor& plane : frame.tensors)
    if (pictures_.empty() || pictures_.back() != plane.memory) pictures_.push_back(plane.memory);
  return true;
}

CudaPreprocessor::SlotLayout DevicePass::layout() const {
  const auto size = int64_t(size_of(tensor_.type));
  return {.row = tensor_.strides[row_axis_] / size,
          .pixel = tensor_.strides[row_axis_ + 1] / size,
          .channel = tensor_.strides[channel_axis_] / size};
}

// False: it has to be made now.
bool DevicePass::defer() {
  auto& memory = static_cast<CudaMemory&>(*tensor_.memory);
  if (items_.size() != 1 || !memory.takes_deferred() || tensor_.offset != 0 ||
      tensor_.strides != dense_strides(tensor_.shape, tensor_.type))
    return false;
  Ref<DeferredPicture> picture = deferred_->take(pictures_.front().get());
  if (!picture) return false;
  picture->preprocessor = preprocessor_;
  picture->layout = layout();
  picture->task = preprocessor_->plan().task(items_.front());
  std::swap(picture->blocks, pictures_);
  memory.defer(std::move(picture));
  tensor_.memory = nullptr;
  return true;
}

Status DevicePass::run() {
  if (!tensor_.memory) return {};
  Context& device = const_cast<Context&>(*tensor_.memory->context());
  if (!context_ || !context_->same_device(device))
    if (Status opened = open(ContextRef(&device)); !opened) return opened;
  let_go(most_launched);
  if (defer()) return {};
  for (const MemoryRef& picture : pictures_)
    if (Status ordered = static_cast<CudaMemory&>(*picture).wait_in(stream_->get()); !ordered) return ordered;
  // Whoever had the block before may still be reading it.
  const MemoryRef block = std::move(tensor_.memory);
  auto& memory = static_cast<CudaMemory&>(*block);
  if (Status ordered = memory.wait_in(stream_->get()); !ordered) return ordered;
  Status status = preprocessor_->run(items_, layout(), stream_->get());
  auto done = status ? stream_->fence() : Result<Ref<Fence>>(forward_error(status));
  if (!done) {
    (void)stream_->finish();  // earlier launches still use the pictures and the tensor, which go back now
    return forward_error(done);
  }
  memory.set_fence(*done);
  under_way_.push_back({*std::move(done), std::move(pictures_)});
  pictures_ = spare_.empty() ? std::vector<MemoryRef>() : std::move(spare_.back());
  if (!spare_.empty()) spare_.pop_back();
  let_go(most_launched);
  return {};
}

// Of what is done, and of the oldest where there are more.
void DevicePass::let_go(size_t most) {
  while (!under_way_.empty()) {
    UnderWay& oldest = under_way_.front();
    if (!oldest.done->ready()) {
      if (under_way_.size() <= most) return;
      (void)oldest.done->wait();
    }
    oldest.pictures.clear();
    spare_.push_back(std::move(oldest.pictures));
    under_way_.pop_front();
  }
}

void DevicePass::finish() {
  let_go(0);
  items_.clear();
  pictures_.clear();
  tensor_.memory = nullptr;
}

}  // namespace sightglass
