// The sink `sqlite` as files and people see it.
#include "sightglass/adapters/module_adapter.h"
#include "sightglass/adapters/sqlite/sqlite_params.h"

namespace sightglass::adapters {
namespace {

using Params = SqliteParams;

const SinkRegistration registration(SinkDesc{
    .name = "sqlite",
    .doc = "a database in a file: frames, objects, attributes, events, counters",
    .nature = SinkNature::data,
    .batch_records = 200,
    .batch_time = 500'000'000,
    .params = ParamTable::of<Params>({
        param("path", &Params::path, "of the database; made when it is not there").required(),
        param("keep", &Params::keep, "age after which records are deleted; 0: never").range(0, 1e10).in("s"),
        param("notes", &Params::notes, "also what is said about streams: starts, ends, user data"),
        param("sync", &Params::sync,
              "what is on disk when a record counts as stored: normal survives a crash of the process, full "
              "also a power cut")
            .choices({"normal", "full"}),
    }),
    .create = &create_sink_in_module<"adapters-sqlite", "sqlite">,
});

}  // namespace
}  // namespace sightglass::adapters
