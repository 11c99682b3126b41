/*
 * bench-load: the load generator. One process, one epoll loop, one read and one write a call, so
 * that it can share a core with the upstream and still outrun the proxy under test.
 *
 *   call    keep-alive connections, each with one call at a time; as fast as answers come, or at a
 *           fixed rate, when a call's latency counts from the moment it should have been sent
 *   stream  one stream a connection; chunks that bear "stamp":NS (the upstream writes it when
 *           asked, CLOCK_MONOTONIC) give the delay that the way added
 *   hold    opens many streams, says when all of them are open, and stays until SIGTERM
 *   tls     opens TLS connections at a rate, a full handshake and one request each
 *
 * Answers are read by a small incremental reader that trusts nobody's framing more than it must:
 * a status other than 200, a broken chunk or an early end is an error, and counted.
 */
#include "base/hist.h"

#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/ssl.h>
#include <mbedtls/version.h>
#if MBEDTLS_VERSION_MAJOR >= 3
#include <psa/crypto.h>
#endif

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/tcp.h>
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

#define LINE_MAX_LEN 120
#define READ_MAX (256 * 1024)
#define EVENTS_MAX 512

enum mode { MODE_CALL, MODE_STREAM, MODE_HOLD, MODE_TLS };

static struct options {
    enum mode mode;
    struct sockaddr_in to;
    const char *host;
    const char *path, *key, *body, *model, *sim;
    const char *headers[16];
    size_t header_count;
    uint64_t connections, calls, body_bytes;
    double seconds, rate, warmup;
    bool json, get;
} opt = {
    .path = "/v1/chat/completions",
    .model = "sim-chat",
    .connections = 64,
    .body_bytes = 1024,
    .seconds = 5,
};

/* ---- answers ---- */

enum reading { R_LINE, R_LENGTH, R_CHUNK_SIZE, R_CHUNK, R_CHUNK_END, R_TRAILER, R_UNTIL_CLOSE };

struct answer {
    enum reading state;
    int status;
    bool chunked, has_length, close, first_line, done, broken;
    uint64_t left; /* of the body, or of the chunk */
    uint32_t line_len;
    char line[LINE_MAX_LEN];
};

struct conn {
    int fd;
    bool busy, connecting, opened;
    uint64_t sent_ns; /* when the call was, or should have been, sent */
    struct answer answer;
};

