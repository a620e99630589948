#include "sightglass/memory/map_to.h"

#include <gmock/gmock.h>

#include <thread>

#include "sightglass/memory/map_planner.h"
#include "sightglass/memory/mapping.h"
#include "sightglass/memory/system/system_frame.h"
#include "sightglass/memory/system/wrapped_memory.h"

namespace sightglass {
namespace {

using testing::HasSubstr;
using testing::SizeIs;

// An edge for the planner that is never walked.
class Way final : public Mapper {
 public:
  Way(std::string_view from, std::string_view to, double cost, Status usable = {})
      : from_(parse_form(from).value()), edge_{parse_form(to).value(), cost, 1}, usable_(std::move(usable)) {
    name_ = std::string(from) + " to " + std::string(to);
  }
  std::string_view name() const override { return name_; }
  Status available() const override { return usable_; }
  void edges(const Form& from, std::vector<Edge>& out) const override {
    if (from == from_) out.push_back(edge_);
  }
  Status map(const Frame&, const MapTarget&, Frame&) const override {
    return fail(ErrorCode::internal, "never walked");
  }

 private:
  Form from_;
  Edge edge_;
  Status usable_;
  std::string name_;
};

Form form(std::string_view text) { return parse_form(text).value(); }

TEST(FindWay, PrefersTheDetourThatSharesToTheStraightCopy) {
  const Way straight("cuda:NV12", "opencl:NV12", 1), there("cuda:NV12", "dmabuf:NV12", 0),
      back("dmabuf:NV12", "opencl:NV12", 0);
  const auto plan = find_way({&straight, &there, &back}, form("cuda:NV12"), form("opencl:NV12"));
  ASSERT_TRUE(plan);
  EXPECT_THAT(plan->steps, SizeIs(2));
  EXPECT_FALSE(plan->copies());
}

TEST(FindWay, CopiesInTheFormatThatHasFewerBytes) {
  const Way convert_first("cuda:NV12", "cuda:BGR", 2), upload_bgr("cuda:BGR", "system:BGR", 4),
      download("cuda:NV12", "system:NV12", 4), convert("system:NV12", "system:BGR", 2);
  const auto plan =
      find_way({&convert_first, &upload_bgr, &download, &convert}, form("cuda:NV12"), form("system:BGR"));
  ASSERT_TRUE(plan);
  ASSERT_THAT(plan->steps, SizeIs(2));
  EXPECT_EQ(plan->steps[0].mapper, &download);
}

TEST(FindWay, ConvertsOnceWhereThatCanBe) {
  const Way a("system:RGBx", "system:NV21", 1), b("system:NV21", "system:GRAY8", 1),
      direct("system:RGBx", "system:GRAY8", 9);
  const auto plan = find_way({&a, &b, &direct}, form("system:RGBx"), form("system:GRAY8"));
  ASSERT_TRUE(plan);
  EXPECT_THAT(plan->steps, SizeIs(1));
}

TEST(FindWay, TakesTheFewestStepsOfThoseThatShare) {
  const Way a("gst:RGB", "system:RGB", 0), b("system:RGB", "opencv:RGB", 0),
      direct("gst:RGB", "opencv:RGB", 0);
  const auto plan = find_way({&a, &b, &direct}, form("gst:RGB"), form("opencv:RGB"));
  ASSERT_TRUE(plan);
  EXPECT_THAT(plan->steps, SizeIs(1));
}

TEST(FindWay, GoesRoundWhatThisMachineLacks) {
  const Way fast("cuda:NV12", "opencl:NV12", 0, fail(ErrorCode::unavailable, "no driver")),
      slow("cuda:NV12", "opencl:NV12", 1);
  const auto plan = find_way({&fast, &slow}, form("cuda:NV12"), form("opencl:NV12"));
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->steps[0].mapper, &slow);
}

TEST(FindWay, SaysWhatIsNotUsableWhereThatIsTheOnlyWay) {
  const Way only("cuda:NV12", "system:NV12", 1,
                 fail(ErrorCode::unavailable, "no CUDA driver (libcuda.so.1)"));
  const auto plan = find_way({&only}, form("cuda:NV12"), form("system:NV12"));
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().code, ErrorCode::unavailable);
  EXPECT_THAT(plan.error().message, HasSubstr("no CUDA driver (libcuda.so.1)"));
}

TEST(FindWay, NamesTheStepThatIsMissing) {
  const Way download("cuda:NV12", "system:NV12", 1), share("system:BGR", "opencv:BGR", 0);
  const auto plan = find_way({&download, &share}, form("cuda:NV12"), form("opencv:BGR"));
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().code, ErrorCode::not_negotiated);
  EXPECT_THAT(plan.error().message, HasSubstr("system:NV12 to system:BGR"));
}

