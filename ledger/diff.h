/* The lines that two texts differ by, as `diff -u` writes them. */
#ifndef LEDGER_DIFF_H
#define LEDGER_DIFF_H

#include "base/base.h"
#include "base/buf.h"

/* Nothing when they are the same. Texts that differ by very much are said to differ as a whole. -ENOMEM. */
int diff_unified(struct str before, struct str after, struct buf *out) MUST_CHECK;

#endif
