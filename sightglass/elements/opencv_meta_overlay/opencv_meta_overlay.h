// Draws the results into the picture: boxes with a label bar, track numbers, attributes as text, points and
// skeletons, contours with their texts, masks as a tint, zones and lines of object_analytics with their
// counts. The name is the original's; no OpenCV is used.
//
// in, out  pictures in system or CUDA memory in any pixel format, drawn into in place without conversion. A
// frame without results is not even mapped.
//
// What is drawn is a list (draw_list.h), which the CPU or kernels on the device draw, the same pixels either
// way. On the device nothing of the picture crosses to the host, which does not wait.
//
// With attach-label-mask the picture stays as it is and every text becomes a mask among the object's
// attributes, `label-mask`, with its place in the picture.
//
// `select` says which objects are drawn, `draw` how which of them look (draw_rules.h); without rules all is
// drawn that an object has.
//
// The colour comes from the track, else from the class. Lines and letters grow with the height of the picture
// unless their sizes are set. Without a font the rest is drawn, and there is one warning. One stream, one
// thread.
#pragma once

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "sightglass/core/element.h"
#include "sightglass/elements/opencv_meta_overlay/draw_list.h"
#include "sightglass/elements/opencv_meta_overlay/draw_rules.h"
#include "sightglass/elements/opencv_meta_overlay/draw_target.h"
#include "sightglass/elements/opencv_meta_overlay/font.h"
#include "sightglass/elements/opencv_meta_overlay/overlay_options.h"
#include "sightglass/memory/mapping.h"

namespace sightglass {

class MetaOverlay final : public TransformInplace {
 public:
  struct Params {
    int lines_thickness = 2, font_thickness = 1;
    double font_scale = 1;
    bool attach_label_mask = false;
    std::string displ_cfg;
    bool show_labels = true;
    int color_idx = -1;
    std::string font_type = "triplex";
    bool draw_txt_bg = true;
    std::string show_roi, hide_roi;
    bool enable_blur = false;
    std::string show_blur_roi, hide_blur_roi;
    int text_x = 0, text_y = 25;
    std::string ff_custom_txt;
    bool displ_avgfps = false, obb = false;
    std::string select, draw;
  };
  static constexpr const char* label_mask = "label-mask";

  explicit MetaOverlay(const ParamSet& params);

  Status start() override;
  Status configure(const Format& input, const Format& output) override;
  void update(const ParamSet& params) override;
  std::vector<std::string> take_warnings() override { return std::exchange(warnings_, {}); }
  Result<Verdict> process(Frame& frame) override;

 private:
  // How an object of this frame looks.
  struct Look {
    bool box = false, label = false, points = false, masks = false, blur = false;
    const DrawRule* rule = nullptr;  // null: no rules are set
    bool drawn() const { return box || label || points || masks; }
  };
  struct Style {
    Color color;
    Ink ink, text_ink;
  };

  void choose_sizes();
  bool has_work(const Frame& frame) const;
  Status set_rules(const Params& params);
  void choose_looks(const Frame& frame);
  Look look_of(const Frame& frame, const Region& region) const;
  Color color_of(const Region& region, const std::optional<Color>& chosen) const;
  Style style_of(Color color) const;
  Rect outline(const Region& region) const;
  void blur(const Region& region);
  Status draw_shape(const Region& region, const Look& look);
  void draw_outline(const Region& region, const Ink& ink);
  void draw_dot(const Region& region, const Look& look);
  // Of an object in its ink; of the frame, null, each in one of its own.
  Status draw_attributes(const AttributesRef& list, const Ink* ink, const Look& look);
  Status draw_mask(const Attribute& mask, const Ink* ink);
  void draw_points(const Attribute& points, const Ink& ink, float radius);
  void draw_contour(const Attribute& contour, const Ink& ink);
  void draw_contour_texts(const AttributesRef& list);
  void draw_text_bar(const Rect& beside, const Style& style);
  void draw_label(const Region& region, const Look& look);
  Status attach_label_masks(Frame& frame);
  void draw_frame_text(const Frame& frame);
  void draw_bar(int x, int y, const Style& style);
  Rect place_bar(const Rect& box, int width, int height) const;
  void compose(const Region& region, const Look& look);
  void append_texts(const AttributesRef& list, Label but);
  void append_average_rate();

  OverlayOptions options_;
  bool attach_label_mask_ = false;
  std::vector<std::string> warnings_;
  Font font_;
  DrawList list_;
  DrawTarget target_;
  int usual_thickness_ = 2, thickness_ = 2, padding_ = 2;
  std::string text_;
  TextLine line_;
  std::vector<Rect> bars_;   // of this frame
  std::vector<Look> looks_;  // of this frame, by region
  Selection select_{"select"};
  std::string draw_;  // the text of the rules
  std::vector<DrawRule> rules_;
  Label analytics_{"object_analytics"}, track_{track_model}, tag_{tag_model}, stream_{stream_model},
      label_mask_{label_mask};
  uint64_t frames_ = 0;
  std::chrono::steady_clock::time_point first_frame_;
};

}  // namespace sightglass
