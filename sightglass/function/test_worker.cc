// A worker that misbehaves as it is told, for worker_pool_test: "test_worker … SOCKET MEMORY". The symbol of
// the function says what each kind of request does; "cam-bad" is the stream that is ill-treated.
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <map>

#include "sightglass/function/wire.h"

namespace {

using namespace sightglass;
using namespace sightglass::function;

bool read_all(int socket, void* into, size_t size) {
  auto* next = static_cast<char*>(into);
  while (size > 0) {
    const ssize_t got = recv(socket, next, size, 0);
    if (got <= 0) return false;
    next += got;
    size -= size_t(got);
  }
  return true;
}
void send_all(int socket, const std::vector<uint8_t>& message) {
  for (size_t sent = 0; sent < message.size();) {
    const ssize_t now = send(socket, message.data() + sent, message.size() - sent, MSG_NOSIGNAL);
    if (now <= 0) _exit(1);
    sent += size_t(now);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const int socket = std::atoi(argv[argc - 2]);
  NameCache names;
  std::vector<uint8_t> body, out;
  std::string mode;
  uint32_t bad = ~0u;
  std::map<uint32_t, std::string> parameters;  // as each object has heard of them
  while (true) {
    uint32_t size = 0;
    if (!read_all(socket, &size, sizeof size)) return 0;
    body.resize(size);
    if (!read_all(socket, body.data(), size)) return 0;
    const auto request = read_request(body, names);
    if (!request) return 1;
    Answer answer;
    if (request->hook == Hook::load) {
      for (const char* known :
           {"echo", "hang", "crash", "garbage", "huge", "late", "nap", "never", "refuse", "slow"})
        if (request->text.find(std::string("\"symbol\":\"") + known) != std::string::npos) mode = known;
      if (mode == "never") pause();
      if (mode == "refuse") answer = {.ok = false, .text = "ImportError: nothing here"};
      if (answer.ok) answer.text = "process map";
    }
    if (request->hook == Hook::start && request->stream.source_id == "cam-bad") bad = request->object;
    if (request->hook == Hook::start || request->hook == Hook::apply)
      parameters[request->object] = request->text;
    const bool is_bad = request->hook == Hook::process && request->object == bad;
    Frame results = request->frame;
    if (request->hook == Hook::process) {
      results.regions.push_back({.box = {0, 0, 1, 1}, .label = Label("seen")});
      results.regions.back().track = getpid();
      results.regions.back().model = Label(parameters[request->object]);
    }
    if (is_bad && mode == "hang") pause();
    if (is_bad && mode == "crash") raise(SIGKILL);
    if (is_bad && mode == "slow") usleep(150'000);
    if (is_bad && mode == "nap") usleep(600'000);
    if (is_bad && mode == "garbage") {
      out.assign(64, 0xff);
      out[3] = 0;  // a length that is small enough, then nonsense
      out[0] = 60, out[1] = out[2] = 0;
    } else if (is_bad && mode == "huge") {
      out.assign({0, 0, 0, 0x7f});
    } else {
      write_answer(answer, request->hook == Hook::process ? &results : nullptr, request->frame, out);
    }
    send_all(socket, out);
  }
}
