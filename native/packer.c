// A stream cut into pieces: each can be unpacked with nothing but those before it.
#include "codec.h"
#include <lzma.h>
#include <stdlib.h>
#include <zstd.h>

#define MIN_WINDOW (4 << 10)
#define MAX_WINDOW (16 << 20)
#define STEP_BYTES ((size_t)256 << 10)
#define UNEXACT "not exactly the packed piece"
#define SPOILED "the stream is spoiled"

typedef struct {
  Stream stream;
  lzma_stream lzma;
  lzma_options_lzma options; // the encoder keeps pointing to it
} LzmaPacker;

typedef struct {
  Stream stream;
  ZSTD_CCtx *cctx;
} ZstdPacker;

static int window_log(int32_t bytes) {
  int log = 10;
  while (((int64_t)1 << log) < bytes) log++;
  return log;
}

static int is_window(int32_t bytes) { return bytes >= MIN_WINDOW && bytes <= MAX_WINDOW; }

// ---- pack

static const char *push_lzma(Stream *stream, const uint8_t *content, size_t bytes, int last, Output *out) {
  (void)last;
  lzma_stream *lzma = &((LzmaPacker *)stream)->lzma;
  lzma->next_in = content;
  lzma->avail_in = bytes;
  for (lzma_ret result = LZMA_OK; result == LZMA_OK;) {
    const char *error = reserve(out, STEP_BYTES);
    if (error != NULL) return error;
    lzma->next_out = out->bytes + out->count;
    lzma->avail_out = out->room - out->count;
    result = lzma_code(lzma, LZMA_SYNC_FLUSH);
    out->count = out->room - lzma->avail_out;
    if (result != LZMA_OK && result != LZMA_STREAM_END) return result == LZMA_MEM_ERROR ? OUT_OF_MEMORY : "lzma cannot pack this";
  }
  return NULL;
}

static void close_lzma(Stream *stream) {
  lzma_end(&((LzmaPacker *)stream)->lzma);
  free(stream);
}

static int set_lzma(LzmaPacker *packer, const Packing *packing) {
  lzma_options_lzma *options = &packer->options;
  uint32_t preset = (uint32_t)packing->level | (packing->level == 9 ? LZMA_PRESET_EXTREME : 0);
  if (packing->level < 0 || packing->level > 9 || lzma_lzma_preset(options, preset)) return 0;
  options->dict_size = (uint32_t)packing->window_bytes;
  if (packing->lc >= 0) options->lc = (uint32_t)packing->lc;
  if (packing->lp >= 0) options->lp = (uint32_t)packing->lp;
  if (packing->pb >= 0) options->pb = (uint32_t)packing->pb;
  lzma_filter filters[2] = {{LZMA_FILTER_LZMA2, options}, {LZMA_VLI_UNKNOWN, NULL}};
  return lzma_raw_encoder(&packer->lzma, filters) == LZMA_OK;
}

static const char *open_lzma(const Packing *packing, Stream **stream) {
  LzmaPacker *packer = calloc(1, sizeof *packer);
  if (packer == NULL) return OUT_OF_MEMORY;
  packer->stream.push = push_lzma;
  packer->stream.close = close_lzma;
  *stream = &packer->stream;
  if (set_lzma(packer, packing)) return NULL;
  close_lzma(*stream);
  return "not possible with lzma";
}

static const char *push_zstd(Stream *stream, const uint8_t *content, size_t bytes, int last, Output *out) {
  (void)last;
  ZSTD_CCtx *cctx = ((ZstdPacker *)stream)->cctx;
  ZSTD_inBuffer in = {content, bytes, 0};
  for (size_t left = 1; left != 0;) {
    const char *error = reserve(out, STEP_BYTES);
    if (error != NULL) return error;
    ZSTD_outBuffer piece = {out->bytes, out->room, out->count};
    left = ZSTD_compressStream2(cctx, &piece, &in, ZSTD_e_flush);
    if (ZSTD_isError(left)) return ZSTD_getErrorName(left);
    out->count = piece.pos;
  }
  return NULL;
}

