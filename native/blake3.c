// BLAKE3, hash mode, 32 bytes out: https://github.com/BLAKE3-team/BLAKE3-specs, sections 2.1 to 2.5.
// Chunks are hashed side by side, one a vector lane; the width is picked when it runs, by what the CPU has.
#include <stdbool.h>
#include <string.h>
#include "blake3.h"

enum { BLOCK_BYTES = 64, CHUNK_BYTES = BLAKE3_CHUNK_BYTES, VALUE_BYTES = BLAKE3_BYTES };
enum { CHUNK_START = 1, CHUNK_END = 2, PARENT = 4, ROOT = 8 };

// Subtrees of at most 2^8 chunks are hashed at once: their chaining values are 8 KiB of stack. Where alignment allows
// small subtrees only, up to 16 chunks are hashed together and counted one by one.
enum { MAX_LEVEL = 8, FEW_CHUNKS = 16 };

#define ALWAYS_INLINE inline __attribute__((always_inline))

static const uint32_t IV[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                               0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

// Of message words, for each round: the permutation of table 2, applied again and again.
static const uint8_t ORDER[7][16] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8},
    {3, 4, 10, 12, 13, 2, 7, 14, 6, 5, 9, 0, 11, 15, 8, 1}, {10, 7, 12, 9, 14, 3, 13, 15, 4, 0, 11, 2, 5, 8, 1, 6},
    {12, 13, 9, 11, 15, 10, 14, 8, 7, 2, 5, 3, 0, 1, 6, 4}, {9, 14, 11, 5, 8, 12, 15, 1, 13, 3, 0, 10, 2, 6, 4, 7},
    {11, 15, 5, 0, 1, 9, 8, 6, 14, 10, 2, 12, 3, 4, 7, 13},
};

// Inputs of equal length: chunks, or the two chaining values under each of several parents.
struct Blake3Batch {
  const uint8_t *input;
  size_t stride; // bytes from one input to the next
  size_t count;
  size_t blocks; // of each input
  uint32_t last_bytes; // that count in the last block; the rest of it is zeros
  uint32_t first_flags;
  uint32_t last_flags;
  uint64_t counter; // of the first input
  bool counts_up;
};

#define LANES 1
#include "blake3-lanes.h"
#define LANES 4
#include "blake3-lanes.h"
#ifdef __x86_64__
#pragma GCC push_options
#pragma GCC target("avx2")
#define LANES 8
#include "blake3-lanes.h"
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl")
#define LANES 16
#include "blake3-lanes.h"
#pragma GCC pop_options
#endif

static const Blake3Kernel ONE = {1, hash_batch_1};

