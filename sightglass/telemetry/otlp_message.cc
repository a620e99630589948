#include "sightglass/telemetry/otlp_message.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "sightglass/core/utf8.h"

namespace sightglass::telemetry {
namespace {

using module::FinishedTrace;
using module::MetricFamily;
using module::MetricSample;
using module::MetricType;
using module::Span;
using module::TraceId;

// With U+FFFD in the place of each byte that is no UTF-8.
std::string mended(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const std::string_view before = text;
    const bool is_invalid = next_character(text) == replacement_character;
    out += is_invalid ? "\ufffd" : before.substr(0, before.size() - text.size());
  }
  return out;
}

// One message of protobuf, appended to a text.
class Writer {
 public:
  explicit Writer(std::string& out) : out_(out) {}

  void integer(unsigned field, uint64_t value) {
    tag(field, 0);
    varint(value);
  }
  void fixed(unsigned field, uint64_t value) {
    tag(field, 1);
    raw(value);
  }
  void real(unsigned field, double value) { fixed(field, std::bit_cast<uint64_t>(value)); }
  void bytes(unsigned field, std::string_view value) {
    if (value.empty()) return;
    tag(field, 2);
    varint(value.size());
    out_ += value;
  }
  // Of anyone: a collector refuses the whole request where one byte is no UTF-8.
  void text(unsigned field, std::string_view value) {
    const bool is_plain = std::ranges::all_of(value, [](char c) { return uint8_t(c) < 0x80; });
    bytes(field, is_plain ? value : std::string_view(mended(value)));
  }
  template <class Body>
  void message(unsigned field, Body&& body) {
    std::string inner;
    Writer writer(inner);
    body(writer);
    tag(field, 2);
    varint(inner.size());
    out_ += inner;
  }
  // Packed numbers of 64 bits.
  template <class Values>
  void all(unsigned field, const Values& values) {
    if (values.empty()) return;
    tag(field, 2);
    varint(values.size() * sizeof(uint64_t));
    for (const auto value : values) raw(std::bit_cast<uint64_t>(value));
  }

 private:
  void tag(unsigned field, unsigned wire) { varint(field << 3 | wire); }
  void varint(uint64_t value) {
    for (; value >= 0x80; value >>= 7) out_ += char(value | 0x80);
    out_ += char(value);
  }
  void raw(uint64_t value) {
    for (int i = 0; i < 8; ++i, value >>= 8) out_ += char(value);
  }
  std::string& out_;
};

std::string big_endian(std::initializer_list<uint64_t> words) {
  std::string bytes;
  for (const uint64_t word : words)
    for (int shift = 56; shift >= 0; shift -= 8) bytes += char(word >> shift);
  return bytes;
}
std::string id_of(const TraceId& trace) { return big_endian({trace.high, trace.low}); }
std::string id_of(uint64_t span) { return big_endian({span}); }

void write_attribute(Writer& out, unsigned field, std::string_view key, std::string_view value) {
  out.message(field, [&](Writer& pair) {
    pair.text(1, key);
    pair.message(2, [&](Writer& any) { any.text(1, value); });
  });
}

void write_sender(Writer& out, unsigned field, const Sender& sender) {
  out.message(field, [&](Writer& resource) {
    write_attribute(resource, 1, "service.name", sender.name);
    write_attribute(resource, 1, "service.version", sender.version);
    write_attribute(resource, 1, "service.instance.id", sender.instance);
  });
}

void write_scope(Writer& out, unsigned field, const Sender& sender) {
  out.message(field, [&](Writer& scope) {
    scope.text(1, "sightglass");
    scope.text(2, sender.version);
  });
}

// Where a frame comes in and where it goes out.
uint64_t kind_of(const Span& span) {
  constexpr uint64_t internal = 1, producer = 4, consumer = 5;
  if (span.name == "frame") return consumer;
  return span.name.starts_with("sink.") ? producer : internal;
}

void write_span(Writer& out, unsigned field, const FinishedTrace& trace, const Span& span) {
  constexpr uint64_t error = 2;
  out.message(field, [&](Writer& one) {
    one.bytes(1, id_of(span.trace.value_or(trace.id)));
    one.bytes(2, id_of(span.id));
    if (!span.trace) one.text(3, trace.tracestate);
    if (span.parent) one.bytes(4, id_of(span.parent));
    one.text(5, span.name);
    one.integer(6, kind_of(span));
    one.fixed(7, uint64_t(span.begin_ns + trace.unix_offset_ns));
    one.fixed(8, uint64_t(span.end_ns + trace.unix_offset_ns));
    for (const auto& [key, value] : span.attributes) write_attribute(one, 9, key, value);
    if (&span == trace.spans.data() && trace.left_out)
      write_attribute(one, 9, "spans.left_out", std::to_string(trace.left_out));
    if (span.link)
      one.message(13, [&](Writer& link) {
        link.bytes(1, id_of(span.link->trace));
        link.bytes(2, id_of(span.link->span));
      });
    if (!span.error.empty())
      one.message(15, [&](Writer& status) {
        status.text(2, span.error);
        status.integer(3, error);
      });
  });
}

void write_labels(Writer& out, unsigned field, const MetricSample& sample) {
  for (const auto& [name, value] : sample.labels) write_attribute(out, field, name, value);
}

void write_number(Writer& out, const MetricSample& sample, int64_t start_ns, int64_t now_ns) {
  out.message(1, [&](Writer& point) {
    if (start_ns) point.fixed(2, uint64_t(start_ns));
    point.fixed(3, uint64_t(now_ns));
    point.real(4, sample.value);
    write_labels(point, 7, sample);
  });
}

void write_histogram(Writer& out, const MetricSample& sample, int64_t start_ns, int64_t now_ns) {
  out.message(1, [&](Writer& point) {
    point.fixed(2, uint64_t(start_ns));
    point.fixed(3, uint64_t(now_ns));
    point.fixed(4, sample.count());
    point.real(5, sample.sum);
    point.all(6, sample.buckets);
    point.all(7, sample.bounds);
    write_labels(point, 9, sample);
  });
}

void write_metric(Writer& out, unsigned field, const MetricFamily& family, int64_t start_ns, int64_t now_ns) {
  constexpr uint64_t cumulative = 2;
  out.message(field, [&](Writer& metric) {
    metric.text(1, family.name);
    metric.text(2, family.help);
    switch (family.type) {
      case MetricType::gauge:
        metric.message(5, [&](Writer& gauge) {
          for (const MetricSample& sample : family.samples) write_number(gauge, sample, 0, now_ns);
        });
        break;
      case MetricType::counter:
        metric.message(7, [&](Writer& sum) {
          for (const MetricSample& sample : family.samples) write_number(sum, sample, start_ns, now_ns);
          sum.integer(2, cumulative);
          sum.integer(3, 1);  // monotonic
        });
        break;
      case MetricType::histogram:
        metric.message(9, [&](Writer& histogram) {
          for (const MetricSample& sample : family.samples)
            write_histogram(histogram, sample, start_ns, now_ns);
          histogram.integer(2, cumulative);
        });
        break;
    }
  });
}

// One message of protobuf, field by field; what is unknown is skipped.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}
  struct Field {
    unsigned number = 0;
    uint64_t value = 0;      // of integers
    std::string_view bytes;  // of texts and messages
  };
  bool at_end() const { return rest_.empty(); }
  bool next(Field& field) {
    uint64_t tag = 0, size = 0;
    if (!varint(tag)) return false;
    field = {.number = unsigned(tag >> 3)};
    switch (tag & 7) {
      case 0:
        return varint(field.value);
      case 1:
        return take(8, field.bytes);
      case 2:
        return varint(size) && take(size, field.bytes);
      case 5:
        return take(4, field.bytes);
      default:
        return false;
    }
  }

