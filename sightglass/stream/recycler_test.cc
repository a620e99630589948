#include "sightglass/stream/recycler.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace sightglass::stream {
namespace {

struct Counted {
  Counted() { ++alive; }
  ~Counted() { --alive; }
  std::string text;
  static inline std::atomic<int> alive{0};
};
void clear(Counted& each) { each.text.clear(); }

TEST(Recycler, HandsOutAgainWhatWasLetGoOf) {
  Recycler<Counted> recycler(4, clear);
  auto one = recycler.get();
  one->text = std::string(100, 'a');
  const Counted* const place = one.get();
  const size_t room = one->text.capacity();
  one.reset();
  one = recycler.get();
  EXPECT_EQ(one.get(), place);
  EXPECT_EQ(one->text, "");
  EXPECT_EQ(one->text.capacity(), room);
  EXPECT_NE(recycler.get().get(), place);
}

TEST(Recycler, KeepsNoMoreThanItShould) {
  {
    Recycler<Counted> recycler(2, clear);
    std::vector<std::shared_ptr<Counted>> many;
    for (int i = 0; i < 5; ++i) many.push_back(recycler.get());
    EXPECT_EQ(Counted::alive, 5);
    many.clear();
    EXPECT_EQ(Counted::alive, 2);
  }
  EXPECT_EQ(Counted::alive, 0);
}

TEST(Recycler, MayGoBeforeWhatItHandedOut) {
  auto recycler = std::make_unique<Recycler<Counted>>(4, clear);
  auto one = recycler->get(), other = recycler->get();
  recycler->get().reset();
  std::weak_ptr<Counted> watched = one;
  recycler.reset();
  EXPECT_EQ(Counted::alive, 2);
  one->text = "still here";
  one.reset();
  EXPECT_TRUE(watched.expired());
  EXPECT_EQ(Counted::alive, 2);  // the count is still looked at
  watched.reset();
  EXPECT_EQ(Counted::alive, 1);
  other.reset();
  EXPECT_EQ(Counted::alive, 0);
}

// Nobody gets what another one still looks at, be it only to see whether it has gone.
TEST(Recycler, AWatchedObjectIsNotHandedOut) {
  Recycler<Counted> recycler(4, clear);
  auto one = recycler.get();
  const Counted* const place = one.get();
  std::weak_ptr<Counted> watched = one;
  one.reset();
  one = recycler.get();
  EXPECT_NE(one.get(), place);
  EXPECT_TRUE(watched.expired());
}

TEST(Recycler, TakesBackOnAnyThread) {
  {
    Recycler<Counted> recycler(8, clear);
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t)
      threads.emplace_back([&recycler] {
        for (int i = 0; i < 5000; ++i) {
          auto one = recycler.get();
          EXPECT_EQ(one->text, "");
          one->text = "taken";
          auto shared = std::exchange(one, recycler.get());
        }
      });
    threads.clear();
    EXPECT_LE(Counted::alive, 8);
  }
  EXPECT_EQ(Counted::alive, 0);
}

}  // namespace
}  // namespace sightglass::stream
