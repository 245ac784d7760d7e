// The algorithm of src/system/grub.cfg; src/model/loader.ts is the same.
#include "boot.h"

/** Spends one try of a target and starts it. A try that cannot be recorded is made only with a slot known to be good. */
static void try(struct boot *boot, char target, start_function *start) {
  bool good = false;
  if (target != 'r') {
    if (boot->slots[target - 'a'].left == 0) return;
    boot->slots[target - 'a'].left--;
    good = boot->slots[target - 'a'].confirmed;
  }
  boot->last = target;
  if (boot_save(boot) || good) start(boot, target);
}

void boot_pass(struct boot *boot, start_function *start) {
  const char once = boot->next;
  boot->next = '-';
  // 1. The one-shot, then the slots in order, each while it has tries left.
  if (once != '-') try(boot, once, start);
  for (int i = 0; i < 2; i++) try(boot, boot->order[i], start);
  // 2. All tries spent: better a slot that was good once than a dead machine.
  for (int i = 0; i < 2; i++) {
    if (!boot->slots[boot->order[i] - 'a'].confirmed || boot->rearms == 0) continue;
    boot->rearms--;
    boot->last = boot->order[i];
    boot_save(boot);
    start(boot, boot->order[i]);
  }
  // 3. The old system.
  start(boot, 'r');
  // 4. Uncounted. Never a slot that is unconfirmed while the state is readable: it may be half written.
  for (int i = 0; i < 2; i++)
    if (boot->copy < 0 || boot->slots[boot->order[i] - 'a'].confirmed) start(boot, boot->order[i]);
}
