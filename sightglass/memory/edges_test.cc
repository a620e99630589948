// Every edge of every mapper that is registered here, there and back: in odd sizes, with padded rows, at
// offsets, and of a part of a picture. One test per edge, so that what this machine cannot do shows as
// skipped.
#include <gmock/gmock.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <ostream>
#include <string>
#include <vector>

#include "sightglass/memory/map_to.h"
#include "sightglass/memory/mapping.h"
#include "sightglass/memory/module.h"
#include "sightglass/memory/system/system_frame.h"
#include "sightglass/memory/system/system_memory.h"
#include "sightglass/memory/view.h"

namespace sightglass {
namespace {

struct EdgeCase {
  const Mapper* mapper;
  Form from;
  Edge edge;
};
void PrintTo(const EdgeCase& edge, std::ostream* out) {
  *out << to_string(edge.from) << " → " << to_string(edge.edge.to) << " (" << edge.mapper->name() << ')';
}

std::vector<EdgeCase> all_edges() {
  for (std::string_view name : known_modules())
    if (module_is_installed(name)) (void)load_module(name);
  std::vector<std::optional<PixelFormat>> contents{std::nullopt};
  for (PixelFormat format : all_pixel_formats()) contents.push_back(format);
  std::vector<EdgeCase> cases;
  for (const Mapper* mapper : all_mappers())
    for (size_t kind = 0; kind < memory_kinds; ++kind)
      for (const auto& pixels : contents) {
        const Form from{MemoryKind(kind), pixels};
        std::vector<Edge> edges;
        mapper->edges(from, edges);
        for (const Edge& edge : edges) cases.push_back({mapper, from, edge});
      }
  return cases;
}

std::string name_of(const testing::TestParamInfo<EdgeCase>& info) {
  std::string name =
      std::format("{}_{}_to_{}", info.index, to_string(info.param.from), to_string(info.param.edge.to));
  std::ranges::replace_if(name, [](unsigned char c) { return !std::isalnum(c); }, '_');
  return name;
}

// How a picture lies in the memory that it starts in.
struct Geometry {
  const char* what;
  int width, height;
  size_t padding = 0, offset = 0;  // samples behind each row, in front of the first
  Crop part{};                     // empty: all of it
};
constexpr Geometry geometries[] = {
    {"even", 64, 48},
    {"odd, padded, at an offset", 35, 21, 5, 3},
    {"a single pixel", 1, 1},
    {"part", 70, 50, 2, 0, {.x = 4, .y = 6, .w = 33, .h = 19}},
};

constexpr uint8_t beside = 0xee;  // what is not part of the picture
constexpr unsigned seed_before = 1, seed_after = 101;

// Converters blur colours, so that they get a grey ramp without an edge.
uint8_t grey(int64_t x, int64_t y) { return uint8_t(60 + 2 * y + x); }

using Visit = std::function<void(std::byte* row, size_t bytes, size_t tensor, int64_t number)>;

void visit_rows(std::byte* start, const Mapping& mapped, size_t axis, size_t tensor, int64_t& number,
                const Visit& visit) {
  const Shape& shape = mapped.shape();
  if (shape.rank() == 0 || axis + 1 == shape.rank()) {
    visit(start, size_t(shape.rank() ? shape[axis] : 1) * size_of(mapped.type()), tensor, number++);
    return;
  }
  for (int64_t i = 0; i < shape[axis]; ++i)
    visit_rows(start + i * mapped.strides()[axis], mapped, axis + 1, tensor, number, visit);
}

void for_each_row(const Frame& frame, Access access, const Visit& visit) {
  for (size_t i = 0; i < frame.tensors.size(); ++i) {
    auto mapped = map(frame.tensors[i], access);
    ASSERT_TRUE(mapped) << mapped.error().message;
    int64_t number = 0;
    visit_rows(mapped->data(), *mapped, 0, i, number, visit);
  }
}

uint8_t byte_at(unsigned seed, size_t tensor, int64_t row, size_t column) {
  return uint8_t(seed + 83 * tensor + 29 * size_t(row) + 3 * column);
}

void fill(const Frame& frame, unsigned seed) {
  for_each_row(frame, Access::write, [&](std::byte* row, size_t bytes, size_t tensor, int64_t number) {
    for (size_t i = 0; i < bytes; ++i) row[i] = std::byte(byte_at(seed, tensor, number, i));
  });
}

void fill_grey(const Frame& frame) {
  const PixelFormat format = frame.video->format;
  for_each_row(frame, Access::write, [&](std::byte* row, size_t bytes, size_t plane, int64_t y) {
    const PlaneLayout layout = plane_layout(format, plane);
    const bool is_wide = format == PixelFormat::p010 || format == PixelFormat::gray16;
    for (size_t i = 0; i < bytes; ++i) {
      if (is_wide && i % 2 == 0) {
        row[i] = std::byte{0};
        continue;
      }
      const bool is_chroma = is_yuv(format) && plane > 0;
      row[i] = std::byte(is_chroma ? 128 : grey(int64_t(i / layout.pixel_bytes), y));
    }
  });
}

std::string difference(const Frame& frame, unsigned seed) {
  std::string text;
  for_each_row(frame, Access::read, [&](std::byte* row, size_t bytes, size_t tensor, int64_t number) {
    for (size_t i = 0; i < bytes && text.empty(); ++i)
      if (const unsigned wanted = byte_at(seed, tensor, number, i); unsigned(row[i]) != wanted)
        text = std::format("tensor {} row {} byte {} is {} and not {}", tensor, number, i, unsigned(row[i]),
                           wanted);
  });
  return text;
}

// Mean difference of the first plane to the grey ramp; the padding bytes of RGBx do not count.
double mean_difference_to_grey(const Frame& frame) {
  double sum = 0;
  size_t count = 0;
  const PixelFormat format = frame.video->format;
  const PlaneLayout layout = plane_layout(format, 0);
  const bool is_wide = format == PixelFormat::p010 || format == PixelFormat::gray16;
  for_each_row(frame, Access::read, [&](std::byte* row, size_t bytes, size_t plane, int64_t y) {
    if (plane > 0) return;
    for (size_t i = is_wide ? 1 : 0; i < bytes; i += is_wide ? 2 : 1) {
      if (layout.pixel_bytes == 4 && i % 4 == 3) continue;
      sum += std::abs(int(row[i]) - int(grey(int64_t(i / layout.pixel_bytes), y)));
      ++count;
    }
  });
  return count ? sum / double(count) : 0;
}

// The picture, and the whole of which it may be a part.
struct Picture {
  Ref<SystemMemory> memory;
  Frame frame;
};

Picture make_picture(PixelFormat format, const Geometry& geometry) {
  const VideoInfo video{.format = format, .width = geometry.width, .height = geometry.height};
  const size_t sample = format == PixelFormat::p010 || format == PixelFormat::gray16 ? 2 : 1;
  FrameLayout layout;
  layout.bytes = geometry.offset * sample;
  for (size_t plane = 0; plane < plane_count(format); ++plane) {
    const size_t row = size_t(plane_width(video, plane)) * plane_layout(format, plane).pixel_bytes;
    layout.offset[plane] = layout.bytes;
    layout.stride[plane] = row + geometry.padding * sample;
    layout.bytes += layout.stride[plane] * size_t(plane_height(video, plane));
  }
  Picture picture{*allocate_memory(layout.bytes), {}};
  std::memset(picture.memory->data(), beside, layout.bytes);
  picture.frame = frame_in(picture.memory, video, layout);
  if (geometry.part.w > 0) picture.frame = *view_of(picture.frame, geometry.part);
  return picture;
}

// How many bytes that are no part of the frame are not as they were.
size_t changed_beside(const Picture& picture) {
  std::vector<bool> inside(picture.memory->size());
  for_each_row(picture.frame, Access::read, [&](std::byte* row, size_t bytes, size_t, int64_t) {
    std::fill_n(inside.begin() + (row - picture.memory->data()), bytes, true);
  });
  size_t changed = 0;
  for (size_t i = 0; i < inside.size(); ++i)
    changed += !inside[i] && picture.memory->data()[i] != std::byte{beside};
  return changed;
}

class Edges : public testing::TestWithParam<EdgeCase> {
 protected:
  void SetUp() override {
    const EdgeCase& edge = GetParam();
    if (auto status = edge.mapper->available(); !status) GTEST_SKIP() << status.error().message;
    if (auto way = plan_map({MemoryKind::system, edge.from.pixels}, edge.from); !way)
      GTEST_SKIP() << "nothing to start with: " << way.error().message;
    if (auto way = plan_map(edge.edge.to, {MemoryKind::system, edge.edge.to.pixels}); !way)
      GTEST_SKIP() << "nothing to look at it with: " << way.error().message;
  }
  bool converts() const { return GetParam().from.pixels != GetParam().edge.to.pixels; }
  bool shares() const { return GetParam().edge.cost_per_byte == 0; }

