// What the program xz and mksquashfs write, and how much memory that takes.
#include "codec.h"
#include <lzma.h>

// What is called from 1 on as mksquashfs lists them: x86, powerpc, ia64, arm, armthumb, sparc, arm64.
#define FIRST_BRANCH_FILTER LZMA_FILTER_X86

typedef struct {
  lzma_options_lzma options;
  lzma_filter filters[3];
  const lzma_filter *first;
  lzma_check check;
} Chain;

static const char *failed(lzma_ret result) {
  switch (result) {
    case LZMA_OK:
    case LZMA_STREAM_END: return NULL;
    case LZMA_MEM_ERROR: return OUT_OF_MEMORY;
    case LZMA_OPTIONS_ERROR:
    case LZMA_UNSUPPORTED_CHECK: return "not possible with xz";
    default: return "xz did not finish";
  }
}

static const char *open_chain(Chain *chain, const Encoding *encoding) {
  int32_t preset = encoding->params[0], filter = encoding->params[3];
  uint32_t known = (uint32_t)(preset & PRESET_LEVEL) | (preset & PRESET_EXTREME ? LZMA_PRESET_EXTREME : 0);
  if (lzma_lzma_preset(&chain->options, known)) return "unknown preset";
  chain->options.dict_size = (uint32_t)encoding->params[1];
  chain->check = (lzma_check)encoding->params[2];
  chain->filters[0] = (lzma_filter){(lzma_vli)(FIRST_BRANCH_FILTER + filter - 1), NULL};
  chain->filters[1] = (lzma_filter){LZMA_FILTER_LZMA2, &chain->options};
  chain->filters[2] = (lzma_filter){LZMA_VLI_UNKNOWN, NULL};
  chain->first = filter == 0 ? chain->filters + 1 : chain->filters;
  return NULL;
}

// Unlike the coder of whole buffers it cannot say the sizes of the block in front of it.
static lzma_ret encode_streamed(const Chain *chain, Decoding block, size_t *stored_bytes) {
  lzma_stream stream = LZMA_STREAM_INIT;
  lzma_ret result = lzma_stream_encoder(&stream, chain->first, chain->check);
  stream.next_in = block.stored;
  stream.avail_in = block.stored_bytes;
  stream.next_out = block.into;
  stream.avail_out = block.into_bytes;
  if (result == LZMA_OK) result = lzma_code(&stream, LZMA_FINISH);
  // Anything else than the end means that it wants to go on.
  if (result == LZMA_OK) result = LZMA_BUF_ERROR;
  *stored_bytes = stream.total_out;
  lzma_end(&stream);
  return result;
}

const char *encode_xz(const Encoding *encoding, const uint8_t *content, size_t bytes, Output *stored) {
  Chain chain;
  size_t bound = lzma_stream_buffer_bound(bytes);
  const char *error = open_chain(&chain, encoding);
  if (error == NULL) error = reserve(stored, bound);
  if (error != NULL) return error;
  if (encoding->params[0] & PRESET_STREAMED)
    return failed(encode_streamed(&chain, (Decoding){content, bytes, stored->bytes, bound}, &stored->count));
  return failed(lzma_stream_buffer_encode((lzma_filter *)chain.first, chain.check, NULL, content, bytes, stored->bytes,
                                          &stored->count, bound));
}

// For each byte of content: the byte, and one or two places where the like was before.
static uint64_t bytes_per_byte(const lzma_options_lzma *options) {
  int is_tree = options->mf == LZMA_MF_BT2 || options->mf == LZMA_MF_BT3 || options->mf == LZMA_MF_BT4;
  return 1 + (is_tree ? 2 : 1) * sizeof(uint32_t);
}

const char *xz_encoder_bytes(const Encoding *encoding, uint64_t content_bytes, uint64_t *bytes) {
  Chain chain;
  const char *error = open_chain(&chain, encoding);
  if (error != NULL) return error;
  *bytes = lzma_raw_encoder_memusage(chain.first);
  if (*bytes == UINT64_MAX || !lzma_check_is_supported(chain.check)) return failed(LZMA_OPTIONS_ERROR);
  uint64_t dict_bytes = chain.options.dict_size;
  // Reserved, and never touched.
  if (content_bytes < dict_bytes) *bytes -= (dict_bytes - content_bytes) * bytes_per_byte(&chain.options);
  return NULL;
}
