#include "sightglass/elements/detection/labels.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace sightglass {
namespace {

class Labels : public testing::Test {
 protected:
  std::string write(const std::string& name, std::string_view text) {
    const std::string path = (folder_ / name).string();
    std::ofstream(path, std::ios::binary) << text;
    return path;
  }
  void SetUp() override { std::filesystem::create_directories(folder_); }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::filesystem::path folder_ =
      std::filesystem::path(testing::TempDir()) / ("labels_test_" + std::to_string(getpid()));
};

std::vector<std::string> names(const Result<LabelList>& list) {
  std::vector<std::string> all;
  for (size_t i = 0; list && i < list->size(); ++i) all.emplace_back((*list)[int64_t(i)].view());
  return all;
}
using Names = std::vector<std::string>;

TEST_F(Labels, AreNamesByDefault) {
  EXPECT_EQ(names(load_labels(Names{"cat", "dog"}, "")), (Names{"cat", "dog"}));
}

TEST_F(Labels, ALoneItemMayBeAFile) {
  EXPECT_EQ(names(load_labels(Names{write("a", "cat\ndog\n")}, "")), (Names{"cat", "dog"}));
  EXPECT_EQ(names(load_labels(Names{"cat"}, "")), (Names{"cat"}));
}

TEST_F(Labels, FileIgnoresCrAndFinalNewlineAndKeepsEmptyLines) {
  const auto list = load_labels({}, write("a", "cat\r\n\r\ndog\r\n"));
  EXPECT_EQ(names(list), (Names{"cat", "", "dog"}));
  EXPECT_EQ(names(load_labels({}, write("b", "cat\n\ndog"))), (Names{"cat", "", "dog"}));
}

TEST_F(Labels, TheFileWinsOverTheList) {
  EXPECT_EQ(names(load_labels(Names{"x"}, write("a", "cat"))), (Names{"cat"}));
}

TEST_F(Labels, AFileForEachLayer) {
  const Names both = {"prob=" + write("a", "f\nm"), "mood=" + write("b", "glad\nsad\ncalm")};
  EXPECT_EQ(names(load_labels(both, "", "mood")), (Names{"glad", "sad", "calm"}));
  EXPECT_EQ(names(load_labels(both, "", "prob")), (Names{"f", "m"}));
  EXPECT_TRUE(load_labels(both, "", "age")->empty());
  EXPECT_EQ(names(load_labels(std::span(both).first(1), "")), (Names{"f", "m"}));
}

TEST_F(Labels, AClassMayContainAnEqualsSign) {
  EXPECT_EQ(names(load_labels(Names{"a=b", "c"}, "")), (Names{"a=b", "c"}));
}

TEST_F(Labels, AMissingFileIsNamed) {
  auto list = load_labels({}, "/nowhere/coco.txt");
  ASSERT_FALSE(list);
  EXPECT_EQ(list.error().code, ErrorCode::not_found);
  EXPECT_NE(list.error().message.find("/nowhere/coco.txt"), std::string::npos);
  EXPECT_FALSE(load_labels(Names{"coco.txt"}, ""));  // nobody calls a class that
  EXPECT_FALSE(load_labels({}, folder_.string()));   // a folder
}

TEST_F(Labels, OutOfTheListIsTheEmptyLabel) {
  const auto list = load_labels(Names{"cat"}, "");
  EXPECT_TRUE((*list)[1].empty());
  EXPECT_TRUE((*list)[-1].empty());
}

TEST_F(Labels, TheBackgroundIsFoundByName) {
  EXPECT_EQ(load_labels(Names{"__background__", "face"}, "")->background(), 0);
  EXPECT_EQ(load_labels(Names{"face", "Background"}, "")->background(), 1);
  EXPECT_EQ(load_labels(Names{"face"}, "")->background(), -1);
}

}  // namespace
}  // namespace sightglass
