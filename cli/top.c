#include "cli/top.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/nearest.h"
#include "base/str.h"
#include "base/term.h"
#include "base/ucr.h"
#include "cli/ask.h"
#include "cli/client.h"
#include "cli/help.h"
#include "cli/local.h"
#include "cli/screen.h"
#include "cli/top_view.h"

#define ANSWER_BYTES_MAX (16u << 20)
#define ASK_MS 3000u
#define INTERVAL_MS_MIN 100
#define INTERVAL_MS_MAX 3600000
#define REQUEST STR("{\"cmd\":\"top\",\"args\":{}}")

struct answer {
    struct buf text;
    struct js_value result; /* lies in text; JS_NONE: there is none */
    uint64_t at_us;         /* when it came */
};

struct top {
    const char *state_dir;
    int fd; /* the control socket, or -1 */
    struct answer answers[2];
    unsigned now; /* which of them is the newer one */
    enum top_sort sort;
    unsigned interval_ms;
    bool paused;
    char why[160]; /* why there is no newer answer; "" */
};

/* ---- asking ---- */

static int
ask_once(struct top *top, struct answer *answer)
{
    struct js_value value;
    struct js_error err;
    int rc = 0;

    if (top->fd < 0)
        top->fd = client_connect(top->state_dir);
    if (top->fd < 0)
        return top->fd;
    buf_free(&answer->text);
    buf_init(&answer->text, ANSWER_BYTES_MAX);
    answer->result = (struct js_value){.type = JS_NONE};
    rc = client_ask(top->fd, REQUEST, &answer->text, ASK_MS);
    answer->at_us = clock_mono_us();
    if (rc == 0 && (!js_check(buf_str(&answer->text), &value, &err) ||
                    !js_bool(js_get(value, STR("ok")), false)))
        rc = -EPROTO;
    if (rc == 0) {
        answer->result = js_get(value, STR("result"));
        return 0;
    }
    close(top->fd);
    top->fd = -1;
    return rc;
}

static const char *
why_not(int rc)
{
    switch (rc) {
    case -ENOENT:
    case -ECONNREFUSED: return "no server runs here";
    case -EACCES:
    case -EPERM: return "the server may not be asked";
    case -ETIMEDOUT: return "the server does not answer";
    case -EPIPE:
    case -ECONNRESET: return "the server went away";
    case -EPROTO: return "the server's answer cannot be read; is it another version?";
    default: return strerror(-rc);
    }
}

/* The newer answer is replaced once there is one newer still, so that what is shown stays. */
static int
ask_again(struct top *top)
{
    unsigned next = 1 - top->now;
    int rc = ask_once(top, &top->answers[next]);

    if (rc == -EPIPE || rc == -ECONNRESET) /* the ledger process was replaced: the next one answers */
        rc = ask_once(top, &top->answers[next]);
    snprintf(top->why, sizeof(top->why), "%s", rc < 0 ? why_not(rc) : "");
    if (rc == 0)
        top->now = next;
    return rc;
}

static enum cli_exit
complain_no_answer(const struct top *top, int rc)
{
    if (rc == -ENOENT || rc == -ECONNREFUSED)
        return complain(CLI_NO_SERVER, "top", top->why,
                        "start turnpike serve, or name its state directory with -s");
    if (rc == -EACCES || rc == -EPERM)
        return complain(CLI_NOT_ALLOWED, top->state_dir, top->why, "run as its user or as root");
    return complain(rc == -ETIMEDOUT ? CLI_BUSY : CLI_FAILED, "top", top->why, "try again");
}

/* ---- showing ---- */

static void
show(const struct top *top, unsigned width, unsigned height, const char *foot, struct buf *out)
{
    const struct answer *now = &top->answers[top->now], *before = &top->answers[1 - top->now];
    bool both = before->result.type != JS_NONE && now->at_us > before->at_us;
    struct top_view view = {
        .now = now->result,
        .before = both ? before->result : (struct js_value){.type = JS_NONE},
        .between_us = both ? now->at_us - before->at_us : 0,
        .sort = top->sort,
        .width = width,
        .height = height,
        .foot = foot,
    };

    top_view_write(&view, out);
}

static enum cli_exit
show_once(const struct top *top, bool json)
{
    struct js_value result = top->answers[top->now].result;
    struct buf out;

    if (json) {
        printf("%.*s\n", STR_ARGS(result.raw));
    } else {
        buf_init(&out, 1u << 20);
        show(top, term_width(), 0, NULL, &out);
        printf("%.*s", STR_ARGS(buf_str(&out)));
        buf_free(&out);
    }
    return fflush(stdout) == 0 ? CLI_DONE
                               : complain(CLI_FAILED, "top", "standard output cannot be written", NULL);
}

