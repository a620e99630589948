#include "sightglass/flow/pipeline_text.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <climits>
#include <map>
#include <ranges>

namespace sightglass::flow {
namespace {

std::unexpected<Error> unreadable(std::string_view why) {
  return fail(ErrorCode::invalid_argument, "the pipeline cannot be read: {}", why);
}

bool is_space(char c) { return std::isspace(static_cast<unsigned char>(c)); }
bool is_word(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-' || c == ':' || c == '%';
}

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  Result<PipelineText> parse() {
    std::optional<End> previous;  // what the next '!' links from
    bool linking = false;
    for (skip_space(); !at_end(); skip_space()) {
      if (peek() == '!') {
        ++at_;
        if (!previous || linking) return unreadable("there is nothing in front of a '!'");
        linking = true;
        continue;
      }
      auto end = item();
      if (!end) return forward_error(end);
      if (linking) waiting_.push_back({*previous, *end});
      // A reference is an end of its own: "a ! m.  t. ! b".
      linking = false;
      previous = *end;
    }
    if (linking) return unreadable("nothing follows the last '!'");
    if (made_.elements.empty()) return unreadable("it is empty");
    if (auto status = connect(); !status) return forward_error(status);
    return std::move(made_);
  }

 private:
  // One side of a link: an element by its place, or by a name that may come later.
  struct End {
    size_t element = 0;
    std::string name, pad;  // name empty: by place
  };
  struct Waiting {
    End from, to;
  };

  bool at_end() const { return at_ >= text_.size(); }
  char peek() const { return text_[at_]; }
  void skip_space() {
    while (!at_end() && is_space(peek())) ++at_;
  }

  Result<End> item() {
    if (peek() == '(' || peek() == ')')
      return unreadable("brackets around elements have no meaning in a flow");
    if (looks_like_caps()) return caps();
    const std::string word = this->word();
    if (word.empty()) {
      if (peek() == '=') return unreadable("there is no name in front of a '='");
      return unreadable(std::format("'{}' is not expected here", text_.substr(at_, 12)));
    }
    if (!at_end() && peek() == '.') {
      ++at_;
      return End{0, word, this->word()};
    }
    if (!at_end() && !is_space(peek()) && peek() != '!')
      return unreadable(std::format("'{}' is not expected behind {}", peek(), word));
    return element(word);
  }

  std::string word() {
    const size_t from = at_;
    while (!at_end() && is_word(peek())) ++at_;
    return std::string(text_.substr(from, at_ - from));
  }

  // A media type has a '/' before anything else; it may be quoted as a whole.
  bool looks_like_caps() const {
    size_t i = at_;
    if (text_[i] == '"' || text_[i] == '\'') ++i;
    const size_t from = i;
    while (i < text_.size() && is_word(text_[i])) ++i;
    return i > from && i < text_.size() && text_[i] == '/';
  }

  Result<End> caps() {
    std::string value;
    if (peek() == '"' || peek() == '\'') {
      auto read = quoted();
      if (!read) return forward_error(read);
      value = *read;
    } else {
      const size_t end = std::min(text_.find('!', at_), text_.size());
      value = text_.substr(at_, end - at_);
      while (!value.empty() && is_space(value.back())) value.pop_back();
      at_ = end;
    }
    made_.elements.push_back({"capsfilter", {}, {{"caps", value}}});
    return End{made_.elements.size() - 1, {}, {}};
  }

  Result<End> element(const std::string& kind) {
    PipelineText::Element made{kind, {}, {}};
    while (true) {
      skip_space();
      const size_t start = at_;
      const std::string name = word();
      skip_space();
      if (name.empty() || at_end() || peek() != '=') {
        at_ = start;  // the next element, or a '!'
        break;
      }
      ++at_;
      skip_space();
      auto value = this->value();
      if (!value) return forward_error(value);
      if (name == "name")
        made.name = *value;
      else
        made.settings.emplace_back(name, *std::move(value));
    }
    made_.elements.push_back(std::move(made));
    return End{made_.elements.size() - 1, {}, {}};
  }

  // Up to the next blank; quotes may stand around all of it or parts, '\' takes the next character as it is.
  Result<std::string> value() {
    std::string text;
    while (!at_end() && !is_space(peek())) {
      const char c = peek();
      if (c == '"' || c == '\'') {
        auto part = quoted();
        if (!part) return part;
        text += *part;
        continue;
      }
      ++at_;
      if (c == '\\' && !at_end())
        text += text_[at_++];
      else
        text += c;
    }
    return text;
  }

