// The difference of two files: which bytes of the new one are bytes of the old one, exactly or nearly.
// Suffix sorting and the walk along diagonals follow C. Percival, "Naive differences of executable code" (2003).
#include "pine.h"

// Comes with libzstd.a, whose dictionary builder uses it (libdivsufsort, Y. Mori).
int divsufsort(const unsigned char *text, int *suffixes, int bytes, int open_mp);

enum { LITERAL, COPY, PATCH };

#define PREFIXES 65536
// A better match must win this many bytes over staying on the diagonal: about what a jump costs.
#define JUMP_BYTES 8
// So long a run on the diagonal is not worth a search for a longer one.
#define STAY_BYTES 32
#define ENOUGH_BYTES 65536

typedef struct {
  const uint8_t *old;
  int32_t old_bytes;
  int32_t *suffixes;
  // Where suffixes that begin with each pair of bytes start, so that a search has less to halve.
  int32_t first[PREFIXES + 1];
} Index;

typedef struct {
  int32_t *items; // triples: kind, bytes, place in old (-1 for literals)
  size_t count, room;
} Ops;

typedef struct {
  Task task;
  const uint8_t *old, *new;
  int32_t old_bytes, new_bytes, min_copy;
  Ops ops;
} DiffTask;

static int add_op(Ops *ops, int32_t kind, int32_t bytes, int32_t place) {
  if (bytes <= 0) return 1;
  if (ops->count == ops->room) {
    size_t room = ops->room == 0 ? 1024 : ops->room * 2;
    int32_t *grown = realloc(ops->items, room * 3 * sizeof *grown);
    if (grown == NULL) return 0;
    ops->items = grown;
    ops->room = room;
  }
  int32_t *item = ops->items + 3 * ops->count++;
  item[0] = kind;
  item[1] = bytes;
  item[2] = place;
  return 1;
}

static int32_t pair_at(const uint8_t *at) { return at[0] << 8 | at[1]; }

static Index *build_index(const uint8_t *old, int32_t old_bytes) {
  Index *index = calloc(1, sizeof *index);
  if (index == NULL) return NULL;
  index->old = old;
  index->old_bytes = old_bytes;
  index->suffixes = malloc(((size_t)old_bytes + 1) * sizeof *index->suffixes);
  if (index->suffixes == NULL || divsufsort(old, index->suffixes, old_bytes, 0) != 0) {
    free(index->suffixes);
    free(index);
    return NULL;
  }
  // The last suffix has one byte: it sorts as if a zero followed, before its pairs.
  for (int32_t i = 0; i < old_bytes; i++) {
    int32_t at = index->suffixes[i];
    int32_t pair = at + 1 < old_bytes ? pair_at(old + at) : old[at] << 8;
    index->first[pair + 1] = i + 1;
  }
  for (int32_t pair = 1; pair <= PREFIXES; pair++)
    if (index->first[pair] == 0) index->first[pair] = index->first[pair - 1];
  return index;
}

static void free_index(Index *index) {
  if (index == NULL) return;
  free(index->suffixes);
  free(index);
}

static int32_t common_bytes(const uint8_t *left, const uint8_t *right, int32_t most) {
  int32_t i = 0;
  while (i + 8 <= most) {
    uint64_t a, b;
    memcpy(&a, left + i, 8);
    memcpy(&b, right + i, 8);
    if (a != b) return i + (int32_t)(__builtin_ctzll(a ^ b) / 8);
    i += 8;
  }
  while (i < most && left[i] == right[i]) i++;
  return i;
}

