/*
 * It asks the ledger process what is new, five times a second, and says how far it is. So nothing is kept for
 * it there; what it missed, because it was slow, it is told. A ledger process that ends has a successor: its
 * control socket is the master's, in which the question waits.
 */
#include "cli/tail.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/jw.h"
#include "base/str.h"
#include "base/term.h"
#include "cli/client.h"
#include "cli/help.h"
#include "cli/local.h"

#define EACH_MS 200u
#define AGAIN_MS 250u
#define ANSWER_MS 10000u
#define ANSWER_BYTES_MAX (16u << 20)
#define LAST_DEFAULT "10"

struct tail {
    const struct cli_local *local;
    const char *last;
    unsigned columns; /* 0: no terminal */
    char feed[32], after[32]; /* how far it is; empty at first */
    bool waits;               /* for a server, and has said so */
    bool began;
};

static volatile sig_atomic_t interrupted;

static void
on_signal(int number)
{
    (void)number;
    interrupted = 1;
}

static void
pause_ms(unsigned ms)
{
    struct timespec wait = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

    (void)nanosleep(&wait, NULL);
}

static void
say(const char *what)
{
    fflush(stdout);
    fprintf(stderr, "turnpike: tail: %s\n", what);
}

/* ---- the question ---- */

static void
write_request(const struct tail *tail, struct buf *out)
{
    static const char *const filters[] = {"tenant", "key", "model", "status", "slow"};
    uint64_t last = 0;
    struct jw jw;

    jw_init(&jw, out);
    jw_object(&jw);
    jw_key_cstr(&jw, "cmd", "call.tail");
    jw_key(&jw, "args");
    jw_object(&jw);
    for (size_t i = 0; i < COUNT_OF(filters); i++)
        if (local_value(tail->local, filters[i]) != NULL)
            jw_key_cstr(&jw, filters[i], local_value(tail->local, filters[i]));
    if (tail->feed[0] != '\0') {
        jw_key_cstr(&jw, "feed", tail->feed);
        jw_key_cstr(&jw, "after", tail->after);
    } else if (str_to_count(str_from(tail->last), UINT32_MAX, &last)) {
        jw_key_u64(&jw, "last", last);
    }
    jw_object_end(&jw);
    jw_object_end(&jw);
}

/* ---- the answer ---- */

static void
show_calls(struct tail *tail, struct js_value calls)
{
    struct js_value key, call;
    struct js_iter it;

    for (js_iter_init(&it, calls); js_next(&it, &key, &call);) {
        if (tail->local->json) {
            fwrite(call.raw.ptr, 1, call.raw.len, stdout);
            putchar('\n');
        } else {
            tail_line(call, tail->columns);
        }
    }
}

static enum cli_exit
refused(struct js_value answer)
{
    char why[512], hint[256] = "";
    int64_t status = CLI_FAILED;

    print_value(js_get(answer, STR("why")), why, sizeof(why));
    if (js_is(js_get(answer, STR("hint")), JS_STRING))
        print_value(js_get(answer, STR("hint")), hint, sizeof(hint));
    if (!js_i64(js_get(answer, STR("exit")), &status) || status < 1 || status > 125)
        status = CLI_FAILED;
    return complain((enum cli_exit)status, "tail", why, hint);
}

/* *more: there is more to be had at once. */
static enum cli_exit
take_answer(struct tail *tail, struct str text, bool *more)
{
    struct js_value answer, result;
    struct js_error ignored;
    uint64_t missed = 0;
    char line[96];

    *more = false;
    if (!js_check(text, &answer, &ignored))
        return complain(CLI_FAILED, "tail", "the answer cannot be read", NULL);
    if (!js_bool(js_get(answer, STR("ok")), false))
        return refused(answer);
    result = js_get(answer, STR("result"));
    if (!tail->began && !tail->local->json)
        tail_head(tail->columns);
    tail->began = true;
    if (js_bool(js_get(result, STR("restarted")), false))
        say("the ledger process was started anew; a call that ended meanwhile may be missing");
    if (js_count(js_get(result, STR("missed")), UINT32_MAX, &missed) && missed > 0) {
        snprintf(line, sizeof(line), "%llu calls were missed; they came too fast",
                 (unsigned long long)missed);
        say(line);
    }
    show_calls(tail, js_get(result, STR("calls")));
    print_value(js_get(result, STR("feed")), tail->feed, sizeof(tail->feed));
    print_value(js_get(result, STR("after")), tail->after, sizeof(tail->after));
    *more = js_bool(js_get(result, STR("more")), false);
    if (fflush(stdout) != 0) /* whoever read it has gone */
        interrupted = 1;
    return CLI_DONE;
}

/* ---- the server ---- */

/* A connection, or -1 and why there is none; *status CLI_DONE means that one is waited for. */
static int
connect_to(struct tail *tail, enum cli_exit *status)
{
    int fd = client_connect(tail->local->state_dir);

    *status = CLI_DONE;
    if (fd == -EACCES || fd == -EPERM)
        *status = complain(CLI_NOT_ALLOWED, tail->local->state_dir, "the server may not be asked",
                           "run as its user or as root");
    else if (fd < 0 && !tail->began)
        *status = complain(CLI_NO_SERVER, "tail", "no server runs here",
                           "start turnpike serve, or name its state directory with -s");
    else if (fd < 0 && !tail->waits)
        say("the server is gone; waiting for another");
    else if (fd >= 0 && tail->waits)
        say("there is a server again");
    tail->waits = fd < 0;
    return fd >= 0 ? fd : -1;
}

/* Until the connection breaks or it is over. */
static enum cli_exit
follow(struct tail *tail, int fd)
{
    enum cli_exit status = CLI_DONE;

    while (status == CLI_DONE && !interrupted) {
        struct buf request, answer;
        bool more = false;
        int rc;

        buf_init(&request, 8192);
        buf_init(&answer, ANSWER_BYTES_MAX);
        write_request(tail, &request);
        rc = request.failed ? -EMSGSIZE : client_ask(fd, buf_str(&request), &answer, ANSWER_MS);
        if (rc == 0)
            status = take_answer(tail, buf_str(&answer), &more);
        buf_free(&request);
        buf_free(&answer);
        if (rc == -EMSGSIZE)
            return complain(CLI_USAGE, "tail", "that is too much text", NULL);
        if (rc == -ETIMEDOUT)
            say("the ledger process does not answer; waiting for it");
        if (rc < 0)
            return CLI_DONE;
        if (status == CLI_DONE && !more && !interrupted)
            pause_ms(EACH_MS);
    }
    return status;
}

enum cli_exit
tail_run(const struct cli_local *local)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    const char *last = local_value(local, "last");
    struct tail tail = {.local = local, .last = last != NULL ? last : LAST_DEFAULT};
    enum cli_exit status = CLI_DONE;
    uint64_t n;

    if (!str_to_count(str_from(tail.last), UINT32_MAX, &n))
        return complain(CLI_USAGE, "--lines", "it takes a whole number", NULL);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    tail.columns = term_is(stdout) ? term_width() : 0;
    while (status == CLI_DONE && !interrupted) {
        int fd = connect_to(&tail, &status);

        if (fd < 0) {
            if (status == CLI_DONE)
                pause_ms(AGAIN_MS);
            continue;
        }
        status = follow(&tail, fd);
        close(fd);
    }
    return status;
}