static void close_zstd(Stream *stream) {
  ZSTD_freeCCtx(((ZstdPacker *)stream)->cctx);
  free(stream);
}

static const char *open_zstd(const Packing *packing, Stream **stream) {
  if (packing->level < 1 || packing->level > 22) return "not possible with zstd";
  ZstdPacker *packer = calloc(1, sizeof *packer);
  if (packer == NULL) return OUT_OF_MEMORY;
  packer->stream.push = push_zstd;
  packer->stream.close = close_zstd;
  packer->cctx = ZSTD_createCCtx();
  *stream = &packer->stream;
  if (packer->cctx != NULL && !ZSTD_isError(ZSTD_CCtx_setParameter(packer->cctx, ZSTD_c_compressionLevel, packing->level)) &&
      !ZSTD_isError(ZSTD_CCtx_setParameter(packer->cctx, ZSTD_c_windowLog, window_log(packing->window_bytes))))
    return NULL;
  close_zstd(*stream);
  return OUT_OF_MEMORY;
}

const char *open_packer(const Packing *packing, Stream **stream) {
  if (!is_window(packing->window_bytes)) return "the window is too small or too large";
  return packing->kind == PACK_ZSTD    ? open_zstd(packing, stream)
         : packing->kind == PACK_LZMA2 ? open_lzma(packing, stream)
                                       : "unknown packer";
}

// ---- unpack

typedef struct {
  Unpacker unpacker;
  lzma_stream lzma;
  int spoiled;
} LzmaUnpacker;

typedef struct {
  Unpacker unpacker;
  ZSTD_DCtx *dctx;
  int started, spoiled;
} ZstdUnpacker;

// Whole chunks (laid out as in liblzma's lzma2_decoder.c), and of the wanted content: the decoder itself would go on
// to look for the last bytes in the next piece.
static int is_whole_lzma2(Decoding piece) {
  const uint8_t *at = piece.stored, *end = at + piece.stored_bytes;
  size_t made = 0;
  while (at < end) {
    uint8_t control = *at;
    // 0 ends a stream, 1 and 2 are stored chunks.
    if (control == 0 || (control > 2 && control < 0x80)) return 0;
    size_t head = control < 0x80 ? 3 : control < 0xc0 ? 5 : 6;
    if ((size_t)(end - at) < head) return 0;
    size_t content = (size_t)(at[1] << 8 | at[2]) + 1, packed = content;
    if (control >= 0x80) {
      content += (size_t)(control & 0x1f) << 16;
      packed = (size_t)(at[3] << 8 | at[4]) + 1;
    }
    if ((size_t)(end - at) - head < packed) return 0;
    at += head + packed;
    made += content;
  }
  return made == piece.into_bytes;
}

static const char *unpack_lzma(Unpacker *unpacker, Decoding piece) {
  LzmaUnpacker *self = (LzmaUnpacker *)unpacker;
  if (self->spoiled) return SPOILED;
  self->spoiled = 1;
  if (!is_whole_lzma2(piece)) return UNEXACT;
  self->lzma.next_in = piece.stored;
  self->lzma.avail_in = piece.stored_bytes;
  self->lzma.next_out = piece.into;
  self->lzma.avail_out = piece.into_bytes;
  // A call without progress is an error only when it is repeated.
  while (self->lzma.avail_in > 0 || self->lzma.avail_out > 0) {
    lzma_ret result = lzma_code(&self->lzma, LZMA_RUN);
    if (result == LZMA_OK) continue;
    if (result == LZMA_MEM_ERROR) return OUT_OF_MEMORY;
    return result == LZMA_BUF_ERROR || result == LZMA_STREAM_END ? UNEXACT : "not valid lzma data";
  }
  self->spoiled = 0;
  return NULL;
}

