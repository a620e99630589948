// Servers that tests start: those of this folder (README.md) and real ones, on loopback and for the test
// alone.
//
//   ServerProcess store = ServerProcess::script("elasticsearch_double.py");
//   ServerProcess proxy = ServerProcess::script("fault_proxy.py", {"--to", store.address()});
//   …the sink writes to "http://" + proxy.address()…
//   proxy.control("set", {{"cut_after", 1000}, {"times", 1}});
//   EXPECT_EQ(store.control("documents").size(), 2000u);
//
// A server dies with the thread that started it, and with the ServerProcess. Starting waits until the server
// is ready, for a minute at most; what goes wrong then is an exception, which fails the test.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>
#include <nlohmann/json.hpp>

#include "tests/temporary_folder.h"

namespace sightglass::test {

// A port that nobody listens on at this moment. From below the ports that the system gives to clients and to
// those who ask for any: until its program binds it, no connection of another can come to lie on it.
int free_port();

class ServerProcess {
 public:
  // Of this folder: its own port and its control port are known from then on, also after restart().
  static ServerProcess script(const std::string& name, std::vector<std::string> arguments = {});
  // The same of a program that speaks like them.
  static ServerProcess program(std::vector<std::string> command);
  // librdkafka's mock cluster (kafka_mock.cc): brokers go down, leaders move, errors are injected. restart()
  // makes a new one.
  static ServerProcess kafka_mock(int brokers = 3);
  // Real servers. The folder keeps configuration and data; `extra` are further arguments.
  static ServerProcess redis(std::vector<std::string> extra = {});
  static ServerProcess mosquitto(const std::string& extra_configuration = {});
  static ServerProcess etcd();
  // Serves a folder over HTTP, with ranges; `extra_configuration` goes into its `server` block.
  static ServerProcess nginx(const std::filesystem::path& folder,
                             const std::string& extra_configuration = {});

  ServerProcess(ServerProcess&&) noexcept;
  ServerProcess& operator=(ServerProcess&&) = delete;
  ~ServerProcess();

  int port() const { return port_; }
  std::string address() const;  // host:port
  const std::filesystem::path& folder() const { return folder_.path(); }
  // Only of those that have a control port. The answer; an error of the server is an exception.
  nlohmann::json control(std::string_view command,
                         const nlohmann::json& arguments = nlohmann::json::object()) const;

  bool running() const { return pid_ > 0; }
  pid_t pid() const { return pid_; }
  void pause() { signal(SIGSTOP); }
  void go_on() { signal(SIGCONT); }
  void stop() { end(SIGTERM); }  // orderly; killed after 10 s
  void kill() { end(SIGKILL); }
  void restart();  // on the same ports, with what its folder keeps

 private:
  ServerProcess() = default;
  void start();
  void signal(int number) const;
  void end(int signal);

  std::vector<std::string> command_;
  std::function<bool(const ServerProcess&)> ready_;  // empty: it prints a line
  TemporaryFolder folder_;
  pid_t pid_ = 0;
  int stdin_ = -1;  // the server ends when it does
  int port_ = 0, control_port_ = 0;
};

// Certificates for loopback, made once per object: ca.pem, server.pem and .key, client.pem and .key, of the
// same authority; other-ca.pem, other.pem and .key of another one.
class TestCertificates {
 public:
  TestCertificates();
  std::string path(std::string_view name) const { return folder_.path() / name; }
  // What makes a double speak TLS.
  std::vector<std::string> server_arguments(bool ask_for_client = false) const;

 private:
  TemporaryFolder folder_;
};

// Where a suite runs: on the server at SIGHTGLASS_TEST_<SYSTEM>, else on the double, which is started then.
// Cases that need faults or the double's own view are skipped on a real server with
// SIGHTGLASS_ON_DOUBLE_ONLY.
class ServerUnderTest {
 public:
  ServerUnderTest(std::string_view system, const std::string& script, std::string_view scheme,
                  std::vector<std::string> arguments = {});
  ServerUnderTest(std::string_view system, std::string_view scheme,
                  const std::function<ServerProcess()>& start);
  const std::string& url() const { return url_; }
  bool real() const { return !process_; }
  ServerProcess& process() { return process_.value(); }

 private:
  std::string url_;
  std::optional<ServerProcess> process_;
};

#define SIGHTGLASS_ON_DOUBLE_ONLY(server) \
  if ((server).real()) GTEST_SKIP() << "fault: only on a server of its own"

// True as soon as `holds` is, false when it is not within the limit: for what another process does in its own
// time.
bool eventually(const std::function<bool()>& holds,
                std::chrono::milliseconds limit = std::chrono::seconds(60));

}  // namespace sightglass::test
