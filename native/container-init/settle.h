#pragma once
#include "journal.h"

/** A slot of the container as a path, valid until the next call. */
const char *slot_folder(char slot);
/** Where the /etc of a side is; `r` has that of no arming. */
void etc_of(const struct journal *journal, struct side side, char path[PATH_BYTES]);

/** Notes what changes places when the old system at the root gives way to a slot, or a slot to it. False: nothing is begun. */
bool begin(struct journal *journal, struct side slot, char to);
/** Brings the exchange that is under way to its end, or back where that cannot be: false then. */
bool finish(struct journal *journal);
/** Gives two paths each other's entry; one that only one of them has is moved. */
bool swap(const char *one, const char *other);
