// Joins the last K tensors of a stream to one, oldest first: what a decoder of actions wants that looks at
// some time.
//
// in   one tensor of any type
// out  one float32 tensor, K times as large, of the shape that downstream asks for: K = its size / the
// input's
//
//   partial=wait   a gap until K tensors have come
//   partial=pad    the oldest one is repeated
//   partial=emit   what is not there yet is zeros in front
//
// Tensors of tracked objects have windows of their own. A gap passes; a flush begins anew. One stream, one
// thread; allocates nothing once warm.
#pragma once

#include <vector>

#include "sightglass/core/element.h"
#include "sightglass/elements/object_cache/object_cache.h"

namespace sightglass {

class TensorSlidingWindow final : public Transform {
 public:
  enum class Partial { wait, pad, emit };

  struct Params {
    Partial partial = Partial::wait;
  };

  explicit TensorSlidingWindow(const Params& params) : params_(params) {}

  std::vector<FormatSpec> transform_format(Direction from, const FormatSpec& spec) const override;
  Status configure(const Format& input, const Format& output) override;
  Status process(const Frame& frame, Output& output) override;
  Status gap(const Gap& gap, Output& output) override;
  void flush() override;

 private:
  // A ring of K tensors.
  struct Window {
    std::vector<float> values;
    size_t next = 0, count = 0;
  };
  static constexpr uint64_t max_age = 300;  // frames after which the window of a lost object is forgotten

  Params params_;
  size_t size_ = 0, length_ = 0;  // values of a tensor; K
  Window window_;
  ObjectCache<Window> objects_{max_age};
  Frame out_;
  std::vector<float> scratch_;
};

}  // namespace sightglass
