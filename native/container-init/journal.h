#pragma once
#include "boot.h"

enum { MAX_ENTRIES = 48, NAME_BYTES = 64, PATH_BYTES = 128 };

typedef unsigned long long inode;

/** A place in the root and its other one; inode 0: nothing is there. */
struct entry {
  /** Below the root: "usr", "var/lib/dpkg". */
  char name[NAME_BYTES];
  inode root, slot;
};

/** What is at the root of the container, and what is under way. */
struct journal {
  /** The side at the root, before the exchange that is under way. */
  struct side at;
  /** The slot it is with; name `-`: none is under way. */
  struct side with;
  /** The side that is to be at the root when it ends. */
  char to;
  /** The side that was started last. */
  struct side last;
  inode gate;
  /** Of the last exchange. The first is "sbin". */
  struct entry entries[MAX_ENTRIES];
  int count;
};

/** False where there is none, or no whole one. */
bool read_journal(struct journal *journal);
/** On disk, whole, when it is done. */
bool write_journal(const struct journal *journal);

/** All that was written, on disk. */
void flush(void);
/** Tests end the container behind the nth step. */
void count_step(void);
