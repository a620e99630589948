#include "sightglass/elements/postprocess_objects/postprocess_objects.h"

#include "sightglass/core/registry.h"
#include "sightglass/elements/selection/selection.h"

namespace sightglass {

PostprocessObjects::PostprocessObjects(const Params& params) {
  if (auto status = set(params); !status) warnings_.push_back(status.error().message);
}

Status PostprocessObjects::set(const Params& params) {
  model_ = Label(params.model);
  if (params.functions == text_) return {};
  auto functions = make_functions(params.functions, "functions", FunctionHook::decode);
  if (!functions) return forward_error(functions);
  functions_ = *std::move(functions);
  text_ = params.functions;
  return {};
}

void PostprocessObjects::update(const ParamSet& params) {
  if (auto status = set(params.as<Params>()); !status) warnings_.push_back(kept_as_it_was(status.error()));
}

void PostprocessObjects::flush() {
  for (const NamedFunction& one : functions_) static_cast<DecodeFunction&>(*one.function).reset();
}

Result<Verdict> PostprocessObjects::process(Frame& frame) {
  for (const NamedFunction& one : functions_) static_cast<DecodeFunction&>(*one.function).run(frame, model_);
  return Verdict::pass;
}

namespace {

using Params = PostprocessObjects::Params;

const Registration registration({
    .name = "postprocess_objects",
    .title = "Object post-processing",
    .klass = "Filter/Analyzer",
    .doc =
        "Runs delivered functions on the objects that an element has written: suppression, selection by size "
        "or score, joining of tiles, smoothing of attributes.",
    .kind = ElementKind::transform_inplace,
    .input = {{AnySpec{}}},
    .params = ParamTable::of<Params>({
        param("functions", &Params::functions,
              "functions in their order, as JSON: names, or maps of a name with its parameters")
            .live(),
        param("namespace", &Params::model, "model whose objects and attributes are looked at; empty: all")
            .live(),
    }),
    .create = [](const ParamSet& params) -> Result<std::unique_ptr<Element>> {
      const auto& values = params.as<Params>();
      auto functions = make_functions(values.functions, "functions", FunctionHook::decode);
      if (!functions) return forward_error(functions);
      return std::make_unique<PostprocessObjects>(values);
    },
});

}  // namespace
}  // namespace sightglass
