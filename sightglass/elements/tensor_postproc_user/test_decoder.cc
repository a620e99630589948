// A decoder for the tests, written in C++ on purpose: config says what it does.
#include <chrono>
#include <cmath>
#include <cstdio>
#include <limits>
#include <stdexcept>
#include <string>
#include <thread>

#include "sightglass/decoder.h"

namespace {

struct Test {
  std::string mode;
  std::string first_label;
  int calls = 0;
};

void* create(const SightglassDecoderOptions* options, char* error, size_t error_size) {
  if (std::string(options->config) == "mode=refuse") {
    std::snprintf(error, error_size, "this model is none of mine");
    return nullptr;
  }
  if (std::string(options->config) == "mode=throw-at-start") throw std::runtime_error("no start");
  return new Test{options->config, options->label_count ? options->labels[0] : "", 0};
}

void everything(const SightglassFrame* frame, const Test& test) {
  SightglassObject object{.x = .1f,
                          .y = .2f,
                          .w = .3f,
                          .h = .4f,
                          .angle = .5f,
                          .confidence = .75f,
                          .label_id = 1,
                          .label = nullptr};
  const int32_t first = frame->add_object(frame->results, &object);
  object.label = "own";
  object.confidence = .25f;
  frame->add_object(frame->results, &object);
  SightglassAttribute attribute{};
  attribute.label_id = -1;
  attribute.name = "mood", attribute.kind = SIGHTGLASS_CLASS, attribute.label_id = 0,
  attribute.confidence = .5f;
  frame->add_attribute(frame->results, first, &attribute);
  const float points[] = {.1f, .2f, 1, -1, -1, 0};
  attribute = {};
  attribute.name = "points", attribute.kind = SIGHTGLASS_KEYPOINTS, attribute.values = points,
  attribute.value_count = 6;
  frame->add_attribute(frame->results, first, &attribute);
  const float cells[] = {0, 1, 1, 0, .5f, .5f};
  attribute = {};
  attribute.name = "mask", attribute.kind = SIGHTGLASS_MASK, attribute.values = cells,
  attribute.value_count = 6;
  attribute.rows = 2, attribute.columns = 3, attribute.box_w = .5f, attribute.box_h = 1;
  frame->add_attribute(frame->results, first, &attribute);
  attribute = {};
  attribute.name = "sum", attribute.kind = SIGHTGLASS_NUMBER;
  for (int64_t i = 0; i < frame->tensors[0].shape[frame->tensors[0].rank - 1]; ++i)
    attribute.number += double(static_cast<const float*>(frame->tensors[0].data)[i]);
  frame->add_attribute(frame->results, -1, &attribute);
  attribute = {};
  const std::string text = test.first_label + " of " + frame->model + "/" + frame->tensors[0].name;
  attribute.name = "text", attribute.kind = SIGHTGLASS_TEXT, attribute.text = text.c_str();
  frame->add_attribute(frame->results, -1, &attribute);
  frame->add_attribute(frame->results, 77, &attribute);  // no such object
}

void not_finite(const SightglassFrame* frame) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  SightglassObject object{
      .x = nan, .y = 0, .w = 1, .h = 1, .angle = 0, .confidence = 1, .label_id = -1, .label = "bad"};
  frame->add_object(frame->results, &object);
  object.x = 0, object.confidence = nan;
  frame->add_object(frame->results, &object);
  object.confidence = 1, object.w = 0;
  frame->add_object(frame->results, &object);
  object.w = 1, object.label = "good";
  frame->add_object(frame->results, &object);
  SightglassAttribute attribute{};
  attribute.name = "number", attribute.kind = SIGHTGLASS_NUMBER, attribute.number = double(nan);
  frame->add_attribute(frame->results, -1, &attribute);
  attribute.name = "vector", attribute.kind = SIGHTGLASS_VECTOR, attribute.number = 0;
  attribute.values = &nan, attribute.value_count = 1;
  frame->add_attribute(frame->results, -1, &attribute);
}

int decode(void* decoder, const SightglassFrame* frame) {
  Test& test = *static_cast<Test*>(decoder);
  ++test.calls;
  if (test.mode == "mode=throw") throw std::runtime_error("out of ideas");
  if (test.mode == "mode=fail") return frame->fail(frame->results, "the model is not mine"), 3;
  if (test.mode == "mode=code") return 4;
  if (test.mode == "mode=hang")
    while (true) std::this_thread::sleep_for(std::chrono::hours(1));
  if (test.mode == "mode=nan") return not_finite(frame), 0;
  everything(frame, test);
  return 0;
}

void destroy(void* decoder) { delete static_cast<Test*>(decoder); }

}  // namespace

const SightglassDecoder* sightglass_decoder(uint32_t) {
  static const SightglassDecoder decoder = {SIGHTGLASS_DECODER_VERSION, "test", create, decode, destroy};
  return &decoder;
}
