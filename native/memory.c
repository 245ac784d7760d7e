// What keeps a process small that works on a large image.
#include "pine.h"

// Of glibc alone; elsewhere there is nothing to tune.
__attribute__((weak)) int mallopt(int option, int value);
enum { TRIM_THRESHOLD = -1, MMAP_THRESHOLD = -3, ARENA_MAX = -8 };

// Unless told, glibc serves large buffers from its heap once one was freed, and a heap with holes never shrinks: an apply
// then holds three times what it uses.
static void keep_heap_small(void) {
  if (mallopt == NULL) return;
  mallopt(MMAP_THRESHOLD, 128 << 10);
  mallopt(TRIM_THRESHOLD, 256 << 10);
  mallopt(ARENA_MAX, 1);
}

// release(bytes): the memory below goes back now, not when V8 gets to it; the array is empty from then on, and so is each
// other view of the same memory.
static napi_value release(napi_env env, napi_callback_info info) {
  napi_value args[1], memory;
  void *data;
  size_t length;
  if (!get_args(env, info, 1, args) || !get_bytes(env, args[0], &data, &length)) return NULL;
  napi_get_typedarray_info(env, args[0], NULL, NULL, NULL, &memory, NULL);
  if (napi_detach_arraybuffer(env, memory) != napi_ok) return fail(env, "EINVAL", "memory that cannot be released");
  return undefined_value(env);
}

void register_memory(napi_env env, napi_value exports) {
  keep_heap_small();
  define(env, exports, "release", release, NULL);
}
