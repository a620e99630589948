#include "sightglass/elements/opencv_meta_overlay/font.h"

#include <ft2build.h>
#include FT_FREETYPE_H
#include FT_OUTLINE_H

#include <array>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <unordered_map>

#include "sightglass/core/utf8.h"

namespace sightglass {
namespace {

constexpr const char* usual_places[] = {
    "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf",
    "/usr/share/fonts/dejavu-sans-fonts/DejaVuSans.ttf",
    "/usr/share/fonts/TTF/DejaVuSans.ttf",
    // Chinese, Japanese, Korean
    "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/truetype/droid/DroidSansFallbackFull.ttf",
    "/usr/share/fonts/truetype/wqy/wqy-microhei.ttc",
};

// Of one generation of the atlas; the bytes are those of 4,096 letters of 64 pixels.
constexpr size_t max_glyphs = 4096, max_atlas_bytes = size_t(16) << 20;
constexpr char32_t ellipsis = 0x2026;

}  // namespace

struct Font::State {
  FT_Library library = nullptr;
  std::vector<FT_Face> faces;
  int pixels = 0, thickness = 1;
  std::array<const Glyph*, 128> ascii{};
  std::unordered_map<char32_t, Glyph> glyphs;  // never moves its elements

  void render(FT_Face face, unsigned index, Glyph& glyph, GlyphAtlas& atlas) const;

  ~State() {
    for (FT_Face face : faces) FT_Done_Face(face);
    if (library) FT_Done_FreeType(library);
  }
};

Font::Font() = default;
Font::~Font() = default;

bool Font::usable() const { return state_ && !state_->faces.empty(); }

Status Font::open() {
  state_ = std::make_unique<State>();
  if (FT_Init_FreeType(&state_->library))
    return fail(ErrorCode::unavailable, "FreeType cannot be initialised; texts are not drawn");
  const auto add = [this](const std::string& path) {
    FT_Face face = nullptr;
    if (FT_New_Face(state_->library, path.c_str(), 0, &face) == 0) state_->faces.push_back(face);
    return face != nullptr;
  };
  if (const char* asked = std::getenv("SIGHTGLASS_FONT"); asked && *asked) {
    std::string_view paths = asked;
    std::string unusable;
    while (!paths.empty()) {
      const size_t length = std::min(paths.find(':'), paths.size());
      const std::string path(paths.substr(0, length));
      if (!path.empty() && !add(path)) unusable += " " + path;
      paths.remove_prefix(std::min(length + 1, paths.size()));
    }
    if (!usable())
      return fail(ErrorCode::not_found, "SIGHTGLASS_FONT names no usable font:{}; texts are not drawn",
                  unusable);
    return {};
  }
  for (const char* path : usual_places) add(path);
  if (!usable())
    return fail(ErrorCode::not_found,
                "no font found; texts are not drawn: install fonts-dejavu-core or name a font file in "
                "SIGHTGLASS_FONT");
  return {};
}

void Font::set_size(int pixels, int thickness) {
  if (!usable()) return;
  const bool is_full = state_->glyphs.size() > max_glyphs || atlas_.masks.size() > max_atlas_bytes / 2;
  if (state_->pixels == pixels && state_->thickness == thickness && !is_full) return;
  state_->ascii.fill(nullptr);
  state_->glyphs.clear();
  atlas_.masks.clear();
  ++atlas_.generation;
  state_->pixels = pixels;
  state_->thickness = thickness;
  for (FT_Face face : state_->faces)
    if (FT_Set_Pixel_Sizes(face, 0, unsigned(pixels)) && face->num_fixed_sizes > 0) FT_Select_Size(face, 0);
  const FT_Size_Metrics& metrics = state_->faces[0]->size->metrics;
  ascent_ = int(std::ceil(double(metrics.ascender) / 64));
  descent_ = int(std::ceil(double(-metrics.descender) / 64));
}

void Font::State::render(FT_Face face, unsigned index, Glyph& glyph, GlyphAtlas& atlas) const {
  if (FT_Load_Glyph(face, index, FT_LOAD_TARGET_LIGHT | FT_LOAD_NO_BITMAP)) return;
  FT_GlyphSlot slot = face->glyph;
  glyph.advance = float(slot->advance.x) / 64;
  if (thickness > 1 && slot->format == FT_GLYPH_FORMAT_OUTLINE) {
    // A pixel in both directions makes a stem one pixel stronger.
    FT_Outline_Embolden(&slot->outline, 64 * (thickness - 1));
    glyph.advance += float(thickness - 1);
  }
  if (FT_Render_Glyph(slot, FT_RENDER_MODE_NORMAL)) return;
  const FT_Bitmap& bitmap = slot->bitmap;
  const size_t first = atlas.masks.size(), bytes = size_t(bitmap.width) * bitmap.rows;
  if (bitmap.pixel_mode != FT_PIXEL_MODE_GRAY || bytes > max_atlas_bytes - first) return;
  glyph.left = slot->bitmap_left, glyph.top = slot->bitmap_top;
  glyph.width = int(bitmap.width), glyph.height = int(bitmap.rows);
  glyph.first = uint32_t(first);
  atlas.masks.resize(first + bytes);
  for (unsigned y = 0; y < bitmap.rows; ++y)
    std::memcpy(atlas.masks.data() + first + size_t(y) * bitmap.width,
                bitmap.buffer + int64_t(y) * bitmap.pitch, bitmap.width);
}

const Glyph& Font::glyph(char32_t character) {
  const bool is_ascii = character < state_->ascii.size();
  if (is_ascii && state_->ascii[character]) return *state_->ascii[character];
  auto [found, is_new] = state_->glyphs.try_emplace(character);
  if (is_new) {
    FT_Face face = state_->faces[0];
    unsigned index = 0;
    for (FT_Face candidate : state_->faces) {
      index = FT_Get_Char_Index(candidate, character);
      if (index != 0) {
        face = candidate;
        break;
      }
    }
    state_->render(face, index, found->second, atlas_);  // index 0: the box of an unknown character
  }
  if (is_ascii) state_->ascii[character] = &found->second;
  return found->second;
}

void Font::lay_out(std::string_view text, int max_width, TextLine& line) {
  line.items.clear();
  line.width = 0;
  if (!usable() || text.empty()) return;
  const float room = float(max_width), dots = glyph(ellipsis).advance;
  float pen = 0;
  size_t fitting = 0;  // characters behind which the ellipsis has room
  float fitting_width = 0;
  bool cut = false;
  while (!text.empty() && !cut) {
    char32_t character = next_character(text);
    if (character < 0x20 || character == 0x7f) character = ' ';
    const Glyph& next = glyph(character);
    line.items.push_back({&next, int(std::lround(pen))});
    pen += next.advance;
    cut = pen > room;
    if (pen + dots <= room) fitting = line.items.size(), fitting_width = pen;
  }
  if (cut) {
    line.items.resize(fitting);
    pen = fitting_width;
    if (dots <= room) {
      line.items.push_back({&glyph(ellipsis), int(std::lround(pen))});
      pen += dots;
    }
  }
  line.width = int(std::ceil(pen));
}

}  // namespace sightglass
