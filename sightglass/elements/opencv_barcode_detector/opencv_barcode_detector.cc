#include "sightglass/elements/opencv_barcode_detector/opencv_barcode_detector.h"

#include "sightglass/core/registry.h"
#include "sightglass/elements/module_element.h"

namespace sightglass {
namespace {

using Params = OpencvBarcodeDetectorParams;

std::vector<PixelFormat> taken_formats() {
  const auto formats = all_8_bit_formats();
  return {formats.begin(), formats.end()};
}

const Registration registration({
    .name = "opencv_barcode_detector",
    .title = "Barcode reader",
    .klass = "Filter/Analyzer/Video",
    .doc = "Reads barcodes and matrix codes (EAN, UPC, Code 128 and 39, ITF, QR, Data Matrix, Aztec, PDF417 "
           "and more) inside of objects, or in the whole frame where there are none. Each code becomes an "
           "object of its own, child of the one that it was found in, with its text as label. (The name is "
           "kept for compatibility; the codes are read by ZXing.)",
    .kind = ElementKind::transform_inplace,
    .input = {{VideoSpec{taken_formats(), {}, {}}, MemoryKind::system}},
    .params = ParamTable::of<Params>({
        param("allow-undecoded", &Params::allow_undecoded,
              "codes that are found but cannot be read become objects too")
            .live(),
        param("add-type", &Params::add_type,
              "the kind of code stands before the text: 'EAN-13: 4006381333931'")
            .live(),
        param("undecoded-label", &Params::undecoded_label, "label of codes that cannot be read").live(),
    }),
    .create =
        [](const ParamSet& params) { return create_in_module("zxing", "opencv_barcode_detector", params); },
});

}  // namespace
}  // namespace sightglass
