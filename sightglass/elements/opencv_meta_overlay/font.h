// Text as masks: glyphs of one size, drawn by FreeType once and remembered. Latin, Greek, Cyrillic and more
// with DejaVu Sans; other scripts when a font for them is found. Characters stand side by side: no shaping of
// connected scripts.
//
//   Font font;
//   if (font.open()) font.set_size(14, 1), font.lay_out("Größe", 200, line);
//
// One per element instance. Not thread-safe. No allocation for characters that were seen before.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "sightglass/core/result.h"
#include "sightglass/elements/opencv_meta_overlay/draw_list.h"

namespace sightglass {

struct Glyph {
  int left = 0, top = 0;  // of the mask: from the pen position to the right, from the base line up
  int width = 0, height = 0;
  float advance = 0;   // pixels to the next pen position
  uint32_t first = 0;  // of the mask in the atlas, dense
};

struct TextLine {
  struct Item {
    const Glyph* glyph;
    int x;  // pen position, pixels from the start of the line
  };
  std::vector<Item> items;
  int width = 0;  // pixels
};

class Font {
 public:
  Font();
  ~Font();

  // Files of SIGHTGLASS_FONT (separated by ':', tried in order for each character), else DejaVu Sans and what
  // else is installed at the usual places. Fails when there is none; without, every line is empty.
  Status open();
  bool usable() const;

  // Pixels per em, and how many pixels strong a stem is drawn (1: as designed). To be called before the texts
  // of each frame: it also makes room where there have been too many characters.
  void set_size(int pixels, int thickness);
  int ascent() const { return ascent_; }    // pixels above the base line
  int descent() const { return descent_; }  // below it

  // UTF-8 text in one line, cut with an ellipsis where it would be wider than `max_width`. Line breaks and
  // other control characters become spaces. The glyphs are valid until set_size(); of more characters than
  // the atlas has room for, the rest leave gaps until then.
  void lay_out(std::string_view text, int max_width, TextLine& line);
  // The masks of all glyphs so far.
  const GlyphAtlas& atlas() const { return atlas_; }

 private:
  struct State;
  const Glyph& glyph(char32_t character);

  std::unique_ptr<State> state_;
  GlyphAtlas atlas_;
  int ascent_ = 0, descent_ = 0;
};

}  // namespace sightglass
