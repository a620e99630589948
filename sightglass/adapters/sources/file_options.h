// From the parameters of a source of files to what it works with; the same checks for all of them.
#pragma once

#include <stop_token>
#include <string>
#include <vector>

#include "sightglass/adapters/sources/file_feed.h"

namespace sightglass::adapters {

// The parameters with paths from the module's folder and a source id, or what is wrong with them.
// `what` is what location should name.
Result<FileParams> checked(FileParams params, const SourceContext& context, std::string_view what);
Result<FileFeed::Options> feed_options(const FileParams& params, Fraction fps = {0, 1});

// The token for `shutdown-after-end`; empty: not asked for.
Result<std::string> token_after_end(const FileParams& params, const SourceContext& context);

// The side file of one media file; null: none was named. `is_optional`: one that does not exist is none.
Result<std::unique_ptr<Sidecar>> side_file(const FileParams& params, const std::string& media,
                                           bool is_optional);

// The pts of all frames in the order in which they are shown, for side files that count frames. Empty: the
// order of decoding.
Result<std::vector<int64_t>> shown_order(const std::string& media, std::stop_token stop = {});

}  // namespace sightglass::adapters
