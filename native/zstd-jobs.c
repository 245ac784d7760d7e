// What zstd 1.5 writes with worker threads: content is cut into jobs of a size that depends on the level, each coded
// on its own with the end of the one before as a prefix. One job at a time and no thread gives the same bytes, for
// less memory; so does forgetting content that is out of the window. Debian's library has no threads anyway.
#define ZSTD_STATIC_LINKING_ONLY
#include "codec.h"
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <zstd.h>

// In libzstd.a but in no header. The public ZSTD_compressBegin_advanced() would take a prefix that starts like a
// dictionary for one, and would forget ZSTD_c_forceMaxWindow.
typedef enum { LOAD_FAST = 0 } LoadMethod;
size_t ZSTD_compressBegin_advanced_internal(ZSTD_CCtx *cctx, const void *dict, size_t dict_bytes, ZSTD_dictContentType_e type,
                                            LoadMethod load, const ZSTD_CDict *cdict, const ZSTD_CCtx_params *params,
                                            unsigned long long content_bytes);
size_t ZSTD_invalidateRepCodes(ZSTD_CCtx *cctx);
typedef struct XXH64_state_s Checksum;
Checksum *ZSTD_XXH64_createState(void);
int ZSTD_XXH64_freeState(Checksum *checksum);
int ZSTD_XXH64_reset(Checksum *checksum, unsigned long long seed);
int ZSTD_XXH64_update(Checksum *checksum, const void *bytes, size_t count);
unsigned long long ZSTD_XXH64_digest(const Checksum *checksum);

// How much a worker gives to the coder at once.
#define STEP_BYTES ((size_t)512 << 10)
// Content of a known length up to this is coded without workers.
#define MIN_BYTES ((uint64_t)512 << 10)
#define PAGE_BYTES ((size_t)64 << 10)

typedef struct {
  Stream stream;
  ZSTD_CCtx *cctx;
  ZSTD_CCtx_params *params;
  Checksum *checksum; // NULL for none
  int level, window_log;
  uint64_t content_bytes; // or ZSTD_CONTENTSIZE_UNKNOWN
  uint64_t taken;         // of the content
  // One job, with the prefix in front of it.
  uint8_t *room;
  size_t room_bytes, overlap_bytes, job_bytes;
  size_t prefix, filled, coded; // of this job
  uint64_t jobs;                // that are done
  int started, ended;
} Jobs;

// ZSTDMT_overlapLog_default() and ZSTDMT_computeOverlapSize().
static size_t overlap_of(const ZSTD_compressionParameters *params) {
  int log = params->strategy >= ZSTD_btultra2  ? 9
            : params->strategy >= ZSTD_btopt   ? 8
            : params->strategy >= ZSTD_lazy2   ? 7
                                               : 6;
  return (size_t)1 << ((int)params->windowLog - (9 - log));
}

// ZSTDMT_computeTargetJobLog().
static size_t job_of(const ZSTD_compressionParameters *params) {
  unsigned log = params->windowLog + 2;
  return (size_t)1 << (log < 20 ? 20 : log > 30 ? 30 : log);
}

static const char *failed(size_t result) { return ZSTD_isError(result) ? ZSTD_getErrorName(result) : NULL; }

// The coder only looks back as far as its window; the pages behind that become empty.
static void forget(Jobs *jobs, size_t from, size_t to) {
  from = (from + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1);
  to &= ~(PAGE_BYTES - 1);
  if (to > from) madvise(jobs->room + from, to - from, MADV_DONTNEED);
}

static const char *start_job(Jobs *jobs) {
  uint8_t header[ZSTD_FRAMEHEADERSIZE_MAX];
  int first = jobs->jobs == 0;
  ZSTD_CCtxParams_setParameter(jobs->params, ZSTD_c_forceMaxWindow, !first);
  ZSTD_CCtxParams_setParameter(jobs->params, ZSTD_c_checksumFlag, first && jobs->checksum != NULL);
  size_t result = ZSTD_compressBegin_advanced_internal(jobs->cctx, jobs->room, jobs->prefix, ZSTD_dct_rawContent, LOAD_FAST, NULL,
                                                       jobs->params, first ? jobs->content_bytes : ZSTD_CONTENTSIZE_UNKNOWN);
  jobs->started = 1;
  if (ZSTD_isError(result) || first) return failed(result);
  result = ZSTD_compressContinue(jobs->cctx, header, sizeof header, jobs->room + jobs->prefix, 0);
  ZSTD_invalidateRepCodes(jobs->cctx);
  return failed(result);
}

