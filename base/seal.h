/*
 * Sealing: small secrets that have to be read again (what a queued mail says, what a webhook is signed
 * with) are kept encrypted and authenticated, by a key that is made of the store's own. It keeps them out of
 * records that are copied, of pages that are not in use any more and of what is shown by mistake; not from
 * who has the whole store, with the key in it.
 */
#ifndef BASE_SEAL_H
#define BASE_SEAL_H

#include "base/base.h"
#include "base/buf.h"
#include "base/hash.h"

/* Appends the sealed text in hex. purpose: what was sealed for one cannot be opened as another. */
bool seal_close(const uint8_t key[HASH_KEY_LEN], const char *purpose, struct str text,
                struct buf *hex) MUST_CHECK;
/* Appends the text. False, and nothing appended, when it is not what was sealed. */
bool seal_open(const uint8_t key[HASH_KEY_LEN], const char *purpose, struct str hex,
               struct buf *text) MUST_CHECK;

#endif
