// The decisions of the container's init without starts: for each record of standard input (both copies, one byte of bits
// for what can be started, one for whether the disk takes writes) what it picks, the tries left, and both copies after.
#define _GNU_SOURCE
#include "../../native/container-init/boot.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static unsigned char can_start;
static jmp_buf started;
static unsigned char picked[2];

static void start(const struct boot *boot, char target) {
  const int bit = target == 'r' ? 2 : target - 'a';
  if (!(can_start & 1 << bit)) return;
  picked[0] = target;
  picked[1] = target == 'r' ? 0 : boot->slots[bit].left;
  longjmp(started, 1);
}

int main(void) {
  unsigned char record[2 * ENV_BYTES + 2];
  const int file = memfd_create("bootstate", 0);
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", file);
  const int read_only = open(path, O_RDONLY);
  while (fread(record, sizeof record, 1, stdin) == 1) {
    static struct boot boot;
    pwrite(file, record, ENV_BYTES, 4096);
    pwrite(file, record + ENV_BYTES, ENV_BYTES, 8192);
    can_start = record[2 * ENV_BYTES];
    memcpy(picked, "-", 2);
    boot_read(&boot, record[2 * ENV_BYTES + 1] ? file : read_only);
    if (setjmp(started) == 0) boot_pass(&boot, start);
    pread(file, record, ENV_BYTES, 4096);
    pread(file, record + ENV_BYTES, ENV_BYTES, 8192);
    fwrite(picked, sizeof picked, 1, stdout);
    fwrite(record, 2 * ENV_BYTES, 1, stdout);
  }
}
