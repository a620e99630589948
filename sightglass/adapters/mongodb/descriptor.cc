// The sink `mongodb` as files and people see it.
#include "sightglass/adapters/module_adapter.h"
#include "sightglass/adapters/mongodb/mongodb_params.h"

namespace sightglass::adapters {
namespace {

using Params = MongodbParams;

std::vector<ParamDesc> params() {
  std::vector<ParamDesc> params = {
      param("url", &Params::url, "mongodb://HOST:27017, mongodb+srv://…, with options but without a password")
          .required(),
      param("database", &Params::database, "name"),
      param("user", &Params::user, "name"),
      param("password-file", &Params::password_file, "file with the password"),
      param("auth-source", &Params::auth_source, "database that knows the user; empty: admin"),
      param("keep", &Params::keep, "age after which records are deleted, by an index; 0: never")
          .range(0, 2147483647)
          .in("s"),
      param("timeout", &Params::timeout, "of one request, which a shutdown waits for as well")
          .range(0.1, 3600)
          .in("s"),
      param("objects", &Params::objects, "objects have documents of their own as well"),
      param("notes", &Params::notes, "also what is said about streams: starts, ends, user data"),
  };
  add_tls_params<Params>(params);
  return params;
}

const SinkRegistration registration(SinkDesc{
    .name = "mongodb",
    .doc = "collections of frames, objects and events",
    .nature = SinkNature::data,
    .batch_records = 500,
    .batch_time = 500'000'000,
    .params = ParamTable::of<Params>(params()),
    .create = &create_sink_in_module<"adapters-mongodb", "mongodb">,
});

}  // namespace
}  // namespace sightglass::adapters
