// Where a model is to run, by the name that the user gives. For the sources of this folder.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "sightglass/model/onnx/onnx_model.h"

namespace sightglass {

struct OnnxDevice {
  std::optional<OnnxCuda> cuda;  // none: the CPU
  bool is_automatic = false;     // nobody insists on it
  std::vector<std::string> notes;
};

// What is asked about the machine; others in tests.
struct OnnxMachine {
  std::function<Result<OnnxCuda>(int index)> find_cuda;  // or why that device cannot be used
  std::function<int()> cuda_devices;
};
OnnxMachine onnx_machine(const OnnxLibrary& library);  // this one

// AUTO: the first device where it can be used, else the CPU; the notes say which, and why. Others: that
// device or an error that says what is missing, and what is usable.
Result<OnnxDevice> choose_device(const OnnxMachine& machine, std::string_view text);

// "CUDA:0", "CUDA:1", …; an error where there is no device that can be used.
Result<std::vector<std::string>> each_device(const OnnxMachine& machine, std::string_view pattern);

// Loads on the device; where AUTO has chosen one that has not enough memory for the model, on the CPU, which
// the notes say.
using LoadOnDevice = std::function<Result<std::unique_ptr<LoadedModel>>(OnnxDevice device)>;
Result<std::unique_ptr<LoadedModel>> load_on(OnnxDevice device, const LoadOnDevice& load);

}  // namespace sightglass
