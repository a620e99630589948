// The user's filter in front of a module: a function `accept(frame) → bool` that sees what a message says of
// its frame (objects, attributes, tags, no pixels) before anything is decoded. What it refuses is settled and
// counted as "accept"; when it fails the frame is taken, since a broken filter must not stop a module.
#pragma once

#include <memory>

#include "sightglass/adapters/adapter.h"
#include "sightglass/module/function.h"
#include "sightglass/module/ingress.h"

namespace sightglass::module {

// The function of a source's key `accept`; null without one.
Result<std::shared_ptr<AcceptFunction>> accept_function(const SourceSpec& source, const std::string& name,
                                                        const std::string& folder);

// Delivers what the function lets through. One per thread; the function may be shared.
class AcceptingIngress final : public adapters::Deliver {
 public:
  AcceptingIngress(std::shared_ptr<IngressShared> shared, std::shared_ptr<AcceptFunction> function)
      : shared_(std::move(shared)), function_(std::move(function)), ingress_(shared_) {
    ingress_.set_filter([this](const stream::Message& message) { return is_wanted(message); });
  }
  bool deliver(stream::Delivery delivery) override;
  Offer offer(stream::Delivery& delivery) override { return ingress_.offer(delivery); }
  void release(std::span<const std::string> source_ids, bool at_once) override {
    ingress_.release(source_ids, at_once);
  }
  std::unique_ptr<adapters::Deliver> another() override {
    return std::make_unique<AcceptingIngress>(shared_, function_);
  }

 private:
  bool is_wanted(const stream::Message& message);

  const std::shared_ptr<IngressShared> shared_;
  const std::shared_ptr<AcceptFunction> function_;
  Ingress ingress_;
  Frame frame_;  // used again and again
};

}  // namespace sightglass::module