// The longest run of old that new starts with; its place in *place. Of runs longer than ENOUGH_BYTES any will do: to
// compare long zeros over and over would take for ever.
static int32_t longest_match(const Index *index, const uint8_t *new, int32_t all_bytes, int32_t *place) {
  int32_t new_bytes = all_bytes < ENOUGH_BYTES ? all_bytes : ENOUGH_BYTES;
  if (new_bytes < 2) return 0;
  int32_t pair = pair_at(new);
  int32_t low = index->first[pair], high = index->first[pair + 1];
  int32_t best = 0, low_common = 0, high_common = 0;
  while (low < high) {
    int32_t middle = low + (high - low) / 2;
    int32_t at = index->suffixes[middle];
    int32_t most = index->old_bytes - at < new_bytes ? index->old_bytes - at : new_bytes;
    // Everything between two neighbours shares what both share with new.
    int32_t known = low_common < high_common ? low_common : high_common;
    if (known > most) known = most;
    int32_t common = known + common_bytes(index->old + at + known, new + known, most - known);
    if (common > best) {
      best = common;
      *place = at;
    }
    if (common == new_bytes) {
      int32_t rest = index->old_bytes - at < all_bytes ? index->old_bytes - at : all_bytes;
      return common + common_bytes(index->old + at + common, new + common, rest - common);
    }
    if (common == most || index->old[at + common] < new[common]) {
      low = middle + 1;
      low_common = common;
    } else {
      high = middle;
      high_common = common;
    }
  }
  return best;
}

// How far from here on the diagonal more bytes agree than not.
static int32_t grow_forward(const uint8_t *old, const uint8_t *new, int32_t most) {
  int32_t score = 0, best = 0, length = 0;
  for (int32_t i = 0; i < most;) {
    score += old[i] == new[i] ? 1 : -1;
    i++;
    if (score > best) {
      best = score;
      length = i;
    }
  }
  return length;
}

static int32_t grow_backward(const uint8_t *old, const uint8_t *new, int32_t most) {
  int32_t score = 0, best = 0, length = 0;
  for (int32_t i = 1; i <= most; i++) {
    score += old[-i] == new[-i] ? 1 : -1;
    if (score > best) {
      best = score;
      length = i;
    }
  }
  return length;
}

// Two neighbours claim `overlap` bytes: how many the first one keeps so that most bytes agree.
static int32_t split_overlap(const uint8_t *first, const uint8_t *second, const uint8_t *new, int32_t overlap) {
  int32_t score = 0, best = 0, keep = 0;
  for (int32_t i = 0; i < overlap; i++) {
    score += (first[i] == new[i]) - (second[i] == new[i]);
    if (score > best) {
      best = score;
      keep = i + 1;
    }
  }
  return keep;
}

// One diagonal as copies where long runs agree, and patches between.
static int add_diagonal(Ops *ops, const DiffTask *job, int32_t from, int32_t place, int32_t bytes) {
  const uint8_t *old = job->old + place, *new = job->new + from;
  int32_t open = 0; // start of the patch that is being gathered
  for (int32_t i = 0; i < bytes;) {
    int32_t same = common_bytes(old + i, new + i, bytes - i);
    if (same >= job->min_copy || (same == bytes - i && open == i)) {
      if (!add_op(ops, PATCH, i - open, place + open) || !add_op(ops, COPY, same, place + i)) return 0;
      i += same;
      open = i;
    } else i += same;
    while (i < bytes && old[i] != new[i]) i++;
  }
  return add_op(ops, PATCH, bytes - open, place + open);
}

// Bytes that agree from here on if the diagonal goes on.
static int32_t diagonal_run(const DiffTask *job, int32_t scan, int32_t shift) {
  int32_t at = scan + shift;
  if (at < 0 || at >= job->old_bytes) return 0;
  int32_t old_left = job->old_bytes - at, new_left = job->new_bytes - scan;
  return common_bytes(job->old + at, job->new + scan, old_left < new_left ? old_left : new_left);
}

