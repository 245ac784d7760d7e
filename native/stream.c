// Encoders, packers and unpackers for JavaScript: handles that hold a state between calls.
#include "codec-args.h"

enum { STREAM = 0x50495331, UNPACKER = 0x50495532 };

typedef struct {
  uint32_t kind; // other parts of the core have handles too
  int busy;
  Stream *stream;     // NULL when closed
  Unpacker *unpacker; // NULL when closed
} Handle;

typedef struct {
  Task task;
  Handle *handle;
  const uint8_t *content;
  size_t bytes;
  int last;
  Output out;
} Push;

static void close_handle(Handle *handle) {
  if (handle->stream != NULL) handle->stream->close(handle->stream);
  if (handle->unpacker != NULL) handle->unpacker->close(handle->unpacker);
  handle->stream = NULL;
  handle->unpacker = NULL;
}

static void free_handle(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  close_handle(data);
  free(data);
}

static napi_value new_handle(napi_env env, Stream *stream, Unpacker *unpacker) {
  napi_value value;
  Handle made = {unpacker == NULL ? STREAM : UNPACKER, 0, stream, unpacker};
  Handle *handle = malloc(sizeof *handle);
  if (handle != NULL) {
    *handle = made;
    if (napi_create_external(env, handle, free_handle, NULL, &value) == napi_ok) return value;
  }
  close_handle(&made);
  free(handle);
  return fail(env, "ENOMEM", OUT_OF_MEMORY);
}

static Handle *get_handle(napi_env env, napi_value value, uint32_t kind) {
  void *data = NULL;
  napi_valuetype type;
  if (napi_typeof(env, value, &type) == napi_ok && type == napi_external) napi_get_value_external(env, value, &data);
  Handle *handle = data;
  if (handle != NULL && handle->kind == kind) return handle;
  napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "expected a stream");
  return NULL;
}

// ---- streams

// openEncoder(codec, params, contentBytes): a handle. Only for codecs that stream; a length below 0 is unknown.
static napi_value open_encoder(napi_env env, napi_callback_info info) {
  napi_value args[3];
  Encoding encoding;
  int64_t bytes;
  if (!get_args(env, info, 3, args) || !get_encoding(env, args, &encoding)) return NULL;
  if (napi_get_value_int64(env, args[2], &bytes) != napi_ok) return fail(env, "ECODEC", "expected a length");
  if (encoding.codec != ZSTD_MT && encoding.codec != GZIP)
    return fail(env, "ECODEC", "this codec does not stream");
  Stream *stream = encoding.codec == GZIP ? open_gzip(&encoding) : open_zstd_jobs(&encoding, bytes);
  return stream == NULL ? fail(env, "ENOMEM", OUT_OF_MEMORY) : new_handle(env, stream, NULL);
}

// openPacker(kind, level, windowBytes, lc, lp, pb): a handle.
static napi_value pack(napi_env env, napi_callback_info info) {
  napi_value args[6];
  Packing packing;
  Stream *stream;
  if (!get_args(env, info, 6, args) || !get_int(env, args[0], &packing.kind) || !get_int(env, args[1], &packing.level) ||
      !get_int(env, args[2], &packing.window_bytes) || !get_int(env, args[3], &packing.lc) ||
      !get_int(env, args[4], &packing.lp) || !get_int(env, args[5], &packing.pb))
    return NULL;
  const char *error = open_packer(&packing, &stream);
  return error == NULL ? new_handle(env, stream, NULL) : fail(env, "ECODEC", error);
}

static const char *run_push(Task *task) {
  Push *push = (Push *)task;
  return push->handle->stream->push(push->handle->stream, push->content, push->bytes, push->last, &push->out);
}

static napi_value push_result(napi_env env, Task *task) {
  return take_output(env, &((Push *)task)->out);
}

static void release_push(Task *task) {
  Push *push = (Push *)task;
  push->handle->busy = 0;
  // What failed once has lost some of what it was given.
  if (task->error != NULL) close_handle(push->handle);
  free(push->out.bytes);
  free(push);
}

