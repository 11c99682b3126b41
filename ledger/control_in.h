/*
 * What control.c (jobs, who does them, start and stop) and control_io.c (connections) share. Nobody else's.
 *
 * A line that was read becomes a job. It goes through the queues, is done by the main thread, a reader, or
 * one after the other, and comes back to the connection, if that is still there.
 */
#ifndef LEDGER_CONTROL_IN_H
#define LEDGER_CONTROL_IN_H

#include "base/buf.h"
#include "ledger/command.h"

#include <pthread.h>
#include <stdatomic.h>

#define CONNS_MAX 256
#define READERS 3
#define CONTROL_NICER 19 /* than the main thread: what is asked comes after what is paid */

enum conn_state {
    CONN_FREE = 0,
    CONN_READING, /* a request is not whole yet */
    CONN_WAITING, /* its job is somewhere */
    CONN_WRITING,
};

struct conn {
    enum conn_state state;
    int fd;
    uint32_t generation; /* a job that comes back after its connection is gone finds another */
    uint64_t active_us;
    int passed_fd; /* came with the request that is being read, or -1 */
    bool refused; /* not a peer of ours: told so, then closed */
    struct buf in, out;
    size_t out_sent;
    char by[32];
};

struct job {
    struct command command;
    bool prepared;
    uint32_t conn_idx, conn_generation;
    int hand_fd; /* COMMAND_HAND: another descriptor of its connection; -1 when it is the master's, or none */
    bool handed; /* there is no answer: the connection is closed here */
    struct buf answer;
    struct job *next;
};

struct job_queue {
    struct job *first, *last;
};

struct control {
    struct ledger *ledger;
    int listen_fd, io_fd, main_fd; /* the last two are eventfds */
    pthread_t io, readers[READERS];
    unsigned reader_count;
    bool io_runs;
    pthread_mutex_t lock; /* of all below */
    pthread_cond_t readable;
    struct job_queue for_main, for_readers, done;
    bool stopping, leaving;
    uint64_t stop_us;
    unsigned jobs_open; /* made, and not come back to their connections */

    /* The one command that is apart, while it is; it ends itself when its asker is gone. */
    struct job *apart;
    pthread_t apart_thread;
    bool apart_started; /* the thread is to be joined */
    _Atomic bool apart_stop; /* relaxed: it carries nothing else */

    struct job *hand;  /* the main thread's: its connection is to go to the master */
    struct job *asked; /* the main thread's: waits for the master */
    bool ask;          /* and has not been asked */

    struct conn conns[CONNS_MAX]; /* the io thread's alone */
};

/* ---- control.c ---- */

/* Both with the lock. NULL: it is empty. */
void job_queue_put(struct job_queue *queue, struct job *job);
struct job *job_queue_take(struct job_queue *queue);
/* Where the job goes next. Called without the lock. */
void job_route(struct control *control, struct job *job);
/* Nobody waits any more for what was asked on that connection. Called without the lock. */
void job_gone(struct control *control, uint32_t conn_idx, uint32_t conn_generation);
/* Its answer goes back. Called without the lock. */
void job_done(struct control *control, struct job *job);
/* Rings an eventfd, and takes the rings back. */
void control_ring(int fd);
void control_unring(int fd);

/* ---- control_io.c ---- */

/* The thread, until control->stopping is set and all is written, or stop_us is past. */
void *control_io_main(void *control);

#endif
