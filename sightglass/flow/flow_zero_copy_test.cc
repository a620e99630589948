// What is copied on the way from element to element, and what is not.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "sightglass/core/allocation_count.h"
#include "sightglass/flow/flow_test_support.h"
#include "sightglass/memory/mapping.h"
#include "sightglass/memory/system/system_memory_pool.h"

namespace sightglass {
namespace {

using testing::HasSubstr;

constexpr size_t small_bytes = 16 * 8 * 3;

std::byte first_byte(const Frame& frame) { return map(frame.tensors[0], Access::read)->data()[0]; }

Result<Verdict> draw(Frame& frame) {
  auto picture = map(frame.tensors[0], Access::read_write);
  if (!picture) return forward_error(picture);
  std::ranges::fill(std::span(picture->data(), 4), std::byte(7));
  return Verdict::pass;
}

// Adds an element that draws.
void add_drawing(Chain& chain, std::string name) {
  auto desc = desc_of(name, ElementKind::transform_inplace);
  desc.writes_pixels = true;
  chain.append(chain.flow.add(std::make_unique<Inplace>(draw), std::move(desc), name));
}

void clear_pixels(int, Frame& frame) {
  auto picture = map(frame.tensors[0], Access::write);
  std::ranges::fill(std::span(picture->data(), 4), std::byte(0));
}

TEST(FlowZeroCopy, WhoHasTheFrameAloneDrawsWhereItLies) {
  Chain chain({.strict_zero_copy = true});
  chain.source({.frames = 20, .change = clear_pixels});
  chain.element("queue");
  add_drawing(chain, "draws");
  int drawn = 0;
  chain.flow.on_frame([&](const Frame& frame) -> Status {
    drawn += first_byte(frame) == std::byte(7);
    return {};
  });
  EXPECT_EQ(text_of(chain.flow.run()), "");
  EXPECT_EQ(drawn, 20);
  const auto total = chain.flow.ledger().total();
  EXPECT_EQ(total.bytes_copied, 0u);
  EXPECT_EQ(total.bytes_shared, 20 * 2 * small_bytes);  // two links
  EXPECT_EQ(chain.flow.ledger().snapshot().at(0).name, "source → queue0");
}

// A branch that only looks, and keeps what it has seen until the end.
TEST(FlowZeroCopy, PixelsThatAnotherBranchHoldsAreCopiedBeforeTheyAreDrawnOn) {
  for (const bool strict : {false, true}) {
    Chain chain({.strict_zero_copy = strict});
    chain.source({.frames = 5, .change = clear_pixels});
    const auto tee = chain.element("tee", {}, "t");
    std::vector<Frame> kept;
    chain.inplace("keeps", [&](Frame& frame) {
      kept.push_back(frame);
      return Verdict::drop;
    });
    chain.from(tee);
    add_drawing(chain, "draws");
    const Status status = chain.run();
    if (strict) {
      EXPECT_THAT(text_of(status),
                  HasSubstr("draws: strict zero-copy: draws changes pixels that t or another"));
      continue;
    }
    EXPECT_EQ(text_of(status), "");
    for (const auto& frame : kept) EXPECT_EQ(first_byte(frame), std::byte(0));
    EXPECT_EQ(chain.flow.ledger().total().bytes_copied, 5 * small_bytes);
  }
}

// Wants its input in a pool of its own.
class PoolReader final : public Transform {
 public:
  Ref<MemoryPool> pool = make_ref<SystemMemoryPool>(SystemMemoryPool::Options{.block_size = 4096});
  std::vector<size_t> sizes;  // of the blocks that came
  std::vector<FormatSpec> transform_format(Direction, const FormatSpec& spec) const override {
    return {spec};
  }
  Ref<MemoryPool> input_pool() override { return pool; }
  Status process(const Frame& frame, Output& output) override {
    sizes.push_back(frame.tensors[0].memory->size());
    return output.push(frame);
  }
};

TEST(FlowZeroCopy, SourcesWriteWhereALaterElementReads) {
  Chain chain;
  chain.source({.frames = 6});
  chain.inplace("a");
  chain.element("queue");
  chain.inplace("b");
  auto* reader = chain.add<PoolReader>("reader", ElementKind::transform);
  EXPECT_EQ(text_of(chain.run()), "");
  const auto& pool = static_cast<SystemMemoryPool&>(*reader->pool);
  EXPECT_EQ(reader->sizes, std::vector<size_t>(6, pool.block_size()));
  EXPECT_EQ(pool.allocated(), pool.available());  // all have come back
}

TEST(FlowZeroCopy, AFormatThatNobodyConvertsIsRefusedBeforeFramesFlow) {
  Chain chain;
  chain.source();
  chain.append(chain.flow.add(
      std::make_unique<Inplace>(),
      desc_of("wants", ElementKind::transform_inplace, {{TensorsSpec{}, MemoryKind::system}}), "wants"));
  const Status status = chain.flow.start();
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::not_negotiated);
  EXPECT_THAT(status.error().to_string(), HasSubstr("source gives BGR 16x8, wants takes tensors"));
}

TEST(FlowZeroCopy, CapsChooseAmongWhatASourceOffers) {
  VideoInfo nv12 = small_video;
  nv12.format = PixelFormat::nv12;
  Chain chain;
  chain.source({.formats = {{.media = small_video}, {.media = nv12}}});
  chain.element("capsfilter", {{"caps", "video/x-raw,format=NV12"}});
  auto* last = chain.inplace("last");
  EXPECT_EQ(text_of(chain.run()), "");
  EXPECT_EQ(last->formats.at(0).video()->format, PixelFormat::nv12);
  EXPECT_THAT(chain.flow.explain(), HasSubstr("source → capsfilter0: NV12 16x8, shared"));
}

// Allocates as the elements of the registry do, and reads what is there.
class Doubles final : public Transform {
 public:
  std::vector<FormatSpec> transform_format(Direction, const FormatSpec& spec) const override {
    return {spec};
  }
  Status process(const Frame& frame, Output& output) override {
    if (auto status = output.allocate(made_); !status) return status;
    made_.pts = frame.pts;
    made_.source = frame.source;
    return output.push(made_);
  }

 private:
  Frame made_;
};

TEST(FlowZeroCopy, NothingIsAllocatedPerFrameOnceWarm) {
  Chain chain;
  constexpr int warm = 300, all = 600;
  size_t before = 0, after = 0;
  chain.source({.frames = all + 1, .change = [&](int n, Frame& frame) {
                  frame.regions.resize(3);
                  frame.source = SourceId{.stream = uint64_t(n % 2), .pts = frame.pts};
                  if (n == warm) before = allocation_count();
                  if (n == all) after = allocation_count();
                }});
  const auto tee = chain.element("tee");
  const auto join = chain.element("meta_aggregate");
  chain.from(tee);
  chain.inplace("a");
  chain.add<Doubles>("doubles", ElementKind::transform);
  add_drawing(chain, "draws");
  chain.element("rate_adjust", {{"ratio", "1/2"}});
  ASSERT_TRUE(chain.flow.link(chain.last, join));
  chain.from(join);
  chain.element("fakesink");
  EXPECT_EQ(text_of(chain.flow.run()), "");
  EXPECT_EQ(after - before, 0u);
}

}  // namespace
}  // namespace sightglass
