#include "sightglass/model/tensor_ids.h"

#include <format>
#include <map>
#include <mutex>
#include <string>

namespace sightglass {
namespace {

struct Known {
  std::mutex mutex;
  std::map<std::string, Label, std::less<>> ids;
};

Known& known() {
  static Known& instance = *new Known;  // never destroyed: streams may run while main() ends
  return instance;
}

}  // namespace

void remember_tensor_ids(std::string_view model, const ModelSignature& signature) {
  for (const TensorInfo& output : signature.outputs) {
    const auto entry = signature.metadata.find(output.name);
    if (entry == signature.metadata.end() || entry->second.empty()) continue;
    std::lock_guard lock(known().mutex);
    known().ids.insert_or_assign(std::format("{}/{}", model, output.name), Label(entry->second));
  }
}

Label tensor_id(Label tensor) {
  std::lock_guard lock(known().mutex);
  const auto found = known().ids.find(tensor.view());
  return found == known().ids.end() ? tensor : found->second;
}

}  // namespace sightglass
