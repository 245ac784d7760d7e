// Where a file lies on its file system, and what decides that. All on a thread: each may wait for the disk.
#include "pine.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

typedef struct {
  Task task;
  int32_t fd;
  int32_t on;
  int64_t offset, bytes;
  double *found;
  size_t count, room;
} FileTask;

static napi_value no_result(napi_env env, Task *task) {
  (void)task;
  return undefined_value(env);
}

static void free_file_task(Task *task) {
  free(((FileTask *)task)->found);
  free(task);
}

/** Starts what takes (fd) or (fd, offset, bytes); the file must stay open until the promise is settled. */
static napi_value start(napi_env env, napi_callback_info info, size_t count, Task with) {
  napi_value args[3];
  FileTask given = {.task = with};
  given.task.release = free_file_task;
  if (!get_args(env, info, count, args) || !get_int(env, args[0], &given.fd)) return NULL;
  if (count == 2 && !get_int(env, args[1], &given.on)) return NULL;
  if (count == 3 && (!get_whole(env, args[1], &given.offset) || !get_whole(env, args[2], &given.bytes))) return NULL;
  FileTask *job = malloc(sizeof *job);
  if (job == NULL) return fail(env, "ENOMEM", "out of memory");
  *job = given;
  return start_task(env, &job->task, NULL, 0);
}

// ---- the map

#define AT_ONCE 512
#define COLUMNS 4

static int keep_extents(FileTask *job, const struct fiemap *map) {
  size_t needed = job->count + map->fm_mapped_extents;
  if (needed > job->room) {
    size_t room = needed * 2;
    double *grown = realloc(job->found, room * COLUMNS * sizeof *grown);
    if (grown == NULL) return 0;
    job->found = grown;
    job->room = room;
  }
  for (uint32_t i = 0; i < map->fm_mapped_extents; i++) {
    const struct fiemap_extent *extent = &map->fm_extents[i];
    double *row = job->found + COLUMNS * job->count++;
    row[0] = (double)extent->fe_logical;
    row[1] = (double)extent->fe_physical;
    row[2] = (double)extent->fe_length;
    row[3] = (double)extent->fe_flags;
  }
  return 1;
}

static const char *map_all(FileTask *job, struct fiemap *map) {
  for (uint64_t from = 0;;) {
    memset(map, 0, sizeof *map);
    map->fm_start = from;
    map->fm_length = FIEMAP_MAX_OFFSET - from;
    map->fm_flags = FIEMAP_FLAG_SYNC;
    map->fm_extent_count = AT_ONCE;
    if (ioctl(job->fd, FS_IOC_FIEMAP, map) < 0) return task_errno(&job->task);
    if (map->fm_mapped_extents == 0) return NULL;
    if (!keep_extents(job, map)) return "out of memory";
    const struct fiemap_extent *last = &map->fm_extents[map->fm_mapped_extents - 1];
    if (last->fe_flags & FIEMAP_EXTENT_LAST) return NULL;
    from = last->fe_logical + last->fe_length;
  }
}

static const char *run_map(Task *task) {
  struct fiemap *map = malloc(sizeof *map + AT_ONCE * sizeof *map->fm_extents);
  if (map == NULL) return "out of memory";
  const char *error = map_all((FileTask *)task, map);
  free(map);
  return error;
}

static napi_value map_result(napi_env env, Task *task) {
  const FileTask *job = (FileTask *)task;
  napi_value buffer, array;
  void *bytes;
  size_t numbers = job->count * COLUMNS;
  if (napi_create_arraybuffer(env, numbers * sizeof(double), &bytes, &buffer) != napi_ok ||
      napi_create_typedarray(env, napi_float64_array, numbers, buffer, 0, &array) != napi_ok)
    return NULL;
  if (numbers > 0) memcpy(bytes, job->found, numbers * sizeof(double));
  return array;
}

// extents(fd): Promise<Float64Array> of logical, physical, bytes, flags for each; what the cache holds is written first.
static napi_value extents(napi_env env, napi_callback_info info) {
  return start(env, info, 1, (Task){.run = run_map, .result = map_result});
}

// ---- room

static const char *change_room(FileTask *job, int mode) {
  int result;
  do result = fallocate(job->fd, mode, job->offset, job->bytes);
  while (result < 0 && errno == EINTR);
  return result < 0 ? task_errno(&job->task) : NULL;
}

static const char *run_allocate(Task *task) { return change_room((FileTask *)task, 0); }

static const char *run_punch(Task *task) {
  return change_room((FileTask *)task, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
}

// allocate(fd, offset, bytes): Promise<void>. Blocks for that range, which read as zeros.
static napi_value allocate(napi_env env, napi_callback_info info) {
  return start(env, info, 3, (Task){.run = run_allocate, .result = no_result});
}

// punch(fd, offset, bytes): Promise<void>. Frees what is whole blocks of that range; it reads as zeros.
static napi_value punch(napi_env env, napi_callback_info info) {
  return start(env, info, 3, (Task){.run = run_punch, .result = no_result});
}

// ---- flags

static const char *run_immutable(Task *task) {
  FileTask *job = (FileTask *)task;
  // An int, whatever the number of the call says: ioctl_iflags(2).
  unsigned int flags = 0;
  if (ioctl(job->fd, FS_IOC_GETFLAGS, &flags) < 0) return task_errno(task);
  unsigned int wanted = job->on ? flags | FS_IMMUTABLE_FL : flags & ~(unsigned int)FS_IMMUTABLE_FL;
  if (wanted == flags) return NULL;
  return ioctl(job->fd, FS_IOC_SETFLAGS, &wanted) < 0 ? task_errno(task) : NULL;
}

// setImmutable(fd, on): Promise<void>. 1: nobody can write to, move or remove the file.
static napi_value set_immutable(napi_env env, napi_callback_info info) {
  return start(env, info, 2, (Task){.run = run_immutable, .result = no_result});
}

void register_extents(napi_env env, napi_value exports) {
  define(env, exports, "extents", extents, NULL);
  define(env, exports, "allocate", allocate, NULL);
  define(env, exports, "punch", punch, NULL);
  define(env, exports, "setImmutable", set_immutable, NULL);
}
