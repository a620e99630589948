#include "sightglass/module/location_reader.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <mutex>
#include <thread>

#include "sightglass/core/masked_url.h"
#include "sightglass/model/sha256.h"
#include "sightglass/net/http_client.h"
#include "sightglass/stream/message_reader.h"

namespace sightglass::module {
namespace {

using Clock = std::chrono::steady_clock;
using Bytes = std::vector<uint8_t>;

class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  ~Descriptor() {
    if (number_ >= 0) close(number_);
  }
  int get() const { return number_; }

 private:
  int number_;
};

// For kernels and sandboxes without openat2(): one part after the other, none of them a link.
Descriptor open_step_by_step(int root, const std::filesystem::path& file, int flags) {
  Descriptor at(fcntl(root, F_DUPFD_CLOEXEC, 0));
  const auto last = std::prev(file.end());
  for (auto part = file.begin(); part != file.end() && at.get() >= 0; ++part)
    at =
        Descriptor(openat(at.get(), part->c_str(),
                          part == last ? flags | O_NOFOLLOW : O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  return at;
}

Result<Descriptor> open_below(const std::filesystem::path& root, const std::filesystem::path& file) {
  const Descriptor folder(open(root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (folder.get() < 0)
    return fail(ErrorCode::not_found, "{}: cannot be opened: {}", root.string(), std::strerror(errno));
  // Without waiting: a pipe would have it wait for its writer.
  constexpr int flags = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
  const open_how how{.flags = flags, .mode = 0, .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};
  Descriptor opened(int(syscall(SYS_openat2, folder.get(), file.c_str(), &how, sizeof how)));
  if (opened.get() < 0 && (errno == ENOSYS || errno == EPERM))
    opened = open_step_by_step(folder.get(), file, flags);
  if (opened.get() >= 0) return opened;
  const bool is_link = errno == ELOOP || errno == EXDEV;
  return fail(ErrorCode::not_found, "{}: {}", (root / file).string(),
              is_link ? "there is a symbolic link on the way" : std::strerror(errno));
}

struct Part {
  uint64_t offset = 0;
  std::optional<uint64_t> size;
};

Result<Bytes> read_file(const LocationRules::Place& place, const Part& part, const LocationLimits& limits) {
  const auto deadline = Clock::now() + limits.time;
  auto file = open_below(place.root, place.file);
  if (!file) return forward_error(file);
  const std::string name = (place.root / place.file).string();
  struct stat about{};
  if (fstat(file->get(), &about) != 0 || !S_ISREG(about.st_mode))
    return fail(ErrorCode::invalid_argument, "{}: not a file", name);
  const uint64_t length = uint64_t(about.st_size);
  if (part.offset > length || part.size.value_or(0) > length - part.offset)
    return fail(ErrorCode::corrupt, "{}: has {} bytes, and not {} from {} on", name, length,
                part.size.value_or(1), part.offset);
  const uint64_t wanted = part.size.value_or(length - part.offset);
  if (wanted > limits.bytes)
    return fail(ErrorCode::exhausted, "{}: {} bytes, more than the {} allowed", name, wanted, limits.bytes);
  Bytes bytes(wanted);
  constexpr size_t step = 1 << 20;
  for (size_t done = 0; done < bytes.size();) {
    if (Clock::now() > deadline)
      return fail(ErrorCode::io, "{}: not read within {} ms", name, limits.time.count());
    const ssize_t got = pread(file->get(), bytes.data() + done, std::min(step, bytes.size() - done),
                              off_t(part.offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0)
      return fail(ErrorCode::io, "{}: {}", name, got < 0 ? std::strerror(errno) : "has become shorter");
    done += size_t(got);
  }
  return bytes;
}

std::string hex(std::span<const uint8_t> bytes) {
  std::string text;
  for (const uint8_t byte : bytes) text += std::format("{:02x}", byte);
  return text;
}

}  // namespace

// ---- over HTTP

class LocationReader::Web {
 public:
  Web(std::shared_ptr<const LocationRules> rules, const LocationLimits& limits)
      : rules_(std::move(rules)), limits_(limits), client_(options()) {}

  Result<Bytes> read(const std::string& url, const Part& part);
  void cancel() { client_.cancel(); }

 private:
  net::HttpOptions options() {
    net::HttpOptions options;
    options.connect_timeout = limits_.time;
    options.total_timeout = limits_.time;
    options.allow_address = [this](const sockaddr* address, std::string_view) {
      const net::AddressKind kind = net::kind_of(address);
      if (rules_->allows(url_, kind)) return true;
      refused_ = kind;
      return false;
    };
    return options;
  }

  const std::shared_ptr<const LocationRules> rules_;
  const LocationLimits limits_;
  std::string url_;  // that is connected to: the one asked for, or where that was redirected
  std::optional<net::AddressKind> refused_;
  net::HttpClient client_;
};

Result<Bytes> LocationReader::Web::read(const std::string& url, const Part& part) {
  const std::string shown = masked_url(url);
  const uint64_t most = part.size.value_or(limits_.bytes);
  if (most > limits_.bytes)
    return fail(ErrorCode::exhausted, "{}: {} bytes, more than the {} allowed", shown, most, limits_.bytes);
  Bytes bytes;
  net::HttpRequest request{.url = url,
                           .max_bytes = most,
                           .compressed = false,
                           .max_redirects = limits_.redirects,
                           .check_redirect = [&](const std::string& next) -> Status {
                             auto found = rules_->find(next);
                             if (!found) return forward_error(found);
                             if (found->url.empty())
                               return fail(ErrorCode::invalid_argument, "{}: redirected to a file", shown);
                             url_ = next;
                             return {};
                           }};
  if (part.offset > 0 || part.size) {
    const std::string last = part.size ? std::to_string(part.offset + *part.size - 1) : "";
    request.headers.emplace_back("Range", std::format("bytes={}-{}", part.offset, last));
  }
  request.begin = [&](const net::HttpAnswer& head) -> Status {
    const std::string* const range = head.header("content-range");
    const bool is_part =
        head.status == 206 && range && range->starts_with(std::format("bytes {}-", part.offset));
    // A server that knows no parts gives all of it, which is fine where that begins where we do.
    if (!is_part && (head.status != 200 || part.offset > 0))
      return fail(ErrorCode::unsupported, "{}: its server does not give parts of files", shown);
    bytes.reserve(std::min(most, head.content_length()));
    return {};
  };
  request.receive = [&](std::span<const std::byte> piece) -> Status {
    const auto* const begin = reinterpret_cast<const uint8_t*>(piece.data());
    bytes.insert(bytes.end(), begin, begin + piece.size());
    return {};
  };
  url_ = url;
  refused_.reset();
  auto answer = client_.request(request);
  if (!answer && refused_)
    return fail(ErrorCode::invalid_argument, "{}: leads to {}", shown, net::to_string(*refused_));
  if (!answer) return forward_error(answer);
  if (answer->status / 100 != 2) return std::unexpected(net::to_error(*answer));
  if (part.size && bytes.size() != *part.size)
    return fail(ErrorCode::corrupt, "{}: gives {} bytes, not {}", shown, bytes.size(), *part.size);
  return bytes;
}

// ---- one location

LocationReader::LocationReader(std::shared_ptr<const LocationRules> rules, const LocationLimits& limits)
    : rules_(std::move(rules)), limits_(limits), web_(std::make_unique<Web>(rules_, limits)) {}
LocationReader::~LocationReader() = default;

Result<Bytes> LocationReader::read(const stream::Location& location) {
  auto place = rules_->find(location.uri);
  if (!place) return forward_error(place);
  if (location.offset < 0 || location.size.value_or(1) <= 0 ||
      location.offset > INT64_MAX - location.size.value_or(1))
    return fail(ErrorCode::invalid_argument, "{}: offset or size make no sense", masked_url(location.uri));
  Part part{.offset = uint64_t(location.offset), .size = {}};
  if (location.size) part.size = uint64_t(*location.size);
  auto bytes = place->url.empty() ? read_file(*place, part, limits_) : web_->read(place->url, part);
  if (!bytes) return bytes;
  if (bytes->empty()) return fail(ErrorCode::corrupt, "{}: is empty", masked_url(location.uri));
  if (location.sha256) {
    const std::string sum = sha256({reinterpret_cast<const char*>(bytes->data()), bytes->size()});
    if (sum != hex(*location.sha256))
      return fail(ErrorCode::corrupt, "{}: has another checksum than the message says",
                  masked_url(location.uri));
  }
  return bytes;
}

void LocationReader::cancel() { web_->cancel(); }

// ---- the pool

class LocationPool::Workers {
 public:
  Workers(std::shared_ptr<const LocationRules> rules, const stream::Limits& limits,
          std::chrono::milliseconds time, unsigned most)
      : rules_(std::move(rules)), limits_(limits), time_(time), most_(most) {}
  ~Workers() {
    {
      const std::scoped_lock lock(mutex_);
      is_ending_ = true;
      for (const auto& reader : readers_) reader->cancel();
      changed_.notify_all();
    }
    threads_.clear();
  }

  void add(std::shared_ptr<const stream::Message> message, Done done) {
    const std::scoped_lock lock(mutex_);
    if (is_ending_) return;
    jobs_.push_back({std::move(message), std::move(done)});
    if (idle_ < jobs_.size() && threads_.size() < most_) {
      readers_.push_back(
          std::make_unique<LocationReader>(rules_, LocationLimits{.bytes = limits_.part, .time = time_}));
      threads_.emplace_back([this, reader = readers_.back().get()] { work(*reader); });
    }
    changed_.notify_one();
  }

 private:
  struct Job {
    std::shared_ptr<const stream::Message> message;
    Done done;
  };

  void work(LocationReader& reader) {
    std::unique_lock lock(mutex_);
    for (;;) {
      ++idle_;
      changed_.wait(lock, [&] { return is_ending_ || !jobs_.empty(); });
      --idle_;
      if (is_ending_) return;
      Job job = std::move(jobs_.front());
      jobs_.pop_front();
      lock.unlock();
      auto located = locate(reader, *job.message);
      if (located || located.error().code != ErrorCode::cancelled) job.done(std::move(located));
      job = {};
      lock.lock();
    }
  }

  Result<Located> locate(LocationReader& reader, const stream::Message& message) {
    const auto& location = std::get<stream::Location>(message.frame->content);
    auto bytes = reader.read(location);
    if (!bytes) return forward_error(bytes);
    auto mended = std::make_shared<stream::Message>(message);
    mended->frame->content = stream::Part{.index = 0, .size = int64_t(bytes->size())};
    const stream::Rejection wrong = stream::check_payload(*mended, *bytes, limits_, mendings_);
    if (wrong != stream::Rejection::none)
      return fail(ErrorCode::corrupt, "{}: does not fit its message ({})", masked_url(location.uri),
                  to_string(wrong));
    return Located{std::move(mended), stream::own(*std::move(bytes))};
  }

  const std::shared_ptr<const LocationRules> rules_;
  const stream::Limits limits_;
  const std::chrono::milliseconds time_;
  const size_t most_;
  stream::RejectionCounters mendings_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Job> jobs_;
  size_t idle_ = 0;
  bool is_ending_ = false;
  std::vector<std::unique_ptr<LocationReader>> readers_;
  std::vector<std::jthread> threads_;
};

LocationPool::LocationPool(std::shared_ptr<const LocationRules> rules, const stream::Limits& limits,
                           std::chrono::milliseconds time, unsigned most_threads)
    : workers_(std::make_unique<Workers>(std::move(rules), limits, time, std::max(1u, most_threads))) {}
LocationPool::~LocationPool() = default;

void LocationPool::read(std::shared_ptr<const stream::Message> message, Done done) {
  workers_->add(std::move(message), std::move(done));
}

}  // namespace sightglass::module
