#include "sightglass/module/adapter_types.h"

#include <algorithm>

#include "sightglass/adapters/adapter.h"
#include "sightglass/module/spec_schema.h"

namespace sightglass::module {
namespace {

Key key_with(std::string name, std::string doc, std::shared_ptr<Schema> type, Value default_value = {}) {
  type->may_refer = true;
  return {.name = std::move(name),
          .doc = std::move(doc),
          .type = std::move(type),
          .default_value = std::move(default_value),
          .mutability = Mutability::restart};
}
Key text(std::string name, std::string doc, Value default_value = {}) {
  return key_with(std::move(name), std::move(doc), Schema::of_kind(Kind::text), std::move(default_value));
}
Key texts(std::string name, std::string doc) {
  auto list = Schema::list_of(Schema::of_kind(Kind::text));
  list->or_single = true;
  return key_with(std::move(name), std::move(doc), list);
}
Key whole(std::string name, std::string doc, int64_t default_value, double least, double most) {
  auto type = Schema::of_kind(Kind::integer);
  type->min = least, type->max = most;
  return key_with(std::move(name), std::move(doc), type, default_value);
}
Key one_of(std::string name, std::string doc, std::vector<std::string> names, Value default_value = {}) {
  auto type = Schema::of_kind(Kind::choice);
  type->choices = std::move(names);
  return key_with(std::move(name), std::move(doc), type, std::move(default_value));
}
Key time(std::string name, std::string doc, Value default_value = {}) {
  auto type = Schema::of_kind(Kind::duration);
  type->unit = "ns", type->min = 0;
  return key_with(std::move(name), std::move(doc), type, std::move(default_value));
}
Key of(std::string name, std::string doc, const SchemaRef& schema) {
  return key_with(std::move(name), std::move(doc), std::make_shared<Schema>(*schema));
}
Key required(Key key) {
  key.is_required = true;
  return key;
}

// 1.1, 3.1
std::vector<Key> zeromq_source() {
  return {
      required(texts("url", "addresses that frames come from: router+bind:tcp://0.0.0.0:5560")),
      of("curve", "encryption and who may connect", curve_schema()),
      texts("sources", "source ids, or prefixes that end in *; empty: all"),
      of("accept", "function that says whether a frame is taken", function_schema()),
      one_of("ack", "when a message is acknowledged: in its stream's queue, or stored by all required sinks",
             {"accepted", "processed"}, "processed"),
      whole("high_water_mark", "messages that wait in a socket", 64, 1, 100'000)};
}

struct Known {
  const char *name, *doc;
  std::vector<Key> keys;
};

// 4.3
std::vector<Known> known_sinks() {
  return {
      {"video_file",
       "Video files, cut at keyframes.",
       {required(text("location", "folder")), time("segment", "length of a file", "60s"),
        time("pre_roll", "before what `when` selects", "0s"), time("post_roll", "behind it", "0s")}},
      {"s3",
       "Objects in a bucket.",
       {required(text("url", "s3://BUCKET/PREFIX")), text("endpoint", "of the service"),
        text("region", "name"), text("access_key", "name"), text("secret_key_file", "file with the secret"),
        of("tls", "encryption", tls_schema())}},
      {"zeromq",
       "The next module, or any reader.",
       {required(text("url", "pub+bind:tcp://0.0.0.0:5561")),
        of("curve", "encryption and who may connect", curve_schema()),
        time("send_timeout", "after which the queue's policy decides", "5s"),
        whole("high_water_mark", "messages that wait in a socket", 64, 1, 100'000)}},
  };
}

// Parameters whose names begin alike are the keys of one map as well: tls-ca is `tls: {ca: …}`.
void add_map(Variant& variant, const std::string& name, std::string doc, const SchemaRef& schema,
             bool instead) {
  const auto is_flat = [&](const Key& key) { return key.name.starts_with(name + "_"); };
  if (std::ranges::none_of(variant.keys, is_flat)) return;
  if (instead) std::erase_if(variant.keys, is_flat);
  variant.keys.push_back(of(name, std::move(doc), schema));
}

template <class Desc>
std::vector<Variant> variants(const std::vector<const Desc*>& here, std::vector<Known> known) {
  std::vector<Variant> list;
  for (const Desc* desc : here) {
    Variant& variant = list.emplace_back(desc->name, desc->doc, keys_of(desc->params));
    add_map(variant, "tls", "encryption", tls_schema(), true);
    add_map(variant, "curve", "encryption and who may connect", curve_schema(), false);
  }
  for (Known& entry : known)
    if (!std::ranges::contains(list, entry.name, &Variant::name))
      list.push_back({entry.name, entry.doc, std::move(entry.keys)});
  for (Variant& variant : list)
    for (Key& key : variant.keys)
      if (key.mutability == Mutability::recycle) key.mutability = Mutability::restart;
  std::ranges::sort(list, {}, &Variant::name);
  return list;
}

}  // namespace

std::vector<Variant> source_variants() {
  auto list = variants(adapters::all_sources(), {});
  std::erase_if(list, [](const Variant& variant) { return variant.name == "zeromq"; });
  list.insert(list.begin(), {"zeromq", "Messages of other programs, over ZeroMQ.", zeromq_source()});
  return list;
}

std::vector<Variant> sink_variants() {
  auto list = variants(adapters::all_sinks(), known_sinks());
  // 4.3, common keys.
  for (Variant& variant : list) {
    const auto add = [&](Key key) {
      if (!std::ranges::contains(variant.keys, key.name, &Key::name)) variant.keys.push_back(std::move(key));
    };
    add(of("batch", "records that are written together", batch_schema()));
    add(of("retry", "after failures", retry_schema()));
    add(text("dead_letter", "folder for records that are refused for good"));
  }
  return list;
}

bool is_source_available(std::string_view type) { return type == "zeromq" || adapters::find_source(type); }
bool is_sink_available(std::string_view type) { return adapters::find_sink(type) != nullptr; }

}  // namespace sightglass::module
