/*
 * The other half of an upgrade (master/upgrade.h): the program that takes over, and one that comes back
 * because its successor did not stay.
 *
 *     options    the same command line; what is listened on, and by how many workers, is handed over
 *     read       routes.conf and certificates, as a start does
 *     take       descriptors, the memory file, the children: they are ours now
 *     ledger     another ledger process; the earlier one goes when it asks for its place
 *     workers    another generation, beside the one that serves
 *     done       all serve: the earlier ones drain as after a reload, and who asked is told
 *
 * Until done, whatever fails runs the program that handed over again, also a crash of ours: its workers
 * serve all the while. With another memory file there is nothing to go back to once workers serve from
 * it, and a crash is then what a crash always is.
 */
#ifndef MASTER_SUCCESSOR_H
#define MASTER_SUCCESSOR_H

#include "base/base.h"
#include "master/handover.h"
#include "master/options.h"

struct master;

/* HANDOVER_CHECK: says on standard output what this program is, or on standard error why it could not take
 * over. why: the words could not be understood. Returns an exit status. */
int successor_check(int argc, char **argv, struct handover *handover, const char *why);
/* As options_serve(), of a process that takes over. When it fails it goes back, if there is whereto. */
int successor_options(int argc, char **argv, struct handover *handover, const char *why,
                      struct options *out) MUST_CHECK;
/* In a child: a crash is its own. */
void successor_crash_forget(void);
/* 0 when the server runs (or stops, having been told to meanwhile). */
int successor_take(struct master *master, struct handover *handover) MUST_CHECK;

#endif
