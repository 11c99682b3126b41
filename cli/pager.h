/*
 * Long listings on a terminal, a screen at a time: what is printed between the two calls is kept back, and
 * shown by $PAGER, else less, else more, when it is longer than the screen. Where standard output is no
 * terminal, and where the variable is empty or "cat", nothing is kept back.
 */
#ifndef CLI_PAGER_H
#define CLI_PAGER_H

#include "base/base.h"

void pager_begin(void);
/* Waits until the pager has ended. Also after a failure: what was printed is shown. */
void pager_end(void);

#endif
