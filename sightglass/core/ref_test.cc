#include "sightglass/core/ref.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace sightglass {
namespace {

struct Counted : RefCounted {
  explicit Counted(int& alive_now) : alive(alive_now) { ++alive; }
  ~Counted() override { --alive; }
  int& alive;
};
struct Derived final : Counted {
  using Counted::Counted;
};

TEST(Ref, DeletesTheObjectWithItsLastReference) {
  int alive = 0;
  auto a = make_ref<Counted>(alive);
  EXPECT_TRUE(a->unique());
  Ref<Counted> b = a;
  EXPECT_FALSE(a->unique());
  EXPECT_EQ(a, b);
  a = nullptr;
  EXPECT_EQ(alive, 1);
  b = nullptr;
  EXPECT_EQ(alive, 0);
}

TEST(Ref, SurvivesAssignmentToItself) {
  int alive = 0;
  auto a = make_ref<Counted>(alive);
  auto& same = a;
  a = same;
  EXPECT_EQ(alive, 1);
}

TEST(Ref, ConvertsToItsBaseByCopyAndByMove) {
  int alive = 0;
  auto derived = make_ref<Derived>(alive);
  Ref<Counted> copied = derived;
  Ref<const Counted> moved = std::move(derived);
  EXPECT_FALSE(derived);
  EXPECT_EQ(copied.get(), moved.get());
  moved = nullptr;
  EXPECT_TRUE(copied->unique());
}

TEST(Ref, GivesItsReferenceAway) {
  int alive = 0;
  auto a = make_ref<Counted>(alive);
  Counted* object = a.release();
  EXPECT_FALSE(a);
  EXPECT_EQ(alive, 1);
  object->unref();
  EXPECT_EQ(alive, 0);
}

TEST(Ref, CountsAcrossThreads) {
  int alive = 0;
  {
    auto shared = make_ref<Counted>(alive);
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i)
      threads.emplace_back([shared] {
        for (int n = 0; n < 1000; ++n) Ref<Counted> copy = shared;
      });
  }
  EXPECT_EQ(alive, 0);
}

}  // namespace
}  // namespace sightglass
