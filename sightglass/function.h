/* Functions of one's own in a module: a shared object whose code sees every frame of every stream, or does
 * one of the smaller jobs of a module (accept, region, prepare, draw, map).
 *
 *   elements:
 *     - {name: report, type: cppfunc, budget: 10ms, function: {language: cpp, path: report.so, args: {line:
 * 0.5}}}
 *
 * Plain C, so that any language and compiler will do; needs nothing of the library to build or link:
 *
 *   cc -shared -fPIC -o report.so report.c       (in C++: sightglass/frame_function.h; samples/function)
 *
 * The shared object exports one function, sightglass_function(), or another one that `symbol` names; it
 * returns a table. One object is made per element and stream; it is called by one thread at a time, not
 * always the same, in this order:
 *
 *   create → start → (process | apply)* → stop → destroy
 *
 * stop follows even where start has failed. Members of the table that are null do nothing. Coordinates are
 * 0..1 of the picture, x to the right, y down; angles are radians, clockwise.
 *
 * Errors: a function returns other than 0 after it has called `fail` with a line for the user. Exceptions of
 * C++ are taken the same way. Then nothing that it has changed in the frame counts; the frame goes on with
 * the tag error.ELEMENT, or as `on_error` says. The code runs in the process of the module: what crashes it
 * ends the module, and nothing can end a call that does not return.
 *
 * Never unloaded. Structures only grow at their end, within one version; `size` tells what is there.
 */
#ifndef SIGHTGLASS_FUNCTION_H
#define SIGHTGLASS_FUNCTION_H

#include <stddef.h>
#include <stdint.h>

#include "sightglass/decoder.h" /* SightglassKind, SightglassAttribute */

#ifdef __cplusplus
extern "C" {
#endif

#define SIGHTGLASS_FUNCTION_VERSION 1

typedef struct SightglassStreamInfo {
  size_t size;
  const char* source_id;
  const char* codec; /* of the incoming video; "" */
  int64_t epoch;
  int width, height; /* pixels; 0: unknown */
  int framerate_num, framerate_den;
  const char* parameters; /* of the module, for this stream: a JSON object */
} SightglassStreamInfo;

/* An object as it is in the frame. Strings live during the call only. */
typedef struct SightglassRegion {
  size_t size;
  int32_t id, parent; /* -1: none yet, none */
  float x, y, w, h;   /* of the box, before rotation */
  float angle, confidence;
  int32_t label_id; /* index in the labels; -1: none */
  const char* label;
  const char* element; /* that wrote it; null when adding: this one */
  int64_t track;       /* from 1; 0: untracked */
} SightglassRegion;

typedef struct SightglassPlane {
  uint8_t* data;     /* may be written to when the table says so (writes_pixels) */
  int width, height; /* samples */
  size_t stride;     /* bytes from row to row */
} SightglassPlane;

/* One frame, for the time of one call. The functions take `host` first. Objects are named by their index,
 * which stays as it is during the call; -1 names the frame itself. */
typedef struct SightglassFunctionFrame {
  size_t size;
  void* host;

  int64_t pts, duration, seq; /* nanoseconds; -1: unknown */
  int keyframe;
  uint64_t param_revision;
  double queue_fill; /* 0..1 of the stream's queue */

  const char* format; /* of the picture: "NV12", "BGR", …; "" where there is none or it is not wanted */
  int width, height;
  const SightglassPlane* planes;
  uint32_t plane_count;

  uint32_t region_count; /* at the start of the call; those added follow */
  int (*get_region)(void* host, int32_t index, SightglassRegion* region); /* 0: there is one */
  /* Index of the new object, -1 where it cannot be taken. */
  int32_t (*add_region)(void* host, const SightglassRegion* region);
  int (*set_region)(void* host, int32_t index, const SightglassRegion* region); /* all but the id */
  int (*remove_region)(void* host, int32_t index);

  /* The `index`th attribute and the element that wrote it; 0 while there is one. */
  int (*get_attribute)(void* host, int32_t region, uint32_t index, SightglassAttribute* attribute,
                       const char** element);
  /* In place of one of the same name by this element. */
  int (*set_attribute)(void* host, int32_t region, const SightglassAttribute* attribute);
  int (*remove_attribute)(void* host, int32_t region, const char* element, const char* name);

  int (*has_tag)(void* host, const char* tag);
  void (*set_tag)(void* host, const char* tag, int is_set);
  void (*drop)(void* host); /* the frame ends here */
  void (*fail)(void* host, const char* message);
} SightglassFunctionFrame;

typedef struct SightglassFunctionOptions {
  size_t size;
  const char* args;    /* of the description: a JSON object */
  const char* element; /* name of the element */
  const char* source_id;
} SightglassFunctionOptions;

typedef struct SightglassFunction {
  uint32_t version;  /* SIGHTGLASS_FUNCTION_VERSION that it was built with */
  size_t size;       /* of this table */
  const char* name;  /* for messages */
  int pixels;        /* the picture is wanted */
  int writes_pixels; /* … and changed */

  /* An object, or null after a line for the user has been put into `error`. */
  void* (*create)(const SightglassFunctionOptions* options, char* error, size_t error_size);
  void (*destroy)(void* function);

  int (*start)(void* function, const SightglassStreamInfo* stream, char* error, size_t error_size);
  int (*process)(void* function, SightglassFunctionFrame* frame);
  int (*apply)(void* function, const char* parameters, char* error, size_t error_size); /* must not block */
  void (*stop)(void* function, const char* reason);

  /* Whether the frame is let in (of a source) or out: 1, 0, or -1 after fail(). */
  int (*accept)(void* function, SightglassFunctionFrame* frame);
  /* Before a model, per selected object: the box that it is to see. The object keeps its own. */
  int (*region)(void* function, SightglassFunctionFrame* frame, int32_t region, float box[4]);
  /* Per encoded frame, whose picture may be written to. */
  int (*draw)(void* function, SightglassFunctionFrame* frame);
  /* The record as JSON; it calls `give` with what takes its place, or not at all: then it is left out. */
  int (*map)(void* function, const char* record, void (*give)(void* host, const char* record), void* host,
             char* error, size_t error_size);
  /* Before a model, per selected object: the frame's picture is what the model is to see, and may be written
   * to. `region` is the index of the object, -1 where the whole picture is looked at. */
  int (*prepare)(void* function, SightglassFunctionFrame* picture, int32_t region);
} SightglassFunction;

/* The one function that the shared object exports. `version` is the caller's; null: this one cannot work with
 * it. */
#if defined(__GNUC__)
__attribute__((visibility("default")))
#endif
const SightglassFunction*
sightglass_function(uint32_t version);

#ifdef __cplusplus
}
#endif

#endif
