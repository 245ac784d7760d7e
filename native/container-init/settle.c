// Exchanges the entries of the root with those of a slot, and ends an exchange that was cut off.
//
// /.pine/slots/x has its own entries, or those of `r` while x is at the root. So every exchange is one of `r` with a slot, and
// from a to b the way is over `r`. /etc changes places with /.pine/etc/x.GENERATION; that of /.pine/slots/x stays as it was
// shipped.
#include "settle.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/** A /sbin with nothing but our init. It is in the root while the others change places: /sbin/init leads to us at any moment. */
#define GATE PINE "/gate/sbin"

enum { RENAME_WITHOUT_REPLACE = 1, RENAME_BOTH = 2 };

/** /sbin is the first, and with /etc the only one that has to be there. */
static const char *const SYSTEM[] = {"sbin", "etc", "bin", "lib", "lib32", "lib64", "libx32", "usr", "opt"};
/** The package database must describe the release that runs. */
static const char *const DATABASES[] = {"var/lib/dpkg", "var/lib/apk"};
/** What all sides share. */
static const char *const SHARED[] = {".",    "..",   ".pine", "var", "home", "root",  "srv",       "tmp",
                                     "dev",  "proc", "sys",   "run", "mnt",  "media", "lost+found"};

#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))

static inode inode_of(const char *path) {
  struct stat info;
  return lstat(path, &info) == 0 ? info.st_ino : 0;
}

const char *slot_folder(char slot) {
  static char path[PATH_BYTES];
  snprintf(path, sizeof path, PINE "/slots/%c", slot);
  return path;
}

static const char *in_root(const char *name) {
  static char path[PATH_BYTES];
  snprintf(path, sizeof path, "/%s", name);
  return path;
}

static const char *in_slot(struct side slot, const char *name) {
  static char path[PATH_BYTES];
  if (strcmp(name, "etc") == 0)
    snprintf(path, sizeof path, PINE "/etc/%c.%s", slot.name, slot.generation);
  else
    snprintf(path, sizeof path, "%s/%s", slot_folder(slot.name), name);
  return path;
}

void etc_of(const struct journal *journal, struct side side, char path[PATH_BYTES]) {
  const struct side at = journal->at;
  const bool is_at_root = side.name == at.name && (side.name == 'r' || strcmp(side.generation, at.generation) == 0);
  strcpy(path, is_at_root ? "/etc" : in_slot(side.name == 'r' ? at : side, "etc"));
}

bool swap(const char *one, const char *other) {
  const bool first = inode_of(one) != 0, second = inode_of(other) != 0;
  if (!first && !second) return true;
  const unsigned flags = first && second ? RENAME_BOTH : RENAME_WITHOUT_REPLACE;
  const char *from = first ? one : other;
  const char *to = first ? other : one;
  if (syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, flags) != 0) {
    say(errno, "cannot exchange %s and %s", one, other);
    return false;
  }
  count_step();
  return true;
}

static inode wanted(const struct journal *journal, int i) {
  return journal->to == journal->at.name ? journal->entries[i].root : journal->entries[i].slot;
}

static bool is_settled(const struct journal *journal) {
  for (int i = 0; i < journal->count; i++)
    if (inode_of(in_root(journal->entries[i].name)) != wanted(journal, i)) return false;
  return inode_of(GATE) == journal->gate;
}

