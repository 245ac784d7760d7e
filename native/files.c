// Of open files what Node has no call for: cache control, the size of a block device, locks.
#include "pine.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

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

void register_files(napi_env env, napi_value exports) {
  define(env, exports, "fadvise", fadvise, NULL);
  define(env, exports, "deviceBytes", device_bytes, NULL);
  define(env, exports, "tryLock", try_lock, NULL);
}
