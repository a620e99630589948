/* A decoder of one's own in plain C, for the outputs of SSD-like detectors: rows of image, class, score, x1,
 * y1, x2, y2 in 0..1.
 *
 *   cc -shared -fPIC -I <folder of sightglass/> -o ssd_rows.so ssd_rows.c
 *   gst-launch-1.0 filesrc location=street.mp4 ! decodebin ! video_inference model=ssd.onnx \
 *     postprocess="tensor_postproc_user decoder=./ssd_rows.so labels=<person,car> threshold=0.5" ! …
 *
 * Setting config=least-side=0.05 leaves out boxes that are narrower or lower than that.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sightglass/decoder.h"

typedef struct SsdRows {
  float least_side;
} SsdRows;

static void* create(const SightglassDecoderOptions* options, char* error, size_t error_size) {
  SsdRows* self = calloc(1, sizeof *self);
  if (!self) return NULL;
  if (*options->config && sscanf(options->config, "least-side=%f", &self->least_side) != 1) {
    snprintf(error, error_size, "config is least-side=NUMBER, not %s", options->config);
    free(self);
    return NULL;
  }
  return self;
}

static int decode(void* decoder, const SightglassFrame* frame) {
  const SsdRows* self = decoder;
  const SightglassTensor* rows = frame->tensors;
  if (frame->tensor_count != 1 || rows->rank < 2 || rows->shape[rows->rank - 1] != 7 ||
      strcmp(rows->type, "float32") != 0) {
    frame->fail(frame->results, "one float32 output with rows of seven is needed");
    return 1;
  }
  int64_t count = 1;
  for (uint32_t axis = 0; axis + 1 < rows->rank; ++axis) count *= rows->shape[axis];
  for (int64_t i = 0; i < count; ++i) {
    const float* row = (const float*)rows->data + i * 7;
    if (row[0] < 0) break; /* no more objects */
    SightglassObject object = {0};
    object.label_id = (int32_t)row[1];
    object.confidence = row[2];
    object.x = row[3];
    object.y = row[4];
    object.w = row[5] - row[3];
    object.h = row[6] - row[4];
    if (object.w < self->least_side || object.h < self->least_side) continue;
    frame->add_object(frame->results, &object);
  }
  return 0;
}

const SightglassDecoder* sightglass_decoder(uint32_t version) {
  static const SightglassDecoder decoder = {SIGHTGLASS_DECODER_VERSION, "ssd_rows", create, decode, free};
  return version >= SIGHTGLASS_DECODER_VERSION ? &decoder : NULL;
}
