// The schema of a model document (neutral YAML): what stands under `models.NAME` beside the keys of the
// module. Inputs are described as video_to_tensor's parameters, outputs as those of their decoders.
#pragma once

#include <vector>

#include "sightglass/module/schema.h"
#include "sightglass/module/spec.h"

namespace sightglass::module {

std::vector<Key> model_document_keys();

// Reads the document by the importer of models, as a session will; errors stand at the values they are about.
// `path`: of the document in the tree. The document has to be free of references.
void check_model_document(const Value& document, const std::string& folder, const Path& path,
                          Diagnostics& found);

}  // namespace sightglass::module
