// DEFLATE blocks (RFC 1951 section 3.2) with GNU gzip's choices: which form, and where symbols are equally frequent, which
// of them gets the shorter code.
#include "gnu-deflate.h"
#include <stdlib.h>
#include <string.h>

enum {
  CAPACITY = 32768,
  LITERALS = 286,
  DISTANCES = 30,
  LENGTHS = 19, // of code lengths
  FIXED_LITERALS = 288,
  MAX_SYMBOLS = FIXED_LITERALS,
  END_OF_BLOCK = 256,
  MAX_BITS = 15,
  MAX_LENGTH_BITS = 7,
};

// One alphabet of a block.
typedef struct {
  unsigned count, limit; // symbols; longest code in bits
  const uint8_t *extra;  // extra bits per symbol
  int last;              // highest symbol with a code
  uint32_t frequency[2 * MAX_SYMBOLS];
  uint8_t bits[MAX_SYMBOLS + 1];
  uint16_t code[MAX_SYMBOLS];
} Alphabet;

// Symbols and inner nodes in a binary heap, the rarest first; ties go to the lower tree, then to heap order.
typedef struct {
  const Alphabet *alphabet;
  int heap[2 * MAX_SYMBOLS + 1];
  int length;
  uint8_t depth[2 * MAX_SYMBOLS];
  uint16_t parent[2 * MAX_SYMBOLS];
  int order[2 * MAX_SYMBOLS]; // as taken from the heap
  int taken;
} Tree;

// Code lengths in their run-length form.
typedef struct {
  uint8_t symbol[LITERALS + DISTANCES];
  uint8_t repeat[LITERALS + DISTANCES];
  int count;
} Runs;

struct GnuBlock {
  uint16_t distance[CAPACITY];
  uint8_t value[CAPACITY];
  unsigned count, copies;
  Alphabet literals, distances, lengths;
  Alphabet fixed_literals, fixed_distances;
  uint8_t *out;
  size_t out_bytes, out_room;
  uint64_t pending;
  unsigned pending_bits;
};

static const uint8_t DISTANCE_EXTRA[DISTANCES] = {0, 0, 0, 0, 1, 1, 2, 2,  3,  3,  4,  4,  5,  5,  6,
                                                  6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13};
static const uint8_t LENGTH_EXTRA[LENGTHS] = {[16] = 2, [17] = 3, [18] = 7};
static const uint8_t LENGTH_ORDER[LENGTHS] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
static const uint8_t LITERAL_EXTRA[FIXED_LITERALS] = {
  [265] = 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5,
};

// Symbol of a copy of value + 3 bytes; `first` becomes the value where its extra bits are 0.
static unsigned length_symbol(unsigned value, unsigned *first) {
  unsigned symbol = 257 + value;
  *first = value;
  if (value == 255) return 285;
  if (value < 8) return symbol;
  unsigned extra = 29 - (unsigned)__builtin_clz(value);
  *first = value >> extra << extra;
  return 257 + 4 * extra + (value >> extra);
}

static unsigned distance_symbol(unsigned distance, unsigned *first) {
  unsigned value = distance - 1;
  *first = value;
  if (value < 4) return value;
  unsigned extra = 30 - (unsigned)__builtin_clz(value);
  *first = value >> extra << extra;
  return 2 * extra + (value >> extra);
}

// RFC 1951 section 3.2.2, with the bits of each code reversed: they are written from the lowest.
static void make_codes(Alphabet *a) {
  unsigned next[MAX_BITS + 2] = {0}, count[MAX_BITS + 1] = {0};
  for (unsigned i = 0; i < a->count; i++) count[a->bits[i]]++;
  count[0] = 0;
  for (int bits = 1; bits <= MAX_BITS; bits++) next[bits + 1] = (next[bits] + count[bits]) << 1;
  for (unsigned i = 0; i < a->count; i++) {
    unsigned code = a->bits[i] ? next[a->bits[i]]++ : 0, reversed = 0;
    for (int bit = 0; bit < a->bits[i]; bit++) reversed |= (code >> bit & 1) << (a->bits[i] - 1 - bit);
    a->code[i] = (uint16_t)reversed;
  }
}

