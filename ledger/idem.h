/*
 * Answers that were given, to be given again: so that who lost an answer can ask once more, and a
 * command is done once.
 *
 *     0 as u8, hash of actor and idem -> struct idem_head, the result's JSON without secrets
 *     1 as u8, when as u64, that hash -> nothing: to drop them in the order in which they expire
 *
 * The record is in the transaction of what was done. Every command that changes something drops up to
 * IDEM_DROP_MAX that have expired, so that dropping costs no more than keeping.
 */
#ifndef LEDGER_IDEM_H
#define LEDGER_IDEM_H

#include "base/base.h"
#include "base/hash.h"

#define IDEM_LIFE_US (INT64_C(24) * 3600 * 1000000)
#define IDEM_TEXT_MAX 128
#define IDEM_DROP_MAX 8
#define IDEM_RESULT_BYTES_MAX 65536

struct command;

struct idem_head {
    int64_t wall_us;
    uint8_t request[HASH_LEN]; /* keyed: of idem_of, or of the command and its arguments */
};
_Static_assert(sizeof(struct idem_head) == 40, "the store's form");

/* When it was done before: the result is written, or refused, and *found is set. */
int idem_find(struct command *command, bool *found) MUST_CHECK;
/* Keeps what the command has written as its result; nothing, when it has no idem. */
int idem_keep(struct command *command) MUST_CHECK;
int idem_drop(struct command *command) MUST_CHECK;

#endif
