#include "tests/servers/server_process.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <format>
#include <fstream>
#include <random>
#include <sstream>
#include <stdexcept>
#include <thread>
#include <utility>

namespace sightglass::test {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr auto start_limit = 60s, control_limit = 60s;

sockaddr_in loopback(int port) {
  return {.sin_family = AF_INET,
          .sin_port = htons(static_cast<uint16_t>(port)),
          .sin_addr = {htonl(INADDR_LOOPBACK)},
          .sin_zero = {}};
}

int connected_to(int port) {
  const int connection = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_in address = loopback(port);
  if (connect(connection, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0)
    return connection;
  close(connection);
  return -1;
}

bool takes_connections(const ServerProcess& server) {
  const int connection = connected_to(server.port());
  if (connection >= 0) close(connection);
  return connection >= 0;
}

// Waits until there is something to read; false: not in time.
bool readable(int descriptor, Clock::time_point deadline) {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
  pollfd wait{.fd = descriptor, .events = POLLIN, .revents = 0};
  return poll(&wait, 1, static_cast<int>(std::max<int64_t>(left, 0))) > 0;
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

void run(const std::string& command) {
  if (std::system((command + " >/dev/null 2>&1").c_str()) != 0)
    throw std::runtime_error("failed: " + command);
}

}  // namespace

int free_port() {
  int end = 0;
  std::ifstream("/proc/sys/net/ipv4/ip_local_port_range") >> end;
  thread_local std::mt19937 random(std::random_device{}());
  std::uniform_int_distribution<int> ports(std::max(1024, end - 10'000), std::max(2048, end - 1));
  for (int i = 0; i < 1000; ++i) {
    const int port = ports(random);
    const int probe = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const sockaddr_in address = loopback(port);
    const bool is_free = bind(probe, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
    close(probe);
    if (is_free) return port;
  }
  throw std::runtime_error("no free port");
}

bool eventually(const std::function<bool()>& holds, std::chrono::milliseconds limit) {
  const auto deadline = Clock::now() + limit;
  while (!holds()) {
    if (Clock::now() >= deadline) return false;
    std::this_thread::sleep_for(5ms);
  }
  return true;
}

// --- starting and ending

ServerProcess::ServerProcess(ServerProcess&& other) noexcept
    : command_(std::move(other.command_)),
      ready_(std::move(other.ready_)),
      folder_(std::move(other.folder_)),
      pid_(std::exchange(other.pid_, 0)),
      stdin_(std::exchange(other.stdin_, -1)),
      port_(other.port_),
      control_port_(other.control_port_) {}

ServerProcess::~ServerProcess() { end(SIGKILL); }

std::string ServerProcess::address() const { return std::format("127.0.0.1:{}", port_); }

void ServerProcess::start() {
  int in[2], out[2];
  if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0) throw std::runtime_error("cannot make a pipe");
  std::vector<char*> arguments;
  arguments.reserve(command_.size() + 1);
  for (std::string& word : command_) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  const std::string log = folder_.path() / "log";
  const pid_t parent = getpid();
  pid_ = fork();
  if (pid_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(127);
    dup2(in[0], 0), dup2(out[1], 1);
    const int file = open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (file >= 0) dup2(file, 2);
    if (ready_ && file >= 0) dup2(file, 1);
    execvp(arguments[0], arguments.data());
    _exit(127);
  }
  close(in[0]), close(out[1]);
  stdin_ = in[1];

  const auto deadline = Clock::now() + start_limit;
  bool ready = false;
  if (ready_) {
    ready = eventually([this] { return ready_(*this) || waitpid(pid_, nullptr, WNOHANG) == pid_; },
                       start_limit) &&
            ready_(*this);
  } else {
    std::string line;
    char letter = 0;
    while (readable(out[0], deadline) && read(out[0], &letter, 1) == 1 && letter != '\n') line += letter;
    std::string word, host;
    std::istringstream(line) >> word >> host >> port_ >> control_port_;
    ready = word == "listening" && port_ > 0;
  }
  close(out[0]);
  if (ready) return;
  std::ostringstream said;
  said << std::ifstream(log).rdbuf();
  end(SIGKILL);
  throw std::runtime_error(std::format("{} does not start: {}", joined(command_), said.str()));
}

void ServerProcess::signal(int number) const {
  if (pid_ > 0) ::kill(pid_, number);
}

void ServerProcess::end(int number) {
  if (stdin_ >= 0) close(std::exchange(stdin_, -1));
  if (pid_ <= 0) return;
  ::kill(pid_, number);
  if (number != SIGKILL && !eventually([this] { return waitpid(pid_, nullptr, WNOHANG) != 0; }, 10s))
    number = SIGKILL, ::kill(pid_, number);
  if (number == SIGKILL) waitpid(pid_, nullptr, 0);
  pid_ = 0;
}

void ServerProcess::restart() {
  end(SIGKILL);
  if (!ready_) {  // the last ones win over those of the first start
    command_.insert(command_.end(), {"--port", std::to_string(port_)});
    if (control_port_) command_.insert(command_.end(), {"--control-port", std::to_string(control_port_)});
  }
  start();
}

// --- control

nlohmann::json ServerProcess::control(std::string_view command, const nlohmann::json& arguments) const {
  const int connection = connected_to(control_port_);
  if (connection < 0) throw std::runtime_error(std::format("{}: no control port", joined(command_)));
  const std::string body = arguments.dump();
  const std::string request =
      std::format("POST /{} HTTP/1.0\r\nContent-Length: {}\r\n\r\n{}", command, body.size(), body);
  std::string answer;
  const auto deadline = Clock::now() + control_limit;
  for (size_t sent = 0; sent < request.size();) {
    const ssize_t count = send(connection, request.data() + sent, request.size() - sent, MSG_NOSIGNAL);
    if (count <= 0) break;
    sent += static_cast<size_t>(count);
  }
  char part[65536];
  for (ssize_t count = 1; count > 0 && readable(connection, deadline);) {
    count = recv(connection, part, sizeof part, 0);
    if (count > 0) answer.append(part, static_cast<size_t>(count));
  }
  close(connection);
  const size_t begin = answer.find("\r\n\r\n");
  if (begin == std::string::npos) throw std::runtime_error(std::format("control {}: no answer", command));
  const std::string text = answer.substr(begin + 4);
  if (!answer.starts_with("HTTP/1.1 200 "))
    throw std::runtime_error(std::format("control {}: {}", command, text));
  return nlohmann::json::parse(text);
}

// --- which ones there are

ServerProcess ServerProcess::script(const std::string& name, std::vector<std::string> arguments) {
  std::vector<std::string> command{"python3", std::string(SIGHTGLASS_TEST_SERVERS) + "/" + name};
  command.insert(command.end(), arguments.begin(), arguments.end());
  return program(std::move(command));
}

ServerProcess ServerProcess::program(std::vector<std::string> command) {
  ServerProcess server;
  server.command_ = std::move(command);
  server.start();
  return server;
}

ServerProcess ServerProcess::kafka_mock(int brokers) {
  return program({SIGHTGLASS_KAFKA_MOCK, std::to_string(brokers)});
}

ServerProcess ServerProcess::redis(std::vector<std::string> extra) {
  ServerProcess server;
  server.port_ = free_port();
  server.command_ = {"redis-server",  "--port",    std::to_string(server.port_),
                     "--bind",        "127.0.0.1", "--dir",
                     server.folder(), "--save",    "",
                     "--appendonly",  "yes",       "--appendfsync",
                     "always"};
  server.command_.insert(server.command_.end(), extra.begin(), extra.end());
  server.ready_ = &takes_connections;
  server.start();
  return server;
}

ServerProcess ServerProcess::mosquitto(const std::string& extra_configuration) {
  ServerProcess server;
  server.port_ = free_port();
  const fs::path file = server.folder() / "mosquitto.conf";
  std::ofstream(file) << std::format("listener {} 127.0.0.1\n", server.port_)
                      << (extra_configuration.contains("allow_anonymous") ? "" : "allow_anonymous true\n")
                      << std::format("persistence true\npersistence_location {}/\n", server.folder().string())
                      << (geteuid() == 0 ? "user root\n" : "") << extra_configuration << '\n';
  server.command_ = {fs::exists("/usr/sbin/mosquitto") ? "/usr/sbin/mosquitto" : "mosquitto", "-c", file};
  server.ready_ = &takes_connections;
  server.start();
  return server;
}

ServerProcess ServerProcess::etcd() {
  ServerProcess server;
  server.port_ = free_port();
  const std::string client = "http://" + server.address(),
                    peer = std::format("http://127.0.0.1:{}", free_port());
  server.command_ = {"etcd",
                     "--data-dir",
                     server.folder() / "data",
                     "--listen-client-urls",
                     client,
                     "--advertise-client-urls",
                     client,
                     "--listen-peer-urls",
                     peer,
                     "--initial-advertise-peer-urls",
                     peer,
                     "--initial-cluster",
                     "default=" + peer};
  server.ready_ = [client](const ServerProcess&) {
    return std::system(("ETCDCTL_API=3 etcdctl --command-timeout=5s --endpoints=" + client +
                        " endpoint health >/dev/null 2>&1")
                           .c_str()) == 0;
  };
  server.start();
  return server;
}

ServerProcess ServerProcess::nginx(const fs::path& folder, const std::string& extra_configuration) {
  ServerProcess server;
  server.port_ = free_port();
  const fs::path file = server.folder() / "nginx.conf";
  const std::string own = server.folder();
  std::ofstream(file) << std::format(
      "daemon off; master_process off; pid {0}/pid; error_log {0}/log;\nevents {{}}\nhttp {{\n access_log "
      "off; "
      "client_body_temp_path {0}/body; proxy_temp_path {0}/proxy; fastcgi_temp_path {0}/fastcgi; "
      "uwsgi_temp_path {0}/uwsgi; scgi_temp_path {0}/scgi;\n"
      " server {{ listen 127.0.0.1:{1}; root {2};\n{3}\n }}\n}}\n",
      own, server.port_, fs::absolute(folder).string(), extra_configuration);
  server.command_ = {fs::exists("/usr/sbin/nginx") ? "/usr/sbin/nginx" : "nginx", "-c", file, "-p", own};
  server.ready_ = &takes_connections;
  server.start();
  return server;
}

TestCertificates::TestCertificates() {
  run(std::format("python3 {}/make_certificates.py {}", SIGHTGLASS_TEST_SERVERS, folder_.path().string()));
}
std::vector<std::string> TestCertificates::server_arguments(bool ask_for_client) const {
  std::vector<std::string> arguments{"--tls-cert", path("server.pem"), "--tls-key", path("server.key")};
  if (ask_for_client) arguments.insert(arguments.end(), {"--tls-client-ca", path("ca.pem")});
  return arguments;
}

namespace {
std::optional<std::string> given_url(std::string_view system) {
  const char* url = std::getenv(("SIGHTGLASS_TEST_" + std::string(system)).c_str());
  if (!url || !*url) return std::nullopt;
  return url;
}
}  // namespace

ServerUnderTest::ServerUnderTest(std::string_view system, std::string_view scheme,
                                 const std::function<ServerProcess()>& start) {
  if (const auto url = given_url(system)) {
    url_ = *url;
  } else {
    process_.emplace(start());
    url_ = std::string(scheme) + process_->address();
  }
}
ServerUnderTest::ServerUnderTest(std::string_view system, const std::string& script, std::string_view scheme,
                                 std::vector<std::string> arguments)
    : ServerUnderTest(system, scheme, [&] { return ServerProcess::script(script, std::move(arguments)); }) {}

}  // namespace sightglass::test
