// Content to the bytes that a file system or a compressor stores for it.
#include "codec.h"
#include <lz4.h>
#include <lz4hc.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

// A context that grew for a high level is not worth keeping.
#define KEEP_BYTES ((size_t)64 << 20)


typedef struct {
  int32_t least, most;
} Range;

static const struct {
  size_t count;
  Range ranges[MAX_PARAMS];
} LIMITS[CODECS] = {
  [ZSTD] = {2, {{1, 22}, {0, 3}}},
  [ZLIB] = {3, {{0, 9}, {8, 15}, {0, 4}}},
  [DEFLATE] = {4, {{0, 9}, {9, 15}, {1, 9}, {0, 4}}},
  [XZ] = {4, {{0, PRESET_STREAMED | PRESET_EXTREME | 9}, {4096, MAX_DICT_BYTES}, {0, 10}, {0, 7}}},
  [LZ4] = {0, {{0, 0}}},
  [LZ4HC] = {1, {{1, 12}}},
  [LZ4HC_FILL] = {3, {{1, 12}, {64, MAX_LZ4_BYTES}, {0, 1}}},
  [ZSTD_MT] = {2, {{1, 22}, {0, 3}}},
  [GZIP] = {1, {{1, 9}}},
};

const char *read_encoding(Encoding *encoding, int32_t codec, const int32_t *params, size_t count) {
  if (codec < 0 || codec >= CODECS) return "unknown codec";
  if (count != LIMITS[codec].count) return "wrong number of params";
  encoding->codec = codec;
  for (size_t i = 0; i < count; i++) {
    Range range = LIMITS[codec].ranges[i];
    if (params[i] < range.least || params[i] > range.most) return "param out of range";
    encoding->params[i] = params[i];
  }
  if (codec == XZ && (params[0] & ~(PRESET_LEVEL | PRESET_EXTREME | PRESET_STREAMED)) != 0) return "param out of range";
  return NULL;
}

const char *reserve(Output *output, size_t more) {
  if (more <= output->room - output->count) return NULL;
  size_t room = output->count + more;
  if (room < output->room * 2) room = output->room * 2;
  uint8_t *grown = realloc(output->bytes, room);
  if (grown == NULL) return OUT_OF_MEMORY;
  output->bytes = grown;
  output->room = room;
  return NULL;
}

// ---- idle contexts

void *take_idle(_Atomic(void *) *slots) {
  for (int i = 0; i < IDLE; i++) {
    void *context = atomic_exchange(&slots[i], NULL);
    if (context != NULL) return context;
  }
  return NULL;
}

int keep_idle(_Atomic(void *) *slots, void *context) {
  for (int i = 0; i < IDLE; i++) {
    void *empty = NULL;
    if (atomic_compare_exchange_strong(&slots[i], &empty, context)) return 1;
  }
  return 0;
}

void empty_pool(Pool *pool) {
  for (void *context; (context = take_idle(pool->zstd)) != NULL;) ZSTD_freeCCtx(context);
  for (void *context; (context = take_idle(pool->lz4hc)) != NULL;) free(context);
}

// ---- zstd

static const char *zstd_failed(size_t result) { return ZSTD_isError(result) ? ZSTD_getErrorName(result) : NULL; }

// As from a pipe: what is chosen by size is chosen for any size, and the last block may be empty.
static size_t zstd_unsized(ZSTD_CCtx *cctx, ZSTD_outBuffer *out, ZSTD_inBuffer *in) {
  while (in->pos < in->size) {
    size_t result = ZSTD_compressStream2(cctx, out, in, ZSTD_e_continue);
    if (ZSTD_isError(result)) return result;
  }
  return ZSTD_compressStream2(cctx, out, in, ZSTD_e_end);
}

static const char *zstd_with(ZSTD_CCtx *cctx, const Encoding *encoding, ZSTD_inBuffer in, Output *stored) {
  size_t bound = ZSTD_compressBound(in.size) + 64;
  const char *error = reserve(stored, bound);
  if (error != NULL) return error;
  int flags = encoding->params[1];
  ZSTD_CCtx_reset(cctx, ZSTD_reset_session_and_parameters);
  ZSTD_CCtx_setParameter(cctx, ZSTD_c_compressionLevel, encoding->params[0]);
  ZSTD_CCtx_setParameter(cctx, ZSTD_c_checksumFlag, (flags & CHECKSUM) != 0);
  ZSTD_outBuffer out = {stored->bytes + stored->count, bound, 0};
  size_t result;
  if (flags & SIZE_UNKNOWN) result = zstd_unsized(cctx, &out, &in);
  else result = out.pos = ZSTD_compress2(cctx, out.dst, out.size, in.src, in.size);
  if (ZSTD_isError(result)) return zstd_failed(result);
  stored->count += out.pos;
  return NULL;
}

static const char *encode_zstd(Pool *pool, const Encoding *encoding, ZSTD_inBuffer in, Output *stored) {
  ZSTD_CCtx *cctx = take_idle(pool->zstd);
  if (cctx == NULL) cctx = ZSTD_createCCtx();
  if (cctx == NULL) return OUT_OF_MEMORY;
  const char *error = zstd_with(cctx, encoding, in, stored);
  if (ZSTD_sizeof_CCtx(cctx) > KEEP_BYTES || !keep_idle(pool->zstd, cctx)) ZSTD_freeCCtx(cctx);
  return error;
}

