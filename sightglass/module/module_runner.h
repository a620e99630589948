// The running module: what Module::create() makes. Puts together ingress, streams, reaper, sinks, sources and
// parameters, and ends them in the right order. Its parts:
//
//   sources (a thread each) → Ingress → StreamRunner (a strand each) → StreamInstance
//                                          │ results                       │ to be stopped
//                                          ▼                               ▼
//                                       Outlet → SinkRunner (a thread each) Reaper (a thread)
//
// module_runner.cc: start and end; module_status.cc: what is seen from outside; module_parameters.cc:
// changes.
//
// No instances wait prebuilt: building one and bringing it to PLAYING takes 0.3 ms with software decoders,
// the first picture of a 1080p keyframe 20 ms, so a pool would save one part in sixty and has to be thrown
// away whenever a parameter changes. `warm_instances` is read and checked for decoders whose start is dear.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "sightglass/module/audit_log.h"
#include "sightglass/module/ingress.h"
#include "sightglass/module/module.h"
#include "sightglass/module/outlet.h"
#include "sightglass/module/reaper.h"
#include "sightglass/module/snapshot.h"
#include "sightglass/module/source_runner.h"
#include "sightglass/module/stream_runner.h"
#include "sightglass/module/telemetry.h"

namespace sightglass::module {

// What tests put in the place of models and pipelines.
struct ModuleHooks {
  std::function<Result<std::shared_ptr<PipelineTemplate>>(const ModuleSpec&, const PrepareOptions&)> prepare =
      prepare_template;
  std::function<Result<std::unique_ptr<StreamInstance>>(const PipelineTemplate&, const InstanceOptions&,
                                                        InstanceEvents&)>
      start_instance = module::start_instance;
  bool checks = true;  // of the description
};

Result<std::unique_ptr<Module>> create_module(const ModuleSpec& spec, ModuleHooks hooks = {});

class ModuleRunner final : public Module {
 public:
  ModuleRunner(const ModuleSpec& spec, ModuleHooks hooks);
  ~ModuleRunner() override;

  Status open_parameters();  // once, before anything else
  Status start() override;
  void on_progress(std::function<void(const Progress&)> callback) override;
  Status push(stream::Delivery delivery, int deadline_ms, const GivesUp& gives_up) override;
  Status act(std::string_view source_id, StreamAction action) override;
  std::unique_ptr<Subscription> subscribe(std::function<void(const adapters::RecordRef&)> on_record) override;
  std::unique_ptr<Subscription> subscribe_events(std::function<void(const StreamEvent&)> on_event) override;
  ParameterStore& parameters() override { return *parameters_; }
  AuditLog& audit() override { return *audit_; }
  Status act_on_sink(std::string_view name, std::string_view action) override;
  ModuleStatus status() const override;
  HealthReport health() const override;
  std::vector<MetricFamily> metrics() const;  // that are pushed
  const ModuleSpec& spec() const override { return spec_; }
  Result<std::vector<uint8_t>> snapshot(std::string_view source_id) override;
  void on_shutdown_request(std::function<void(const ShutdownOptions&)> callback) override;
  Outcome shutdown(const ShutdownOptions& options) override;
  Status wait_for_sources(const GivesUp& gives_up) override;

 private:
  enum class State : uint8_t { created, loading, ready, draining, ended, failed };

  Status start_parts();
  Status still_wanted() const;  // an error: shutdown() has come while it starts
  Status start_telemetry_of_module();
  Status start_sinks();
  Status start_sources();
  Status allow_locations();
  Result<std::string> shutdown_token() const;
  void control();  // thread
  Outcome drain_and_end(const ShutdownOptions& options);
  bool wait_drained(int64_t deadline_ns, bool only_instances);
  void end_streams(std::vector<std::string>& missing);
  std::vector<std::shared_ptr<StreamRunner>> streams() const;
  void handle_shutdown_message(const stream::Shutdown& message);
  void handle_event(const StreamEvent& event);
  void set_state(State state);

  Status apply(const std::shared_ptr<const ParameterSet>& set);
  Status roll_out(std::shared_ptr<const ParameterSet> set);
  Result<stream::StreamTable::Options> stream_options(const ParameterSet* set) const;
  ReferenceScope scope(const ParameterSet* set) const;
  std::vector<ParameterError> check_set(const ParameterSet& set) const;
  bool needs_restart(std::string_view name) const;
  void recycle_for(const ParameterSet& before, const ParameterSet& now);

  void flow_reasons(std::vector<std::string>& reasons) const;

  const ModuleSpec spec_;
  const ModuleHooks hooks_;
  const Log log_;

  // In the order in which they are made; they go the other way round.
  const std::shared_ptr<Accounts> accounts_;
  const std::unique_ptr<AuditLog> audit_;
  Listeners<StreamEvent> events_;
  std::unique_ptr<Reaper> reaper_;
  std::unique_ptr<Outlet> outlet_ = std::make_unique<Outlet>();
  std::unique_ptr<stream::StrandPool> strands_;
  std::shared_ptr<StreamServices> services_;
  std::unique_ptr<stream::StreamTable> table_;
  std::shared_ptr<PipelineTemplate> template_;
  std::unique_ptr<ParameterStore> parameters_;
  std::shared_ptr<IngressShared> ingress_;
  std::shared_ptr<const LocationRules> location_rules_;
  std::vector<std::unique_ptr<SourceRunner>> sources_;
  std::unique_ptr<Snapshot> snapshot_;
  std::unique_ptr<Telemetry> telemetry_;  // null: the description names no address
  std::jthread control_;
  std::atomic<bool> is_built_{false};  // all of the above: the module may be looked at while it loads

  mutable std::mutex mutex_;  // of all below
  mutable std::condition_variable changed_;
  State state_ = State::created;
  std::string failure_;
  Progress progress_;
  std::function<void(const Progress&)> on_progress_;
  std::function<void(const ShutdownOptions&)> on_shutdown_request_;
  std::shared_ptr<const ParameterSet> active_;
  std::map<std::pair<std::string, std::string>, uint64_t> transitions_;
  std::map<std::pair<std::string, std::string>, uint64_t> parameter_changes_;  // layer, result
  uint64_t refused_streams_ = 0;
  std::vector<std::unique_ptr<Ingress>> idle_ingresses_;
  std::optional<Outcome> outcome_;
  bool is_ending_ = false, ends_now_ = false, is_cut_short_ = false, is_ended_ = false;
  bool starts_sources_ = false;       // a shutdown waits for that
  SourceRunner* starting_ = nullptr;  // which it cancels
  std::vector<int64_t> wrong_tokens_;

  std::mutex rollout_mutex_;
  std::atomic<int64_t> heartbeat_ns_{0};
};

}  // namespace sightglass::module