static const char *code(Jobs *jobs, size_t bytes, int last, Output *out) {
  const char *error = jobs->started ? NULL : start_job(jobs);
  size_t bound = ZSTD_compressBound(bytes) + ZSTD_FRAMEHEADERSIZE_MAX + 16;
  if (error == NULL) error = reserve(out, bound);
  if (error != NULL) return error;
  const uint8_t *from = jobs->room + jobs->prefix + jobs->coded;
  uint8_t *to = out->bytes + out->count;
  size_t result = last ? ZSTD_compressEnd(jobs->cctx, to, bound, from, bytes)
                       : ZSTD_compressContinue(jobs->cctx, to, bound, from, bytes);
  if (ZSTD_isError(result)) return failed(result);
  out->count += result;
  jobs->coded += bytes;
  size_t window = (size_t)1 << jobs->window_log, end = jobs->prefix + jobs->coded;
  if (end > window + STEP_BYTES) forget(jobs, 0, end - window - STEP_BYTES);
  return NULL;
}

static const char *end_job(Jobs *jobs, int last, Output *out) {
  const char *error = code(jobs, jobs->filled - jobs->coded, last, out);
  size_t end = jobs->prefix + jobs->filled, overlap = jobs->overlap_bytes < jobs->filled ? jobs->overlap_bytes : jobs->filled;
  memmove(jobs->room, jobs->room + end - overlap, overlap);
  forget(jobs, overlap, end);
  jobs->prefix = overlap;
  jobs->filled = jobs->coded = 0;
  jobs->started = 0;
  jobs->jobs++;
  return error;
}

static const char *write_end(Jobs *jobs, Output *out) {
  static const uint8_t empty_block[3] = {1, 0, 0};
  const char *error = NULL;
  int single = jobs->jobs == 0;
  if (single || jobs->filled > 0) error = end_job(jobs, 1, out);
  else if ((error = reserve(out, sizeof empty_block)) == NULL) {
    memcpy(out->bytes + out->count, empty_block, sizeof empty_block);
    out->count += sizeof empty_block;
  }
  jobs->ended = 1;
  // The coder of a single job has seen everything, and has written the checksum.
  if (error != NULL || single || jobs->checksum == NULL || (error = reserve(out, 4)) != NULL) return error;
  uint32_t digest = (uint32_t)ZSTD_XXH64_digest(jobs->checksum);
  for (int i = 0; i < 4; i++) out->bytes[out->count++] = (uint8_t)(digest >> 8 * i);
  return NULL;
}

// Too little for workers.
static const char *write_single(Jobs *jobs, Output *out) {
  size_t bound = ZSTD_compressBound(jobs->filled) + 64;
  const char *error = reserve(out, bound);
  if (error != NULL) return error;
  ZSTD_CCtx_reset(jobs->cctx, ZSTD_reset_session_and_parameters);
  ZSTD_CCtx_setParameter(jobs->cctx, ZSTD_c_compressionLevel, jobs->level);
  ZSTD_CCtx_setParameter(jobs->cctx, ZSTD_c_checksumFlag, jobs->checksum != NULL);
  size_t result = ZSTD_compress2(jobs->cctx, out->bytes + out->count, bound, jobs->room, jobs->filled);
  if (ZSTD_isError(result)) return failed(result);
  out->count += result;
  jobs->ended = 1;
  return NULL;
}

static size_t take(Jobs *jobs, const uint8_t *content, size_t bytes) {
  size_t left = jobs->job_bytes - jobs->filled;
  size_t taken = bytes < left ? bytes : left;
  if (taken > STEP_BYTES) taken = STEP_BYTES;
  memcpy(jobs->room + jobs->prefix + jobs->filled, content, taken);
  if (jobs->checksum != NULL) ZSTD_XXH64_update(jobs->checksum, content, taken);
  jobs->filled += taken;
  jobs->taken += taken;
  return taken;
}

