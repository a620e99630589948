#include "sightglass/elements/tensor_postproc_user/user_decoder.h"

#include <atomic>

#include "sightglass/memory/module.h"

namespace sightglass {
namespace {

std::atomic<OpenDecoder> open_python = nullptr;

bool is_shared_object(std::string_view decoder) {
  return decoder.ends_with(".so") || decoder.contains(".so.");
}

}  // namespace

PythonDecoders::PythonDecoders(OpenDecoder open) { open_python = open; }

Result<std::unique_ptr<UserDecoder>> open_user_decoder(const DecoderSettings& settings) {
  if (settings.decoder.empty())
    return fail(
        ErrorCode::invalid_argument,
        "decoder is not set; it is a shared object (./mine.so, see sightglass/decoder.h) or a class in "
        "Python (module:Class)");
  if (is_shared_object(settings.decoder)) return open_shared_object(settings);
  if (!settings.decoder.contains(':'))
    return fail(ErrorCode::invalid_argument,
                "decoder={} is neither a shared object (….so) nor a class in Python (module:Class)",
                settings.decoder);
  if (auto loaded = load_module("python-decoders"); !loaded) return forward_error(loaded);
  if (!open_python)
    return fail(ErrorCode::internal, "the module python-decoders has been loaded, but opens no decoders");
  return open_python.load()(settings);
}

}  // namespace sightglass
