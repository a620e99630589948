// NVIDIA's run-time compiler for tests: libnvrtc.so.13, whose machine code is the source behind a number that
// grows from call to call. A source with the word `wrong` does not compile.
#include <cstdio>
#include <cstring>
#include <string>

namespace {
int compiled = 0;
struct Program {
  std::string source, code;
};
constexpr int compilation = 6;
constexpr const char* log_text = "wrong.cu(1): error: this is wrong";
}  // namespace

extern "C" {
int nvrtcVersion(int* major, int* minor) { return *major = 13, *minor = 0, 0; }
int nvrtcCreateProgram(Program** program, const char* source, const char*, int, const char* const*,
                       const char* const*) {
  *program = new Program{source, {}};
  return 0;
}
int nvrtcDestroyProgram(Program** program) {
  delete *program;
  *program = nullptr;
  return 0;
}
int nvrtcCompileProgram(Program* program, int, const char* const*) {
  if (program->source.contains("wrong")) return compilation;
  program->code = std::to_string(++compiled) + program->source;
  return 0;
}
int nvrtcGetCUBINSize(Program* program, size_t* size) { return *size = program->code.size() + 1, 0; }
int nvrtcGetCUBIN(Program* program, char* code) {
  std::memcpy(code, program->code.c_str(), program->code.size() + 1);
  return 0;
}
int nvrtcGetProgramLogSize(Program*, size_t* size) { return *size = std::strlen(log_text) + 1, 0; }
int nvrtcGetProgramLog(Program*, char* log) { return std::strcpy(log, log_text), 0; }
const char* nvrtcGetErrorString(int) { return "NVRTC_ERROR_COMPILATION"; }
int nvrtc_double_compiled() { return compiled; }
}
