#include "sightglass/core/label.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

namespace sightglass {
namespace {

TEST(Label, IsOnePointerPerName) {
  const std::string name = "person";
  EXPECT_EQ(Label(name).c_str(), Label("person").c_str());
  EXPECT_NE(Label("person"), Label("car"));
  EXPECT_EQ(Label("person").view(), "person");
}

TEST(Label, IsEmptyByDefault) {
  EXPECT_TRUE(Label().empty());
  EXPECT_EQ(Label(), Label(""));
  EXPECT_EQ(Label::from_static(nullptr), Label());
}

TEST(Label, ComparesByContentWithForeignText) {
  static const char text[] = "person";
  EXPECT_EQ(Label::from_static(text).c_str(), text);
  EXPECT_EQ(Label::from_static(text), Label("person"));
}

TEST(Label, EndsAtAZeroByte) {
  using namespace std::string_view_literals;
  EXPECT_EQ(Label("a\0b"sv), Label("a"));
  EXPECT_TRUE(Label("\0"sv).empty());
}

TEST(Label, StaysWhereItIsWhileOthersAreMade) {
  const char* const before = Label("the first").c_str();
  std::vector<std::jthread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([] {
      for (int n = 0; n < 500; ++n) EXPECT_EQ(Label(std::to_string(n)).view(), std::to_string(n));
    });
  threads.clear();
  EXPECT_EQ(Label("the first").c_str(), before);
  EXPECT_EQ(Label("7").c_str(), Label("7").c_str());
}

}  // namespace
}  // namespace sightglass