  static Form in_system(const Form& form) { return {MemoryKind::system, form.pixels}; }

  static bool fits(const Frame& frame, size_t alignment) {
    return alignment <= 1 || std::ranges::all_of(frame.tensors, [&](const Tensor& tensor) {
             auto mapped = map(tensor, Access::read);
             return mapped && reinterpret_cast<uintptr_t>(mapped->data()) % alignment == 0 &&
                    (tensor.shape.rank() < 2 || size_t(tensor.strides[0]) % alignment == 0);
           });
  }

  // Over the edge and back. A refusal is an answer where no exact one is possible.
  void check(const Frame& start, bool may_refuse, bool& taken) {
    const EdgeCase& edge = GetParam();
    auto brought = map_to(start, {.form = edge.from, .access = Access::read_write});
    if (!brought && may_refuse) {
      EXPECT_EQ(brought.error().code, ErrorCode::unsupported) << brought.error().message;
      return;
    }
    ASSERT_TRUE(brought) << brought.error().message;
    const Frame& frame = brought->frame();
    if (!fits(frame, edge.edge.alignment)) return;
    check_reading(frame, may_refuse, taken);
    if (!taken || HasFatalFailure()) return;
    if (!converts()) check_writing(frame);
    if (HasFatalFailure()) return;
    ASSERT_TRUE(brought->finish());
    brought = std::unexpected(Error{});
    if (!converts()) {
      EXPECT_EQ(difference(start, seed_after), "") << "after the way back";
    }
  }

