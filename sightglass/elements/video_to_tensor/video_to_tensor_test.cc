#include "sightglass/elements/video_to_tensor/video_to_tensor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "sightglass/core/registry.h"
#include "sightglass/elements/video_to_tensor/test_picture.h"
#include "sightglass/memory/context.h"
#include "sightglass/memory/cuda/cuda.h"
#include "sightglass/memory/map_to.h"
#include "sightglass/memory/system/system_memory.h"

namespace sightglass {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

// Gives tensors of one kind and keeps what is sent.
class Collector final : public Output {
 public:
  explicit Collector(TensorInfo info) : info_(std::move(info)) {}
  Status allocate(Frame& frame) override {
    auto tensor = allocate_tensor(info_);
    if (!tensor) return forward_error(tensor);
    frame.tensors.assign(1, *tensor);
    return {};
  }
  Status push(const Frame& frame) override { return frames.push_back(frame), Status(); }
  Status gap(const Gap& gap) override { return gaps.push_back(gap), Status(); }

  float value(int y, int x, int c) const {
    const auto mapping = map(frames.back().tensors[0], Access::read);
    const Shape& s = frames.back().tensors[0].strides;
    float v = 0;
    std::memcpy(&v, mapping->data() + y * s[1] + x * s[2] + c * s[3], sizeof(v));
    return v;
  }

  std::vector<Frame> frames;
  std::vector<Gap> gaps;