static int is_before(const Tree *t, int a, int b) {
  const uint32_t *frequency = t->alphabet->frequency;
  return frequency[a] < frequency[b] || (frequency[a] == frequency[b] && t->depth[a] <= t->depth[b]);
}

static void sift_down(Tree *t, int at) {
  int node = t->heap[at];
  for (int child = 2 * at; child <= t->length; child = 2 * at) {
    if (child < t->length && is_before(t, t->heap[child + 1], t->heap[child])) child++;
    if (is_before(t, node, t->heap[child])) break;
    t->heap[at] = t->heap[child];
    at = child;
  }
  t->heap[at] = node;
}

// Decoders want two codes at least: symbols that do not occur fill up.
static void collect_symbols(Tree *t, Alphabet *a) {
  a->last = -1;
  for (unsigned i = 0; i < a->count; i++) {
    if (a->frequency[i]) t->heap[++t->length] = a->last = (int)i;
  }
  while (t->length < 2) {
    int symbol = a->last < 2 ? ++a->last : 0;
    a->frequency[symbol] = 1;
    t->heap[++t->length] = symbol;
  }
  for (int at = t->length / 2; at >= 1; at--) sift_down(t, at);
}

static void join_nodes(Tree *t, Alphabet *a) {
  int node = (int)a->count;
  while (t->length >= 2) {
    int one = t->heap[1];
    t->heap[1] = t->heap[t->length--];
    sift_down(t, 1);
    int two = t->heap[1];
    t->order[t->taken++] = one;
    t->order[t->taken++] = two;
    a->frequency[node] = a->frequency[one] + a->frequency[two];
    t->depth[node] = (uint8_t)((t->depth[one] > t->depth[two] ? t->depth[one] : t->depth[two]) + 1);
    t->parent[one] = t->parent[two] = (uint16_t)node;
    t->heap[1] = node++;
    sift_down(t, 1);
  }
}

// Moves codes that are too long: each pair of them takes the place of a shorter code, which becomes one bit longer.
static void shorten(const Tree *t, Alphabet *a, unsigned *count, int too_long) {
  for (; too_long > 0; too_long -= 2) {
    unsigned bits = a->limit - 1;
    while (count[bits] == 0) bits--;
    count[bits]--;
    count[bits + 1] += 2;
    count[a->limit]--;
  }
  int at = 0;
  for (unsigned bits = a->limit; bits != 0; bits--) {
    for (unsigned left = count[bits]; left != 0;) {
      int node = t->order[at++];
      if (node >= (int)a->count) continue;
      a->bits[node] = (uint8_t)bits;
      left--;
    }
  }
}

static void make_lengths(const Tree *t, Alphabet *a) {
  uint8_t bits[2 * MAX_SYMBOLS] = {0};
  unsigned count[MAX_BITS + 1] = {0};
  int too_long = 0;
  memset(a->bits, 0, sizeof a->bits);
  for (int at = t->taken - 1; at >= 0; at--) {
    int node = t->order[at];
    unsigned own = bits[t->parent[node]] + 1u;
    if (own > a->limit) {
      own = a->limit;
      too_long++;
    }
    bits[node] = (uint8_t)own;
    if (node >= (int)a->count) continue;
    a->bits[node] = (uint8_t)own;
    count[own]++;
  }
  if (too_long > 0) shorten(t, a, count, too_long);
}

static size_t cost(const Alphabet *counted, const Alphabet *coded) {
  size_t bits = 0;
  for (unsigned i = 0; i < counted->count; i++) bits += (size_t)counted->frequency[i] * (coded->bits[i] + counted->extra[i]);
  return bits;
}

// Codes for the frequencies. Returns the bits all symbols take with them.
static size_t build(Alphabet *a) {
  Tree t;
  uint32_t real[MAX_SYMBOLS];
  t.alphabet = a;
  t.length = t.taken = 0;
  memset(t.depth, 0, sizeof t.depth);
  memcpy(real, a->frequency, sizeof real);
  collect_symbols(&t, a);
  join_nodes(&t, a);
  make_lengths(&t, a);
  make_codes(a);
  memcpy(a->frequency, real, a->count * sizeof *real);
  return cost(a, a);
}

static void add_run(Runs *runs, unsigned symbol, unsigned repeat) {
  runs->symbol[runs->count] = (uint8_t)symbol;
  runs->repeat[runs->count++] = (uint8_t)repeat;
}

