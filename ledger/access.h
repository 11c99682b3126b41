/*
 * The access log: a line a call into the log, as routes.conf says (section log), written by a thread of its
 * own. When nobody takes the log the thread waits, and nobody else does; what the feed has lost by then is
 * counted and said.
 */
#ifndef LEDGER_ACCESS_H
#define LEDGER_ACCESS_H

#include "base/base.h"

struct access;
struct ledger;

int access_start(struct ledger *ledger, struct access **out) MUST_CHECK;
/* After feed_stop(): what is there is written, but nobody is waited for longer than a second. */
void access_stop(struct access **access);

#endif
