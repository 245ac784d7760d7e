// GNU gzip's DEFLATE as one of the streams.
#include "codec.h"
#include "gnu-deflate.h"
#include <stdlib.h>
#include <string.h>

typedef struct {
  Stream stream;
  GnuDeflate *deflate;
  int ended;
} Gzip;

static const char *push(Stream *stream, const uint8_t *content, size_t bytes, int last, Output *out) {
  Gzip *gzip = (Gzip *)stream;
  if (gzip->ended) return "the stream has ended";
  gzip->ended = last;
  if (gnu_deflate_push(gzip->deflate, content, bytes, last)) return OUT_OF_MEMORY;
  const uint8_t *stored;
  size_t count = gnu_deflate_take(gzip->deflate, &stored);
  const char *error = reserve(out, count);
  if (error != NULL || count == 0) return error;
  memcpy(out->bytes + out->count, stored, count);
  out->count += count;
  return NULL;
}

static void close_gzip(Stream *stream) {
  gnu_deflate_close(((Gzip *)stream)->deflate);
  free(stream);
}

Stream *open_gzip(const Encoding *encoding) {
  Gzip *gzip = calloc(1, sizeof *gzip);
  if (gzip == NULL) return NULL;
  gzip->stream.push = push;
  gzip->stream.close = close_gzip;
  gzip->deflate = gnu_deflate_open(encoding->params[0]);
  if (gzip->deflate != NULL) return &gzip->stream;
  free(gzip);
  return NULL;
}
