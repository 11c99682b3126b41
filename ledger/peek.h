/*
 * A look at a store that nobody has open: which schema it is of. Reads a few pages and takes no lock, so it is
 * for a store whose server does not run; it changes nothing.
 */
#ifndef LEDGER_PEEK_H
#define LEDGER_PEEK_H

#include "base/base.h"

/* The schema that this program reads and writes. */
extern const uint32_t peek_schema_known;
/* 0, -ENOENT: there is none yet; other negative errnos: store_error_text() has words for them. */
int peek_schema(const char *state_dir, uint32_t *schema) MUST_CHECK;

#endif
