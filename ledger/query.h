/* What queries share: names as the store numbers them. On any thread. */
#ifndef LEDGER_QUERY_H
#define LEDGER_QUERY_H

#include "ledger/block.h"
#include "ledger/command.h"
#include "ledger/rollup.h"

struct str query_name(struct command *command, uint32_t id); /* STR_NONE if unknown */
uint32_t query_name_id(struct command *command, struct str text); /* 0: no record ever had it */
/* A member of what is written: the name, or null. */
void query_write_name(struct command *command, const char *key, uint32_t id);
/* The members of a call: what was asked, what came of it, tokens, and the money as given, which may
 * be that of several slots. Then its attempts, as a member of their own. */
void query_write_record(struct command *command, const struct block_record *r, int64_t held_ucr,
                        int64_t charge_ucr, int64_t uncollected_ucr);
/* Members of a total: calls, errors, tokens, and the money. */
void query_write_rollup(struct jw *jw, const struct rollup *of);
/* Members "workers" and "upstreams", the latter those of the newest routes.conf, in no order but that of
 * their places. Gives how many settled calls are not committed yet. */
uint64_t query_write_workers(struct jw *jw, struct region *region);
void query_write_upstreams(struct command *command);
/* How the charge came about: a line a class, exact, and the one rounding. */
int query_write_price(struct command *command, const struct block_record *r) MUST_CHECK;
void query_write_attempts(struct command *command, const struct block_record *r);

#endif
