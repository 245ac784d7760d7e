// The native core: zstd, cache control, device size and file locks, as one plain C addon.
// Node-API version 8 keeps one binary good for Node 20 and later; see README.md for how it links.
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <fcntl.h>
#include <unistd.h>
#include <node_api.h>
#include <zstd.h>
#include <zstd_errors.h>

#define POOL_SIZE 4

// Per environment, so that worker threads never share a zstd context.
typedef struct {
  ZSTD_DCtx *dctx;
  ZSTD_CCtx *idle[POOL_SIZE];
  int idle_count;
} State;

typedef struct {
  State *state;
  ZSTD_CCtx *cctx;
  napi_async_work work;
  napi_deferred deferred;
  napi_ref input_ref;
  const void *input;
  size_t input_bytes;
  void *output;
  size_t result; // bytes written, or a zstd error code
  int level;
} Job;

static napi_value fail(napi_env env, const char *code, const char *message) {
  napi_throw_error(env, code, message);
  return NULL;
}

static napi_value fail_errno(napi_env env) {
  switch (errno) {
    case EBADF: return fail(env, "EBADF", "bad file descriptor");
    case EINTR: return fail(env, "EINTR", "interrupted");
    case EINVAL: return fail(env, "EINVAL", "not possible on this kind of file");
    case ENOLCK: return fail(env, "ENOLCK", "no locks available");
    case ESPIPE: return fail(env, "ESPIPE", "not a file that can seek");
    default: return fail(env, "EIO", "system call failed");
  }
}

static napi_value undefined_value(napi_env env) {
  napi_value value;
  napi_get_undefined(env, &value);
  return value;
}

static int get_args(napi_env env, napi_callback_info info, size_t count, napi_value *args) {
  size_t found = count;
  if (napi_get_cb_info(env, info, &found, args, NULL, NULL) == napi_ok && found >= count) return 1;
  napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "too few arguments");
  return 0;
}

static int get_int(napi_env env, napi_value value, int32_t *number) {
  napi_valuetype type;
  if (napi_typeof(env, value, &type) == napi_ok && type == napi_number &&
      napi_get_value_int32(env, value, number) == napi_ok)
    return 1;
  napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "expected an integer");
  return 0;
}

static int get_bytes(napi_env env, napi_value value, void **data, size_t *length) {
  bool is_typed = false;
  napi_typedarray_type type;
  napi_value buffer;
  size_t offset;
  if (napi_is_typedarray(env, value, &is_typed) == napi_ok && is_typed &&
      napi_get_typedarray_info(env, value, &type, length, data, &buffer, &offset) == napi_ok &&
      type == napi_uint8_array)
    return 1;
  napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "expected a Uint8Array");
  return 0;
}

static State *get_state(napi_env env) {
  void *state = NULL;
  napi_get_instance_data(env, &state);
  return state;
}

// ---- zstd

static napi_value zstd_version(napi_env env, napi_callback_info info) {
  (void)info;
  napi_value text;
  napi_create_string_utf8(env, ZSTD_versionString(), NAPI_AUTO_LENGTH, &text);
  return text;
}

static ZSTD_CCtx *take_context(State *state) {
  return state->idle_count > 0 ? state->idle[--state->idle_count] : ZSTD_createCCtx();
}

static void give_context_back(State *state, ZSTD_CCtx *cctx) {
  if (state->idle_count < POOL_SIZE) state->idle[state->idle_count++] = cctx;
  else ZSTD_freeCCtx(cctx);
}

// Runs on a thread of the pool: touches nothing but its job.
static void run_job(napi_env env, void *data) {
  (void)env;
  Job *job = data;
  ZSTD_CCtx_reset(job->cctx, ZSTD_reset_session_and_parameters);
  ZSTD_CCtx_setParameter(job->cctx, ZSTD_c_compressionLevel, job->level);
  size_t bound = ZSTD_compressBound(job->input_bytes);
  job->output = malloc(bound);
  if (job->output == NULL) {
    job->result = (size_t)-ZSTD_error_memory_allocation;
    return;
  }
  job->result = ZSTD_compress2(job->cctx, job->output, bound, job->input, job->input_bytes);
}

static void reject_with(napi_env env, napi_deferred deferred, const char *message) {
  napi_value text, error;
  napi_create_string_utf8(env, message, NAPI_AUTO_LENGTH, &text);
  napi_create_error(env, NULL, text, &error);
  napi_reject_deferred(env, deferred, error);
}

static void free_job(napi_env env, Job *job) {
  if (job->cctx != NULL) give_context_back(job->state, job->cctx);
  if (job->input_ref != NULL) napi_delete_reference(env, job->input_ref);
  if (job->work != NULL) napi_delete_async_work(env, job->work);
  free(job->output);
  free(job);
}

static void finish_job(napi_env env, napi_status status, void *data) {
  Job *job = data;
  napi_value buffer;
  if (status != napi_ok) reject_with(env, job->deferred, "compression was cancelled");
  else if (ZSTD_isError(job->result)) reject_with(env, job->deferred, ZSTD_getErrorName(job->result));
  else if (napi_create_buffer_copy(env, job->result, job->output, NULL, &buffer) != napi_ok)
    reject_with(env, job->deferred, "out of memory");
  else napi_resolve_deferred(env, job->deferred, buffer);
  free_job(env, job);
}

