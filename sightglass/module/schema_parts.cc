// Types that several sections of the file share.
#include "sightglass/elements/selection/selector.h"
#include "sightglass/module/spec_schema.h"

namespace sightglass::module {
namespace {

Key any_key(std::string name, std::string doc, std::shared_ptr<Schema> type) {
  return {.name = std::move(name), .doc = std::move(doc), .type = std::move(type)};
}

std::shared_ptr<Schema> named(std::shared_ptr<Schema> schema, std::string name) {
  schema->name = std::move(name);
  return schema;
}

}  // namespace

std::shared_ptr<Schema> function_schema() {
  using F = FunctionSpec;
  auto map = Schema::map_of<F>({
      key("language", &F::language, "of the code").choices({"python", "cpp"}),
      key("path", &F::path, "file: .py, or a shared object").required(),
      key("symbol", &F::symbol, "class or function in it"),
      key("args", &F::args, "given to it").of(Schema::table_of(Schema::of_kind(Kind::any))),
      key("isolation", &F::isolation, "of Python: a process of its own, or inline")
          .choices({"process", "inline"}),
      key("workers", &F::workers, "processes, over which streams are spread").range(1, 64),
  });
  map->finish = [](void* target, const Value& value) {
    static_cast<F*>(target)->origin = value.key_origin.file ? value.key_origin : value.origin;
  };
  return named(map, "function");
}

std::shared_ptr<Schema> curve_schema() {
  auto map = Schema::of_kind(Kind::map);
  map->keys = {
      any_key("secret_key_file", "file with the key of this side", Schema::of_kind(Kind::text)),
      any_key("server_key", "public key of the other side, which binds", Schema::of_kind(Kind::text)),
      any_key("allowed_keys_dir", "folder with public keys that may connect", Schema::of_kind(Kind::text))};
  return named(map, "curve");
}

std::shared_ptr<Schema> tls_schema() {
  auto map = Schema::of_kind(Kind::map);
  map->keys = {
      any_key("ca", "file with certificates that are trusted", Schema::of_kind(Kind::text)),
      any_key("cert", "file with the certificate of this side", Schema::of_kind(Kind::text)),
      any_key("key", "file with its key", Schema::of_kind(Kind::text)),
      any_key("verify", "whether the other side is checked; default true", Schema::of_kind(Kind::boolean)),
      any_key("server_name", "name that its certificate has", Schema::of_kind(Kind::text))};
  return named(map, "tls");
}

std::shared_ptr<Schema> batch_schema() {
  auto count = Schema::of_kind(Kind::integer);
  count->min = 1, count->max = 100'000;
  auto wait = Schema::of_kind(Kind::duration);
  wait->unit = "ns";
  auto map = Schema::of_kind(Kind::map);
  map->keys = {any_key("count", "records", count),
               any_key("bytes", "of all together", Schema::of_kind(Kind::bytes)),
               any_key("time", "longest wait", wait)};
  return named(map, "batch");
}

std::shared_ptr<Schema> retry_schema() {
  const auto wait = [] {
    auto duration = Schema::of_kind(Kind::duration);
    duration->unit = "ns";
    return duration;
  };
  auto forever = Schema::of_kind(Kind::choice);
  forever->choices = {"forever"};
  auto count = Schema::of_kind(Kind::integer);
  count->min = 0, count->max = 1e9;
  auto map = Schema::of_kind(Kind::map);
  map->keys = {any_key("initial", "first pause; default 200ms", wait()),
               any_key("max", "longest pause; default 30s", wait()),
               any_key("attempts", "a number, or forever", Schema::one_of({forever, count}))};
  return named(map, "retry");
}

std::shared_ptr<Schema> selector_type() {
  auto schema = Schema::of_kind(Kind::any);
  schema->doc = "a selector";
  schema->may_refer = true;
  schema->definitions = selector_schema();
  schema->definition = "selector";
  return schema;
}

}  // namespace sightglass::module
