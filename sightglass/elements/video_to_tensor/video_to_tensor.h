// Makes the input tensor of a model from a picture in one fused pass: crop, resize or letterbox, colour,
// normalisation (kernel.h does the work on the CPU, cuda_preprocess.h on an NVIDIA GPU). It is the fast form
// of opencv_cropscale ! videoconvert ! tensor_convert ! opencv_tensor_normalize.
//
// in   video frame, any format and pixel aspect, padded rows; `crop` or the region that the frame stands for
//      (`source->roi` with `regions[0]`) says which part counts
// out  one tensor, [1,H,W,C] or [1,C,H,W] (or the same without the 1), where the next element wants it, with
//      pts, duration, source, and `affine`: tensor 0..1 → full frame 0..1. A picture that cannot be read, or
//      of which no pixel counts, becomes a gap.
//
// Where the next element wants [N,…], the pictures of a list become one tensor with Frame::batch; what is
// left over of it when there are fewer than N is unspecified. 10-bit pictures are read as 8-bit ones on the
// CPU.
//
// Pictures in CUDA memory become tensors in memory of the same device, bilinear or nearest; nothing is waited
// for.
//
// One stream, one thread. 1 to 3 ns per pixel of the tensor, nothing is allocated per frame.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "sightglass/core/element.h"
#include "sightglass/elements/video_to_tensor/device_pass.h"
#include "sightglass/elements/video_to_tensor/kernel.h"
#include "sightglass/memory/mapping.h"

namespace sightglass {

class VideoToTensor final : public Transform {
 public:
  enum class Color : uint8_t { automatic, rgb, bgr, gray };  // automatic: as many channels as downstream has
  enum class Axes : uint8_t { automatic, nchw, nhwc };
  enum class Type : uint8_t { automatic, u8, f32, f16, i8, i32 };
  enum class Method : uint8_t { automatic, nearest, bilinear, bicubic, area };

  struct Params {
    unsigned width = 0, height = 0;  // 0: as downstream has it
    Color color = Color::automatic;
    Axes layout = Axes::automatic;
    Type dtype = Type::automatic;
    Resize resize = Resize::stretch;
    unsigned size_multiple = 32, max_width = 0;
    Method interpolation = Method::automatic;
    std::vector<double> pad_value = {0};
    std::vector<double> range, mean, std;  // empty: not done
    double scale = 1;
    double roi_expand = 1;
    unsigned threads = 0;
  };

  explicit VideoToTensor(const Params& params);

  std::vector<FormatSpec> transform_format(Direction from, const FormatSpec& spec) const override;
  Status configure(const Format& input, const Format& output) override;
  Status process(const Frame& frame, Output& output) override;
  Status process_list(std::span<const Frame> frames, Output& output) override;
  Status drain(Output& output) override;
  void flush() override;
  void stop() override { flush(); }

 private:
  // What the tensor of a picture may be. `video` is null where it is not known.
  std::vector<TensorSpec> tensor_specs(const VideoInfo* video) const;
  Crop part_of(const Frame& frame) const;
  bool samples_on_device() const;  // as the parameters have it
  // Whether it is as it was agreed.
  bool is_agreed(const Frame& frame) const;
  // Fills planes_ and mappings_; false when the picture is not what was agreed or cannot be read.
  bool map_planes(const Frame& frame);
  void narrow_planes(const Crop& part);
  std::optional<Affine> write(const Frame& frame, const Mapping& tensor, size_t place);
  Status new_tensor(const Frame& frame, Output& output);
  Status put_beside(const Frame& frame, Tensor& tensor);
  Status fill_batch(std::span<const Frame> frames, Output& output);
  Status process_on_device(const Frame& frame, Output& output);
  Status push(const Frame& frame, const Affine& back, Output& output);

  Params params_;
  ResizeRule rule_;
  VideoInfo video_;
  PreprocessOptions options_;
  size_t places_ = 1;                           // of pictures in the tensor
  size_t row_axis_ = 0, channel_axis_ = 0;      // of the tensor's shape
  std::unique_ptr<Preprocessor> preprocessor_;  // of pictures in system memory
  std::unique_ptr<DevicePass> device_pass_;     // of those in CUDA memory
  Ref<MemoryPool> beside_;                      // of a device that the next element did not expect
  const Context* beside_what_ = nullptr;
  Frame out_;

  std::array<PlaneView, 4> planes_;
  std::array<Mapping, 4> mappings_;               // of planes_, during process()
  std::array<std::vector<uint8_t>, 2> narrowed_;  // 8 bits of a P010 picture; kept for their memory
};

}  // namespace sightglass
