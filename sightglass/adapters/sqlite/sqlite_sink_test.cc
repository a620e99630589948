#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <filesystem>
#include <format>
#include <fstream>
#include <nlohmann/json.hpp>

#include "sightglass/adapters/adapter.h"
#include "sightglass/adapters/test_records.h"
#include "tests/temporary_folder.h"

namespace sightglass::adapters {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using Json = nlohmann::json;

class SqliteSink : public ::testing::Test {
 protected:
  std::unique_ptr<Sink> make(std::vector<std::pair<std::string, std::string>> options = {}) const {
    const SinkDesc& desc = *find_sink("sqlite");
    ParamSet params(desc.params);
    options.emplace_back("path", path_);
    for (const auto& [key, value] : options) {
      const Status set = params.set_text(key, value);
      EXPECT_TRUE(set) << set.error().message;
    }
    auto sink = desc.create(params, {.name = "events"});
    EXPECT_TRUE(sink) << sink.error().message;
    return sink ? std::move(*sink) : nullptr;
  }
  std::unique_ptr<Sink> open(std::vector<std::pair<std::string, std::string>> options = {}) const {
    auto sink = make(std::move(options));
    const Status started = sink->start();
    EXPECT_TRUE(started) << started.error().message;
    return sink;
  }
  static Status write(Sink& sink, const std::vector<RecordRef>& records) {
    std::vector<Stored> outcome(records.size(), Stored::yes);
    Status written = sink.write(records, outcome);
    if (written) {
      EXPECT_THAT(outcome, ::testing::Each(Stored::yes));
    }
    return written;
  }
  // The rows as another program reads them.
  Json query(const std::string& sql) const {
    const std::string command = std::format(
        "python3 -c \"import sqlite3, json, sys; db = sqlite3.connect(sys.argv[1]); "
        "print(json.dumps(db.execute(sys.argv[2]).fetchall()))\" '{}' \"{}\"",
        path_, sql);
    std::FILE* const pipe = popen(command.c_str(), "r");
    std::string text;
    char block[4096];
    while (const size_t got = std::fread(block, 1, sizeof block, pipe)) text.append(block, got);
    EXPECT_EQ(pclose(pipe), 0) << sql;
    return Json::parse(text, nullptr, false);
  }

