// Sends the JSON text of each frame (of a metaconvert before it) to a file or a broker. Frames pass
// unchanged. One stream, one thread; one system call per frame.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "sightglass/core/element.h"
#include "sightglass/elements/metapublish/json_file.h"

namespace sightglass {

class MetaPublish final : public TransformInplace {
 public:
  enum class Method : uint8_t { file = 1, mqtt = 2, kafka = 3 };
  struct Params {
    Method method = Method::file;
    std::string file_path = "stdout";
    JsonFile::Form file_format = JsonFile::Form::json;
    std::string address, topic, mqtt_client_id, username, password, mqtt_config;
    unsigned max_connect_attempts = 1, max_reconnect_interval = 30, buffer_messages = 0;
    bool signal_handoffs = false;
  };

  explicit MetaPublish(const Params& params) : params_(params) {}

  Status start() override;
  void stop() override { (void)file_.close(); }
  std::vector<std::string> take_warnings() override { return std::exchange(warnings_, {}); }
  Result<Verdict> process(Frame& frame) override;
  Status drain() override { return file_.finish(); }

 private:
  Params params_;
  JsonFile file_;
  std::vector<std::string> warnings_;
};

}  // namespace sightglass
