// The sinks `elasticsearch` and `webhook` as files and people see them.
#include "sightglass/adapters/http/http_params.h"
#include "sightglass/adapters/module_adapter.h"

namespace sightglass::adapters {
namespace {

std::vector<ParamDesc> elasticsearch_params() {
  using Params = ElasticsearchParams;
  std::vector<ParamDesc> params = {
      param("url", &Params::url, "of some nodes: https://HOST:9200; the next one is asked when one fails")
          .required(),
      param("index", &Params::index, "prefix of the names: PREFIX-frames-2026.11.22"),
      param("user", &Params::user, "name"),
      param("password-file", &Params::password_file, "file with the password"),
      param("api-key-file", &Params::api_key_file,
            "file with an API key: ID:KEY, or as the server encodes it"),
      param("keep", &Params::keep, "age after which indexes are deleted, by a life cycle; 0: none is made")
          .range(0, 1e10)
          .in("s"),
      param("timeout", &Params::timeout, "of one request").range(0.1, 3600).in("s"),
      param("gzip", &Params::gzip, "requests are compressed"),
      param("objects", &Params::objects, "objects have documents of their own as well"),
      param("notes", &Params::notes, "also what is said about streams: starts, ends, user data"),
  };
  add_tls_params<Params>(params);
  return params;
}

const SinkRegistration elasticsearch(SinkDesc{
    .name = "elasticsearch",
    .doc = "Elasticsearch or OpenSearch: an index a day of frames, objects and events",
    .nature = SinkNature::data,
    .batch_records = 500,
    .batch_time = 1'000'000'000,
    .batch_bytes = 5 << 20,
    .params = ParamTable::of<ElasticsearchParams>(elasticsearch_params()),
    .create = &create_sink_in_module<"adapters-http", "elasticsearch">,
});

std::vector<ParamDesc> webhook_params() {
  using Params = WebhookParams;
  std::vector<ParamDesc> params = {
      param("url", &Params::url, "that is posted to").required(),
      param("user", &Params::user, "name"),
      param("password-file", &Params::password_file, "file with the password"),
      param("token-file", &Params::token_file, "file with a bearer token"),
      param("secret-file", &Params::secret_file, "file with the key of signatures; empty: none is sent"),
      param("timeout", &Params::timeout, "of one request").range(0.1, 3600).in("s"),
      param("notes", &Params::notes, "also what is said about streams: starts, ends, user data"),
      param("gzip", &Params::gzip, "requests are compressed"),
  };
  add_tls_params<Params>(params);
  return params;
}

const SinkRegistration webhook(SinkDesc{
    .name = "webhook",
    .doc = "HTTP requests with records: a POST of a JSON list",
    .nature = SinkNature::data,
    .batch_records = 100,
    .batch_time = 500'000'000,
    .batch_bytes = 1 << 20,
    .params = ParamTable::of<WebhookParams>(webhook_params()),
    .create = &create_sink_in_module<"adapters-http", "webhook">,
});

}  // namespace
}  // namespace sightglass::adapters
