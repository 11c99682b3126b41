/*
 * bench-load: the load generator. One process, one epoll loop, one read and one write a call, so
 * that it can share a core with the upstream and still outrun the proxy under test.
 *
 *   call    keep-alive connections, each with one call at a time; as fast as answers come, or at a
 *           fixed rate, when a call's latency counts from the moment it should have been sent
 *   stream  one stream a connection, or streams at a fixed rate; chunks that bear "stamp":NS (the upstream writes it when
 *           asked, CLOCK_MONOTONIC) give the delay that the way added
 *   hold    opens many streams, says when all of them are open, and stays until SIGTERM
 *   tls     opens TLS connections at a rate, a full handshake and one request each
 *
 * Answers are read by a small incremental reader that trusts nobody's framing more than it must:
 * a status other than 200, a broken chunk or an early end is an error, and counted.
 */
#include "base/hist.h"
#include "bench/load/answer.h"
#include "bench/load/link.h"
#include "bench/load/options.h"
#include "bench/load/request.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define READ_MAX (256 * 1024)
#define EVENTS_MAX 512
/* Streams being opened at one time: neither a backlog nor a crowd of handshakes is measured. */
#define OPENING_MAX 64
#define OPENING_TLS_MAX 8
#define ENOUGH_NS (180 * 1000000000ull) /* for so many calls, however few are answered */

struct conn {
    struct link link;
    bool busy;        /* it has a call, maybe one that waits for the connection */
    bool opened;      /* its stream has begun to answer */
    size_t sent;      /* bytes of the request */
    uint64_t sent_ns; /* when the call was, or should have been, sent */
    struct answer answer;
};

static struct totals {
    uint64_t calls, errors, refused, chunks, bytes_in, opened, connects;
    int last_bad_status;
} totals;
static struct hist latency;

static int epoll_fd;
static struct conn *conns;
static uint64_t begin_ns, end_ns, warm_ns;
static volatile sig_atomic_t stopped;
static char *request;
static size_t request_len;
static char read_buf[READ_MAX + 1];

static uint64_t
now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* Chunks' stamps in a run of body bytes. One that a read happens to cut in two is not measured. */
static void
stamps_read(const char *bytes, size_t len, void *arg)
{
    uint64_t now = *(const uint64_t *)arg;
    static const char mark[] = "\"stamp\":";
    const char *end = bytes + len, *at = bytes;

    while ((at = memmem(at, (size_t)(end - at), mark, sizeof(mark) - 1)) != NULL) {
        uint64_t stamp = 0;

        for (at += sizeof(mark) - 1; at < end && *at >= '0' && *at <= '9'; at++)
            stamp = stamp * 10 + (uint64_t)(*at - '0');
        totals.chunks++;
        if (at == end || stamp > now)
            continue;
        if (stamp >= warm_ns)
            hist_add(&latency, now - stamp);
    }
}

/* ---- connections ---- */

/* Streams that follow one another, as calls do, when there is a rate. */
static bool
calls_follow(void)
{
    return opt.mode == MODE_CALL || (opt.mode == MODE_STREAM && opt.rate > 0);
}

static void
conn_open(struct conn *c)
{
    struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = c};
    int rc = link_open(&c->link, &opt.to, opt.host, opt.tls, false);

    if (rc < 0) {
        errno = -rc;
        fail("connect");
    }
    c->opened = false;
    totals.connects++;
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->link.fd, &ev) < 0)
        fail("epoll_ctl");
}

static void
conn_close(struct conn *c)
{
    link_close(&c->link);
    c->busy = false;
}

/* A call whose request could not be sent ends when the connection's end is read. */
static void
request_push(struct conn *c)
{
    while (c->sent < request_len) {
        ssize_t n = link_send(&c->link, request + c->sent, request_len - c->sent);

        if (n <= 0)
            return;
        c->sent += (size_t)n;
    }
}

static void
call_send(struct conn *c, uint64_t intended_ns)
{
    answer_begin(&c->answer);
    c->sent_ns = intended_ns;
    c->busy = true;
    c->sent = 0;
    request_draw(request);
    if (c->link.state == LINK_CLOSED)
        conn_open(c);
    else if (c->link.state == LINK_READY)
        request_push(c);
}

