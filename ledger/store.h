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

/* Why a store could not be opened: texts that live on. */
struct store_fault {
    char what[4096];  /* the path it is about */
    const char *why;
    const char *hint; /* NULL: nothing but the errno's meaning */
};

/*
 * 0; -EBUSY: somebody holds the lock, or is still about to end; -ENOENT: there is no state directory;
 * -EACCES; other negative errnos. *fault tells of all but 0.
 */
int store_open(const char *state_dir, struct store **out, struct store_fault *fault) MUST_CHECK;
/* What an errno of the store's means to people; some of them stand for states of the database. */
const char *store_error_text(int rc);
/* As the control socket would answer, without the newline. A negative errno: the store failed. */
int store_ask(struct store *store, struct str request, struct buf *answer) MUST_CHECK;
/* The same with a descriptor for it, which is closed. */
int store_ask_with(struct store *store, struct str request, int fd, struct buf *answer) MUST_CHECK;
void store_close(struct store **store);
/* No tenant was ever added to it. */
bool store_is_empty(const struct store *store);

/*
 * For who puts another store in its place: the rights of the state directory's owner, the master's lock,
 * and certainty that no ledger process works on. 0 and a descriptor that holds the lock until it is
 * closed; else as store_open().
 */
int store_lock(const char *state_dir, int *lock_fd, struct store_fault *fault) MUST_CHECK;

#endif
