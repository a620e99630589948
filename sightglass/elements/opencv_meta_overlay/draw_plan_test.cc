#include "sightglass/elements/opencv_meta_overlay/draw_plan.h"

#include <gmock/gmock.h>

#include <cstring>
#include <numeric>

#include "sightglass/memory/system/system_memory.h"

namespace sightglass {
namespace {

using testing::ElementsAre;

const GlyphAtlas no_letters;

// What a plan makes of each list that it gets.
class Planned final : public Painter {
 public:
  struct Step {
    bool is_mosaic;
    size_t commands, bytes;
    std::vector<draw::Tile> tiles;
    std::vector<unsigned> references;
    std::vector<draw::Area> squares;
    std::vector<std::byte> block;
    size_t masks, cells;
  };

  Status draw(const DrawList& list) override {
    ++lists;
    for (size_t next = 0; next < list.commands().size();) {
      const size_t first = next;
      next = plan_.step(list, next);
      EXPECT_GT(next, first);
      Step step{plan_.is_mosaic(), next - first, plan_.bytes(), {}, {}, {}, {}, plan_.masks(), plan_.cells()};
      step.block.resize(plan_.bytes());
      plan_.write(list, step.block.data());
      if (plan_.is_mosaic()) {
        step.squares = part<draw::Area>(step.block, plan_.squares(), plan_.blocks());
      } else {
        step.tiles = part<draw::Tile>(step.block, plan_.tiles(), plan_.blocks());
        const size_t count = step.tiles.empty() ? 0 : step.tiles.back().first + step.tiles.back().count;
        step.references = part<unsigned>(step.block, plan_.references(), count);
      }
      steps.push_back(std::move(step));
    }
    return {};
  }
  template <class T>
  static std::vector<T> part(const std::vector<std::byte>& block, size_t at, size_t count) {
    EXPECT_LE(at + count * sizeof(T), block.size());
    std::vector<T> values(count);
    if (count > 0) std::memcpy(values.data(), block.data() + at, count * sizeof(T));
    return values;
  }

  int lists = 0;
  std::vector<Step> steps;

