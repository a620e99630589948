// A sink of one's own in C++: records in another schema, here lines of CSV with how many objects of each
// label a frame has.
//
//   sinks: [{type: counts, path: counts.csv}]
//
// The queue, retries, `when`, dead letters and batches are the module's; a sink says what became of each
// record. docs/write-an-adapter.md says how it is built.
#include <cstdio>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "sightglass/adapters/adapter.h"
#include "sightglass/stream/uuid.h"

using namespace sightglass;
using namespace sightglass::adapters;

struct Params {
  std::string path;
};

class Counts final : public Sink {
 public:
  explicit Counts(std::string path) : path_(std::move(path)) {}
  ~Counts() override { stop(); }

  static Result<std::unique_ptr<Sink>> create(const ParamSet& set, const SinkContext& context) {
    const std::string& path = set.as<Params>().path;
    if (path.empty()) return fail(ErrorCode::invalid_argument, "{}: path is missing: the file", context.name);
    return std::make_unique<Counts>(std::filesystem::path(context.folder) / path);
  }

  Status start() override {
    file_ = std::fopen(path_.c_str(), "a");
    return file_ ? Status() : fail(ErrorCode::io, "{}: cannot be written", path_);
  }

  Status write(std::span<const RecordRef> records, std::span<Stored> outcome) override {
    for (size_t i = 0; i < records.size(); ++i) {
      const Record& record = *records[i];
      if (record.kind != RecordKind::frame) continue;
      std::map<std::string, int> counts;
      for (const Region& region : record.results.regions) ++counts[std::string(region.label.view())];
      // The uuid is the key: who reads the file can tell a record that came twice.
      for (const auto& [label, count] : counts)
        if (std::fprintf(file_, "%s,%s,%.3f,%s,%d\n", stream::to_string(record.uuid).c_str(),
                         record.source_id.c_str(), double(record.pts) * 1e-9, label.c_str(), count) < 0)
          outcome[i] = Stored::retry;
    }
    return flush();
  }

  Status flush() override { return std::fflush(file_) ? fail(ErrorCode::io, "{}: full?", path_) : Status(); }
  void stop() override {
    if (file_) std::fclose(std::exchange(file_, nullptr));
  }

 private:
  const std::string path_;
  std::FILE* file_ = nullptr;
};

const SinkRegistration registration({
    .name = "counts",
    .doc = "lines of CSV: uuid, source, seconds, label, count",
    .nature = SinkNature::data,
    .batch_records = 64,
    .params = ParamTable::of<Params>({param("path", &Params::path, "the file")}),
    .create = &Counts::create,
});
