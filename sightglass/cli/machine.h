// What this machine has, as `sightglass doctor` shows it. Nothing is cached; each call looks anew.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace sightglass::cli {

enum class Health { ok, missing, failed };  // missing: something can do without it

struct Finding {
  Health health = Health::ok;
  std::string what, detail;
};

std::vector<Finding> devices();  // CPU, CUDA, VA, OpenCL, display, cameras
std::vector<Finding> fonts();
uint64_t folder_size(const std::string& folder);  // bytes

}  // namespace sightglass::cli
