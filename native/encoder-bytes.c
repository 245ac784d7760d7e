// How much memory an encoder holds beside content and output. A bundle names what an apply needs, so this is never less
// than what is taken.
#define ZSTD_STATIC_LINKING_ONLY
#include "codec.h"
#include <lz4.h>
#include <lz4hc.h>
#include <zstd.h>

#define KIB ((uint64_t)1 << 10)
// Small structs, and what malloc adds.
#define SMALL_BYTES (16 * KIB)
// The cheapest way through one stretch of content, from LZ4HC_compress_optimal() in lz4hc.c: from level 10 on.
#define LZ4HC_OPTIMAL_BYTES (64 * KIB + 64)
#define GZIP_BYTES (512 * KIB)

// zconf.h; a window of 8 bits is made one of 9.
static uint64_t zlib_bytes(int32_t window_bits, int32_t memory_level) {
  if (window_bits < 9) window_bits = 9;
  return ((uint64_t)1 << (window_bits + 2)) + ((uint64_t)1 << (memory_level + 9));
}

static uint64_t zstd_whole_bytes(int32_t level, uint64_t content_bytes) {
  return ZSTD_estimateCCtxSize_usingCParams(ZSTD_getCParams(level, content_bytes, 0));
}

// Content is gathered in a window, of which the end is never touched.
static uint64_t zstd_unsized_bytes(int32_t level, uint64_t content_bytes) {
  ZSTD_compressionParameters params = ZSTD_getCParams(level, 0, 0);
  uint64_t window = (uint64_t)1 << params.windowLog;
  return ZSTD_estimateCStreamSize_usingCParams(params) - (content_bytes < window ? window - content_bytes : 0);
}

typedef uint64_t ForLength(int32_t level, uint64_t content_bytes);

// What a level means changes at these lengths, and shorter content may take more.
static uint64_t worst_length(ForLength *bytes, int32_t level, uint64_t content_bytes) {
  static const uint64_t borders[] = {16 * KIB, 128 * KIB, 256 * KIB};
  // To zstd 0 is a length that nobody knows.
  uint64_t worst = bytes(level, content_bytes == 0 ? 1 : content_bytes);
  for (size_t i = 0; i < sizeof borders / sizeof borders[0] && borders[i] < content_bytes; i++) {
    uint64_t shorter = bytes(level, borders[i]);
    if (shorter > worst) worst = shorter;
  }
  return worst;
}

static uint64_t zstd_bytes(const Encoding *encoding, uint64_t content_bytes) {
  int32_t level = encoding->params[0], unsized = encoding->params[1] & SIZE_UNKNOWN;
  if (encoding->codec == ZSTD)
    return unsized ? zstd_unsized_bytes(level, content_bytes)
                   : worst_length(zstd_whole_bytes, level, content_bytes);
  return unsized ? zstd_jobs_bytes(level, ZSTD_CONTENTSIZE_UNKNOWN) : worst_length(zstd_jobs_bytes, level, content_bytes);
}

const char *encoder_bytes(const Encoding *encoding, uint64_t content_bytes, uint64_t *bytes) {
  const int32_t *params = encoding->params;
  const char *error = NULL;
  *bytes = 0;
  switch (encoding->codec) {
    case ZSTD:
    case ZSTD_MT: *bytes = zstd_bytes(encoding, content_bytes); break;
    case ZLIB: *bytes = zlib_bytes(params[1], 8); break;
    case DEFLATE: *bytes = zlib_bytes(params[1], params[2]); break;
    case XZ: error = xz_encoder_bytes(encoding, content_bytes, bytes); break;
    case LZ4: *bytes = (uint64_t)LZ4_sizeofState(); break;
    case LZ4HC:
    case LZ4HC_FILL: *bytes = (uint64_t)LZ4_sizeofStateHC() + LZ4HC_OPTIMAL_BYTES; break;
    case GZIP: *bytes = GZIP_BYTES; break;
    default: error = "unknown codec";
  }
  *bytes += SMALL_BYTES;
  return error;
}
