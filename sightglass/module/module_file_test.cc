#include "sightglass/module/module_file.h"

#include <gmock/gmock.h>

#include "sightglass/module/spec_schema.h"
#include "sightglass/module/worked_example.h"

namespace sightglass::module {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class ModuleFile : public testing::Test {
 protected:
  ModuleFile() { folder_.write_example_files(); }
  Loaded load(std::string_view text) { return load_module_text(text, "gate.yml", folder_.path()); }
  // The errors, one a line.
  std::string errors(std::string_view text) {
    const auto loaded = load(text);
    std::string list;
    for (const auto& item : loaded.diagnostics.items())
      if (item.severity == Severity::error) list += item.to_string() + "\n";
    return list;
  }
  // With a pipeline of these elements.
  std::string errors_of_elements(const std::string& elements, const std::string& more = "") {
    return errors("version: 1\npipeline:\n  elements:\n" + elements + "\n" + more);
  }

  TestFolder folder_;
};

TEST_F(ModuleFile, LoadsTheWorkedExample) {
  const auto loaded = load(worked_example);
  ASSERT_TRUE(loaded) << loaded.diagnostics.to_string();
  const ModuleSpec& spec = *loaded.value;
  EXPECT_EQ(spec.name, "gate-counter");
  ASSERT_EQ(spec.parameters.size(), 3u);
  EXPECT_EQ(spec.parameters[0].second.type, ParameterType::number);
  EXPECT_TRUE(spec.parameters[0].second.per_source);
  EXPECT_EQ(spec.parameters[0].second.min, 0.05);
  EXPECT_EQ(spec.parameters[1].second.type, ParameterType::line);
  ASSERT_EQ(spec.models.size(), 2u);
  EXPECT_EQ(spec.models[0].second.path, "models/face_rfb_320.onnx");
  EXPECT_TRUE(spec.models[0].second.document.find("input"));
  ASSERT_EQ(spec.pipeline.sources.size(), 1u);
  EXPECT_EQ(spec.pipeline.sources[0].type, "zeromq");
  EXPECT_TRUE(spec.pipeline.sources[0].properties.find("curve"));
  ASSERT_EQ(spec.pipeline.elements.size(), 5u);
  EXPECT_EQ(spec.pipeline.elements[2].reuse_growth, 1.3);
  EXPECT_EQ(spec.pipeline.elements[3].tag, "crossing");
  EXPECT_EQ(spec.pipeline.elements[4].budget, 10'000'000);
  ASSERT_TRUE(spec.pipeline.elements[4].function);
  EXPECT_EQ(spec.pipeline.elements[4].function->symbol, "Report");
  ASSERT_EQ(spec.pipeline.sinks.size(), 3u);
  EXPECT_TRUE(spec.pipeline.sinks[0].required);
  EXPECT_EQ(spec.pipeline.sinks[0].queue.policy, QueuePolicy::spill);
  EXPECT_TRUE(spec.pipeline.sinks[1].properties.find("keep"));
  EXPECT_EQ(spec.output_frame.bitrate, 2'000'000u);
  EXPECT_EQ(spec.folder, folder_.path().string());
}

TEST_F(ModuleFile, TheWorkedExampleSurvivesWritingAndReading) {
  const auto loaded = load(worked_example);
  ASSERT_TRUE(loaded) << loaded.diagnostics.to_string();
  const Value tree = write_spec(*loaded.value);
  const auto again = load(tree.to_json());
  ASSERT_TRUE(again) << again.diagnostics.to_string() << tree.to_json();
  EXPECT_EQ(write_spec(*again.value).to_json(), tree.to_json());
}

TEST_F(ModuleFile, ASpecMadeInCodeIsCheckedByTheSameRules) {
  ModuleSpec spec;
  spec.name = "gate";
  spec.folder = folder_.path().string();
  spec.models = {{"face", {.path = "models/face_rfb_320.onnx"}}};
  spec.pipeline.elements = {{.name = "faces", .type = "detector", .model = "face"}};
  EXPECT_FALSE(check(spec).has_errors()) << check(spec).to_string();
  spec.pipeline.elements[0].properties.set("treshold", 0.5);
  spec.batching.batch_size = 0;
  const auto found = check(spec);
  EXPECT_THAT(found.to_string(),
              HasSubstr("pipeline.elements[0].properties.treshold: there is no such key here; did "
                        "you mean 'threshold'?"));
  EXPECT_THAT(found.to_string(), HasSubstr("batching.batch_size: 0 is out of range (1 to 1024)"));
}

// ---- 3.1: errors

TEST_F(ModuleFile, SaysEverythingAtOnceWithPlacesAndSuggestions) {
  EXPECT_EQ(errors("version: 1\n"
                   "name: Gate\n"
                   "pipelin: {}\n"
                   "batching: {batch_sise: 4, batch_timeout: 5}\n"),
            "gate.yml:2:7: name: 'Gate' is no name of a module (a-z, 0-9, -)\n"
            "gate.yml:3:1: pipelin: there is no such key here; did you mean 'pipeline'?\n"
            "gate.yml:4:12: batching.batch_sise: there is no such key here; did you mean 'batch_size'?\n"
            "gate.yml:4:42: batching.batch_timeout: expects a duration such as 10ms, got 5\n");
}

TEST_F(ModuleFile, ShowsWhereAKeyBelongs) {
  EXPECT_THAT(
      errors_of_elements("  - {name: a, type: tracker, max_age: 3}"),
      HasSubstr(
          "pipeline.elements[0].max_age: there is no such key here; did you mean 'properties.max_age'?"));
  EXPECT_THAT(errors("version: 1\notlp_url: x\n"), HasSubstr("did you mean 'telemetry."));
}

TEST_F(ModuleFile, StopsAtFiftyErrors) {
  std::string text = "version: 1\n";
  for (int i = 0; i < 60; ++i) text += "zz" + std::to_string(i) + "qqqq: 1\n";
  const auto loaded = load(text);
  EXPECT_EQ(loaded.diagnostics.items().size(), 50u);
  EXPECT_EQ(loaded.diagnostics.errors(), 60u);
  EXPECT_THAT(loaded.diagnostics.to_string(), HasSubstr("and 10 more"));
}

TEST_F(ModuleFile, RefusesWhatIsNotUsed) {
  EXPECT_EQ(errors("version: 1\nparameters:\n  a: 1\n"),
            "gate.yml:3:3: parameters.a: is not used by anything here\n");
  EXPECT_EQ(errors("version: 1\nmodels:\n  m: {path: report.py}\n"),
            "gate.yml:3:3: models.m: is not used by any element\n");
  EXPECT_EQ(errors("version: 1\ngroups:\n  g: {enabled: true}\n"),
            "gate.yml:3:3: groups.g: is not used by any element\n");
  EXPECT_THAT(
      errors_of_elements("  - {name: a, type: lines, model: b, properties: {lines: {x: [[0, 0], [1, 1]]}}}"),
      HasSubstr("model: is not used by an element of type lines"));
  EXPECT_THAT(errors("version: 1\noutput_frame: {codec: jpeg, bitrate: 2M}\n"),
              HasSubstr("output_frame.bitrate: is not used with codec jpeg"));
}

TEST_F(ModuleFile, RefusesNamesThatNobodyHas) {
  EXPECT_THAT(
      errors_of_elements("  - {name: a, type: detector, model: fase}", "models: {face: {path: report.py}}"),
      testing::AllOf(HasSubstr("gate.yml:4:38: pipeline.elements[0].model: no model is called fase; did you "
                               "mean 'face'?"),
                     HasSubstr("models.face: is not used by any element")));
  EXPECT_THAT(
      errors_of_elements("  - {name: a, type: tracker, group: nigth}", "groups: {night: {enabled: true}}"),
      HasSubstr("no group is called nigth; did you mean 'night'?"));
  EXPECT_THAT(errors_of_elements("  - {name: a, type: detectr}"),
              HasSubstr("pipeline.elements[0].type: 'detectr' is unknown"));
  EXPECT_THAT(errors_of_elements("  - {name: a, type: detectr}"), HasSubstr("did you mean 'detector'?"));
}

TEST_F(ModuleFile, RefusesSecondNames) {
  EXPECT_THAT(errors_of_elements("  - {name: a, type: gst:identity}\n  - {name: a, type: gst:identity}"),
              HasSubstr("gate.yml:5:12: pipeline.elements[1].name: a second element is called a"));
  EXPECT_THAT(
      errors("version: 1\npipeline:\n  sinks:\n  - {name: a, type: display}\n  - {name: a, type: display}\n"),
      HasSubstr("pipeline.sinks[1].name: a second sink is called a"));
  EXPECT_THAT(errors_of_elements("  - {name: tag, type: gst:identity}"), HasSubstr("means something else"));
}

// ---- 3.1: quantities

TEST_F(ModuleFile, ReadsQuantitiesWithUnits) {
  const auto loaded = load(
      "version: 1\nbatching: {batch_timeout: 1.5ms}\nbuffers: {stream: {bytes: 64 MiB}}\n"
      "streams: {idle_timeout: never, jitter: 30 %, stall_after: 2s, on_gap: continue}\noutput_frame: "
      "{codec: h264, bitrate: 2.5M}\n");
  ASSERT_TRUE(loaded) << loaded.diagnostics.to_string();
  EXPECT_EQ(loaded.value->batching.batch_timeout, 1'500'000);
  EXPECT_EQ(loaded.value->buffers.bytes, 64u << 20);
  EXPECT_EQ(loaded.value->streams.idle_timeout, stream::never);
  EXPECT_EQ(loaded.value->streams.jitter, 30u);
  EXPECT_EQ(loaded.value->streams.stall_after, 2'000'000'000);
  EXPECT_EQ(loaded.value->streams.on_gap, stream::OnGap::continue_);
  EXPECT_EQ(loaded.value->output_frame.bitrate, 2'500'000u);
  EXPECT_THAT(errors("version: 1\nbatching: {batch_timeout: 5 minutes}\n"),
              HasSubstr("'minutes' is no unit"));
  EXPECT_THAT(errors("version: 1\nstreams: {stall_after: never}\n"), HasSubstr("streams.stall_after"));
  EXPECT_THAT(errors("version: 1\nstreams: {idle_timeout: 1s}\n"), HasSubstr("stall_after"));
}

TEST_F(ModuleFile, StreamRulesMayFollowParametersAndPatterns) {
  const auto loaded = load(
      "version: 1\nparameters: {patience: \"20s\"}\n"
      "streams: {idle_timeout: \"${parameters.patience}\", overrides: {\"cam-*\": {priority: 3, "
      "idle_timeout: never}}}\n");
  ASSERT_TRUE(loaded) << loaded.diagnostics.to_string();
  ASSERT_TRUE(loaded.value->stream_values.find("idle_timeout"));
  ASSERT_EQ(loaded.value->stream_overrides.size(), 1u);
  EXPECT_EQ(loaded.value->stream_overrides[0].first, "cam-*");
  EXPECT_THAT(errors("version: 1\nstreams: {overrides: {\"cam-*\": {max_streams: 3}}}\n"),
              HasSubstr("max_streams"));
}

// ---- 3.1: include

TEST_F(ModuleFile, IncludedFilesComeFirst) {
  folder_.write("base.yml",
                "name: base\nbatching: {batch_size: 4, max_per_stream: 2}\n"
                "security: {location: {schemes: [http, s3]}}\n");
  const auto loaded = load(
      "version: 1\ninclude: [base.yml]\nname: gate\nbatching: {batch_size: 8}\n"
      "security: {location: {schemes: [file]}}\n");
  ASSERT_TRUE(loaded) << loaded.diagnostics.to_string();
  EXPECT_EQ(loaded.value->name, "gate");
  EXPECT_EQ(loaded.value->batching.batch_size, 8u);
  EXPECT_EQ(loaded.value->batching.max_per_stream, 2u);
  EXPECT_THAT(loaded.value->security.location_schemes, ElementsAre("file"));
}

TEST_F(ModuleFile, ErrorsNameTheIncludedFile) {
  const auto file = folder_.write("base.yml", "\nbatching: {batch_sise: 4}\n");
  EXPECT_THAT(errors("version: 1\ninclude: base.yml\n"),
              HasSubstr(file.string() + ":2:12: batching.batch_sise"));
  EXPECT_THAT(errors("version: 1\ninclude: none.yml\n"), HasSubstr("gate.yml:2:10: include: "));
}

TEST_F(ModuleFile, TextFromElsewhereReadsNoFiles) {
  folder_.write("secret.yml", "password: 1\n");
  const auto loaded =
      load_module_text("version: 1\ninclude: secret.yml\n", "-", folder_.path(), {.includes = false});
  EXPECT_EQ(loaded.diagnostics.to_string(), "-:2:1: include: other files are not read here\n");
}

TEST_F(ModuleFile, RefusesFilesThatIncludeThemselves) {
  folder_.write("a.yml", "include: b.yml\n");
  folder_.write("b.yml", "include: a.yml\n");
  EXPECT_THAT(errors("version: 1\ninclude: a.yml\n"), HasSubstr("a.yml includes itself"));
  const auto self = folder_.write("gate.yml", "version: 1\ninclude: gate.yml\n");
  EXPECT_THAT(load_module(self).diagnostics.to_string(), HasSubstr("gate.yml includes itself"));
}

// ---- 3.1, 3.2: references

TEST_F(ModuleFile, AReferenceKeepsItsTypeAndHasToFit) {
  const std::string parameters =
      "parameters: {t: {type: float, default: 0.5}, name: high}\nmodels: {m: {path: report.py}}";
  EXPECT_THAT(
      errors_of_elements(
          "  - {name: a, type: detector, model: m, properties: {threshold: \"${parameters.t}\", "
          "batch_size: \"${parameters.name}\"}}",
          parameters),
      HasSubstr(
          "properties.batch_size: ${parameters.name} is \"high\" by default, which does not fit: expects a "
          "whole number"));
  EXPECT_THAT(
      errors_of_elements("  - {name: a, type: tracker, properties: {max_age: \"${parameters.maxage}\"}}",
                         "parameters: {max_age: 3}"),
      HasSubstr("no parameter is called maxage; did you mean 'max_age'?"));
  EXPECT_THAT(errors("version: 1\nhttp: {bind: \"${parameters.x}\"}\n"), HasSubstr("may not be a reference"));
  EXPECT_THAT(errors_of_elements("  - {name: a, type: tracker, properties: {max_age: \"${env.HOME}\"}}"),
              HasSubstr("${env.HOME} is no reference"));
  EXPECT_THAT(
      errors(
          "version: 1\npipeline:\n  sinks:\n  - {name: a, type: sqlite, path: \"${stream.source_id}.db\"}\n"),
      HasSubstr("only elements are made for each stream"));
}

TEST_F(ModuleFile, ParametersAreCheckedAgainstThemselves) {
  const auto of = [&](const std::string& declaration) {
    return errors_of_elements(
        "  - {name: a, type: gst:identity, properties: {sleep_time: \"${parameters.p}\"}}",
        "parameters: {p: " + declaration + "}");
  };
  EXPECT_EQ(of("{type: integer, default: 3, min: 0, max: 10, unit: us, doc: pause}"), "");
  EXPECT_EQ(of("3"), "");
  EXPECT_THAT(of("{type: integer, default: 30, max: 10}"),
              HasSubstr("parameters.p.default: 30 is more than 10"));
  EXPECT_THAT(of("{type: integer, default: 0.5}"),
              HasSubstr("parameters.p.default: expects a whole number, got 0.5"));
  EXPECT_THAT(of("{type: integer, min: 5, max: 1}"), HasSubstr("min: is greater than max"));
  EXPECT_THAT(of("{type: int, default: 1}"),
              HasSubstr("parameters.p.type: 'int' is unknown; one of: boolean"));
  EXPECT_THAT(of("{type: line, default: [[0, 0]]}"), HasSubstr("expects a line"));
  EXPECT_THAT(of("{type: integer, default: 1, enum: [2, 3]}"), HasSubstr("expects one of [2,3], got 1"));
}

TEST_F(ModuleFile, FrameBindingsAreCheckedAgainstTheProperty) {
  const auto of = [&](const std::string& binding) {
    return errors_of_elements("  - {name: a, type: detector, model: m, properties: {" + binding + "}}",
                              "models: {m: {path: report.py}}");
  };
  EXPECT_EQ(of("threshold: {from: sensor.lux, map: [[0, 0.3], [100, 0.6]], default: 0.5}"), "");
  EXPECT_THAT(of("threshold: {from: sensor.lux, map: [[0, 0.3], [100, 1.6]], default: 0.5}"),
              HasSubstr("map: 1.6 is out of range"));
  EXPECT_THAT(of("threshold: {from: sensor.lux, map: [[5, 0.3], [5, 0.6]], default: 0.5}"),
              HasSubstr("inputs have to rise"));
  EXPECT_THAT(of("threshold: {from: sensor, default: 0.5}"), HasSubstr("from: expects NAMESPACE.NAME"));
  EXPECT_THAT(of("threshold: {from: sensor.lux}"), HasSubstr("default: is missing"));
  EXPECT_THAT(of("threshold: {from: sensor.lux, default: 2}"), HasSubstr("default: 2 is out of range"));
  EXPECT_THAT(of("nireq: {from: sensor.lux, default: 2}"), HasSubstr("may not follow an attribute"));
}

// ---- 3.3

TEST_F(ModuleFile, ATrackerNeedsADetectorBeforeIt) {
  EXPECT_THAT(errors_of_elements("  - {name: a, type: tracker}"),
              HasSubstr("a tracker needs a detector before it"));
  EXPECT_EQ(errors_of_elements("  - {name: d, type: detector, model: m}\n  - {name: a, type: tracker}",
                               "models: {m: {path: report.py}}"),
            "");
  EXPECT_EQ(errors("version: 1\npipeline:\n  source: {type: zeromq, url: 'pull+bind:ipc:///tmp/x'}\n"
                   "  elements:\n  - {name: a, type: tracker}\n"),
            "");
}

TEST_F(ModuleFile, ADetectorTakesNoModelWithAngles) {
  const std::string model = "models: {m: {path: report.py, output: [{decoder: yolo, task: obb}]}}";
  EXPECT_THAT(errors_of_elements("  - {name: d, type: detector, model: m}", model),
              HasSubstr("rotated_object_detector"));
  EXPECT_EQ(errors_of_elements("  - {name: d, type: rotated_object_detector, model: m}", model), "");
  // As the model says of itself.
  folder_.write("o.onnx", "");
  folder_.write("o.sightglass.yaml", "sightglass_model: 1\noutput: [{decoder: yolo, task: obb}]\n");
  EXPECT_THAT(errors_of_elements("  - {name: d, type: detector, model: m}", "models: {m: {path: o.onnx}}"),
              HasSubstr("rotated_object_detector"));
}

TEST_F(ModuleFile, ModelsMayStandInTheElement) {
  const auto loaded = load(
      "version: 1\npipeline:\n  elements:\n  - {name: d, type: detector, model: {path: report.py, warmup: "
      "3}}\n");
  ASSERT_TRUE(loaded) << loaded.diagnostics.to_string();
  ASSERT_EQ(loaded.value->models.size(), 1u);
  EXPECT_EQ(loaded.value->models[0].first, "d");
  EXPECT_EQ(loaded.value->models[0].second.warmup, 3u);
  EXPECT_EQ(loaded.value->pipeline.elements[0].model, "d");
  EXPECT_THAT(errors_of_elements("  - {name: d, type: detector, model: {path: report.py, warmpu: 3}}"),
              HasSubstr("gate.yml:4:56: pipeline.elements[0].model.warmpu: there is no such key here; did "
                        "you mean 'warmup'?"));
}

TEST_F(ModuleFile, ModelsAreReadAsASessionWouldReadThem) {
  const auto of = [&](const std::string& document) {
    return errors_of_elements("  - {name: d, type: detector, model: m}",
                              "models:\n  m:\n    path: report.py\n" + document);
  };
  EXPECT_THAT(of("    input:\n    - layer: a\n      range: [1]\n"), HasSubstr("gate.yml:10:"));
  EXPECT_THAT(of("    output: [{decoder: yollo}]\n"), HasSubstr("did you mean 'yolo'?"));
  EXPECT_THAT(of("    output: [{decoder: label, methd: max}]\n"), HasSubstr("did you mean 'method'?"));
  EXPECT_THAT(of("    input: [{colour: rgb}]\n"), HasSubstr("did you mean 'color'?"));
  EXPECT_THAT(of("    url: https://example.org/m.onnx\n"), HasSubstr("either path or url"));
  EXPECT_THAT(errors_of_elements("  - {name: d, type: detector, model: m}",
                                 "models: {m: {url: \"https://example.org/m.onnx\"}}"),
              HasSubstr("needs the file's checksum"));
  EXPECT_THAT(errors_of_elements("  - {name: d, type: detector, model: m}", "models: {m: {path: none.onnx}}"),
              HasSubstr("no such file"));
}

TEST_F(ModuleFile, FunctionsHaveToBeThere) {
  EXPECT_THAT(errors_of_elements("  - {name: f, type: pyfunc, function: {path: repotr.py, symbol: Report}}"),
              HasSubstr("repotr.py: no such file"));
  EXPECT_THAT(errors_of_elements("  - {name: f, type: pyfunc}"), HasSubstr("a pyfunc needs a function"));
  EXPECT_THAT(errors_of_elements("  - {name: f, type: cppfunc, function: {path: report.py, symbol: Report}}"),
              HasSubstr("takes a function in cpp"));
  EXPECT_THAT(errors_of_elements("  - {name: f, type: cppfunc, function: {language: cpp, path: report.py}}"),
              HasSubstr("a file *.so"));
}

TEST_F(ModuleFile, BuiltInFunctionsStandWhereTheyWork) {
  const auto of = [&](const std::string& keys) {
    return errors_of_elements("  - {name: d, type: detector, model: m, " + keys + "}",
                              "models: {m: {path: report.py}}");
  };
  EXPECT_EQ(of("preprocess: letterbox, postprocess: [{nms: {iou_threshold: 0.4}}, top_k]"), "");
  EXPECT_THAT(of("postprocess: letterbox"), HasSubstr("belongs to preprocess"));
  EXPECT_THAT(of("postprocess: [nsm]"), HasSubstr("did you mean 'nms'?"));
  EXPECT_THAT(of("postprocess: [{nms: {iou_treshold: 0.4}}]"), HasSubstr("did you mean 'iou_threshold'?"));
  EXPECT_THAT(of("postprocess: {path: report.py, symbol: F, arsg: {}}"), HasSubstr("did you mean 'args'?"));
}

TEST_F(ModuleFile, ElementsOfGStreamerAreAskedForTheirPadsAndProperties) {
  EXPECT_EQ(
      errors_of_elements("  - {name: a, type: gst:identity, properties: {sleep_time: 10, silent: true}}"),
      "");
  EXPECT_THAT(errors_of_elements("  - {name: a, type: gst:identity, properties: {slep_time: 10}}"),
              HasSubstr("did you mean 'sleep_time'?"));
  EXPECT_THAT(errors_of_elements("  - {name: a, type: gst:identity, properties: {silent: 7}}"),
              HasSubstr("expects true or false, got 7"));
  EXPECT_THAT(errors_of_elements("  - {name: a, type: gst:idntity}"), HasSubstr("did you mean 'identity'?"));
  EXPECT_THAT(errors_of_elements("  - {name: a, type: gst:fakesink}"), HasSubstr("1 inputs and 0 outputs"));
}

TEST_F(ModuleFile, ElementsThatPlugPadsLaterAreRefused) {
  for (const char* name : {"decodebin", "uridecodebin", "parsebin"})
    EXPECT_THAT(errors_of_elements(std::string("  - {name: a, type: gst:") + name + "}"),
                testing::AnyOf(HasSubstr("plugs pads while it runs"), HasSubstr("has no element")))
        << name;
}

TEST_F(ModuleFile, AttributesAreThoseOfTheModel) {
  EXPECT_THAT(
      errors_of_elements(
          "  - {name: d, type: attribute_model, model: m, properties: {attributes: {emotoin: {top_k: 1}}}}",
          "models: {m: {path: report.py, output: [{decoder: label, attribute: emotion}]}}"),
      HasSubstr("gives no attribute called emotoin; did you mean 'emotion'?"));
}

// ---- 3.4

TEST_F(ModuleFile, SelectorsAreParsed) {
  const auto of = [&](const std::string& selector) {
    return errors_of_elements("  - {name: f, type: pyfunc, function: {path: report.py}, " + selector + "}");
  };
  EXPECT_EQ(of("select: {label: face, box.width: {ge: 48}}"), "");
  EXPECT_THAT(of("select: {labl: face}"),
              testing::AllOf(HasSubstr("gate.yml:4:67: "), HasSubstr("did you mean 'label'?")));
  EXPECT_THAT(of("when: {label: face}"), HasSubstr("elements[0].when"));
  EXPECT_THAT(of("when: {frame: {tga: x}}"), HasSubstr("did you mean 'tag'?"));
}

// ---- sources, sinks, operation

TEST_F(ModuleFile, AddressesAreParsed) {
  const auto source = [&](const std::string& keys) {
    return errors("version: 1\npipeline: {source: {" + keys + "}}\n");
  };
  EXPECT_EQ(source("url: \"pull+connect:tcp://127.0.0.1:5560\""), "");
  EXPECT_EQ(
      source(
          "url: [\"pull+connect:tcp://127.0.0.1:5560\", \"sub+connect:ipc:///tmp/a\"], sources: [\"cam-*\"]"),
      "");
  EXPECT_NE(source("url: \"push+connect:tcp://127.0.0.1:5560\""), "");
  EXPECT_NE(source("url: \"tcp://127.0.0.1:5560\""), "");
  EXPECT_THAT(source("type: zeromq"), HasSubstr("the key 'url' is missing"));
  EXPECT_THAT(source("type: zeromg, url: x"), HasSubstr("did you mean 'zeromq'?"));
  EXPECT_THAT(errors("version: 1\nsecurity: {require_auth: true}\npipeline: {source: {url: "
                     "\"pull+bind:tcp://0.0.0.0:5560\"}}\n"),
              HasSubstr("needs curve"));
}

TEST_F(ModuleFile, WarnsOfWhatThisProgramCannotRun) {
  const auto loaded = load("version: 1\npipeline:\n  sinks:\n  - {name: a, type: s3, url: \"s3://b/x\"}\n");
  ASSERT_TRUE(loaded) << loaded.diagnostics.to_string();
  EXPECT_THAT(loaded.diagnostics.to_string(),
              HasSubstr("warning: pipeline.sinks[0].type: this program has no sink of type s3"));
}

TEST_F(ModuleFile, TheApiIsNotOpenToAll) {
  EXPECT_THAT(errors("version: 1\nhttp: {bind: \"0.0.0.0:8080\"}\n"), HasSubstr("needs http.token_file"));
  EXPECT_EQ(errors("version: 1\nhttp: {bind: \"0.0.0.0:8080\", token_file: t}\n"), "");
  EXPECT_EQ(errors("version: 1\nhttp: {bind: off}\n"), "");  // a text, not false
  EXPECT_THAT(errors("version: 1\nhttp: {bind: here}\n"), HasSubstr("expects HOST:PORT or off"));
}

TEST_F(ModuleFile, OverridesReplaceAndTakeAway) {
  Value overrides;
  Value pipeline;
  pipeline.set("sinks", Value());
  overrides.set("pipeline", pipeline);
  overrides.set("name", "other");
  const auto loaded = load_module_text(worked_example, "gate.yml", folder_.path(), {.overrides = overrides});
  ASSERT_TRUE(loaded) << loaded.diagnostics.to_string();
  EXPECT_THAT(loaded.value->pipeline.sinks, IsEmpty());
  EXPECT_EQ(loaded.value->name, "other");
}

TEST_F(ModuleFile, AParameterOfWhatIsReplacedIsUsedNevertheless) {
  Value overrides = value_from_json_or_null(R"({"pipeline": {"sinks": null}})");
  const auto loaded = load_module_text(
      "version: 1\nparameters: {file: a.db}\npipeline: {sinks: [{name: s, type: sqlite, path: "
      "\"${parameters.file}\"}]}\n",
      "gate.yml", folder_.path(), {.overrides = overrides});
  EXPECT_TRUE(loaded) << loaded.diagnostics.to_string();
}

TEST_F(ModuleFile, AMissingFileIsOneLine) {
  const auto loaded = load_module(folder_.path() / "none.yml");
  EXPECT_FALSE(loaded);
  EXPECT_THAT(loaded.diagnostics.to_string(), HasSubstr("none.yml: no such file"));
}

}  // namespace
}  // namespace sightglass::module