// A run of `count` lengths of `bits`; `is_new` unless the length before was the same.
static void add_lengths(Runs *runs, unsigned bits, unsigned count, int is_new) {
  unsigned least = bits == 0 || !is_new ? 3 : 4;
  if (count < least) {
    while (count-- > 0) add_run(runs, bits, 0);
  } else if (bits != 0) {
    if (is_new) add_run(runs, bits, 0);
    add_run(runs, 16, count - (is_new ? 1 : 0) - 3);
  } else if (count <= 10) {
    add_run(runs, 17, count - 3);
  } else {
    add_run(runs, 18, count - 11);
  }
}

static void collect_runs(Runs *runs, const Alphabet *a) {
  int before = -1;
  for (int at = 0; at <= a->last;) {
    unsigned bits = a->bits[at], count = 1;
    int is_new = before != (int)bits;
    unsigned most = bits == 0 ? 138 : is_new ? 7 : 6;
    while (count < most && at + (int)count <= a->last && a->bits[at + count] == bits) count++;
    add_lengths(runs, bits, count, is_new);
    before = (int)bits;
    at += (int)count;
  }
}

static void put(GnuBlock *b, unsigned value, unsigned bits) {
  b->pending |= (uint64_t)value << b->pending_bits;
  b->pending_bits += bits;
  while (b->pending_bits >= 8) {
    b->out[b->out_bytes++] = (uint8_t)b->pending;
    b->pending >>= 8;
    b->pending_bits -= 8;
  }
}

static void put_to_byte(GnuBlock *b) {
  if (b->pending_bits > 0) put(b, 0, 8 - b->pending_bits);
}

static void put_stored(GnuBlock *b, const uint8_t *content, size_t bytes) {
  put_to_byte(b);
  put(b, (unsigned)bytes, 16);
  put(b, (unsigned)~bytes & 0xffff, 16);
  memcpy(b->out + b->out_bytes, content, bytes);
  b->out_bytes += bytes;
}

static void put_code_lengths(GnuBlock *b, const Runs *runs, int last_length) {
  put(b, (unsigned)b->literals.last + 1 - 257, 5);
  put(b, (unsigned)b->distances.last, 5);
  put(b, (unsigned)last_length + 1 - 4, 4);
  for (int i = 0; i <= last_length; i++) put(b, b->lengths.bits[LENGTH_ORDER[i]], 3);
  for (int i = 0; i < runs->count; i++) {
    unsigned symbol = runs->symbol[i];
    put(b, b->lengths.code[symbol], b->lengths.bits[symbol]);
    put(b, runs->repeat[i], LENGTH_EXTRA[symbol]);
  }
}

static void put_symbols(GnuBlock *b, const Alphabet *literals, const Alphabet *distances) {
  for (unsigned i = 0; i < b->count; i++) {
    unsigned value = b->value[i], distance = b->distance[i], first;
    unsigned symbol = distance ? length_symbol(value, &first) : value;
    put(b, literals->code[symbol], literals->bits[symbol]);
    if (!distance) continue;
    put(b, value - first, LITERAL_EXTRA[symbol]);
    symbol = distance_symbol(distance, &first);
    put(b, distances->code[symbol], distances->bits[symbol]);
    put(b, distance - 1 - first, DISTANCE_EXTRA[symbol]);
  }
  put(b, literals->code[END_OF_BLOCK], literals->bits[END_OF_BLOCK]);
}

static void begin_block(GnuBlock *b) {
  b->count = b->copies = 0;
  memset(b->literals.frequency, 0, sizeof b->literals.frequency);
  memset(b->distances.frequency, 0, sizeof b->distances.frequency);
  memset(b->lengths.frequency, 0, sizeof b->lengths.frequency);
  b->literals.frequency[END_OF_BLOCK] = 1;
}

static int reserve(GnuBlock *b, size_t bytes) {
  if (b->out_room - b->out_bytes >= bytes) return 0;
  size_t room = 2 * b->out_room + bytes;
  uint8_t *out = realloc(b->out, room);
  if (!out) return -1;
  b->out = out;
  b->out_room = room;
  return 0;
}

