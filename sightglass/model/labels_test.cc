#include "sightglass/model/labels.h"

#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>

namespace sightglass {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class Labels : public testing::Test {
 protected:
  Labels() : folder_(std::filesystem::path(testing::TempDir()) / "labels_test") {
    std::filesystem::create_directories(folder_);
  }
  void write(const std::string& name, std::string_view text) const {
    std::ofstream(folder_ / name, std::ios::binary) << text;
  }
  std::filesystem::path folder_;
};

TEST_F(Labels, ReadsListsInEitherForm) {
  EXPECT_THAT(*resolve_labels("a,b c"), ElementsAre("a", "b c"));
  EXPECT_THAT(*resolve_labels("<a, b>"), ElementsAre("a", "b"));
  EXPECT_THAT(*resolve_labels("face"), ElementsAre("face"));
  EXPECT_THAT(*resolve_labels(R"(<"tench, Tinca tinca",b>)"), ElementsAre("tench, Tinca tinca", "b"));
}

TEST_F(Labels, WritesWhatItReads) {
  const std::vector<std::string> labels = {"a, b", "say \"c\"", "", " d"};
  EXPECT_EQ(*resolve_labels(labels_text(labels)), labels);
}

TEST_F(Labels, ReadsFilesLineByLine) {
  write("a.txt", "one\r\n\r\nthree\n");
  EXPECT_THAT(*resolve_labels("a.txt", folder_), ElementsAre("one", "", "three"));
  EXPECT_THAT(*resolve_labels((folder_ / "a.txt").string()), ElementsAre("one", "", "three"));
  write("b.txt", "\xEF\xBB\xBFone\ntwo");
  EXPECT_THAT(*read_labels_file(folder_ / "b.txt"), ElementsAre("one", "two"));
  write("empty.txt", "");
  EXPECT_TRUE(read_labels_file(folder_ / "empty.txt")->empty());
}

TEST_F(Labels, TakesTheFileOfTheLayer) {
  write("x.txt", "x0\nx1");
  write("y.txt", "y0");
  EXPECT_THAT(*resolve_labels("out/x=x.txt,y=y.txt", folder_, "y"), ElementsAre("y0"));
  EXPECT_THAT(*resolve_labels("out/x=x.txt", folder_), ElementsAre("x0", "x1"));
  EXPECT_THAT(resolve_labels("x=x.txt,y=y.txt", folder_, "z").error().message,
              HasSubstr("names no file for layer 'z'"));
  EXPECT_THAT(*resolve_labels("a=b,c=d", folder_), ElementsAre("a=b", "c=d"));  // no files: labels
}

TEST_F(Labels, SaysWhenAFileIsMissing) {
  EXPECT_EQ(resolve_labels("no/such.txt", folder_).error().code, ErrorCode::not_found);
  EXPECT_EQ(resolve_labels("coco.names", folder_).error().code, ErrorCode::not_found);
  EXPECT_EQ(read_labels_file(folder_ / "none").error().code, ErrorCode::not_found);
  EXPECT_EQ(read_labels_file(folder_).error().code, ErrorCode::invalid_argument);
  EXPECT_FALSE(resolve_labels("<a,b"));
}

}  // namespace
}  // namespace sightglass