// compress(bytes, level): Promise<Buffer>. The bytes must not change until it resolves.
static napi_value compress(napi_env env, napi_callback_info info) {
  napi_value args[2], name, promise;
  void *input;
  size_t input_bytes;
  int32_t level;
  if (!get_args(env, info, 2, args) || !get_bytes(env, args[0], &input, &input_bytes) ||
      !get_int(env, args[1], &level))
    return NULL;
  State *state = get_state(env);
  Job *job = calloc(1, sizeof *job);
  if (job == NULL) return fail(env, "ENOMEM", "out of memory");
  job->state = state;
  job->input = input;
  job->input_bytes = input_bytes;
  job->level = level;
  job->cctx = take_context(state);
  napi_create_string_utf8(env, "pine:compress", NAPI_AUTO_LENGTH, &name);
  if (job->cctx == NULL || napi_create_reference(env, args[0], 1, &job->input_ref) != napi_ok ||
      napi_create_async_work(env, NULL, name, run_job, finish_job, job, &job->work) != napi_ok ||
      napi_create_promise(env, &job->deferred, &promise) != napi_ok) {
    free_job(env, job);
    return fail(env, "ENOMEM", "cannot start compression");
  }
  if (napi_queue_async_work(env, job->work) != napi_ok) {
    reject_with(env, job->deferred, "cannot start compression");
    free_job(env, job);
  }
  return promise;
}

// The library may be built with decoders of old formats; only the current one may meet foreign bytes.
static int is_current_frame(const void *input, size_t bytes) {
  static const uint8_t magic[4] = {0x28, 0xb5, 0x2f, 0xfd};
  return bytes >= sizeof magic && memcmp(input, magic, sizeof magic) == 0;
}

// decompress(bytes, into): number of bytes written. Exactly one frame; never writes past `into`.
static napi_value decompress(napi_env env, napi_callback_info info) {
  napi_value args[2], count;
  void *input, *output;
  size_t input_bytes, output_bytes;
  if (!get_args(env, info, 2, args) || !get_bytes(env, args[0], &input, &input_bytes) ||
      !get_bytes(env, args[1], &output, &output_bytes))
    return NULL;
  State *state = get_state(env);
  if (state->dctx == NULL) state->dctx = ZSTD_createDCtx();
  if (state->dctx == NULL) return fail(env, "ENOMEM", "out of memory");
  if (!is_current_frame(input, input_bytes)) return fail(env, "EZSTD", "not a zstd frame");
  if (ZSTD_findFrameCompressedSize(input, input_bytes) != input_bytes)
    return fail(env, "EZSTD", "not exactly one zstd frame");
  ZSTD_DCtx_reset(state->dctx, ZSTD_reset_session_and_parameters);
  size_t result = ZSTD_decompressDCtx(state->dctx, output, output_bytes, input, input_bytes);
  if (ZSTD_isError(result)) return fail(env, "EZSTD", ZSTD_getErrorName(result));
  napi_create_double(env, (double)result, &count);
  return count;
}

// ---- files

// fadvise(fd): the kernel may forget the cached pages of the whole file.
static napi_value fadvise(napi_env env, napi_callback_info info) {
  napi_value args[1];
  int32_t fd;
  if (!get_args(env, info, 1, args) || !get_int(env, args[0], &fd)) return NULL;
  int error = posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
  if (error == 0) return undefined_value(env);
  errno = error;
  return fail_errno(env);
}

// deviceBytes(fd): where the file or block device ends.
static napi_value device_bytes(napi_env env, napi_callback_info info) {
  napi_value args[1], bytes;
  int32_t fd;
  if (!get_args(env, info, 1, args) || !get_int(env, args[0], &fd)) return NULL;
  off_t before = lseek(fd, 0, SEEK_CUR);
  off_t end = before < 0 ? -1 : lseek(fd, 0, SEEK_END);
  if (end < 0 || lseek(fd, before, SEEK_SET) < 0) return fail_errno(env);
  napi_create_int64(env, end, &bytes);
  return bytes;
}

// tryLock(fd): true when this open file now holds the lock, false when another one does.
static napi_value try_lock(napi_env env, napi_callback_info info) {
  napi_value args[1], held;
  int32_t fd;
  if (!get_args(env, info, 1, args) || !get_int(env, args[0], &fd)) return NULL;
  int locked = flock(fd, LOCK_EX | LOCK_NB) == 0;
  if (!locked && errno != EWOULDBLOCK) return fail_errno(env);
  napi_get_boolean(env, locked, &held);
  return held;
}

// ---- the module

static void free_state(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  State *state = data;
  ZSTD_freeDCtx(state->dctx);
  while (state->idle_count > 0) ZSTD_freeCCtx(state->idle[--state->idle_count]);
  free(state);
}

NAPI_MODULE_INIT() {
  static const struct {
    const char *name;
    napi_callback callback;
  } functions[] = {
    {"zstdVersion", zstd_version}, {"compress", compress},    {"decompress", decompress},
    {"fadvise", fadvise},          {"deviceBytes", device_bytes}, {"tryLock", try_lock},
  };
  State *state = calloc(1, sizeof *state);
  if (state == NULL || napi_set_instance_data(env, state, free_state, NULL) != napi_ok)
    return fail(env, "ENOMEM", "cannot set up the native core");
  for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
    napi_value function;
    napi_create_function(env, functions[i].name, NAPI_AUTO_LENGTH, functions[i].callback, NULL, &function);
    napi_set_named_property(env, exports, functions[i].name, function);
  }
  return exports;
}
