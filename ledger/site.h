/*
 * What the operator tells people: the terms and the privacy policy, announcements, and a few texts.
 *
 *     terms     kind as u8, version as u32 -> JSON: texts by language, when it was put, a note
 *     notice    id as u32 -> JSON: texts, level, from when until when
 *     setting   name -> JSON: its value
 *
 * A version of the terms is never changed and never dropped: who agreed to it agreed to these words.
 */
#ifndef LEDGER_SITE_H
#define LEDGER_SITE_H

#include "base/base.h"
#include "ledger/db.h"

enum terms_kind { TERMS_SERVICE = 0, TERMS_PRIVACY, TERMS_KIND_COUNT };
extern const char *const terms_kind_name[TERMS_KIND_COUNT]; /* "terms", "privacy" */

#define SITE_TEXT_MAX (256u << 10)

/* The version that holds; 0: there is none. */
int terms_current(struct db_txn *txn, enum terms_kind kind, uint32_t *version) MUST_CHECK;

#endif