TEST(FindWay, HasNothingToDoBetweenEqualForms) {
  EXPECT_THAT(find_way({}, form("va:NV12"), form("va:NV12"))->steps, SizeIs(0));
}

// Memory of a kind that only this test has edges for.
class Stand : public Memory {
 public:
  Stand(MemoryKind kind, Tensor on) : Memory(kind, on.memory->size()), on_(std::move(on)) {}
  Result<std::byte*> map(Access access) override { return on_.memory->map(access); }
  void unmap(Access access) override { on_.memory->unmap(access); }
  const Tensor& on() const { return on_; }

 private:
  Tensor on_;
};

// system:GRAY16 ↔ va:GRAY16, sharing; where it needs an alignment the address must have it.
class SharingPair final : public Mapper {
 public:
  std::string_view name() const override { return "test share"; }
  void edges(const Form& from, std::vector<Edge>& out) const override {
    if (from.pixels != PixelFormat::gray16) return;
    if (from.memory == MemoryKind::system) out.push_back({form("va:GRAY16"), 0, 64});
    if (from.memory == MemoryKind::va) out.push_back({form("system:GRAY16"), 0, 1});
  }
  Status map(const Frame& frame, const MapTarget& target, Frame& result) const override {
    result.video = frame.video;
    Tensor tensor = frame.tensors[0];
    if (target.form.memory == MemoryKind::system)
      tensor.memory = static_cast<Stand&>(*tensor.memory).on().memory;
    else
      tensor.memory = MemoryRef(new Stand(MemoryKind::va, tensor));
    result.tensors = {tensor};
    return {};
  }
};
const MapperRegistration sharing(std::make_unique<SharingPair>());

// va:GRAY16 → va:P010, a copy of the first plane, there and back.
class CopyingPair final : public Mapper {
 public:
  std::string_view name() const override { return "test copy"; }
  void edges(const Form& from, std::vector<Edge>& out) const override {
    if (from == form("va:GRAY16")) out.push_back({form("va:P010"), 1, 1});
  }
  Status map(const Frame& frame, const MapTarget& target, Frame& result) const override {
    if (frame.video->width == 666) return fail(ErrorCode::corrupt, "not this one");
    result = allocate_frame(
                 {.format = PixelFormat::p010, .width = frame.video->width, .height = frame.video->height})
                 .value();
    for (Tensor& tensor : result.tensors) tensor.memory = MemoryRef(new Stand(MemoryKind::va, tensor));
    return target.access == Access::write ? Status() : copy_tensor(frame.tensors[0], result.tensors[0]);
  }
  Status write_back(const Frame& mapped, const Frame& frame) const override {
    return copy_tensor(mapped.tensors[0], frame.tensors[0]);
  }
};
const MapperRegistration copying(std::make_unique<CopyingPair>());

Frame gray16(int width, int height, size_t alignment = 64) {
  return allocate_frame({.format = PixelFormat::gray16, .width = width, .height = height}, alignment).value();
}

uint8_t& first_byte(const Frame& frame) {
  return *map(frame.tensors[0], Access::write).value().row<uint8_t>(0);
}

TEST(MapTo, SharesTheBytesAndSaysSoInTheLedger) {
  CopyLedger ledger;
  auto& hop = ledger.hop("test");
  const Frame frame = gray16(20, 10);
  const auto mapped = map_to(frame, {form("va:GRAY16"), Access::read, nullptr}, {.hop = &hop});
  ASSERT_TRUE(mapped) << mapped.error().message;
  EXPECT_EQ(&first_byte(frame), &first_byte(mapped->frame()));
  EXPECT_EQ(ledger.total().bytes_copied, 0u);
  EXPECT_EQ(ledger.total().bytes_shared, 20u * 10 * 2);
}

TEST(MapTo, CountsWhatItCopies) {
  CopyLedger ledger;
  const auto mapped =
      map_to(gray16(20, 10), {form("va:P010"), Access::read, nullptr}, {.hop = &ledger.hop("x")});
  ASSERT_TRUE(mapped) << mapped.error().message;
  EXPECT_EQ(ledger.total().bytes_copied, 20u * 10 * 2 + 20 * 5 * 2);
  EXPECT_EQ(ledger.total().shares, 0u);
}

TEST(MapTo, BringsBackWhatWasWritten) {
  const Frame frame = gray16(20, 10);
  first_byte(frame) = 7;
  for (const Access access : {Access::write, Access::read_write}) {
    auto mapped = map_to(frame, {form("va:P010"), access, nullptr});
    ASSERT_TRUE(mapped);
    if (access == Access::read_write) {
      EXPECT_EQ(first_byte(mapped->frame()), 8);
    }
    first_byte(mapped->frame()) = access == Access::write ? 8 : 9;
    ASSERT_TRUE(mapped->finish());
  }
  EXPECT_EQ(first_byte(frame), 9);
  {
    auto mapped = map_to(frame, {form("va:P010"), Access::write, nullptr});
    for (Tensor& tensor : const_cast<Frame&>(mapped->frame()).tensors) (void)tensor;
    first_byte(mapped->frame()) = 11;
  }
  EXPECT_EQ(first_byte(frame), 11) << "the end of the mapping brings it back as well";
}