  void check_reading(const Frame& frame, bool may_refuse, bool& taken) {
    const EdgeCase& edge = GetParam();
    Frame mapped;
    auto status = edge.mapper->map(frame, {.form = edge.edge.to, .access = Access::read}, mapped);
    if (!status && may_refuse) {
      EXPECT_EQ(status.error().code, ErrorCode::unsupported) << status.error().message;
      return;
    }
    ASSERT_TRUE(status) << status.error().message;
    taken = true;
    EXPECT_EQ(to_string(form_of(mapped)), to_string(edge.edge.to));
    if (edge.edge.to.pixels) {
      ASSERT_TRUE(mapped.video);
      EXPECT_EQ(mapped.video->width, frame.video->width);
      EXPECT_EQ(mapped.video->height, frame.video->height);
    }
    if (shares() && !converts()) check_same_bytes(frame, mapped);
    auto seen = map_to(mapped, {.form = in_system(edge.edge.to)});
    ASSERT_TRUE(seen) << seen.error().message;
    if (converts())
      EXPECT_LE(mean_difference_to_grey(seen->frame()), 24);  // between full and limited range
    else
      EXPECT_EQ(difference(seen->frame(), seed_before), "");
  }

  // Where the CPU sees both, they lie at one address; but for a file that each side maps for itself.
  static void check_same_bytes(const Frame& frame, const Frame& mapped) {
    ASSERT_EQ(frame.tensors.size(), mapped.tensors.size());
    if (form_of(frame).memory == MemoryKind::dmabuf) return;
    for (size_t i = 0; i < frame.tensors.size(); ++i) {
      // OpenCV finds a plane in a device's memory by whole rows and pixels, and copies what starts in
      // between.
      const bool is_umat = mapped.tensors[i].memory->kind() == MemoryKind::opencv_umat;
      const Tensor& plane = frame.tensors[i];
      if (is_umat &&
          plane.offset % size_t(plane.strides[0]) % plane_layout(frame.video->format, i).pixel_bytes)
        continue;
      auto before = map(frame.tensors[i], Access::read);
      if (!before) continue;
      auto after = map(mapped.tensors[i], Access::read);
      if (!after) continue;
      EXPECT_EQ(before->data(), after->data()) << "tensor " << i;
    }
  }