  const sightglass::test::TemporaryFolder temporary_{};
  const std::string folder_ = temporary_.path(), path_ = folder_ + "/events.db";
};

TEST_F(SqliteSink, AnotherProgramReadsFramesObjectsAttributesEventsAndCounters) {
  auto sink = open();
  const RecordRef record = testing::frame_record({.source_id = "dock", .seq = 3, .objects = 2, .events = 1});
  ASSERT_TRUE(write(*sink, {record}));
  const std::string uuid = stream::to_string(record->uuid);
  EXPECT_EQ(query("SELECT uuid, source_id, epoch, seq, pts, width, height, objects FROM frames"),
            Json::parse(std::format(R"([["{}","dock",0,3,120000000,640,480,2]])", uuid)));
  const Json objects =
      query("SELECT key, id, label, model, round(x), round(w), track FROM objects ORDER BY id");
  EXPECT_EQ(objects[1], Json::parse(std::format(R"(["{}:1",1,"person","detector",96.0,79.0,2])", uuid)));
  EXPECT_EQ(query("SELECT model, name, kind, label, label_id FROM attributes LIMIT 1"),
            Json::parse(R"([["classifier","mood","class","glad",1]])"));
  EXPECT_EQ(query("SELECT key, element, name, n, track, label FROM events"),
            Json::parse(std::format(R"([["{}:gate:cross:0","gate","cross",0,1,"main forward"]])", uuid)));
  EXPECT_EQ(query("SELECT element, name, value FROM counters"), Json::parse(R"([["gate","door",2.0]])"));
  EXPECT_EQ(query("PRAGMA journal_mode"), Json::parse(R"([["wal"]])"));
}

TEST_F(SqliteSink, RecordsThatComeAgainShowOnce) {
  auto sink = open();
  const RecordRef record = testing::frame_record({.objects = 3, .events = 2});
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(write(*sink, {record, record}));
  EXPECT_EQ(query("SELECT (SELECT count(*) FROM frames), (SELECT count(*) FROM objects), "
                  "(SELECT count(*) FROM attributes), (SELECT count(*) FROM events)"),
            Json::parse("[[1,3,3,2]]"));
}

TEST_F(SqliteSink, LateUpdatesMergeAndSurviveARepeatOfTheirFrame) {
  auto sink = open();
  const RecordRef record = testing::frame_record({.objects = 1});
  const RecordRef update = testing::update_record(*record);
  ASSERT_TRUE(write(*sink, {record, update}));
  ASSERT_TRUE(write(*sink, {record, update}));
  EXPECT_EQ(query("SELECT count(*) FROM objects"), Json::parse("[[2]]"));
  EXPECT_EQ(query("SELECT round(x), round(y), parent FROM objects WHERE id = 5"),
            Json::parse("[[90.0,35.0,0]]"));
  EXPECT_EQ(query("SELECT model, name, label, value, late FROM attributes ORDER BY model"),
            Json::parse(R"([["classifier","mood","glad",null,0],["mood","age",null,34.0,1],
                            ["report","verdict","checked",null,1]])"));
}

TEST_F(SqliteSink, UpdateBeforeItsFrameIsKept) {
  auto sink = open();
  const RecordRef record = testing::frame_record({.objects = 1});
  ASSERT_TRUE(write(*sink, {testing::update_record(*record)}));
  ASSERT_TRUE(write(*sink, {record}));
  EXPECT_EQ(query("SELECT count(*) FROM frames"), Json::parse("[[1]]"));
  EXPECT_EQ(query("SELECT count(*) FROM attributes"), Json::parse("[[3]]"));
}

TEST_F(SqliteSink, ViewsCountPerMinuteTracksAndDwell) {
  auto sink = open();
  std::vector<RecordRef> records;
  for (int i = 0; i < 50; ++i) {
    auto record = std::make_shared<Record>(*testing::frame_record({.seq = i, .objects = 2}));
    auto message = std::make_shared<stream::Message>(*record->message);
    message->frame->captured_us = 1'700'000'000'000'000 + i * 2'000'000;  // 22:13:20 UTC
    record->message = message;
    if (i == 5 || i == 30) {
      Attribute event;
      event.name = Label(i == 5 ? "enter" : "leave");
      event.kind = AttributeKind::number;
      event.number = 1;
      event.text = "door";
      event.model = Label("zones");
      record->results.attributes = make_ref<const AttributeList>(std::vector<Attribute>{event});
    }
    records.push_back(record);
  }
  ASSERT_TRUE(write(*sink, records));
  EXPECT_EQ(
      query("SELECT minute, label, objects, tracks, frames FROM counts_per_minute ORDER BY minute"),
      Json::parse(R"([["2023-11-14T22:13Z","person",40,2,20],["2023-11-14T22:14Z","person",60,2,30]])"));
  EXPECT_EQ(query("SELECT track, label, frames, seconds FROM tracks ORDER BY track"),
            Json::parse(R"([[1,"person",50,1.96],[2,"person",50,1.96]])"));
  EXPECT_EQ(query("SELECT zone, track, seconds FROM dwell"), Json::parse(R"([["door",1,1.0]])"));
}

TEST_F(SqliteSink, NotesAreStoredWhenAskedFor) {
  auto end = std::make_shared<Record>();
  end->kind = RecordKind::end_of_stream;
  end->source_id = "cam";
  end->uuid = stream::make_uuid_v7();
  auto message = std::make_shared<stream::Message>();
  message->end_of_stream.emplace().reason = stream::EndReason::end;
  end->message = message;
  {
    auto sink = open();
    ASSERT_TRUE(write(*sink, {end}));
    EXPECT_EQ(query("SELECT count(*) FROM notes"), Json::parse("[[0]]"));
  }
  auto sink = open({{"notes", "true"}});
  ASSERT_TRUE(write(*sink, {end}));
  EXPECT_EQ(query("SELECT json_extract(json, '$.kind') FROM notes"), Json::parse(R"([["end_of_stream"]])"));
}

TEST_F(SqliteSink, OldRecordsGo) {
  auto sink = open({{"keep", "3600"}});
  auto old = std::make_shared<Record>(*testing::frame_record({.objects = 2, .events = 1}));
  // Two hours ago, by its uuid.
  const int64_t made = stream::unix_ms(old->uuid) - 2 * 3600 * 1000;
  for (int i = 0; i < 6; ++i) old->uuid[size_t(i)] = uint8_t(made >> (40 - 8 * i));
  ASSERT_TRUE(write(*sink, {old, testing::frame_record({.objects = 1, .events = 1})}));
  EXPECT_EQ(
      query("SELECT (SELECT count(*) FROM frames), (SELECT count(*) FROM objects), (SELECT count(*) FROM "
            "attributes), (SELECT count(*) FROM events), (SELECT count(*) FROM counters)"),
      Json::parse("[[1,1,1,1,1]]"));
}

TEST_F(SqliteSink, DatabaseOfAnEarlierVersionIsBroughtUpToThisOne) {
  {
    auto sink = open();
    ASSERT_TRUE(write(*sink, {testing::frame_record({.objects = 1})}));
    sink->stop();
  }
  // Version 1 had no views and indexes.
  (void)query("DROP VIEW tracks");
  for (const char* what : {"VIEW dwell", "VIEW counts_per_minute", "INDEX frames_by_source",
                           "INDEX events_by_source", "INDEX objects_by_frame", "INDEX events_by_track"})
    (void)query(std::format("DROP {}", what));
  (void)query("PRAGMA user_version = 1");
  auto sink = open();
  EXPECT_EQ(query("PRAGMA user_version"), Json::parse("[[2]]"));
  EXPECT_EQ(query("SELECT count(*) FROM tracks"), Json::parse("[[1]]")) << "what was there is there";
}

TEST_F(SqliteSink, ConflictNamesBothSides) {
  (void)query("CREATE TABLE frames (uuid TEXT, what TEXT)");
  auto sink = make();
  const Status started = sink->start();
  ASSERT_FALSE(started);
  EXPECT_THAT(started.error().message,
              ::testing::AllOf(HasSubstr("(uuid, what)"), HasSubstr("(uuid, source_id,")));
}

TEST_F(SqliteSink, NewerDatabaseIsNotTouched) {
  open()->stop();
  (void)query("PRAGMA user_version = 99");
  const Status started = make()->start();
  ASSERT_FALSE(started);
  EXPECT_THAT(started.error().message, ::testing::AllOf(HasSubstr("99"), HasSubstr("newer Sightglass")));
}

TEST_F(SqliteSink, FileThatIsNoDatabaseIsAnError) {
  std::ofstream(path_)
      << "this is a text, and long enough to be looked at as a database header would be, really. "
      << std::string(200, 'x');
  const Status started = make()->start();
  ASSERT_FALSE(started);
  EXPECT_THAT(started.error().message, HasSubstr("not a database"));
}

TEST_F(SqliteSink, DatabaseThatSomebodyElseWritesIsTriedAgain) {
  auto sink = open();
  const std::string lock = folder_ + "/locked";
  const std::string program = std::format(
      "python3 -c \"import sqlite3, sys, time, os; db = sqlite3.connect(sys.argv[1], isolation_level=None); "
      "db.execute('BEGIN IMMEDIATE'); print('locked', flush=True); sys.stdin.read()\" '{}' < {}/fifo",
      path_, folder_);
  ASSERT_EQ(std::system(std::format("mkfifo {}/fifo", folder_).c_str()), 0);
  std::FILE* const other = popen(program.c_str(), "r");
  std::ofstream hold(folder_ + "/fifo");
  char line[32];
  ASSERT_TRUE(std::fgets(line, sizeof line, other));
  const RecordRef record = testing::frame_record({});
  const Status written = write(*sink, {record});
  EXPECT_FALSE(written) << "busy: an error, which means all again";
  hold.close();
  pclose(other);
  EXPECT_TRUE(write(*sink, {record}));
  EXPECT_EQ(query("SELECT count(*) FROM frames"), Json::parse("[[1]]"));
}

// The kernel refuses what goes beyond the limit, as a full disk does.
TEST_F(SqliteSink, FullDiskIsAnErrorAndNothingIsHalfThere) {
  const pid_t child = fork();
  if (child == 0) {
    std::signal(SIGXFSZ, SIG_IGN);
    auto sink = open();
    const rlimit limit{400'000, 400'000};
    setrlimit(RLIMIT_FSIZE, &limit);
    int stored = 0;
    Status written;
    while (stored < 10'000 &&
           (written = write(*sink, {testing::frame_record({.seq = stored, .objects = 20})})))
      ++stored;
    std::ofstream(folder_ + "/stored")
        << stored << ' ' << int(written ? ErrorCode::internal : written.error().code);
    _exit(written ? 1 : 0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0) << "it must fail in the end";
  int stored = 0, code = 0;
  std::ifstream(folder_ + "/stored") >> stored >> code;
  EXPECT_GT(stored, 0);
  EXPECT_TRUE(code == int(ErrorCode::exhausted) || code == int(ErrorCode::io));
  const Json counts = query("SELECT (SELECT count(*) FROM frames), (SELECT count(*) FROM objects)");
  EXPECT_EQ(counts[0][0], stored);
  EXPECT_EQ(counts[0][1], stored * 20) << "no frame without its objects";
}

TEST_F(SqliteSink, KilledWhileWritingItLosesNothingThatWasStored) {
  for (int round = 0; round < 4; ++round) {
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    const pid_t child = fork();
    if (child == 0) {
      auto sink = open();
      for (int64_t i = 0;; i += 5) {
        std::vector<RecordRef> batch;
        for (int64_t k = 0; k < 5; ++k)
          batch.push_back(testing::frame_record({.epoch = round, .seq = i + k, .objects = 3}));
        if (!write(*sink, batch)) _exit(1);
        const int64_t done = i + 5;
        if (::write(ends[1], &done, sizeof done) < 0) _exit(1);
      }
    }
    close(ends[1]);
    int64_t stored = 0;
    for (int i = 0; i < 10 + 20 * round; ++i) ASSERT_EQ(read(ends[0], &stored, sizeof stored), 8);
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    while (read(ends[0], &stored, sizeof stored) == 8) continue;
    close(ends[0]);
    EXPECT_EQ(query("PRAGMA integrity_check"), Json::parse(R"([["ok"]])"));
    const Json counts =
        query(std::format("SELECT count(*), (SELECT count(*) FROM objects o JOIN frames f ON f.uuid = o.uuid "
                          "WHERE f.epoch = {0}) "
                          "FROM frames WHERE epoch = {0}",
                          round));
    EXPECT_GE(counts[0][0].get<int64_t>(), stored);
    EXPECT_EQ(counts[0][1].get<int64_t>(), 3 * counts[0][0].get<int64_t>());
  }
}

TEST_F(SqliteSink, PathIsNeeded) {
  const SinkDesc& desc = *find_sink("sqlite");
  const auto sink = desc.create(ParamSet(desc.params), {.name = "events"});
  ASSERT_FALSE(sink);
  EXPECT_THAT(sink.error().message, HasSubstr("path is missing"));
}

}  // namespace
}  // namespace sightglass::adapters
