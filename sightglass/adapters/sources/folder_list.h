// The files of a folder, one by one: those that match, in order, once each; of a hot folder also those that
// come later, as soon as their size has not changed for a while. Remembers in a file what is done with.
//
//   FolderList list({.folder = "/hot", .pattern = "*.mp4", .watch = true});
//   while (auto file = list.next(stop)) { …; list.done(*file); }
//
// One thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <vector>

#include "sightglass/core/result.h"

namespace sightglass::adapters {

enum class Order { name, mtime };
enum class After { keep, move, remove };

class FolderList {
 public:
  struct Options {
    std::filesystem::path folder;
    std::string pattern = "*";  // with * and ?, of the name
    Order order = Order::name;
    bool watch = false;
    std::chrono::nanoseconds settle = std::chrono::seconds(2);  // how long a size has to be the same
    After after = After::keep;
    std::filesystem::path move_to;     // for After::move
    std::filesystem::path checkpoint;  // empty: none
  };
  explicit FolderList(Options options) : options_(std::move(options)) {}

  // Reads the checkpoint; the folder has to be there.
  Status open();
  // The next file. Of a hot folder it waits for one at most until `until`. None: the end, that time, or
  // `stop`.
  std::optional<std::filesystem::path> next(const std::stop_token& stop,
                                            std::chrono::steady_clock::time_point until);
  // Moves or deletes it, and notes it in the checkpoint: it will not come again.
  Status done(const std::filesystem::path& file);
  void rewind();  // all of it again, for loops

 private:
  struct Seen {
    uintmax_t size = 0;
    std::filesystem::file_time_type time;
    std::chrono::steady_clock::time_point since;
  };
  void look();

  const Options options_;
  std::set<std::string> done_;  // names: of earlier runs, and of this one
  std::set<std::string> given_;
  std::map<std::string, Seen> growing_;
  std::vector<std::filesystem::path> waiting_;  // the next one last
  std::optional<std::chrono::steady_clock::time_point> looked_;
};

}  // namespace sightglass::adapters
