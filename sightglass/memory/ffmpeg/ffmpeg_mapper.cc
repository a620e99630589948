// AVFrame on memory of the CPU, both ways, without a copy.
#include "sightglass/memory/ffmpeg/av_picture.h"
#include "sightglass/memory/mapper.h"
#include "sightglass/memory/system/wrapped_memory.h"

namespace sightglass {
namespace {

class AvFrameMapper final : public Mapper {
 public:
  std::string_view name() const override { return "AVFrame on memory of the CPU"; }

  void edges(const Form& from, std::vector<Edge>& out) const override {
    if (!from.pixels) return;
    if (from.memory == MemoryKind::system) out.push_back({{MemoryKind::ffmpeg, from.pixels}});
    if (from.memory == MemoryKind::ffmpeg) out.push_back({{MemoryKind::system, from.pixels}});
  }

  Status map(const Frame& frame, const MapTarget& target, Frame& result) const override {
    if (target.form.memory == MemoryKind::ffmpeg) {
      Ref<AvPicture> picture = pictures_->take();
      if (auto lent = lend_to(picture->av(), frame, target.access); !lent) return lent;
      return picture->show(*frame.video, MemoryKind::ffmpeg, result);
    }
    result.video = frame.video;
    result.tensors = frame.tensors;
    for (size_t plane = 0; plane < result.tensors.size(); ++plane) {
      const MemoryRef& memory = frame.tensors[plane].memory;
      size_t same = 0;
      while (frame.tensors[same].memory != memory) ++same;
      if (same < plane) {
        result.tensors[plane].memory = result.tensors[same].memory;
        continue;
      }
      auto start = memory->map(target.access);
      if (!start) return forward_error(start);
      // AVFrames have nothing to undo at the end of an access, so that the block alone has to be kept.
      memory->unmap(target.access);
      result.tensors[plane].memory = wrappers_->wrap(*start, memory->size(), [kept = memory] noexcept {});
    }
    return {};
  }

  // An AVFrame cannot carry a fence, so that the work in flight is waited for here.
  Status publish(const Frame& mapped, const Frame&) const override {
    for (const Tensor& tensor : mapped.tensors) {
      if (auto finished = tensor.memory->map(Access::read); !finished) return forward_error(finished);
      tensor.memory->unmap(Access::read);
    }
    return {};
  }

 private:
  const Ref<AvPicturePool> pictures_ = make_ref<AvPicturePool>();
  const Ref<WrapPool> wrappers_ = make_ref<WrapPool>();
};

const MapperRegistration registration(std::make_unique<AvFrameMapper>());

}  // namespace
}  // namespace sightglass