/* Idle connections of the open loop, last used first. */
static struct conn **idle;
static size_t idle_count;
static uint64_t next_due_ns, interval_ns, waiting; /* calls due that found no connection */
static uint64_t *waiting_due;
static size_t waiting_cap, waiting_first;

static bool
call_wanted(uint64_t now)
{
    return !stopped && now < end_ns && (opt.calls == 0 || totals.calls + totals.errors < opt.calls);
}

static void
conn_idle(struct conn *c, uint64_t now)
{
    if (!calls_follow())
        return;
    if (interval_ns == 0) {
        if (call_wanted(now))
            call_send(c, now);
        return;
    }
    if (waiting > 0) {
        call_send(c, waiting_due[waiting_first++ % waiting_cap]);
        waiting--;
        return;
    }
    idle[idle_count++] = c;
}

static void
rate_tick(uint64_t now)
{
    while (next_due_ns <= now && next_due_ns < end_ns) {
        if (idle_count > 0) {
            call_send(idle[--idle_count], next_due_ns);
        } else if (waiting < waiting_cap) {
            waiting_due[(waiting_first + waiting++) % waiting_cap] = next_due_ns;
        } else {
            totals.refused++; /* hopelessly behind: said in the result */
        }
        next_due_ns += interval_ns;
    }
}

static void
call_done(struct conn *c, uint64_t now, bool good)
{
    c->busy = false;
    if (!good || c->answer.status != 200) {
        totals.errors++;
        totals.last_bad_status = c->answer.status;
    } else {
        totals.calls++;
        if (opt.mode == MODE_CALL && c->sent_ns >= warm_ns)
            hist_add(&latency, now - c->sent_ns);
    }
    if (!good || c->answer.close)
        conn_close(c);
    conn_idle(c, now);
}

/* The other side has ended it: with an answer that may end so, in the midst of one, or between two. */
static void
conn_ended(struct conn *c, bool orderly, uint64_t now)
{
    bool busy = c->busy;

    link_close(&c->link);
    if (busy)
        call_done(c, now, orderly && answer_ends_with_connection(&c->answer));
}

static void
conn_read(struct conn *c)
{
    answer_body_fn on_body = opt.mode == MODE_STREAM ? stamps_read : NULL;

    while (c->link.state == LINK_READY) {
        ssize_t n = link_recv(&c->link, read_buf, READ_MAX);
        uint64_t now = now_ns();

        if (n == -EAGAIN)
            return;
        if (n <= 0) {
            conn_ended(c, n == 0, now);
            return;
        }
        totals.bytes_in += (uint64_t)n;
        if (!c->busy) { /* bytes nobody asked for */
            totals.errors++;
            conn_close(c);
            return;
        }
        (void)answer_feed(&c->answer, read_buf, (size_t)n, on_body, &now);
        if (!c->opened && c->answer.state != R_LINE) {
            c->opened = true;
            totals.opened++;
        }
        if (c->answer.done || c->answer.broken)
            call_done(c, now, !c->answer.broken);
        if (!opt.tls && n < READ_MAX)
            return;
    }
}

static bool
conn_ready(struct conn *c, uint32_t events)
{
    int rc = link_advance(&c->link, (events & (EPOLLERR | EPOLLHUP)) != 0);

    if (rc == -EAGAIN)
        return false;
    if (rc < 0) {
        totals.errors++;
        conn_close(c);
        return false;
    }
    if (c->busy)
        request_push(c);
    else if (calls_follow())
        conn_idle(c, now_ns());
    else
        call_send(c, now_ns());
    return true;
}

static void
conn_event(struct conn *c, uint32_t events)
{
    if (c->link.state == LINK_CLOSED)
        return;
    if (c->link.state != LINK_READY) {
        if (!conn_ready(c, events))
            return;
    } else if (events & EPOLLOUT && c->busy && c->sent < request_len) {
        request_push(c);
    }
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLERR | EPOLLHUP))
        conn_read(c);
}

/* ---- the loop ---- */

static void
events_wait(int64_t wait_ns)
{
    static struct epoll_event events[EVENTS_MAX];
    struct timespec ts = {.tv_sec = wait_ns / 1000000000, .tv_nsec = wait_ns % 1000000000};
    int n = epoll_pwait2(epoll_fd, events, EVENTS_MAX, &ts, NULL);

    for (int i = 0; i < n; i++)
        conn_event(events[i].data.ptr, events[i].events);
}

