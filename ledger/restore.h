/*
 * turnpike restore: a store made of a backup, put in the place of the one that is there.
 *
 * Nothing of what is there is touched before all of the file has been read, its hashes and its books
 * found right, and the new store is synced; then one rename puts it in place and the old one aside. The
 * restored store is another instance: a memory file that an earlier server left holds calls of what has been
 * replaced, some of them charged after the backup or in it already. It is never adopted over it, since
 * its instance is not the store's (bind_region() in ledger/recover.c).
 */
#ifndef LEDGER_RESTORE_H
#define LEDGER_RESTORE_H

#include "ledger/backup.h"
#include "ledger/store.h"

struct restore {
    int fd; /* the file, read from front to back; the caller's */
    const char *file; /* its name, for messages */
    bool force; /* over a store that is not empty */
    /* False: give up, with -ECANCELED. May be NULL. */
    bool (*on_progress)(void *arg, uint64_t done_bytes, uint64_t about_bytes);
    void *arg;

    /* What came of it. */
    struct backup_about about;
    char aside[4096]; /* where the store went that was there; "" when there was none, or an empty one */
    bool aside_unsettled; /* it could not be opened, so what was only in memory is not in it */
    struct store_fault fault;
    char why[512]; /* that fault.why points to */
};

/*
 * Makes the store of state_dir, which is there. 0; -EEXIST: there is one that is not empty; -EBUSY: a server works
 * on it; -EILSEQ: the file is damaged, or its books do not balance; -EPROTO: a newer program's; other
 * errnos. fault tells of all but 0; then all is as it was.
 */
int restore_run(struct restore *restore, const char *state_dir) MUST_CHECK;
/* The same up to the renaming, in a directory of its own that is removed again. */
int restore_verify(struct restore *restore, const char *scratch_dir) MUST_CHECK;

#endif
