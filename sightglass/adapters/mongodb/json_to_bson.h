// JSON text, as this program writes it, into BSON. Several times faster than libbson's own reader, which has
// types of its own to look for, and than its appending value by value.
#pragma once

#include <bson/bson.h>

#include <string>
#include <string_view>

namespace sightglass::adapters {

class JsonToBson {
 public:
  // The entries of an object, appended to `to`. `prefix` comes before their names; characters that mean
  // something in an update ('.', '$' in front) are replaced by '_' in them. False: that is no JSON object.
  bool append(std::string_view json, bson_t& to, std::string_view prefix = {});
  // Of {"late":{NAME:{…}}}: entries late.NAME.
  bool append_late(std::string_view json, bson_t& to);

 private:
  bool object(std::string_view prefix, int depth, bool is_top);
  bool array(int depth);
  bool value(std::string_view key, int depth);
  bool number(std::string_view key);
  bool text(std::string_view& out, std::string& scratch);
  bool literal(std::string_view word);
  void space();

  // BSON as it is laid out: type, name and value, one behind the other.
  void entry(bson_type_t type, std::string_view key);
  template <class T>
  void raw(T value);
  size_t begin_document();
  void end_document(size_t begin);

  const char *at_ = nullptr, *end_ = nullptr;
  std::string key_[40], text_, out_;
};

}  // namespace sightglass::adapters
