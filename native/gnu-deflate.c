// The string matching of GNU gzip: RFC 1951 section 4 with its table sizes and its 64 KiB window. It differs from zlib in
// where blocks end and in what it compares with behind the end of the content.
#include "gnu-deflate.h"
#include <stdlib.h>
#include <string.h>

enum {
  HALF = 32768,
  WINDOW = 2 * HALF,
  MIN_MATCH = 3,
  MAX_MATCH = 258,
  MIN_AHEAD = MAX_MATCH + MIN_MATCH + 1,
  MAX_DISTANCE = HALF - MIN_AHEAD,
  TOO_FAR = 4096, // a copy of three bytes from farther away costs more than three literals
  HASH_SIZE = 32768,
  HASH_SHIFT = 5,
};

typedef struct {
  unsigned good; // a match this long: look at a quarter of the candidates for a better one
  unsigned lazy; // a match this long is taken without a look at the next byte
  unsigned nice; // a match this long ends the search
  unsigned candidates;
} Effort;

// The same as zlib's; up to level 3 without a look at the next byte, and `lazy` is the longest match that is indexed.
static const Effort EFFORTS[10] = {
  {0, 0, 0, 0},      {4, 4, 8, 4},        {4, 5, 16, 8},       {4, 6, 32, 32},       {4, 4, 16, 16},
  {8, 16, 32, 32},   {8, 16, 128, 128},   {8, 32, 128, 256},   {32, 128, 258, 1024}, {32, 258, 258, 4096},
};

struct GnuDeflate {
  GnuBlock *block;
  Effort effort;
  int level;
  const uint8_t *content; // of the push that runs
  size_t content_bytes;
  int is_last;
  unsigned wanted; // bytes of the read that is not complete yet
  int has_begun, has_ended;
  unsigned at, ahead; // where in the window; content read behind it
  long block_start;   // negative once it left the window
  unsigned hash;
  unsigned length, start;              // of the match at `at`
  unsigned before_length, before_start; // of the match one byte earlier
  int is_waiting;                      // the byte before `at` is not written yet
  uint16_t head[HASH_SIZE];            // newest position of a hash; 0: none
  uint16_t older[HALF];                // next older position with the same hash
  uint8_t window[WINDOW + MAX_MATCH + MIN_MATCH]; // GNU gzip compares behind the end of its content, too
};

static void roll(GnuDeflate *s, uint8_t byte) {
  s->hash = ((s->hash << HASH_SHIFT) ^ byte) & (HASH_SIZE - 1);
}

static unsigned insert(GnuDeflate *s) {
  roll(s, s->window[s->at + MIN_MATCH - 1]);
  unsigned newest = s->head[s->hash];
  s->older[s->at % HALF] = (uint16_t)newest;
  s->head[s->hash] = (uint16_t)s->at;
  return newest;
}

static unsigned common_length(const uint8_t *a, const uint8_t *b) {
  unsigned length = 0;
  while (length < MAX_MATCH && a[length] == b[length]) length++;
  return length;
}

// Longer than the match before, or as long as it: the result may reach behind the end of the content.
static unsigned longest_match(GnuDeflate *s, unsigned candidate) {
  const uint8_t *here = s->window + s->at;
  unsigned best = s->before_length;
  unsigned limit = s->at > MAX_DISTANCE ? s->at - MAX_DISTANCE : 0;
  unsigned left = best >= s->effort.good ? s->effort.candidates / 4 : s->effort.candidates;
  do {
    const uint8_t *there = s->window + candidate;
    if (there[best] != here[best] || there[best - 1] != here[best - 1]) continue;
    unsigned length = common_length(here, there);
    if (length <= best) continue;
    s->start = candidate;
    best = length;
    if (length >= s->effort.nice) break;
  } while ((candidate = s->older[candidate % HALF]) > limit && --left != 0);
  return best;
}

static int is_reachable(const GnuDeflate *s, unsigned candidate) {
  return candidate != 0 && s->at - candidate <= MAX_DISTANCE && s->at <= WINDOW - MIN_AHEAD;
}

static void slide(GnuDeflate *s) {
  memcpy(s->window, s->window + HALF, HALF);
  s->start -= HALF;
  s->at -= HALF;
  s->block_start -= HALF;
  for (int i = 0; i < HASH_SIZE; i++) s->head[i] = s->head[i] >= HALF ? s->head[i] - HALF : 0;
  for (int i = 0; i < HALF; i++) s->older[i] = s->older[i] >= HALF ? s->older[i] - HALF : 0;
}

// Continues the read in progress. False when content is missing and more of it will come.
static int read_wanted(GnuDeflate *s) {
  unsigned bytes = s->wanted < s->content_bytes ? s->wanted : (unsigned)s->content_bytes;
  if (bytes > 0) memcpy(s->window + s->at + s->ahead, s->content, bytes);
  s->content += bytes;
  s->content_bytes -= bytes;
  s->ahead += bytes;
  s->wanted -= bytes;
  if (s->wanted > 0 && !s->is_last) return 0;
  s->wanted = 0;
  return 1;
}

