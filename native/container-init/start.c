// Starts a slot or the old system, and looks after a trial.
#include "exchange.h"
#include "mounts.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/** How long a trial has to give its verdict. Tests are built with less. */
#ifndef DEADLINE_SECONDS
#define DEADLINE_SECONDS 600
#endif

#define DEADLINE PINE "/deadline"
/** `container undo` wants the old system back. */
#define UNDO PINE "/undo"

/** Writes whole: what is there at any moment is the old file or the new one. */
static bool replace(const char *path, const char *text) {
  char partial[256];
  snprintf(partial, sizeof partial, "%s.partial", path);
  const int file = open(partial, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (file < 0) return false;
  const ssize_t length = strlen(text);
  const bool written = write(file, text, length) == length && fsync(file) == 0;
  close(file);
  return written && rename(partial, path) == 0;
}

/** When PID 1 was started, field 22: the name before it may hold spaces. proc_pid_stat(5) */
static unsigned long long start_time(void) {
  char stat[1024] = "";
  unsigned long long ticks = 0;
  const int file = open("/proc/1/stat", O_RDONLY | O_CLOEXEC);
  if (file < 0) return 0;
  const ssize_t length = read(file, stat, sizeof stat - 1);
  close(file);
  const char *behind = length > 0 ? strrchr(stat, ')') : NULL;
  if (behind != NULL)
    sscanf(behind + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu", &ticks);
  return ticks;
}

/** What a kernel would be told. Field 22 of /proc/1/stat makes it of this start and no other. */
static void tell(const struct boot *boot, char target, const char *generation) {
  char line[512];
  const char copy = boot->copy < 0 ? '-' : '0' + boot->copy;
  const int left = target == 'r' ? 0 : boot->slots[target - 'a'].left;
  snprintf(line, sizeof line, "pine.slot=%c pine.left=%d pine.seq=%s pine.gen=%s pine.st=%s pine.init=%llu\n", target, left,
           boot->sequence, generation, copy == '-' ? "none" : (char[]){copy, '\0'}, start_time());
  if (!replace(PINE "/cmdline", line)) say(errno, "cannot write " PINE "/cmdline");
}

/** Without a readable boot state no generation is known; the newest /etc is what ran there last. */
static struct side side_of(const struct boot *boot, char slot) {
  struct side side = {.name = slot};
  strcpy(side.generation, boot->slots[slot - 'a'].generation);
  if (strcmp(side.generation, "00000000") != 0) return side;
  DIR *folder = opendir(PINE "/etc");
  for (struct dirent *entry; folder != NULL && (entry = readdir(folder)) != NULL;) {
    const char *name = entry->d_name;
    if (name[0] != slot || name[1] != '.' || strspn(name + 2, "0123456789") != GENERATION_CHARS) continue;
    if (strlen(name) == 2 + GENERATION_CHARS && strcmp(name + 2, side.generation) > 0) strcpy(side.generation, name + 2);
  }
  if (folder != NULL) closedir(folder);
  return side;
}

/** Whether the slot has an init that this machine can run at all. In a process of its own: links lead within the slot. */
static bool has_init(const char *path) {
  const pid_t child = fork();
  if (child == 0) _exit(chroot(path) == 0 && chdir("/") == 0 && access("/sbin/init", X_OK) == 0 ? 0 : 1);
  int status = -1;
  while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
  return status == 0;
}

/** Ends the container's start as a host would: it is started again, or its init goes down in order. */
static void end_container(void) {
  sync();
  reboot(RB_AUTOBOOT);
  // Not allowed here: what systemd, busybox and sysvinit take for Ctrl-Alt-Del, then for a restart.
  kill(1, SIGINT);
  sleep(60);
  kill(1, SIGTERM);
}

/** A process that ends a trial without a verdict: `confirm` and good health checks remove the file that it looks at. */
static pid_t watch(void) {
  char text[32];
  snprintf(text, sizeof text, "%d\n", DEADLINE_SECONDS);
  if (!replace(DEADLINE, text)) {
    say(errno, "cannot write " DEADLINE "; a trial that hangs must be restarted by the host");
    return -1;
  }
  const pid_t child = fork();
  if (child != 0) return child;
  setsid();
  for (int seconds = 0; seconds < DEADLINE_SECONDS; seconds++) {
    sleep(1);
    if (access(DEADLINE, F_OK) != 0) _exit(0);
  }
  say(0, "no verdict within %d s: ending this trial", DEADLINE_SECONDS);
  end_container();
  _exit(1);
}

static pid_t watch_trial(const struct boot *boot, char slot) {
  if (boot->copy >= 0 && !boot->slots[slot - 'a'].confirmed) return watch();
  unlink(DEADLINE);
  return -1;
}

static void stop_watching(pid_t child) {
  if (child > 0 && kill(child, SIGKILL) == 0) waitpid(child, NULL, 0);
  unlink(DEADLINE);
}

/** What is at the root starts by its other name: the first one is ours on every side. */
static void start_exchanged(const struct boot *boot, struct side slot, struct side other) {
  if (!exchange(slot, other)) return say(0, "slot %c cannot be brought to the root", slot.name);
  tell(boot, slot.name, slot.generation);
  const pid_t watcher = watch_trial(boot, slot.name);
  execl(OLD_INIT, "/sbin/init", (char *)NULL);
  say(errno, "cannot start /sbin/init of slot %c", slot.name);
  stop_watching(watcher);
}

void start_slot(const struct boot *boot, char slot) {
  const struct side side = side_of(boot, slot), other = side_of(boot, slot == 'a' ? 'b' : 'a');
  if (is_exchanging()) return start_exchanged(boot, side, other);
  char path[64];
  snprintf(path, sizeof path, PINE "/slots/%c", slot);
  if (!has_init(path)) return say(0, "slot %c has no /sbin/init that can be run", slot);
  char pine[80];
  snprintf(pine, sizeof pine, "%s" PINE, path);
  mkdir(pine, 0700);
  tell(boot, slot, side.generation);
  const pid_t watcher = watch_trial(boot, slot);
  const struct place here = place_here();
  if (enter_slot(side, other)) {
    execl("/sbin/init", "/sbin/init", (char *)NULL);
    say(errno, "cannot start /sbin/init of slot %c", slot);
  }
  place_return(here);
  place_forget(here);
  stop_watching(watcher);
}

void start_old(const struct boot *boot) {
  const struct side old = {.name = 'r', .generation = "00000000"};
  const bool is_old = !is_exchanging() || exchange(old, old);
  if (access(OLD_INIT, X_OK) != 0) return;
  if (is_old) {
    tell(boot, old.name, old.generation);
  } else {
    // What is at the root is better than nothing, but nobody may take it for the old system.
    say(0, "the old system cannot be brought back to the root");
    unlink(PINE "/cmdline");
  }
  unlink(DEADLINE);
  execl(OLD_INIT, "/sbin/init", (char *)NULL);
  say(errno, "cannot start " OLD_INIT);
}

void start_undone(void) {
  const struct side old = {.name = 'r', .generation = "00000000"};
  if (!is_exchanging() || access(UNDO, F_OK) != 0) return;
  if (!exchange(old, old)) return say(0, "the old system cannot be brought back to the root");
  unlink(PINE "/cmdline");
  if (rename(OLD_INIT, "/sbin/init") != 0) return say(errno, "cannot rename " OLD_INIT);
  sync();
  execl("/sbin/init", "/sbin/init", (char *)NULL);
  say(errno, "cannot start /sbin/init");
}
