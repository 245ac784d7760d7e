// /sbin/init of a container with two slots. As PID 1 it is the container's loader: src/system/grub.cfg is that of a disk.
#include "exchange.h"
#include "mounts.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/** How long to wait where nothing can be started. */
#ifndef WAIT_SECONDS
#define WAIT_SECONDS 30
#endif

void say(int error, const char *format, ...) {
  char line[1024];
  va_list values;
  va_start(values, format);
  vsnprintf(line, sizeof line, format, values);
  va_end(values);
  dprintf(STDERR_FILENO, "pine-update: %s%s%s\n", line, error ? ": " : "", error ? strerror(error) : "");
}

static void start(const struct boot *boot, char target) {
  say(0, "trying %c", target);
  if (target == 'r') return start_old(boot);
  start_slot(boot, target);
}

/** A host may start an init without any open file. */
static void open_console(void) {
  if (fcntl(STDERR_FILENO, F_GETFD) >= 0) return;
  const int console = open("/dev/console", O_RDWR | O_NOCTTY);
  for (int file = 0; console >= 0 && file <= STDERR_FILENO; file++)
    if (fcntl(file, F_GETFD) < 0) dup2(console, file);
}

int main(int count, char **words) {
  if (getpid() != 1) {
    // "container init" asks what can be done here.
    if (count == 2 && strcmp(words[1], "--may-mount") == 0) return may_mount() ? 0 : 1;
    if (count == 4 && strcmp(words[1], "--exchange") == 0) return exchange_paths(words[2], words[3]);
    // "init 6" in the old system.
    execv(OLD_INIT, words);
    fprintf(stderr, "pine-update: this is the init of a container, not a command\n");
    return count > 1 ? 2 : 1;
  }
  open_console();
  start_undone();
  // Never ends: a container without an init is a container that is off.
  for (;;) {
    static struct boot boot;
    int file = open(PINE "/bootstate", O_RDWR | O_CLOEXEC);
    if (file < 0) file = open(PINE "/bootstate", O_RDONLY | O_CLOEXEC);
    boot_read(&boot, file);
    boot_pass(&boot, start);
    if (file >= 0) close(file);
    say(0, "nothing can be started; next attempt in %d s", WAIT_SECONDS);
    sleep(WAIT_SECONDS);
  }
}
