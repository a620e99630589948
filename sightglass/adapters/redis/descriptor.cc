// The sink `redis` as files and people see it.
#include "sightglass/adapters/module_adapter.h"
#include "sightglass/adapters/redis/redis_params.h"

namespace sightglass::adapters {
namespace {

std::vector<ParamDesc> params() {
  using P = RedisParams;
  std::vector<ParamDesc> all;
  all.push_back(param("url", &P::url, "redis://HOST:PORT/DATABASE, or rediss:// for TLS").required());
  all.push_back(param("stream", &P::stream, "name of the stream that records are added to"));
  all.push_back(param("length", &P::length, "most entries of the stream; 0: any").range(0, 1e12));
  all.push_back(param("key", &P::key,
                      "instead of a stream: a key for each record, with {source_id}, {uuid} and {kind}"));
  all.push_back(param("ttl", &P::ttl, "after which keys, and marks of what a stream has had, are forgotten")
                    .range(1, 1e9)
                    .in("s"));
  all.push_back(param("timeout", &P::timeout, "how long an answer may take").range(0.01, 3600).in("s"));
  all.push_back(param("notes", &P::notes, "also what is said about streams: starts, ends, user data"));
  all.push_back(param("user", &P::user, "name of the user; empty: the default one"));
  all.push_back(param("password-file", &P::password_file, "file with the password"));
  add_tls_params<P>(all);
  return all;
}

const SinkRegistration registration(SinkDesc{
    .name = "redis",
    .doc = "records as entries of a Redis stream, or as keys",
    .nature = SinkNature::data,
    .batch_records = 128,
    .params = ParamTable::of<RedisParams>(params()),
    .create = &create_sink_in_module<"adapters-redis", "redis">,
});

}  // namespace
}  // namespace sightglass::adapters
