// The native core: one plain C addon. This file holds what the others share, and the start of the module.
// Node-API version 8 keeps one binary good for Node 20 and later; see README.md for how it links.
#include "pine.h"
#include <errno.h>

napi_value fail(napi_env env, const char *code, const char *message) {
  napi_throw_error(env, code, message);
  return NULL;
}

static const struct {
  int number;
  const char *code, *message;
} ERRNOS[] = {
  {EBADF, "EBADF", "bad file descriptor"},
  {EBUSY, "EBUSY", "in use"},
  {EDQUOT, "EDQUOT", "quota exceeded"},
  {EFBIG, "EFBIG", "larger than a file can be there"},
  {EINTR, "EINTR", "interrupted"},
  {EINVAL, "EINVAL", "not possible on this kind of file"},
  {ENOLCK, "ENOLCK", "no locks available"},
  {ENOMEM, "ENOMEM", "out of memory"},
  {ENOSPC, "ENOSPC", "no space left on device"},
  {ENOTTY, "ENOTTY", "not possible on this kind of file system"},
  {EOPNOTSUPP, "EOPNOTSUPP", "not possible on this kind of file system"},
  {EPERM, "EPERM", "operation not permitted"},
  {EROFS, "EROFS", "read-only file system"},
  {ESPIPE, "ESPIPE", "not a file that can seek"},
  {ETXTBSY, "ETXTBSY", "the file is in use"},
};

static void describe_errno(int number, const char **code, const char **message) {
  *code = "EIO";
  *message = "system call failed";
  for (size_t i = 0; i < sizeof ERRNOS / sizeof ERRNOS[0]; i++) {
    if (ERRNOS[i].number != number) continue;
    *code = ERRNOS[i].code;
    *message = ERRNOS[i].message;
  }
}

napi_value fail_errno(napi_env env) {
  const char *code, *message;
  describe_errno(errno, &code, &message);
  return fail(env, code, message);
}

const char *task_errno(Task *task) {
  const char *message;
  describe_errno(errno, &task->code, &message);
  return message;
}

static void reject_with(napi_env env, napi_deferred deferred, const char *code, const char *message) {
  napi_value name = NULL, text, error;
  if (code != NULL) napi_create_string_utf8(env, code, NAPI_AUTO_LENGTH, &name);
  napi_create_string_utf8(env, message, NAPI_AUTO_LENGTH, &text);
  napi_create_error(env, name, text, &error);
  napi_reject_deferred(env, deferred, error);
}

napi_value undefined_value(napi_env env) {
  napi_value value;
  napi_get_undefined(env, &value);
  return value;
}

// ---- arguments

int get_args(napi_env env, napi_callback_info info, size_t count, napi_value *args) {
  size_t found = count;
  if (napi_get_cb_info(env, info, &found, args, NULL, NULL) == napi_ok && found >= count) return 1;
  napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "too few arguments");
  return 0;
}

int get_int(napi_env env, napi_value value, int32_t *number) {
  double given;
  if (napi_get_value_double(env, value, &given) == napi_ok && given >= INT32_MIN && given <= INT32_MAX &&
      given == (double)(int32_t)given) {
    *number = (int32_t)given;
    return 1;
  }
  napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "expected an integer");
  return 0;
}

int get_whole(napi_env env, napi_value value, int64_t *number) {
  double given;
  if (napi_get_value_double(env, value, &given) == napi_ok && given >= 0 && given <= MAX_WHOLE &&
      given == (double)(int64_t)given) {
    *number = (int64_t)given;
    return 1;
  }
  napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "expected a whole number");
  return 0;
}

int get_bytes(napi_env env, napi_value value, void **data, size_t *length) {
  // An empty array may have no address; libraries refuse that even for no bytes.
  static uint8_t nothing;
  bool is_typed = false;
  napi_typedarray_type type;
  napi_value buffer;
  size_t offset;
  if (napi_is_typedarray(env, value, &is_typed) == napi_ok && is_typed &&
      napi_get_typedarray_info(env, value, &type, length, data, &buffer, &offset) == napi_ok &&
      type == napi_uint8_array) {
    if (*data == NULL) *data = &nothing;
    return 1;
  }
  napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "expected a Uint8Array");
  return 0;
}

// ---- functions

void *get_state(napi_env env, napi_callback_info info) {
  void *state = NULL;
  napi_get_cb_info(env, info, NULL, NULL, NULL, &state);
  return state;
}

void define(napi_env env, napi_value exports, const char *name, napi_callback callback, void *state) {
  napi_value function;
  if (napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, state, &function) == napi_ok)
    napi_set_named_property(env, exports, name, function);
}

// ---- tasks

static void run_task(napi_env env, void *data) {
  (void)env;
  Task *task = data;
  task->error = task->run(task);
}

static void free_task(napi_env env, Task *task) {
  for (size_t i = 0; i < 2; i++)
    if (task->kept[i] != NULL) napi_delete_reference(env, task->kept[i]);
  if (task->work != NULL) napi_delete_async_work(env, task->work);
  task->release(task);
}

static void finish_task(napi_env env, napi_status status, void *data) {
  Task *task = data;
  if (status != napi_ok) reject_with(env, task->deferred, NULL, "cancelled");
  else if (task->error != NULL) reject_with(env, task->deferred, task->code, task->error);
  else {
    napi_value value = task->result(env, task);
    if (value == NULL) reject_with(env, task->deferred, NULL, "out of memory");
    else napi_resolve_deferred(env, task->deferred, value);
  }
  free_task(env, task);
}

napi_value start_task(napi_env env, Task *task, const napi_value *keep, size_t count) {
  napi_value name, promise = NULL;
  napi_status status = napi_create_string_utf8(env, "pine", NAPI_AUTO_LENGTH, &name);
  for (size_t i = 0; i < count && status == napi_ok; i++)
    status = napi_create_reference(env, keep[i], 1, &task->kept[i]);
  if (status == napi_ok)
    status = napi_create_async_work(env, NULL, name, run_task, finish_task, task, &task->work);
  if (status == napi_ok) status = napi_create_promise(env, &task->deferred, &promise);
  if (status == napi_ok && napi_queue_async_work(env, task->work) == napi_ok) return promise;
  if (promise != NULL) reject_with(env, task->deferred, NULL, "cannot start a thread");
  else fail(env, "ENOMEM", "cannot start a thread");
  free_task(env, task);
  return promise;
}

// ---- the module

NAPI_MODULE_INIT() {
  static void (*const parts[])(napi_env, napi_value) = {
    register_memory, register_files, register_extents, register_freeze, register_codec, register_stream, register_blake3,
    register_diff, register_adjust,
  };
  for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
    parts[i](env, exports);
  return exports;
}
