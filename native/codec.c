// encode and decode for JavaScript.
#include "codec.h"
#include "pine.h"
#include "codec-args.h"
#include <lz4.h>
#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

#define MAX_EXACT 9007199254740992.0

// Per environment: worker threads of Node share nothing.
typedef struct {
  Pool pool;
  Decoders *decoders;
} State;

typedef struct {
  Task task;
  State *state;
  Encoding encoding;
  const uint8_t *content;
  size_t bytes, consumed;
  Output stored;
} Job;

int get_encoding(napi_env env, const napi_value *args, Encoding *encoding) {
  int32_t codec, params[MAX_PARAMS];
  uint32_t count;
  napi_value item;
  if (!get_int(env, args[0], &codec)) return 0;
  if (napi_get_array_length(env, args[1], &count) != napi_ok) {
    napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "expected an array");
    return 0;
  }
  for (uint32_t i = 0; i < count && i < MAX_PARAMS; i++)
    if (napi_get_element(env, args[1], i, &item) != napi_ok || !get_int(env, item, &params[i])) return 0;
  const char *error = read_encoding(encoding, codec, params, count);
  if (error != NULL) fail(env, "ECODEC", error);
  return error == NULL;
}

int get_content(napi_env env, napi_value value, void **data, size_t *length) {
  if (!get_bytes(env, value, data, length)) return 0;
  if (*length > MAX_BYTES) fail(env, "ECODEC", "more than 256 MiB");
  return *length <= MAX_BYTES;
}

static const char *run_job(Task *task) {
  Job *job = (Job *)task;
  return encode_block(&job->state->pool, &job->encoding, job->content, job->bytes, &job->stored, &job->consumed);
}

// Small ones are not worth a page each.
#define COPIED_BYTES ((size_t)64 << 10)

static void free_output(napi_env env, void *bytes, void *count) {
  int64_t unused;
  free(bytes);
  napi_adjust_external_memory(env, -(int64_t)(uintptr_t)count, &unused);
}

napi_value take_output(napi_env env, Output *output) {
  napi_value buffer;
  int64_t unused;
  if (output->count <= COPIED_BYTES)
    return napi_create_buffer_copy(env, output->count, output->bytes, NULL, &buffer) == napi_ok ? buffer : NULL;
  uint8_t *bytes = realloc(output->bytes, output->count);
  if (bytes == NULL) bytes = output->bytes;
  output->bytes = bytes;
  if (napi_create_external_buffer(env, output->count, bytes, free_output, (void *)(uintptr_t)output->count, &buffer) != napi_ok)
    return NULL;
  napi_adjust_external_memory(env, (int64_t)output->count, &unused);
  output->bytes = NULL;
  return buffer;
}

static napi_value job_result(napi_env env, Task *task) {
  Job *job = (Job *)task;
  napi_value result, consumed, stored = take_output(env, &job->stored);
  if (stored == NULL || napi_create_object(env, &result) != napi_ok ||
      napi_create_double(env, (double)job->consumed, &consumed) != napi_ok)
    return NULL;
  napi_set_named_property(env, result, "stored", stored);
  napi_set_named_property(env, result, "consumed", consumed);
  return result;
}

static void release_job(Task *task) {
  free(((Job *)task)->stored.bytes);
  free(task);
}

static Job *read_job(napi_env env, napi_callback_info info, napi_value *args) {
  Encoding encoding;
  void *content;
  size_t bytes;
  if (!get_args(env, info, 3, args) || !get_encoding(env, args, &encoding) ||
      !get_content(env, args[2], &content, &bytes))
    return NULL;
  Job *job = calloc(1, sizeof *job);
  if (job == NULL) {
    fail(env, "ENOMEM", OUT_OF_MEMORY);
    return NULL;
  }
  job->task.run = run_job;
  job->task.result = job_result;
  job->task.release = release_job;
  job->state = get_state(env, info);
  job->encoding = encoding;
  job->content = content;
  job->bytes = bytes;
  return job;
}

// encode(codec, params, content): Promise<{stored, consumed}>. The content must not change until it resolves.
static napi_value encode(napi_env env, napi_callback_info info) {
  napi_value args[3];
  Job *job = read_job(env, info, args);
  return job == NULL ? NULL : start_task(env, &job->task, args + 2, 1);
}