/** The gate in the root, the others, the wanted /sbin. From any point of it, in either direction: all goes by the inodes. */
static bool settle(const struct journal *journal) {
  if (is_settled(journal)) return true;
  const struct side slot = journal->with;
  if (inode_of(in_slot(slot, "sbin")) == journal->gate && !swap(in_slot(slot, "sbin"), GATE)) return false;
  if (inode_of("/sbin") != journal->gate && !swap("/sbin", GATE)) return false;
  for (int i = 1; i < journal->count; i++) {
    const char *name = journal->entries[i].name;
    if (inode_of(in_root(name)) == wanted(journal, i)) continue;
    if (inode_of(in_slot(slot, name)) != wanted(journal, i)) {
      // Somebody else was here. With the gate in the root we are started again, and say so again.
      say(0, "%s is neither in the root nor in slot %c", name, slot.name);
      return false;
    }
    if (!swap(in_root(name), in_slot(slot, name))) return false;
  }
  const bool in_gate = inode_of(GATE) == wanted(journal, 0);
  if (!in_gate && inode_of(in_slot(slot, "sbin")) != wanted(journal, 0)) return false;
  if (!swap("/sbin", in_gate ? GATE : in_slot(slot, "sbin"))) return false;
  if (inode_of(in_slot(slot, "sbin")) == journal->gate && !swap(in_slot(slot, "sbin"), GATE)) return false;
  return is_settled(journal);
}

bool finish(struct journal *journal) {
  if (journal->with.name == '-') return true;
  const char to = journal->to;
  bool done = settle(journal);
  if (!done && to != journal->at.name) {
    journal->to = journal->at.name;
    if (!write_journal(journal) || !settle(journal)) return false;
  } else if (!done) {
    return false;
  }
  flush();
  if (journal->to == 'r')
    journal->at = (struct side){.name = 'r', .generation = "00000000"};
  else
    journal->at = journal->with;
  journal->with.name = '-';
  return write_journal(journal) && journal->at.name == to;
}

static bool is_in(const char *name, const char *const *names, int count) {
  for (int i = 0; i < count; i++)
    if (strcmp(name, names[i]) == 0) return true;
  return false;
}

static bool add(struct journal *journal, const char *name) {
  if (journal->count == MAX_ENTRIES || strlen(name) >= NAME_BYTES || strpbrk(name, " \t\n\v\f\r") != NULL) {
    say(0, "too many names for an exchange, or one that it cannot have: %s", name);
    return false;
  }
  strcpy(journal->entries[journal->count++].name, name);
  return true;
}

/** Whatever a slot has at its top is its own, where it is not what all share. */
static bool list_entries(struct journal *journal, struct side slot) {
  bool good = true;
  journal->count = 0;
  for (int i = 0; i < COUNT(SYSTEM); i++) good = good && add(journal, SYSTEM[i]);
  for (int i = 0; i < COUNT(DATABASES); i++)
    if (inode_of(in_slot(slot, DATABASES[i])) != 0) good = good && add(journal, DATABASES[i]);
  DIR *folder = opendir(slot_folder(slot.name));
  if (folder == NULL) return false;
  for (struct dirent *entry; good && (entry = readdir(folder)) != NULL;) {
    const char *name = entry->d_name;
    if (!is_in(name, SYSTEM, COUNT(SYSTEM)) && !is_in(name, SHARED, COUNT(SHARED))) good = add(journal, name);
  }
  closedir(folder);
  return good;
}

/** Where an entry has no number that tells it from the other side's, or the gate cannot be made, nothing is begun. */
static bool take_inodes(struct journal *journal) {
  journal->gate = inode_of(GATE);
  for (int i = 0; i < journal->count; i++) {
    struct entry *entry = &journal->entries[i];
    entry->root = inode_of(in_root(entry->name));
    entry->slot = inode_of(in_slot(journal->with, entry->name));
    if (entry->root != 0 && entry->root == entry->slot) return false;
    // /sbin and /etc.
    if (i < 2 && (entry->root == 0 || entry->slot == 0)) return false;
  }
  return journal->gate != 0;
}

bool begin(struct journal *journal, struct side slot, char to) {
  mkdir(PINE "/gate", 0700);
  mkdir(GATE, 0755);
  if (symlink("../.pine/init", GATE "/init") != 0 && errno != EEXIST) return false;
  // On its way back a slot takes with it what it came with.
  if (to != 'r' && !list_entries(journal, slot)) return false;
  journal->with = slot;
  journal->to = to;
  if (!take_inodes(journal)) return false;
  flush();
  return write_journal(journal);
}
