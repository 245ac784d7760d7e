#ifndef CODEC_ARGS_H
#define CODEC_ARGS_H
#include "codec.h"
#include "pine.h"

// These return 1, or throw and return 0.

/** From two arguments: the number of the codec, and the array of its params. */
int get_encoding(napi_env env, const napi_value *args, Encoding *encoding);
/** A Uint8Array of at most MAX_BYTES. */
int get_content(napi_env env, napi_value value, void **data, size_t *length);

/** Gives the bytes of an output to JavaScript; NULL without memory. */
napi_value take_output(napi_env env, Output *output);
#endif