 private:
  TensorInfo info_;
};

VideoInfo video(PixelFormat format, int width, int height) {
  VideoInfo info;
  info.format = format, info.width = width, info.height = height;
  return info;
}

Frame frame_of(const test::Picture& picture) {
  Frame frame;
  frame.video = picture.info;
  for (size_t p = 0; p < picture.planes.size(); ++p) {
    const int64_t stride = picture.planes[p].stride, rows = plane_height(picture.info, p);
    const int64_t row =
        int64_t(plane_width(picture.info, p)) * plane_layout(picture.info.format, p).pixel_bytes;
    auto tensor = *allocate_tensor({.type = DataType::u8, .shape = {rows, row}, .strides = {stride, 1}});
    std::memcpy((*map(tensor, Access::write)).data(), picture.bytes[p].data(), picture.bytes[p].size());
    frame.tensors.push_back(tensor);
  }
  frame.pts = 1000, frame.duration = 40;
  return frame;
}

// A horizontal ramp: the value of a pixel says where it comes from.
test::Picture ramp(PixelFormat format, int width, int height) {
  test::Picture picture(video(format, width, height), 3);
  picture.fill([](size_t, int x, int, int) { return uint8_t(x); });
  return picture;
}

TensorInfo tensor_info(DataType type, Shape shape, Layout layout) {
  return {.type = type, .shape = shape, .strides = {}, .layout = layout, .name = {}};
}
Format tensor_format(const TensorInfo& info) { return {TensorsInfo{{info}}}; }

std::unique_ptr<Transform> make(const std::vector<std::pair<std::string, std::string>>& settings) {
  const ElementDesc* desc = find_element("video_to_tensor");
  EXPECT_TRUE(desc);
  ParamSet params(desc->params);
  for (const auto& [name, value] : settings) {
    const auto status = params.set_text(name, value);
    EXPECT_TRUE(status) << status.error().message;
  }
  auto element = desc->create(params);
  EXPECT_TRUE(element) << element.error().message;
  return std::unique_ptr<Transform>(dynamic_cast<Transform*>(element->release()));
}

const TensorInfo nhwc_8x4 = tensor_info(DataType::f32, {1, 4, 8, 3}, Layout::nhwc);

TEST(VideoToTensor, OffersTensorsOfItsSize) {
  const auto element =
      make({{"width", "416"}, {"height", "320"}, {"layout", "nchw"}, {"color", "bgr"}, {"dtype", "uint8"}});
  const auto specs = element->transform_format(Direction::input, {VideoSpec{}});
  ASSERT_THAT(specs, SizeIs(3));
  const TensorSpec& first = std::get<TensorsSpec>(specs[0].media).tensors.at(0);
  EXPECT_EQ(first.shape, (Shape{1, 3, 320, 416}));
  EXPECT_EQ(first.layout, Layout::nchw);
  EXPECT_EQ(first.types, std::vector{DataType::u8});
  EXPECT_EQ(std::get<TensorsSpec>(specs[1].media).tensors.at(0).shape, (Shape{3, 320, 416}));
  // Batches, for those who ask for them.
  EXPECT_EQ(std::get<TensorsSpec>(specs[2].media).tensors.at(0).shape, (Shape{-1, 3, 320, 416}));
}

TEST(VideoToTensor, LeavesItsSizeOpenWithoutOne) {
  const auto specs = make({})->transform_format(Direction::input, {VideoSpec{{}, {768, 768}, {576, 576}}});
  ASSERT_FALSE(specs.empty());
  EXPECT_EQ(std::get<TensorsSpec>(specs[0].media).tensors.at(0).shape, (Shape{1, 3, -1, -1}));
}

TEST(VideoToTensor, FollowsTheSizeOfThePictureWhereTheRuleDoes) {
  const FormatSpec picture{VideoSpec{{}, {556, 556}, {257, 257}}};
  auto shape = [&](const auto& settings) {
    return std::get<TensorsSpec>(make(settings)->transform_format(Direction::input, picture)[0].media)
        .tensors.at(0)
        .shape;
  };
  using Settings = std::vector<std::pair<std::string, std::string>>;
  EXPECT_EQ(shape(Settings{{"resize", "none"}}), (Shape{1, 3, 257, 556}));
  EXPECT_EQ(shape(Settings{{"resize", "multiple"}}), (Shape{1, 3, 256, 544}));
  EXPECT_EQ(shape(Settings{{"resize", "fit-height"}, {"height", "48"}}), (Shape{1, 3, 48, 128}));
}

TEST(VideoToTensor, TakesEveryPictureForATensorItCanMake) {
  const auto element = make({});
  const FormatSpec model{TensorsSpec{{TensorSpec{{DataType::f32}, {1, 3, 416, 416}, Layout::any, {}}}}};
  const auto specs = element->transform_format(Direction::output, model);
  ASSERT_THAT(specs, SizeIs(1));
  EXPECT_THAT(std::get<VideoSpec>(specs[0].media).formats, SizeIs(all_8_bit_formats().size() + 1));
  EXPECT_THAT(element->transform_format(Direction::output, {AnySpec{}}), SizeIs(1));
}

TEST(VideoToTensor, TakesNothingForATensorItCannotMake) {
  auto offered = [](TensorSpec spec) {
    return make({{"width", "416"}})->transform_format(Direction::output, {TensorsSpec{{std::move(spec)}}});
  };
  EXPECT_THAT(offered({{DataType::f64}, {1, 3, 416, 416}, Layout::any, {}}), IsEmpty());
  EXPECT_THAT(offered({{DataType::f32}, {1, 3, 640, 640}, Layout::any, {}}), IsEmpty());
  EXPECT_THAT(offered({{DataType::f32}, {1, 5, 416, 416}, Layout::any, {}}), IsEmpty());
  EXPECT_THAT(offered({{DataType::f32}, {4, 416}, Layout::any, {}}), IsEmpty());
  EXPECT_THAT(offered({{}, {-1, 3, -1, -1}, Layout::nchw, {}}), SizeIs(1));
  EXPECT_THAT(make({})->transform_format(Direction::output, {VideoSpec{}}), IsEmpty());
}

TEST(VideoToTensor, SaysWhatIsWrongWithAFormat) {
  auto message = [](const TensorInfo& info) {
    const auto status =
        make({{"color", "rgb"}})->configure({video(PixelFormat::i420, 64, 48)}, tensor_format(info));
    return status ? std::string() : status.error().message;
  };
  EXPECT_EQ(message(tensor_info(DataType::f32, {1, 3, 8, 8}, Layout::any)), "");
  EXPECT_THAT(message(tensor_info(DataType::f32, {1, 3, -1, 8}, Layout::any)),
              HasSubstr("set width and height"));
  EXPECT_THAT(message(tensor_info(DataType::f32, {1, 10}, Layout::any)), HasSubstr("float32 1x10"));
  EXPECT_THAT(message(tensor_info(DataType::f32, {1, 1, 8, 8}, Layout::any)), HasSubstr("1x3x?x?"));
  EXPECT_THAT(message(tensor_info(DataType::f32, {1, 3, 8, 1 << 30}, Layout::any)), HasSubstr("at most"));
  EXPECT_FALSE(
      make({{"mean", "<1.0,2.0>"}})->configure({video(PixelFormat::i420, 64, 48)}, tensor_format(nhwc_8x4)));
}

TEST(VideoToTensor, CarriesTimeAndOriginButNoRegions) {
  const auto picture = ramp(PixelFormat::rgb, 16, 8);
  const auto element = make({});
  ASSERT_TRUE(element->configure({picture.info}, tensor_format(nhwc_8x4)));
  Collector out(nhwc_8x4);
  Frame frame = frame_of(picture);
  frame.source = SourceId{.stream = 7, .pts = 1000};
  frame.regions.resize(2);
  frame.attributes = make_ref<const AttributeList>(std::vector<Attribute>(1));
  ASSERT_TRUE(element->process(frame, out));
  ASSERT_THAT(out.frames, SizeIs(1));
  const Frame& sent = out.frames[0];
  EXPECT_EQ(sent.pts, 1000);
  EXPECT_EQ(sent.duration, 40);
  EXPECT_EQ(sent.source, frame.source);
  EXPECT_THAT(sent.regions, IsEmpty());
  EXPECT_FALSE(sent.attributes);
  EXPECT_FALSE(sent.affine) << "stretching the whole picture changes nothing in 0..1";
  EXPECT_NEAR(out.value(2, 3, 1), 6.5, 1e-3);  // pixels 6 and 7
}

TEST(VideoToTensor, CutsTheCropAndSaysWhereItWas) {
  const auto picture = ramp(PixelFormat::rgb, 100, 50);
  const auto element = make({});
  ASSERT_TRUE(element->configure({picture.info}, tensor_format(nhwc_8x4)));
  Collector out(nhwc_8x4);
  Frame frame = frame_of(picture);
  frame.crop = Crop{20, 10, 16, 8};
  ASSERT_TRUE(element->process(frame, out));
  EXPECT_NEAR(out.value(0, 0, 0), 20.5, 1e-3);
  EXPECT_NEAR(out.value(3, 7, 2), 34.5, 1e-3);
  ASSERT_TRUE(out.frames[0].affine);
  const Box box = apply(*out.frames[0].affine, {0, 0, 1, 1});
  EXPECT_NEAR(box.x, 0.20, 1e-6);
  EXPECT_NEAR(box.y, 0.20, 1e-6);
  EXPECT_NEAR(box.w, 0.16, 1e-6);
  EXPECT_NEAR(box.h, 0.16, 1e-6);
}

TEST(VideoToTensor, MultipliesTheMatrixItFinds) {
  const auto picture = ramp(PixelFormat::gray8, 100, 50);
  const auto element = make({});
  ASSERT_TRUE(element->configure({picture.info}, tensor_format(nhwc_8x4)));
  Collector out(nhwc_8x4);
  Frame frame = frame_of(picture);
  frame.crop = Crop{0, 0, 50, 50};
  frame.affine = Affine{{0.5, 0, 0.5, 0, 1, 0}};  // the right half of something
  ASSERT_TRUE(element->process(frame, out));
  const Box box = apply(*out.frames[0].affine, {0, 0, 1, 1});
  EXPECT_NEAR(box.x, 0.5, 1e-6);
  EXPECT_NEAR(box.w, 0.25, 1e-6);
}

TEST(VideoToTensor, GrowsTheExactBoxOfARegion) {
  const auto picture = ramp(PixelFormat::rgb, 100, 100);
  const auto element = make({{"roi-expand", "1.2"}});
  ASSERT_TRUE(element->configure({picture.info}, tensor_format(nhwc_8x4)));
  Collector out(nhwc_8x4);
  Frame frame = frame_of(picture);
  frame.crop = Crop{20, 20, 22, 21};  // of 20.5..41.5, 20.25..40.75: grown 18.4..43.6, 18.2..42.8
  frame.regions.resize(1);
  frame.regions[0].box = {0.205f, 0.2025f, 0.21f, 0.205f};
  frame.source = SourceId{.roi = 0};
  ASSERT_TRUE(element->process(frame, out));
  const Box grown = apply(*out.frames[0].affine, {0, 0, 1, 1});
  EXPECT_NEAR(grown.x, 0.18, 1e-6);
  EXPECT_NEAR(grown.right(), 0.44, 1e-6);
  EXPECT_NEAR(grown.bottom(), 0.43, 1e-6);

  frame.source.reset();  // a crop alone
  ASSERT_TRUE(element->process(frame, out));
  const Box from_crop = apply(*out.frames[1].affine, {0, 0, 1, 1});
  EXPECT_NEAR(from_crop.x, 0.17, 1e-6);  // 31 - 13.2
  EXPECT_NEAR(from_crop.right(), 0.45, 1e-6);
}

TEST(VideoToTensor, LetterboxesWithPaddingAndNormalises) {
  const auto picture = ramp(PixelFormat::rgb, 16, 4);
  const auto element = make({{"resize", "letterbox"},
                             {"pad-value", "<114.0>"},
                             {"range", "<0.0,1.0>"},
                             {"mean", "<0.5,0.25,0.0>"},
                             {"std", "<0.5,1.0,2.0>"}});
  ASSERT_TRUE(element->configure({picture.info}, tensor_format(nhwc_8x4)));
  Collector out(nhwc_8x4);
  ASSERT_TRUE(element->process(frame_of(picture), out));
  EXPECT_NEAR(out.value(0, 0, 0), (114 / 255.0 - 0.5) / 0.5, 1e-5);
  EXPECT_NEAR(out.value(3, 7, 1), 114 / 255.0 - 0.25, 1e-5);
  EXPECT_NEAR(out.value(1, 3, 2), 6.5 / 255 / 2, 1e-5);
}

TEST(VideoToTensor, MakesGrayOfOneChannel) {
  test::Picture picture(video(PixelFormat::bgr, 16, 8), 0);
  picture.fill([](size_t, int, int, int byte) { return uint8_t(byte == 2 ? 200 : byte == 1 ? 100 : 50); });
  const TensorInfo info = tensor_info(DataType::f32, {1, 4, 8, 1}, Layout::any);
  const auto element = make({});
  ASSERT_TRUE(element->configure({picture.info}, tensor_format(info)));
  Collector out(info);
  ASSERT_TRUE(element->process(frame_of(picture), out));
  EXPECT_NEAR(out.value(1, 1, 0), 0.2989 * 200 + 0.587 * 100 + 0.114 * 50, 0.02);
}

TEST(VideoToTensor, WhatCannotBeReadBecomesAGap) {
  const auto picture = ramp(PixelFormat::i420, 16, 8);
  const auto element = make({});
  ASSERT_TRUE(element->configure({picture.info}, tensor_format(nhwc_8x4)));
  auto gaps = [&](auto change) {
    Collector out(nhwc_8x4);
    Frame frame = frame_of(picture);
    frame.source = SourceId{.stream = 3, .roi = 5, .last_roi = true};
    change(frame);
    EXPECT_TRUE(element->process(frame, out));
    EXPECT_THAT(out.frames, IsEmpty());
    return out.gaps;
  };
  const auto empty_crop = gaps([](Frame& f) { f.crop = Crop{3, 3, 0, 5}; });
  ASSERT_THAT(empty_crop, SizeIs(1));
  EXPECT_EQ(empty_crop[0].pts, 1000);
  EXPECT_EQ(empty_crop[0].source->roi, 5u);
  EXPECT_TRUE(empty_crop[0].source->last_roi);
  EXPECT_THAT(gaps([](Frame& f) { f.crop = Crop{16, 0, 5, 5}; }), SizeIs(1));
  EXPECT_THAT(gaps([](Frame& f) { f.tensors.pop_back(); }), SizeIs(1));
  EXPECT_THAT(gaps([](Frame& f) { f.tensors[1].shape = {4, 5}; }), SizeIs(1));
  EXPECT_THAT(gaps([](Frame& f) { f.tensors[0].offset = 1 << 20; }), SizeIs(1));
  EXPECT_THAT(gaps([](Frame& f) { f.video->width = 18; }), SizeIs(1));
  EXPECT_THAT(gaps([](Frame& f) { f.video.reset(); }), SizeIs(1));
}

TEST(VideoToTensor, RefusesFramesBeforeAFormat) {
  const auto element = make({});
  Collector out(nhwc_8x4);
  EXPECT_FALSE(element->process(Frame(), out));
}

TEST(VideoToTensor, FollowsANewFormat) {
  const auto element = make({});
  for (int size : {16, 64, 8}) {
    const auto picture = ramp(PixelFormat::nv12, size, size);
    ASSERT_TRUE(element->configure({picture.info}, tensor_format(nhwc_8x4)));
    Collector out(nhwc_8x4);
    ASSERT_TRUE(element->process(frame_of(picture), out));
    EXPECT_THAT(out.frames, SizeIs(1));
  }
}

TEST(VideoToTensor, PicturesOfAListBecomeOneTensor) {
  const TensorInfo info = tensor_info(DataType::f32, {4, 4, 8, 3}, Layout::nhwc);
  const auto element = make({});
  const auto picture = ramp(PixelFormat::rgb, 16, 8);
  ASSERT_TRUE(element->configure({picture.info}, tensor_format(info)));
  Collector out(info);
  std::vector<Frame> frames;
  for (int i = 0; i < 6; ++i) {
    Frame& frame = frames.emplace_back(frame_of(picture));
    frame.pts = 100 * i;
    frame.source = SourceId{.stream = unsigned(1 + i), .pts = 100 * i};
    if (i == 2) frame.crop = Crop{8, 0, 8, 8};
  }
  frames[1].crop = Crop{40, 0, 5, 5};  // nothing of it counts
  ASSERT_TRUE(element->process_list(frames, out));
  ASSERT_THAT(out.frames, SizeIs(2));  // four, then two
  ASSERT_THAT(out.gaps, SizeIs(1));
  EXPECT_EQ(out.gaps[0].pts, 100);
  EXPECT_EQ(out.gaps[0].source->batch_index, -1) << "in front of the second sample that is there";
  const auto& batch = out.frames[0].batch;
  ASSERT_THAT(batch, SizeIs(3));
  EXPECT_EQ(batch[1].source.stream, 3u);
  EXPECT_EQ(batch[1].source.batch_index, 1);
  EXPECT_EQ(batch[1].pts, 200);
  EXPECT_EQ(batch[1].duration, 40);
  EXPECT_TRUE(batch[0].affine.identity());
  EXPECT_NEAR(batch[1].affine.m[2], .5, 1e-6);
  EXPECT_THAT(out.frames[1].batch, SizeIs(2));
  EXPECT_FALSE(out.frames[0].source);
  const auto mapping = map(out.frames[0].tensors[0], Access::read);
  const auto values = mapping->as<float>();
  EXPECT_NEAR(values[3], 2.5, 1e-3);            // first sample, pixel 1: source pixels 2 and 3
  EXPECT_NEAR(values[4 * 8 * 3 + 3], 9, 1e-3);  // second: the right half, one to one
}

TEST(VideoToTensor, AListWithoutABatchIsOneTensorEach) {
  const auto element = make({});
  const auto picture = ramp(PixelFormat::rgb, 16, 8);
  ASSERT_TRUE(element->configure({picture.info}, tensor_format(nhwc_8x4)));
  Collector out(nhwc_8x4);
  const std::vector<Frame> frames(3, frame_of(picture));
  ASSERT_TRUE(element->process_list(frames, out));
  ASSERT_THAT(out.frames, SizeIs(3));
  EXPECT_THAT(out.frames[0].batch, IsEmpty());
}

// P010 against the same picture with eight bits.
TEST(VideoToTensor, ReadsTenBitPictures) {
  test::Picture eight(video(PixelFormat::nv12, 32, 16), 0);
  eight.fill(
      [](size_t plane, int x, int y, int) { return plane == 0 ? 16 + 4 * x + 3 * y : 90 + 2 * x + y; });
  Frame ten;
  ten.pts = 1000, ten.duration = 40;
  ten.video = video(PixelFormat::p010, 32, 16);
  for (size_t p = 0; p < 2; ++p) {
    const int rows = plane_height(*ten.video, p), bytes = plane_width(*ten.video, p) * (p ? 4 : 2);
    auto tensor = *allocate_tensor({.type = DataType::u8, .shape = {rows, bytes}, .strides = {bytes + 6, 1}});
    auto to = *map(tensor, Access::write);
    for (int y = 0; y < rows; ++y)
      for (int x = 0; x < bytes / 2; ++x) {
        to.row<std::byte>(y)[2 * x] = std::byte{0x40};  // a quarter of a level
        to.row<std::byte>(y)[2 * x + 1] = std::byte(eight.bytes[p][size_t(y * eight.planes[p].stride + x)]);
      }
    to.reset();
    ten.tensors.push_back(tensor);
  }
  const auto values_of = [](const VideoInfo& info, Frame frame, std::optional<Crop> crop) {
    const auto element = make({});
    EXPECT_TRUE(element->configure({info}, tensor_format(nhwc_8x4)));
    Collector out(nhwc_8x4);
    frame.crop = crop;
    EXPECT_TRUE(element->process(frame, out));
    std::vector<float> values;
    for (int i = 0; i < 4 * 8 * 3; ++i) values.push_back(out.value(i / 24, i / 3 % 8, i % 3));
    return values;
  };
  for (const auto& crop : {std::optional<Crop>{}, std::optional(Crop{7, 3, 11, 9})})
    EXPECT_THAT(values_of(*ten.video, ten, crop),
                testing::Pointwise(testing::FloatNear(1e-3f), values_of(eight.info, frame_of(eight), crop)));
}

// ---- pictures in CUDA memory

// Gives tensors in CUDA memory.
class DeviceCollector final : public Output {
 public:
  explicit DeviceCollector(TensorInfo info) : info_(std::move(info)) {}
  Status allocate(Frame& frame) override {
    auto block = allocate_cuda(nullptr, info_.bytes());
    if (!block) return forward_error(block);
    frame.tensors.assign(1, tensor_in(*block, info_));
    return {};
  }
  Status push(const Frame& frame) override { return frames.push_back(frame), Status(); }
  Status gap(const Gap& gap) override { return gaps.push_back(gap), Status(); }
  std::vector<Frame> frames;
  std::vector<Gap> gaps;