static void
draw(const struct top *top)
{
    char foot[256];
    struct buf out;

    if (top->why[0] != '\0')
        snprintf(foot, sizeof(foot), "%s; trying again. q quits", top->why);
    else
        snprintf(foot, sizeof(foot),
                 "%s %u.%us by %s  q quit, sort: c calls t tokens m money e errors n name",
                 top->paused ? "paused" : "every", top->interval_ms / 1000,
                 top->interval_ms / 100 % 10, top_sort_name[top->sort]);
    buf_init(&out, 1u << 20);
    show(top, term_width(), term_height(), foot, &out);
    screen_draw(buf_str(&out));
    buf_free(&out);
}

/* False: that was the last one. */
static bool
take_key(struct top *top, char key)
{
    switch (key) {
    case 'q':
    case 'Q':
    case '\033':
    case 4: return false;
    case 'c': top->sort = TOP_CALLS; break;
    case 't': top->sort = TOP_TOKENS; break;
    case 'm':
    case '$': top->sort = TOP_SPEND; break;
    case 'e': top->sort = TOP_ERRORS; break;
    case 'n': top->sort = TOP_NAME; break;
    case 's': top->sort = (enum top_sort)((top->sort + 1) % TOP_SORT_COUNT); break;
    case '+': top->interval_ms = MIN(top->interval_ms * 2, (unsigned)INTERVAL_MS_MAX); break;
    case '-': top->interval_ms = MAX(top->interval_ms / 2, (unsigned)INTERVAL_MS_MIN); break;
    case ' ': top->paused = !top->paused; break;
    default: break;
    }
    return true;
}

static enum cli_exit
live(struct top *top)
{
    uint64_t asked_us = clock_mono_us();
    int rc = screen_open();

    if (rc < 0)
        return complain(CLI_FAILED, "top", strerror(-rc), "--once needs no terminal");
    for (bool going = true; going;) {
        uint64_t next_us = asked_us + (uint64_t)top->interval_ms * 1000, now_us = clock_mono_us();
        unsigned wait_ms = now_us < next_us ? (unsigned)((next_us - now_us + 999) / 1000) : 0;
        char key;

        draw(top);
        switch (screen_wait(top->paused ? 60000 : wait_ms, &key)) {
        case SCREEN_TIME:
            asked_us = clock_mono_us();
            if (!top->paused)
                (void)ask_again(top);
            break;
        case SCREEN_KEY: going = take_key(top, key); break;
        case SCREEN_CHANGED: break;
        case SCREEN_END: going = false; break;
        }
    }
    screen_close();
    return CLI_DONE;
}

/* ---- entry ---- */

static bool
read_sort(const char *text, enum top_sort *sort)
{
    struct nearest near = {STR_NONE, 0};
    char hint[80];

    for (int i = 0; text != NULL && i < TOP_SORT_COUNT; i++) {
        nearest_try(&near, str_from(text), str_from(top_sort_name[i]));
        if (strcmp(text, top_sort_name[i]) == 0) {
            *sort = (enum top_sort)i;
            return true;
        }
    }
    if (near.best.ptr != NULL)
        snprintf(hint, sizeof(hint), "did you mean %.*s?", STR_ARGS(near.best));
    else
        snprintf(hint, sizeof(hint), "one of calls, tokens, spend, errors, name");
    return text == NULL || complain(CLI_USAGE, "--sort", text, hint) == CLI_DONE;
}

/* Seconds with up to three decimals, "s" or "ms" behind them or not. */
static bool
read_interval(const char *text, unsigned *ms)
{
    struct str s = str_from(text);
    unsigned decimals = 3;
    int64_t n;

    if (text == NULL)
        return true;
    if (str_ends_with(s, STR("ms"))) {
        s.len -= 2;
        decimals = 0;
    } else if (str_ends_with(s, STR("s"))) {
        s.len--;
    }
    if (!decimal_parse(s, decimals, &n) || n < INTERVAL_MS_MIN || n > INTERVAL_MS_MAX)
        return complain(CLI_USAGE, "--interval", text, "from 100ms to 3600s") == CLI_DONE;
    *ms = (unsigned)n;
    return true;
}

enum cli_exit
top_run(const struct cli_local *local)
{
    struct top top = {.state_dir = local->state_dir, .fd = -1, .interval_ms = 2000};
    bool once = local_value(local, "once") != NULL || local->json || !term_is(stdout) ||
                isatty(STDIN_FILENO) != 1;
    enum cli_exit status;
    int rc;

    if (!read_sort(local_value(local, "sort"), &top.sort) ||
        !read_interval(local_value(local, "interval"), &top.interval_ms))
        return CLI_USAGE;
    rc = ask_again(&top);
    if (rc < 0)
        status = complain_no_answer(&top, rc);
    else
        status = once ? show_once(&top, local->json) : live(&top);
    if (top.fd >= 0)
        close(top.fd);
    for (unsigned i = 0; i < 2; i++)
        buf_free(&top.answers[i].text);
    return status;
}
