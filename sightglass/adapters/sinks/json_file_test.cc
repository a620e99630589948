#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <csignal>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>
#include <nlohmann/json.hpp>

#include "sightglass/adapters/adapter.h"
#include "sightglass/stream/uuid.h"
#include "tests/temporary_folder.h"

namespace sightglass::adapters {
namespace {

namespace fs = std::filesystem;

class JsonFile : public testing::Test {
 protected:
  std::unique_ptr<Sink> open(const std::vector<std::pair<std::string, std::string>>& settings) {
    const SinkDesc* desc = find_sink("json_file");
    ParamSet params(desc->params);
    EXPECT_TRUE(params.set_text("folder", folder.string()));
    for (const auto& [key, value] : settings) EXPECT_TRUE(params.set_text(key, value));
    auto sink = desc->create(params, {.name = "local"});
    EXPECT_TRUE(sink);
    if (!sink) return nullptr;
    EXPECT_TRUE((*sink)->start());
    return std::move(*sink);
  }
  static std::unique_ptr<Sink> plain(JsonFile& test) {
    return test.open({{"rotate-records", "0"}, {"rotate-bytes", "0"}, {"rotate-time", "0"}});
  }
  RecordRef record(const std::string& id, int64_t seq) {
    auto made = std::make_shared<Record>();
    made->source_id = id;
    made->seq = seq;
    made->uuid = stream::make_uuid_v7();
    auto message = std::make_shared<stream::Message>();
    message->frame.emplace();
    made->message = message;
    return made;
  }
  std::vector<int64_t> seqs(const fs::path& file) {
    std::ifstream in(file);
    std::vector<int64_t> found;
    for (std::string line; std::getline(in, line);) found.push_back(nlohmann::json::parse(line)["seq"]);
    return found;
  }
  std::vector<std::string> files() {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename());
    std::ranges::sort(names);
    return names;
  }
  Status write(Sink& sink, const std::vector<RecordRef>& records, std::vector<Stored>* outcome = nullptr) {
    std::vector<Stored> stored(records.size());
    const Status status = sink.write(records, stored);
    if (outcome) *outcome = stored;
    return status;
  }