static const char *encode_stream(Stream *stream, const uint8_t *content, size_t bytes, Output *stored) {
  if (stream == NULL) return OUT_OF_MEMORY;
  const char *error = stream->push(stream, content, bytes, 1, stored);
  stream->close(stream);
  return error;
}

static Stream *open_zstd_mt(const Encoding *encoding, size_t bytes) {
  return open_zstd_jobs(encoding, encoding->params[1] & SIZE_UNKNOWN ? -1 : (int64_t)bytes);
}

// ---- zlib

static const char *encode_zlib(const Encoding *encoding, const uint8_t *content, size_t bytes, Output *stored) {
  const int32_t *params = encoding->params;
  int raw = encoding->codec == DEFLATE;
  z_stream stream = {0};
  int result = deflateInit2(&stream, params[0], Z_DEFLATED, raw ? -params[1] : params[1], raw ? params[2] : 8,
                            raw ? params[3] : params[2]);
  if (result != Z_OK) return result == Z_MEM_ERROR ? OUT_OF_MEMORY : "not possible with zlib";
  size_t bound = deflateBound(&stream, bytes);
  const char *error = reserve(stored, bound);
  if (error == NULL) {
    stream.next_in = (Bytef *)content;
    stream.avail_in = (uInt)bytes;
    stream.next_out = stored->bytes;
    stream.avail_out = (uInt)bound;
    if (deflate(&stream, Z_FINISH) != Z_STREAM_END) error = "zlib did not finish";
    stored->count = stream.total_out;
  }
  deflateEnd(&stream);
  return error;
}

// ---- lz4

static const char *fill_lz4hc(void *state, const Encoding *encoding, const uint8_t *content, size_t *bytes, Output *stored) {
  int32_t level = encoding->params[0], capacity = encoding->params[1], zeros_behind = encoding->params[2];
  const char *error = reserve(stored, (size_t)capacity);
  if (error != NULL) return error;
  // More cannot fit: a byte of lz4 stands for at most 255 of content.
  size_t most = (size_t)capacity * 256;
  int consumed = (int)(*bytes < most ? *bytes : most);
  int length = LZ4_compress_HC_destSize(state, (const char *)content, (char *)stored->bytes, &consumed, capacity, level);
  if (length <= 0 || consumed <= 0) return "lz4 made nothing";
  size_t rest = (size_t)(capacity - length);
  if (!zeros_behind) memmove(stored->bytes + rest, stored->bytes, (size_t)length);
  memset(stored->bytes + (zeros_behind ? length : 0), 0, rest);
  stored->count = (size_t)capacity;
  *bytes = (size_t)consumed;
  return NULL;
}

static const char *encode_lz4hc(Pool *pool, const Encoding *encoding, const uint8_t *content, size_t *bytes, Output *stored) {
  void *state = take_idle(pool->lz4hc);
  if (state == NULL) state = malloc((size_t)LZ4_sizeofStateHC());
  if (state == NULL) return OUT_OF_MEMORY;
  const char *error;
  if (encoding->codec == LZ4HC_FILL) error = fill_lz4hc(state, encoding, content, bytes, stored);
  else {
    int bound = LZ4_compressBound((int)*bytes);
    error = reserve(stored, (size_t)bound);
    if (error == NULL)
      stored->count = (size_t)LZ4_compress_HC_extStateHC(state, (const char *)content, (char *)stored->bytes, (int)*bytes, bound, encoding->params[0]);
    if (error == NULL && stored->count == 0) error = "lz4 made nothing";
  }
  if (!keep_idle(pool->lz4hc, state)) free(state);
  return error;
}

static const char *encode_lz4(const uint8_t *content, size_t bytes, Output *stored) {
  int bound = LZ4_compressBound((int)bytes);
  const char *error = reserve(stored, (size_t)bound);
  if (error != NULL) return error;
  stored->count = (size_t)LZ4_compress_default((const char *)content, (char *)stored->bytes, (int)bytes, bound);
  return stored->count == 0 ? "lz4 made nothing" : NULL;
}

const char *encode_block(Pool *pool, const Encoding *encoding, const uint8_t *content, size_t bytes, Output *stored,
                         size_t *consumed) {
  *consumed = bytes;
  switch (encoding->codec) {
    case ZSTD: return encode_zstd(pool, encoding, (ZSTD_inBuffer){content, bytes, 0}, stored);
    case ZLIB:
    case DEFLATE: return encode_zlib(encoding, content, bytes, stored);
    case XZ: return encode_xz(encoding, content, bytes, stored);
    case LZ4: return encode_lz4(content, bytes, stored);
    case LZ4HC:
    case LZ4HC_FILL: return encode_lz4hc(pool, encoding, content, consumed, stored);
    case ZSTD_MT: return encode_stream(open_zstd_mt(encoding, bytes), content, bytes, stored);
    case GZIP: return encode_stream(open_gzip(encoding), content, bytes, stored);
    default: return "unknown codec";
  }
}
