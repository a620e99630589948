// Class names as Labels, made once from what the parameters `labels` and `labels-file` say.
//
// `labels` holds names, or one item that is the path of an existing file, or items `layer=path`, a file for
// each output layer. `labels-file` is a path. A file has one name per line; CR and the final newline do not
// count, an empty line keeps its index. Where both parameters are given, `labels-file` counts.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sightglass/core/label.h"
#include "sightglass/core/result.h"

namespace sightglass {

class LabelList {
 public:
  LabelList() = default;
  explicit LabelList(std::span<const std::string> names);

  size_t size() const { return labels_.size(); }
  bool empty() const { return labels_.empty(); }
  // The empty label for an id that the list does not have.
  Label operator[](int64_t id) const {
    return id >= 0 && size_t(id) < labels_.size() ? labels_[size_t(id)] : Label();
  }
  // Index of the class that stands for "nothing": named background, in any case, with or without underscores;
  // -1: none.
  int32_t background() const { return background_; }

 private:
  std::vector<Label> labels_;
  int32_t background_ = -1;
};

// The labels for the output `layer`; an empty list where nothing is given for it. Reads files and takes a
// lock: for start() and configure(), not for every frame. An error names the file that cannot be read.
Result<LabelList> load_labels(std::span<const std::string> labels, const std::string& labels_file,
                              std::string_view layer = {});

}  // namespace sightglass