static void close_lzma_unpacker(Unpacker *unpacker) {
  lzma_end(&((LzmaUnpacker *)unpacker)->lzma);
  free(unpacker);
}

static int has_more_zstd(ZSTD_DCtx *dctx) {
  uint8_t more;
  ZSTD_inBuffer in = {&more, 0, 0};
  ZSTD_outBuffer out = {&more, 1, 0};
  return ZSTD_isError(ZSTD_decompressStream(dctx, &out, &in)) || out.pos > 0;
}

static const char *unpack_zstd(Unpacker *unpacker, Decoding piece) {
  ZstdUnpacker *self = (ZstdUnpacker *)unpacker;
  if (self->spoiled) return SPOILED;
  // Nothing may have been packed before there was a frame.
  if (piece.stored_bytes == 0 && piece.into_bytes == 0) return NULL;
  self->spoiled = 1;
  if (!self->started && !is_zstd_frame(piece.stored, piece.stored_bytes)) return "not a zstd frame";
  self->started = 1;
  ZSTD_inBuffer in = {piece.stored, piece.stored_bytes, 0};
  ZSTD_outBuffer out = {piece.into, piece.into_bytes, 0};
  // Also without room for more: the end of a block says nothing, and still has to be read.
  for (size_t before = (size_t)-1; before != in.pos + out.pos;) {
    before = in.pos + out.pos;
    size_t result = ZSTD_decompressStream(self->dctx, &out, &in);
    if (ZSTD_isError(result)) return ZSTD_getErrorName(result);
    // A frame has ended; what a packer makes never does.
    if (result == 0) return UNEXACT;
    if (in.pos == in.size && out.pos == out.size) break;
  }
  if (in.pos != in.size || out.pos != out.size || has_more_zstd(self->dctx)) return UNEXACT;
  self->spoiled = 0;
  return NULL;
}

static void close_zstd_unpacker(Unpacker *unpacker) {
  ZSTD_freeDCtx(((ZstdUnpacker *)unpacker)->dctx);
  free(unpacker);
}

static const char *open_lzma_unpacker(int32_t window_bytes, Unpacker **unpacker) {
  LzmaUnpacker *self = calloc(1, sizeof *self);
  if (self == NULL) return OUT_OF_MEMORY;
  self->unpacker = (Unpacker){unpack_lzma, close_lzma_unpacker};
  lzma_options_lzma options = {.dict_size = (uint32_t)window_bytes};
  lzma_filter filters[2] = {{LZMA_FILTER_LZMA2, &options}, {LZMA_VLI_UNKNOWN, NULL}};
  *unpacker = &self->unpacker;
  if (lzma_raw_decoder(&self->lzma, filters) == LZMA_OK) return NULL;
  free(self);
  return OUT_OF_MEMORY;
}

static const char *open_zstd_unpacker(int32_t window_bytes, Unpacker **unpacker) {
  ZstdUnpacker *self = calloc(1, sizeof *self);
  if (self == NULL) return OUT_OF_MEMORY;
  self->unpacker = (Unpacker){unpack_zstd, close_zstd_unpacker};
  self->dctx = ZSTD_createDCtx();
  *unpacker = &self->unpacker;
  if (self->dctx != NULL && !ZSTD_isError(ZSTD_DCtx_setParameter(self->dctx, ZSTD_d_windowLogMax, window_log(window_bytes))))
    return NULL;
  close_zstd_unpacker(*unpacker);
  return OUT_OF_MEMORY;
}

const char *open_unpacker(int32_t kind, int32_t window_bytes, Unpacker **unpacker) {
  if (!is_window(window_bytes)) return "the window is too small or too large";
  return kind == PACK_ZSTD    ? open_zstd_unpacker(window_bytes, unpacker)
         : kind == PACK_LZMA2 ? open_lzma_unpacker(window_bytes, unpacker)
                              : "unknown packer";
}
