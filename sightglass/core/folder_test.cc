#include "sightglass/core/folder.h"

#include <dirent.h>
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <fstream>

#include "tests/temporary_folder.h"

namespace {
int entries_left = -1;  // negative: all
}
// In the place of the C library's, for all of this program: as a disk that fails halfway.
extern "C" dirent* readdir(DIR* folder) {
  static const auto real = reinterpret_cast<dirent* (*)(DIR*)>(dlsym(RTLD_NEXT, "readdir"));
  if (entries_left == 0) {
    errno = EIO;
    return nullptr;
  }
  if (entries_left > 0) --entries_left;
  return real(folder);
}

namespace sightglass {
namespace {

namespace fs = std::filesystem;

TEST(PathsIn, AreAllThatAFolderHolds) {
  const test::TemporaryFolder folder;
  std::ofstream(folder.path() / "b") << "x";
  fs::create_directory(folder.path() / "a");
  auto error = std::make_error_code(std::errc::io_error);
  auto paths = paths_in(folder.path(), error);
  std::ranges::sort(paths);
  EXPECT_FALSE(error);
  EXPECT_EQ(paths, (std::vector<fs::path>{folder.path() / "a", folder.path() / "b"}));
}

TEST(PathsIn, ErrorIsSaidAndNotThrown) {
  const test::TemporaryFolder folder;
  std::error_code error;
  EXPECT_TRUE(paths_in(folder.path() / "none", error).empty());
  EXPECT_EQ(error, std::errc::no_such_file_or_directory);
  std::ofstream(folder.path() / "b") << "x";
  EXPECT_TRUE(paths_in(folder.path() / "b", error).empty());
  EXPECT_EQ(error, std::errc::not_a_directory);
  for (const char* name : {"c", "d", "e"}) std::ofstream(folder.path() / name) << "x";
  entries_left = 4;  // "." and ".." are two
  std::vector<fs::path> paths;
  EXPECT_NO_THROW(paths = paths_in(folder.path(), error));
  entries_left = -1;
  EXPECT_EQ(error, std::errc::io_error);
  EXPECT_LE(paths.size(), 4u);
}

}  // namespace
}  // namespace sightglass
