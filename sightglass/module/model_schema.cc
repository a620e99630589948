#include "sightglass/module/model_schema.h"

#include <algorithm>
#include <charconv>
#include <format>

#include "sightglass/core/json_writer.h"
#include "sightglass/core/registry.h"
#include "sightglass/model/importers.h"

namespace sightglass::module {
namespace {

constexpr std::string_view decoder_prefix = "tensor_postproc_";

Key made(std::string name, std::string doc, std::shared_ptr<Schema> type) {
  return {.name = std::move(name),
          .doc = std::move(doc),
          .type = std::move(type),
          .mutability = Mutability::recycle};
}
std::shared_ptr<Schema> numbers(bool or_single, size_t least, size_t most) {
  auto schema = Schema::list_of(Schema::of_kind(Kind::number));
  schema->or_single = or_single;
  schema->min_items = least, schema->max_items = most;
  return schema;
}

// By the type that the description has for a key.
std::shared_ptr<Schema> type_of(const Known<std::string>&) { return Schema::of_kind(Kind::text); }
std::shared_ptr<Schema> type_of(const Known<PictureSize>&) { return numbers(false, 2, 2); }
std::shared_ptr<Schema> type_of(const Known<std::vector<double>>&) { return numbers(true, 1, 16); }
std::shared_ptr<Schema> type_of(const Known<double>&) { return Schema::of_kind(Kind::number); }
std::shared_ptr<Schema> type_of(const Known<int64_t>&) { return Schema::of_kind(Kind::integer); }

std::string doc_of_input(std::string_view key) {
  if (key == "layer") return "name of the input; needed where there are several";
  if (key == "format") return "image; image-info: height, width, scale; sequence-index: ones";
  if (key == "size") return "[width, height] in pixels";
  if (key == "crop") return "part of the picture that is taken, in the middle";
  std::string name(key);
  std::ranges::replace(name, '_', '-');
  const auto* element = find_element("video_to_tensor");
  const auto* param = element ? element->params.find(name) : nullptr;
  return param ? param->doc : name + " of the input";
}

std::shared_ptr<Schema> input_schema() {
  auto map = Schema::of_kind(Kind::map);
  map->name = "model_input";
  const InputInfo info;
  const auto* element = find_element("video_to_tensor");
  for_each_input_key(
      [&](std::string_view key, const auto& known) {
        auto type = type_of(known);
        const auto* param = element ? element->params.find(key) : nullptr;
        if (param && param->type == ParamType::choice && type->kind == Kind::text) {
          type->kind = Kind::choice;
          // Also as the importer spells them.
          type->choices = param->choice_names;
          for (const auto& name : param->choice_names)
            if (name.contains('-')) {
              std::string other = name;
              std::ranges::replace(other, '-', '_');
              type->choices.push_back(other);
            }
        }
        map->keys.push_back(made(std::string(key), doc_of_input(key), std::move(type)));
      },
      info);
  return map;
}

std::shared_ptr<Schema> labels_schema() {
  auto items = Schema::of_kind(Kind::any);
  auto list = Schema::list_of(items);
  auto file = Schema::of_kind(Kind::map);
  Key path = made("file", "one label a line", Schema::of_kind(Kind::text));
  path.is_required = true;
  file->keys.push_back(std::move(path));
  return Schema::one_of({list, file, Schema::of_kind(Kind::text)});
}

std::shared_ptr<Schema> texts() {
  auto list = Schema::list_of(Schema::of_kind(Kind::text));
  list->or_single = true;
  return list;
}

std::vector<Key> decoder_keys(const ElementDesc& element) {
  // Said by keys of their own.
  auto keys =
      keys_of(element.params, {"layer-name", "attribute-name", "labels", "input-width", "input-height"});
  // As the importer reads them: also numbers and lists where the element takes text.
  for (Key& key : keys) {
    key.mutability = Mutability::recycle;
    key.type->may_bind = false;
    if (key.type->kind == Kind::text || key.type->kind == Kind::choice) {
      auto choices = key.type->choices;
      for (const auto& name : key.type->choices)
        if (name.contains('-')) {
          std::string other = name;
          std::ranges::replace(other, '-', '_');
          choices.push_back(other);
        }
      key.type->choices = std::move(choices);
      key.type->choice_values.clear();
    }
  }
  return keys;
}

std::shared_ptr<Schema> output_schema() {
  auto map = Schema::of_kind(Kind::map);
  map->name = "model_output";
  map->keys.push_back(made("decoder",
                           "what reads it; a name, or a decoder of your own: file.so, module:Class",
                           Schema::of_kind(Kind::text)));
  map->keys.push_back(made("layer", "name of the output", texts()));
  map->keys.push_back(made("layers", "names of the outputs, if there are several", texts()));
  map->keys.push_back(made("layer_name", "the same as layer", texts()));
  map->keys.push_back(made("attribute", "name of the result", Schema::of_kind(Kind::text)));
  map->keys.push_back(made("attribute_name", "the same as attribute", Schema::of_kind(Kind::text)));
  map->keys.push_back(made("labels", "names of the classes: a list, or {file: PATH}", labels_schema()));
  map->tag = "decoder";
  for (const auto* element : all_elements())
    if (element->name.starts_with(decoder_prefix))
      map->variants.push_back(
          {element->name.substr(decoder_prefix.size()), element->title, decoder_keys(*element)});
  // Decoders of elements that are not here, and the user's own, whose keys nobody knows.
  map->other_variant = [](const std::string& name) -> std::optional<Variant> {
    if (is_user_decoder(name)) return Variant{name, "", {}};
    return std::nullopt;
  };
  map->other_pattern = "[.:]";
  return map;
}

// JSON with each value on a line of its own, so that the importer's lines lead back to the values.
class Lines {
 public:
  explicit Lines(std::string_view first) : text_(first) {}