// A read always asks for as much as fits; only one that finds nothing ends the content.
static int fill(GnuDeflate *s) {
  while (s->wanted > 0 || (s->ahead < MIN_AHEAD && !s->has_ended)) {
    if (s->wanted == 0) {
      if (s->at >= HALF + MAX_DISTANCE) slide(s);
      s->wanted = WINDOW - s->ahead - s->at;
      if (s->is_last && s->content_bytes == 0) {
        s->wanted = 0;
        s->has_ended = 1;
        memset(s->window + s->at + s->ahead, 0, MIN_MATCH - 1);
        continue;
      }
    }
    if (!read_wanted(s)) return 0;
  }
  return 1;
}

// False when the first read is not complete.
static int begin(GnuDeflate *s) {
  if (!read_wanted(s)) return 0;
  s->has_begun = 1;
  s->has_ended = s->ahead == 0;
  roll(s, s->window[0]);
  roll(s, s->window[1]);
  return 1;
}

static int flush_block(GnuDeflate *s, int last) {
  const uint8_t *content = s->block_start >= 0 ? s->window + s->block_start : NULL;
  int failed = gnu_block_flush(s->block, content, (size_t)((long)s->at - s->block_start), last);
  s->block_start = s->at;
  return failed;
}

static int add(GnuDeflate *s, unsigned distance, unsigned value) {
  int is_full = gnu_block_add(s->block, distance, value);
  return is_full || (s->level > 2 && gnu_block_is_good(s->block, (size_t)((long)s->at - s->block_start)));
}

static void skip_match(GnuDeflate *s, unsigned bytes) {
  for (unsigned i = 0; i < bytes; i++) {
    s->at++;
    insert(s);
  }
}

static int step_greedy(GnuDeflate *s) {
  unsigned candidate = insert(s);
  s->length = 0;
  if (is_reachable(s, candidate)) s->length = longest_match(s, candidate);
  if (s->length > s->ahead) s->length = s->ahead;
  int ends;
  if (s->length < MIN_MATCH) {
    ends = add(s, 0, s->window[s->at]);
    s->ahead--;
    s->at++;
  } else {
    ends = add(s, s->at - s->start, s->length - MIN_MATCH);
    s->ahead -= s->length;
    if (s->length <= s->effort.lazy) {
      skip_match(s, s->length - 1);
      s->at++;
    } else {
      s->at += s->length;
      s->hash = s->window[s->at];
      roll(s, s->window[s->at + 1]);
    }
  }
  return ends ? flush_block(s, 0) : 0;
}

static void find_lazy(GnuDeflate *s) {
  unsigned candidate = insert(s);
  s->before_length = s->length;
  s->before_start = s->start;
  s->length = MIN_MATCH - 1;
  if (s->before_length >= s->effort.lazy || !is_reachable(s, candidate)) return;
  s->length = longest_match(s, candidate);
  if (s->length > s->ahead) s->length = s->ahead;
  if (s->length == MIN_MATCH && s->at - s->start > TOO_FAR) s->length--;
}

static int step_lazy(GnuDeflate *s) {
  find_lazy(s);
  int failed = 0;
  if (s->before_length >= MIN_MATCH && s->length <= s->before_length) {
    int ends = add(s, s->at - 1 - s->before_start, s->before_length - MIN_MATCH);
    s->ahead -= s->before_length - 1;
    skip_match(s, s->before_length - 2);
    s->is_waiting = 0;
    s->length = MIN_MATCH - 1;
    s->at++;
    return ends ? flush_block(s, 0) : 0;
  }
  if (s->is_waiting && add(s, 0, s->window[s->at - 1])) failed = flush_block(s, 0);
  s->is_waiting = 1;
  s->at++;
  s->ahead--;
  return failed;
}

static int finish(GnuDeflate *s) {
  if (s->is_waiting) gnu_block_add(s->block, 0, s->window[s->at - 1]);
  return flush_block(s, 1);
}

GnuDeflate *gnu_deflate_open(int level) {
  GnuDeflate *s = level >= 1 && level <= 9 ? calloc(1, sizeof *s) : NULL;
  if (!s) return NULL;
  s->block = gnu_block_new();
  if (!s->block) {
    free(s);
    return NULL;
  }
  s->level = level;
  s->effort = EFFORTS[level];
  s->wanted = WINDOW;
  s->length = s->before_length = MIN_MATCH - 1;
  return s;
}

void gnu_deflate_close(GnuDeflate *s) {
  if (!s) return;
  gnu_block_free(s->block);
  free(s);
}

int gnu_deflate_push(GnuDeflate *s, const uint8_t *content, size_t bytes, int last) {
  s->content = content;
  s->content_bytes = bytes;
  s->is_last = last;
  if (!s->has_begun && !begin(s)) return 0;
  while (fill(s)) {
    if (s->ahead == 0) return finish(s);
    int failed = s->level > 3 ? step_lazy(s) : step_greedy(s);
    if (failed) return failed;
  }
  return 0;
}

size_t gnu_deflate_take(GnuDeflate *s, const uint8_t **stored) {
  return gnu_block_take(s->block, stored);
}
