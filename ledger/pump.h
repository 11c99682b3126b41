/*
 * What the telemetry process is told: a thread that reads the feed and puts what it finds into the socket to
 * it. When that is full, or nobody is there, the thread waits, and nobody else does; what the feed has lost by
 * then is told as a number.
 */
#ifndef LEDGER_PUMP_H
#define LEDGER_PUMP_H

#include "base/base.h"

struct ledger;
struct pump;

/* fd: of whole messages, struct event_batch each; not ours to close. */
int pump_start(struct ledger *ledger, int fd, struct pump **out) MUST_CHECK;
/* After feed_stop(): what is there is sent, but nobody is waited for longer than a second. */
void pump_stop(struct pump **pump);

#endif
