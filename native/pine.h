// Shared by the files of the native core. Each file exports its functions to JavaScript with one register_*().
#ifndef PINE_H
#define PINE_H
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <node_api.h>

// Nothing that is given in one call may be longer.
#define MAX_BYTES ((size_t)256 << 20)
// The last of which every whole number is one in JavaScript.
#define MAX_WHOLE 9007199254740991.0

/** Throws an `Error` with that code; returns NULL, for `return fail(...)`. */
napi_value fail(napi_env env, const char *code, const char *message);
/** The same from errno. */
napi_value fail_errno(napi_env env);
napi_value undefined_value(napi_env env);

// These return 1, or throw a TypeError and return 0.
int get_args(napi_env env, napi_callback_info info, size_t count, napi_value *args);
int get_int(napi_env env, napi_value value, int32_t *number);
int get_whole(napi_env env, napi_value value, int64_t *number);
int get_bytes(napi_env env, napi_value value, void **data, size_t *length);

/** What the function was defined with. */
void *get_state(napi_env env, napi_callback_info info);
void define(napi_env env, napi_value exports, const char *name, napi_callback callback, void *state);

/** Work on a thread of the pool. Starts the struct that holds what is worked on. */
typedef struct Task {
  /** On the thread: touches nothing of JavaScript. Returns NULL or what went wrong, a string that is never freed. */
  const char *(*run)(struct Task *task);
  /** The value that the promise resolves with; NULL when there is no memory for it. */
  napi_value (*result)(napi_env env, struct Task *task);
  /** Frees the struct, last of all. */
  void (*release)(struct Task *task);
  const char *error;
  /** An errno name, for the `code` of the error; NULL for none. */
  const char *code;
  napi_async_work work;
  napi_deferred deferred;
  napi_ref kept[2];
} Task;

/** Queues a task that was made by calloc and returns its promise; `keep` are up to two values that must outlive it. */
napi_value start_task(napi_env env, Task *task, const napi_value *keep, size_t count);

/** On the thread: what `run` returns for errno; sets `code`. */
const char *task_errno(Task *task);

void register_files(napi_env env, napi_value exports);
void register_extents(napi_env env, napi_value exports);
void register_freeze(napi_env env, napi_value exports);
void register_memory(napi_env env, napi_value exports);
void register_codec(napi_env env, napi_value exports);
void register_stream(napi_env env, napi_value exports);
void register_blake3(napi_env env, napi_value exports);
void register_diff(napi_env env, napi_value exports);
void register_adjust(napi_env env, napi_value exports);
#endif
