// Bodies of requests, compressed. Keeps its tables between calls. One thread.
#pragma once

#include <zlib.h>

#include <memory>
#include <string>
#include <string_view>

#include "sightglass/core/result.h"

namespace sightglass::adapters {

class Gzip {
 public:
  Gzip() = default;
  ~Gzip() {
    if (is_made_) deflateEnd(&stream_);
  }
  Gzip(const Gzip&) = delete;
  Gzip& operator=(const Gzip&) = delete;

  // Replaces `to`. Level 1: three quarters of the gain for a quarter of the time.
  Status compress(std::string_view from, std::string& to) {
    constexpr int gzip_header = 16, window = 15;
    const int made = is_made_
                         ? deflateReset(&stream_)
                         : deflateInit2(&stream_, 1, Z_DEFLATED, window + gzip_header, 9, Z_DEFAULT_STRATEGY);
    if (made != Z_OK) return fail(ErrorCode::exhausted, "no memory for compression");
    is_made_ = true;
    to.resize(deflateBound(&stream_, from.size()));
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(from.data()));
    stream_.avail_in = uInt(from.size());
    stream_.next_out = reinterpret_cast<Bytef*>(to.data());
    stream_.avail_out = uInt(to.size());
    if (deflate(&stream_, Z_FINISH) != Z_STREAM_END) return fail(ErrorCode::internal, "compression failed");
    to.resize(to.size() - stream_.avail_out);
    return {};
  }

 private:
  z_stream stream_{};
  bool is_made_ = false;
};

}  // namespace sightglass::adapters