static int walk(DiffTask *job, const Index *index) {
  const uint8_t *old = job->old, *new = job->new;
  int32_t scan = 0, length = 0, place = 0;       // the match that was found
  int32_t last_scan = 0, last_place = 0, shift = 0; // where the diagonal before it started; old less new
  while (scan < job->new_bytes) {
    int32_t agreed = 0, counted = scan += length, stays = 0;
    for (; scan < job->new_bytes; scan++) {
      length = diagonal_run(job, scan, shift);
      stays = length >= STAY_BYTES && scan + length < job->new_bytes;
      if (stays) break;
      length = longest_match(index, new + scan, job->new_bytes - scan, &place);
      for (; counted < scan + length; counted++)
        if (counted + shift < job->old_bytes && counted + shift >= 0 && old[counted + shift] == new[counted]) agreed++;
      if ((length == agreed && length != 0) || length > agreed + JUMP_BYTES) break;
      if (scan + shift < job->old_bytes && scan + shift >= 0 && old[scan + shift] == new[scan]) agreed--;
    }
    if ((stays || length == agreed) && scan < job->new_bytes) continue;

    int32_t room = job->old_bytes - last_place, gap = scan - last_scan;
    int32_t forward = grow_forward(old + last_place, new + last_scan, room < gap ? room : gap);
    int32_t backward = 0;
    if (scan < job->new_bytes) backward = grow_backward(old + place, new + scan, place < gap ? place : gap);
    int32_t overlap = forward + backward - gap;
    if (overlap > 0) {
      int32_t keep = split_overlap(old + last_place + forward - overlap, old + place - backward, new + scan - backward, overlap);
      forward -= overlap - keep;
      backward -= keep;
    }
    if (!add_diagonal(&job->ops, job, last_scan, last_place, forward) ||
        !add_op(&job->ops, LITERAL, gap - forward - backward, -1))
      return 0;
    last_scan = scan - backward;
    last_place = place - backward;
    shift = place - scan;
  }
  return 1;
}

static const char *run_diff(Task *task) {
  DiffTask *job = (DiffTask *)task;
  if (job->old_bytes == 0) return add_op(&job->ops, LITERAL, job->new_bytes, -1) ? NULL : "out of memory";
  Index *index = build_index(job->old, job->old_bytes);
  int done = index != NULL && walk(job, index);
  free_index(index);
  return done ? NULL : "out of memory";
}

static napi_value diff_result(napi_env env, Task *task) {
  const Ops *ops = &((DiffTask *)task)->ops;
  napi_value buffer, array;
  void *bytes;
  size_t numbers = ops->count * 3;
  if (napi_create_arraybuffer(env, numbers * sizeof(int32_t), &bytes, &buffer) != napi_ok ||
      napi_create_typedarray(env, napi_int32_array, numbers, buffer, 0, &array) != napi_ok)
    return NULL;
  if (numbers > 0) memcpy(bytes, ops->items, numbers * sizeof(int32_t));
  return array;
}

static void free_diff(Task *task) {
  free(((DiffTask *)task)->ops.items);
  free(task);
}

// diff(old, new, minCopy): Promise<Int32Array> of triples kind, bytes, place in old, which cover new from front to back.
// Both must not change until it resolves. Memory: four bytes for each byte of old.
static napi_value diff(napi_env env, napi_callback_info info) {
  napi_value args[3];
  void *old, *new;
  size_t old_bytes, new_bytes;
  int32_t min_copy;
  if (!get_args(env, info, 3, args) || !get_bytes(env, args[0], &old, &old_bytes) ||
      !get_bytes(env, args[1], &new, &new_bytes) || !get_int(env, args[2], &min_copy))
    return NULL;
  if (old_bytes > MAX_BYTES || new_bytes > MAX_BYTES || min_copy < 1)
    return fail(env, "EINVAL", "too much for one difference");
  DiffTask *job = calloc(1, sizeof *job);
  if (job == NULL) return fail(env, "ENOMEM", "out of memory");
  job->task = (Task){.run = run_diff, .result = diff_result, .release = free_diff};
  job->old = old;
  job->new = new;
  job->old_bytes = (int32_t)old_bytes;
  job->new_bytes = (int32_t)new_bytes;
  job->min_copy = min_copy;
  return start_task(env, &job->task, args, 2);
}

void register_diff(napi_env env, napi_value exports) { define(env, exports, "diff", diff, NULL); }