// The widest this CPU has, of at most `lanes`.
static Blake3Kernel pick_kernel(size_t lanes) {
#ifdef __x86_64__
  if (lanes >= 16 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl"))
    return (Blake3Kernel){16, hash_batch_16};
  if (lanes >= 8 && __builtin_cpu_supports("avx2")) return (Blake3Kernel){8, hash_batch_8};
#endif
  return lanes >= 4 ? (Blake3Kernel){4, hash_batch_4} : ONE;
}

// `out` may be where the input is, as the values of parents take the place of their children.
static void hash_batches(Blake3Kernel kernel, Blake3Batch batch, uint8_t *out) {
  for (size_t left = batch.count; left > 0; left -= batch.count) {
    Blake3Kernel one_or_many = left == 1 ? ONE : kernel;
    batch.count = left < one_or_many.lanes ? left : one_or_many.lanes;
    one_or_many.hash(&batch, out);
    batch.input += batch.count * batch.stride;
    batch.counter += batch.counts_up ? batch.count : 0;
    out += batch.count * VALUE_BYTES;
  }
}

// Each two neighbours of `2 * count` values become their parent's value, at the start of `values`.
static void hash_parents(Blake3Kernel kernel, uint8_t *values, size_t count, uint32_t root) {
  Blake3Batch parents = {.input = values, .stride = BLOCK_BYTES, .count = count, .blocks = 1, .last_bytes = BLOCK_BYTES,
                   .first_flags = PARENT, .last_flags = root};
  hash_batches(kernel, parents, values);
}

void blake3_start(Blake3 *hasher, size_t lanes) {
  hasher->kernel = pick_kernel(lanes);
  hasher->chunks = hasher->depth = hasher->buffered = 0;
}

static void hash_chunks(const Blake3 *hasher, const uint8_t *input, size_t count, uint8_t *values) {
  Blake3Batch chunks = {.input = input, .stride = CHUNK_BYTES, .count = count, .blocks = CHUNK_BYTES / BLOCK_BYTES,
                  .last_bytes = BLOCK_BYTES, .first_flags = CHUNK_START, .last_flags = CHUNK_END,
                  .counter = hasher->chunks, .counts_up = true};
  hash_batches(hasher->kernel, chunks, values);
}

// The value on top of the stack is that of 2^level chunks.
static void count_subtree(Blake3 *hasher, unsigned level) {
  hasher->depth++;
  hasher->chunks += (uint64_t)1 << level;
  // As in a binary counter: a carry joins two subtrees of equal size.
  for (uint64_t trees = hasher->chunks >> level; (trees & 1) == 0; trees >>= 1) {
    hasher->depth--;
    hash_parents(ONE, hasher->stack[hasher->depth - 1], 1, 0);
  }
}

static void push_subtree(Blake3 *hasher, const uint8_t *input, unsigned level) {
  uint8_t values[VALUE_BYTES << MAX_LEVEL];
  hash_chunks(hasher, input, (size_t)1 << level, values);
  for (size_t parents = (size_t)1 << level >> 1; parents > 0; parents /= 2)
    hash_parents(hasher->kernel, values, parents, 0);
  memcpy(hasher->stack[hasher->depth], values, VALUE_BYTES);
  count_subtree(hasher, level);
}

static void push_chunks(Blake3 *hasher, const uint8_t *input, size_t count) {
  uint8_t values[VALUE_BYTES * FEW_CHUNKS];
  hash_chunks(hasher, input, count, values);
  for (size_t i = 0; i < count; i++) {
    memcpy(hasher->stack[hasher->depth], values + VALUE_BYTES * i, VALUE_BYTES);
    count_subtree(hasher, 0);
  }
}

// The largest subtree that may start here and leaves something of `bytes` over.
static unsigned next_level(uint64_t chunks, size_t bytes) {
  unsigned level = 0;
  while (level < MAX_LEVEL && (chunks >> level & 1) == 0 && bytes > (size_t)CHUNK_BYTES << (level + 1)) level++;
  return level;
}

// Up to where a larger subtree may start; something of `bytes` is left over.
static size_t count_few(uint64_t chunks, size_t bytes) {
  size_t whole = (bytes - 1) / CHUNK_BYTES, aligned = FEW_CHUNKS - chunks % FEW_CHUNKS;
  return whole < aligned ? whole : aligned;
}

void blake3_update(Blake3 *hasher, const uint8_t *input, size_t bytes) {
  if (hasher->buffered > 0) {
    size_t room = CHUNK_BYTES - hasher->buffered;
    size_t taken = bytes < room ? bytes : room;
    memcpy(hasher->buffer + hasher->buffered, input, taken);
    hasher->buffered += taken;
    input += taken;
    bytes -= taken;
    if (bytes == 0) return;
    push_chunks(hasher, hasher->buffer, 1);
    hasher->buffered = 0;
  }
  while (bytes > CHUNK_BYTES) {
    unsigned level = next_level(hasher->chunks, bytes);
    size_t count = (size_t)1 << level;
    if (count >= FEW_CHUNKS) push_subtree(hasher, input, level);
    else push_chunks(hasher, input, count = count_few(hasher->chunks, bytes));
    input += CHUNK_BYTES * count;
    bytes -= CHUNK_BYTES * count;
  }
  if (bytes > 0) memcpy(hasher->buffer, input, bytes);
  hasher->buffered = bytes;
}

void blake3_finish(Blake3 *hasher, uint8_t out[VALUE_BYTES]) {
  size_t blocks = hasher->buffered == 0 ? 1 : (hasher->buffered + BLOCK_BYTES - 1) / BLOCK_BYTES;
  memset(hasher->buffer + hasher->buffered, 0, blocks * BLOCK_BYTES - hasher->buffered);
  Blake3Batch chunk = {.input = hasher->buffer, .count = 1, .blocks = blocks, .counter = hasher->chunks,
                 .last_bytes = (uint32_t)(hasher->buffered - (blocks - 1) * BLOCK_BYTES),
                 .first_flags = CHUNK_START, .last_flags = CHUNK_END | (hasher->depth == 0 ? ROOT : 0)};
  uint8_t pair[2 * VALUE_BYTES];
  hash_batches(ONE, chunk, pair);
  for (size_t depth = hasher->depth; depth > 0; depth--) {
    memcpy(pair + VALUE_BYTES, pair, VALUE_BYTES);
    memcpy(pair, hasher->stack[depth - 1], VALUE_BYTES);
    hash_parents(ONE, pair, 1, depth == 1 ? ROOT : 0);
  }
  memcpy(out, pair, VALUE_BYTES);
}
