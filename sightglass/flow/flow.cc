#include "sightglass/flow/flow.h"

#include "sightglass/flow/frame_exchange.h"
#include "sightglass/flow/graph.h"
#include "sightglass/flow/pipeline_text.h"

namespace sightglass {

Flow::Flow(FlowOptions options) : graph_(std::make_unique<Graph>(options)) {}
Flow::Flow(Flow&&) noexcept = default;
Flow& Flow::operator=(Flow&&) noexcept = default;
Flow::~Flow() = default;

Result<Flow> Flow::parse(std::string_view pipeline, FlowOptions options) {
  auto text = flow::parse_pipeline(pipeline);
  if (!text) return forward_error(text);
  Flow flow(options);
  std::vector<Node> nodes;
  for (const auto& element : text->elements) {
    auto node = flow.add(element.element, element.settings, element.name);
    if (!node) return forward_error(node);
    nodes.push_back(*node);
  }
  for (const auto& link : text->links) {
    if (auto status = flow.graph_->link(nodes[link.from], nodes[link.to], link.to_pad); !status)
      return forward_error(status);
  }
  return flow;
}

Result<Flow::Node> Flow::add(std::string_view element, const Settings& settings, std::string_view name) {
  return graph_->add(element, settings, name);
}

Result<Flow::Node> Flow::add(std::unique_ptr<Element> element, ElementDesc desc, std::string_view name) {
  return graph_->add(std::move(element), std::move(desc), name);
}

Status Flow::link(Node from, Node to) { return graph_->link(from, to, {}); }
Result<Flow::Node> Flow::node(std::string_view name) const { return graph_->node(name); }
void Flow::on_frame(std::function<Status(const Frame&)> callback) {
  graph_->run.on_frame = std::move(callback);
}

Status Flow::start() { return graph_->start(); }
Status Flow::wait() { return graph_->wait(); }
Status Flow::run() {
  auto status = start();
  return status ? wait() : status;
}
void Flow::cancel() { graph_->cancel(); }
void Flow::finish() { graph_->finish(); }
bool Flow::running() const { return graph_->running(); }

Status Flow::set(std::string_view name, std::string_view parameter, std::string_view value) {
  return graph_->set(name, parameter, value);
}
std::vector<std::string> Flow::take_warnings() { return graph_->run.take_warnings(); }

Status Flow::push(std::string_view name, const Frame& frame) {
  auto source = graph_->end_called<flow::FrameSource>(name, "frame_source");
  if (!source) return forward_error(source);
  auto status = (*source)->push(frame);
  return status || status.error().code != ErrorCode::cancelled ? status : graph_->why_stopped();
}

Status Flow::end(std::string_view name) {
  auto source = graph_->end_called<flow::FrameSource>(name, "frame_source");
  if (!source) return forward_error(source);
  auto status = (*source)->end();
  return status ? status : graph_->why_stopped();
}

Result<std::optional<Frame>> Flow::pull(std::string_view name) {
  auto sink = graph_->end_called<flow::FrameSink>(name, "frame_sink");
  if (!sink) return forward_error(sink);
  auto frame = (*sink)->pull();
  if (frame) return frame;
  auto why = graph_->why_stopped();
  return forward_error(why);
}

std::vector<Flow::NodeStats> Flow::stats() const { return graph_->stats(); }
const CopyLedger& Flow::ledger() const { return graph_->run.ledger; }
std::string Flow::explain() const { return graph_->explain(); }

}  // namespace sightglass
