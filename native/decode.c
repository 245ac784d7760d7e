// Stored bytes, which may be anybody's, to content of a known length.
#include "codec.h"
#include <lz4.h>
#include <lzma.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

// Enough for the largest dictionary.
#define XZ_MEMORY_BYTES ((uint64_t)70 << 20)
#define INCOMPLETE "cut short, or longer than what it is decoded into"

struct Decoders {
  ZSTD_DCtx *zstd;
  z_stream zlib;
  int has_zlib;
};

Decoders *new_decoders(void) { return calloc(1, sizeof(Decoders)); }

void free_decoders(Decoders *decoders) {
  if (decoders == NULL) return;
  ZSTD_freeDCtx(decoders->zstd);
  if (decoders->has_zlib) inflateEnd(&decoders->zlib);
  free(decoders);
}

int is_zstd_frame(const void *stored, size_t bytes) {
  static const uint8_t magic[4] = {0x28, 0xb5, 0x2f, 0xfd};
  return bytes >= sizeof magic && memcmp(stored, magic, sizeof magic) == 0;
}

static const char *decode_zstd(Decoders *decoders, Decoding block, size_t *made) {
  if (!is_zstd_frame(block.stored, block.stored_bytes)) return "not a zstd frame";
  if (ZSTD_findFrameCompressedSize(block.stored, block.stored_bytes) != block.stored_bytes)
    return "not exactly one zstd frame";
  if (decoders->zstd == NULL) decoders->zstd = ZSTD_createDCtx();
  if (decoders->zstd == NULL) return OUT_OF_MEMORY;
  ZSTD_DCtx_reset(decoders->zstd, ZSTD_reset_session_and_parameters);
  *made = ZSTD_decompressDCtx(decoders->zstd, block.into, block.into_bytes, block.stored, block.stored_bytes);
  return ZSTD_isError(*made) ? ZSTD_getErrorName(*made) : NULL;
}

static const char *decode_zlib(Decoders *decoders, int window_bits, Decoding block, size_t *made) {
  z_stream *stream = &decoders->zlib;
  int result = decoders->has_zlib ? inflateReset2(stream, window_bits) : inflateInit2(stream, window_bits);
  if (result != Z_OK) return OUT_OF_MEMORY;
  decoders->has_zlib = 1;
  stream->next_in = (Bytef *)block.stored;
  stream->avail_in = (uInt)block.stored_bytes;
  stream->next_out = block.into;
  stream->avail_out = (uInt)block.into_bytes;
  result = inflate(stream, Z_FINISH);
  *made = block.into_bytes - stream->avail_out;
  switch (result) {
    case Z_STREAM_END: return stream->avail_in == 0 ? NULL : "something follows the deflated data";
    case Z_MEM_ERROR: return OUT_OF_MEMORY;
    case Z_BUF_ERROR:
    case Z_OK: return INCOMPLETE;
    default: return "not valid deflated data";
  }
}

static const char *decode_xz(Decoding block, size_t *made) {
  uint64_t memory_bytes = XZ_MEMORY_BYTES;
  size_t consumed = 0;
  *made = 0;
  switch (lzma_stream_buffer_decode(&memory_bytes, 0, NULL, block.stored, &consumed, block.stored_bytes, block.into, made,
                                    block.into_bytes)) {
    case LZMA_OK: return consumed == block.stored_bytes ? NULL : "something follows the xz stream";
    case LZMA_BUF_ERROR: return INCOMPLETE;
    case LZMA_MEM_ERROR: return OUT_OF_MEMORY;
    case LZMA_MEMLIMIT_ERROR: return "the xz dictionary is too large";
    default: return "not a valid xz stream";
  }
}

static const char *lz4_made(int result, size_t *made) {
  *made = result < 0 ? 0 : (size_t)result;
  return result < 0 ? "not a valid lz4 block, or longer than what it is decoded into" : NULL;
}

static const char *decode_lz4(Decoding block, size_t *made) {
  int room = (int)block.into_bytes;
  return lz4_made(LZ4_decompress_safe((const char *)block.stored, (char *)block.into, (int)block.stored_bytes, room), made);
}

// Zeros lie before or behind the block. No block starts with a zero byte: a copy needs something to copy from.
static const char *decode_filled_lz4(Decoding block, size_t *made) {
  while (block.stored_bytes > 0 && *block.stored == 0) {
    block.stored++;
    block.stored_bytes--;
  }
  int room = (int)block.into_bytes;
  return lz4_made(LZ4_decompress_safe_partial((const char *)block.stored, (char *)block.into, (int)block.stored_bytes, room, room), made);
}

const char *decode_block(Decoders *decoders, int32_t codec, Decoding block, size_t *made) {
  switch (codec) {
    case ZSTD:
    case ZSTD_MT: return decode_zstd(decoders, block, made);
    case ZLIB: return decode_zlib(decoders, MAX_WBITS, block, made);
    case DEFLATE:
    case GZIP: return decode_zlib(decoders, -MAX_WBITS, block, made);
    case XZ: return decode_xz(block, made);
    case LZ4:
    case LZ4HC: return decode_lz4(block, made);
    case LZ4HC_FILL: return decode_filled_lz4(block, made);
    default: return "unknown codec";
  }
}
