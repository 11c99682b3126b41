/*
 * The same commands where no server runs: takes the master's lock, adopts the memory file that a crash
 * may have left (or makes one for the while), recovers, runs commands, and leaves the store and the
 * memory file as a clean stop does.
 */
#ifndef LEDGER_STORE_H
#define LEDGER_STORE_H

#include "base/base.h"
#include "base/buf.h"

struct store;

/*
 * 0; -EBUSY: somebody holds the lock, or is still about to end; -ENOENT: there is no state directory;
 * -EACCES; other negative errnos, with *why set to static text.
 */
int store_open(const char *state_dir, struct store **out, const char **why) MUST_CHECK;
/* As the control socket would answer, without the newline. A negative errno: the store failed. */
int store_ask(struct store *store, struct str request, struct buf *answer) MUST_CHECK;
void store_close(struct store **store);

#endif
