// DEFLATE (RFC 1951) with the choices of the program GNU gzip, which zlib does not make: bit for bit what `gzip -LEVEL`
// writes between the header of a member and its checksum.
#ifndef GNU_DEFLATE_H
#define GNU_DEFLATE_H
#include <stddef.h>
#include <stdint.h>

typedef struct GnuDeflate GnuDeflate;

// Level 1 to 9. NULL without memory; takes about half a megabyte whatever the length of the content.
GnuDeflate *gnu_deflate_open(int level);
// Consumes all of `content`; the output does not depend on how it is cut. Nothing may follow `last`. 0, or -1 without memory.
int gnu_deflate_push(GnuDeflate *stream, const uint8_t *content, size_t bytes, int last);
// Everything written since the last call, valid until the next push.
size_t gnu_deflate_take(GnuDeflate *stream, const uint8_t **stored);
void gnu_deflate_close(GnuDeflate *stream);

// One DEFLATE block: symbols are collected, then written in the cheapest of the three forms.
typedef struct GnuBlock GnuBlock;

GnuBlock *gnu_block_new(void);
void gnu_block_free(GnuBlock *block);
// A literal (distance 0), or a copy of `value` + 3 bytes. True when this was the last symbol the block can hold.
int gnu_block_add(GnuBlock *block, unsigned distance, unsigned value);
// Whether GNU gzip ends a block of `content_bytes` early here. Asked after every symbol.
int gnu_block_is_good(const GnuBlock *block, size_t content_bytes);
// Writes the block and begins the next; `content` is NULL when it is no longer in the window.
int gnu_block_flush(GnuBlock *block, const uint8_t *content, size_t bytes, int last);
size_t gnu_block_take(GnuBlock *block, const uint8_t **stored);
#endif
