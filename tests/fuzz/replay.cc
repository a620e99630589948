// Runs a fuzz target on files, or on all files of folders: the corpus in every ordinary test run, and an
// input that a fuzzer found. A target that does not hold ends the program.
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

namespace fs = std::filesystem;

void run(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  const std::vector<char> bytes((std::istreambuf_iterator<char>(file)), {});
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
}

}  // namespace

int main(int argc, char** argv) {
  int count = 0;
  for (int i = 1; i < argc; ++i) {
    std::vector<fs::path> paths;
    if (fs::is_directory(argv[i])) {
      for (const auto& entry : fs::recursive_directory_iterator(argv[i])) {
        if (entry.is_regular_file()) paths.push_back(entry.path());
      }
    } else {
      paths.push_back(argv[i]);
    }
    for (const fs::path& path : paths) {
      std::printf("%s\n", path.c_str());
      std::fflush(stdout);  // the last line names the input that failed
      run(path);
      ++count;
    }
  }
  std::printf("%d inputs\n", count);
  return count ? 0 : 1;
}
