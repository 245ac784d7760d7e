// Numbers in code and tables that say where something is: what they become when what they point to has moved.
// Addresses are doubles: whole numbers, exact up to 2^53; a kernel's lie just below zero.
#include "pine.h"
#include <math.h>

#define MAX_EXACT 9007199254740992.0

enum { CODE, TABLE };
// What a number counts from: an origin; the field itself; its record, each of which is `scale` further than the last.
enum { ORIGIN, ITSELF, RECORD };
enum { TABLE_NUMBERS = 3, FIELD_NUMBERS = 5 };

// From starts[i] on everything has moved by shifts[i]; what the last one moves stops at `end`.
typedef struct {
  const double *starts, *shifts;
  size_t count;
  double end;
  uint32_t *uses; // how often each was looked up, where anybody wants to know
} Map;

typedef struct {
  uint8_t *bytes;
  size_t count;
  double old_at, new_at; // addresses of the first byte, before and after
  Map map;
  int bare; // write where a number points to, not how it is stored: that is the same wherever code has moved
} Job;

typedef struct {
  size_t offset, width;
  int from;
  double scale, old_origin, new_origin;
} Field;

static int map_address(const Map *map, double at, double *moved) {
  if (map->count == 0 || !(at >= map->starts[0]) || !(at < map->end)) return 0;
  size_t low = 0, high = map->count;
  while (high - low > 1) {
    size_t middle = low + (high - low) / 2;
    if (map->starts[middle] <= at) low = middle;
    else high = middle;
  }
  *moved = at + map->shifts[low];
  if (map->uses != NULL) map->uses[low] += 1;
  return 1;
}

static int32_t read32(const uint8_t *at) {
  int32_t number;
  memcpy(&number, at, sizeof number);
  return number;
}

// Bare numbers are only compared: the low half tells enough.
static int write32(uint8_t *at, double value, int bare) {
  if (!(fabs(value) <= MAX_EXACT) || (!bare && (value < INT32_MIN || value > INT32_MAX))) return 0;
  uint32_t number = (uint32_t)(int64_t)value;
  memcpy(at, &number, sizeof number);
  return 1;
}

// ---- x86-64 code: a displacement of 32 bits counts from its own end

static size_t opcode_bytes(const uint8_t *at, size_t left) {
  // Calls and jumps; conditional jumps; operands relative to the instruction pointer.
  if (left >= 5 && (at[0] == 0xe8 || at[0] == 0xe9)) return 1;
  if (left >= 6 && at[0] == 0x0f && (at[1] & 0xf0) == 0x80) return 2;
  if (left >= 6 && (at[1] & 0xc7) == 0x05) return 2;
  return 0;
}

static void adjust_code(const Job *job) {
  for (size_t i = 0; i < job->count; i++) {
    size_t skip = opcode_bytes(job->bytes + i, job->count - i);
    if (skip == 0) continue;
    uint8_t *field = job->bytes + i + skip;
    double after = (double)(i + skip + 4), moved;
    if (!map_address(&job->map, job->old_at + after + read32(field), &moved)) continue;
    if (write32(field, moved - (job->bare ? 0 : job->new_at + after), job->bare)) i += skip + 3;
  }
}

// ---- tables: records of one size

static double read_field(const uint8_t *at, size_t width) {
  if (width == 4) return read32(at);
  int64_t number;
  memcpy(&number, at, sizeof number);
  return (double)number;
}

static void write_field(const Job *job, uint8_t *at, size_t width, double value) {
  if (width == 4) {
    write32(at, value, job->bare);
    return;
  }
  if (!(fabs(value) <= MAX_EXACT)) return;
  int64_t number = (int64_t)value;
  memcpy(at, &number, sizeof number);
}

static void adjust_place(const Job *job, size_t at, const Field *field) {
  double value = read_field(job->bytes + at, field->width), here = (double)at, moved;
  double origin = field->from == ITSELF ? job->old_at + here : field->old_origin;
  if (!map_address(&job->map, origin + value * field->scale, &moved)) return;
  if (!job->bare) moved = (moved - (field->from == ITSELF ? job->new_at + here : field->new_origin)) / field->scale;
  if (moved == floor(moved)) write_field(job, job->bytes + at, field->width, moved);
}

static double moved_origin(const Map *map, double origin) {
  double moved;
  return map_address(map, origin, &moved) ? moved : origin;
}