  const sightglass::test::TemporaryFolder temporary{};
  const fs::path folder = temporary.path();
};

TEST_F(JsonFile, EachStreamHasAFileWithALinePerFrame) {
  auto sink = plain(*this);
  ASSERT_TRUE(write(*sink, {record("cam-1", 0), record("cam-1", 1), record("cam:2", 0), record("cam-1", 2)}));
  EXPECT_TRUE(sink->flush());
  EXPECT_THAT(files(), testing::ElementsAre("cam%3A2.jsonl", "cam-1.jsonl"));
  EXPECT_THAT(seqs(folder / "cam-1.jsonl"), testing::ElementsAre(0, 1, 2));
}

TEST_F(JsonFile, IdsThatDifferHaveFilesThatDiffer) {
  auto sink = plain(*this);
  const std::string many = "a" + std::string(127, ':');
  ASSERT_TRUE(write(*sink, {record("a:b", 0), record("a_b", 1), record(many, 2)}));
  EXPECT_EQ(files().size(), 3u);
  EXPECT_THAT(seqs(folder / "a%3Ab.jsonl"), testing::ElementsAre(0));
  EXPECT_THAT(seqs(folder / "a_b.jsonl"), testing::ElementsAre(1));
}

TEST_F(JsonFile, StreamsThatEndedOrAreSilentKeepNoFileOpen) {
  const auto open_files = [] {
    return std::distance(fs::directory_iterator("/proc/self/fd"), fs::directory_iterator());
  };
  auto sink = plain(*this);
  const auto before = open_files();
  for (int i = 0; i < 20; ++i) {
    const std::string id = "cam-" + std::to_string(i);
    auto end = std::make_shared<Record>(*record(id, 1));
    end->kind = RecordKind::end_of_stream;
    ASSERT_TRUE(write(*sink, {record(id, 0), end}));
  }
  EXPECT_EQ(open_files(), before);
  for (int i = 0; i < 300; ++i) ASSERT_TRUE(write(*sink, {record("s" + std::to_string(i), 0)}));
  EXPECT_EQ(open_files(), before + 128);
  // Who comes back goes on in its file.
  ASSERT_TRUE(write(*sink, {record("s0", 1), record("cam-0", 2)}));
  EXPECT_TRUE(sink->flush());
  EXPECT_THAT(seqs(folder / "s0.jsonl"), testing::ElementsAre(0, 1));
  EXPECT_THAT(seqs(folder / "cam-0.jsonl"), testing::ElementsAre(0, 2));
}

TEST_F(JsonFile, TornLastLineIsCutAndTheFileGoesOn) {
  std::ofstream(folder / "cam-1.jsonl") << "{\"seq\":0}\n{\"seq\":1";
  auto sink = plain(*this);
  ASSERT_TRUE(write(*sink, {record("cam-1", 2)}));
  EXPECT_THAT(seqs(folder / "cam-1.jsonl"), testing::ElementsAre(0, 2));
}

TEST_F(JsonFile, RotatedFilesGetTheirNameWhenTheyAreComplete) {
  auto sink = open({{"rotate-records", "2"}});
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(write(*sink, {record("cam-1", i)}));
  std::vector<std::string> names = files();
  ASSERT_EQ(names.size(), 3u);
  EXPECT_EQ(std::ranges::count_if(names, [](const auto& name) { return name.ends_with(".part"); }), 1);
  sink.reset();
  names = files();
  std::vector<int64_t> all;
  for (const std::string& name : names) {
    EXPECT_THAT(name, testing::EndsWith(".jsonl"));
    for (const int64_t seq : seqs(folder / name)) all.push_back(seq);
  }
  EXPECT_THAT(all, testing::ElementsAre(0, 1, 2, 3, 4));
}

TEST_F(JsonFile, WhatAKilledProcessLeftIsCompletedAtTheStart) {
  std::ofstream(folder / "cam-1-20260101T000000Z-0.jsonl.part") << "{\"seq\":0}\n{\"se";
  auto sink = open({});
  EXPECT_THAT(files(), testing::ElementsAre("cam-1-20260101T000000Z-0.jsonl"));
  EXPECT_THAT(seqs(folder / "cam-1-20260101T000000Z-0.jsonl"), testing::ElementsAre(0));
}

TEST_F(JsonFile, WhatAnotherStillWritesIsLeftToIt) {
  auto sink = open({});
  ASSERT_TRUE(write(*sink, {record("cam-1", 0)}));
  auto another = open({});
  ASSERT_EQ(files().size(), 1u);
  EXPECT_THAT(files()[0], testing::EndsWith(".part"));
  ASSERT_TRUE(write(*another, {record("cam-1", 0)}));
  ASSERT_TRUE(write(*sink, {record("cam-1", 1)}));
  sink.reset();
  another.reset();
  size_t lines = 0;
  for (const std::string& name : files()) {
    EXPECT_THAT(name, testing::EndsWith(".jsonl"));
    lines += seqs(folder / name).size();
  }
  EXPECT_EQ(lines, 3u);
}

TEST_F(JsonFile, CompressionThatWasGivenUpIsDoneAtTheNextStart) {
  auto sink = open({{"gzip", "true"}});
  ASSERT_TRUE(write(*sink, {record("cam-1", 0)}));
  sink->cancel();
  sink.reset();
  ASSERT_EQ(files().size(), 1u);
  EXPECT_THAT(files()[0], testing::EndsWith(".jsonl"));
  std::ofstream(folder / "notes.jsonl") << "{}\n";
  sink = open({{"gzip", "true"}});
  EXPECT_THAT(files(), testing::UnorderedElementsAre(testing::EndsWith(".jsonl.gz"), "notes.jsonl"));
}

TEST_F(JsonFile, CompleteFilesAreCompressed) {
  auto sink = open({{"gzip", "true"}, {"rotate-records", "1"}});
  ASSERT_TRUE(write(*sink, {record("cam-1", 0)}));
  ASSERT_TRUE(write(*sink, {record("cam-1", 1)}));
  sink.reset();
  for (const std::string& name : files()) EXPECT_THAT(name, testing::EndsWith(".jsonl.gz"));
  EXPECT_EQ(files().size(), 2u);
}

// A limit on the size of files stands in for the full disk: what fits in part is taken back.
TEST_F(JsonFile, FullDiskIsARetryAndLeavesWholeLines) {
  auto sink = plain(*this);
  ASSERT_TRUE(write(*sink, {record("cam-1", 0)}));
  const auto size = fs::file_size(folder / "cam-1.jsonl");
  rlimit old{};
  getrlimit(RLIMIT_FSIZE, &old);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{.rlim_cur = size + size / 2, .rlim_max = old.rlim_max};
  setrlimit(RLIMIT_FSIZE, &small);
  EXPECT_FALSE(write(*sink, {record("cam-1", 1)}));
  setrlimit(RLIMIT_FSIZE, &old);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(fs::file_size(folder / "cam-1.jsonl"), size);
  EXPECT_TRUE(write(*sink, {record("cam-1", 1)}));
  EXPECT_THAT(seqs(folder / "cam-1.jsonl"), testing::ElementsAre(0, 1));
}

TEST_F(JsonFile, FolderThatCannotBeMadeIsAnError) {
  std::ofstream(folder / "file") << "x";
  const SinkDesc* desc = find_sink("json_file");
  ParamSet params(desc->params);
  ASSERT_TRUE(params.set_text("folder", (folder / "file" / "sub").string()));
  auto sink = desc->create(params, {});
  ASSERT_TRUE(sink);
  EXPECT_FALSE((*sink)->start());
}

}  // namespace
}  // namespace sightglass::adapters