  Result<std::string> quoted() {
    const char quote = text_[at_++];
    std::string text;
    for (; !at_end(); ++at_) {
      if (peek() == quote) {
        ++at_;
        return text;
      }
      if (quote == '"' && peek() == '\\' && at_ + 1 < text_.size()) ++at_;
      text += peek();
    }
    return unreadable(std::format("a {} is not closed", quote));
  }

  Status connect() {
    std::map<std::string, size_t, std::less<>> named;
    for (size_t i = 0; i < made_.elements.size(); ++i) {
      const auto& name = made_.elements[i].name;
      if (!name.empty() && !named.emplace(name, i).second)
        return fail(ErrorCode::invalid_argument, "two elements are called {}", name);
    }
    for (const auto& [from, to] : waiting_) {
      PipelineText::Link link{from.element, to.element, from.pad, to.pad};
      for (auto [end, place] : {std::pair(&from, &link.from), std::pair(&to, &link.to)}) {
        if (end->name.empty()) continue;
        const auto found = named.find(end->name);
        if (found == named.end())
          return fail(ErrorCode::not_found, "no element is called {}, but '{}.' stands in the pipeline",
                      end->name, end->name);
        *place = found->second;
      }
      made_.links.push_back(std::move(link));
    }
    return {};
  }

  std::string_view text_;
  size_t at_ = 0;
  PipelineText made_;
  std::vector<Waiting> waiting_;
};

// ---- caps

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

// Parts between separators that stand outside of brackets and quotes.
std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  size_t start = 0;
  int depth = 0;
  bool is_quoted = false;
  for (size_t i = 0; i <= text.size(); ++i) {
    const char c = i < text.size() ? text[i] : separator;
    if (c == '"') is_quoted = !is_quoted;
    if (c == '{' || c == '[' || c == '(') ++depth;
    if (c == '}' || c == ']' || c == ')') --depth;
    if (i < text.size() && (c != separator || depth > 0 || is_quoted)) continue;
    parts.push_back(trimmed(text.substr(start, i - start)));
    start = i + 1;
  }
  return parts;
}

// The values of a field: "(string){ NV12, I420 }" without its type and brackets.
std::vector<std::string> values_of(std::string_view text) {
  if (text.starts_with('(')) text = trimmed(text.substr(std::min(text.find(')') + 1, text.size())));
  if (text.starts_with('{') && text.ends_with('}')) text = text.substr(1, text.size() - 2);
  std::vector<std::string> values;
  for (auto part : split(text, ',')) {
    if (part.starts_with('(')) part = trimmed(part.substr(std::min(part.find(')') + 1, part.size())));
    if (part.size() > 1 && part.starts_with('"') && part.ends_with('"'))
      part = part.substr(1, part.size() - 2);
    values.emplace_back(part);
  }
  return values;
}

std::unexpected<Error> bad_field(std::string_view field, std::string_view value) {
  return fail(ErrorCode::invalid_argument, "caps: {}={} is not known here", field, value);
}

Result<int> number(std::string_view field, std::string_view text) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 1) return bad_field(field, text);
  return value;
}

Result<IntRange> range(std::string_view field, std::string_view text) {
  if (text.starts_with('(')) text = trimmed(text.substr(std::min(text.find(')') + 1, text.size())));
  if (!text.starts_with('[')) {
    auto value = number(field, text);
    if (!value) return forward_error(value);
    return IntRange::exactly(*value);
  }
  const auto ends =
      text.ends_with(']') ? split(text.substr(1, text.size() - 2), ',') : std::vector<std::string_view>();
  if (ends.size() != 2) return bad_field(field, text);
  auto least = number(field, ends[0]);
  auto most = ends[1] == "max" ? Result<int>(INT_MAX) : number(field, ends[1]);
  if (!least || !most || *least > *most) return bad_field(field, text);
  return IntRange{*least, *most};
}

Result<MemoryKind> memory_of(std::string_view feature) {
  static constexpr std::pair<std::string_view, MemoryKind> known[] = {
      {"memory:SystemMemory", MemoryKind::system}, {"memory:DMABuf", MemoryKind::dmabuf},
      {"memory:CUDAMemory", MemoryKind::cuda},     {"memory:VAMemory", MemoryKind::va},
      {"memory:OpenCL", MemoryKind::opencl},
  };
  for (const auto& [name, kind] : known)
    if (name == feature) return kind;
  if (feature.starts_with("memory:"))
    if (auto kind = memory_kind(feature.substr(7))) return *kind;
  return fail(ErrorCode::invalid_argument, "caps: {} is not a memory that is known here", feature);
}