 private:
  DrawPlan plan_;
};

VideoInfo video(int width, int height) {
  return {.format = PixelFormat::nv12, .width = width, .height = height};
}

class DrawPlanTest : public testing::Test {
 protected:
  void begin(int width, int height) { list_.begin(video(width, height), no_letters, &planned_); }
  const std::vector<Planned::Step>& steps() {
    EXPECT_TRUE(list_.end());
    return planned_.steps;
  }
  DrawList list_;
  Planned planned_;
};

TEST_F(DrawPlanTest, TilesHaveTheirCommandsInOrder) {
  begin(200, 40);
  list_.fill({0, 0, 200, 40}, {});
  list_.fill({63, 15, 2, 2}, {});    // four tiles
  list_.fill({130, 32, 4, 40}, {});  // cut at the edge
  list_.fill({300, 0, 4, 4}, {});    // outside
  ASSERT_EQ(steps().size(), 1u);
  const Planned::Step& step = planned_.steps[0];
  EXPECT_EQ(step.commands, 3u);
  ASSERT_EQ(step.tiles.size(), 12u);
  const auto of = [&](int x, int y) {
    for (const draw::Tile& tile : step.tiles)
      if (tile.x == x && tile.y == y)
        return std::vector(step.references.begin() + tile.first,
                           step.references.begin() + tile.first + tile.count);
    return std::vector<unsigned>{};
  };
  EXPECT_THAT(of(0, 0), ElementsAre(0u, 1u));
  EXPECT_THAT(of(64, 16), ElementsAre(0u, 1u));
  EXPECT_THAT(of(0, 32), ElementsAre(0u));
  EXPECT_THAT(of(128, 32), ElementsAre(0u, 2u));
}

TEST_F(DrawPlanTest, OnlyTilesThatAreTouchedCome) {
  begin(1920, 1080);
  list_.frame({100, 100, 1000, 500}, 2, {});
  list_.line({0, 0}, {1919, 1079}, 3, {});
  ASSERT_EQ(steps().size(), 1u);
  EXPECT_LT(planned_.steps[0].tiles.size(), 300u);  // of 2,040
  EXPECT_LT(planned_.steps[0].bytes, 10000u);
}

TEST_F(DrawPlanTest, ManyCommandsAreSeveralBoundedSteps) {
  begin(1920, 1080);
  for (int i = 0; i < 10000; ++i) {
    list_.frame({i % 1900, i % 1000, 20, 20}, 2, {});
    list_.fill({i % 1900, i % 1000, 600, 400}, {}, 100);
  }
  size_t commands = 0;
  for (const Planned::Step& step : steps()) {
    commands += step.commands;
    EXPECT_LE(step.references.size(), DrawPlan::most_references);
    EXPECT_LT(step.bytes, size_t(2) << 20);
  }
  EXPECT_EQ(commands, 50000u);
  EXPECT_EQ(planned_.lists, 4);
  EXPECT_GT(planned_.steps.size(), 10u);
}

TEST_F(DrawPlanTest, SquaresOfMosaicsThatTouchComeOneAfterTheOther) {
  begin(640, 480);
  list_.mosaic({0, 0, 60, 60}, 10);
  list_.mosaic({300, 300, 61, 61}, 10);
  list_.mosaic({50, 50, 20, 20}, 10);  // lies on the first
  list_.fill({0, 0, 10, 10}, {});
  list_.mosaic({0, 0, 8, 8}, 8);
  const auto& all = steps();
  ASSERT_EQ(all.size(), 4u);
  EXPECT_EQ(all[0].squares.size(), 36u + 49u);
  EXPECT_EQ(all[1].squares.size(), 4u);
  EXPECT_FALSE(all[2].is_mosaic);
  EXPECT_EQ(all[3].squares.size(), 1u);
  EXPECT_EQ(all[0].squares[0].w, 10);
  EXPECT_EQ(all[0].squares.back().w, 1);
}

Mapping mask_of(DataType type, int64_t height, int64_t width) {
  auto tensor = allocate_tensor({.type = type, .shape = {height, width}});
  EXPECT_TRUE(tensor);
  auto mapping = map(*tensor, Access::read_write);
  EXPECT_TRUE(mapping);
  std::memset(mapping->data(), 7, mapping->bytes());
  return *std::move(mapping);
}

TEST_F(DrawPlanTest, MasksComeWithoutGaps) {
  begin(640, 480);
  auto tensor = allocate_tensor({.type = DataType::u8, .shape = {6, 10}});
  ASSERT_TRUE(tensor);
  auto whole = map(*tensor, Access::write);
  std::iota(whole->as<uint8_t>().begin(), whole->as<uint8_t>().end(), uint8_t(0));
  Tensor every_other = *tensor;  // of 3x5
  every_other.shape = {3, 5};
  every_other.strides = {20, 2};
  list_.scores(mask_of(DataType::f32, 3, 3), {0, 0, 64, 64}, {});
  list_.labels(*map(every_other, Access::read), {0, 0, 64, 64});
  ASSERT_EQ(steps().size(), 1u);
  const Planned::Step& step = planned_.steps[0];
  const auto masks = Planned::part<draw::Mask>(step.block, step.masks, 2);
  EXPECT_EQ(masks[0].width, 3);
  EXPECT_EQ(masks[1].width, 5);
  EXPECT_EQ(masks[1].height, 3);
  EXPECT_EQ(masks[1].first, 48u);
  EXPECT_EQ((step.cells + masks[0].first) % 16, 0u);
  const auto cells = Planned::part<uint8_t>(step.block, step.cells + masks[1].first, 15);
  EXPECT_THAT(cells, ElementsAre(0, 2, 4, 6, 8, 20, 22, 24, 26, 28, 40, 42, 44, 46, 48));
}

TEST_F(DrawPlanTest, LargeMasksAreStepsOfTheirOwn) {
  begin(640, 480);
  for (int i = 0; i < 3; ++i) list_.labels(mask_of(DataType::u8, 1024, 1000), {0, 0, 640, 480});
  list_.labels(mask_of(DataType::u8, 4096, 4096), {0, 0, 640, 480});  // more than a step should have
  const auto& all = steps();
  ASSERT_EQ(all.size(), 4u);
  EXPECT_GT(all[3].bytes, size_t(16) << 20);
  for (int i = 0; i < 3000; ++i) list_.scores(mask_of(DataType::f32, 1, 1), {0, 0, 8, 8}, {});
}

}  // namespace
}  // namespace sightglass
