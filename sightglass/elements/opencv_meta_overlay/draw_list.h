// What is to be drawn into one picture, in order: rectangles, letters, lines, masks, mosaics. Whoever knows
// what objects look like fills it; whoever knows where the picture lies draws it, on the CPU (canvas.h) or on
// an NVIDIA GPU (cuda_canvas.h).
//
//   DrawList list;
//   list.begin(video, font.atlas(), painter);
//   const Ink red = list.ink({255, 0, 0});
//   list.fill({10, 10, 100, 20}, red);
//   list.end();
//
// Everything is clipped, so that any coordinates are safe. Bounded: a full list is drawn at once and begun
// anew. No allocation once warm. Not thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "sightglass/core/video.h"
#include "sightglass/elements/opencv_meta_overlay/draw_command.h"
#include "sightglass/memory/mapping.h"

namespace sightglass {

struct Color {
  uint8_t r = 0, g = 0, b = 0;
  bool operator==(const Color&) const = default;
};

// Pixels; right and bottom are exclusive.
struct Rect {
  int x = 0, y = 0, w = 0, h = 0;
  int right() const { return x + w; }
  int bottom() const { return y + h; }
  bool empty() const { return w <= 0 || h <= 0; }
  bool overlaps(const Rect& other) const {
    return x < other.right() && other.x < right() && y < other.bottom() && other.y < bottom();
  }
};

struct Point {
  float x = 0, y = 0;
};

// A colour in the components of a picture: Y, Cb, Cr or R, G, B, A.
using Ink = std::array<uint8_t, 4>;
Ink ink_of(Color color, const VideoInfo& video);

// Colours that are distinct from their neighbours; endless. The first palette_size are all there are.
inline constexpr size_t palette_size = 20;
Color palette_color(uint64_t number);

// Masks of letters, coverage 0..255, one behind the other. They stay where they are until the generation
// changes, which is never within a frame.
struct GlyphAtlas {
  std::vector<uint8_t> masks;
  uint64_t generation = 0;
};

class DrawList;

class Painter {
 public:
  virtual ~Painter() = default;
  virtual Status draw(const DrawList& list) = 0;
};

class DrawList {
 public:
  static constexpr size_t most_commands = 16384, most_masks = 1024;

  // Both live until end(). A null painter: only sizes are wanted.
  void begin(const VideoInfo& video, const GlyphAtlas& atlas, Painter* painter);
  // Draws what is left. The first error of the painter; behind one nothing more is drawn.
  Status end();

  int width() const { return video_.width; }
  int height() const { return video_.height; }
  // Coordinates that are multiples of it give the sharpest edges: 2 where chroma is subsampled, else 1.
  int grain() const { return grain_; }
  Ink ink(Color color) const { return ink_of(color, video_); }

  void fill(const Rect& area, const Ink& ink, uint8_t alpha = 255);
  // The rectangle's lines, of `thickness` inside of it.
  void frame(const Rect& outer, int thickness, const Ink& ink);
  // `first`: where the mask, dense and of the area's size, begins in the atlas.
  void glyph(const Rect& area, uint32_t first, const Ink& ink);
  // Antialiased, with round ends; of equal ends it is a disc. Coordinates are pixels, (0, 0) the corner of
  // the first one.
  void line(Point from, Point to, float thickness, const Ink& ink);
  // Squares of one colour each, the mean of what was there: unrecognisable.
  void mosaic(const Rect& area, int square);
  // Scores, f32 [height, width], spread over the area: tinted where they are 0.5 or more. They are
  // interpolated between the middles of the cells, so that edges are smooth.
  void scores(Mapping mask, const Rect& area, const Ink& ink);
  // Label ids, u8 [height, width]: a colour of the palette for each; 255 is left as it is.
  void labels(Mapping mask, const Rect& area);

  // For who draws.
  std::span<const draw::Command> commands() const { return commands_; }
  const Mapping& mask(const draw::Command& command) const { return masks_[command.data]; }
  const GlyphAtlas& atlas() const { return *atlas_; }
  const VideoInfo& video() const { return video_; }

 private:
  Rect clipped(const Rect& area) const;
  bool is_visible(const Rect& area) const { return !clipped(area).empty(); }
  void add(draw::Kind kind, const Rect& area, const Ink& ink, uint8_t alpha, uint32_t data);
  void add_mask(draw::Kind kind, Mapping mask, const Rect& area, const Ink& ink);
  draw::Command& append();
  void flush();

  VideoInfo video_;
  int grain_ = 1;
  const GlyphAtlas* atlas_ = nullptr;
  Painter* painter_ = nullptr;
  Status status_;
  std::vector<draw::Command> commands_;
  std::vector<Mapping> masks_;
};

}  // namespace sightglass