static void adjust_table(const Job *job, const double *shape, size_t numbers) {
  double record = shape[1], before = job->old_at - shape[2];
  double first = floor(before / record); // number of the record that the first byte is in
  double phase = before - first * record;
  double new_first = floor((job->new_at - moved_origin(&job->map, shape[2])) / record);
  for (size_t n = TABLE_NUMBERS; n + FIELD_NUMBERS <= numbers; n += FIELD_NUMBERS) {
    Field field = {(size_t)shape[n], (size_t)shape[n + 1], (int)shape[n + 2], shape[n + 3], shape[n + 4], 0};
    field.new_origin = moved_origin(&job->map, field.old_origin);
    int in_next = (double)field.offset < phase;
    size_t at = (size_t)((double)field.offset - phase + (in_next ? record : 0));
    for (double index = in_next; at + field.width <= job->count; at += (size_t)record, index++) {
      uint8_t *bytes = job->bytes + at;
      double records = job->bare ? -(first + index) : new_first - first;
      if (field.from != RECORD) adjust_place(job, at, &field);
      else write_field(job, bytes, field.width, read_field(bytes, field.width) + records * field.scale);
    }
  }
}

// ---- for JavaScript

static int get_array(napi_env env, napi_value value, napi_typedarray_type wanted, void **numbers, size_t *count) {
  napi_typedarray_type type;
  bool is_typed = false;
  if (napi_is_typedarray(env, value, &is_typed) == napi_ok && is_typed &&
      napi_get_typedarray_info(env, value, &type, count, numbers, NULL, NULL) == napi_ok && type == wanted)
    return 1;
  const char *name = wanted == napi_float64_array ? "expected a Float64Array" : "expected a Uint32Array";
  napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", name);
  return 0;
}

// A count for each step of the map; undefined where nobody counts.
static int get_uses(napi_env env, napi_value value, Map *map) {
  napi_valuetype kind;
  void *counts;
  size_t count;
  if (napi_typeof(env, value, &kind) == napi_ok && kind == napi_undefined) return 1;
  if (!get_array(env, value, napi_uint32_array, &counts, &count)) return 0;
  if (count != map->count) {
    fail(env, "EINVAL", "expected a count for each step");
    return 0;
  }
  map->uses = counts;
  return 1;
}

static const char *check_shape(const double *shape, size_t count) {
  if (count == 1 && shape[0] == CODE) return NULL;
  if (count < TABLE_NUMBERS || shape[0] != TABLE || (count - TABLE_NUMBERS) % FIELD_NUMBERS != 0) return "unknown shape";
  if (!(shape[1] >= 1 && shape[1] <= 4096) || !(fabs(shape[2]) <= MAX_EXACT)) return "impossible records";
  for (size_t n = TABLE_NUMBERS; n < count; n += FIELD_NUMBERS) {
    double width = shape[n + 1], from = shape[n + 2];
    if ((width != 4 && width != 8) || !(shape[n] >= 0 && shape[n] + width <= shape[1])) return "a field outside its record";
    if (from != ORIGIN && from != ITSELF && from != RECORD) return "a field that counts from nowhere";
    if (!(shape[n + 3] >= 1 && shape[n + 3] <= 4096) || !(fabs(shape[n + 4]) <= MAX_EXACT)) return "an impossible field";
  }
  return NULL;
}

// adjust(bytes, shape, map, oldAt, newAt, bare, uses): see `Codecs.adjust`.
static napi_value adjust(napi_env env, napi_callback_info info) {
  napi_value args[7];
  size_t numbers, map_numbers;
  void *bytes, *shape_numbers, *map_array;
  Job job = {0};
  bool bare;
  if (!get_args(env, info, 7, args) || !get_bytes(env, args[0], &bytes, &job.count) ||
      !get_array(env, args[1], napi_float64_array, &shape_numbers, &numbers) ||
      !get_array(env, args[2], napi_float64_array, &map_array, &map_numbers))
    return NULL;
  const double *shape = shape_numbers, *map = map_array;
  if (napi_get_value_double(env, args[3], &job.old_at) != napi_ok || !(fabs(job.old_at) <= MAX_EXACT) ||
      napi_get_value_double(env, args[4], &job.new_at) != napi_ok || !(fabs(job.new_at) <= MAX_EXACT) ||
      napi_get_value_bool(env, args[5], &bare) != napi_ok)
    return fail(env, "EINVAL", "expected addresses");
  const char *error = numbers == 0 ? "no shape" : check_shape(shape, numbers);
  if (error == NULL && map_numbers % 2 != 1) error = "a map without an end";
  if (error != NULL) return fail(env, "EINVAL", error);
  size_t count = map_numbers / 2;
  job.bytes = bytes;
  job.bare = bare;
  job.map = (Map){map, map + count, count, map[2 * count], NULL};
  if (!get_uses(env, args[6], &job.map)) return NULL;
  if (shape[0] == CODE) adjust_code(&job);
  else adjust_table(&job, shape, numbers);
  return undefined_value(env);
}

void register_adjust(napi_env env, napi_value exports) { define(env, exports, "adjust", adjust, NULL); }
