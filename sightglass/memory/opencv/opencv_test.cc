#include "sightglass/memory/opencv/opencv.h"

#include <gmock/gmock.h>

#include <thread>
#include <opencv2/core.hpp>
#include <opencv2/core/ocl.hpp>
#include <opencv2/imgproc.hpp>

#include "sightglass/memory/map_to.h"
#include "sightglass/memory/mapping.h"
#include "sightglass/memory/opencl/opencl.h"
#include "sightglass/memory/system/system_frame.h"
#include "sightglass/memory/system/system_memory.h"
#include "sightglass/memory/system/wrapped_memory.h"
#include "sightglass/memory/view.h"

namespace sightglass {
namespace {

using testing::HasSubstr;

constexpr Form bgr{MemoryKind::opencv, PixelFormat::bgr};
constexpr Form bgr_umat{MemoryKind::opencv_umat, PixelFormat::bgr};

Frame picture(PixelFormat format, int width, int height) {
  auto frame = allocate_frame({.format = format, .width = width, .height = height});
  for (const Tensor& tensor : frame->tensors) {
    auto mapped = map(tensor, Access::write);
    std::memset(mapped->data(), 7, mapped->bytes());
  }
  return *frame;
}

TEST(OpenCV, APlaneIsAMatrixOfItsPixelsAtTheSameAddress) {
  struct Case {
    PixelFormat format;
    int first, second;
  };
  for (const Case& expected : {Case{PixelFormat::bgr, CV_8UC3, -1},
                               {PixelFormat::rgba, CV_8UC4, -1},
                               {PixelFormat::nv12, CV_8UC1, CV_8UC2},
                               {PixelFormat::gray16, CV_16UC1, -1},
                               {PixelFormat::p010, CV_16UC1, CV_16UC2}}) {
    const Frame frame = picture(expected.format, 35, 21);
    auto mapped = map_to(frame, {.form = {MemoryKind::opencv, expected.format}}, {.strict_zero_copy = true});
    ASSERT_TRUE(mapped) << mapped.error().message;
    const cv::Mat first = opencv_mat(mapped->frame().tensors[0]);
    EXPECT_EQ(first.type(), expected.first) << to_string(expected.format);
    EXPECT_EQ(first.size(), cv::Size(35, 21));
    EXPECT_EQ(reinterpret_cast<std::byte*>(first.data), map(frame.tensors[0], Access::read)->data());
    if (expected.second < 0) continue;
    const cv::Mat second = opencv_mat(mapped->frame().tensors[1]);
    EXPECT_EQ(second.type(), expected.second);
    EXPECT_EQ(second.size(), cv::Size(18, 11));
  }
}

TEST(OpenCV, WhatOpenCVWritesIsInTheFrame) {
  const Frame frame = picture(PixelFormat::bgr, 9, 5);
  {
    auto mapped = map_to(frame, {.form = bgr, .access = Access::read_write});
    ASSERT_TRUE(mapped) << mapped.error().message;
    cv::Mat mat = opencv_mat(mapped->frame().tensors[0]);
    mat.setTo(cv::Scalar(1, 2, 3));
  }
  auto bytes = map(frame.tensors[0], Access::read);
  EXPECT_EQ(bytes->row<uint8_t>(4)[8 * 3 + 2], 3);
}

TEST(OpenCV, AMatrixKeepsTheFrameAliveAndLetsItGo) {
  bool released = false;
  static std::byte bytes[16 * 4];
  cv::Mat mat;
  {
    Frame frame;
    frame.video = VideoInfo{.format = PixelFormat::gray8, .width = 16, .height = 4};
    frame.tensors.push_back(
        tensor_in(wrap_memory(bytes, sizeof bytes, [&released] noexcept { released = true; }),
                  {.type = DataType::u8, .shape = {4, 16}, .layout = Layout::hw}));
    auto mapped = map_to(frame, {.form = {MemoryKind::opencv, PixelFormat::gray8}});
    ASSERT_TRUE(mapped) << mapped.error().message;
    mat = opencv_mat(mapped->frame().tensors[0]);
  }
  EXPECT_FALSE(released);
  cv::Mat part = mat(cv::Rect(2, 1, 3, 2));
  mat.release();
  EXPECT_FALSE(released);
  EXPECT_EQ(reinterpret_cast<std::byte*>(part.data), bytes + 16 + 2);
  part.create(100, 100, CV_8UC1);  // leaves our memory and takes its own
  EXPECT_TRUE(released);
}

TEST(OpenCV, AUMatOfAMatrixOfOursWorksAndLetsItGo) {
  bool released = false;
  static std::byte bytes[16 * 4];
  {
    cv::Mat mat;
    {
      Frame frame;
      frame.video = VideoInfo{.format = PixelFormat::gray8, .width = 16, .height = 4};
      frame.tensors.push_back(
          tensor_in(wrap_memory(bytes, sizeof bytes, [&released] noexcept { released = true; }),
                    {.type = DataType::u8, .shape = {4, 16}, .layout = Layout::hw}));
      auto mapped =
          map_to(frame, {.form = {MemoryKind::opencv, PixelFormat::gray8}, .access = Access::read_write});
      ASSERT_TRUE(mapped) << mapped.error().message;
      mat = opencv_mat(mapped->frame().tensors[0]);
    }
    cv::ocl::setUseOpenCL(false);
    cv::UMat umat = mat.getUMat(cv::ACCESS_RW);
    umat.setTo(cv::Scalar(9));
  }
  EXPECT_TRUE(released);
  EXPECT_EQ(bytes[63], std::byte{9});
}

TEST(OpenCV, AMatrixBecomesAFrameWithoutACopy) {
  cv::Mat mat(6, 8, CV_8UC3, cv::Scalar(1, 2, 3));
  uchar* const data = mat.data;
  auto frame = from_mat(mat(cv::Rect(2, 1, 4, 4)), PixelFormat::bgr);
  ASSERT_TRUE(frame) << frame.error().message;
  mat.release();
  EXPECT_EQ(frame->video->width, 4);
  EXPECT_EQ(frame->tensors[0].strides[0], 24);
  auto mapped = map_to(*frame, {.form = {MemoryKind::system, PixelFormat::bgr}}, {.strict_zero_copy = true});
  ASSERT_TRUE(mapped) << mapped.error().message;
  EXPECT_EQ(reinterpret_cast<uchar*>(map(mapped->frame().tensors[0], Access::read)->data()), data + 24 + 6);
}

TEST(OpenCV, PlanarPicturesLieAsCvtColorMakesThem) {
  cv::Mat colour(4, 6, CV_8UC3), planar;
  cv::randu(colour, 0, 255);
  cv::cvtColor(colour, planar, cv::COLOR_BGR2YUV_I420);
  auto frame = from_mat(planar, PixelFormat::i420);
  ASSERT_TRUE(frame) << frame.error().message;
  EXPECT_EQ(frame->video->height, 4);
  ASSERT_EQ(frame->tensors.size(), 3u);
  EXPECT_EQ(frame->tensors[1].shape, (Shape{2, 3}));
  EXPECT_EQ(reinterpret_cast<uchar*>(map(frame->tensors[2], Access::read)->data()), planar.data + 24 + 6);

  cv::Mat wide(6, 16, CV_8UC1);
  auto nv12 = from_mat(wide(cv::Rect(0, 0, 6, 6)), PixelFormat::nv12);
  ASSERT_TRUE(nv12) << nv12.error().message;
  EXPECT_EQ(nv12->tensors[1].strides[0], 16);
  EXPECT_EQ(nv12->tensors[1].shape, (Shape{2, 6}));
  auto with_gaps = from_mat(wide(cv::Rect(0, 0, 6, 6)), PixelFormat::i420);
  ASSERT_FALSE(with_gaps);
  EXPECT_THAT(with_gaps.error().message, HasSubstr("gaps"));
}

TEST(OpenCV, TensorsAreMatricesOfAsManyAxes) {
  auto tensor = allocate_tensor({.type = DataType::f32, .shape = {1, 3, 4, 5}, .layout = Layout::nchw});
  ASSERT_TRUE(tensor);
  Frame frame;
  frame.tensors.push_back(*tensor);
  auto mapped = map_to(frame, {.form = {MemoryKind::opencv, {}}}, {.strict_zero_copy = true});
  ASSERT_TRUE(mapped) << mapped.error().message;
  const cv::Mat mat = opencv_mat(mapped->frame().tensors[0]);
  EXPECT_EQ(mat.dims, 4);
  EXPECT_EQ(mat.type(), CV_32FC1);
  EXPECT_EQ(mat.size[3], 5);

  auto back = tensor_from_mat(mat);
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(back->shape, (Shape{1, 3, 4, 5}));
  auto channels = tensor_from_mat(cv::Mat(2, 3, CV_16SC2));
  ASSERT_TRUE(channels);
  EXPECT_EQ(channels->shape, (Shape{2, 3, 2}));
  EXPECT_EQ(channels->strides, (Shape{12, 4, 2}));
  EXPECT_EQ(channels->type, DataType::i16);
}

TEST(OpenCV, RefusesWhatNoMatrixCanBeWithTheReason) {
  auto memory = allocate_memory(1024);
  ASSERT_TRUE(memory);
  const auto refused = [&](Tensor tensor) {
    Frame frame;
    tensor.memory = *memory;
    frame.tensors.push_back(tensor);
    auto mapped = map_to(frame, {.form = {MemoryKind::opencv, {}}});
    return mapped ? std::string("mapped") : mapped.error().message;
  };
  using T = DataType;
  EXPECT_THAT(refused({.offset = 512, .type = T::u8, .shape = {4, 8}, .strides = {-16, 1}}),
              HasSubstr("negative strides"));
  EXPECT_THAT(refused({.type = T::u8, .shape = {4, 8}, .strides = {1, 4}}), HasSubstr("axes are swapped"));
  EXPECT_THAT(refused({.type = T::u8, .shape = {4, 8}, .strides = {16, 2}}), HasSubstr("gaps"));
  EXPECT_THAT(refused({.type = T::bf16, .shape = {4, 8}, .strides = {16, 2}}),
              HasSubstr("no matrices of bfloat16"));
  EXPECT_THAT(refused({.type = T::i64, .shape = {4}, .strides = {8}}), HasSubstr("no matrices of int64"));
  EXPECT_THAT(refused({.type = T::u8, .shape = {0, 8}, .strides = {8, 1}}), HasSubstr("is no matrix"));
  EXPECT_THAT(refused({.type = T::u8, .shape = {100, 100}, .strides = {100, 1}}),
              HasSubstr("does not lie within its memory"));
  EXPECT_FALSE(from_mat(cv::Mat(), PixelFormat::bgr));
  EXPECT_FALSE(from_mat(cv::Mat(4, 4, CV_32FC3), PixelFormat::bgr));
  EXPECT_FALSE(from_mat(cv::Mat(4, 4, CV_8UC1), PixelFormat::bgr));
  EXPECT_FALSE(from_mat(cv::Mat(5, 4, CV_8UC1), PixelFormat::nv12));
  EXPECT_FALSE(tensor_from_mat(cv::Mat()));
  EXPECT_FALSE(from_umat(cv::UMat(), PixelFormat::bgr));
  EXPECT_TRUE(opencv_mat({}).empty());
  EXPECT_TRUE(opencv_umat({}).empty());
}

TEST(OpenCV, SamplesAtOddAddressesAreCopiedToEvenOnesAndBack) {
  auto memory = allocate_memory(1 + 4 * 15);
  ASSERT_TRUE(memory);
  Frame frame;
  frame.video = VideoInfo{.format = PixelFormat::gray16, .width = 7, .height = 4};
  frame.tensors.push_back(tensor_in(
      *memory, {.type = DataType::u8, .shape = {4, 14}, .strides = {15, 1}, .layout = Layout::hw}, 1));
  auto mapped =
      map_to(frame, {.form = {MemoryKind::opencv, PixelFormat::gray16}, .access = Access::read_write});
  ASSERT_TRUE(mapped) << mapped.error().message;
  opencv_mat(mapped->frame().tensors[0]).setTo(cv::Scalar(0x0102));
  ASSERT_TRUE(mapped->finish());
  EXPECT_EQ((*memory)->data()[1 + 3 * 15 + 13], std::byte{1});
}

TEST(OpenCV, WhatIsWrittenToAUMatIsBroughtBack) {
  const Frame frame = picture(PixelFormat::bgr, 33, 9);
  auto mapped = map_to(frame, {.form = bgr_umat, .access = Access::read_write});
  ASSERT_TRUE(mapped) << mapped.error().message;
  cv::UMat umat = opencv_umat(mapped->frame().tensors[0]);
  EXPECT_EQ(umat.type(), CV_8UC3);
  cv::add(umat, cv::Scalar(1, 2, 3), umat);
  ASSERT_TRUE(mapped->finish());
  mapped = std::unexpected(Error{});
  auto bytes = map(frame.tensors[0], Access::read);
  for (int y = 0; y < 9; ++y)
    for (int x = 0; x < 33 * 3; ++x) ASSERT_EQ(bytes->row<uint8_t>(y)[x], 8 + x % 3) << x << ',' << y;
}

TEST(OpenCV, AUMatMayBeUsedByAnotherThread) {
  const Frame frame = picture(PixelFormat::bgr, 33, 9);
  auto mapped = map_to(frame, {.form = bgr_umat, .access = Access::read_write});
  ASSERT_TRUE(mapped) << mapped.error().message;
  std::jthread([&] {
    cv::UMat umat = opencv_umat(mapped->frame().tensors[0]);
    cv::add(umat, cv::Scalar::all(1), umat);
  }).join();
  ASSERT_TRUE(mapped->finish());
  EXPECT_EQ(map(frame.tensors[0], Access::read)->row<uint8_t>(8)[98], 8);
}

TEST(OpenCV, AnOpenCLBufferAndAUMatAreTheSameBytes) {
  if (auto opened = default_context(MemoryKind::opencl); !opened) GTEST_SKIP() << opened.error().message;
  const Frame whole = picture(PixelFormat::bgr, 40, 20);
  auto part = view_of(whole, {.x = 3, .y = 2, .w = 33, .h = 9});
  ASSERT_TRUE(part);
  {
    auto on_device =
        map_to(*part, {.form = {MemoryKind::opencl, PixelFormat::bgr}, .access = Access::read_write});
    ASSERT_TRUE(on_device) << on_device.error().message;
    auto mapped = map_to(on_device->frame(), {.form = bgr_umat, .access = Access::read_write},
                         {.strict_zero_copy = true});
    ASSERT_TRUE(mapped) << mapped.error().message;
    cv::UMat umat = opencv_umat(mapped->frame().tensors[0]);
    EXPECT_EQ(umat.handle(cv::ACCESS_READ), opencl_buffer(on_device->frame().tensors[0]));
    cv::add(umat, cv::Scalar(1, 2, 3), umat);
    auto back =
        map_to(mapped->frame(), {.form = {MemoryKind::opencl, PixelFormat::bgr}}, {.strict_zero_copy = true});
    ASSERT_TRUE(back) << back.error().message;
    EXPECT_EQ(opencl_buffer(back->frame().tensors[0]), opencl_buffer(on_device->frame().tensors[0]));
    EXPECT_EQ(map(back->frame().tensors[0], Access::read)->row<uint8_t>(8)[98], 10);
  }
  auto bytes = map(part->tensors[0], Access::read);
  for (int y = 0; y < 9; ++y)
    for (int x = 0; x < 33 * 3; ++x) ASSERT_EQ(bytes->row<uint8_t>(y)[x], 8 + x % 3) << x << ',' << y;
  EXPECT_EQ(map(whole.tensors[0], Access::read)->row<uint8_t>(1)[9], 7);
}

TEST(OpenCV, AUMatKeepsOurMemoryAlive) {
  cv::UMat umat;
  {
    const Frame frame = picture(PixelFormat::bgr, 33, 9);
    auto mapped = map_to(frame, {.form = bgr_umat});
    ASSERT_TRUE(mapped) << mapped.error().message;
    umat = opencv_umat(mapped->frame().tensors[0]);
  }
  cv::Mat mat;
  umat.copyTo(mat);
  EXPECT_EQ(mat.at<cv::Vec3b>(8, 32), cv::Vec3b(7, 7, 7));
}

}  // namespace
}  // namespace sightglass
