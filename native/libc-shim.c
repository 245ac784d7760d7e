// Debian builds libzstd.a with stack protection and fortified string functions, whose symbols the two C
// libraries name or version differently. Defining them here leaves only symbols undefined that glibc and musl share.
#include <stddef.h>
#include <stdint.h>

void abort(void);
void *memcpy(void *to, const void *from, size_t bytes);
void *memmove(void *to, const void *from, size_t bytes);
void *memset(void *to, int value, size_t bytes);

#define LOCAL __attribute__((visibility("hidden")))

LOCAL __attribute__((noreturn)) void __stack_chk_fail(void) { abort(); }
LOCAL __attribute__((noreturn)) void __stack_chk_fail_local(void) { abort(); }

// x86_64 keeps the guard in the thread block; other CPUs read it from this variable.
#ifndef __x86_64__
LOCAL uintptr_t __stack_chk_guard = (uintptr_t)0x00d1e57ac4a11ea7;
#endif

LOCAL void *__memcpy_chk(void *to, const void *from, size_t bytes, size_t room) {
  if (bytes > room) abort();
  return memcpy(to, from, bytes);
}

LOCAL void *__memmove_chk(void *to, const void *from, size_t bytes, size_t room) {
  if (bytes > room) abort();
  return memmove(to, from, bytes);
}

LOCAL void *__memset_chk(void *to, int value, size_t bytes, size_t room) {
  if (bytes > room) abort();
  return memset(to, value, bytes);
}

// zstd calls these hooks when anything in the process defines them; ours must stay out of reach.
LOCAL unsigned long long ZSTD_trace_compress_begin(void const *context) { (void)context; return 0; }
LOCAL void ZSTD_trace_compress_end(unsigned long long context, void const *trace) { (void)context; (void)trace; }
LOCAL unsigned long long ZSTD_trace_decompress_begin(void const *context) { (void)context; return 0; }
LOCAL void ZSTD_trace_decompress_end(unsigned long long context, void const *trace) { (void)context; (void)trace; }