static void
on_signal(int sig)
{
    (void)sig;
    stopped = 1;
}

static void
loop_init(void)
{
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    conns = calloc(opt.connections, sizeof(*conns));
    idle = calloc(opt.connections, sizeof(*idle));
    waiting_cap = 1 << 16;
    waiting_due = calloc(waiting_cap, sizeof(*waiting_due));
    if (epoll_fd < 0 || conns == NULL || idle == NULL || waiting_due == NULL)
        fail("start");
    for (uint64_t i = 0; i < opt.connections; i++)
        link_init(&conns[i].link);
}

/* All connections have had an answer, or the time for it is over: from here on it counts. */
static uint64_t
ready_wait(void)
{
    uint64_t length_ns = end_ns - begin_ns, errors, now = begin_ns;

    end_ns = begin_ns + ENOUGH_NS;
    while (!stopped && totals.opened + totals.errors < opt.connections && now < end_ns) {
        events_wait(10000000);
        now = now_ns();
    }
    errors = totals.errors;
    totals = (struct totals){.errors = errors};
    latency = (struct hist){0};
    begin_ns = warm_ns = now;
    end_ns = begin_ns + length_ns;
    printf("ready\n");
    fflush(stdout);
    return now;
}

static void
run_calls(void)
{
    uint64_t now = now_ns();

    begin_ns = now;
    warm_ns = begin_ns + (uint64_t)(opt.warmup * 1e9);
    end_ns = opt.calls > 0 ? begin_ns + ENOUGH_NS : begin_ns + (uint64_t)(opt.seconds * 1e9);
    if (opt.rate > 0) {
        interval_ns = (uint64_t)(1e9 / opt.rate);
        next_due_ns = begin_ns;
    }
    for (uint64_t i = 0; i < opt.connections; i++)
        conn_open(&conns[i]);
    if (opt.ready)
        now = ready_wait();
    while (call_wanted(now)) {
        int64_t wait = 10000000;

        if (interval_ns > 0) {
            rate_tick(now);
            wait = next_due_ns > now ? (int64_t)(next_due_ns - now) : 0;
        }
        events_wait(wait < 10000000 ? wait : 10000000);
        now = now_ns();
    }
    end_ns = now;
}

/*
 * Streams that follow one another are calls. Else there is one a connection, and their starts are
 * spread over a tenth of a second, so that their chunks do not all come at once.
 */
static void
run_streams(void)
{
    if (calls_follow()) {
        run_calls();
        return;
    }
    uint64_t started = 0, spread_ns = 100000000 / (opt.connections + 1), now = now_ns();
    uint64_t open;

    begin_ns = now;
    warm_ns = begin_ns + (uint64_t)(opt.warmup * 1e9);
    end_ns = UINT64_MAX;
    uint64_t give_up_ns = begin_ns + (uint64_t)(opt.seconds * 1e9) * 4 + 10000000000u;
    do {
        while (started < opt.connections && now >= begin_ns + started * spread_ns)
            conn_open(&conns[started++]);
        events_wait(started < opt.connections ? (int64_t)spread_ns : 10000000);
        now = now_ns();
        open = opt.connections - totals.calls - totals.errors;
    } while (!stopped && open > 0 && now < give_up_ns);
    totals.errors += open;
    end_ns = now;
}

static void
run_hold(void)
{
    uint64_t started = 0, now = now_ns();
    uint64_t at_once = opt.tls ? OPENING_TLS_MAX : OPENING_MAX;
    bool said = false;

    begin_ns = now;
    end_ns = UINT64_MAX;
    while (!stopped) {
        while (started < opt.connections && started < totals.opened + totals.errors + at_once &&
               (opt.rate <= 0 || started < (double)(now - begin_ns) / 1e9 * opt.rate))
            conn_open(&conns[started++]);
        events_wait(10000000);
        now = now_ns();
        if (!said && totals.opened + totals.errors >= opt.connections) {
            printf("open %llu errors %llu\n", (unsigned long long)totals.opened,
                   (unsigned long long)totals.errors);
            fflush(stdout);
            said = true;
        }
    }
    end_ns = now_ns();
}

/* ---- handshakes ---- */

