// What prepare_template() makes: the plans of all elements, the sessions that keep the models loaded, the
// encoder. Inside of the library only; others see PipelineTemplate.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sightglass/model/session.h"
#include "sightglass/model/stream_spread.h"
#include "sightglass/module/element_plan.h"
#include "sightglass/module/encoder_table.h"
#include "sightglass/module/model_plan.h"
#include "sightglass/module/pipeline_template.h"

namespace sightglass::module {

class PipelinePlan final : public PipelineTemplate, public std::enable_shared_from_this<PipelinePlan> {
 public:
  explicit PipelinePlan(const ModuleSpec& spec) : spec_(spec), log_(spec.name, spec.telemetry) {}
  Status prepare(const PrepareOptions& options);

  const ModuleSpec& spec() const override { return spec_; }
  std::vector<ElementState> elements() const override;
  std::vector<ModelState> models() const override;
  std::string encoder() const override { return encoder_ ? encoder_->factory : ""; }
  std::vector<std::string> warnings() const override { return warnings_; }
  ParameterEffect effect_of(std::string_view parameter) const override;
  std::vector<ParameterError> check(std::shared_ptr<const ParameterSet> parameters,
                                    std::string_view source_id) const override;

  const ElementPlans& plans() const { return plans_; }
  // Where streams are decoded by NVIDIA's decoders, spread over them: the devices of the first model that
  // runs on such, else the first device.
  const std::vector<int>& cuda_devices() const { return cuda_devices_; }
  StreamSpread& decoders() const { return *decoders_; }  // places: cuda_devices()
  const std::optional<EncoderChoice>& encoder_choice() const { return encoder_; }
  // Selectors ask for source, keyframe or queue_fill, which then travel with each frame.
  bool needs_stream_facts() const { return needs_stream_facts_; }
  FunctionElement* draw_function() const { return draw_function_.get(); }
  const Log& log() const { return log_; }
  // Of what stands around the elements: "decoder", "output_frame".
  PostedWarnings& decoder_warnings() const { return decoder_warnings_; }
  PostedWarnings& output_warnings() const { return output_warnings_; }

 private:
  Status plan_elements();
  Status plan_preprocess(ElementPlan& plan) const;
  Status plan_postprocess(ElementPlan& plan) const;
  Result<std::vector<FunctionStep>> steps_of(const std::vector<Value>& list) const;
  Result<std::shared_ptr<FunctionElement>> load_step(const ElementSpec& spec, const Value& value,
                                                     function::Hook hook) const;
  FunctionOptions options_of(const std::string& element) const;
  Status load_models(const PrepareOptions& options);
  Status load_functions();
  Status load_draw();
  Status check_elements() const;
  Status choose_output();
  void choose_devices();

  const ModuleSpec spec_;
  const Log log_;
  mutable PostedWarnings decoder_warnings_, output_warnings_;
  ElementPlans plans_;
  std::vector<std::unique_ptr<ModelPlan>> models_;
  std::optional<EncoderChoice> encoder_;
  std::unique_ptr<FunctionElement> draw_function_;
  std::vector<int> cuda_devices_{0};
  std::unique_ptr<StreamSpread> decoders_;
  bool needs_stream_facts_ = false;
  std::vector<std::string> warnings_;
};

}  // namespace sightglass::module
