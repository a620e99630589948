// A plug-in whose source never comes back from start(), as in a library that waits for a server which says
// nothing. Its thread works with an object that is gone when the process takes its libraries apart.
#include <chrono>
#include <cstdio>
#include <thread>

#include "sightglass/adapters/adapter.h"

namespace sightglass::adapters {
namespace {

struct State {
  ~State() { std::fputs("the library was taken apart\n", stderr); }
} state;

struct Params {};

class Stuck final : public Source {
 public:
  static Result<std::unique_ptr<Source>> create(const ParamSet&, const SourceContext&) {
    return std::make_unique<Stuck>();
  }
  Status start() override {
    std::fputs("it does not come back\n", stderr);
    for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
  }
  Status run(Deliver&, std::stop_token) override { return {}; }
};

const SourceRegistration registration({.name = "stuck",
                                       .doc = "never comes back",
                                       .params = ParamTable::of<Params>({}),
                                       .create = &Stuck::create});

}  // namespace
}  // namespace sightglass::adapters
