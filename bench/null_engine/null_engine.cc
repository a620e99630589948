// An engine that computes nothing: its models give the same results for every picture, at once, so that what
// remains of a pipeline's cost is ours. For benchmarks and tests, and an example of an engine from outside:
//
//   SIGHTGLASS_PLUGIN_PATH=…/libnull_engine.so gst-launch-1.0 … ! object_detect model=ten.null ! …
//
// A model is a text file NAME.null, a line for each input and output; '?' for the batch leaves it free:
//
//   input data float32 ?x3x64x96
//   output boxes boxes 10        ten boxes in a grid, SSD rows: [N,10,7]
//   output prob classes 3 1      probabilities of three classes, the second the largest: [N,3]
#include <algorithm>
#include <cmath>
#include <fstream>
#include <sstream>

#include "sightglass/memory/system/system_memory.h"
#include "sightglass/model/engine.h"

namespace sightglass {
namespace {

struct NullOutput {
  TensorInfo info;            // as in the signature
  std::vector<float> values;  // of one sample
};

std::vector<float> boxes(int count) {
  std::vector<float> rows;
  const int columns = std::max(1, int(std::ceil(std::sqrt(count))));
  const float cell = 1.f / float(columns);
  for (int i = 0; i < count; ++i) {
    const float x = float(i % columns) * cell, y = float(i / columns) * cell;
    for (float value :
         {0.f, float(i % 3), 0.9f, x + cell * 0.1f, y + cell * 0.1f, x + cell * 0.9f, y + cell * 0.9f})
      rows.push_back(value);
  }
  return rows;
}

Shape with_batch(Shape shape, int64_t samples) {
  if (shape[0] < 0) shape[0] = samples;
  return shape;
}

class NullModel final : public LoadedModel {
 public:
  NullModel(ModelSignature signature, std::vector<NullOutput> outputs)
      : signature_(std::move(signature)), outputs_(std::move(outputs)) {}

  const ModelSignature& signature() const override { return signature_; }
  std::unique_ptr<ModelRequest> request() override { return std::make_unique<Request>(*this); }
  unsigned parallel_requests() const override { return 1; }

 private:
  class Request final : public ModelRequest {
   public:
    explicit Request(const NullModel& model) : model_(model) {}
    Status run(std::span<const Binding> inputs, std::span<Binding> outputs) override {
      const int64_t samples = inputs[0].shape[0];
      for (size_t i = 0; i < outputs.size(); ++i) {
        const NullOutput& output = model_.outputs_[i];
        if (!outputs[i].data) {
          auto block = allocate_memory(output.values.size() * sizeof(float) * size_t(samples));
          if (!block) return forward_error(block);
          outputs[i].shape = with_batch(output.info.shape, samples);
          outputs[i].data = (*block)->data();
          outputs[i].memory = *std::move(block);
        }
        auto* to = static_cast<float*>(outputs[i].data);
        for (int64_t k = 0; k < samples; ++k) to = std::ranges::copy(output.values, to).out;
      }
      return {};
    }

   private:
    const NullModel& model_;
  };

  const ModelSignature signature_;
  const std::vector<NullOutput> outputs_;
};

class NullEngine final : public Engine {
 public:
  std::string_view name() const override { return "null"; }
  bool reads(const std::filesystem::path& model) const override { return model.extension() == ".null"; }
  Result<EngineInfo> info() override { return EngineInfo{.version = "1", .library = "", .note = ""}; }
  Status check_device(std::string_view) override { return {}; }
  // As on a machine with two devices, to look at how streams are spread.
  Result<std::vector<std::string>> devices(std::string_view) override {
    return std::vector<std::string>{"CUDA:0", "CUDA:1"};
  }

  Result<std::unique_ptr<LoadedModel>> load(const std::filesystem::path& path,
                                            const LoadOptions& wanted) override {
    if (Status readable = check_model_file(path); !readable) return std::unexpected(readable.error());
    ModelSignature signature;
    std::vector<NullOutput> outputs;
    std::ifstream file(path);
    for (std::string line; std::getline(file, line);) {
      std::istringstream words(line);
      std::string word, name, kind;
      if (!(words >> word >> name >> kind)) continue;
      if (word == "input") {
        std::string dims, dim;
        words >> dims;
        TensorInfo input{.type = data_type(kind).value_or(DataType::f32), .name = name};
        for (std::istringstream parts(dims); std::getline(parts, dim, 'x');)
          input.shape.push_back(dim == "?" ? (wanted.free_batch ? -1 : 1) : std::stoi(dim));
        input.layout = layout_of(input.shape);
        signature.inputs.push_back(std::move(input));
        continue;
      }
      int count = 0, largest = 0;
      words >> count >> largest;
      NullOutput output{.info = {.type = DataType::f32, .name = name}, .values = {}};
      if (kind == "boxes") {
        output.info.shape = {1, count, 7};
        output.values = boxes(count);
      } else {
        output.info.shape = {1, count};
        for (int i = 0; i < count; ++i) output.values.push_back(i == largest ? 0.9f : 0.1f / float(count));
      }
      if (!signature.inputs.empty()) output.info.shape[0] = signature.inputs[0].shape[0];
      signature.outputs.push_back(output.info);
      outputs.push_back(std::move(output));
    }
    if (signature.inputs.empty() || outputs.empty())
      return fail(ErrorCode::corrupt, "{}: no inputs or no outputs", path.string());
    return std::make_unique<NullModel>(std::move(signature), std::move(outputs));
  }
};

NullEngine engine;
const EngineRegistration registration(engine);

}  // namespace
}  // namespace sightglass
