/*
 * turnpike bench: calls of one kind, again and again, against any endpoint that speaks one of the protocols; how
 * many come through, and how long what takes.
 *
 * Closed loop: so many connections, each with one call at a time. That is how a fixed number of users behaves, and a
 * slow server is asked less often.
 *
 * Open loop: calls are due at a fixed rate, whatever becomes of them. One that finds no free connection waits, and its
 * times count from when it was due: a server that stands still for a second shows in all the calls that
 * were due in that second, and not in one (coordinated omission).
 *
 * One loop of net/, one thread. Reading order: bench.c (options), bench_run.c (who calls when), bench_line.c (one
 * connection and its call), bench_show.c.
 */
#ifndef CLI_BENCH_H
#define CLI_BENCH_H

#include "base/base.h"
#include "base/buf.h"
#include "base/hist.h"
#include "base/list.h"
#include "cli/table.h"
#include "net/conn.h"
#include "net/h1_res.h"
#include "net/net.h"
#include "proto/meter.h"
#include "proto/proto.h"
#include "proto/sse.h"

#define BENCH_CLASSES_MAX 32

/* What shall be done; all of it is bounded. */
struct bench_setup {
    const char *url; /* as it was given, for messages */
    enum proto_protocol api;
    enum proto_endpoint endpoint;
    bool stream;
    bool tls;
    struct str host;
    uint16_t port;
    const char *ca_file; /* NULL: the system's */
    struct str request;  /* head and body of each call, key and all */
    unsigned connections;
    uint64_t rate_m;   /* calls in 1000 seconds; 0: closed loop */
    uint64_t seconds;  /* no call begins after these; */
    uint64_t requests; /* nor are there more than these; 0: no matter how many */
    unsigned timeout_ms; /* of a call */
    bool progress;
};

/* Calls that failed alike. */
struct bench_class {
    char name[32];    /* "429", "connect", "timeout" */
    char sample[200]; /* what the first of them said, or empty */
    uint64_t count;
};

struct bench_result {
    uint64_t elapsed_us;
    uint64_t sent, ok, failed;
    uint64_t unsent; /* open loop: due, and never sent: in failed as well */
    uint64_t input_tokens, output_tokens; /* of those that came through, as reported */
    uint64_t connected;                   /* connections that were opened */
    struct hist first_byte, first_chunk, gap, total; /* ns, of calls that came through; gap: of any */
    struct bench_class classes[BENCH_CLASSES_MAX];
    unsigned class_count;
};

/* ---- bench_run.c ---- */

struct bench_line;

struct bench {
    const struct bench_setup *setup;
    struct bench_result *result;
    struct net net;
    struct tls_client *tls;
    struct h1_head head; /* scratch of all lines' readers */
    struct bench_line *lines;
    struct list idle;   /* lines with an open connection and no call */
    struct list closed; /* lines without a connection */
    unsigned busy;      /* lines with a call */
    uint64_t begin_us, end_us;
    uint64_t due; /* open loop: calls that were due so far */
    bool over;    /* no call begins any more */
    struct net_watch due_watch;
    int due_fd; /* a timerfd, or -1 */
    uv_signal_t signals[2];
    struct wheel_timer end_timer, progress_timer;
};

/* 0, or a negative errno. Fills *result, which is zeroed before. */
int bench_run(const struct bench_setup *setup, struct bench_result *result) MUST_CHECK;
/* A line has become free: gives it its next call, if there is one. */
void bench_next(struct bench *bench);
void bench_failed(struct bench *bench, const char *class_name, struct str sample);

/* ---- bench_line.c ---- */

enum bench_line_state {
    BENCH_LINE_CLOSED = 0, /* on bench->closed */
    BENCH_LINE_DIALLING,   /* its call waits for it */
    BENCH_LINE_IDLE,       /* on bench->idle */
    BENCH_LINE_BUSY,
    BENCH_LINE_CLOSING,
    BENCH_LINE_STATE_COUNT
};

struct bench_line {
    struct conn conn;
    struct list node;
    struct bench *bench;
    struct wheel_timer timer; /* of the call; where it is closed: how long it rests */
    enum bench_line_state state;
    bool reused;  /* the connection has served a call before */
    bool resting; /* after a failure to connect: not again at once */

    /* The call, in DIALLING and BUSY. */
    uint64_t from_us; /* when it was due, or sent */
    uint64_t last_us; /* when the last chunk came */
    uint64_t first_byte_us, first_chunk_us; /* since from_us; 0: not yet */
    bool has_head, events;
    const char *fault; /* what is wrong with its stream, or NULL */
    struct h1_res res;
    struct sse sse;
    struct meter meter;
    struct buf body;
};

void bench_line_init(struct bench_line *line, struct bench *bench);
/* The line is IDLE or CLOSED. due_us 0: it is due when it is sent. */
void bench_line_call(struct bench_line *line, uint64_t due_us);
void bench_line_close(struct bench_line *line);
void bench_line_free(struct bench_line *line);

/* ---- bench_show.c ---- */

void bench_show_text(const struct bench_setup *setup, const struct bench_result *result);
void bench_show_json(const struct bench_setup *setup, const struct bench_result *result);
/* One line over the last one, on standard error. */
void bench_show_progress(const struct bench *bench);

enum cli_exit bench_run_local(const struct cli_local *local);

#endif
