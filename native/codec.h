// Content to stored bytes and back, without JavaScript. What params mean is said in src/core/encoding.ts.
#ifndef CODEC_H
#define CODEC_H
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

// In the order of CODEC_NAMES.
enum { ZSTD, ZLIB, DEFLATE, XZ, LZ4, LZ4HC, LZ4HC_FILL, ZSTD_MT, GZIP, CODECS };

#define MAX_PARAMS 4
#define MAX_DICT_BYTES (64 << 20)
#define MAX_LZ4_BYTES (1 << 20)

typedef struct {
  int32_t codec;
  int32_t params[MAX_PARAMS];
} Encoding;

// Functions of this header return NULL, or what went wrong: a string that is never freed.
#define OUT_OF_MEMORY "out of memory"

/** Flags: the second param of ZSTD and ZSTD_MT. */
enum { CHECKSUM = 1, SIZE_UNKNOWN = 2 };
/** The first param of XZ. */
enum { PRESET_LEVEL = 15, PRESET_EXTREME = 64, PRESET_STREAMED = 256 };

/** Takes params as they come from outside; sets all that codecs rely on. */
const char *read_encoding(Encoding *encoding, int32_t codec, const int32_t *params, size_t count);

/** Grows as it is written to; `bytes` is freed by its owner. */
typedef struct {
  uint8_t *bytes;
  size_t count, room;
} Output;

/** Room for `more` bytes behind what is there. */
const char *reserve(Output *output, size_t more);

#define IDLE 4

/** Contexts nobody uses now: making them costs more than a small block. */
typedef struct {
  _Atomic(void *) zstd[IDLE];
  _Atomic(void *) lz4hc[IDLE];
} Pool;

void *take_idle(_Atomic(void *) *slots);
/** False when all slots are taken. */
int keep_idle(_Atomic(void *) *slots, void *context);
void empty_pool(Pool *pool);

/** On any thread. `consumed`: bytes of content in the output. */
const char *encode_block(Pool *pool, const Encoding *encoding, const uint8_t *content, size_t bytes, Output *stored,
                         size_t *consumed);

/** One .xz stream of one block. */
const char *encode_xz(const Encoding *encoding, const uint8_t *content, size_t bytes, Output *stored);

/** What an encoder holds at most, in bytes, beside content of at most that length and its output; fails when there is none. */
const char *encoder_bytes(const Encoding *encoding, uint64_t content_bytes, uint64_t *bytes);

const char *xz_encoder_bytes(const Encoding *encoding, uint64_t content_bytes, uint64_t *bytes);

typedef struct Decoders Decoders;
void free_decoders(Decoders *decoders);
Decoders *new_decoders(void);

typedef struct {
  const uint8_t *stored;
  size_t stored_bytes;
  uint8_t *into;
  size_t into_bytes;
} Decoding;

/** All of `stored`; says how many bytes it `made`, and fails when there is no room. On one thread at a time. */
const char *decode_block(Decoders *decoders, int32_t codec, Decoding block, size_t *made);

/** The library may be built with decoders of old formats; only the current one may meet foreign bytes. */
int is_zstd_frame(const void *stored, size_t bytes);

// ---- streams

/** Content in pieces; starts the struct of each kind. */
typedef struct Stream {
  const char *(*push)(struct Stream *stream, const uint8_t *content, size_t bytes, int last, Output *out);
  void (*close)(struct Stream *stream);
} Stream;

/** What zstd with worker threads makes; `content_bytes` is negative when only the end tells. NULL without memory. */
Stream *open_zstd_jobs(const Encoding *encoding, int64_t content_bytes);

/** What a stream of open_zstd_jobs holds at most; `content_bytes` as ZSTD_getCParams() takes it, never 0. */
uint64_t zstd_jobs_bytes(int32_t level, uint64_t content_bytes);

/** DEFLATE with the choices of GNU gzip; holds half a megabyte, whatever the content. NULL without memory. */
Stream *open_gzip(const Encoding *encoding);

enum { PACK_ZSTD, PACK_LZMA2 };

typedef struct {
  int32_t kind, level, window_bytes;
  /** Of LZMA2 only; negative for the preset's. */
  int32_t lc, lp, pb;
} Packing;

/** All that was pushed can be unpacked from what came out. */
const char *open_packer(const Packing *packing, Stream **stream);

typedef struct Unpacker {
  const char *(*unpack)(struct Unpacker *unpacker, Decoding piece);
  void (*close)(struct Unpacker *unpacker);
} Unpacker;

const char *open_unpacker(int32_t kind, int32_t window_bytes, Unpacker **unpacker);
#endif
