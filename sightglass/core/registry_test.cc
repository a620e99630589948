#include "sightglass/core/registry.h"

#include <gmock/gmock.h>

#include <string>
#include <thread>

namespace sightglass {
namespace {

ElementDesc named(std::string name) {
  ElementDesc desc;
  desc.name = std::move(name);
  return desc;
}

const Registration before_main(named("test_registry_before_main"));

TEST(Registry, FindsWhatWasRegisteredBeforeMain) {
  const ElementDesc* desc = find_element("test_registry_before_main");
  ASSERT_TRUE(desc);
  EXPECT_EQ(desc->name, "test_registry_before_main");
}

TEST(Registry, TakesNamesExactly) {
  EXPECT_EQ(find_element("test_registry_before_mai"), nullptr);
  EXPECT_EQ(find_element("test-registry-before-main"), nullptr);
  EXPECT_EQ(find_element("Test_Registry_Before_Main"), nullptr);
  EXPECT_EQ(find_element(""), nullptr);
}

TEST(Registry, KeepsDescriptorsInPlaceAndInOrder) {
  const ElementDesc* first = find_element("test_registry_before_main");
  for (int i = 0; i < 100; ++i) (void)Registration(named("test_registry_" + std::to_string(i)));
  EXPECT_EQ(find_element("test_registry_before_main"), first);
  std::vector<std::string> names;
  for (const ElementDesc* desc : all_elements()) names.push_back(desc->name);
  EXPECT_TRUE(std::ranges::is_sorted(names));
  EXPECT_THAT(names,
              testing::IsSupersetOf({"test_registry_0", "test_registry_99", "test_registry_before_main"}));
}

TEST(Registry, IsReadWhileAPluginRegisters) {
  std::vector<std::jthread> readers;
  for (int i = 0; i < 3; ++i)
    readers.emplace_back([] {
      for (int n = 0; n < 200; ++n) {
        EXPECT_TRUE(find_element("test_registry_before_main"));
        (void)all_elements();
      }
    });
  for (int i = 0; i < 100; ++i) (void)Registration(named("test_registry_late_" + std::to_string(i)));
}

TEST(RegistryDeathTest, EndsTheProgramWhenANameIsTakenTwice) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(Registration(named("test_registry_before_main")), "test_registry_before_main.*twice");
  EXPECT_DEATH(Registration(named("")), "no name");
}

}  // namespace
}  // namespace sightglass
