/* A line on the terminal that says how far something is, on a thread of its own. */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/base.h"

struct progress {
    const char *what;
    /* How far, and of about how much; 0: unknown. On the thread, a few times a second. */
    void (*look)(void *arg, uint64_t *done_bytes, uint64_t *about_bytes);
    void *arg;
    pthread_t thread;
    _Atomic bool stop; /* relaxed: it carries nothing else */
    bool runs, shown;
};

/* Does nothing where standard error is no terminal. */
void progress_start(struct progress *progress);
/* Wipes the line. */
void progress_end(struct progress *progress);
/* "12.3 MiB"; out has room for 24. */
const char *progress_bytes(uint64_t bytes, char *out);

#endif
