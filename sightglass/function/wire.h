// What a module and its workers say to each other over a Unix socket: a request per call, an answer per
// request. Only metadata travels here; the picture lies in memory that both share.
//
//   message   u32 bytes that follow, body
//   request   u8 hook, u32 object, …          (write_request, read_request)
//   answer    u8 ok, text, verdict, results   (write_answer, read_answer)
//
// Numbers are little-endian. Both ends are of one version, so there is no negotiation: the first request,
// `load`, carries `protocol_version` and is refused by any other. Answers come from a process that runs code
// of the user's: every length is checked against the bytes left and the limits before anything is allocated.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "sightglass/core/label.h"
#include "sightglass/function/user_code.h"

namespace sightglass::function {

inline constexpr int protocol_version = 1;

struct WireLimits {
  size_t message_bytes = 16u << 20;
  size_t objects = 1024, attributes_per_owner = 128, attributes = 8192;
  size_t values = 65536, text = 65536, name = 256, tensor_bytes = 4u << 20;
};
inline constexpr WireLimits wire_limits;

// Names that come from user code, as labels: those seen before cost no lock, and there are not endlessly
// many. For one thread.
class NameCache {
 public:
  static constexpr size_t most_names = 4096;
  explicit NameCache(size_t most = most_names) : most_(most) {}
  // False: too many.
  bool find(std::string_view name, Label& label);

 private:
  size_t most_;
  std::map<std::string, Label, std::less<>> names_;
};

// Into `out`, with its length in front. The frame goes without its picture; `has_picture` says that it lies
// in the shared memory, in the layout of FrameLayout::of().
void write_request(const Call& call, uint32_t object, bool has_picture, std::vector<uint8_t>& out);

struct Request {
  Hook hook = Hook::process;
  uint32_t object = 0;
  std::string text;
  StreamInfo stream;
  bool has_frame = false, has_picture = false, writes_pixels = false;
  int region = -1;
  Frame frame;  // no memory
  FrameFacts facts;
};
Result<Request> read_request(std::span<const uint8_t> body, NameCache& names);

struct Answer {
  bool ok = true;
  std::string text;  // the error; of map: the record; of load: JSON that describes the code
  Verdict verdict = Verdict::pass;
  bool accepted = true, pixels_changed = false;
  Box box;
};
// With `results` the regions and attributes of the frame as they are now; those of `request` that are still
// the same attributes are named, not sent again.
void write_answer(const Answer& answer, const Frame* results, const Frame& request,
                  std::vector<uint8_t>& out);
// Changes regions and attributes of `frame`, which has those that the request was made with, and only when
// the whole answer is good. `frame` may be null.
Result<Answer> read_answer(std::span<const uint8_t> body, Frame* frame, NameCache& names);

// What a function may not give: boxes that are no numbers, more objects than the limits.
Status check_results(const Frame& frame);

}  // namespace sightglass::function
