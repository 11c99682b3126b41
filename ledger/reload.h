/*
 * The ledger process's part of a reload: it reads routes.conf as the master did, has its prices in the
 * store and keys' names in memory before any worker goes by them, and takes it for its own (channels
 * of new keys, `turnpike route`) when the master says that the new workers serve. Main thread.
 */
#ifndef LEDGER_RELOAD_H
#define LEDGER_RELOAD_H

#include "base/base.h"
#include "ledger/core.h"

struct reload {
    const char *path;
    struct conf *kept; /* read, and not in force */
    struct conf *own;  /* in force, where that is one we read */
};

/*
 * Whether the file still says what the master read. Negative: the store failed, the process has to
 * end.
 */
int reload_keep(struct reload *reload, struct ledger *ledger, const struct ledger_word *word,
                bool *kept) MUST_CHECK;
void reload_take(struct reload *reload, struct ledger *ledger);
void reload_drop(struct reload *reload);

#endif
