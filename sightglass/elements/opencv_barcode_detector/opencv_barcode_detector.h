// Parameters of opencv_barcode_detector; the element itself lies in the module zxing.
#pragma once

#include <string>

namespace sightglass {

struct OpencvBarcodeDetectorParams {
  bool allow_undecoded = false;
  bool add_type = false;
  std::string undecoded_label = "<undecodable>";
};

}  // namespace sightglass
