// A source of one's own in C++: any other source of files, with the reading of a light sensor in each frame.
//
//   source: {type: lux, location: street.mp4, sensor: /run/lux}
//
// Conditions and bound properties find it as sensor.lux. docs/write-an-adapter.md says how it is built.
#include <fstream>
#include <string>

#include "sightglass/adapters/adapter.h"

using namespace sightglass;
using namespace sightglass::adapters;

struct Params {
  std::string location, source_id, sensor;
};

// Each message passes through here.
class AddLux final : public Deliver {
 public:
  AddLux(Deliver& next, std::string sensor) : next_(next), sensor_(std::move(sensor)) {}

  bool deliver(stream::Delivery delivery) override {
    if (delivery.message->frame) {
      // Messages are shared: a copy of ours.
      auto message = std::make_shared<stream::Message>(*delivery.message);
      double lux = 0;
      if (std::ifstream(sensor_) >> lux)
        message->frame->attributes.push_back(
            {.namespace_ = "sensor", .name = "lux", .values = {{.value = lux}}});
      delivery.message = std::move(message);
    }
    return next_.deliver(std::move(delivery));
  }
  std::unique_ptr<Deliver> another() override { return nullptr; }

 private:
  Deliver& next_;
  const std::string sensor_;
};

class LuxSource final : public Source {
 public:
  LuxSource(std::unique_ptr<Source> files, std::string sensor)
      : files_(std::move(files)), sensor_(std::move(sensor)) {}

  static Result<std::unique_ptr<Source>> create(const ParamSet& set, const SourceContext& context) {
    const Params& params = set.as<Params>();
    if (params.sensor.empty()) return fail(ErrorCode::invalid_argument, "{}: no sensor", context.name);
    const SourceDesc& files = *find_source("video_file");
    ParamSet settings(files.params);
    for (const auto& [key, value] : {std::pair("location", params.location), {"source-id", params.source_id}})
      if (Status stored = settings.set(key, value); !stored) return forward_error(stored);
    auto made = files.create(settings, context);
    if (!made) return forward_error(made);
    return std::make_unique<LuxSource>(std::move(*made), params.sensor);
  }

  Status start() override { return files_->start(); }
  void cancel() override { files_->cancel(); }  // of start(), which may wait for a server
  Status run(Deliver& out, std::stop_token stop) override {
    AddLux with_lux(out, sensor_);
    return files_->run(with_lux, stop);
  }

 private:
  std::unique_ptr<Source> files_;
  std::string sensor_;
};

const SourceRegistration registration({
    .name = "lux",
    .doc = "a video file with the reading of a light sensor in each frame",
    .params = ParamTable::of<Params>({param("location", &Params::location, "file or URL"),
                                      param("source-id", &Params::source_id, "name of the stream"),
                                      param("sensor", &Params::sensor,
                                            "file that holds the reading, in lux")}),
    .create = &LuxSource::create,
});
