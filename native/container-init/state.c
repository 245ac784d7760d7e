// GRUB environment blocks, read and changed as GRUB does: src/boot/env-block.ts, vm-tests/lib/grub-save.ts.
#include "boot.h"

#include <string.h>
#include <unistd.h>

static const char SIGNATURE[] = "# GRUB Environment Block\n";
enum { SIGNATURE_BYTES = sizeof SIGNATURE - 1 };
/** Where the payloads are: src/boot/bootstate-area.ts. */
static const off_t OFFSETS[] = {4096, 8192};

/** The first newline that no backslash stands before, or past the end. */
static int end_of_line(const unsigned char *block, int at) {
  while (at < ENV_BYTES && block[at] != '\n') at += block[at] == '\\' ? 2 : 1;
  return at;
}

static bool is_name(const unsigned char *block, int from, int to, const char *name) {
  char found[ENV_BYTES + 1];
  memcpy(found, block + from, to - from);
  found[to - from] = '\0';
  return strcmp(found, name) == 0;
}

/** The value of a variable, "" where there is none. A later one wins. */
static const char *value_of(const unsigned char *block, const char *name, char value[ENV_BYTES]) {
  value[0] = '\0';
  for (int at = SIGNATURE_BYTES; at < ENV_BYTES;) {
    int end = at;
    if (block[at] != '#') {
      const unsigned char *equals = memchr(block + at, '=', ENV_BYTES - at);
      if (equals == NULL) break;
      const int from = equals - block + 1;
      end = end_of_line(block, from);
      if (end >= ENV_BYTES) break;
      if (is_name(block, at, from - 1, name)) {
        int length = 0;
        for (int i = from; i < end; i++) {
          if (block[i] == '\\') i++;
          value[length++] = block[i];
        }
        value[length] = '\0';
      }
    }
    at = end_of_line(block, end) + 1;
  }
  return value;
}

static bool is_number(const char *text) {
  return strlen(text) == GENERATION_CHARS && strspn(text, "0123456789") == GENERATION_CHARS;
}

static void read_number(const unsigned char *block, const char *name, char number[GENERATION_CHARS + 1]) {
  char value[ENV_BYTES];
  value_of(block, name, value);
  strcpy(number, is_number(value) ? value : "00000000");
}

static char read_char(const unsigned char *block, const char *name, const char *allowed, char otherwise) {
  char value[ENV_BYTES];
  value_of(block, name, value);
  return value[0] != '\0' && value[1] == '\0' && strchr(allowed, value[0]) ? value[0] : otherwise;
}

static bool read_copy(struct boot *boot, int copy) {
  char value[ENV_BYTES], end[ENV_BYTES];
  if (pread(boot->file, boot->block, ENV_BYTES, OFFSETS[copy]) != ENV_BYTES) return false;
  if (memcmp(boot->block, SIGNATURE, SIGNATURE_BYTES) != 0) return false;
  if (strcmp(value_of(boot->block, "pine_v", value), "1") != 0) return false;
  if (!is_number(value_of(boot->block, "pine_seq", value))) return false;
  // The last variable repeats the sequence: a torn write has two different ones.
  return strcmp(value_of(boot->block, "pine_end", end), value) == 0;
}

void boot_read(struct boot *boot, int file) {
  char value[ENV_BYTES];
  boot->file = file;
  boot->copy = 0;
  while (boot->copy < 2 && !read_copy(boot, boot->copy)) boot->copy++;
  if (boot->copy == 2) {
    boot->copy = -1;
    memset(boot->block, '#', ENV_BYTES);
  }
  const unsigned char *block = boot->block;
  read_number(block, "pine_seq", boot->sequence);
  boot->order = strcmp(value_of(block, "order", value), "ba") == 0 ? "ba" : "ab";
  boot->next = read_char(block, "next", "abr", '-');
  boot->last = read_char(block, "last", "abr", '-');
  boot->rearms = read_char(block, "rearm", "01234567", '0') - '0';
  for (int slot = 0; slot < 2; slot++) {
    boot->slots[slot].confirmed = read_char(block, slot ? "b_ok" : "a_ok", "1", '0') == '1';
    boot->slots[slot].left = read_char(block, slot ? "b_left" : "a_left", "01234567", '0') - '0';
    read_number(block, slot ? "b_gen" : "a_gen", boot->slots[slot].generation);
  }
}

/** Behind the last variable; 0 where GRUB would call the block broken. */
static int end_of_variables(const unsigned char *block) {
  int end = ENV_BYTES;
  while (end > 0 && block[end - 1] == '#') end--;
  return end > 0 && block[end - 1] == '\n' ? end : 0;
}

/** Replaces a value in place, or adds the variable behind the last one. False where there is no room. */
static bool set(unsigned char *block, const char *name, char value) {
  const int end = end_of_variables(block);
  const int length = strlen(name);
  if (end == 0) return false;
  for (int at = SIGNATURE_BYTES; at + length + 1 < end; at = end_of_line(block, at) + 1) {
    if (memcmp(block + at, name, length) != 0 || block[at + length] != '=') continue;
    const int from = at + length + 1;
    const int to = end_of_line(block, from);
    if (to >= end || ENV_BYTES - end < 1 - (to - from)) return false;
    // Behind what moves up there is nothing but filling.
    memmove(block + from + 1, block + to, end - to);
    if (to > from) memset(block + end - (to - from - 1), '#', to - from - 1);
    block[from] = value;
    return true;
  }
  if (ENV_BYTES - end < length + 3) return false;
  memcpy(block + end, name, length);
  memcpy(block + end + length, (char[]){'=', value, '\n'}, 3);
  return true;
}

bool boot_save(struct boot *boot) {
  unsigned char block[ENV_BYTES];
  if (boot->copy < 0) return false;
  memcpy(block, boot->block, ENV_BYTES);
  const bool fits = set(block, "next", boot->next) && set(block, "a_left", '0' + boot->slots[0].left) &&
                    set(block, "b_left", '0' + boot->slots[1].left) && set(block, "rearm", '0' + boot->rearms) &&
                    set(block, "last", boot->last);
  // All that changes is within one sector: old or new. A torn one has two sequences or the other copy beside it.
  if (!fits || pwrite(boot->file, block, ENV_BYTES, OFFSETS[boot->copy]) != ENV_BYTES) return false;
  if (fdatasync(boot->file) != 0) return false;
  memcpy(boot->block, block, ENV_BYTES);
  return true;
}