TEST(MapTo, ReadingBringsNothingBack) {
  const Frame frame = gray16(20, 10);
  first_byte(frame) = 7;
  {
    auto mapped = map_to(frame, {form("va:P010"), Access::read, nullptr});
    first_byte(mapped->frame()) = 1;
  }
  EXPECT_EQ(first_byte(frame), 7);
}

TEST(MapTo, CopiesToAnAlignedAddressWhereAStepNeedsOneAndCountsIt) {
  CopyLedger ledger;
  const Frame frame = gray16(20, 10, 1);  // a stride of 40 bytes
  first_byte(frame) = 3;
  {
    auto mapped = map_to(frame, {form("va:GRAY16"), Access::read_write, nullptr}, {.hop = &ledger.hop("x")});
    ASSERT_TRUE(mapped);
    EXPECT_EQ(ledger.total().bytes_copied, 400u);
    EXPECT_EQ(first_byte(mapped->frame()), 3);
    first_byte(mapped->frame()) = 4;
  }
  EXPECT_EQ(first_byte(frame), 4);
}

TEST(MapTo, RefusesCopiesWhereNoneIsAllowed) {
  const auto copied = map_to(gray16(20, 10), {form("va:P010")}, {.strict_zero_copy = true});
  ASSERT_FALSE(copied);
  EXPECT_THAT(copied.error().message, HasSubstr("test copy"));
  const auto misaligned = map_to(gray16(20, 10, 1), {form("va:GRAY16")}, {.strict_zero_copy = true});
  ASSERT_FALSE(misaligned);
  EXPECT_THAT(misaligned.error().message, HasSubstr("multiples of 64"));
  EXPECT_TRUE(map_to(gray16(20, 10), {form("va:GRAY16")}, {.strict_zero_copy = true}));
}

TEST(MapTo, HandsTheErrorOfAStepOnAndWritesNothing) {
  const Frame frame = gray16(666, 10);
  first_byte(frame) = 5;
  const auto mapped = map_to(frame, {form("va:P010"), Access::write, nullptr});
  ASSERT_FALSE(mapped);
  EXPECT_EQ(mapped.error().code, ErrorCode::corrupt);
  EXPECT_THAT(mapped.error().message, HasSubstr("not this one"));
  EXPECT_EQ(first_byte(frame), 5);
}

TEST(MapTo, KeepsTheSourceAliveAsLongAsAnythingOfItIsMapped) {
  bool released = false;
  alignas(64) static std::byte bytes[64 * 4];
  Frame frame;
  frame.video = VideoInfo{.format = PixelFormat::gray16, .width = 20, .height = 4};
  FrameLayout layout = FrameLayout::of(*frame.video);
  frame =
      frame_in(wrap_memory(bytes, sizeof bytes, [&]() noexcept { released = true; }), *frame.video, layout);
  auto mapped = map_to(frame, {form("va:GRAY16")});
  frame.clear();
  EXPECT_FALSE(released);
  Frame kept = mapped->frame();
  {
    const auto ended = std::move(*mapped);
  }
  EXPECT_FALSE(released) << "the memory may be kept beyond the mapping";
  kept.clear();
  EXPECT_TRUE(released);
}

TEST(MapTo, RefusesFramesThatAreNone) {
  Frame frame;
  frame.tensors.emplace_back();
  EXPECT_EQ(map_to(frame, {form("dlpack")}).error().code, ErrorCode::invalid_argument);
  Frame picture = gray16(4, 4);
  picture.tensors.push_back(picture.tensors[0]);
  EXPECT_EQ(map_to(picture, {form("va:GRAY16")}).error().code, ErrorCode::invalid_argument);
}

TEST(MapTo, PlansOnceWhoeverAsks) {
  std::vector<std::jthread> threads;
  std::atomic<const MapPlan*> seen = nullptr;
  std::atomic<int> different = 0;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int k = 0; k < 100; ++k) {
        const MapPlan* plan = plan_map(form("system:GRAY16"), form("va:P010")).value();
        const MapPlan* expected = nullptr;
        if (!seen.compare_exchange_strong(expected, plan) && expected != plan) ++different;
      }
    });
  }
  threads.clear();
  EXPECT_EQ(different, 0);
}

TEST(MapTo, ExplainsThePlan) {
  EXPECT_EQ(plan_map(form("system:GRAY16"), form("va:P010")).value()->to_string(),
            "system:GRAY16_LE → va:GRAY16_LE (shared, test share) → va:P010_10LE (copy, test copy)");
}

}  // namespace
}  // namespace sightglass
