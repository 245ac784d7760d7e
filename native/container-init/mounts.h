#pragma once
#include "boot.h"

/** A mount namespace and a root in it. */
struct place {
  int namespace, root;
};

struct place place_here(void);
void place_return(struct place place);
void place_forget(struct place place);

/** A mount namespace of its own, if this container may have one. */
bool may_mount(void);

/**
 * Makes a slot the root of a new mount namespace, with the /etc of its generation, carried over from that of the other slot
 * where it is new. False where that is not possible; then the place is any, and `place_return` has to follow.
 */
bool enter_slot(struct side slot, struct side other);