static void set_alphabet(Alphabet *a, unsigned count, unsigned limit, const uint8_t *extra) {
  a->count = count;
  a->limit = limit;
  a->extra = extra;
}

// RFC 1951 section 3.2.6.
static void set_fixed(GnuBlock *b) {
  set_alphabet(&b->fixed_literals, FIXED_LITERALS, MAX_BITS, LITERAL_EXTRA);
  set_alphabet(&b->fixed_distances, DISTANCES, MAX_BITS, DISTANCE_EXTRA);
  for (int i = 0; i < FIXED_LITERALS; i++) b->fixed_literals.bits[i] = i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8;
  memset(b->fixed_distances.bits, 5, DISTANCES);
  make_codes(&b->fixed_literals);
  make_codes(&b->fixed_distances);
}

GnuBlock *gnu_block_new(void) {
  GnuBlock *b = calloc(1, sizeof *b);
  if (!b) return NULL;
  set_alphabet(&b->literals, LITERALS, MAX_BITS, LITERAL_EXTRA);
  set_alphabet(&b->distances, DISTANCES, MAX_BITS, DISTANCE_EXTRA);
  set_alphabet(&b->lengths, LENGTHS, MAX_LENGTH_BITS, LENGTH_EXTRA);
  set_fixed(b);
  begin_block(b);
  return b;
}

void gnu_block_free(GnuBlock *b) {
  free(b->out);
  free(b);
}

int gnu_block_add(GnuBlock *b, unsigned distance, unsigned value) {
  unsigned first;
  b->distance[b->count] = (uint16_t)distance;
  b->value[b->count++] = (uint8_t)value;
  b->literals.frequency[distance ? length_symbol(value, &first) : value]++;
  if (distance) {
    b->distances.frequency[distance_symbol(distance, &first)]++;
    b->copies++;
  }
  return b->count == CAPACITY - 1;
}

int gnu_block_is_good(const GnuBlock *b, size_t content_bytes) {
  if (b->count % 4096 != 0) return 0;
  size_t bits = 8 * (size_t)b->count;
  for (int i = 0; i < DISTANCES; i++) bits += b->distances.frequency[i] * (5u + DISTANCE_EXTRA[i]);
  return b->copies < b->count / 2 && bits / 8 < content_bytes / 2;
}

static void count_runs(GnuBlock *b, Runs *runs) {
  runs->count = 0;
  collect_runs(runs, &b->literals);
  collect_runs(runs, &b->distances);
  for (int i = 0; i < runs->count; i++) b->lengths.frequency[runs->symbol[i]]++;
}

int gnu_block_flush(GnuBlock *b, const uint8_t *content, size_t bytes, int last) {
  Runs runs;
  size_t made = build(&b->literals) + build(&b->distances);
  count_runs(b, &runs);
  made += build(&b->lengths);
  int last_length = LENGTHS - 1;
  while (last_length >= 3 && b->lengths.bits[LENGTH_ORDER[last_length]] == 0) last_length--;
  made += 3 * ((size_t)last_length + 1) + 5 + 5 + 4;
  size_t fixed = cost(&b->literals, &b->fixed_literals) + cost(&b->distances, &b->fixed_distances);
  size_t made_bytes = (made + 3 + 7) / 8, fixed_bytes = (fixed + 3 + 7) / 8;
  size_t least = fixed_bytes < made_bytes ? fixed_bytes : made_bytes;
  int is_stored = content != NULL && bytes + 4 <= least;
  if (reserve(b, (is_stored ? bytes + 4 : least) + 16)) return -1;
  if (is_stored) {
    put(b, (unsigned)last, 3);
    put_stored(b, content, bytes);
  } else if (fixed_bytes == least) {
    put(b, (1u << 1) + (unsigned)last, 3);
    put_symbols(b, &b->fixed_literals, &b->fixed_distances);
  } else {
    put(b, (2u << 1) + (unsigned)last, 3);
    put_code_lengths(b, &runs, last_length);
    put_symbols(b, &b->literals, &b->distances);
  }
  if (last) put_to_byte(b);
  begin_block(b);
  return 0;
}

size_t gnu_block_take(GnuBlock *b, const uint8_t **stored) {
  size_t bytes = b->out_bytes;
  *stored = b->out;
  b->out_bytes = 0;
  return bytes;
}