 private:
  TensorInfo info_;
};

std::vector<float> floats(const Tensor& tensor) {
  const auto mapping = map(tensor, Access::read);
  EXPECT_TRUE(mapping) << mapping.error().message;
  const auto values = mapping->as<float>();
  return {values.begin(), values.end()};
}

TEST(VideoToTensor, KeepsToTheMemoryThatPicturesLieIn) {
  const auto element = make({{"width", "8"}, {"height", "4"}});
  for (const auto& spec : element->transform_format(Direction::input, {VideoSpec{}, MemoryKind::cuda}))
    EXPECT_EQ(spec.memory, MemoryKind::cuda);
  EXPECT_THAT(element->transform_format(Direction::input, {VideoSpec{}, MemoryKind::va}), IsEmpty());
  // There is no kernel for it.
  const auto bicubic = make({{"interpolation", "bicubic"}});
  EXPECT_THAT(bicubic->transform_format(Direction::input, {VideoSpec{}, MemoryKind::cuda}), IsEmpty());
  const auto mixed =
      element->configure({video(PixelFormat::nv12, 64, 48), MemoryKind::cuda}, tensor_format(nhwc_8x4));
  ASSERT_FALSE(mixed);
  EXPECT_THAT(mixed.error().message, HasSubstr("not in system memory"));
}

TEST(VideoToTensor, OnCudaGivesWhatTheCpuGives) {
  if (const auto device = default_context(MemoryKind::cuda); !device) GTEST_SKIP() << device.error().message;
  test::Picture picture(video(PixelFormat::nv12, 320, 180), 7);
  picture.fill_smooth();
  const Frame on_cpu = frame_of(picture);
  auto mapped = map_to(on_cpu, {.form = {MemoryKind::cuda, PixelFormat::nv12}, .access = Access::read});
  ASSERT_TRUE(mapped) << mapped.error().message;
  Frame on_device = mapped->frame();
  on_device.pts = on_cpu.pts, on_device.duration = on_cpu.duration;
  const TensorInfo info = tensor_info(DataType::f32, {1, 3, 96, 96}, Layout::nchw);
  const std::vector<std::pair<std::string, std::string>> settings = {{"resize", "letterbox"},
                                                                     {"pad-value", "<114>"}};
  auto reference = make(settings), element = make(settings);
  ASSERT_TRUE(reference->configure({picture.info}, tensor_format(info)));
  Format device_tensors = tensor_format(info);
  device_tensors.memory = MemoryKind::cuda;
  const auto configured = element->configure({picture.info, MemoryKind::cuda}, device_tensors);
  ASSERT_TRUE(configured) << configured.error().message;
  Collector expected(info);
  DeviceCollector made(info);
  for (int i = 0; i < 8; ++i) {  // more than are held at a time
    ASSERT_TRUE(reference->process(on_cpu, expected));
    const auto processed = element->process(on_device, made);
    ASSERT_TRUE(processed) << processed.error().message;
  }
  ASSERT_THAT(made.frames, SizeIs(8));
  EXPECT_EQ(made.frames[0].pts, 1000);
  EXPECT_EQ(made.frames[0].affine, expected.frames[0].affine);
  const auto want = floats(expected.frames[0].tensors[0]);
  for (const Frame& frame : made.frames) {
    const auto got = floats(frame.tensors[0]);
    ASSERT_EQ(got.size(), want.size());
    for (size_t i = 0; i < want.size(); ++i) ASSERT_NEAR(got[i], want[i], 0.5) << i;
  }
  // At the end nothing is under way any more.
  ASSERT_TRUE(element->drain(made));
  // A picture that is not as it was agreed is a gap.
  Frame other = on_device;
  other.tensors.pop_back();
  ASSERT_TRUE(element->process(other, made));
  EXPECT_THAT(made.gaps, SizeIs(1));
}

TEST(VideoToTensor, OnCudaABatchIsOneTensor) {
  if (const auto device = default_context(MemoryKind::cuda); !device) GTEST_SKIP() << device.error().message;
  test::Picture picture(video(PixelFormat::nv12, 320, 180), 7);
  picture.fill_smooth();
  const Frame on_cpu = frame_of(picture);
  auto mapped = map_to(on_cpu, {.form = {MemoryKind::cuda, PixelFormat::nv12}, .access = Access::read});
  ASSERT_TRUE(mapped) << mapped.error().message;
  const TensorInfo info = tensor_info(DataType::f32, {40, 3, 32, 32}, Layout::nchw);
  auto reference = make({}), element = make({});
  ASSERT_TRUE(reference->configure({picture.info}, tensor_format(info)));
  Format device_tensors = tensor_format(info);
  device_tensors.memory = MemoryKind::cuda;
  ASSERT_TRUE(element->configure({picture.info, MemoryKind::cuda}, device_tensors));
  std::vector<Frame> frames, device_frames;
  for (int i = 0; i < 40; ++i) {  // more than a launch takes
    frames.push_back(on_cpu);
    frames.back().crop = Crop{i, i, 100, 90};
    device_frames.push_back(mapped->frame());
    device_frames.back().crop = frames.back().crop;
  }
  Collector expected(info);
  DeviceCollector made(info);
  ASSERT_TRUE(reference->process_list(frames, expected));
  ASSERT_TRUE(element->process_list(device_frames, made));
  ASSERT_THAT(made.frames, SizeIs(1));
  ASSERT_THAT(made.frames[0].batch, SizeIs(40));
  EXPECT_EQ(made.frames[0].batch[7].affine, expected.frames[0].batch[7].affine);
  const auto want = floats(expected.frames[0].tensors[0]), got = floats(made.frames[0].tensors[0]);
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < want.size(); ++i) ASSERT_NEAR(got[i], want[i], 0.5) << i;
}

}  // namespace
}  // namespace sightglass