/* One connection, blocking: handshake, request, first bytes of the answer. */
static bool
tls_once(void)
{
    struct link link;
    char answer[4096];
    bool good = false;

    link_init(&link);
    uint64_t begin = now_ns();
    if (link_open(&link, &opt.to, opt.host, true, true) == 0 && link_advance(&link, false) == 0) {
        if (begin >= warm_ns)
            hist_add(&latency, now_ns() - begin);
        if (link_send(&link, request, request_len) > 0) {
            ssize_t n = link_recv(&link, answer, sizeof(answer));
            good = n > 12 && memcmp(answer, "HTTP/1.1 200", 12) == 0;
        }
    }
    link_close(&link);
    return good;
}

static void
run_tls(void)
{
    uint64_t interval = (uint64_t)(1e9 / (opt.rate > 0 ? opt.rate : 50));

    begin_ns = now_ns();
    warm_ns = begin_ns + (uint64_t)(opt.warmup * 1e9);
    end_ns = begin_ns + (uint64_t)(opt.seconds * 1e9);
    for (uint64_t due = begin_ns; due < end_ns && !stopped; due += interval) {
        uint64_t now = now_ns();

        if (due > now) {
            struct timespec ts = {.tv_sec = (time_t)((due - now) / 1000000000u),
                                  .tv_nsec = (long)((due - now) % 1000000000u)};
            (void)nanosleep(&ts, NULL);
        }
        if (tls_once())
            totals.calls++;
        else
            totals.errors++;
        if (now_ns() >= end_ns)
            break;
    }
    end_ns = now_ns();
}

/* ---- the result ---- */

static double
us(uint64_t ns)
{
    return (double)ns / 1000.0;
}

static void
result_print(void)
{
        double seconds = (double)(end_ns - begin_ns) / 1e9;
    uint64_t units = opt.mode == MODE_STREAM ? totals.chunks : totals.calls;
    const char *what = opt.mode == MODE_CALL     ? "latency"
                       : opt.mode == MODE_STREAM ? "delay"
                                                 : "handshake";
    const char *format =
        opt.json ? "{\"mode\":\"%s\",\"calls\":%llu,\"errors\":%llu,\"not_sent\":%llu,"
                   "\"last_bad_status\":%d,\"chunks\":%llu,\"connects\":%llu,\"opened\":%llu,"
                   "\"bytes_in\":%llu,\"seconds\":%.3f,\"per_s\":%.1f,\"%s_us\":{\"count\":%llu,"
                   "\"p50\":%.1f,\"p90\":%.1f,\"p99\":%.1f,\"p999\":%.1f,\"max\":%.1f},"
                   "\"tls\":\"%s\"}\n"
                 : "%s: calls %llu, errors %llu, not sent %llu (last bad status %d), chunks %llu, "
                   "connects %llu, opened %llu, bytes in %llu, %.3f s, %.1f/s\n"
                   "%s of %llu, us: p50 %.1f  p90 %.1f  p99 %.1f  p99.9 %.1f  max %.1f  %s\n";

    printf(format, mode_name[opt.mode], (unsigned long long)totals.calls,
           (unsigned long long)totals.errors, (unsigned long long)totals.refused,
           totals.last_bad_status, (unsigned long long)totals.chunks,
           (unsigned long long)totals.connects, (unsigned long long)totals.opened,
           (unsigned long long)totals.bytes_in, seconds, (double)units / seconds, what,
           (unsigned long long)latency.count, us(hist_quantile(&latency, 0.5)),
           us(hist_quantile(&latency, 0.9)), us(hist_quantile(&latency, 0.99)),
           us(hist_quantile(&latency, 0.999)), us(latency.max), link_negotiated());
}

static void (*const run[MODE_COUNT])(void) = {
    [MODE_CALL] = run_calls,
    [MODE_STREAM] = run_streams,
    [MODE_HOLD] = run_hold,
    [MODE_TLS] = run_tls,
};

int
main(int argc, char **argv)
{
    struct rlimit limit;
    struct sigaction on_stop = {.sa_handler = on_signal};

    if (!options_read(argc, argv)) {
        return 2;
    }
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
    sigaction(SIGTERM, &on_stop, NULL);
    sigaction(SIGINT, &on_stop, NULL);
    request = request_make(&request_len);
    if ((opt.tls || opt.mode == MODE_TLS) && !link_tls_init())
        fail("TLS");
    loop_init();
    run[opt.mode]();
    result_print();
    return totals.errors > 0 && totals.calls == 0 ? 1 : 0;
}
