#include "sightglass/flow/graph.h"

#include <algorithm>
#include <charconv>
#include <functional>
#include <ranges>
#include <set>

#include "sightglass/bins/aggregate_params.h"
#include "sightglass/core/registry.h"
#include "sightglass/flow/frame_exchange.h"
#include "sightglass/flow/join_node.h"
#include "sightglass/flow/pipeline_text.h"
#include "sightglass/flow/plumbing_nodes.h"
#include "sightglass/flow/source_node.h"
#include "sightglass/model/spelling.h"

namespace sightglass {
namespace {

struct QueueParams {
  unsigned max_size_buffers = 16, max_size_bytes = 0;
  int64_t max_size_time = 0;
};
const ParamTable& queue_params() {
  static const auto table = ParamTable::of<QueueParams>({
      param("max-size-buffers", &QueueParams::max_size_buffers, "most frames in the queue").range(1, 1e6),
      param("max-size-bytes", &QueueParams::max_size_bytes, "of GStreamer; only frames count here"),
      param("max-size-time", &QueueParams::max_size_time, "of GStreamer; only frames count here"),
  });
  return table;
}

struct CapsParams {
  std::string caps;
};
const ParamTable& caps_params() {
  static const auto table =
      ParamTable::of<CapsParams>({param("caps", &CapsParams::caps, "the formats that pass")});
  return table;
}

const ParamTable& no_params() {
  struct None {};
  static const auto table = ParamTable::of<None>({});
  return table;
}

// The parts of a graph that are no elements, and their parameters.
const ParamTable* part_params(std::string_view element) {
  if (element == "tee" || element == "funnel") return &no_params();
  if (element == "queue") return &queue_params();
  if (element == "meta_aggregate" || element == "gvametaaggregate") return &aggregate_params();
  if (element == "capsfilter") return &caps_params();
  return nullptr;
}

bool is_join(std::string_view element) {
  return element == "meta_aggregate" || element == "gvametaaggregate";
}

const ElementDesc* element_desc(std::string_view name) {
  for (const auto* desc : {&flow::frame_source_desc(), &flow::frame_sink_desc(), &flow::fakesink_desc()})
    if (desc->name == name) return desc;
  return find_element(name);
}

// Elements of GStreamer that people try, and what does their work here.
constexpr std::pair<std::string_view, std::string_view> gst_elements[] = {
    {"videoconvert", "leave it out: frames are converted where the next element takes another format"},
    {"videoscale", "use opencv_cropscale"},
    {"filesrc", "use ffmpeg_multi_source, which reads and decodes"},
    {"uridecodebin", "use ffmpeg_multi_source"},
    {"decodebin", "use ffmpeg_multi_source, which reads and decodes"},
    {"appsrc", "use frame_source"},
    {"appsink", "use frame_sink"},
    {"filesink", "use ffmpeg_encoder_sink, image_sink or metapublish"},
    {"batch_create", "set batch-size of the inference element, which fills the batches itself"},
    {"batch_split", "set batch-size of the inference element, which hands out the results one by one"},
};

std::unexpected<Error> unknown_element(std::string_view name) {
  for (const auto& [known, instead] : gst_elements)
    if (known == name)
      return fail(ErrorCode::not_found, "{} needs GStreamer and is not to be had in a flow; {}", name,
                  instead);
  std::vector<std::string> names = {"tee",          "queue",      "funnel",  "meta_aggregate",
                                    "frame_source", "frame_sink", "fakesink"};
  for (const auto* desc : all_elements()) names.push_back(desc->name);
  for (const auto* bin : all_bins()) names.push_back(bin->name);
  names.push_back(processbin_desc().name);
  return fail(ErrorCode::not_found, "no element {}{}", name, did_you_mean(name, names));
}

Status set_all(ParamSet& params, const std::vector<std::pair<std::string, std::string>>& settings,
               std::string_view element) {
  for (const auto& [name, text] : settings) {
    if (!params.table().find(name)) {
      std::vector<std::string> known;
      for (const auto& param : params.table().params) known.push_back(param.name);
      return fail(ErrorCode::invalid_argument, "{}: no property {}{}; `sightglass inspect {}` lists them",
                  element, name, did_you_mean(name, known), element);
    }
    if (auto status = params.set_text(name, text); !status)
      return fail(status.error().code, "{}: {}", element, status.error().message);
  }
  return {};
}

}  // namespace

Flow::Graph::Graph(FlowOptions options) : options_(options) {
  run.strict_zero_copy = options.strict_zero_copy;
  run.frame_limit = options.frame_limit;
}

Flow::Graph::~Graph() {
  cancel();
  (void)wait();
}

// ---- declared

std::string Flow::Graph::free_name(std::string_view element) const {
  for (size_t number = 0;; ++number) {
    std::string name = std::string(element) + std::to_string(number);
    if (std::ranges::find(declared_, name, &Declared::name) == declared_.end()) return name;
  }
}

Status Flow::Graph::describe(Declared& node, const Settings& settings) const {
  const ParamTable* table = part_params(node.element);
  if (!table) {
    node.bin = node.element == processbin_desc().name ? &processbin_desc() : find_bin(node.element);
    if (!node.bin) node.desc = element_desc(node.element);
    if (!node.bin && !node.desc) return unknown_element(node.element);
    table = node.bin ? &node.bin->params : &node.desc->params;
  }
  node.params.emplace(*table);
  Settings own = settings;
  if (node.bin)
    if (auto status = take_stages(node, own); !status) return status;
  if (auto status = set_all(*node.params, own, node.element); !status) return status;
  if (node.element != "capsfilter") return {};
  auto specs = flow::parse_caps(node.params->as<CapsParams>().caps);
  if (!specs) return forward_error(specs);
  node.caps = *std::move(specs);
  return {};
}

// Takes out of the settings what every bin has: stages, and the sizes of queues.
Status Flow::Graph::take_stages(Declared& bin, Settings& settings) {
  Status status;
  std::erase_if(settings, [&](const auto& setting) {
    std::string name = setting.first;
    std::ranges::replace(name, '_', '-');
    if (const auto stage = stage_property(name)) {
      auto text = flow::parse_pipeline(setting.second);
      if (!text) {
        status = fail(text.error().code, "{}: {}: {}", bin.element, name, text.error().message);
        return true;
      }
      auto& elements = bin.stages[*stage];
      elements.clear();
      for (auto& element : text->elements)
        elements.push_back({std::move(element.element), std::move(element.settings)});
      for (size_t i = 0; i < text->links.size(); ++i)
        if (text->links[i].from != i || text->links[i].to != i + 1)
          status = fail(ErrorCode::unsupported, "{}: {} has branches; in a flow a stage is one chain",
                        bin.element, name);
      return true;
    }
    const auto queue = queue_size_property(name);
    if (!queue) return false;
    int size = 0;
    const char* end = setting.second.data() + setting.second.size();
    const auto [stop, error] = std::from_chars(setting.second.data(), end, size);
    if (error != std::errc() || stop != end || size < -1)
      status = fail(ErrorCode::invalid_argument, "{}: {}={}: has to be -1 or more", bin.element, name,
                    setting.second);
    bin.queue_sizes[*queue] = size;
    return true;
  });
  return status;
}

Result<Flow::Node> Flow::Graph::keep(Declared node, std::string_view name) {
  if (state_ != State::building)
    return fail(ErrorCode::invalid_argument, "a flow that has started cannot be changed");
  node.name = name.empty() ? free_name(node.element) : std::string(name);
  if (std::ranges::find(declared_, node.name, &Declared::name) != declared_.end())
    return fail(ErrorCode::invalid_argument, "two elements are called {}", node.name);
  declared_.push_back(std::move(node));
  return declared_.size() - 1;
}

Result<Flow::Node> Flow::Graph::add(std::string_view element, const Settings& settings,
                                    std::string_view name) {
  Declared node;
  node.element = element;
  if (auto status = describe(node, settings); !status) return forward_error(status);
  return keep(std::move(node), name);
}

Result<Flow::Node> Flow::Graph::add(std::unique_ptr<Element> element, ElementDesc desc,
                                    std::string_view name) {
  if (!element) return fail(ErrorCode::invalid_argument, "there is no element to add");
  Declared node;
  if (desc.name.empty()) desc.name = "element";
  node.element = desc.name;
  if (desc.input.empty()) desc.input = {{AnySpec{}}};
  if (!desc.params.clone) desc.params = no_params();
  node.own_desc = std::make_unique<ElementDesc>(std::move(desc));
  node.desc = node.own_desc.get();
  node.own = std::move(element);
  node.params.emplace(node.desc->params);
  return keep(std::move(node), name);
}

bool Flow::Graph::leads_to(Node from, Node to) const {
  if (from == to) return true;
  return std::ranges::any_of(edges_,
                             [&](const Edge& edge) { return edge.from == from && leads_to(edge.to, to); });
}

Status Flow::Graph::link(Node from, Node to, std::string_view to_pad) {
  if (from >= declared_.size() || to >= declared_.size())
    return fail(ErrorCode::invalid_argument, "there is no such node");
  if (state_ != State::building)
    return fail(ErrorCode::invalid_argument, "a flow that has started cannot be changed");
  Declared &a = declared_[from], &b = declared_[to];
  if (!a.may_have_outputs())
    return fail(ErrorCode::invalid_argument, "{} is a sink: nothing comes out", a.name);
  if (!b.may_have_inputs())
    return fail(ErrorCode::invalid_argument, "{} is a source: nothing goes in", b.name);
  if (a.outputs > 0 && !a.is_tee())
    return fail(ErrorCode::invalid_argument, "{} is linked already; put a tee behind it", a.name);
  if (leads_to(to, from))
    return fail(ErrorCode::invalid_argument, "{} and {} would make a circle", a.name, b.name);
  ++a.outputs, ++b.inputs;
  edges_.push_back({from, to, is_join(b.element) && to_pad == "sink"});
  return {};
}

Result<Flow::Node> Flow::Graph::node(std::string_view name) const {
  const auto found = std::ranges::find(declared_, name, &Declared::name);
  if (found != declared_.end()) return Node(found - declared_.begin());
  std::vector<std::string> names;
  names.reserve(declared_.size());
  for (const auto& node : declared_) names.push_back(node.name);
  return fail(ErrorCode::not_found, "no element is called {}{}", name, did_you_mean(name, names));
}

// ---- from declared to running

Status Flow::Graph::check() const {
  if (declared_.empty()) return fail(ErrorCode::invalid_argument, "the flow is empty");
  for (const auto& node : declared_) {
    if (node.may_have_inputs() && node.inputs == 0)
      return fail(ErrorCode::invalid_argument, "nothing is linked to the input of {}", node.name);
    if (node.is_tee() && node.outputs == 0)
      return fail(ErrorCode::invalid_argument, "nothing is linked behind {}", node.name);
  }
  return {};
}

flow::Node& Flow::Graph::own(std::unique_ptr<flow::Node> node) {
  return *nodes_.emplace_back(std::move(node));
}

Flow::Graph::Built Flow::Graph::one(std::unique_ptr<flow::Node> node) {
  auto& kept = own(std::move(node));
  return {&kept, &kept};
}

void Flow::Graph::connect(flow::Node& from, flow::Node& to) {
  from.out.push_back(to.in.emplace_back(std::make_unique<flow::Port>(run, from, to, to.in.size())).get());
}

Result<Flow::Graph::Built> Flow::Graph::build_one(Declared& node, unsigned source_number) {
  if (node.bin) return build_bin(node);
  if (node.desc)
    return one(
        flow::make_element_node(run, {node.name, node.desc, *node.params, node.own.get()}, source_number));
  if (node.is_tee()) return one(std::make_unique<flow::TeeNode>(run, node.name, node.element));
  if (node.element == "queue")
    return one(
        std::make_unique<flow::QueueNode>(run, node.name, node.params->as<QueueParams>().max_size_buffers));
  if (node.element == "capsfilter") return one(std::make_unique<flow::CapsNode>(run, node.name, node.caps));
  if (is_join(node.element)) {
    if (node.params->is_set("max-wait"))
      run.warn(node.name, {"max-wait has no effect in a flow: frames wait as long as results are due"});
    for (const std::string name : {"max-size-buffers", "max-size-time"})
      if (node.params->is_set(name))
        run.warn(node.name, {name + " has no effect in a flow: as many wait as the branches hold"});
    return one(std::make_unique<flow::JoinNode>(run, node.name,
                                                node.params->as<AggregateParams>().attach_tensor_data));
  }
  return one(std::make_unique<flow::Node>(run, node.name, node.element));  // funnel: passes things on
}

Result<Flow::Graph::Built> Flow::Graph::build_stage(const Declared& bin, StageIndex index,
                                                    const Stage& stage) {
  Built built;
  for (const auto& settings : stage) {
    Declared part;
    part.element = settings.element;
    if (auto status = describe(part, settings.params); !status) {
      if (status.error().code != ErrorCode::not_found) return forward_error(status);
      return fail(ErrorCode::unavailable,
                  "this {} needs the element {} of GStreamer, which a flow has not; usable: "
                  "pre-process-backend=fused",
                  stage_names[index], settings.element);
    }
    part.name = bin.name + "/" + settings.element;
    for (size_t number = 1;
         std::ranges::any_of(nodes_, [&](const auto& node) { return node->name() == part.name; }); ++number)
      part.name = bin.name + "/" + settings.element + std::to_string(number);
    auto next = build_one(part, 0);
    if (!next) return next;
    if (built.last) connect(*built.last, *next->first);
    if (!built.first) built.first = next->first;
    built.last = next->last;
  }
  return built;
}

Result<Flow::Graph::Built> Flow::Graph::build_queued(const Declared& bin, StageIndex index,
                                                     const Stages& stages) {
  auto built = build_stage(bin, index, stages.stages[index]);
  if (!built) return built;
  // Inference is asynchronous: behind it a queue, so that several requests are under way while the thread
  // behind waits for the first of them. Otherwise only the user's own.
  const int size = bin.queue_sizes[index].value_or(0);
  unsigned most = size > 0 ? unsigned(size) : 0;
  if (size == 0 && index == postprocess) most = std::max(1u, stages.queues[postprocess].value_or(16));
  if (most == 0) return built;
  const std::string name =
      bin.name + "/" + (index == postprocess ? "" : std::string(stage_names[index]) + "-") + "queue";
  auto& queue = own(std::make_unique<flow::QueueNode>(run, name, most));
  connect(queue, *built->first);
  return Built{&queue, built->last};
}

Result<Flow::Graph::Built> Flow::Graph::build_bin(const Declared& node) {
  Stages stages;
  if (node.bin->build) {
    auto generated = node.bin->build(*node.params);
    if (!generated) return forward_error(generated);
    stages = *std::move(generated);
  }
  for (size_t i = 0; i < stage_count; ++i)
    if (!node.stages[i].empty()) stages.stages[i] = node.stages[i];
  run.warn(node.name, stages.warnings);
  if (stages.leaky) run.warn(node.name, {"no-block has no effect in a flow: frames wait for the model"});
  keep_alive_.push_back(stages.keep_alive);
  const auto has = [&](StageIndex index) { return !stages.stages[index].empty(); };
  const bool branch = has(preprocess) && has(process) && has(postprocess);
  if (!branch && (!has(postaggregate) || has(process))) {
    if (node.bin->build) return std::unexpected(no_model_error());
    return fail(ErrorCode::invalid_argument,
                "incomplete: set preprocess, process and postprocess (and aggregate to keep the frames), or "
                "postaggregate alone");
  }
  if (!branch) return build_stage(node, postaggregate, stages.stages[postaggregate]);

  std::vector<Built> row;
  for (StageIndex index : {preprocess, process, postprocess}) {
    auto built = build_queued(node, index, stages);
    if (!built) return built;
    if (!row.empty()) connect(*row.back().last, *built->first);
    row.push_back(*built);
  }
  Built all{row.front().first, row.back().last};
  if (has(aggregate)) {
    // The frames wait for their results in the join.
    auto& tee = own(std::make_unique<flow::TeeNode>(run, node.name + "/tee", "tee"));
    auto joins = build_stage(node, aggregate, stages.stages[aggregate]);
    if (!joins) return joins;
    if (node.queue_sizes[aggregate].value_or(0) > 0)
      run.warn(node.name, {"aggregate-queue-size has no effect in a flow: frames wait in the join itself"});
    connect(tee, *joins->first);
    connect(tee, *all.first);
    connect(*all.last, *joins->first);
    all = {&tee, joins->last};
  }
  if (!has(postaggregate)) return all;
  auto after = build_queued(node, postaggregate, stages);
  if (!after) return after;
  connect(*all.last, *after->first);
  return Built{all.first, after->last};
}

Status Flow::Graph::build() {
  const auto is_source = [](const Declared& node) { return !node.may_have_inputs(); };
  const bool has_several = std::ranges::count_if(declared_, is_source) > 1;
  unsigned sources = 0;
  std::vector<Built> built;
  for (auto& node : declared_) {
    const unsigned number = has_several && is_source(node) ? ++sources : 0;
    auto made = build_one(node, number);
    if (!made) {
      Error error = made.error();
      if (error.element.empty()) error.element = node.name;
      return std::unexpected(std::move(error));
    }
    built.push_back(*made);
  }
  auto edges = edges_;
  std::ranges::stable_partition(edges, &Edge::is_main);
  for (const auto& edge : edges) connect(*built[edge.from].last, *built[edge.to].first);
  return {};
}

std::vector<flow::Node*> Flow::Graph::in_order() const {
  std::vector<flow::Node*> order;
  std::set<const flow::Node*> seen;
  const std::function<void(flow::Node&)> visit = [&](flow::Node& node) {
    if (!seen.insert(&node).second) return;
    for (const auto& port : node.in) visit(port->from());
    order.push_back(&node);
  };
  for (const auto& node : nodes_) visit(*node);
  return order;
}

Status Flow::Graph::negotiate() {
  const auto order = in_order();
  for (auto* node : order)
    if (!node->prepare()) return run.first_error();
  keep_alive_.clear();
  for (auto* node : order | std::views::reverse)
    for (const auto& port : node->in) port->set_accepts(node->accepts(*port));
  size_t most = 64;
  for (auto* node : order) most += 2 * node->queue_size();
  for (auto* node : order)
    if (auto* join = dynamic_cast<flow::JoinNode*>(node)) join->start_joining(most);
  for (auto* node : order) {
    auto* source = dynamic_cast<flow::SourceNode*>(node);
    if (source && !source->negotiate()) return run.first_error();
  }
  return {};
}

void Flow::Graph::start_threads() {
  for (const auto& node : nodes_)
    if (auto* queue = dynamic_cast<flow::QueueNode*>(node.get())) queue->start_queueing();
  std::vector<flow::Node*> workers;
  for (const auto& node : nodes_)
    if (node->has_thread()) workers.push_back(node.get());
  active_ = workers.size();
  has_threads_ = true;
  for (auto* worker : workers) {
    threads_.emplace_back([this, worker] {
      worker->work();
      std::lock_guard lock(mutex_);
      if (--active_ == 0) ended_.notify_all();
    });
  }
}

Status Flow::Graph::start() {
  {
    std::lock_guard lock(mutex_);
    if (state_ != State::building)
      return fail(ErrorCode::invalid_argument, "this flow has been started already");
  }
  Status status = check();
  if (status) status = build();
  std::unique_lock lock(mutex_);
  state_ = State::running;
  run.wake = [this] {
    for (const auto& node : nodes_) node->cancel();
  };
  lock.unlock();
  if (status) status = negotiate();
  lock.lock();
  if (status) {
    start_threads();
    return {};
  }
  state_ = State::ended;
  lock.unlock();
  (void)run.stop(status.error());
  for (const auto& node : nodes_) node->stop();
  keep_alive_.clear();
  return status;
}

// ---- running

Status Flow::Graph::wait() {
  std::lock_guard one_waits(wait_mutex_);
  std::unique_lock lock(mutex_);
  if (state_ == State::building) return fail(ErrorCode::invalid_argument, "the flow has not been started");
  if (state_ == State::ended) return run.first_error();
  while (active_ > 0) {
    // An element may have begun to wait just after it was woken.
    if (ended_.wait_for(lock, std::chrono::milliseconds(20)) == std::cv_status::timeout && run.stopping()) {
      lock.unlock();
      run.wake();
      lock.lock();
    }
  }
  lock.unlock();
  for (auto& thread : threads_) thread.join();
  threads_.clear();
  for (const auto& node : nodes_) node->stop();
  lock.lock();
  state_ = State::ended;
  return run.first_error();
}

void Flow::Graph::cancel() {
  {
    std::lock_guard lock(mutex_);
    if (state_ != State::running || (has_threads_ && active_ == 0)) return;
  }
  (void)run.stop({ErrorCode::cancelled, "cancelled", {}, {}});
}

void Flow::Graph::finish() {
  run.finishing = true;
  std::lock_guard lock(mutex_);
  if (state_ != State::running) return;
  for (const auto& node : nodes_)
    if (auto* source = dynamic_cast<flow::SourceNode*>(node.get())) source->cancel();
}

Status Flow::Graph::why_stopped() const {
  auto status = run.first_error();
  return status ? fail(ErrorCode::cancelled, "the flow has ended") : status;
}

bool Flow::Graph::running() const {
  std::lock_guard lock(mutex_);
  return state_ == State::running && active_ > 0;
}

Element* Flow::Graph::element_called(std::string_view name) const {
  for (const auto& node : nodes_)
    if (auto* element = dynamic_cast<flow::ElementNode*>(node.get()); element && element->name() == name)
      return element->first();
  return nullptr;
}

Status Flow::Graph::set(std::string_view name, std::string_view parameter, std::string_view value) {
  auto place = node(name);
  if (!place) return forward_error(place);
  Declared& declared = declared_[*place];
  if (!declared.bin) {
    for (const auto& node : nodes_)
      if (auto* element = dynamic_cast<flow::ElementNode*>(node.get()); element && element->name() == name)
        return element->set(parameter, value);
    return fail(ErrorCode::invalid_argument, "{} has no parameter to change while it runs", name);
  }
  std::lock_guard lock(mutex_);
  const auto* param = declared.bin->params.find(parameter);
  if (param && !param->is_live)
    return fail(ErrorCode::invalid_argument, "{}: {} can only be set before the flow starts", name,
                parameter);
  if (auto status = declared.params->set_text(parameter, value); !status) return status;
  const std::string prefix = declared.name + "/";
  for (const auto& node : nodes_) {
    auto* element = dynamic_cast<flow::ElementNode*>(node.get());
    if (!element || !element->name().starts_with(prefix) || !declared.bin->live) continue;
    for (const auto& [own, text] : declared.bin->live(*declared.params, element->desc()))
      if (auto status = element->set(own, text); !status) return status;
  }
  return {};
}

std::vector<Flow::NodeStats> Flow::Graph::stats() const {
  std::vector<NodeStats> all;
  all.reserve(nodes_.size());
  for (const auto& node : nodes_)
    all.push_back({.name = node->name(),
                   .element = node->element(),
                   .frames_in = node->frames_in.value(),
                   .frames_out = node->frames_out.value(),
                   .gaps = node->gaps.value(),
                   .busy = std::chrono::nanoseconds(node->busy.value()),
                   .queued = node->queued(),
                   .queue_size = node->queue_size()});
  return all;
}

std::string Flow::Graph::explain() const {
  std::string text;
  for (const auto* node : in_order())
    for (const auto& port : node->in) text += port->explain();
  return text;
}

}  // namespace sightglass
