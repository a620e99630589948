#include "sightglass/elements/opencv_meta_overlay/cuda_canvas.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "sightglass/elements/opencv_meta_overlay/canvas.h"
#include "sightglass/memory/copy_ledger.h"
#include "sightglass/memory/cuda/cuda.h"
#include "sightglass/memory/cuda/cuda_module.h"

namespace sightglass {

extern const CudaSource meta_overlay_kernels;  // made from draw_kernel.cu

namespace {

constexpr size_t least_block = size_t(256) << 10;  // of a usual step, and of the letters of one size
static_assert(palette_size == draw::most_colors);

template <class T>
const T* at(uint64_t address) {
  return reinterpret_cast<const T*>(address);
}

CopyLedger::Hop& hop() {
  static CopyLedger::Hop& to_device = CopyLedger::process().hop("overlay commands to the device");
  return to_device;
}

}  // namespace

Result<std::unique_ptr<CudaCanvas>> CudaCanvas::make(const ContextRef& context) {
  auto module = CudaModule::load(context, meta_overlay_kernels);
  if (!module) return forward_error(module);
  auto stream = CudaStream::make((*module)->context());
  if (!stream) return forward_error(stream);
  auto tiles = (*module)->kernel("draw_tiles");
  if (!tiles) return forward_error(tiles);
  auto mosaic = (*module)->kernel("draw_mosaic");
  if (!mosaic) return forward_error(mosaic);
  std::unique_ptr<CudaCanvas> canvas(new CudaCanvas);
  canvas->context_ = (*module)->context();
  canvas->stream_ = *std::move(stream);
  canvas->module_ = *std::move(module);
  canvas->draw_tiles_ = *tiles, canvas->draw_mosaic_ = *mosaic;
  return canvas;
}

CudaCanvas::~CudaCanvas() {
  if (!pictures_.empty()) (void)close();
  let_go(0);
}

Status CudaCanvas::open(const Frame& frame) {
  const VideoInfo& video = *frame.video;
  canvas_.width = video.width, canvas_.height = video.height;
  pictures_.clear();
  std::array<ComponentPlace, 4> places;
  canvas_.component_count = int(component_places(video.format, places));
  for (int i = 0; i < canvas_.component_count; ++i) {
    const ComponentPlace& place = places[size_t(i)];
    const Tensor& plane = frame.tensors[place.plane];
    const uint64_t address = cuda_pointer(plane);
    const size_t bytes = plane.bytes(), size = plane.memory ? plane.memory->size() : 0;
    if (address == 0 || bytes > size || plane.offset > size - bytes)
      return fail(ErrorCode::corrupt, "plane {} does not lie within its CUDA memory", place.plane);
    canvas_.components[i] = {reinterpret_cast<unsigned char*>(address) + place.byte, plane.strides[0],
                             place.step, place.shift_x, place.shift_y};
    if (!std::ranges::contains(pictures_, plane.memory)) pictures_.push_back(plane.memory);
  }
  for (size_t i = 0; i < palette_size; ++i)
    std::ranges::copy(ink_of(palette_color(i), video), canvas_.palette[i]);
  for (const MemoryRef& picture : pictures_)
    if (auto ordered = static_cast<CudaMemory&>(*picture).wait_in(stream_->get()); !ordered) return ordered;
  return {};
}

Status CudaCanvas::draw(const DrawList& list) {
  if (auto status = upload_atlas(list.atlas()); !status) return status;
  for (size_t next = 0; next < list.commands().size();) {
    next = plan_.step(list, next);
    auto block = upload(list);
    if (!block) return forward_error(block);
    if (auto status = run(*block); !status) return status;
  }
  return {};
}

// Only the letters that are new. The earlier launches of the stream have read the others.
Status CudaCanvas::upload_atlas(const GlyphAtlas& atlas) {
  if (std::exchange(atlas_generation_, atlas.generation) != atlas.generation) atlas_bytes_ = 0;
  const size_t bytes = atlas.masks.size();
  if (bytes == atlas_bytes_) return {};
  if (!atlas_ || atlas_->size() < bytes) {
    auto larger = allocate_cuda(context_, std::max(least_block, std::bit_ceil(bytes)));
    if (!larger) return forward_error(larger);
    if (atlas_) blocks_.push_back(std::move(atlas_));
    atlas_ = *std::move(larger);
    atlas_bytes_ = 0;
  }
  const uint64_t there = static_cast<CudaMemory&>(*atlas_).address();
  if (auto status =
          stream_->copy(there + atlas_bytes_, address_of(&atlas.masks[atlas_bytes_]), bytes - atlas_bytes_);
      !status)
    return status;
  hop().copied(bytes - atlas_bytes_);
  atlas_bytes_ = bytes;
  return {};
}

// The address of the step on the device.
Result<uint64_t> CudaCanvas::upload(const DrawList& list) {
  const size_t bytes = plan_.bytes();
  if (!pinned_ || pinned_->block_size() < bytes) {
    const size_t size = std::max(least_block, std::bit_ceil(bytes));
    auto pinned = make_pinned_pool(context_, size);
    if (!pinned) return forward_error(pinned);
    auto on_device = make_cuda_pool(context_, size);
    if (!on_device) return forward_error(on_device);
    pinned_ = *std::move(pinned), on_device_ = *std::move(on_device);
  }
  auto here = pinned_->acquire();
  if (!here) return forward_error(here);
  blocks_.push_back(*here);
  auto there = on_device_->acquire();
  if (!there) return forward_error(there);
  blocks_.push_back(*there);
  const auto data = static_cast<SystemMemory&>(**here).data();
  plan_.write(list, data);
  const uint64_t address = static_cast<CudaMemory&>(**there).address();
  if (auto status = stream_->copy(address, address_of(data), bytes); !status) return forward_error(status);
  hop().copied(bytes);
  return address;
}

Status CudaCanvas::run(uint64_t block) {
  if (plan_.blocks() == 0) return {};
  LaunchSize size{.grid = {plan_.blocks(), 1, 1}};
  if (plan_.is_mosaic()) {
    draw::Mosaic mosaic{};
    std::ranges::copy(canvas_.components, mosaic.components);
    mosaic.component_count = canvas_.component_count;
    mosaic.squares = at<draw::Area>(block + plan_.squares());
    size.block = {32, 8, 1};
    return launch(context_, draw_mosaic_, size, stream_->get(), &mosaic);
  }
  canvas_.commands = at<draw::Command>(block + plan_.commands());
  canvas_.tiles = at<draw::Tile>(block + plan_.tiles());
  canvas_.references = at<unsigned>(block + plan_.references());
  canvas_.masks = at<draw::Mask>(block + plan_.masks());
  canvas_.cells = at<unsigned char>(block + plan_.cells());
  canvas_.atlas = atlas_ ? at<unsigned char>(static_cast<CudaMemory&>(*atlas_).address()) : nullptr;
  size.block = {draw::tile_width / 2, draw::tile_height / 2, 1};
  return launch(context_, draw_tiles_, size, stream_->get(), &canvas_);
}

Status CudaCanvas::close() {
  auto done = stream_->fence();
  if (!done) return forward_error(done);
  for (const MemoryRef& picture : pictures_) static_cast<CudaMemory&>(*picture).set_fence(*done);
  for (MemoryRef& picture : pictures_) blocks_.push_back(std::move(picture));
  pictures_.clear();
  under_way_.push_back({*std::move(done), std::move(blocks_)});
  blocks_ = spare_.empty() ? std::vector<MemoryRef>() : std::move(spare_.back());
  if (!spare_.empty()) spare_.pop_back();
  let_go(most_under_way);
  return {};
}

// Of what is done, and of the oldest where there are more.
void CudaCanvas::let_go(size_t most) {
  while (!under_way_.empty()) {
    UnderWay& oldest = under_way_.front();
    if (!oldest.done->ready()) {
      if (under_way_.size() <= most) return;
      (void)oldest.done->wait();
    }
    oldest.blocks.clear();
    spare_.push_back(std::move(oldest.blocks));
    under_way_.pop_front();
  }
}

}  // namespace sightglass
