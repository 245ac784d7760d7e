// The journal of exchanges, a text. src/model/exchange.ts has the first one, and reads whose entries are at the root.
//
//   pine-exchange 1
//   AT GENERATION WITH GENERATION TO LAST GENERATION GATE
//   NAME ROOT SLOT        one line for each entry, in inodes
//   end
#include "journal.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define JOURNAL PINE "/exchange"

enum { JOURNAL_BYTES = MAX_ENTRIES * (NAME_BYTES + 48) + 256 };

void count_step(void) {
#ifdef FAULTS
  static int count;
  const char *fault = getenv("PINE_FAULT");
  if (fault != NULL && ++count == atoi(fault)) _exit(99);
#endif
}

void flush(void) {
  const int file = open(PINE, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (file < 0 || syncfs(file) != 0) sync();
  if (file >= 0) close(file);
}

static int format(const struct journal *journal, char text[JOURNAL_BYTES]) {
  const struct side *at = &journal->at, *with = &journal->with, *last = &journal->last;
  int length = snprintf(text, JOURNAL_BYTES, "pine-exchange 1\n%c %s %c %s %c %c %s %llu\n", at->name, at->generation, with->name,
                        with->generation, journal->to, last->name, last->generation, journal->gate);
  for (int i = 0; i < journal->count; i++) {
    const struct entry *entry = &journal->entries[i];
    length += snprintf(text + length, JOURNAL_BYTES - length, "%s %llu %llu\n", entry->name, entry->root, entry->slot);
  }
  return length + snprintf(text + length, JOURNAL_BYTES - length, "end\n");
}

bool write_journal(const struct journal *journal) {
  static char text[JOURNAL_BYTES];
  const int length = format(journal, text);
  const int file = open(JOURNAL ".partial", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (file < 0) return false;
  const bool written = write(file, text, length) == length && fsync(file) == 0;
  close(file);
  count_step();
  if (!written || rename(JOURNAL ".partial", JOURNAL) != 0) return false;
  flush();
  count_step();
  return true;
}

static bool is_side(char name, const char *names) {
  return name != '\0' && strchr(names, name) != NULL;
}

static bool read_entries(FILE *file, struct journal *journal) {
  for (journal->count = 0; journal->count < MAX_ENTRIES; journal->count++) {
    struct entry *entry = &journal->entries[journal->count];
    if (fscanf(file, " %63s", entry->name) != 1) return false;
    // With its last line missing it counts as unreadable.
    if (strcmp(entry->name, "end") == 0) return journal->with.name == '-' || journal->count > 0;
    if (fscanf(file, " %llu %llu", &entry->root, &entry->slot) != 2) return false;
  }
  return false;
}

bool read_journal(struct journal *journal) {
  struct side *at = &journal->at, *with = &journal->with, *last = &journal->last;
  FILE *file = fopen(JOURNAL, "re");
  if (file == NULL) return false;
  const int found =
      fscanf(file, "pine-exchange 1 %c %8[0-9] %c %8[0-9] %c %c %8[0-9] %llu", &at->name, at->generation, &with->name,
             with->generation, &journal->to, &last->name, last->generation, &journal->gate);
  const bool good = found == 8 && is_side(at->name, "abr") && is_side(with->name, "ab-") && is_side(journal->to, "abr") &&
                    is_side(last->name, "abr") && read_entries(file, journal);
  fclose(file);
  return good;
}
