// Slots of a container that may not mount: what is in its root changes places with what is in a slot.
#include "exchange.h"
#include "settle.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/** Ends well where the child does. */
static bool wait_for(pid_t child) {
  int status = -1;
  while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
  return status == 0;
}

/** In a slot as root: our init in the place of its own, which gets the other name. Links only, nothing is written to a file. */
static bool put_init(void) {
  char folder[PATH_BYTES], target[PATH_BYTES] = "";
  if (chdir("/sbin") != 0 || getcwd(folder, sizeof folder) == NULL) return false;
  if (access("init.pine-old", X_OK) != 0) {
    // An init that cannot be run is not worth an exchange. A second name first: a crash leaves the slot's own init in place.
    if (access("init", X_OK) != 0 || linkat(AT_FDCWD, "init", AT_FDCWD, "init.pine-old", 0) != 0) return false;
  }
  for (const char *at = folder; *at != '\0' && strlen(target) < PATH_BYTES / 2; at++)
    if (*at == '/') strcat(target, "../");
  strcat(target, ".pine/init");
  unlink("init.pine-new");
  return symlink(target, "init.pine-new") == 0 && rename("init.pine-new", "init") == 0;
}

/** In a slot as root: what `put_init` did to it undone, so that it is its commit again, and no more. */
static bool take_init(void) {
  if (chdir("/sbin") != 0) return true;
  unlink("init.pine-new");
  return rename("init.pine-old", "init") == 0 || errno == ENOENT;
}

static bool in_slot_do(char slot, bool (*act)(void)) {
  const pid_t child = fork();
  if (child == 0) _exit(chroot(slot_folder(slot)) == 0 && chdir("/") == 0 && act() ? 0 : 1);
  return wait_for(child);
}

static void take_inits(char at) {
  for (char slot = 'a'; slot <= 'b'; slot++)
    if (slot != at) in_slot_do(slot, take_init);
}

/** The script that makes the /etc of a side, and takes over what was changed in that of the one before. In the root as it is. */
static bool run_etc(const struct journal *journal, struct side target, struct side from) {
  char now[PATH_BYTES], from_etc[PATH_BYTES], host[PATH_BYTES], noted[PATH_BYTES], notes[PATH_BYTES], shipped[PATH_BYTES];
  const struct side last = journal->last;
  etc_of(journal, target, now);
  etc_of(journal, from, from_etc);
  etc_of(journal, last, host);
  snprintf(notes, sizeof notes, PINE "/etc/%c.%s.host", target.name, target.generation);
  snprintf(noted, sizeof noted, PINE "/etc/%c.%s.host", last.name, last.generation);
  snprintf(shipped, sizeof shipped, "%s/etc", slot_folder(target.name));
  const char slot[] = {target.name, '\0'}, other[] = {from.name, '\0'};
  const pid_t child = fork();
  if (child == 0) {
    setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1);
    execl("/bin/sh", "sh", PINE "/lib/container-etc", slot, now, notes, shipped, other, from_etc, host, noted, now, (char *)NULL);
    say(errno, "cannot run /bin/sh");
    _exit(127);
  }
  const bool done = wait_for(child);
  if (!done) say(0, "/etc of %c cannot be made, or brought up to date", target.name);
  // One that is there was good once. The programs are those of a release that may be no good at all.
  return done || access(now, F_OK) == 0;
}

bool is_exchanging(void) {
  return access(PINE "/exchange", F_OK) == 0;
}

static bool is_same(struct side one, struct side other) {
  return one.name == other.name && strcmp(one.generation, other.generation) == 0;
}

static bool leave(struct journal *journal) {
  return journal->at.name == 'r' || (begin(journal, journal->at, 'r') && finish(journal));
}

static bool bring(struct journal *journal, struct side target, struct side from) {
  if (is_same(journal->at, target)) return true;
  if (target.name != 'r' && target.name != journal->at.name && !in_slot_do(target.name, put_init)) {
    say(0, "slot %c has no /sbin/init that can be run", target.name);
    return false;
  }
  // The /etc of another arming: it cannot be made beside that which is at the root.
  if (target.name == journal->at.name && !leave(journal)) return false;
  // Before the side that is at the root is left: a new /etc is made with what ran last, and made whole.
  if (!run_etc(journal, target, from) || !leave(journal)) return false;
  return target.name == 'r' || (begin(journal, target, target.name) && finish(journal));
}

bool exchange(struct side target, struct side from) {
  static struct journal journal;
  if (!read_journal(&journal)) {
    say(0, PINE "/exchange cannot be read: nothing is exchanged");
    return false;
  }
  const bool done = finish(&journal) && bring(&journal, target, from);
  // With one under way the old system's /sbin may be where that of the slot belongs.
  if (journal.with.name == '-') take_inits(journal.at.name);
  if (!done || is_same(journal.last, target)) return done;
  journal.last = target;
  return write_journal(&journal);
}

int exchange_paths(const char *one, const char *other) {
  return swap(one, other) ? 0 : 1;
}
