/*
 * Prices of a tenant's own: what it pays of the multipliers of some channels, for some models. Each is written
 * CHANNEL[:MODELS]=FACTOR, "official:gpt-*=0.85"; "*" is every channel, and without MODELS, a glob over
 * names and aliases, it is for every model. Of several that are for a call the first counts.
 */
#ifndef LEDGER_DEAL_H
#define LEDGER_DEAL_H

#include "base/base.h"
#include "base/js.h"
#include "base/jw.h"
#include "ledger/entity.h"
#include "shm/region.h"

/* NULL: *out is what the text says; else what is wrong with it. */
const char *deal_parse(struct str text, struct entity_deal *out) MUST_CHECK;
#define DEAL_TEXT_LEN (ENTITY_NAME_MAX + ENTITY_DEAL_MODELS_MAX + 16)
/* The same back; returns its length. text has room for DEAL_TEXT_LEN + 1. */
size_t deal_text(const struct entity_deal *deal, char *text);

/* The member "prices": an array of such texts. Reading leaves out what does not parse. */
void deals_write(struct jw *jw, const struct entity_deals *deals);
void deals_read(struct js_value prices, struct entity_deals *out);

/* As workers read them, of a region. False: all globs together are too long. -ENOSPC: no room for names. */
bool deals_fit(const struct entity_deals *deals) MUST_CHECK;
int deals_publish(const struct entity_deals *deals, struct region *region, struct key_extra *extra) MUST_CHECK;

#endif