// streamPush(handle, bytes, last): Promise<Buffer>. One at a time; the bytes must not change until it resolves.
static napi_value stream_push(napi_env env, napi_callback_info info) {
  napi_value args[3];
  bool last;
  void *content;
  size_t bytes;
  if (!get_args(env, info, 3, args)) return NULL;
  Handle *handle = get_handle(env, args[0], STREAM);
  if (handle == NULL || !get_content(env, args[1], &content, &bytes)) return NULL;
  if (napi_get_value_bool(env, args[2], &last) != napi_ok) return fail(env, "ECODEC", "expected a boolean");
  if (handle->busy) return fail(env, "EBUSY", "the push before has not ended");
  if (handle->stream == NULL) return fail(env, "ECODEC", "the stream is closed");
  Push *push = calloc(1, sizeof *push);
  if (push == NULL) return fail(env, "ENOMEM", OUT_OF_MEMORY);
  push->task.run = run_push;
  push->task.result = push_result;
  push->task.release = release_push;
  push->handle = handle;
  push->content = content;
  push->bytes = bytes;
  push->last = last;
  handle->busy = 1;
  return start_task(env, &push->task, args, 2);
}

// streamClose(handle): frees what it holds. Not during a push.
static napi_value stream_close(napi_env env, napi_callback_info info) {
  napi_value args[1];
  if (!get_args(env, info, 1, args)) return NULL;
  Handle *handle = get_handle(env, args[0], STREAM);
  if (handle == NULL) return NULL;
  if (handle->busy) return fail(env, "EBUSY", "the push before has not ended");
  close_handle(handle);
  return undefined_value(env);
}

// ---- unpackers

// openUnpacker(kind, windowBytes): a handle.
static napi_value unpack(napi_env env, napi_callback_info info) {
  napi_value args[2];
  int32_t kind, window_bytes;
  Unpacker *unpacker;
  if (!get_args(env, info, 2, args) || !get_int(env, args[0], &kind) || !get_int(env, args[1], &window_bytes)) return NULL;
  const char *error = open_unpacker(kind, window_bytes, &unpacker);
  return error == NULL ? new_handle(env, NULL, unpacker) : fail(env, "ECODEC", error);
}

// unpackerUnpack(handle, packed, into): fills exactly `into` from exactly `packed`.
static napi_value unpacker_unpack(napi_env env, napi_callback_info info) {
  napi_value args[3];
  void *packed, *into;
  Decoding piece;
  if (!get_args(env, info, 3, args)) return NULL;
  Handle *handle = get_handle(env, args[0], UNPACKER);
  if (handle == NULL || !get_content(env, args[1], &packed, &piece.stored_bytes) ||
      !get_content(env, args[2], &into, &piece.into_bytes))
    return NULL;
  if (handle->unpacker == NULL) return fail(env, "ECODEC", "the stream is closed");
  piece.stored = packed;
  piece.into = into;
  const char *error = handle->unpacker->unpack(handle->unpacker, piece);
  return error == NULL ? undefined_value(env) : fail(env, "ECODEC", error);
}

static napi_value unpacker_close(napi_env env, napi_callback_info info) {
  napi_value args[1];
  if (!get_args(env, info, 1, args)) return NULL;
  Handle *handle = get_handle(env, args[0], UNPACKER);
  if (handle == NULL) return NULL;
  close_handle(handle);
  return undefined_value(env);
}

void register_stream(napi_env env, napi_value exports) {
  define(env, exports, "openEncoder", open_encoder, NULL);
  define(env, exports, "openPacker", pack, NULL);
  define(env, exports, "streamPush", stream_push, NULL);
  define(env, exports, "streamClose", stream_close, NULL);
  define(env, exports, "openUnpacker", unpack, NULL);
  define(env, exports, "unpackerUnpack", unpacker_unpack, NULL);
  define(env, exports, "unpackerClose", unpacker_close, NULL);
}
