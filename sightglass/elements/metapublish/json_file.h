// A file that grows by one JSON record at a time and is readable at any moment, also after a crash or when
// the disk is full.
//
// json        one array. In an ordinary file the closing bracket is always there: each record overwrites it
//             and writes it anew. What cannot be overwritten (a pipe, standard output) gets it from finish().
// json_lines  one record per line; a record of several lines is joined
//
// Every record is one write() without buffering and without waiting for the disk. A record that fits only in
// part is taken back. Files that exist are replaced. One thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "sightglass/core/result.h"

namespace sightglass {

class JsonFile {
 public:
  enum class Form : uint8_t { json = 1, json_lines = 2 };

  JsonFile() = default;
  JsonFile(const JsonFile&) = delete;
  JsonFile& operator=(const JsonFile&) = delete;
  ~JsonFile() { (void)close(); }

  // `path` "stdout" is the standard output.
  Status open(const std::string& path, Form form);
  Status write(std::string_view record);
  Status finish();  // the closing bracket, where it is due; more records begin a new array
  Status close();   // finish() and the end

 private:
  Status put(std::string_view text);
  std::unexpected<Error> failed(int reason) const;

  std::string path_;
  Form form_ = Form::json_lines;
  int file_ = -1;
  bool rewritable_ = false;  // the end can be overwritten
  bool broken_ = false;      // after an error: nothing more is written
  int64_t end_ = 0;          // of the records: where the closing bracket stands
  uint64_t records_ = 0, in_array_ = 0;
  std::string text_;
};

}  // namespace sightglass
