/*
 * A crew: a few threads beside the loop, and the line of jobs that wait for one of them. For
 * arithmetic that would hold up every stream of the loop, and that can wait itself.
 *
 * Not libuv's pool, since the crew's threads are made less important than the loop's: nothing here
 * makes the loop wait for a thread that was interrupted. libuv's does, by a mutex, and before 1.45
 * by spinning until the thread that woke the loop has gone on; on a busy core that thread does
 * not go on while the loop spins, and every stream stands still for milliseconds.
 *
 * All functions are for the loop's thread.
 */
#ifndef NET_CREW_H
#define NET_CREW_H

#include "base/list.h"

#define CREW_THREADS_MAX 8u

struct crew;
struct net;

/* The owner embeds one, with node as list_init() leaves it, and keeps it until done came. */
struct crew_job {
    struct list node;                   /* in the line, while it waits */
    void (*work)(struct crew_job *job); /* on a thread; the loop does not touch it meanwhile */
    void (*done)(struct crew_job *job); /* on the loop, afterwards; may add jobs */
    uint64_t since_ms;                  /* added; the crew's own */
};

struct crew_options {
    unsigned threads; /* 1 to CREW_THREADS_MAX */
    int nice_add;     /* nice value above the loop's */
    /* One thread more, for jobs that waited that long: a loop that takes a whole core leaves
     * little to the others. 0: none. */
    unsigned late_ms;
    int late_nice_add;
};

/* NULL: no memory, or no thread could be had. */
struct crew *crew_new(struct net *net, const struct crew_options *options);
/* Begins now or when a thread is free, in the order of adding. The loop runs until it is done. */
void crew_add(struct crew *crew, struct crew_job *job);
/* Takes a job out of the line: work and done do not come. False when it is not in the line. */
bool crew_withdraw(struct crew *crew, struct crew_job *job);
/* Jobs must be done. Lets go of the loop, which has to run once more before crew_free(). */
void crew_end(struct crew *crew);
void crew_free(struct crew *crew);

#endif
