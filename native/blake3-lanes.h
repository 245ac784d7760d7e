// Included once per width by blake3.c: BLAKE3's compression function (specification, section 2.2) over LANES inputs
// at once, one in each lane of GCC's vectors. LANES is 1, 4, 8 or 16; the including file selects the target.
#define JOIN(a, b) a##b
#define NAMED(name, lanes) JOIN(name, lanes)
#define V NAMED(lanes_, LANES)
#define MIX NAMED(mix_, LANES)
#define ROUND NAMED(round_, LANES)
#define TRANSPOSE NAMED(transpose_, LANES)
#define HASH_BATCH NAMED(hash_batch_, LANES)

#if LANES == 1
typedef uint32_t V;
#else
typedef uint32_t V __attribute__((vector_size(4 * LANES)));
#endif

#define ROTATE(x, bits) ((x) >> (bits) | (x) << (32 - (bits)))
#define ROTATE_16(x) ROTATE(x, 16)
#define ROTATE_8(x) ROTATE(x, 8)
#if LANES == 4
// SSE2 and NEON: 16-bit halves change places in one or two instructions.
typedef uint16_t halves_4 __attribute__((vector_size(16)));
#undef ROTATE_16
#define ROTATE_16(x) ((V)__builtin_shuffle((halves_4)(x), (halves_4){1, 0, 3, 2, 5, 4, 7, 6}))
#elif LANES == 8
// AVX2 rotates by whole bytes in one shuffle.
typedef uint8_t bytes_8 __attribute__((vector_size(32)));
#undef ROTATE_16
#undef ROTATE_8
#define BYTES_OF(i, a, b, c, d) i + a, i + b, i + c, i + d
#define EVERY_WORD(a, b, c, d) BYTES_OF(0, a, b, c, d), BYTES_OF(4, a, b, c, d), BYTES_OF(8, a, b, c, d), \
    BYTES_OF(12, a, b, c, d), BYTES_OF(16, a, b, c, d), BYTES_OF(20, a, b, c, d), BYTES_OF(24, a, b, c, d), \
    BYTES_OF(28, a, b, c, d)
#define ROTATE_16(x) ((V)__builtin_shuffle((bytes_8)(x), (bytes_8){EVERY_WORD(2, 3, 0, 1)}))
#define ROTATE_8(x) ((V)__builtin_shuffle((bytes_8)(x), (bytes_8){EVERY_WORD(1, 2, 3, 0)}))
#endif

static ALWAYS_INLINE void MIX(V *a, V *b, V *c, V *d, V x, V y) {
  *a += *b + x;
  *d = ROTATE_16(*d ^ *a);
  *c += *d;
  *b = ROTATE(*b ^ *c, 12);
  *a += *b + y;
  *d = ROTATE_8(*d ^ *a);
  *c += *d;
  *b = ROTATE(*b ^ *c, 7);
}

static ALWAYS_INLINE void ROUND(V v[16], const V m[16], const uint8_t order[16]) {
  MIX(&v[0], &v[4], &v[8], &v[12], m[order[0]], m[order[1]]);
  MIX(&v[1], &v[5], &v[9], &v[13], m[order[2]], m[order[3]]);
  MIX(&v[2], &v[6], &v[10], &v[14], m[order[4]], m[order[5]]);
  MIX(&v[3], &v[7], &v[11], &v[15], m[order[6]], m[order[7]]);
  MIX(&v[0], &v[5], &v[10], &v[15], m[order[8]], m[order[9]]);
  MIX(&v[1], &v[6], &v[11], &v[12], m[order[10]], m[order[11]]);
  MIX(&v[2], &v[7], &v[8], &v[13], m[order[12]], m[order[13]]);
  MIX(&v[3], &v[4], &v[9], &v[14], m[order[14]], m[order[15]]);
}

// Rows become columns: at each stage two rows that are S apart exchange the halves of every 2S-wide square.
#define LOW(j, S) (j) & (S) ? LANES + (j) - (S) : (j)
#define HIGH(j, S) (j) & (S) ? LANES + (j) : (j) + (S)
#define FOUR(F, j, S) F(j, S), F(j + 1, S), F(j + 2, S), F(j + 3, S)
#if LANES == 4
#define MASK(F, S) (V){FOUR(F, 0, S)}
#elif LANES == 8
#define MASK(F, S) (V){FOUR(F, 0, S), FOUR(F, 4, S)}
#elif LANES == 16
#define MASK(F, S) (V){FOUR(F, 0, S), FOUR(F, 4, S), FOUR(F, 8, S), FOUR(F, 12, S)}
#endif
#define SWAP(i, S)                                          \
  do {                                                      \
    V low = __builtin_shuffle(x[i], x[i + S], MASK(LOW, S)); \
    x[i + S] = __builtin_shuffle(x[i], x[i + S], MASK(HIGH, S)); \
    x[i] = low;                                             \
  } while (0)
