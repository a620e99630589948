#include "sightglass/stream/zeromq/ipc_file.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string_view>
#include <system_error>

namespace sightglass::stream {
namespace {

// 0: somebody listens; otherwise why the connection failed.
int try_connect(const std::string& path) {
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return errno;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::string_view(path).copy(address.sun_path, sizeof(address.sun_path) - 1);
  const int error =
      connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0 ? 0 : errno;
  close(fd);
  return error;
}

}  // namespace

Status prepare_ipc_file(const std::string& path) {
  namespace fs = std::filesystem;
  const fs::path folder = fs::path(path).parent_path();
  std::error_code error;
  if (!folder.empty() && !fs::exists(folder, error)) {
    fs::create_directories(folder.parent_path(), error);
    // The last one is closed to others from its first moment on.
    if (mkdir(folder.c_str(), 0750) != 0 && errno != EEXIST) {
      return fail(ErrorCode::io, "ipc://{}: cannot make its folder: {}", path, std::strerror(errno));
    }
  }
  struct stat file{};
  if (lstat(path.c_str(), &file) != 0) {
    if (errno == ENOENT) return {};
    return fail(ErrorCode::io, "ipc://{}: {}", path, std::strerror(errno));
  }
  if (!S_ISSOCK(file.st_mode)) {
    return fail(ErrorCode::invalid_argument, "ipc://{}: there is a file that is no socket; it is left alone",
                path);
  }
  switch (const int reason = try_connect(path)) {
    case 0:
    case EAGAIN:
      return fail(ErrorCode::unavailable, "ipc://{}: another process listens there", path);
    case ECONNREFUSED:
      if (unlink(path.c_str()) != 0 && errno != ENOENT) {
        return fail(ErrorCode::io, "ipc://{}: cannot remove the stale socket: {}", path,
                    std::strerror(errno));
      }
      return {};
    default:
      return fail(ErrorCode::io, "ipc://{}: {}", path, std::strerror(reason));
  }
}

Status protect_ipc_file(const std::string& path) {
  if (chmod(path.c_str(), 0660) == 0) return {};
  return fail(ErrorCode::io, "ipc://{}: cannot set its mode: {}", path, std::strerror(errno));
}

}  // namespace sightglass::stream
