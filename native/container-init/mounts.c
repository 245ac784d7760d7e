// Makes a slot the root of a mount namespace of its own, with what the container shares among its slots.
#include "mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/** Where the slot is put together, and where it has the old root afterwards. Made by `container init`. */
#define ROOT PINE "/root"
#define OUTER PINE "/outer"

enum { PATH_BYTES = 4096, MAX_MOUNTS = 512 };

/** Mount points of the container, and which of them the slot has already. */
static struct {
  char *paths[MAX_MOUNTS];
  int count;
} outer_mounts;

static const char *in_root(const char *path) {
  static char full[PATH_BYTES];
  snprintf(full, sizeof full, ROOT "%s", path);
  return full;
}

static mode_t type_of(const char *path) {
  struct stat info;
  return lstat(path, &info) == 0 ? info.st_mode & S_IFMT : 0;
}

/** Spaces and the like are `\040` in mountinfo. proc_pid_mountinfo(5) */
static void unescape(char *text) {
  char *to = text;
  for (; *text != '\0'; text++) {
    if (text[0] == '\\' && text[1] >= '0' && text[1] <= '3' && text[2] != '\0' && text[3] != '\0') {
      *to++ = (text[1] - '0') << 6 | (text[2] - '0') << 3 | (text[3] - '0');
      text += 3;
    } else {
      *to++ = *text;
    }
  }
  *to = '\0';
}

static void read_mounts(void) {
  FILE *file = fopen("/proc/self/mountinfo", "re");
  char *line = NULL, *path = NULL;
  size_t bytes = 0;
  while (outer_mounts.count > 0) free(outer_mounts.paths[--outer_mounts.count]);
  while (file != NULL && outer_mounts.count < MAX_MOUNTS && getline(&line, &bytes, file) > 0) {
    if (sscanf(line, "%*s %*s %*s %*s %ms", &path) != 1) continue;
    unescape(path);
    outer_mounts.paths[outer_mounts.count++] = path;
  }
  free(line);
  if (file != NULL) fclose(file);
}

static bool is_mounted(const char *path) {
  for (int i = 0; i < outer_mounts.count; i++)
    if (strcmp(outer_mounts.paths[i], path) == 0) return true;
  return false;
}