#define SWAP_2(i, S, next) SWAP(i, S); SWAP(i + next, S)
#define SWAP_4(i, S, next, far) SWAP_2(i, S, next); SWAP_2(i + far, S, next)

static ALWAYS_INLINE void TRANSPOSE(V x[LANES]) {
#if LANES == 4
  SWAP_2(0, 1, 2);
  SWAP_2(0, 2, 1);
#elif LANES == 8
  SWAP_4(0, 1, 2, 4);
  SWAP_4(0, 2, 1, 4);
  SWAP_4(0, 4, 1, 2);
#elif LANES == 16
  SWAP_4(0, 1, 2, 4);
  SWAP_4(8, 1, 2, 4);
  SWAP_4(0, 2, 1, 4);
  SWAP_4(8, 2, 1, 4);
  SWAP_4(0, 4, 1, 2);
  SWAP_4(8, 4, 1, 2);
  SWAP_4(0, 8, 1, 2);
  SWAP_4(4, 8, 1, 2);
#else
  (void)x;
#endif
}

// At most LANES inputs; lanes without one repeat the last. All input is read before anything of its block is written.
static void HASH_BATCH(const Blake3Batch *batch, uint8_t *out) {
  const uint8_t *lane[LANES];
  union { V v; uint32_t words[LANES]; } low, high, row;
  for (size_t i = 0; i < LANES; i++) {
    size_t index = i < batch->count ? i : batch->count - 1;
    uint64_t counter = batch->counter + (batch->counts_up ? index : 0);
    lane[i] = batch->input + index * batch->stride;
    low.words[i] = (uint32_t)counter;
    high.words[i] = (uint32_t)(counter >> 32);
  }
  const V zero = {0};
  V h[8];
  for (size_t i = 0; i < 8; i++) h[i] = zero + IV[i];
  for (size_t block = 0; block < batch->blocks; block++) {
    bool is_last = block + 1 == batch->blocks;
    uint32_t flags = (block == 0 ? batch->first_flags : 0) | (is_last ? batch->last_flags : 0);
    V m[16];
    for (size_t i = 0; i < LANES; i++) __builtin_prefetch(lane[i] + BLOCK_BYTES * block + LANES * batch->stride);
    for (size_t group = 0; group < 16; group += LANES) {
#pragma GCC unroll 16
      for (size_t i = 0; i < LANES; i++) memcpy(&m[group + i], lane[i] + 64 * block + 4 * group, sizeof(V));
      TRANSPOSE(m + group);
    }
    V v[16] = {h[0], h[1], h[2], h[3], h[4], h[5], h[6], h[7], zero + IV[0], zero + IV[1], zero + IV[2], zero + IV[3],
               low.v, high.v, zero + (is_last ? batch->last_bytes : BLOCK_BYTES), zero + flags};
    ROUND(v, m, ORDER[0]);
    ROUND(v, m, ORDER[1]);
    ROUND(v, m, ORDER[2]);
    ROUND(v, m, ORDER[3]);
    ROUND(v, m, ORDER[4]);
    ROUND(v, m, ORDER[5]);
    ROUND(v, m, ORDER[6]);
#pragma GCC unroll 8
    for (size_t i = 0; i < 8; i++) h[i] = v[i] ^ v[i + 8];
  }
  for (size_t word = 0; word < 8; word++) {
    row.v = h[word];
    for (size_t i = 0; i < batch->count; i++) memcpy(out + VALUE_BYTES * i + 4 * word, &row.words[i], 4);
  }
}

#undef JOIN
#undef NAMED
#undef V
#undef MIX
#undef ROUND
#undef TRANSPOSE
#undef HASH_BATCH
#undef ROTATE
#undef ROTATE_16
#undef ROTATE_8
#undef LOW
#undef HIGH
#undef FOUR
#undef MASK
#undef SWAP
#undef SWAP_2
#undef SWAP_4
#undef LANES
