// Records for tests and benchmarks of sinks.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "sightglass/adapters/record.h"
#include "sightglass/stream/uuid.h"

namespace sightglass::adapters::testing {

struct RecordOptions {
  std::string source_id = "cam-1";
  int64_t epoch = 0, seq = 0;
  int objects = 1, events = 0;
  std::string mood = "glad";
};

// A frame of 640x480 with people, each with a mood; events are crossings of the line `main` by the element
// `gate`, which also counts.
inline RecordRef frame_record(const RecordOptions& options) {
  static const Label person("person"), detector("detector"), mood("mood"), classifier("classifier"),
      gate("gate"), cross("cross"), door("door");
  auto record = std::make_shared<Record>();
  record->source_id = options.source_id;
  record->uuid = stream::make_uuid_v7();
  record->epoch = options.epoch;
  record->seq = options.seq;
  record->pts = options.seq * 40'000'000;
  record->keyframe = true;
  record->results.video = VideoInfo{.width = 640, .height = 480};
  record->results.pts = record->pts;
  for (int i = 0; i < options.objects; ++i) {
    Region region;
    region.id = i;
    region.box = {0.1f + 0.05f * float(i), 0.2f, 0.12345f, 0.23456f};
    region.confidence = 0.87654f;
    region.label = person;
    region.label_id = 0;
    region.model = detector;
    region.track = i + 1;
    Attribute attribute;
    attribute.name = mood;
    attribute.kind = AttributeKind::classification;
    attribute.text = options.mood;
    attribute.label_id = 1;
    attribute.confidence = 0.91f;
    attribute.model = classifier;
    region.attributes = make_ref<const AttributeList>(std::vector<Attribute>{attribute});
    record->results.regions.push_back(std::move(region));
  }
  if (options.events > 0) {
    std::vector<Attribute> list;
    Attribute counter;
    counter.name = door;
    counter.kind = AttributeKind::number;
    counter.number = options.objects;
    counter.model = gate;
    list.push_back(counter);
    for (int i = 0; i < options.events; ++i) {
      Attribute event;
      event.name = cross;
      event.kind = AttributeKind::number;
      event.number = i + 1;
      event.text = "main forward";
      event.model = gate;
      list.push_back(std::move(event));
    }
    record->results.attributes = make_ref<const AttributeList>(std::move(list));
  }
  auto message = std::make_shared<stream::Message>();
  message->kind = stream::Kind::frame;
  message->source_id = record->source_id;
  message->producer = record->uuid;
  message->epoch = record->epoch;
  message->seq = record->seq;
  auto& frame = message->frame.emplace();
  frame.uuid = record->uuid;
  frame.created_us = stream::unix_ms(record->uuid) * 1000;
  frame.width = 640, frame.height = 480;
  frame.pts = record->pts;
  record->message = std::move(message);
  return record;
}

// A late update of such a frame: an attribute of the frame, one of its object 0, and a new object 5.
inline RecordRef update_record(const Record& of) {
  auto message = std::make_shared<stream::Message>();
  message->kind = stream::Kind::frame_update;
  message->source_id = of.source_id;
  message->epoch = of.epoch;
  message->seq = of.seq + 1;
  auto& update = message->frame_update.emplace();
  update.frame = of.uuid;
  stream::Attribute verdict;
  verdict.namespace_ = "report", verdict.name = "verdict", verdict.hint = "text";
  verdict.values.emplace_back().value = std::string("checked");
  update.attributes.push_back(verdict);
  auto& late = update.object_attributes.emplace_back();
  late.object_id = 0;
  late.attribute.namespace_ = "mood", late.attribute.name = "age", late.attribute.hint = "number";
  late.attribute.values.emplace_back().value = 34.0;
  auto& insert = update.objects.emplace_back();
  insert.object.id = 5;
  insert.object.namespace_ = "faces";
  insert.object.label = "face";
  insert.object.detection_box = {.xc = 100, .yc = 50, .width = 20, .height = 30};
  insert.parent_id = 0;
  stream::Delivery delivery{.message = message};
  return record_of(delivery);
}

}  // namespace sightglass::adapters::testing
