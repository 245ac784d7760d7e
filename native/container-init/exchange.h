#pragma once
#include "journal.h"

/** Whether this container starts its slots by exchange: /.pine/exchange is there. */
bool is_exchanging(void);

/**
 * Brings a side to the root of the container, a slot with the /etc of that generation, carried over from `from` where it is
 * new. False where the root has another side, whole; or where nothing can be decided, and then nothing is renamed.
 */
bool exchange(struct side target, struct side from);

/** Gives two paths each other's entry, as an exchange does. Status for a shell. */
int exchange_paths(const char *one, const char *other);
