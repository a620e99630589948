// librdkafka's own mock of a Kafka cluster as a process, for SIGSTOP, brokers that go down, leaders that move
// and errors that are injected. It is the code of the client that our adapters use, so kafka_double.py is the
// independent one; what it stores is in memory, on ports that change with each start.
//
//   kafka_mock [BROKERS]      3 unless given
//
// Prints `listening HOST PORT CONTROL_PORT` of the first broker, and ends when its standard input does.
// Control commands (server_process.h, README.md), all by HTTP with JSON; broker ids count from 1:
//
//   state      {}                                              → {"bootstrap": "127.0.0.1:1,127.0.0.1:2,…"}
//   topic      {"topic", "partitions", "replicas": 1}           made; or with "error": number, that error for
//   all of it leader     {"topic", "partition", "broker"}                 -1: no leader broker     {"broker",
//   "up": bool, "rtt_ms": number} errors     {"api": number, "errors": [numbers], "broker"}   of the next
//   requests of that kind, of one broker or all clear      {"api": number} coordinator {"group", "broker"}
//   rebalance_delay {"ms"}                                      how long a group waits for its first members
//   requests   {}                                              → how many requests of each kind since the
//   last time
#include <arpa/inet.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <format>
#include <stdexcept>
#include <string>
#include <vector>
#include <nlohmann/json.hpp>

namespace {

using nlohmann::json;

class Mock {
 public:
  explicit Mock(int brokers) : brokers_(brokers) {
    char reason[512];
    client_ = rd_kafka_new(RD_KAFKA_PRODUCER, nullptr, reason, sizeof reason);
    if (!client_) throw std::runtime_error(reason);
    cluster_ = rd_kafka_mock_cluster_new(client_, brokers);
    if (!cluster_) throw std::runtime_error("no mock cluster");
    rd_kafka_mock_start_request_tracking(cluster_);
  }
  ~Mock() {
    rd_kafka_mock_cluster_destroy(cluster_);
    rd_kafka_destroy(client_);
  }
  Mock(const Mock&) = delete;
  Mock& operator=(const Mock&) = delete;

  std::string bootstrap() const { return rd_kafka_mock_cluster_bootstraps(cluster_); }

  json control(const std::string& command, const json& arguments) {
    const auto text = [&](const char* key) { return arguments.at(key).get<std::string>(); };
    const auto number = [&](const char* key) { return arguments.at(key).get<int>(); };
    if (command == "state") return {{"bootstrap", bootstrap()}, {"brokers", brokers_}};
    if (command == "requests") return requests();
    if (command == "topic") {
      if (arguments.contains("error")) {
        rd_kafka_mock_topic_set_error(cluster_, text("topic").c_str(), rd_kafka_resp_err_t(number("error")));
      } else {
        check(rd_kafka_mock_topic_create(cluster_, text("topic").c_str(), number("partitions"),
                                         arguments.value("replicas", 1)));
      }
    } else if (command == "leader") {
      check(rd_kafka_mock_partition_set_leader(cluster_, text("topic").c_str(), number("partition"),
                                               number("broker")));
    } else if (command == "broker") {
      if (arguments.contains("rtt_ms"))
        check(rd_kafka_mock_broker_set_rtt(cluster_, number("broker"), number("rtt_ms")));
      if (arguments.contains("up"))
        check(arguments.at("up").get<bool>() ? rd_kafka_mock_broker_set_up(cluster_, number("broker"))
                                             : rd_kafka_mock_broker_set_down(cluster_, number("broker")));
    } else if (command == "errors") {
      std::vector<rd_kafka_resp_err_t> errors;
      for (const json& error : arguments.at("errors"))
        errors.push_back(rd_kafka_resp_err_t(error.get<int>()));
      const auto api = static_cast<int16_t>(number("api"));
      if (arguments.contains("broker")) {
        for (const auto error : errors)
          check(rd_kafka_mock_broker_push_request_error_rtts(cluster_, number("broker"), api, 1, error, 0));
      } else {
        rd_kafka_mock_push_request_errors_array(cluster_, api, errors.size(), errors.data());
      }
    } else if (command == "clear") {
      rd_kafka_mock_clear_request_errors(cluster_, static_cast<int16_t>(number("api")));
    } else if (command == "coordinator") {
      check(rd_kafka_mock_coordinator_set(cluster_, "group", text("group").c_str(), number("broker")));
    } else if (command == "rebalance_delay") {
      rd_kafka_mock_group_initial_rebalance_delay_ms(cluster_, number("ms"));
    } else {
      throw std::runtime_error("no command " + command);
    }
    return json::object();
  }