// encodeSync(codec, params, content): {stored, consumed}.
static napi_value encode_sync(napi_env env, napi_callback_info info) {
  napi_value args[3], result = NULL;
  Job *job = read_job(env, info, args);
  if (job == NULL) return NULL;
  const char *error = run_job(&job->task);
  if (error != NULL) fail(env, "ECODEC", error);
  else if ((result = job_result(env, &job->task)) == NULL) fail(env, "ENOMEM", OUT_OF_MEMORY);
  release_job(&job->task);
  return result;
}

// encoderBytes(codec, params, contentBytes): see `BlockCodecs.encoderBytes`.
static napi_value encoder_memory(napi_env env, napi_callback_info info) {
  napi_value args[3], count;
  Encoding encoding;
  double content_bytes;
  uint64_t bytes;
  if (!get_args(env, info, 3, args) || !get_encoding(env, args, &encoding)) return NULL;
  if (napi_get_value_double(env, args[2], &content_bytes) != napi_ok || !(content_bytes >= 0 && content_bytes <= MAX_EXACT))
    return fail(env, "ECODEC", "expected a length");
  const char *error = encoder_bytes(&encoding, (uint64_t)content_bytes, &bytes);
  if (error != NULL) return fail(env, "ECODEC", error);
  napi_create_double(env, (double)bytes, &count);
  return count;
}

// decode(codec, stored, into): bytes of content written to `into`.
static napi_value decode(napi_env env, napi_callback_info info) {
  napi_value args[3], count;
  int32_t codec;
  void *stored, *into;
  size_t made;
  Decoding block;
  if (!get_args(env, info, 3, args) || !get_int(env, args[0], &codec) ||
      !get_content(env, args[1], &stored, &block.stored_bytes) || !get_content(env, args[2], &into, &block.into_bytes))
    return NULL;
  block.stored = stored;
  block.into = into;
  State *state = get_state(env, info);
  const char *error = decode_block(state->decoders, codec, block, &made);
  if (error != NULL) return fail(env, "ECODEC", error);
  napi_create_double(env, (double)made, &count);
  return count;
}

// -O2 would not use vectors, as the length is not known.
__attribute__((optimize("O3"))) static void add_bytes(uint8_t *to, const uint8_t *from, size_t bytes) {
  for (size_t i = 0; i < bytes; i++) to[i] = (uint8_t)(to[i] + from[i]);
}

// add(into, difference): each byte of `into` grows by that of `difference`, modulo 256.
static napi_value add(napi_env env, napi_callback_info info) {
  napi_value args[2];
  void *into, *difference;
  size_t bytes, difference_bytes;
  if (!get_args(env, info, 2, args) || !get_bytes(env, args[0], &into, &bytes) ||
      !get_bytes(env, args[1], &difference, &difference_bytes))
    return NULL;
  if (bytes != difference_bytes) return fail(env, "EINVAL", "not of one length");
  add_bytes(into, difference, bytes);
  return undefined_value(env);
}

// versions(): of the libraries inside.
static napi_value versions(napi_env env, napi_callback_info info) {
  const char *found[][2] = {{"zstd", ZSTD_versionString()}, {"zlib", zlibVersion()}, {"lzma", lzma_version_string()}, {"lz4", LZ4_versionString()}};
  napi_value result, text;
  (void)info;
  napi_create_object(env, &result);
  for (size_t i = 0; i < sizeof found / sizeof found[0]; i++) {
    napi_create_string_utf8(env, found[i][1], NAPI_AUTO_LENGTH, &text);
    napi_set_named_property(env, result, found[i][0], text);
  }
  return result;
}

static void free_state(void *data) {
  State *state = data;
  empty_pool(&state->pool);
  free_decoders(state->decoders);
  free(state);
}

void register_codec(napi_env env, napi_value exports) {
  State *state = calloc(1, sizeof *state);
  if (state == NULL) return;
  state->decoders = new_decoders();
  if (state->decoders == NULL) return free(state);
  napi_add_env_cleanup_hook(env, free_state, state);
  define(env, exports, "encode", encode, state);
  define(env, exports, "encodeSync", encode_sync, state);
  define(env, exports, "encoderBytes", encoder_memory, NULL);
  define(env, exports, "decode", decode, state);
  define(env, exports, "add", add, NULL);
  define(env, exports, "versions", versions, NULL);
}
