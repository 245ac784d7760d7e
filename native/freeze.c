// Brings all of a file system to its place on the disk, out of its journal: GRUB reads no journals. ext4 and xfs do that
// only when they are frozen.
#include "pine.h"
#include <errno.h>
#include <linux/fs.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct {
  Task task;
  int32_t fd;
} FreezeTask;

// A frozen root file system that nobody thaws is a dead machine, and SIGKILL may end us right after the freeze. So a second
// process waits for the end of the first, which it sees at the socket, and thaws then; ostree does the same. Nothing but
// system calls: what other threads held at the fork is held for ever.
static void stand_by(int fd, int socket) {
  sigset_t all;
  char word;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, NULL);
  setsid();
  ssize_t heard;
  do heard = read(socket, &word, 1);
  while (heard < 0 && errno == EINTR);
  if (heard != 1) ioctl(fd, FITHAW, 0);
  _exit(0);
}

// Returns zero or an errno. What we did not freeze is somebody else's to thaw.
static int cycle(int fd, int *frozen) {
  if (ioctl(fd, FIFREEZE, 0) < 0) return errno;
  *frozen = ioctl(fd, FITHAW, 0) < 0;
  return *frozen ? errno : 0;
}

static int guarded_cycle(int fd) {
  int pair[2], frozen = 0;
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) return errno;
  pid_t guard = fork();
  if (guard == 0) {
    close(pair[0]);
    stand_by(fd, pair[1]);
  }
  int error = guard < 0 ? errno : cycle(fd, &frozen);
  // Without a word it thaws: what we could not, it tries once more.
  if (!frozen) send(pair[0], "", 1, MSG_NOSIGNAL);
  close(pair[0]);
  close(pair[1]);
  if (guard < 0) return error;
  while (waitpid(guard, NULL, 0) < 0 && errno == EINTR)
    continue;
  return error;
}

static const char *run_freeze(Task *task) {
  int fd = ((FreezeTask *)task)->fd;
  int error = syncfs(fd) < 0 ? errno : guarded_cycle(fd);
  errno = error;
  return error == 0 ? NULL : task_errno(task);
}

static napi_value freeze_result(napi_env env, Task *task) {
  (void)task;
  return undefined_value(env);
}

static void release_freeze(Task *task) { free(task); }

// freezeThaw(fd): Promise<void>. Throws EBUSY where it is frozen already, EOPNOTSUPP where it cannot be.
static napi_value freeze_thaw(napi_env env, napi_callback_info info) {
  napi_value args[1];
  int32_t fd;
  if (!get_args(env, info, 1, args) || !get_int(env, args[0], &fd)) return NULL;
  FreezeTask *job = calloc(1, sizeof *job);
  if (job == NULL) return fail(env, "ENOMEM", "out of memory");
  job->task = (Task){.run = run_freeze, .result = freeze_result, .release = release_freeze};
  job->fd = fd;
  return start_task(env, &job->task, NULL, 0);
}

void register_freeze(napi_env env, napi_value exports) { define(env, exports, "freezeThaw", freeze_thaw, NULL); }
