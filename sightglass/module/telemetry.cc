#include "sightglass/module/telemetry.h"

#include <atomic>

#include "sightglass/memory/module.h"

namespace sightglass::module {
namespace {

std::atomic<StartTelemetry> registered{nullptr};

}  // namespace

TelemetryRegistration::TelemetryRegistration(StartTelemetry start) { registered = start; }

Result<std::unique_ptr<Telemetry>> start_telemetry(TelemetryOptions options) {
  if (auto loaded = sightglass::load_module("telemetry"); !loaded) return forward_error(loaded);
  const StartTelemetry start = registered;
  if (!start) return fail(ErrorCode::internal, "the module telemetry has been loaded, but starts nothing");
  return start(std::move(options));
}

}  // namespace sightglass::module
