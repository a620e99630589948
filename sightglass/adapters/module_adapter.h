// Adapters whose code lies in a module (sightglass/memory/module.h): their descriptor is always there, so
// that files are checked and people are told of them anywhere, but the client library that they need is
// loaded when the first one is made.
//
//   in the descriptor   .create = &create_sink_in_module<"adapters-kafka", "kafka">
//   in the module       const ModuleSink registration("kafka", &KafkaSink::create);
#pragma once

#include <algorithm>
#include <memory>
#include <string_view>

#include "sightglass/adapters/adapter.h"

namespace sightglass::adapters {

using CreateSink = decltype(SinkDesc::create);
using CreateSource = decltype(SourceDesc::create);

struct ModuleSink {
  ModuleSink(std::string_view sink, CreateSink create);
};
struct ModuleSource {
  ModuleSource(std::string_view source, CreateSource create);
};

// Unavailable when the module cannot be loaded; the error says what is missing.
Result<CreateSink> sink_in_module(std::string_view module, std::string_view sink);
Result<CreateSource> source_in_module(std::string_view module, std::string_view source);

// A name as a template argument.
template <size_t size>
struct Name {
  constexpr Name(const char (&name)[size]) { std::copy_n(name, size, text); }
  char text[size] = {};
};

template <Name module, Name sink>
Result<std::unique_ptr<Sink>> create_sink_in_module(const ParamSet& params, const SinkContext& context) {
  auto create = sink_in_module(module.text, sink.text);
  return create ? (*create)(params, context) : forward_error(create);
}

template <Name module, Name source>
Result<std::unique_ptr<Source>> create_source_in_module(const ParamSet& params,
                                                        const SourceContext& context) {
  auto create = source_in_module(module.text, source.text);
  return create ? (*create)(params, context) : forward_error(create);
}

}  // namespace sightglass::adapters
