// BLAKE3 for JavaScript: of bytes at once, here or on a thread, and of bytes that arrive in pieces.
#include "blake3.h"
#include "pine.h"

static void hash(const void *input, size_t bytes, size_t lanes, uint8_t digest[BLAKE3_BYTES]) {
  Blake3 hasher;
  blake3_start(&hasher, lanes);
  blake3_update(&hasher, input, bytes);
  blake3_finish(&hasher, digest);
}

static napi_value digest_value(napi_env env, const uint8_t digest[BLAKE3_BYTES]) {
  napi_value buffer;
  return napi_create_buffer_copy(env, BLAKE3_BYTES, digest, NULL, &buffer) == napi_ok ? buffer : NULL;
}

// blake3(bytes): Buffer
static napi_value blake3(napi_env env, napi_callback_info info) {
  napi_value args[1];
  void *input;
  size_t bytes;
  uint8_t digest[BLAKE3_BYTES];
  if (!get_args(env, info, 1, args) || !get_bytes(env, args[0], &input, &bytes)) return NULL;
  hash(input, bytes, BLAKE3_MAX_LANES, digest);
  return digest_value(env, digest);
}

// blake3Lanes(bytes, lanes): Buffer. The code that a lesser CPU runs, so that every machine can test it.
static napi_value blake3_lanes(napi_env env, napi_callback_info info) {
  napi_value args[2];
  void *input;
  size_t bytes;
  int32_t lanes;
  uint8_t digest[BLAKE3_BYTES];
  if (!get_args(env, info, 2, args) || !get_bytes(env, args[0], &input, &bytes) || !get_int(env, args[1], &lanes))
    return NULL;
  hash(input, bytes, lanes > 0 ? (size_t)lanes : 1, digest);
  return digest_value(env, digest);
}

// ---- on a thread

typedef struct {
  Task task;
  const void *input;
  size_t bytes;
  uint8_t digest[BLAKE3_BYTES];
} Job;

static const char *run_job(Task *task) {
  Job *job = (Job *)task;
  hash(job->input, job->bytes, BLAKE3_MAX_LANES, job->digest);
  return NULL;
}

static napi_value job_result(napi_env env, Task *task) { return digest_value(env, ((Job *)task)->digest); }

static void release_job(Task *task) { free(task); }

// blake3Async(bytes): Promise<Buffer>. The bytes must not change until it resolves.
static napi_value blake3_async(napi_env env, napi_callback_info info) {
  napi_value args[1];
  void *input;
  size_t bytes;
  if (!get_args(env, info, 1, args) || !get_bytes(env, args[0], &input, &bytes)) return NULL;
  Job *job = calloc(1, sizeof *job);
  if (job == NULL) return fail(env, "ENOMEM", "out of memory");
  job->task.run = run_job;
  job->task.result = job_result;
  job->task.release = release_job;
  job->input = input;
  job->bytes = bytes;
  return start_task(env, &job->task, args, 1);
}

// ---- in pieces

// Only objects that carry it hold a hasher; anything else would be taken for one.
static const napi_type_tag HASHER_TAG = {0x8f1d6a1f3c5b4e77, 0x9b0e2d7a64c1f035};

static void free_hasher(napi_env env, void *hasher, void *hint) {
  (void)hint;
  int64_t total;
  napi_adjust_external_memory(env, -(int64_t)sizeof(Blake3), &total);
  free(hasher);
}

// createHasher(): an object to give to the two below; freed with it.
static napi_value create_hasher(napi_env env, napi_callback_info info) {
  (void)info;
  napi_value handle;
  Blake3 *hasher = malloc(sizeof *hasher);
  if (hasher == NULL) return fail(env, "ENOMEM", "out of memory");
  blake3_start(hasher, BLAKE3_MAX_LANES);
  if (napi_create_object(env, &handle) == napi_ok &&
      napi_wrap(env, handle, hasher, free_hasher, NULL, NULL) == napi_ok) {
    int64_t total;
    napi_adjust_external_memory(env, sizeof *hasher, &total);
    // From here on the garbage collector frees it, whatever happens.
    return napi_type_tag_object(env, handle, &HASHER_TAG) == napi_ok ? handle : NULL;
  }
  free(hasher);
  return NULL;
}

static Blake3 *get_hasher(napi_env env, napi_value value) {
  bool is_hasher = false;
  void *hasher;
  if (napi_check_object_type_tag(env, value, &HASHER_TAG, &is_hasher) == napi_ok && is_hasher &&
      napi_unwrap(env, value, &hasher) == napi_ok)
    return hasher;
  napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "expected a hasher");
  return NULL;
}

// hasherUpdate(hasher, bytes)
static napi_value hasher_update(napi_env env, napi_callback_info info) {
  napi_value args[2];
  void *input;
  size_t bytes;
  if (!get_args(env, info, 2, args) || !get_bytes(env, args[1], &input, &bytes)) return NULL;
  Blake3 *hasher = get_hasher(env, args[0]);
  if (hasher == NULL) return NULL;
  blake3_update(hasher, input, bytes);
  return undefined_value(env);
}

// hasherDigest(hasher): Buffer, of what it was given so far.
static napi_value hasher_digest(napi_env env, napi_callback_info info) {
  napi_value args[1];
  uint8_t digest[BLAKE3_BYTES];
  if (!get_args(env, info, 1, args)) return NULL;
  Blake3 *hasher = get_hasher(env, args[0]);
  if (hasher == NULL) return NULL;
  blake3_finish(hasher, digest);
  return digest_value(env, digest);
}

void register_blake3(napi_env env, napi_value exports) {
  define(env, exports, "blake3", blake3, NULL);
  define(env, exports, "blake3Lanes", blake3_lanes, NULL);
  define(env, exports, "blake3Async", blake3_async, NULL);
  define(env, exports, "createHasher", create_hasher, NULL);
  define(env, exports, "hasherUpdate", hasher_update, NULL);
  define(env, exports, "hasherDigest", hasher_digest, NULL);
}