static const char *push(Stream *stream, const uint8_t *content, size_t bytes, int last, Output *out) {
  Jobs *jobs = (Jobs *)stream;
  const char *error = NULL;
  if (jobs->ended) return "the stream has ended";
  if (bytes > jobs->content_bytes - jobs->taken) return "the content is longer than was said";
  int few = jobs->content_bytes <= MIN_BYTES || (last && jobs->taken + bytes == 0);
  for (size_t at = 0; at < bytes && error == NULL;) {
    at += take(jobs, content + at, bytes - at);
    // A step waits until it is known whether it is the last, which is coded otherwise.
    while (!few && error == NULL && jobs->filled - jobs->coded > STEP_BYTES) error = code(jobs, STEP_BYTES, 0, out);
    int full = jobs->filled == jobs->job_bytes && jobs->taken != jobs->content_bytes;
    if (error == NULL && full) error = end_job(jobs, 0, out);
  }
  if (error != NULL || !last) return error;
  if (jobs->content_bytes != ZSTD_CONTENTSIZE_UNKNOWN && jobs->taken != jobs->content_bytes)
    return "the content is shorter than was said";
  return few ? write_single(jobs, out) : write_end(jobs, out);
}

static void close_jobs(Stream *stream) {
  Jobs *jobs = (Jobs *)stream;
  ZSTD_freeCCtx(jobs->cctx);
  ZSTD_freeCCtxParams(jobs->params);
  ZSTD_XXH64_freeState(jobs->checksum);
  if (jobs->room != NULL) munmap(jobs->room, jobs->room_bytes);
  free(jobs);
}

static int set_up(Jobs *jobs, int32_t level, int has_checksum) {
  uint64_t bytes = jobs->content_bytes;
  ZSTD_parameters params = {ZSTD_getCParams(level, bytes == 0 ? 1 : bytes, 0), {1, has_checksum, 0}};
  jobs->level = level;
  jobs->window_log = (int)params.cParams.windowLog;
  jobs->overlap_bytes = overlap_of(&params.cParams);
  jobs->job_bytes = job_of(&params.cParams);
  jobs->room_bytes = jobs->overlap_bytes + jobs->job_bytes;
  void *room = mmap(NULL, jobs->room_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (room == MAP_FAILED) return 0;
  jobs->room = room;
  jobs->cctx = ZSTD_createCCtx();
  jobs->params = ZSTD_createCCtxParams();
  jobs->checksum = has_checksum ? ZSTD_XXH64_createState() : NULL;
  if (jobs->cctx == NULL || jobs->params == NULL || (has_checksum && jobs->checksum == NULL)) return 0;
  if (has_checksum) ZSTD_XXH64_reset(jobs->checksum, 0);
  return !ZSTD_isError(ZSTD_CCtxParams_init_advanced(jobs->params, params));
}

// Of the room: the window, content that is not coded or not forgotten yet, and the end of the job before in front.
static uint64_t held_room(const ZSTD_compressionParameters *params, uint64_t content_bytes) {
  uint64_t overlap = overlap_of(params), window = (uint64_t)1 << params->windowLog;
  uint64_t held = window + overlap + 3 * STEP_BYTES + 4 * PAGE_BYTES;
  uint64_t most = overlap + (content_bytes < job_of(params) ? content_bytes : job_of(params));
  return held < most ? held : most;
}

uint64_t zstd_jobs_bytes(int32_t level, uint64_t content_bytes) {
  ZSTD_compressionParameters params = ZSTD_getCParams(level, content_bytes, 0);
  return ZSTD_estimateCCtxSize_usingCParams(params) + held_room(&params, content_bytes);
}

Stream *open_zstd_jobs(const Encoding *encoding, int64_t content_bytes) {
  Jobs *jobs = calloc(1, sizeof *jobs);
  if (jobs == NULL) return NULL;
  jobs->stream.push = push;
  jobs->stream.close = close_jobs;
  jobs->content_bytes = encoding->params[1] & SIZE_UNKNOWN ? ZSTD_CONTENTSIZE_UNKNOWN : (uint64_t)content_bytes;
  if (set_up(jobs, encoding->params[0], (encoding->params[1] & CHECKSUM) != 0)) return &jobs->stream;
  close_jobs(&jobs->stream);
  return NULL;
}
