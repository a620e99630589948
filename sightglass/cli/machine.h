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

// What has become of an element of an older system that is not carried: its replacement, or empty text when
// the name is not known as such.
std::string replacement(const std::string& name);

}  // namespace sightglass::cli
