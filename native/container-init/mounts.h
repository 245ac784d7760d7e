#pragma once
#include "boot.h"

/** A mount namespace and a root in it. */
struct place {
  int namespace, root;
};

struct place place_here(void);
void place_return(struct place place);
void place_forget(struct place place);

/**
 * Makes a slot the root of a new mount namespace, with the /etc of that generation, carried over from `from` ("b.00000012")
 * where it is new. False where that is not possible; then the place is any, and `place_return` has to follow.
 */
bool enter_slot(char slot, const char *generation, const char *from);