 private:
  static void check(rd_kafka_resp_err_t error) {
    if (error) throw std::runtime_error(rd_kafka_err2str(error));
  }
  json requests() {
    size_t count = 0;
    rd_kafka_mock_request_t** all = rd_kafka_mock_get_requests(cluster_, &count);
    json by_kind = json::object();
    for (size_t i = 0; i < count; ++i) {
      json& kind = by_kind[std::to_string(rd_kafka_mock_request_api_key(all[i]))];
      kind = kind.is_null() ? 1 : kind.get<int>() + 1;
    }
    rd_kafka_mock_request_destroy_array(all, count);
    rd_kafka_mock_clear_requests(cluster_);
    return by_kind;
  }

  int brokers_;
  rd_kafka_t* client_ = nullptr;
  rd_kafka_mock_cluster_t* cluster_ = nullptr;
};

// One request of HTTP/1.0 or 1.1 with a Content-Length; the connection ends after the answer.
void serve_control(int connection, Mock& mock) {
  std::string request;
  char part[4096];
  const auto more = [&] {
    const ssize_t count = recv(connection, part, sizeof part, 0);
    if (count > 0) request.append(part, static_cast<size_t>(count));
    return count > 0;
  };
  size_t head = 0;
  while ((head = request.find("\r\n\r\n")) == std::string::npos) {
    if (!more()) return;
  }
  std::string lower = request.substr(0, head);
  std::ranges::transform(lower, lower.begin(), [](unsigned char letter) { return std::tolower(letter); });
  const size_t length = lower.find("content-length:");
  const size_t size =
      length == std::string::npos ? 0 : std::strtoul(lower.c_str() + length + 15, nullptr, 10);
  while (request.size() < head + 4 + size) {
    if (!more()) return;
  }
  const size_t begin = request.find('/') + 1;
  const std::string command = request.substr(begin, request.find_first_of(" ?", begin) - begin);
  std::string status = "200 OK", answer;
  try {
    answer =
        mock.control(command, size ? json::parse(request.substr(head + 4, size)) : json::object()).dump();
  } catch (const std::exception& error) {
    status = "400 Bad Request";
    answer = json{{"error", error.what()}}.dump();
  }
  const std::string text = std::format("HTTP/1.1 {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{}",
                                       status, answer.size(), answer);
  (void)!send(connection, text.data(), text.size(), MSG_NOSIGNAL);
}

int listen_on_loopback(int& port) {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{
      .sin_family = AF_INET, .sin_port = 0, .sin_addr = {htonl(INADDR_LOOPBACK)}, .sin_zero = {}};
  socklen_t size = sizeof address;
  if (bind(listener, reinterpret_cast<sockaddr*>(&address), size) != 0 || listen(listener, 16) != 0)
    throw std::runtime_error("no control port");
  getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size);
  port = ntohs(address.sin_port);
  return listener;
}

}  // namespace

int main(int count, char** arguments) {
  try {
    Mock mock(count > 1 ? std::atoi(arguments[1]) : 3);
    int port = 0;
    const int listener = listen_on_loopback(port);
    const std::string first = mock.bootstrap().substr(0, mock.bootstrap().find(','));
    const size_t colon = first.rfind(':');
    std::printf("listening %s %s %d\n", first.substr(0, colon).c_str(), first.substr(colon + 1).c_str(),
                port);
    std::fflush(stdout);
    for (;;) {
      pollfd waits[] = {{.fd = 0, .events = POLLIN, .revents = 0},
                        {.fd = listener, .events = POLLIN, .revents = 0}};
      if (poll(waits, 2, -1) < 0) break;
      char ignored[256];
      if (waits[0].revents && read(0, ignored, sizeof ignored) <= 0) break;
      if (!waits[1].revents) continue;
      const int connection = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
      if (connection < 0) continue;
      serve_control(connection, mock);
      close(connection);
    }
    close(listener);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "kafka_mock: %s\n", error.what());
    return 1;
  }
}
