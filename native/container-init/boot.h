// What the parts of the container's init share. docs/containers.md says what it does, src/model/loader.ts how it decides.
#pragma once
#include <stdbool.h>

#define PINE "/.pine"
/** Beside the file that it was, so that a relative link still leads where it did. */
#define OLD_INIT "/sbin/init.pine-old"

enum { ENV_BYTES = 1024, GENERATION_CHARS = 8 };

/** The boot state of one copy, with every value that nobody should write made harmless. */
struct boot {
  /** Of the bootstate file; below 0 where there is none. */
  int file;
  /** The copy that was read, and the only one that is written; -1: neither is usable. */
  int copy;
  unsigned char block[ENV_BYTES];
  char sequence[GENERATION_CHARS + 1];
  /** "ab" or "ba". */
  const char *order;
  /** `a`, `b`, `r` or `-`. */
  char next, last;
  /** 0 to 7. */
  int rearms;
  /** Of slot a and slot b. */
  struct {
    bool confirmed;
    int left;
    char generation[GENERATION_CHARS + 1];
  } slots[2];
};

/** `a`, `b` or `r`, the old system, with the /etc of one arming. That of `r` is 00000000. */
struct side {
  char name;
  char generation[GENERATION_CHARS + 1];
};

/** Reads env0, else env1. */
void boot_read(struct boot *boot, int file);
/** One write of the copy that was read. False where it could not be made; then nothing is counted. */
bool boot_save(struct boot *boot);

/** Starts a target; comes back where it cannot be started. */
typedef void start_function(const struct boot *boot, char target);
/** One pass of the loader: tries what there is, in its order. Comes back where nothing could be started. */
void boot_pass(struct boot *boot, start_function *start);

/** Starts a slot in a mount namespace of its own. */
void start_slot(const struct boot *boot, char slot);
/** Starts the system that was there before. */
void start_old(const struct boot *boot);
/** Starts it without us, now and from now on, where slots are exchanged and `container undo` asks for it. */
void start_undone(void);

/** One line on the console, with the reason of the system where `error` is not 0. */
void say(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));