 private:
  bool varint(uint64_t& value) {
    value = 0;
    for (unsigned shift = 0; shift < 64 && !rest_.empty(); shift += 7) {
      const auto byte = uint8_t(rest_.front());
      rest_.remove_prefix(1);
      value |= uint64_t(byte & 0x7f) << shift;
      if (byte < 0x80) return true;
    }
    return false;
  }
  bool take(uint64_t size, std::string_view& bytes) {
    if (size > rest_.size()) return false;
    bytes = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return true;
  }
  std::string_view rest_;
};

}  // namespace

std::string traces_request(const Sender& sender, std::span<const FinishedTrace> traces) {
  std::string bytes;
  Writer(bytes).message(1, [&](Writer& resource) {
    write_sender(resource, 1, sender);
    resource.message(2, [&](Writer& scope) {
      write_scope(scope, 1, sender);
      for (const FinishedTrace& trace : traces)
        for (const Span& span : trace.spans) write_span(scope, 2, trace, span);
    });
  });
  return bytes;
}

std::string metrics_request(const Sender& sender, std::span<const MetricFamily> families, int64_t start_ns,
                            int64_t now_ns) {
  std::string bytes;
  Writer(bytes).message(1, [&](Writer& resource) {
    write_sender(resource, 1, sender);
    resource.message(2, [&](Writer& scope) {
      write_scope(scope, 1, sender);
      for (const MetricFamily& family : families) write_metric(scope, 2, family, start_ns, now_ns);
    });
  });
  return bytes;
}

Result<PartialSuccess> read_answer(std::string_view body) {
  PartialSuccess result;
  Reader answer(body);
  for (Reader::Field field; !answer.at_end();) {
    if (!answer.next(field)) return fail(ErrorCode::corrupt, "the collector's answer is no OTLP");
    if (field.number != 1) continue;
    Reader partial(field.bytes);
    for (Reader::Field inner; !partial.at_end();) {
      if (!partial.next(inner)) return fail(ErrorCode::corrupt, "the collector's answer is no OTLP");
      if (inner.number == 1) result.rejected = inner.value;
      if (inner.number == 2) result.message = inner.bytes;
    }
  }
  return result;
}

}  // namespace sightglass::telemetry
