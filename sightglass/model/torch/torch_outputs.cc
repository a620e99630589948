#include "sightglass/model/torch/torch_outputs.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/function_schema.h>
#include <ATen/core/jit_type.h>

namespace sightglass {
namespace {

Status append(const c10::IValue& value, const std::string& name, std::vector<NamedTensor>& outputs);

// `name`, for the parts of what is itself a part.
std::string part_name(const std::string& name, const std::string& part) {
  return name.empty() ? part : name + "." + part;
}

template <class Values>
Status append_all(const Values& values, const std::string& name, std::vector<NamedTensor>& outputs) {
  size_t i = 0;
  for (const c10::IValue& value : values)
    if (auto status = append(value, part_name(name, std::format("output{}", i++)), outputs); !status)
      return status;
  return {};
}

Status append_tuple(const c10::ivalue::Tuple& tuple, const std::string& name,
                    std::vector<NamedTensor>& outputs) {
  const auto schema = tuple.type<c10::TupleType>()->schema();
  if (!schema) return append_all(tuple.elements(), name, outputs);
  for (size_t i = 0; i < tuple.elements().size(); ++i) {
    const std::string& field = schema->arguments()[i].name();
    if (auto status = append(tuple.elements()[i], part_name(name, field), outputs); !status) return status;
  }
  return {};
}

Status append(const c10::IValue& value, const std::string& name, std::vector<NamedTensor>& outputs) {
  if (value.isTensor()) {
    if (!value.toTensor().defined())
      return fail(ErrorCode::unsupported, "its output '{}' is undefined", name);
    outputs.push_back({name.empty() ? "output" : name, value.toTensor()});
    return {};
  }
  if (value.isTuple()) return append_tuple(*value.toTuple(), name, outputs);
  // A list of one, as detectors of torchvision return it per picture, has no name of its own.
  if (value.isList()) {
    const auto list = value.toList();
    if (list.size() == 1 && !list.get(0).isTensor()) return append(list.get(0), name, outputs);
    return append_all(list.vec(), name, outputs);
  }
  if (value.isGenericDict()) {
    for (const auto& entry : value.toGenericDict()) {
      if (!entry.key().isString())
        return fail(ErrorCode::unsupported, "a dictionary among its outputs has keys that are no texts");
      if (auto status = append(entry.value(), part_name(name, entry.key().toStringRef()), outputs); !status)
        return status;
    }
    return {};
  }
  return fail(ErrorCode::unsupported, "its output '{}' is a {}, not a tensor", name.empty() ? "output" : name,
              value.tagKind());
}

}  // namespace

Result<std::vector<NamedTensor>> named_outputs(const c10::IValue& value) {
  std::vector<NamedTensor> outputs;
  if (auto status = append(value, "", outputs); !status) return forward_error(status);
  if (outputs.empty()) return fail(ErrorCode::unsupported, "it returns no tensors");
  return outputs;
}

}  // namespace sightglass
