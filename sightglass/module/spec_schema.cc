#include "sightglass/module/spec_schema.h"

#include <algorithm>

#include "sightglass/module/adapter_types.h"
#include "sightglass/module/element_types.h"
#include "sightglass/module/model_schema.h"
#include "sightglass/module/references.h"
#include "sightglass/stream/limits.h"

namespace sightglass::module {
namespace {

using enum Mutability;

Key any_key(std::string name, std::string doc, std::shared_ptr<Schema> type) {
  return {.name = std::move(name), .doc = std::move(doc), .type = std::move(type)};
}

std::shared_ptr<Schema> named(std::shared_ptr<Schema> schema, std::string name) {
  schema->name = std::move(name);
  return schema;
}

// Keys of a struct that stand in a map of their own in the file: `log` of telemetry.
Key part(std::string name, const std::shared_ptr<Schema>& schema, std::string doc) {
  Key key = any_key(std::move(name), std::move(doc), schema);
  key.store = [schema](void* target, const Value& value) { read(value, *schema, target); };
  key.load = [schema](const void* source) { return write(*schema, source); };
  return key;
}

std::vector<std::string> queue_policies() {
  return {"auto", "block", "drop_oldest", "drop_to_keyframe", "latest", "spill"};
}

template <class P>
std::function<void(void*, const Value&)> take_origin() {
  return [](void* target, const Value& value) {
    static_cast<P*>(target)->origin = value.key_origin.file ? value.key_origin : value.origin;
  };
}

// ---- parameters

constexpr std::string_view parameter_types[] = {"boolean", "integer", "float", "string", "line", "polygon"};

ParameterType type_of(const Value& value) {
  double number = 0;
  if (value.boolean()) return ParameterType::boolean;
  if (value.integer()) return ParameterType::integer;
  if (value.number(number)) return ParameterType::number;
  if (const auto* items = value.items())
    return items->size() == 2 ? ParameterType::line : ParameterType::polygon;
  return ParameterType::text;
}

std::shared_ptr<Schema> parameter_schema() {
  using P = ParameterSpec;
  auto type = key("type", &P::type, "boolean, integer, float, string, line (two points) or polygon");
  auto map = Schema::map_of<P>({
      std::move(type).choices({parameter_types, std::end(parameter_types)}),
      key("default", &P::default_value, "value where no layer above has one"),
      any_key("min", "least value", Schema::of_kind(Kind::number)),
      any_key("max", "greatest value", Schema::of_kind(Kind::number)),
      list("enum", &P::choices, Schema::of_kind(Kind::any), "values that it may have"),
      key("pattern", &P::pattern, "regular expression that a string has to match"),
      key("unit", &P::unit, "for people"),
      key("env", &P::env, "environment variable that may set it, beside SIGHTGLASS_PARAM_NAME"),
      key("secret", &P::secret, "masked wherever it would be shown"),
      key("per_source", &P::per_source, "may have another value for a source id"),
      key("doc", &P::doc, "what it is for"),
  });
  for (const char* name : {"min", "max"}) {
    auto limit = std::ranges::find(map->keys, name, &Key::name);
    const auto member = limit->name == "min" ? &P::min : &P::max;
    limit->store = [member](void* target, const Value& value) {
      if (double number; value.number(number)) static_cast<P*>(target)->*member = number;
    };
    limit->load = [member](const void* source) {
      const auto& number = static_cast<const P*>(source)->*member;
      return number ? Value(*number) : Value();
    };
  }
  map->keys[0].default_value = Value();  // always written
  map->finish = [](void* target, const Value& value) {
    auto& spec = *static_cast<P*>(target);
    if (!value.find("type")) spec.type = type_of(spec.default_value);
    spec.origin = value.key_origin.file ? value.key_origin : value.origin;
  };
  auto plain = Schema::of_kind(Kind::any);
  plain->store_plain = [](void* target, const Value& value) {
    auto& spec = *static_cast<P*>(target);
    spec.default_value = value;
    spec.type = type_of(value);
    spec.origin = value.key_origin.file ? value.key_origin : value.origin;
  };
  return named(Schema::one_of({map, plain}), "parameter");
}

// ---- models

std::shared_ptr<Schema> model_schema() {
  using M = ModelSpec;
  auto auth = Schema::of_kind(Kind::map);
  for (const auto& [name, doc] : std::initializer_list<std::pair<const char*, const char*>>{
           {"user", "name"},
           {"password_file", "file with the password"},
           {"token_file", "file with a bearer token"},
           {"access_key", "of s3"},
           {"secret_key_file", "of s3: file with the secret"},
           {"region", "of s3"},
           {"endpoint", "of a service that speaks s3"}})
    auth->keys.push_back(any_key(name, doc, Schema::of_kind(Kind::text)));
  auto map = Schema::map_of<M>({
      key("path", &M::path, "file of the model, or a name that `sightglass models list` shows").referring(),
      key("url", &M::url, "where it is fetched: file, http(s), s3").referring(),
      key("sha256", &M::sha256, "checksum of the file; mandatory with `url`")
          .matching("[0-9a-fA-F]{64}", "SHA-256 (64 hexadecimal digits)"),
      key("auth", &M::auth, "of `url`; secrets by files only").of(auth),
      key("engine", &M::engine, "auto, onnx, torch, …; `sightglass doctor` says what there is").referring(),
      key("device", &M::device, "auto, CPU, CUDA[:n], CUDA:* for all, …").referring(),
      key("precision", &M::precision, "fp32, fp16, int8; empty: the model's").referring(),
      key("instances", &M::instances, "parallel copies in the session").range(1, 64),
      key("warmup", &M::warmup, "runs before the module is ready").range(0, 1000),
  });
  for (Key& one : model_document_keys()) map->keys.push_back(std::move(one));
  for (Key& one : map->keys) one.mutability = recycle;
  map->store_rest = [](void* target, Value rest) { static_cast<M*>(target)->document = std::move(rest); };
  map->load_rest = [](const void* source) { return static_cast<const M*>(source)->document; };
  map->finish = take_origin<M>();
  return named(map, "model");
}

// ---- pipeline

std::shared_ptr<Schema> function_or_name() {
  auto name = Schema::of_kind(Kind::choice);
  for (const auto& function : builtin_functions()) name->choices.push_back(function.name);
  auto map = Schema::of_kind(Kind::map);
  map->is_open = true;  // {NAME: {…}} or a function: checks.cc
  auto list = Schema::list_of(Schema::one_of({name, map}));
  list->or_single = true;
  return list;
}

// What the type says of its properties counts; of a type that nobody knows they are anything.
std::shared_ptr<Schema> any_map() {
  auto map = Schema::of_kind(Kind::map);
  map->is_open = true;
  return map;
}

std::shared_ptr<Schema> element_schema() {
  using E = ElementSpec;
  using B = BreakerSpec;
  auto breaker = Schema::map_of<B>({
      key("failures", &B::failures, "within `window`, after which it opens").range(1, 1'000'000),
      key("window", &B::window, "in which failures count").duration(),
      key("pause", &B::pause, "for which everything passes, before a frame per stream is tried").duration(),
  });
  auto model_type = Schema::one_of({Schema::of_kind(Kind::text), model_schema()});
  auto model = key("model", &E::model, "name in `models`, or a model right here").of(model_type);
  auto map = Schema::map_of<E>({
      key("name", &E::name, "unique; the namespace of what the element writes")
          .matching("[A-Za-z_][A-Za-z0-9_-]{0,63}", "name of an element (letters, digits, _ and -)")
          .required(),
      key("type", &E::type, "what it does").required(),
      std::move(model),
      section("function", &E::function, function_schema(), "of pyfunc and cppfunc"),
      key("select", &E::select, "what goes in; default: the whole frame").of(selector_type()).changes(live),
      key("keep", &E::keep, "what of its results is kept").of(selector_type()).changes(live),
      key("when", &E::when, "frames that it works on").of(selector_type()).changes(live),
      key("group", &E::group, "name in `groups`"),
      list("preprocess", &E::preprocess, Schema::of_kind(Kind::any), "functions in front of the model")
          .of(function_or_name()),
      list("postprocess", &E::postprocess, Schema::of_kind(Kind::any), "functions behind it")
          .of(function_or_name()),
      key("reuse_growth", &E::reuse_growth,
          "a reused result of a track is renewed early when its box has grown by this factor; 0: off")
          .range(0, 100),
      key("on_error", &E::on_error, "what a failure does")
          .choices({"pass", "drop_frame", "stream", "module"}),
      key("budget", &E::budget, "time for one frame, beyond which it is counted and tagged").duration(),
      section("breaker", &E::breaker, breaker, "stops asking an element that keeps failing"),
      key("tag", &E::tag, "set on a frame with an event (zones, lines)")
          .matching("[A-Za-z0-9_.:-]{1,64}", "tag (letters, digits, _ . : -)"),
      key("properties", &E::properties, "of the element behind the type").of(any_map()),
  });
  map->tag = "type";
  map->variants = element_variants();
  map->other_variant = gst_variant;
  map->other_pattern = "^gst:";
  map->finish = take_origin<E>();
  for (Key& one : map->keys)
    if (one.mutability == inherited) one.mutability = recycle;
  return named(map, "element");
}

std::shared_ptr<Schema> source_schema() {
  using S = SourceSpec;
  auto map = Schema::map_of<S>({key("type", &S::type, "where frames come from")});
  map->tag = "type";
  map->variants = source_variants();
  map->store_rest = [](void* target, Value rest) { static_cast<S*>(target)->properties = std::move(rest); };
  map->load_rest = [](const void* source) { return static_cast<const S*>(source)->properties; };
  map->finish = take_origin<S>();
  map->keys[0].default_value = "zeromq";
  return named(map, "source");
}

std::shared_ptr<Schema> sink_schema() {
  using Q = QueueSpec;
  using S = SinkSpec;
  auto queue = named(Schema::map_of<Q>({
                         key("records", &Q::records, "most records that wait").range(1, 1'000'000),
                         key("bytes", &Q::bytes, "most bytes that wait").bytes(),
                         key("policy", &Q::policy, "when it is full; auto: by the type of the sink")
                             .choices(queue_policies())
                             .changes(live),
                         key("spill_bytes", &Q::spill_bytes, "most bytes on disk (policy spill)").bytes(),
                         key("durable", &Q::durable,
                             "every record goes to disk before it counts as stored, not only when memory is "
                             "full: a crash loses none (policy spill)"),
                         key("sync", &Q::sync,
                             "when what is on disk is safe from a power cut: never forced, a segment when it "
                             "is complete, or each record (policy spill)")
                             .choices({"none", "segment", "record"}),
                     }),
                     "queue");
  auto map = Schema::map_of<S>({
      key("name", &S::name, "unique")
          .matching("[A-Za-z_][A-Za-z0-9_-]{0,63}", "name of a sink (letters, digits, _ and -)")
          .required(),
      key("type", &S::type, "where records go").required(),
      key("when", &S::when, "records that are written").of(selector_type()).changes(live),
      key("required", &S::required, "a frame is settled only when this sink has stored it"),
      section("queue", &S::queue, queue, "in front of the sink"),
      section("map", &S::map, function_schema(), "function that changes records"),
  });
  map->tag = "type";
  map->variants = sink_variants();
  map->store_rest = [](void* target, Value rest) { static_cast<S*>(target)->properties = std::move(rest); };
  map->load_rest = [](const void* source) { return static_cast<const S*>(source)->properties; };
  map->finish = take_origin<S>();
  return named(map, "sink");
}

std::shared_ptr<Schema> pipeline_schema() {
  using P = PipelineSpec;
  auto map = Schema::map_of<P>({
      list("source", &P::sources, source_schema(),
           "where frames come from: one, or a list; none: pushed by the program")
          .changes(restart),
      list("elements", &P::elements, element_schema(), "what is done with each frame, in order")
          .changes(recycle),
      list("sinks", &P::sinks, sink_schema(), "where records go, each with a queue of its own")
          .changes(restart),
  });
  map->keys[0].type->or_single = true;
  map->keys[1].type->max_items = 256;
  map->keys[2].type->max_items = 256;
  return map;
}

// ---- streams

std::vector<Key> stream_rule_keys() {
  auto keys = keys_of(stream::stream_rule_params());
  for (Key& one : keys) {
    const ParamDesc* param = stream::stream_rule_params().find(one.name);
    one.type->may_bind = false;
    if (one.mutability != live) one.mutability = stream::is_module_wide(one.name) ? restart : recycle;
    one.store = [param](void* target, const Value& value) {
      if (auto checked = param_value(*param, value))
        param->store(&static_cast<ModuleSpec*>(target)->streams, *checked);
    };
    one.load = [param, type = one.type](const void* source) {
      const ParamValue value = param->load(&static_cast<const ModuleSpec*>(source)->streams);
      if (const auto* whole = std::get_if<int64_t>(&value)) return detail::load_whole(*type, *whole);
      if (const auto* boolean = std::get_if<bool>(&value)) return Value(*boolean);
      Value list;
      if (const auto* texts = std::get_if<std::vector<std::string>>(&value))
        for (const auto& text : *texts) list.add(text);
      return list;
    };
  }
  return keys;
}

std::shared_ptr<Schema> streams_schema() {
  auto overriding = Schema::of_kind(Kind::map);
  overriding->name = "stream_rules";
  for (Key& one : stream_rule_keys())
    if (!stream::is_module_wide(one.name)) {
      one.store = nullptr;
      one.load = nullptr;
      overriding->keys.push_back(std::move(one));
    }
  auto map = Schema::map_of<ModuleSpec>(stream_rule_keys());
  Key overrides = table(
      "overrides", &ModuleSpec::stream_overrides, overriding,
      "by pattern of source ids (`cam-*`), what differs for those streams; the first that matches counts");
  map->keys.push_back(std::move(overrides));
  // A reference is kept until there are parameters.
  for (Key& one : map->keys) {
    if (one.name == "overrides") continue;
    one.store = [name = one.name, store = one.store](void* target, const Value& value) {
      auto& spec = *static_cast<ModuleSpec*>(target);
      if (has_references(value))
        spec.stream_values.set(name, value);
      else
        store(target, value);
    };
    one.load = [name = one.name, load = one.load](const void* source) {
      const Value* reference = static_cast<const ModuleSpec*>(source)->stream_values.find(name);
      return reference ? *reference : load(source);
    };
  }
  return map;
}

std::shared_ptr<Schema> limits_schema() {
  using L = stream::Limits;
  auto map = Schema::map_of<L>({
      key("body", &L::body, "of a message, in Avro").bytes(),
      key("part", &L::part, "of a payload part").bytes(),
      key("message", &L::message, "of a message with all its parts").bytes(),
      key("payload_parts", &L::payload_parts, "of a message").range(1, 16),
      key("objects", &L::objects, "in a frame").range(1, 1'000'000),
      key("attributes", &L::attributes, "of one owner").range(1, 1'000'000),
      key("all_attributes", &L::all_attributes, "of a message").range(1, 10'000'000),
      key("values", &L::values, "of an attribute").range(1, 1'000'000),
      key("items", &L::items, "of any other array").range(1, 100'000'000),
      key("points", &L::points, "of a polygon").range(1, 1'000'000),
      key("dimensions", &L::dimensions, "of a tensor").range(1, 1024),
      key("transformations", &L::transformations, "of a frame").range(1, 1024),
      key("tags", &L::tags, "of a frame").range(1, 1024),
      key("labels", &L::labels, "of a message").range(1, 1024),
      key("parent_chain", &L::parent_chain, "objects from one without a parent down to the innermost")
          .range(1, 1024),
      key("name", &L::name, "of names, labels and hints").bytes(),
      key("string", &L::string, "of other strings").bytes(),
      key("tensor", &L::tensor, "in a body").bytes(),
      key("schema_text", &L::schema_text, "that a writer announces").bytes(),
      key("side", &L::side, "of a picture").range(1, 65'536).in("px"),
      key("pixels", &L::pixels, "of a picture").range(1, 4e9),
      key("image_pixels", &L::image_pixels, "that a JPEG or PNG declares").range(1, 4e9),
      key("rate", &L::rate, "frames per second").range(1, 1'000'000),
      key("time_base_term", &L::time_base_term, "numerator and denominator").range(1, 2147483647),
      key("structs", &L::structs, "what a decoded message may take beyond twice its size").bytes(),
  });
  for (Key& one : map->keys)
    if (one.type->kind == Kind::bytes) one.type->min = 1, one.type->max = 64. * (1 << 30);
  return map;
}

// ---- output

std::shared_ptr<Schema> draw_schema() {
  const auto color = [] {
    auto text = Schema::of_kind(Kind::text);
    text->pattern = "[a-z]{3,20}|#[0-9a-fA-F]{6}([0-9a-fA-F]{2})?";
    text->pattern_doc = "color: a name, or #rrggbb";
    return text;
  };
  const auto width = [](double most) {
    auto number = Schema::of_kind(Kind::number);
    number->min = 0, number->max = most, number->unit = "px";
    return number;
  };
  const auto map_with = [](std::vector<Key> keys) {
    auto map = Schema::of_kind(Kind::map);
    map->keys = std::move(keys);
    return map;
  };
  // true, a color or all of it
  const auto switched = [&](std::vector<Key> keys) {
    return Schema::one_of({Schema::of_kind(Kind::boolean), color(), map_with(std::move(keys))});
  };
  auto rule = map_with({
      any_key("match", "objects that it is for; default: all", selector_type()),
      any_key("box", "outline: true, a color or both",
              switched({any_key("color", "default: by class", color()),
                        any_key("width", "of the line", width(64))})),
      any_key("label", "text; {label}, {confidence}, {track_id}, {ELEMENT.ATTRIBUTE} stand for values",
              Schema::one_of({Schema::of_kind(Kind::text),
                              map_with({any_key("text", "as above", Schema::of_kind(Kind::text)),
                                        any_key("color", "of the letters", color())})})),
      any_key("dot", "key points, or a disc in the middle",
              switched({any_key("color", "default: by class", color()),
                        any_key("radius", "of the dot", width(256))})),
      any_key("blur", "makes it unrecognisable", Schema::of_kind(Kind::boolean)),
      any_key("mask", "fills its shape", switched({any_key("color", "default: by class", color())})),
  });
  rule->name = "draw_rule";
  auto rules = Schema::list_of(rule);
  rules->max_items = 256;
  return Schema::one_of({rules, function_schema()});
}

std::shared_ptr<Schema> output_frame_schema() {
  using O = OutputFrameSpec;
  auto pair = Schema::list_of(Schema::of_kind(Kind::integer));
  pair->min_items = pair->max_items = 2;
  Key size = any_key("size", "[width, height] in pixels; default: as the frames are", pair);
  size.store = [](void* target, const Value& value) {
    auto& spec = *static_cast<O*>(target);
    if (const auto* items = value.items();
        items && items->size() == 2 && (*items)[0].integer() && (*items)[1].integer())
      spec.width = int(*(*items)[0].integer()), spec.height = int(*(*items)[1].integer());
  };
  size.load = [](const void* source) {
    const auto& spec = *static_cast<const O*>(source);
    return spec.width > 0 ? Value::list({spec.width, spec.height}) : Value();
  };
  return Schema::map_of<O>({
      key("codec", &O::codec, "none; copy: the original bitstream")
          .choices({"none", "copy", "h264", "hevc", "av1", "jpeg", "png", "raw"}),
      key("encoder", &O::encoder, "auto: hardware where there is some")
          .choices({"auto", "hardware", "software"}),
      std::move(size),
      key("bitrate", &O::bitrate, "bits per second; 0: the encoder's default").rate(),
      key("gop", &O::gop, "frames from keyframe to keyframe; 0: one per second").range(0, 100'000),
      key("quality", &O::quality, "of JPEG").range(1, 100),
      key("when", &O::when, "frames that are encoded").of(selector_type()).changes(live),
  });
}

// ---- operation

std::shared_ptr<Schema> telemetry_schema() {
  using T = TelemetrySpec;
  Key labels = any_key("labels", "of all metrics", Schema::table_of(Schema::of_kind(Kind::text)));
  labels.store = [](void* target, const Value& value) {
    auto& map = static_cast<T*>(target)->labels;
    if (const auto* entries = value.entries())
      for (const auto& [name, text] : *entries)
        if (text.text()) map[name] = *text.text();
  };
  labels.load = [](const void* source) {
    Value map;
    for (const auto& [name, text] : static_cast<const T*>(source)->labels) map.set(name, text);
    return map;
  };
  auto metrics =
      Schema::map_of<T>({std::move(labels), key("otlp_url", &T::metrics_otlp_url,
                                                "address that they are pushed to as well, OTLP over HTTP: "
                                                "http://collector:4318/v1/metrics")});
  auto traces = Schema::map_of<T>(
      {key("sample", &T::trace_sample, "one frame of so many is followed; 0: only those whose sender asks")
           .range(0, 1e9),
       key("otlp_url", &T::traces_otlp_url,
           "address that spans are sent to, OTLP over HTTP: "
           "http://collector:4318/v1/traces; empty: no frame is followed")});
  auto log = Schema::map_of<T>({key("level", &T::log_level, "least level that is written")
                                    .choices({"trace", "debug", "info", "warning", "error", "off"}),
                                key("format", &T::log_format, "of a line").choices({"text", "json"})});
  return Schema::map_of<T>(
      {part("metrics", metrics, "numbers of the module"), part("traces", traces, "ways of single frames"),
       part("log", log, "messages for people"),
       key("flow_timeout", &T::flow_timeout, "age of a frame in the module at which nothing moves: not ready")
           .duration()});
}

std::shared_ptr<Schema> security_schema() {
  using S = SecuritySpec;
  auto location = Schema::map_of<S>({key("schemes", &S::location_schemes, "file, http, https; empty: none"),
                                     key("roots", &S::location_roots, "folders and prefixes of URLs")});
  return Schema::map_of<S>({
      key("shutdown_token_file", &S::shutdown_token_file,
          "file with the token of Shutdown messages; none: they are ignored"),
      key("require_auth", &S::require_auth, "refuse tcp addresses beyond this machine without CURVE"),
      part("location", location, "payloads by reference that are read"),
  });
}

std::shared_ptr<Schema> parameter_sources_schema() {
  using M = ModuleSpec;
  auto etcd = Schema::map_of<M>(
      {key("url", &M::etcd_url, "http(s)://HOST:PORT"), key("prefix", &M::etcd_prefix, "of the keys")});
  return Schema::map_of<M>({part("etcd", etcd, "<prefix>/<module>/<name>, or …/<name>@<source id>"),
                            key("file", &M::parameter_file, "YAML or JSON map that is watched")});
}

std::shared_ptr<Schema> make_schema() {
  using M = ModuleSpec;
  using B = BatchingSpec;
  using F = BufferSpec;
  using H = HttpSpec;
  using S = StorageSpec;
  auto batching = Schema::map_of<B>({
      key("batch_size", &B::batch_size, "items per request").range(1, 1024),
      key("batch_timeout", &B::batch_timeout, "longest wait for a batch to fill").duration(),
      key("max_per_stream", &B::max_per_stream, "requests of one stream in a batch; 0: any number")
          .range(0, 1024),
  });
  auto stream_buffer = Schema::map_of<F>({
      key("frames", &F::frames, "most frames that wait").range(1, 100'000),
      key("bytes", &F::bytes, "most bytes that wait").bytes(),
      key("policy", &F::policy, "when it is full; auto: by the type of the source").choices(queue_policies()),
  });
  auto buffers = Schema::map_of<M>(
      {section("stream", &M::buffers, stream_buffer, "between source and pipeline, of each stream")});
  auto http = Schema::map_of<H>({
      key("bind", &H::bind, "HOST:PORT; off: none"),
      key("token_file", &H::token_file, "file with tokens; needed beyond this machine"),
      key("tls", &H::tls, "encryption").of(tls_schema()),
  });
  auto storage = Schema::map_of<S>({
      key("models", &S::models, "folder of models"),
      key("compiled", &S::compiled, "folder of models compiled for a device"),
      key("downloads", &S::downloads, "folder of what was fetched"),
      key("spill", &S::spill, "folder of records that wait for a sink"),
      key("state", &S::state, "folder of parameters and audit"),
  });
  auto group =
      Schema::map_of<GroupSpec>({key("enabled", &GroupSpec::enabled, "read when an instance is built")
                                     .of(Schema::of_kind(Kind::boolean))
                                     .referring()});
  auto files = Schema::list_of(Schema::of_kind(Kind::text));
  files->or_single = true;
  auto parameters = table("parameters", &M::parameters, parameter_schema(),
                          "values that may be changed while the module runs")
                        .changes(live);
  parameters.type->pattern = "[a-z_][a-z0-9_]{0,63}",
  parameters.type->pattern_doc = "name of a parameter (a-z, 0-9, _)";
  auto models =
      table("models", &M::models, model_schema(), "networks, loaded once for all streams").changes(recycle);
  models.type->pattern = "[A-Za-z_][A-Za-z0-9_.-]{0,63}",
  models.type->pattern_doc = "name of a model (letters, digits, _ . -)";
  auto limits = key("limits", &M::limits, "of messages; beyond them a message is rejected")
                    .of(limits_schema())
                    .changes(restart);
  auto root = Schema::map_of<M>({
      key("version", &M::version, "of this format").range(1, 1),
      key("name", &M::name, "of the module")
          .matching("[a-z][a-z0-9-]{0,63}", "name of a module (a-z, 0-9, -)")
          .changes(restart),
      any_key("include", "files that come first; maps merge, anything else is replaced", files),
      std::move(parameters),
      part("parameter_sources", parameter_sources_schema(), "where values come from, beside this file")
          .changes(restart),
      std::move(models),
      table("groups", &M::groups, group, "elements that are switched together").changes(recycle),
      section("pipeline", &M::pipeline, pipeline_schema(), "from frames to records").changes(recycle),
      part("streams", streams_schema(), "rules of virtual streams").changes(live),
      std::move(limits),
      section("batching", &M::batching, batching, "default of all models").changes(recycle),
      part("buffers", buffers, "queues").changes(live),
      key("draw", &M::draw, "what is drawn into encoded frames: rules, or a function")
          .of(draw_schema())
          .changes(live),
      section("output_frame", &M::output_frame, output_frame_schema(), "pictures that go out")
          .changes(recycle),
      section("telemetry", &M::telemetry, telemetry_schema(), "metrics, traces, log").changes(restart),
      section("http", &M::http, http, "the API").changes(restart),
      section("security", &M::security, security_schema(), "who may do what").changes(restart),
      section("storage", &M::storage, storage, "folders; default: below the user's cache or state folder")
          .changes(restart),
  });
  root->keys[0].is_required = true;
  root->name = "module";
  root->doc = "A module of Sightglass: models, a pipeline and what goes in and out.";
  return root;
}

}  // namespace

std::string_view to_string(ParameterType type) { return parameter_types[size_t(type)]; }

const Schema& module_schema() {
  static const std::shared_ptr<Schema> schema = make_schema();
  return *schema;
}

ModuleSpec read_spec(const Value& tree) {
  ModuleSpec spec;
  read(tree, module_schema(), &spec);
  return spec;
}

Value write_spec(const ModuleSpec& spec) { return write(module_schema(), &spec); }

stream::Limits read_limits(const Value& limits) {
  static const auto schema = limits_schema();
  stream::Limits result;
  read(limits, *schema, &result);
  return result;
}

}  // namespace sightglass::module
