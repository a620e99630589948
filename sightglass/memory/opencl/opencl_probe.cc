#include "sightglass/memory/opencl/opencl_probe.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sightglass/memory/opencl/opencl_error.h"

namespace sightglass {
namespace {

// What the context will do as well. Runs in the child.
cl_int try_opencl() {
  cl_platform_id platforms[8];
  cl_uint platform_count = 0;
  cl_int code = clGetPlatformIDs(8, platforms, &platform_count);
  if (code != CL_SUCCESS) return code;
  code = CL_DEVICE_NOT_FOUND;
  for (cl_uint i = 0; i < platform_count && i < 8; ++i) {
    cl_device_id device;
    cl_int found = clGetDeviceIDs(platforms[i], CL_DEVICE_TYPE_ALL, 1, &device, nullptr);
    if (found != CL_SUCCESS) continue;
    const cl_context context = clCreateContext(nullptr, 1, &device, nullptr, nullptr, &found);
    if (!context) {
      code = found;
      continue;
    }
    clReleaseContext(context);
    code = CL_SUCCESS;
  }
  return code;
}

[[noreturn]] void answer(int pipe_end) {
  // The driver's words of farewell are for nobody, and it shall leave no core dump.
  for (int number : {SIGABRT, SIGSEGV, SIGBUS, SIGILL, SIGFPE}) signal(number, SIG_DFL);
  if (const int null = open("/dev/null", O_RDWR); null >= 0)
    dup2(null, STDOUT_FILENO), dup2(null, STDERR_FILENO);
  const cl_int code = try_opencl();
  const bool sent = write(pipe_end, &code, sizeof code) == ssize_t(sizeof code);
  _exit(sent ? 0 : 1);
}

Status probe() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0)
    return fail(ErrorCode::unavailable, "OpenCL cannot be tried: no pipe can be opened");
  const pid_t child = fork();
  if (child == 0) answer(ends[1]);
  close(ends[1]);
  cl_int code = CL_SUCCESS;
  bool answered = false;
  if (child > 0) {
    pollfd waiting{.fd = ends[0], .events = POLLIN, .revents = 0};
    while (poll(&waiting, 1, 20'000) < 0 && errno == EINTR) {
    }
    answered = (waiting.revents & POLLIN) && read(ends[0], &code, sizeof code) == ssize_t(sizeof code);
    if (!answered) kill(child, SIGKILL);
    while (waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
  close(ends[0]);
  if (child < 0) return fail(ErrorCode::unavailable, "OpenCL cannot be tried: no process can be started");
  if (!answered)
    return fail(
        ErrorCode::unavailable,
        "the OpenCL driver ends the process when it is loaded (PoCL does so without /sys or with little "
        "memory); `clinfo` shows its message");
  return opencl_status("no OpenCL device", code);
}

}  // namespace

Status probe_opencl() {
  static const Status status = probe();
  return status;
}

}  // namespace sightglass