  void check_writing(const Frame& frame) {
    const EdgeCase& edge = GetParam();
    Frame mapped;
    auto status = edge.mapper->map(frame, {.form = edge.edge.to, .access = Access::read_write}, mapped);
    ASSERT_TRUE(status) << status.error().message;
    {
      auto seen = map_to(mapped, {.form = in_system(edge.edge.to), .access = Access::read_write});
      ASSERT_TRUE(seen) << seen.error().message;
      EXPECT_EQ(difference(seen->frame(), seed_before), "") << "before it is written";
      fill(seen->frame(), seed_after);
      ASSERT_TRUE(seen->finish());
    }
    status = shares() ? edge.mapper->publish(mapped, frame) : edge.mapper->write_back(mapped, frame);
    ASSERT_TRUE(status) << status.error().message;
    mapped = {};
    auto seen = map_to(frame, {.form = in_system(edge.from)});
    ASSERT_TRUE(seen) << seen.error().message;
    EXPECT_EQ(difference(seen->frame(), seed_after), "");
  }

  void check_pictures();
  void check_tensors();
};

void Edges::check_pictures() {
  bool taken = false;
  for (const Geometry& geometry : geometries) {
    SCOPED_TRACE(geometry.what);
    const Picture picture = make_picture(*GetParam().from.pixels, geometry);
    if (converts())
      fill_grey(picture.frame);
    else
      fill(picture.frame, seed_before);
    check(picture.frame, false, taken);
    if (HasFatalFailure()) return;
    EXPECT_EQ(changed_beside(picture), 0u);
  }
  EXPECT_TRUE(taken) << "nothing had the alignment that the edge asks for";
}

void Edges::check_tensors() {
  const TensorInfo infos[] = {
      {.type = DataType::f32, .shape = {2, 3, 5, 7}, .layout = Layout::nchw},
      {.type = DataType::u8, .shape = {13, 17}},
      {.type = DataType::u8, .shape = {13, 17}, .strides = {32, 1}},
      {.type = DataType::i64, .shape = {9}},
      {.type = DataType::f32, .shape = {3, 4, 5}, .strides = {160, 32, 4}},
  };
  bool taken = false;
  for (const TensorInfo& info : infos) {
    SCOPED_TRACE(std::format("{} {} strides {}", to_string(info.type), info.shape.to_string(),
                             info.strides.to_string()));
    Frame frame;
    frame.tensors.push_back(*allocate_tensor(info));
    fill(frame, seed_before);
    bool this_taken = false;
    check(frame, true, this_taken);
    if (HasFatalFailure()) return;
    taken |= this_taken;
  }
  EXPECT_TRUE(taken) << "no tensor is taken at all";
}

TEST_P(Edges, KeepsTheContent) { GetParam().from.pixels ? check_pictures() : check_tensors(); }

TEST_P(Edges, TheLedgerSaysWhatIsCopied) {
  const EdgeCase& edge = GetParam();
  auto way = plan_map(edge.from, edge.edge.to);
  ASSERT_TRUE(way) << way.error().message;
  if ((*way)->steps.size() != 1 || (*way)->steps[0].mapper != edge.mapper) {
    EXPECT_TRUE(!shares() || !(*way)->copies()) << "copies in spite of this edge: " << (*way)->to_string();
    return;
  }
  Frame start;
  if (edge.from.pixels)
    start = make_picture(*edge.from.pixels, geometries[0]).frame;
  else
    start.tensors.push_back(*allocate_tensor({.type = DataType::f32, .shape = {16, 16}}));
  auto brought = map_to(start, {.form = edge.from});
  ASSERT_TRUE(brought) << brought.error().message;
  CopyLedger ledger;
  auto mapped = map_to(brought->frame(), {.form = edge.edge.to}, {.hop = &ledger.hop("edge")});
  ASSERT_TRUE(mapped) << mapped.error().message;
  const CopyLedger::Entry total = ledger.total();
  if (shares() && fits(brought->frame(), edge.edge.alignment)) {
    EXPECT_EQ(total.bytes_copied, 0u);
    EXPECT_EQ(total.bytes_shared, content_bytes(brought->frame()));
    EXPECT_TRUE(map_to(brought->frame(), {.form = edge.edge.to}, {.strict_zero_copy = true}));
  } else if (!shares()) {
    EXPECT_EQ(total.bytes_copied, content_bytes(mapped->frame()));
    auto strict = map_to(brought->frame(), {.form = edge.edge.to}, {.strict_zero_copy = true});
    ASSERT_FALSE(strict);
    EXPECT_EQ(strict.error().code, ErrorCode::not_negotiated);
  }
}

TEST_P(Edges, TheMappedMemoryOutlivesItsSource) {
  const EdgeCase& edge = GetParam();
  Frame start;
  if (edge.from.pixels)
    start = make_picture(*edge.from.pixels, geometries[0]).frame;
  else
    start.tensors.push_back(*allocate_tensor({.type = DataType::f32, .shape = {16, 16}}));
  if (converts())
    fill_grey(start);
  else
    fill(start, seed_before);
  auto brought = map_to(start, {.form = edge.from});
  ASSERT_TRUE(brought) << brought.error().message;
  if (!fits(brought->frame(), edge.edge.alignment)) GTEST_SKIP() << "not aligned";
  Frame mapped;
  auto status = edge.mapper->map(brought->frame(), {.form = edge.edge.to, .access = Access::read}, mapped);
  ASSERT_TRUE(status) << status.error().message;
  start = {};
  brought = std::unexpected(Error{});
  auto seen = map_to(mapped, {.form = in_system(edge.edge.to)});
  ASSERT_TRUE(seen) << seen.error().message;
  mapped = {};
  const Frame kept = seen->frame();
  seen = std::unexpected(Error{});
  if (!converts()) {
    EXPECT_EQ(difference(kept, seed_before), "");
  }
}

INSTANTIATE_TEST_SUITE_P(All, Edges, testing::ValuesIn(all_edges()), name_of);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Edges);

// Every kind of memory but those that need a device or library has a way from and to that of the CPU.
TEST(EdgeTable, LeadsFromSystemMemoryToEveryKindThatIsThere) {
  for (size_t kind = 0; kind < memory_kinds; ++kind) {
    const Form form{MemoryKind(kind), PixelFormat::nv12};
    auto there = plan_map({MemoryKind::system, PixelFormat::nv12}, form);
    auto back = plan_map(form, {MemoryKind::system, PixelFormat::nv12});
    if (there) {
      EXPECT_TRUE(back) << to_string(form.memory) << ": " << back.error().message;
    } else {
      EXPECT_FALSE(there.error().message.empty());
    }
  }
}

}  // namespace
}  // namespace sightglass
