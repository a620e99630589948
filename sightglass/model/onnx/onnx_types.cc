#include "sightglass/model/onnx/onnx_types.h"

namespace sightglass {

std::optional<DataType> from_onnx(ONNXTensorElementDataType type) {
  switch (type) {
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8:
      return DataType::u8;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8:
      return DataType::i8;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT16:
      return DataType::u16;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT16:
      return DataType::i16;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32:
      return DataType::i32;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT32:
      return DataType::u32;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64:
      return DataType::i64;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT64:
      return DataType::u64;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16:
      return DataType::f16;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16:
      return DataType::bf16;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT:
      return DataType::f32;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE:
      return DataType::f64;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL:
      return DataType::boolean;
    default:
      return {};
  }
}

ONNXTensorElementDataType to_onnx(DataType type) {
  for (int onnx = 1; onnx <= ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16; ++onnx)
    if (from_onnx(ONNXTensorElementDataType(onnx)) == type) return ONNXTensorElementDataType(onnx);
  return ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
}

}  // namespace sightglass