static bool is_below(const char *path, const char *folder) {
  const size_t length = strlen(folder);
  return strncmp(path, folder, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

static bool mount_or_say(const char *from, const char *to, const char *type, unsigned long flags) {
  if (mount(from, to, type, flags, NULL) == 0) return true;
  say(errno, "cannot mount %s on %s", from, to);
  return false;
}

/** With all that is mounted below: a user namespace allows no less. */
static bool bind(const char *from, const char *to) {
  return mount_or_say(from, to, NULL, MS_BIND | MS_REC);
}

/** Read-only where the container may: flags that its host has locked have to stay. */
static void make_read_only(void) {
  struct statvfs info;
  if (statvfs(ROOT, &info) != 0) return;
  const unsigned long kept = info.f_flag & (MS_NOSUID | MS_NODEV | MS_NOEXEC);
  if (mount(NULL, ROOT, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | kept, NULL) != 0) say(errno, "the slot stays writable");
}

/** A folder that all slots share. A release without it, or with a link in its place, does not want it. */
static bool share(const char *path) {
  if (type_of(path) != S_IFDIR || type_of(in_root(path)) != S_IFDIR) return true;
  return bind(path, in_root(path));
}

/** What the host mounted stays; what it left to the init is new. */
static bool keep_or_mount(const char *path, const char *type, bool wanted) {
  if (type_of(in_root(path)) != S_IFDIR) {
    say(0, "the slot has no folder %s", path);
    return false;
  }
  if (is_mounted(path)) return bind(path, in_root(path));
  return mount_or_say(type, in_root(path), type, MS_NOSUID | MS_NODEV) || !wanted;
}

/** The package database must describe the release that runs, not the one that ran when /var was made. */
static bool bind_database(const char *slot, const char *path) {
  char from[PATH_BYTES];
  snprintf(from, sizeof from, "%s%s", slot, path);
  if (type_of(from) != S_IFDIR || type_of(in_root("/var/lib")) != S_IFDIR) return true;
  mkdir(in_root(path), 0755);
  return bind(from, in_root(path));
}

static const char *const SHARED[] = {"/var", "/home", "/root", "/srv", "/tmp", "/dev"};
static const char *const TAKEN[] = {"/proc", "/sys", "/run", PINE};

static bool is_taken(const char *path) {
  for (size_t i = 0; i < sizeof SHARED / sizeof *SHARED; i++)
    if (is_below(path, SHARED[i])) return true;
  for (size_t i = 0; i < sizeof TAKEN / sizeof *TAKEN; i++)
    if (is_below(path, TAKEN[i])) return true;
  return strcmp(path, "/") == 0;
}

/** Volumes and single files that the host put elsewhere. One that the release has no place for must not stop it. */
static void bind_others(void) {
  const char *last = "/";
  for (int i = 0; i < outer_mounts.count; i++) {
    const char *path = outer_mounts.paths[i];
    if (is_taken(path) || (strcmp(last, "/") != 0 && is_below(path, last))) continue;
    const mode_t type = type_of(path);
    if (type != 0 && type == type_of(in_root(path))) {
      if (bind(path, in_root(path))) last = path;
    } else {
      say(0, "the slot has no place for the mount %s", path);
    }
  }
}

/** The script that makes and keeps the slot's /etc: it sees that of the host, and runs with the slot's own programs. */
static bool run_etc(struct side slot, struct side other, const char *now) {
  if (!bind("/etc", ROOT OUTER)) return false;
  const pid_t child = fork();
  if (child == 0) {
    char notes[64], before[64];
    snprintf(notes, sizeof notes, PINE "/etc/%c.%s.host", slot.name, slot.generation);
    snprintf(before, sizeof before, PINE "/etc/%c.%s", other.name, other.generation);
    const char names[][2] = {{slot.name}, {other.name}};
    setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1);
    if (chroot(ROOT) == 0 && chdir("/") == 0)
      execl("/bin/sh", "sh", PINE "/lib/container-etc", names[0], now, notes, "/etc", names[1], before, OUTER, notes, OUTER, (char *)NULL);
    say(errno, "cannot run /bin/sh of the slot");
    _exit(127);
  }
  int status = -1;
  while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
  umount2(ROOT OUTER, MNT_DETACH);
  if (status != 0) say(0, "/etc of the slot cannot be made");
  return status == 0;
}

static bool fill(struct side slot, struct side other) {
  char path[PATH_BYTES], etc[PATH_BYTES];
  snprintf(path, sizeof path, PINE "/slots/%c", slot.name);
  snprintf(etc, sizeof etc, PINE "/etc/%c.%s", slot.name, slot.generation);
  if (!mount_or_say(path, ROOT, NULL, MS_BIND)) return false;
  make_read_only();
  // Not what is mounted below: that is the slot itself.
  if (!mount_or_say(PINE, ROOT PINE, NULL, MS_BIND)) return false;
  for (size_t i = 0; i < sizeof SHARED / sizeof *SHARED; i++)
    if (!share(SHARED[i])) return false;
  if (!keep_or_mount("/proc", "proc", true) || !keep_or_mount("/sys", "sysfs", false)) return false;
  if (!keep_or_mount("/run", "tmpfs", true)) return false;
  if (!run_etc(slot, other, etc) || !bind(etc, in_root("/etc"))) return false;
  if (!bind_database(path, "/var/lib/dpkg") || !bind_database(path, "/var/lib/apk")) return false;
  bind_others();
  return true;
}

/** A root that is no mount point, or that of the kernel itself, cannot be pivoted from. */
static bool change_root(void) {
  if (chdir(ROOT) != 0) return false;
  if (syscall(SYS_pivot_root, ".", "." OUTER) == 0) return chroot(".") == 0 && chdir("/") == 0;
  if (!bind("/", "." OUTER)) return false;
  if (mount(".", "/", NULL, MS_MOVE, NULL) == 0 && chroot(".") == 0 && chdir("/") == 0) return true;
  say(errno, "cannot change the root");
  return false;
}

struct place place_here(void) {
  return (struct place){
      .namespace = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC),
      .root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC),
  };
}

void place_return(struct place place) {
  if (setns(place.namespace, CLONE_NEWNS) != 0 || fchdir(place.root) != 0 || chroot(".") != 0)
    say(errno, "cannot go back to the old root");
}

void place_forget(struct place place) {
  if (place.namespace >= 0) close(place.namespace);
  if (place.root >= 0) close(place.root);
}

bool may_mount(void) {
  if (unshare(CLONE_NEWNS) != 0) return false;
  // What the host mounts later still arrives; nothing of ours goes back to it.
  if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) == 0) return true;
  return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

bool enter_slot(struct side slot, struct side other) {
  read_mounts();
  if (!may_mount()) {
    say(errno, "this container may not mount");
    return false;
  }
  return fill(slot, other) && change_root();
}
