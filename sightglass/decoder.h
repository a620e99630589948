/* Decoders of one's own: a shared object that turns the outputs of a model into objects and attributes, for
 * the element tensor_postproc_user and for `decoder: ./mine.so` in the description of a model.
 *
 *   gst-launch-1.0 … ! object_detect model=mine.onnx \
 *     postprocess="tensor_postproc_user decoder=./mine.so labels=<cup,plate>" ! …
 *
 * Plain C, so that any language and compiler will do; needs nothing of the library to build or link:
 *
 *   cc -shared -fPIC -o mine.so mine.c          (C++ likewise; samples/decoder is one)
 *
 * The shared object exports one function, sightglass_decoder(), which returns a table of functions. Each
 * element creates a decoder of its own and calls it for one frame at a time, not always from the same thread.
 * Coordinates are 0..1 of the model's input, x to the right, y down, wherever the picture came from: what has
 * been cut, scaled and padded is undone later.
 *
 * Errors: decode() returns other than 0 after it has called `fail` with a line for the user; that ends the
 * stream with an error. Exceptions of C++ are taken the same way. A decoder that does not return within the
 * element's time-budget is left alone and not called again; its frame and all later ones go on without its
 * results. Numbers that are not finite are dropped, with what they belong to.
 *
 * Never unloaded. Structures only grow at their end, within one version; the caller's version tells what is
 * there.
 */
#ifndef SIGHTGLASS_DECODER_H
#define SIGHTGLASS_DECODER_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SIGHTGLASS_DECODER_VERSION 1

/* One output of the model, of one sample: dense, outermost axis first, aligned for its type. */
typedef struct SightglassTensor {
  const char* name; /* of the output; "" where it has none */
  const char* type; /* "float32", "float16", "int64", "uint8", "bool", … */
  const void* data;
  const int64_t* shape;
  uint32_t rank;
} SightglassTensor;

/* Strings and arrays need to live during the call only. */
typedef struct SightglassObject {
  float x, y, w, h;  /* of the box, before rotation */
  float angle;       /* radians, clockwise, about its centre */
  float confidence;  /* 0..1 */
  int32_t label_id;  /* index in the labels; -1: none */
  const char* label; /* from a closed list; null: that of label_id */
} SightglassObject;

typedef enum SightglassKind {
  SIGHTGLASS_CLASS = 0, /* text, label_id, confidence */
  SIGHTGLASS_TEXT,      /* text */
  SIGHTGLASS_NUMBER,    /* number */
  SIGHTGLASS_VECTOR,    /* values */
  SIGHTGLASS_KEYPOINTS, /* values: x, y, score of each; -1, -1, 0 where not found */
  SIGHTGLASS_CONTOUR,   /* values: x, y of each point */
  SIGHTGLASS_MASK       /* values: scores 0..1 of cells, rows × columns; box_* is what they cover */
} SightglassKind;

typedef struct SightglassAttribute {
  const char* name;
  SightglassKind kind;
  const char* text; /* null: that of label_id, or none */
  int32_t label_id; /* -1: none */
  float confidence;
  double number;
  const float* values;
  size_t value_count;
  uint32_t rows, columns;           /* of a mask */
  float box_x, box_y, box_w, box_h; /* of a mask; all 0: the whole input */
} SightglassAttribute;

/* One frame, and where its results go. */
typedef struct SightglassFrame {
  const char* model; /* whose outputs they are; "" */
  const SightglassTensor* tensors;
  uint32_t tensor_count;
  float threshold; /* least confidence that is wanted; the element drops the rest */

  void* results; /* to be handed to the functions below */
  /* The number of the object, for its attributes; -1 where it cannot be taken. */
  int32_t (*add_object)(void* results, const SightglassObject* object);
  /* Of an object, or of the whole input where `object` is -1. */
  void (*add_attribute)(void* results, int32_t object, const SightglassAttribute* attribute);
  void (*fail)(void* results, const char* message);
} SightglassFrame;

/* What the element was set to. Lives as long as the decoder. */
typedef struct SightglassDecoderOptions {
  const char* const* labels;
  uint32_t label_count;
  const char* config; /* the property `config` as it is: "KEY=VALUE,…"; "" */
} SightglassDecoderOptions;

typedef struct SightglassDecoder {
  uint32_t version; /* SIGHTGLASS_DECODER_VERSION that it was built with */
  const char* name; /* for messages */
  /* A decoder, or null after a line for the user has been put into `error`. */
  void* (*create)(const SightglassDecoderOptions* options, char* error, size_t error_size);
  int (*decode)(void* decoder, const SightglassFrame* frame); /* 0: done */
  void (*destroy)(void* decoder);
} SightglassDecoder;

/* The one function that the shared object exports. `version` is the caller's; null: this decoder cannot work
 * with it. */
#if defined(__GNUC__)
__attribute__((visibility("default")))
#endif
const SightglassDecoder*
sightglass_decoder(uint32_t version);

#ifdef __cplusplus
}
#endif

#endif
