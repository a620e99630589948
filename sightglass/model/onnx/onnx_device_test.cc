#include "sightglass/model/onnx/onnx_device.h"

#include <gtest/gtest.h>

namespace sightglass {
namespace {

class NamedDevice final : public Context {
 public:
  explicit NamedDevice(std::string name) : Context(MemoryKind::cuda), name_(std::move(name)) {}
  std::string description() const override { return name_; }
  void* handle(std::string_view) const override { return nullptr; }

 private:
  const std::string name_;
};

// A machine with this many devices, of which the first `usable` can be used; of the others it says `reason`.
OnnxMachine machine(int devices, int usable, const std::string& reason) {
  return {.find_cuda = [=](int index) -> Result<OnnxCuda> {
            if (index >= devices && devices > 0)
              return fail(ErrorCode::not_found, "there is no CUDA device {}, only {} of them", index,
                          devices);
            if (index >= usable) return fail(ErrorCode::unavailable, "{}", reason);
            return OnnxCuda{.context = make_ref<NamedDevice>(std::format("Card {}", index)),
                            .index = index,
                            .provider = {},
                            .tensorrt = {}};
          },
          .cuda_devices = [=] { return devices; }};
}

// One with three devices, of which the second can be used.
OnnxMachine machine_with_the_second() {
  OnnxMachine second = machine(3, 3, "");
  second.find_cuda = [find = second.find_cuda](int index) -> Result<OnnxCuda> {
    if (index != 1) return fail(ErrorCode::exhausted, "card {} is full", index);
    return find(index);
  };
  return second;
}

const std::string no_driver = "there is no NVIDIA driver on this machine (libcuda.so.1 is not found)";
const std::string no_provider =
    "ONNX Runtime 1.21.0 (/usr/lib/libonnxruntime.so) cannot use Card 0: no provider";

class NoModel final : public LoadedModel {
 public:
  explicit NoModel(std::vector<std::string> notes) : notes_(std::move(notes)) {}
  const ModelSignature& signature() const override { return signature_; }
  std::unique_ptr<ModelRequest> request() override { return nullptr; }
  unsigned parallel_requests() const override { return 1; }
  std::vector<std::string> notes() const override { return notes_; }

 private:
  const ModelSignature signature_;
  const std::vector<std::string> notes_;
};

TEST(OnnxDeviceChoice, AutoSaysWhichAndWhy) {
  const auto first = choose_device(machine(2, 2, ""), "auto");
  ASSERT_TRUE(first && first->cuda);
  EXPECT_EQ(first->cuda->index, 0);
  EXPECT_EQ(first->notes, std::vector<std::string>{"device=AUTO uses CUDA:0: Card 0"});

  // The first one need not work.
  const auto second = choose_device(machine_with_the_second(), "AUTO");
  ASSERT_TRUE(second && second->cuda);
  EXPECT_EQ(second->notes, std::vector<std::string>{"device=AUTO uses CUDA:1: Card 1"});
  EXPECT_FALSE(choose_device(machine_with_the_second(), "CUDA:0"));

  for (const auto& [devices, reason] : {std::pair(0, no_driver), std::pair(1, no_provider)}) {
    const auto cpu = choose_device(machine(devices, 0, reason), "AUTO");
    ASSERT_TRUE(cpu) << reason;
    EXPECT_FALSE(cpu->cuda);
    EXPECT_EQ(cpu->notes, std::vector<std::string>{"device=AUTO uses the CPU: " + reason});
  }
}

TEST(OnnxDeviceChoice, AutoGoesToTheCpuWhereTheDeviceHasTooLittleMemory) {
  std::vector<bool> tried_on_device;
  const auto load = [&](OnnxDevice device) -> Result<std::unique_ptr<LoadedModel>> {
    tried_on_device.push_back(device.cuda.has_value());
    if (device.cuda) return fail(ErrorCode::exhausted, "the GPU has not enough free memory");
    return std::make_unique<NoModel>(std::move(device.notes));
  };
  const auto model = load_on(*choose_device(machine(1, 1, ""), "AUTO"), load);
  ASSERT_TRUE(model);
  EXPECT_EQ(tried_on_device, (std::vector{true, false}));
  EXPECT_EQ((*model)->notes(),
            std::vector<std::string>{"device=AUTO uses the CPU, not CUDA:0: the GPU has not "
                                     "enough free memory"});

  // Who names the device gets the error.
  const auto insists = load_on(*choose_device(machine(1, 1, ""), "CUDA:0"), load);
  ASSERT_FALSE(insists);
  EXPECT_EQ(insists.error().code, ErrorCode::exhausted);
}

TEST(OnnxDeviceChoice, OtherFaultsOfTheModelAreNotHidden) {
  int loads = 0;
  const auto model = load_on(*choose_device(machine(1, 1, ""), "AUTO"),
                             [&](const OnnxDevice&) -> Result<std::unique_ptr<LoadedModel>> {
                               ++loads;
                               return fail(ErrorCode::corrupt, "no complete model");
                             });
  ASSERT_FALSE(model);
  EXPECT_EQ(model.error().code, ErrorCode::corrupt);
  EXPECT_EQ(loads, 1);
}

TEST(OnnxDeviceChoice, WhoNamesADeviceGetsItOrTheReason) {
  const auto second = choose_device(machine(2, 2, ""), "gpu.1");
  ASSERT_TRUE(second && second->cuda);
  EXPECT_EQ(second->cuda->index, 1);
  EXPECT_TRUE(second->notes.empty());

  const auto message = [](int devices, const std::string& reason, std::string_view name) {
    const auto chosen = choose_device(machine(devices, 0, reason), name);
    EXPECT_FALSE(chosen);
    return chosen ? "" : chosen.error().message;
  };
  EXPECT_EQ(message(0, no_driver, "CUDA:0"), "device=CUDA:0 is not usable: " + no_driver + "; usable: CPU");
  EXPECT_EQ(message(1, no_provider, "CUDA:0"),
            "device=CUDA:0 is not usable: " + no_provider + "; usable: CPU");
  EXPECT_EQ(message(1, "", "CUDA:7"),
            "device=CUDA:7 is not usable: there is no CUDA device 7, only 1 of them; usable: CPU, CUDA:0");
  EXPECT_EQ(message(4, "", "CUDA:7"),
            "device=CUDA:7 is not usable: there is no CUDA device 7, only 4 of them; usable: CPU, CUDA:0 to "
            "CUDA:3");
  EXPECT_FALSE(choose_device(machine(2, 2, ""), "CPU:1"));
  EXPECT_FALSE(choose_device(machine(2, 2, ""), "CUDA:*"));  // sessions open each
}

TEST(OnnxDeviceChoice, AStarStandsForEachDevice) {
  EXPECT_EQ(each_device(machine(3, 3, ""), "CUDA:*").value(),
            (std::vector<std::string>{"CUDA:0", "CUDA:1", "CUDA:2"}));
  // The first one need not work.
  EXPECT_EQ(each_device(machine_with_the_second(), "CUDA:*").value(),
            (std::vector<std::string>{"CUDA:0", "CUDA:1", "CUDA:2"}));
  const auto broken = each_device(machine(2, 0, no_provider), "CUDA:*");
  ASSERT_FALSE(broken);
  EXPECT_EQ(broken.error().message, "device=CUDA:* is not usable: " + no_provider + "; usable: CPU");
  const auto none = each_device(machine(0, 0, no_driver), "CUDA:*");
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().message, "device=CUDA:* is not usable: " + no_driver + "; usable: CPU");
}

}  // namespace
}  // namespace sightglass