  void write(const Value& value) {
    places_.push_back(&value);
    if (const auto* items = value.items()) {
      text_ += "[\n";
      for (size_t i = 0; i < items->size(); ++i) {
        write((*items)[i]);
        separate(i + 1 < items->size());
      }
      close(']', value);
    } else if (const auto* entries = value.entries()) {
      text_ += "{\n";
      for (size_t i = 0; i < entries->size(); ++i) {
        JsonWriter(text_).value((*entries)[i].first);
        text_ += ": ";
        // Where key and value stand on one line, that line is the value's.
        write((*entries)[i].second);
        separate(i + 1 < entries->size());
      }
      close('}', value);
    } else {
      text_ += value.to_json();
    }
  }
  const std::string& text() const { return text_; }
  const Value* at(int line) const {
    return line >= 1 && size_t(line) <= places_.size() ? places_[size_t(line) - 1] : nullptr;
  }

 private:
  void separate(bool more) { text_ += more ? ",\n" : "\n"; }
  void close(char bracket, const Value& value) {
    places_.push_back(&value);
    text_ += bracket;
  }

  std::string text_;
  std::vector<const Value*> places_;  // by line
};

}  // namespace

std::vector<Key> model_document_keys() {
  auto version = Schema::of_kind(Kind::integer);
  version->min = version->max = 1;
  auto task = Schema::of_kind(Kind::choice);
  task->choices = {"detect", "classify", "segment", "pose", "embed", "ocr", "raw"};
  auto inputs = Schema::list_of(input_schema()), outputs = Schema::list_of(output_schema());
  inputs->or_single = outputs->or_single = true;
  std::vector<Key> keys;
  keys.push_back(made("sightglass_model", "version of the document; may be left out here", version));
  keys.push_back(made("name", "of the model", Schema::of_kind(Kind::text)));
  keys.push_back(made("task", "what the model does", task));
  keys.push_back(made("input", "what its inputs want", inputs));
  keys.push_back(made("output", "what its outputs mean", outputs));
  return keys;
}

void check_model_document(const Value& document, const std::string& folder, const Path& path,
                          Diagnostics& found) {
  if (!document.entries()) return;
  Value whole = Value::map();
  whole.set("sightglass_model", 1);
  for (const auto& [key, value] : *document.entries()) whole.set(key, value);
  // Of the copy, whose values the lines point to.
  Lines lines("");
  lines.write(whole);
  const std::string file = "model";
  const auto info = import_yaml(lines.text(), file, folder, sightglass::Origin{});
  if (info) return;
  // "model:3:5: input[0].size: message; did you mean 'x'?"
  std::string message = info.error().message;
  const Value* place = nullptr;
  if (std::string_view rest = message; rest.starts_with(file + ":")) {
    rest.remove_prefix(file.size() + 1);
    int line = 0;
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), line);
    if (error == std::errc()) place = lines.at(line);
    if (const size_t colon = rest.find(": "); colon != std::string_view::npos)
      message = rest.substr(colon + 2);
  }
  std::string suggestion, key = path.to_string();
  constexpr std::string_view hint = "; did you mean '";
  if (const size_t at = message.find(hint); at != std::string::npos && message.ends_with("'?")) {
    suggestion = message.substr(at + hint.size(), message.size() - at - hint.size() - 2);
    message.resize(at);
  }
  if (const size_t colon = message.find(": "); colon != std::string::npos && message.find(' ') == colon + 1) {
    key += "." + message.substr(0, colon);
    message.erase(0, colon + 2);
  }
  found.error(place ? place->origin : document.origin, key, message, suggestion);
}

}  // namespace sightglass::module
