#include "sightglass/gst/tensor_meta.h"

#include <gst/analytics/analytics.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "sightglass/gst/mtd.h"
#include "sightglass/memory/gst/gst_memory.h"
#include "sightglass/memory/gst/handles.h"
#include "sightglass/memory/mapping.h"
#include "sightglass/memory/system/system_frame.h"
#include "sightglass/memory/system/system_memory.h"
#include "sightglass/model/tensor_ids.h"

namespace sightglass::gst {
namespace {

std::optional<GstTensorDataType> to_gst(DataType type) {
  switch (type) {
    case DataType::u8:
    case DataType::boolean:  // there is none
      return GST_TENSOR_DATA_TYPE_UINT8;
    case DataType::i8:
      return GST_TENSOR_DATA_TYPE_INT8;
    case DataType::u16:
      return GST_TENSOR_DATA_TYPE_UINT16;
    case DataType::i16:
      return GST_TENSOR_DATA_TYPE_INT16;
    case DataType::i32:
      return GST_TENSOR_DATA_TYPE_INT32;
    case DataType::u32:
      return GST_TENSOR_DATA_TYPE_UINT32;
    case DataType::i64:
      return GST_TENSOR_DATA_TYPE_INT64;
    case DataType::u64:
      return GST_TENSOR_DATA_TYPE_UINT64;
    case DataType::f16:
      return GST_TENSOR_DATA_TYPE_FLOAT16;
    case DataType::bf16:
      return GST_TENSOR_DATA_TYPE_BFLOAT16;
    case DataType::f32:
      return GST_TENSOR_DATA_TYPE_FLOAT32;
    case DataType::f64:
      return GST_TENSOR_DATA_TYPE_FLOAT64;
  }
  return std::nullopt;
}

std::optional<DataType> from_gst(GstTensorDataType type) {
  for (const DataType one :
       {DataType::u8, DataType::i8, DataType::u16, DataType::i16, DataType::i32, DataType::u32, DataType::i64,
        DataType::u64, DataType::f16, DataType::bf16, DataType::f32, DataType::f64})
    if (to_gst(one) == type) return one;
  return std::nullopt;  // four bits
}

BufferMemories& memories() {
  // Never destroyed: frames of other threads may outlive main().
  static BufferMemories& pool = *make_ref<BufferMemories>().release();
  return pool;
}

// The tensor as one of ours, over the same memory.
std::optional<Tensor> import_tensor(const GstTensor& from) {
  const auto type = from_gst(from.data_type);
  if (!type || !from.data || from.num_dims > Shape::max_rank || gst_buffer_n_memory(from.data) != 1 ||
      from.dims_order != GST_TENSOR_DIM_ORDER_ROW_MAJOR)
    return std::nullopt;
  Tensor tensor{.type = *type};
  for (gsize axis = 0; axis < from.num_dims; ++axis) {
    if (from.dims[axis] > gsize(INT32_MAX)) return std::nullopt;
    tensor.shape.push_back(int64_t(from.dims[axis]));
  }
  tensor.strides = dense_strides(tensor.shape, *type);
  if (tensor.bytes() > gst_buffer_get_size(from.data)) return std::nullopt;
  auto* memory = gst_buffer_peek_memory(from.data, 0);
  tensor.memory = unwrap_memory(memory);
  if (!tensor.memory) tensor.memory = memories().wrap(from.data, memory);
  return tensor;
}

// A buffer over the bytes of a tensor; a copy where they have gaps. Null when that fails.
GstBuffer* to_buffer(const Tensor& tensor) {
  Tensor dense = tensor;
  if (!tensor.dense()) {
    auto made = allocate_tensor({.type = tensor.type, .shape = tensor.shape});
    if (!made || !copy_tensor(tensor, *made)) return nullptr;
    dense = std::move(*made);
  }
  auto* foreign = foreign_memory(*dense.memory);
  auto* memory = foreign ? gst_memory_ref(foreign) : wrap_memory(dense.memory);
  if (dense.offset > 0 || dense.bytes() < memory->size) {
    auto* part = gst_memory_share(memory, gssize(dense.offset), gssize(dense.bytes()));
    gst_memory_unref(memory);
    memory = part;
  }
  auto* buffer = gst_buffer_new();
  gst_buffer_append_memory(buffer, memory);
  return buffer;
}

// Where the bytes of a tensor are, however often its memory has been wrapped on the way.
std::pair<const void*, size_t> place_of(const Tensor& tensor) {
  auto* foreign = foreign_memory(*tensor.memory);
  if (!foreign) return {tensor.memory.get(), tensor.offset};
  if (const auto inner = unwrap_memory(foreign)) return {inner.get(), tensor.offset};
  return {foreign->parent ? foreign->parent : foreign, foreign->offset + tensor.offset};
}

// A tensor that stands in the list under another name as well, the one that it got with its model.
bool is_double(const Attribute& item, const std::vector<Attribute>& items) {
  if (item.name.view().starts_with(std::string(item.model.view()) + "/")) return false;
  return std::ranges::any_of(items, [&](const Attribute& other) {
    return &other != &item && other.kind == AttributeKind::tensor && other.tensor &&
           other.model == item.model && !(other.name == item.name) &&
           place_of(other.tensor) == place_of(item.tensor);
  });
}

bool is_pass_through(const char* factory) {
  for (const char* name : {"queue", "queue2", "identity", "capsfilter"})
    if (g_str_equal(factory, name)) return true;
  return false;
}

}  // namespace

void read_tensor_metas(GstBuffer* buffer, Frame& frame) {
  gpointer state = nullptr;
  while (auto* meta = gst_buffer_iterate_meta_filtered(buffer, &state, GST_TENSOR_META_API_TYPE)) {
    const auto* tensors = reinterpret_cast<const GstTensorMeta*>(meta);
    for (gsize i = 0; i < tensors->num_tensors; ++i) {
      const GstTensor* from = tensors->tensors[i];
      auto tensor = from ? import_tensor(*from) : std::nullopt;
      if (!tensor) continue;
      const Label name = label_of(from->id);
      const bool known =
          frame.attributes && std::ranges::any_of(frame.attributes->items(), [&](const Attribute& item) {
            return item.kind == AttributeKind::tensor && item.tensor &&
                   (item.name == name || place_of(item.tensor) == place_of(*tensor));
          });
      if (known) continue;
      Attribute attribute{.name = name, .kind = AttributeKind::tensor};
      attribute.tensor = std::move(*tensor);
      frame.attributes = with(frame.attributes, std::move(attribute));
    }
  }
}

bool wants_tensors(GstPad* source) {
  PadPtr pad(GST_PAD(gst_object_ref(source)));
  for (int hops = 0; hops < 16; ++hops) {
    PadPtr peer(gst_pad_get_peer(pad.get()));
    if (!peer) return false;
    if (GST_IS_PROXY_PAD(peer.get())) {  // into or out of a bin
      GstProxyPad* inner = gst_proxy_pad_get_internal(GST_PROXY_PAD(peer.get()));
      if (!inner) return false;
      pad.reset(GST_PAD(inner));
      continue;
    }
    ElementPtr element(gst_pad_get_parent_element(peer.get()));
    GstElementFactory* factory = element ? gst_element_get_factory(element.get()) : nullptr;
    if (!factory) return false;
    const char* klass = gst_element_factory_get_metadata(factory, GST_ELEMENT_METADATA_KLASS);
    if (klass && std::string_view(klass).starts_with("Tensordecoder")) return true;
    if (!is_pass_through(GST_OBJECT_NAME(factory))) return false;
    pad.reset(gst_element_get_static_pad(element.get(), "src"));
    if (!pad) return false;
  }
  return false;
}

void write_tensor_metas(GstPad* source, const Frame& frame, GstBuffer* buffer) {
  if (!frame.attributes) return;
  const auto& items = frame.attributes->items();
  const auto is_tensor = [](const Attribute& item) {
    return item.kind == AttributeKind::tensor && item.tensor && to_gst(item.tensor.type);
  };
  if (std::ranges::none_of(items, is_tensor) || !wants_tensors(source)) return;
  std::vector<bool> done(items.size());
  for (size_t first = 0; first < items.size(); ++first) {
    if (done[first] || !is_tensor(items[first])) continue;
    std::vector<GstTensor*> tensors;
    for (size_t i = first; i < items.size(); ++i) {
      if (!is_tensor(items[i]) || !(items[i].model == items[first].model)) continue;
      done[i] = true;
      if (is_double(items[i], items)) continue;
      const Tensor& tensor = items[i].tensor;
      auto* data = to_buffer(tensor);
      if (!data) continue;
      std::vector<gsize> dims(tensor.shape.begin(), tensor.shape.end());
      tensors.push_back(gst_tensor_new_simple(g_quark_from_string(tensor_id(items[i].name).c_str()),
                                              *to_gst(tensor.type), data, GST_TENSOR_DIM_ORDER_ROW_MAJOR,
                                              dims.size(), dims.data()));
    }
    if (tensors.empty()) continue;
    auto** list = g_new(GstTensor*, tensors.size());
    std::ranges::copy(tensors, list);
    // gst_buffer_add_tensor_meta() gives one that is there already.
    auto* meta = gst_buffer_add_meta(buffer, GST_TENSOR_META_INFO, nullptr);
    gst_tensor_meta_set(reinterpret_cast<GstTensorMeta*>(meta), guint(tensors.size()), list);
  }
}

}  // namespace sightglass::gst
