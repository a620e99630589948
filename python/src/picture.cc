#include "python/src/picture.h"

#include "sightglass/memory/system/system_frame.h"

namespace sightglass::python {
namespace {

[[noreturn]] void refuse(const std::string& reason) {
  throw nb::value_error(("Frame.from_numpy: " + reason).c_str());
}

bool has_16_bits(PixelFormat format) { return format == PixelFormat::p010 || format == PixelFormat::gray16; }
bool is_planar_rgb(PixelFormat format) { return format == PixelFormat::rgbp || format == PixelFormat::bgrp; }
size_t sample_bytes(PixelFormat format) { return has_16_bits(format) ? 2 : 1; }
int channels(PixelFormat format, size_t plane) {
  return int(plane_layout(format, plane).pixel_bytes / sample_bytes(format));
}

PixelFormat parse(const std::string& name) {
  if (const auto format = pixel_format(name)) return *format;
  std::string known;
  for (PixelFormat one : all_pixel_formats())
    known += (known.empty() ? "" : ", ") + std::string(to_string(one));
  refuse("'" + name + "' is no pixel format; one of: " + known);
}

// What a plane has to look like, and the tensor that it is kept as: rows of bytes.
Tensor plane_of(Tensor array, const VideoInfo& video, size_t plane) {
  const bool wide = has_16_bits(video.format);
  if (array.type != (wide ? DataType::u16 : DataType::u8))
    throw nb::type_error(std::format("Frame.from_numpy: {} needs {} elements, not {}",
                                     to_string(video.format), wide ? "uint16" : "uint8",
                                     to_string(array.type))
                             .c_str());
  const int64_t width = plane_width(video, plane), height = plane_height(video, plane);
  const int64_t count = channels(video.format, plane), bytes = int64_t(sample_bytes(video.format));
  const bool flat = array.shape.rank() == 2 && array.shape[0] == height && array.shape[1] == width * count;
  const bool deep = array.shape.rank() == 3 && array.shape[0] == height && array.shape[1] == width &&
                    array.shape[2] == count;
  if (!flat && !deep)
    refuse(std::format("plane {} of {} {}x{} is an array of {}x{}x{}, not {}", plane, to_string(video.format),
                       video.width, video.height, height, width, count, array.shape.to_string()));
  const size_t axes = array.shape.rank();
  const bool contiguous =
      array.strides[axes - 1] == bytes && (flat || width == 1 || array.strides[1] == count * bytes);
  const bool inner_is_one = array.shape[axes - 1] == 1;
  if (!contiguous && !(inner_is_one && (flat || array.strides[1] == count * bytes)))
    refuse(
        "the pixels of a row are not next to each other; numpy.ascontiguousarray() makes a copy where they "
        "are");
  const int64_t row = width * count * bytes;
  const int64_t stride = height > 1 ? array.strides[0] : row;
  if (stride < row) refuse("rows overlap");
  array.type = DataType::u8;
  array.layout = Layout::hw;
  array.shape = {height, row};
  array.strides = {stride, 1};
  return array;
}

// The rows [from, from + count) of an array of two axes.
Tensor rows(const Tensor& array, int64_t from, int64_t count, int64_t width) {
  Tensor part = array;
  part.offset += size_t(from * array.strides[0]);
  part.shape[0] = count;
  part.shape[1] = width;
  return part;
}

// All planes of a 4:2:0 picture in one array of rows, as OpenCV has them: its chroma planes of half a row
// follow one another without gaps, so that the rows themselves may have none there.
std::vector<Tensor> planes_in(const Tensor& array, VideoInfo& video) {
  if (array.shape.rank() != 2) refuse(std::format("{} in one array has two axes", to_string(video.format)));
  const int64_t width = array.shape[1], all = array.shape[0];
  video.width = video.width ? video.width : int(width);
  video.height = video.height ? video.height : int(all * 2 / 3);
  const bool halves = plane_count(video.format) == 3;
  if (is_planar_rgb(video.format) || video.format == PixelFormat::y42b || video.format == PixelFormat::y444)
    refuse(std::format("{} is given as a list of its planes", to_string(video.format)));
  if (width != video.width || all != video.height + video.height / 2 || video.width % 2 || video.height % 2)
    refuse(std::format("{} {}x{} in one array is {} rows of {}, both even, not {}", to_string(video.format),
                       video.width, video.height, video.height + video.height / 2, video.width,
                       array.shape.to_string()));
  if (!halves)
    return {rows(array, 0, video.height, width), rows(array, video.height, video.height / 2, width)};
  if (!array.dense()) refuse("the rows have gaps; give the planes as a list");
  std::vector<Tensor> planes = {rows(array, 0, video.height, width)};
  for (int plane = 0; plane < 2; ++plane) {
    Tensor chroma = array;
    chroma.offset += size_t(width * video.height + plane * (width / 2) * (video.height / 2));
    chroma.shape = {video.height / 2, width / 2};
    chroma.strides = {width / 2, 1};
    planes.push_back(chroma);
  }
  return planes;
}

std::vector<Tensor> planes_along_first_axis(const Tensor& array, VideoInfo& video) {
  if (array.shape.rank() != 3 || array.shape[0] != 3)
    refuse(std::format("{} is an array of 3 x height x width", to_string(video.format)));
  std::vector<Tensor> planes;
  for (int64_t plane = 0; plane < 3; ++plane) {
    Tensor one = array;
    one.offset += size_t(plane * array.strides[0]);
    one.shape = {array.shape[1], array.shape[2]};
    one.strides = {array.strides[1], array.strides[2]};
    planes.push_back(one);
  }
  return planes;
}

struct ArrayShape {
  DataType type;
  Shape shape, strides;
};

// How a plane is shown.
ArrayShape shape_of(const VideoInfo& video, const Tensor& tensor, size_t plane) {
  const auto bytes = int64_t(sample_bytes(video.format));
  const int64_t width = plane_width(video, plane), height = plane_height(video, plane);
  const int64_t count = channels(video.format, plane);
  ArrayShape shown{
      bytes == 2 ? DataType::u16 : DataType::u8, {height, width}, {tensor.strides[0], count * bytes}};
  if (count > 1) shown.shape.push_back(count), shown.strides.push_back(bytes);
  return shown;
}

nb::object plane_array(const Frame& frame, size_t plane, bool writable) {
  const auto shown = shape_of(*frame.video, frame.tensors[plane], plane);
  return numpy_view(frame.tensors[plane], shown.type, shown.shape, shown.strides, writable);
}

void expect_planes(const Frame& frame) {
  if (!frame.video) throw nb::value_error("the frame holds plain tensors, no picture; see frame.tensors");
  bool fits = frame.tensors.size() == plane_count(frame.video->format);
  for (size_t plane = 0; fits && plane < frame.tensors.size(); ++plane) {
    const Tensor& tensor = frame.tensors[plane];
    fits = tensor.shape.rank() == 2 && tensor.strides[1] == 1 &&
           tensor.shape[0] == plane_height(*frame.video, plane) &&
           tensor.shape[1] ==
               plane_width(*frame.video, plane) * plane_layout(frame.video->format, plane).pixel_bytes;
  }
  if (!fits)
    throw nb::value_error(
        "the memory of this frame is the handle of a framework; map it to 'system' to see its pixels");
}

}  // namespace

Frame picture_of_array(nb::handle array, const std::string& format, std::optional<int> width,
                       std::optional<int> height) {
  VideoInfo video{.format = parse(format), .width = width.value_or(0), .height = height.value_or(0)};
  if ((width && *width <= 0) || (height && *height <= 0)) refuse("the size of a picture is positive");
  std::vector<Tensor> planes;
  if (nb::isinstance<nb::list>(array) || nb::isinstance<nb::tuple>(array)) {
    for (nb::handle plane : nb::borrow<nb::iterable>(array))
      planes.push_back(tensor_of_array(plane, "Frame.from_numpy"));
  } else {
    const Tensor whole = tensor_of_array(array, "Frame.from_numpy");
    if (is_planar_rgb(video.format))
      planes = planes_along_first_axis(whole, video);
    else if (plane_count(video.format) > 1)
      planes = planes_in(whole, video);
    else
      planes = {whole};
  }
  if (planes.size() != plane_count(video.format))
    refuse(std::format("{} has {} planes, not {}", format, plane_count(video.format), planes.size()));
  if (planes[0].shape.rank() < 2) refuse("a picture has at least two axes");
  // The first plane has the size of the picture, in all formats.
  const bool flat = planes[0].shape.rank() == 2;
  if (!video.width) video.width = int(planes[0].shape[1] / (flat ? channels(video.format, 0) : 1));
  if (!video.height) video.height = int(planes[0].shape[0]);
  Frame frame;
  frame.video = video;
  for (size_t plane = 0; plane < planes.size(); ++plane)
    frame.tensors.push_back(plane_of(planes[plane], video, plane));
  return frame;
}

nb::tuple planes_of(const Frame& frame, bool writable) {
  expect_planes(frame);
  nb::list planes;
  for (size_t plane = 0; plane < frame.tensors.size(); ++plane)
    planes.append(plane_array(frame, plane, writable));
  return nb::tuple(planes);
}

nb::object picture_array(const Frame& frame, bool writable) {
  if (!frame.video) {
    if (frame.tensors.size() != 1)
      throw nb::value_error(
          std::format("the frame holds {} tensors; see frame.tensors", frame.tensors.size()).c_str());
    return numpy_view(frame.tensors[0], writable);
  }
  expect_planes(frame);
  if (frame.tensors.size() == 1) return plane_array(frame, 0, writable);
  const Tensor &first = frame.tensors[0], &second = frame.tensors[1], &last = frame.tensors.back();
  const bool stacked = is_planar_rgb(frame.video->format) && first.memory == second.memory &&
                       second.memory == last.memory && first.strides == second.strides &&
                       second.strides == last.strides && second.offset > first.offset &&
                       second.offset - first.offset == last.offset - second.offset;
  if (!stacked)
    throw nb::value_error(std::format("{} has {} planes that no one array can show; see frame.planes, or "
                                      "frame.map(format='BGR')",
                                      to_string(frame.video->format), frame.tensors.size())
                              .c_str());
  return numpy_view(first, DataType::u8, {3, first.shape[0], first.shape[1]},
                    {int64_t(second.offset - first.offset), first.strides[0], 1}, writable);
}

nb::object rgb_array(const Frame& frame) {
  expect_planes(frame);
  const auto reversed = [](nb::object array) {
    return nb::object(array[nb::make_tuple(nb::ellipsis(), nb::slice(nb::none(), nb::none(), nb::int_(-1)))]);
  };
  const auto first_three = [](nb::object array) {
    return nb::object(array[nb::make_tuple(nb::ellipsis(), nb::slice(nb::none(), nb::int_(3), nb::none()))]);
  };
  switch (frame.video->format) {
    case PixelFormat::rgb:
      return picture_array(frame, false);
    case PixelFormat::bgr:
      return reversed(picture_array(frame, false));
    case PixelFormat::rgbx:
    case PixelFormat::rgba:
      return first_three(picture_array(frame, false));
    case PixelFormat::bgrx:
    case PixelFormat::bgra:
      return reversed(first_three(picture_array(frame, false)));
    case PixelFormat::rgbp:
      return picture_array(frame, false).attr("transpose")(1, 2, 0);
    case PixelFormat::bgrp:
      return reversed(picture_array(frame, false).attr("transpose")(1, 2, 0));
    default:
      throw nb::value_error(
          std::format("{} is not made of red, green and blue; frame.map(format='RGB') converts it",
                      to_string(frame.video->format))
              .c_str());
  }
}

}  // namespace sightglass::python
