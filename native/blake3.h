// BLAKE3 of bytes that arrive in pieces.
#pragma once
#include <stddef.h>
#include <stdint.h>

enum { BLAKE3_BYTES = 32, BLAKE3_CHUNK_BYTES = 1024, BLAKE3_MAX_DEPTH = 54, BLAKE3_MAX_LANES = 16 };

typedef struct Blake3Batch Blake3Batch;

// Hashes at most `lanes` inputs into as many chaining values.
typedef struct {
  size_t lanes;
  void (*hash)(const Blake3Batch *batch, uint8_t *out);
} Blake3Kernel;

// What was fed so far. The last chunk waits in `buffer`, whole or not: only the end shows that it is the last.
typedef struct {
  Blake3Kernel kernel;
  uint64_t chunks; // that are in `stack`
  size_t depth;
  size_t buffered;
  uint8_t stack[BLAKE3_MAX_DEPTH + 1][BLAKE3_BYTES]; // of whole subtrees, the largest first
  uint8_t buffer[BLAKE3_CHUNK_BYTES];
} Blake3;

// `lanes`: of the vectors, at most; fewer where the CPU has no such vectors.
void blake3_start(Blake3 *hasher, size_t lanes);
void blake3_update(Blake3 *hasher, const uint8_t *input, size_t bytes);
// Changes nothing that counts: more may be fed after it.
void blake3_finish(Blake3 *hasher, uint8_t out[BLAKE3_BYTES]);