Status set_video(VideoSpec& spec, std::string_view field, std::string_view text) {
  if (field == "format") {
    for (const auto& name : values_of(text)) {
      const auto format = pixel_format(name);
      if (!format) return bad_field(field, name);
      spec.formats.push_back(*format);
    }
  } else if (field == "width" || field == "height") {
    auto side = range(field, text);
    if (!side) return forward_error(side);
    (field == "width" ? spec.width : spec.height) = *side;
  } else if (field != "framerate" && field != "pixel-aspect-ratio" && field != "colorimetry" &&
             field != "interlace-mode") {  // these never restrict
    return fail(ErrorCode::invalid_argument, "caps: video/x-raw has no field {}", field);
  }
  return {};
}

Status set_tensors(TensorsSpec& spec, std::string_view field, std::string_view text) {
  if (field == "num_tensors" || field == "framerate" || field == "format") return {};
  if (field == "model") {
    spec.model = values_of(text).front();
    return {};
  }
  // Fields of several tensors are one text, joined by commas.
  auto values = values_of(text);
  const bool is_list = text.contains('{');
  if (!is_list && values.size() == 1) {
    const std::string joined = values[0];
    values.clear();
    for (auto part : split(joined, ',')) values.emplace_back(part);
  }
  const size_t count = is_list ? 1 : values.size();
  if (spec.tensors.size() < count) spec.tensors.resize(count);
  for (size_t i = 0; i < values.size(); ++i) {
    TensorSpec& tensor = spec.tensors[is_list ? 0 : i];
    if (field == "types") {
      const auto type = data_type(values[i]);
      if (!type) return bad_field(field, values[i]);
      tensor.types.push_back(*type);
    } else if (field == "dimensions" || field == "strides") {
      const auto shape = shape_from_dimensions(values[i]);
      if (!shape) return bad_field(field, values[i]);
      (field == "strides" ? tensor.strides : tensor.shape) = *shape;
    } else if (field == "layouts") {
      const auto known = layout(values[i]);
      if (!known) return bad_field(field, values[i]);
      tensor.layout = *known;
    } else if (field == "names") {
      tensor.name = values[i];
    } else {
      return fail(ErrorCode::invalid_argument, "caps: other/tensors has no field {}", field);
    }
  }
  return {};
}

Result<FormatSpec> one_set(std::string_view text) {
  auto fields = split(text, ',');
  std::string_view media = fields.front();
  FormatSpec spec;
  if (const size_t open = media.find('('); open != media.npos) {
    auto kind = memory_of(trimmed(media.substr(open + 1, media.find(')') - open - 1)));
    if (!kind) return forward_error(kind);
    spec.memory = *kind;
    media = trimmed(media.substr(0, open));
  }
  if (media == "video/x-raw")
    spec.media = VideoSpec{};
  else if (media == "other/tensors")
    spec.media = TensorsSpec{};
  else
    return fail(ErrorCode::invalid_argument, "caps: {} is not known here; known: video/x-raw, other/tensors",
                media);
  for (const auto field : fields | std::views::drop(1)) {
    const size_t equal = field.find('=');
    if (equal == field.npos) return bad_field(field, "");
    const auto name = trimmed(field.substr(0, equal)), value = trimmed(field.substr(equal + 1));
    auto* video = std::get_if<VideoSpec>(&spec.media);
    auto status =
        video ? set_video(*video, name, value) : set_tensors(std::get<TensorsSpec>(spec.media), name, value);
    if (!status) return forward_error(status);
  }
  return spec;
}

}  // namespace

Result<PipelineText> parse_pipeline(std::string_view text) { return Parser(text).parse(); }

Result<std::vector<FormatSpec>> parse_caps(std::string_view text) {
  std::vector<FormatSpec> specs;
  for (auto part : split(text, ';')) {
    if (part.empty()) continue;
    auto spec = one_set(part);
    if (!spec) return forward_error(spec);
    specs.push_back(*std::move(spec));
  }
  if (specs.empty()) return fail(ErrorCode::invalid_argument, "caps: there are none in '{}'", text);
  return specs;
}

}  // namespace sightglass::flow