static struct totals {
    uint64_t calls, errors, refused, chunks, late_chunks, bytes_in, opened, connects;
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

static _Noreturn void
fail(const char *what)
{
    fprintf(stderr, "bench-load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void
answer_begin(struct answer *a)
{
    a->state = R_LINE;
    a->status = 0;
    a->chunked = a->has_length = a->close = a->done = a->broken = false;
    a->first_line = true;
    a->left = 0;
    a->line_len = 0;
}

static bool
line_is(const struct answer *a, const char *name, const char **value)
{
    size_t len = strlen(name);

    if (a->line_len <= len || strncasecmp(a->line, name, len) != 0 || a->line[len] != ':')
        return false;
    *value = a->line + len + 1;
    while (**value == ' ')
        ++*value;
    return true;
}

static void
head_end(struct answer *a)
{
    if (a->status / 100 == 1) {
        answer_begin(a);
    } else if (a->chunked) {
        a->state = R_CHUNK_SIZE;
    } else if (a->has_length) {
        a->state = R_LENGTH;
        a->done = a->left == 0;
    } else {
        a->state = R_UNTIL_CLOSE;
    }
}

/* A line without its end is in a->line, cut at LINE_MAX_LEN - 1. */
static void
line_end(struct answer *a)
{
    const char *value;

    if (a->line_len > 0 && a->line[a->line_len - 1] == '\r')
        a->line_len--;
    a->line[a->line_len] = '\0';
    if (a->state == R_CHUNK_SIZE) {
        char *end;
        a->left = strtoull(a->line, &end, 16);
        a->broken = end == a->line;
        a->state = a->left > 0 ? R_CHUNK : R_TRAILER;
    } else if (a->state == R_CHUNK_END) {
        a->broken = a->line_len != 0;
        a->state = R_CHUNK_SIZE;
    } else if (a->state == R_TRAILER) {
        a->done = a->line_len == 0;
    } else if (a->first_line) {
        a->first_line = false;
        a->broken = strncmp(a->line, "HTTP/1.", 7) != 0;
        a->status = a->line_len > 12 ? (int)strtol(a->line + 9, NULL, 10) : 0;
    } else if (a->line_len == 0) {
        head_end(a);
    } else if (line_is(a, "content-length", &value)) {
        a->left = strtoull(value, NULL, 10);
        a->has_length = true;
    } else if (line_is(a, "transfer-encoding", &value)) {
        a->chunked = strcasecmp(value, "chunked") == 0;
    } else if (line_is(a, "connection", &value)) {
        a->close = strcasecmp(value, "close") == 0;
    }
    a->line_len = 0;
}

/* Chunks' stamps in a run of body bytes. One that a read happens to cut in two is not measured. */
static void
stamps_read(const char *bytes, size_t len, uint64_t now)
{
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

/* Feeds bytes until the answer is whole; how many were used. */
static size_t
answer_feed(struct answer *a, const char *bytes, size_t len, uint64_t now)
{
    size_t at = 0;

    while (at < len && !a->done && !a->broken) {
        if (a->state == R_LENGTH || a->state == R_CHUNK || a->state == R_UNTIL_CLOSE) {
            size_t run = len - at;

            if (a->state != R_UNTIL_CLOSE && a->left < run)
                run = (size_t)a->left;
            if (opt.mode == MODE_STREAM)
                stamps_read(bytes + at, run, now);
            at += run;
            if (a->state == R_UNTIL_CLOSE)
                continue;
            a->left -= run;
            if (a->left == 0 && a->state == R_LENGTH)
                a->done = true;
            else if (a->left == 0)
                a->state = R_CHUNK_END;
            continue;
        }
        const char *lf = memchr(bytes + at, '\n', len - at);
        size_t run = lf != NULL ? (size_t)(lf - bytes) - at : len - at;
        for (size_t i = 0; i < run && a->line_len < LINE_MAX_LEN - 1; i++)
            a->line[a->line_len++] = bytes[at + i];
        at += run;
        if (lf != NULL) {
            at++;
            line_end(a);
        }
    }
    return at;
}

/* ---- connections ---- */

static void
conn_open(struct conn *c)
{
    int on = 1;
    struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = c};

    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        fail("socket");
    (void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (connect(c->fd, (struct sockaddr *)&opt.to, sizeof(opt.to)) < 0 && errno != EINPROGRESS)
        fail("connect");
    c->connecting = true;
    c->opened = false;
    totals.connects++;
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &ev) < 0)
        fail("epoll_ctl");
}

static void
conn_close(struct conn *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    c->busy = false;
}

static void
call_send(struct conn *c, uint64_t intended_ns)
{
    answer_begin(&c->answer);
    c->sent_ns = intended_ns;
    c->busy = true;
    /* A request fits into an empty socket buffer; one that does not is not for this tool. */
    ssize_t n = send(c->fd, request, request_len, MSG_NOSIGNAL);
    if (n != (ssize_t)request_len)
        totals.errors++;
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
    if (opt.mode != MODE_CALL)
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
    if (!good || c->answer.close) {
        conn_close(c);
        if (opt.mode == MODE_CALL && call_wanted(now))
            conn_open(c);
        return;
    }
    conn_idle(c, now);
}

static void
conn_read(struct conn *c)
{
    for (;;) {
        ssize_t n = recv(c->fd, read_buf, READ_MAX, 0);
        uint64_t now = now_ns();

        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0) {
            bool good = n == 0 && c->busy && c->answer.state == R_UNTIL_CLOSE && !c->answer.broken;
            if (c->busy)
                call_done(c, now, good);
            conn_close(c);
            return;
        }
        totals.bytes_in += (uint64_t)n;
        if (!c->busy) { /* bytes nobody asked for */
            totals.errors++;
            conn_close(c);
            return;
        }
        (void)answer_feed(&c->answer, read_buf, (size_t)n, now);
        if (!c->opened && c->answer.state != R_LINE) {
            c->opened = true;
            totals.opened++;
        }
        if (c->answer.done || c->answer.broken)
            call_done(c, now, !c->answer.broken);
        if (c->fd < 0 || n < READ_MAX)
            return;
    }
}

static void
conn_event(struct conn *c, uint32_t events)
{
    if (c->fd < 0)
        return;
    if (c->connecting && events & (EPOLLERR | EPOLLHUP)) {
        totals.errors++;
        conn_close(c);
        return;
    }
    if (c->connecting && events & EPOLLOUT) {
        c->connecting = false;
        if (opt.mode == MODE_CALL)
            conn_idle(c, now_ns());
        else
            call_send(c, now_ns());
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
        conns[i].fd = -1;
}

static void
run_calls(void)
{
    uint64_t now = now_ns();

    begin_ns = now;
    warm_ns = begin_ns + (uint64_t)(opt.warmup * 1e9);
    end_ns = opt.calls > 0 ? UINT64_MAX : begin_ns + (uint64_t)(opt.seconds * 1e9);
    if (opt.rate > 0) {
        interval_ns = (uint64_t)(1e9 / opt.rate);
        next_due_ns = begin_ns;
    }
    for (uint64_t i = 0; i < opt.connections; i++)
        conn_open(&conns[i]);
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

/* Streams start spread over a tenth of a second, so that their chunks do not all come at once. */
static void
run_streams(void)
{
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
    end_ns = now;
}

static void
run_hold(void)
{
    uint64_t started = 0, now = now_ns();
    bool said = false;

    begin_ns = now;
    end_ns = UINT64_MAX;
    while (!stopped) {
        /* A few at a time: a listener's backlog is not what is measured. */
        while (started < opt.connections && started < totals.opened + totals.errors + 64)
            conn_open(&conns[started++]);
        events_wait(10000000);
        if (!said && totals.opened + totals.errors >= opt.connections) {
            printf("open %llu errors %llu\n", (unsigned long long)totals.opened,
                   (unsigned long long)totals.errors);
            fflush(stdout);
            said = true;
        }
    }
    end_ns = now_ns();
}

/* ---- TLS ---- */

static mbedtls_ssl_config tls_config;
static mbedtls_entropy_context entropy;
static mbedtls_ctr_drbg_context drbg;

static void
tls_init(void)
{
    mbedtls_ssl_config_init(&tls_config);
    mbedtls_entropy_init(&entropy);
    mbedtls_ctr_drbg_init(&drbg);
#if MBEDTLS_VERSION_MAJOR >= 3
    if (psa_crypto_init() != PSA_SUCCESS)
        fail("TLS");
#endif
    if (mbedtls_ctr_drbg_seed(&drbg, mbedtls_entropy_func, &entropy, NULL, 0) != 0 ||
        mbedtls_ssl_config_defaults(&tls_config, MBEDTLS_SSL_IS_CLIENT,
                                    MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT) != 0)
        fail("TLS");
    /* A load generator on the same machine: whose certificate it is is not measured. */
    mbedtls_ssl_conf_authmode(&tls_config, MBEDTLS_SSL_VERIFY_NONE);
    mbedtls_ssl_conf_rng(&tls_config, mbedtls_ctr_drbg_random, &drbg);
}

static int
on_tls_send(void *arg, const unsigned char *bytes, size_t len)
{
    ssize_t n = send(*(int *)arg, bytes, len, MSG_NOSIGNAL);
    return n < 0 ? MBEDTLS_ERR_SSL_INTERNAL_ERROR : (int)n;
}

static int
on_tls_recv(void *arg, unsigned char *bytes, size_t cap)
{
    ssize_t n = recv(*(int *)arg, bytes, cap, 0);
    return n < 0 ? MBEDTLS_ERR_SSL_INTERNAL_ERROR : (int)n;
}

/* One connection, blocking: handshake, request, first bytes of the answer. */
static bool
tls_once(void)
{
    mbedtls_ssl_context ssl;
    struct timeval limit = {.tv_sec = 10};
    unsigned char answer[4096];
    bool good = false;
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    mbedtls_ssl_init(&ssl);
    if (fd < 0 || mbedtls_ssl_setup(&ssl, &tls_config) != 0)
        fail("TLS");
    (void)mbedtls_ssl_set_hostname(&ssl, opt.host);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    mbedtls_ssl_set_bio(&ssl, &fd, on_tls_send, on_tls_recv, NULL);
    uint64_t begin = now_ns();
    if (connect(fd, (struct sockaddr *)&opt.to, sizeof(opt.to)) == 0 &&
        mbedtls_ssl_handshake(&ssl) == 0) {
        if (begin >= warm_ns)
            hist_add(&latency, now_ns() - begin);
        if (mbedtls_ssl_write(&ssl, (const unsigned char *)request, request_len) > 0) {
            int n = mbedtls_ssl_read(&ssl, answer, sizeof(answer) - 1);
            good = n > 12 && memcmp(answer, "HTTP/1.1 200", 12) == 0;
        }
        (void)mbedtls_ssl_close_notify(&ssl);
    }
    mbedtls_ssl_free(&ssl);
    close(fd);
    return good;
}

static void
run_tls(void)
{
    uint64_t interval = (uint64_t)(1e9 / (opt.rate > 0 ? opt.rate : 50));

    tls_init();
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

/* ---- the request ---- */

static char *
body_make(void)
{
    char *body = NULL, *filler;
    const char *stream = opt.mode == MODE_STREAM || opt.mode == MODE_HOLD ? ",\"stream\":true" : "";
    int len, fixed;

    if (opt.body != NULL)
        return strdup(opt.body);
    const char *before = opt.sim != NULL ? ",\"sim\":" : "";
    const char *sim = opt.sim != NULL ? opt.sim : "";
    fixed = snprintf(NULL, 0,
                     "{\"model\":\"%s\"%s,\"max_tokens\":4096,\"messages\":[{\"role\":\"user\","
                     "\"content\":\"\"}]%s%s}",
                     opt.model, stream, before, sim);
    size_t pad = opt.body_bytes > (uint64_t)fixed ? opt.body_bytes - (size_t)fixed : 1;
    filler = malloc(pad + 1);
    if (filler == NULL)
        fail("body");
    for (size_t i = 0; i < pad; i++)
        filler[i] = i % 6 == 5 ? ' ' : (char)('a' + i * 7 % 26);
    filler[pad] = '\0';
    len = asprintf(&body,
                   "{\"model\":\"%s\"%s,\"max_tokens\":4096,\"messages\":[{\"role\":\"user\","
                   "\"content\":\"%s\"}]%s%s}",
                   opt.model, stream, filler, before, sim);
    free(filler);
    if (len < 0)
        fail("body");
    return body;
}

static void
request_make(void)
{
    char *body = opt.get ? strdup("") : body_make();
    char headers[4096] = "";
    size_t used = 0;

    if (opt.key != NULL)
        used += (size_t)snprintf(headers, sizeof(headers), "authorization: Bearer %s\r\n", opt.key);
    for (size_t i = 0; i < opt.header_count && used < sizeof(headers); i++)
        used += (size_t)snprintf(headers + used, sizeof(headers) - used, "%s\r\n", opt.headers[i]);
    int len = opt.get ? asprintf(&request, "GET %s HTTP/1.1\r\nhost: %s\r\n%s\r\n", opt.path,
                                 opt.host, headers)
                      : asprintf(&request,
                                 "POST %s HTTP/1.1\r\nhost: %s\r\n%scontent-type: "
                                 "application/json\r\ncontent-length: %zu\r\n\r\n%s",
                                 opt.path, opt.host, headers, strlen(body), body);
    if (len < 0 || used >= sizeof(headers))
        fail("request");
    request_len = (size_t)len;
    free(body);
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
    static const char *const names[] = {"call", "stream", "hold", "tls"};
    double seconds = (double)(end_ns - begin_ns) / 1e9;
    uint64_t units = opt.mode == MODE_STREAM ? totals.chunks : totals.calls;
    const char *what = opt.mode == MODE_CALL     ? "latency"
                       : opt.mode == MODE_STREAM ? "delay"
                                                 : "handshake";
    const char *format =
        opt.json ? "{\"mode\":\"%s\",\"calls\":%llu,\"errors\":%llu,\"not_sent\":%llu,"
                   "\"last_bad_status\":%d,\"chunks\":%llu,\"connects\":%llu,\"opened\":%llu,"
                   "\"bytes_in\":%llu,\"seconds\":%.3f,\"per_s\":%.1f,\"%s_us\":{\"count\":%llu,"
                   "\"p50\":%.1f,\"p90\":%.1f,\"p99\":%.1f,\"p999\":%.1f,\"max\":%.1f}}\n"
                 : "%s: calls %llu, errors %llu, not sent %llu (last bad status %d), chunks %llu, "
                   "connects %llu, opened %llu, bytes in %llu, %.3f s, %.1f/s\n"
                   "%s of %llu, us: p50 %.1f  p90 %.1f  p99 %.1f  p99.9 %.1f  max %.1f\n";

    printf(format, names[opt.mode], (unsigned long long)totals.calls,
           (unsigned long long)totals.errors, (unsigned long long)totals.refused,
           totals.last_bad_status, (unsigned long long)totals.chunks,
           (unsigned long long)totals.connects, (unsigned long long)totals.opened,
           (unsigned long long)totals.bytes_in, seconds, (double)units / seconds, what,
           (unsigned long long)latency.count, us(hist_quantile(&latency, 0.5)),
           us(hist_quantile(&latency, 0.9)), us(hist_quantile(&latency, 0.99)),
           us(hist_quantile(&latency, 0.999)), us(latency.max));
}

/* ---- options ---- */

static const char usage_text[] =
    "usage: bench-load call|stream|hold|tls --to ADDR:PORT [options]\n"
    "  -c, --connections N   connections, or streams (64)\n"
    "  -n, --calls N         stop after N calls; else\n"
    "  -t, --seconds S       after S seconds (5); streams end by themselves\n"
    "      --warmup S        leave the first S seconds out of the latencies\n"
    "      --rate R          calls, or TLS connections, a second; else as fast as answers come\n"
    "      --path P  --model M  --key K  --header 'NAME: VALUE'  --get\n"
    "      --body-bytes N    pad the request's body to N bytes (1024)\n"
    "      --body TEXT       this body\n"
    "      --sim JSON        member \"sim\" of the body: {\"words\":500,\"gap\":10,\"stamp\":1}\n"
    "      --json            the result as one JSON object\n";

static bool
to_parse(char *text)
{
    char *colon = strrchr(text, ':');

    if (colon == NULL)
        return false;
    *colon = '\0';
    opt.host = text;
    opt.to.sin_family = AF_INET;
    opt.to.sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
    /* Load is for one's own machine. */
    return inet_pton(AF_INET, text, &opt.to.sin_addr) == 1 &&
           ntohl(opt.to.sin_addr.s_addr) >> 24 == 127;
}

static bool
mode_parse(const char *name)
{
    static const char *const names[] = {"call", "stream", "hold", "tls"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(name, names[i]) == 0) {
            opt.mode = (enum mode)i;
            return true;
        }
    return false;
}

static bool
options_read(int argc, char **argv)
{
    static const struct option longs[] = {
        {"to", required_argument, NULL, 'T'},     {"connections", required_argument, NULL, 'c'},
        {"calls", required_argument, NULL, 'n'},  {"seconds", required_argument, NULL, 't'},
        {"warmup", required_argument, NULL, 'w'}, {"rate", required_argument, NULL, 'r'},
        {"path", required_argument, NULL, 'p'},   {"model", required_argument, NULL, 'm'},
        {"key", required_argument, NULL, 'k'},    {"header", required_argument, NULL, 'H'},
        {"get", no_argument, NULL, 'g'},          {"body-bytes", required_argument, NULL, 'b'},
        {"body", required_argument, NULL, 'B'},   {"sim", required_argument, NULL, 's'},
        {"json", no_argument, NULL, 'j'},         {0},
    };
    int o;

    if (argc < 2 || !mode_parse(argv[1]))
        return false;
    while ((o = getopt_long(argc - 1, argv + 1, "c:n:t:", longs, NULL)) != -1) {
        switch (o) {
        case 'T':
            if (!to_parse(optarg))
                return false;
            break;
        case 'c': opt.connections = strtoull(optarg, NULL, 10); break;
        case 'n': opt.calls = strtoull(optarg, NULL, 10); break;
        case 't': opt.seconds = strtod(optarg, NULL); break;
        case 'w': opt.warmup = strtod(optarg, NULL); break;
        case 'r': opt.rate = strtod(optarg, NULL); break;
        case 'p': opt.path = optarg; break;
        case 'm': opt.model = optarg; break;
        case 'k': opt.key = optarg; break;
        case 'H':
            if (opt.header_count == sizeof(opt.headers) / sizeof(opt.headers[0]))
                return false;
            opt.headers[opt.header_count++] = optarg;
            break;
        case 'g': opt.get = true; break;
        case 'b': opt.body_bytes = strtoull(optarg, NULL, 10); break;
        case 'B': opt.body = optarg; break;
        case 's': opt.sim = optarg; break;
        case 'j': opt.json = true; break;
        default: return false;
        }
    }
    return optind == argc - 1 && opt.host != NULL && opt.connections > 0;
}

int
main(int argc, char **argv)
{
    struct rlimit limit;
    struct sigaction on_stop = {.sa_handler = on_signal};

    if (!options_read(argc, argv)) {
        fputs(usage_text, stderr);
        return 2;
    }
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
    sigaction(SIGTERM, &on_stop, NULL);
    sigaction(SIGINT, &on_stop, NULL);
    request_make();
    loop_init();
    switch (opt.mode) {
    case MODE_CALL: run_calls(); break;
    case MODE_STREAM: run_streams(); break;
    case MODE_HOLD: run_hold(); break;
    case MODE_TLS: run_tls(); break;
    }
    result_print();
    return totals.errors > 0 && totals.calls == 0 ? 1 : 0;
}
