/*
 * The control socket: accepts, reads requests, answers them. One thread does all input and output and
 * never blocks on a peer; a few threads run queries; what changes something, or needs the main
 * thread's view, waits in a queue until the main thread calls control_work() between two batches. So
 * a slow or broken client delays nobody, least of all a commit.
 *
 * Peers must be of our own user or root. A request is one line of at most 1 MiB, several may follow
 * each other on one connection; a connection that says nothing for 30 s is closed.
 */
#ifndef LEDGER_CONTROL_H
#define LEDGER_CONTROL_H

#include "base/base.h"

struct command_actor;
struct control;
struct ledger;

/* listen_fd stays the caller's. -ENOMEM, -EAGAIN. */
int control_start(struct ledger *ledger, int listen_fd, struct control **out) MUST_CHECK;
/* Readable when control_work() has something to do. */
int control_fd(const struct control *control);
/* Main thread. A negative errno: the store failed, the process has to end. */
int control_work(struct control *control) MUST_CHECK;
/*
 * A command that the master answers waits here, one at a time; who comes meanwhile is told to come
 * again. True once for each: it has to be asked.
 */
bool control_asks(struct control *control) MUST_CHECK;
/* For whom; valid until it is answered. NULL: nobody waits. */
const struct command_actor *control_asker(const struct control *control);
/* What it said: the members of one JSON object are the result. STR_NONE: it can say nothing. */
void control_answer(struct control *control, struct str json);
/*
 * A connection whose command the master answers at the connection itself: its descriptor, which is the
 * caller's then, and of which nothing is left here. -1: there is none.
 */
int control_hand(struct control *control) MUST_CHECK;
/* Another takes this process's place soon: who connects from now on waits for that one. */
void control_leave(struct control *control);
/* A command that was read has not been answered yet. */
bool control_busy(struct control *control) MUST_CHECK;
/* Finishes what runs, writes what is ready for at most a second, ends the threads. */
void control_stop(struct control **control);

#endif
