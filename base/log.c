/*
 * A line is built on the stack and given to the kernel in one write, so that lines of several
 * processes never mix (a pipe takes up to PIPE_BUF bytes whole or not at all). The pairs are
 * formatted once as text; the JSON form is made from that text.
 */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/jw.h"
#include "base/str.h"
#include "base/utf8.h"

#define PAIRS_BYTES 1536 /* of the formatted pairs, cut there */
#define LINE_BYTES 4096  /* PIPE_BUF: room for every byte of the pairs escaped once */
#define PROCESS_BYTES 32
#define QUOTE_COUNT 8
#define QUOTE_BYTES 256

static const char *const level_name[] = {
    [LOG_LEVEL_ERROR] = "error",
    [LOG_LEVEL_WARN] = "warn",
    [LOG_LEVEL_INFO] = "info",
    [LOG_LEVEL_DEBUG] = "debug",
};

/* syslog(3)'s numbers. */
static const char level_priority[] = {
    [LOG_LEVEL_ERROR] = '3',
    [LOG_LEVEL_WARN] = '4',
    [LOG_LEVEL_INFO] = '6',
    [LOG_LEVEL_DEBUG] = '7',
};

static struct {
    char process[PROCESS_BYTES];
    enum log_level level_max;
    bool json;
    bool to_journal;
    bool is_socket;
} state = {.process = "turnpike", .level_max = LOG_LEVEL_INFO};

/* Lines that did not fit since the last that did. Any thread adds, who reports takes all. */
static atomic_uint dropped_count;
/* The last line was cut by a socket that took only part of it. */
static atomic_bool torn;

/* $JOURNAL_STREAM is "device:inode" of the socket that systemd made; a shell below the service
 * may have pointed standard error elsewhere since. */
static bool
is_journal(const struct stat *st)
{
    struct str value = str_from(getenv("JOURNAL_STREAM")), inode;
    struct str device = str_split(value, ':', &inode);
    uint64_t device_n, inode_n;

    return str_to_u64(device, &device_n) && str_to_u64(inode, &inode_n) && device_n == st->st_dev &&
           inode_n == st->st_ino;
}

void
log_setup(const struct log_setup *setup)
{
    struct stat st;
    int flags;

    str_copy(str_from(setup->process), state.process, sizeof(state.process));
    state.level_max = setup->level_max;
    state.json = setup->json;
    state.to_journal = false;
    state.is_socket = false;
    atomic_store_explicit(&dropped_count, 0, memory_order_relaxed);
    if (fstat(STDERR_FILENO, &st) != 0)
        return;
    state.to_journal = is_journal(&st);
    state.is_socket = S_ISSOCK(st.st_mode);
    /* A socket is asked not to wait with each send, which leaves the others who have it alone. */
    if (S_ISFIFO(st.st_mode) && (flags = fcntl(STDERR_FILENO, F_GETFL)) >= 0)
        fcntl(STDERR_FILENO, F_SETFL, flags | O_NONBLOCK);
}

const char *
log_priority(enum log_level level)
{
    static const char *const prefix[] = {
        [LOG_LEVEL_ERROR] = "<3>",
        [LOG_LEVEL_WARN] = "<4>",
        [LOG_LEVEL_INFO] = "<6>",
        [LOG_LEVEL_DEBUG] = "<7>",
    };
    struct stat st;

    return fstat(STDERR_FILENO, &st) == 0 && is_journal(&st) ? prefix[level] : "";
}

/* ---- text -------------------------------------------------------------------------------- */

/* A line under way, in room of fixed size; what does not fit is left out. */
struct line {
    char bytes[LINE_BYTES];
    size_t len;
};

static void
put(struct line *line, struct str s)
{
    size_t len = MIN(s.len, sizeof(line->bytes) - 1 - line->len); /* the last is the newline's */

    if (len > 0)
        memcpy(line->bytes + line->len, s.ptr, len);
    line->len += len;
}

/* The escape of a byte that would not stay on its line, or STR_NONE. */
static struct str
control_escape(char c, char out[4])
{
    static const char hex[] = "0123456789abcdef";

    if (c == '\n')
        return STR("\\n");
    if (c == '\r')
        return STR("\\r");
    if (c == '\t')
        return STR("\\t");
    if ((uint8_t)c >= 0x20 && c != 0x7f && (uint8_t)c < 0x80)
        return STR_NONE;
    memcpy(out, "\\x", 2);
    out[2] = hex[(uint8_t)c >> 4];
    out[3] = hex[c & 15];
    return (struct str){out, 4};
}

/* Steps over one character of s and gives how it is written: itself, or escaped when it is a
 * control character or not UTF-8. */
static struct str
take_shown(struct str *s, char out[4])
{
    size_t len = utf8_sequence(s->ptr, s->len);
    struct str shown = {s->ptr, len};

    if (len < 2) {
        struct str escape = control_escape(s->ptr[0], out);

        shown = escape.len > 0 ? escape : (struct str){s->ptr, 1};
        len = 1;
    }
    *s = (struct str){s->ptr + len, s->len - len};
    return shown;
}

static void
put_shown(struct line *line, struct str s)
{
    char escape[4];

    while (s.len > 0)
        put(line, take_shown(&s, escape));
}

/* Whether s can stand as a value without quotes. */
static bool
is_plain(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        if ((uint8_t)s.ptr[i] <= 0x20 || s.ptr[i] == '"' || s.ptr[i] == '\\' || s.ptr[i] == '=' ||
            s.ptr[i] == 0x7f)
            return false;
    }
    return s.len > 0;
}

const char *
log_quote(struct str s)
{
    static _Thread_local char buffers[QUOTE_COUNT][QUOTE_BYTES];
    static _Thread_local unsigned turn;
    const size_t len_max = QUOTE_BYTES - sizeof("...\""); /* what is cut says so */
    char *out = buffers[turn++ % QUOTE_COUNT];
    bool quoted = !is_plain(s);
    size_t len = 0;

    if (quoted)
        out[len++] = '"';
    while (s.len > 0) {
        char text[4];
        struct str shown = take_shown(&s, text);

        if (shown.len == 1 && (shown.ptr[0] == '"' || shown.ptr[0] == '\\')) {
            text[0] = '\\';
            text[1] = shown.ptr[0];
            shown = (struct str){text, 2};
        }
        if (len + shown.len > len_max) {
            memcpy(out + len, "...", 3);
            len += 3;
            break;
        }
        memcpy(out + len, shown.ptr, shown.len);
        len += shown.len;
    }
    if (quoted)
        out[len++] = '"';
    out[len] = '\0';
    return out;
}

static void
build_text(struct line *line, enum log_level level, const char *event, struct str pairs)
{
    char text[64];

    if (state.to_journal) {
        snprintf(text, sizeof(text), "<%c>", level_priority[level]);
    } else {
        char now[RFC3339_LEN + 1];

        clock_rfc3339(clock_wall_us(), now);
        snprintf(text, sizeof(text), "%s %-5s ", now, level_name[level]);
    }
    put(line, str_from(text));
    put(line, str_from(state.process));
    put(line, STR(": "));
    put(line, str_from(event));
    if (pairs.len > 0) {
        put(line, STR(" "));
        put_shown(line, pairs);
    }
}

/* ---- JSON -------------------------------------------------------------------------------- */

/* Takes "key=value" or "key="quoted value"" from the front of pairs; a word without '=' is a value
 * whose key is empty. The value is unquoted, into out when it needs to be. */
static struct str
take_pair(struct str *pairs, struct str *key, char *out)
{
    struct str s = str_trim(*pairs);
    size_t at = 0, len = 0;

    while (at < s.len && s.ptr[at] != '=' && s.ptr[at] != ' ' && s.ptr[at] != '"')
        at++;
    *key = (struct str){s.ptr, 0};
    if (at < s.len && s.ptr[at] == '=') {
        key->len = at;
        s = (struct str){s.ptr + at + 1, s.len - at - 1};
    }
    if (s.len == 0 || s.ptr[0] != '"')
        return str_split(s, ' ', pairs);
    for (at = 1; at < s.len && s.ptr[at] != '"'; at++) {
        if (s.ptr[at] == '\\' && at + 1 < s.len && (s.ptr[at + 1] == '"' || s.ptr[at + 1] == '\\'))
            at++;
        out[len++] = s.ptr[at];
    }
    at = MIN(at + 1, s.len);
    *pairs = (struct str){s.ptr + at, s.len - at};
    return (struct str){out, len};
}

static bool
is_number(struct str s)
{
    uint64_t n;

    if (s.len > 1 && s.ptr[0] == '-')
        s = (struct str){s.ptr + 1, s.len - 1};
    return str_to_u64(s, &n) && (s.len == 1 || s.ptr[0] != '0');
}

static void
put_json_string(struct line *line, struct str s)
{
    char escape[4];

    put(line, STR("\""));
    while (s.len > 0) {
        struct str shown = take_shown(&s, escape);

        /* All escapes of ours begin with a backslash, which JSON wants doubled. */
        if (shown.ptr[0] == '"' || shown.ptr[0] == '\\')
            put(line, STR("\\"));
        put(line, shown);
    }
    put(line, STR("\""));
}

static void
put_json_member(struct line *line, struct str key, struct str value)
{
    put(line, STR(","));
    put_json_string(line, key.len > 0 ? key : STR("text"));
    put(line, STR(":"));
    if (is_number(value))
        put(line, value);
    else
        put_json_string(line, value);
}

static void
build_json(struct line *line, enum log_level level, const char *event, struct str pairs)
{
    char now[RFC3339_LEN + 1], unquoted[PAIRS_BYTES];

    if (state.to_journal) {
        char priority[4] = {'<', level_priority[level], '>', '\0'};

        put(line, str_from(priority));
    }
    clock_rfc3339(clock_wall_us(), now);
    put(line, STR("{\"time\":"));
    put_json_string(line, str_from(now));
    put_json_member(line, STR("level"), str_from(level_name[level]));
    put_json_member(line, STR("process"), str_from(state.process));
    put_json_member(line, STR("event"), str_from(event));
    for (pairs = str_trim(pairs); pairs.len > 0; pairs = str_trim(pairs)) {
        struct str key, value = take_pair(&pairs, &key, unquoted);
        size_t len = line->len;

        put_json_member(line, key, value);
        /* Half a member is no JSON: what does not fit, closing brace included, is left out. */
        if (line->len > sizeof(line->bytes) - 2) {
            line->len = len;
            break;
        }
    }
    put(line, STR("}"));
}

/* ---- writing ----------------------------------------------------------------------------- */

static bool
send_line(struct line *line)
{
    ssize_t sent;

    line->bytes[line->len++] = '\n';
    do {
        if (state.is_socket)
            sent = send(STDERR_FILENO, line->bytes, line->len, MSG_DONTWAIT | MSG_NOSIGNAL);
        else
            sent = write(STDERR_FILENO, line->bytes, line->len);
    } while (sent < 0 && errno == EINTR);
    if (sent > 0)
        atomic_store_explicit(&torn, (size_t)sent < line->len, memory_order_relaxed);
    return sent > 0;
}

static void
build(struct line *line, enum log_level level, const char *event, struct str pairs)
{
    line->len = 0;
    if (atomic_load_explicit(&torn, memory_order_relaxed))
        put(line, STR("\n"));
    if (state.json)
        build_json(line, level, event, pairs);
    else
        build_text(line, level, event, pairs);
}

/* Says how many lines are missing before the first that fits again. False while none does. */
static bool
report_dropped(struct line *line)
{
    unsigned count = atomic_exchange_explicit(&dropped_count, 0, memory_order_relaxed);
    char text[32];

    if (count == 0)
        return true;
    snprintf(text, sizeof(text), "count=%u", count);
    build(line, LOG_LEVEL_WARN, "log.dropped", str_from(text));
    if (send_line(line))
        return true;
    atomic_fetch_add_explicit(&dropped_count, count, memory_order_relaxed);
    return false;
}

static bool
write_event(enum log_level level, const char *event, const char *fmt, va_list args)
{
    char pairs[PAIRS_BYTES];
    struct line line;
    int len = vsnprintf(pairs, sizeof(pairs), fmt, args);

    if (len < 0)
        len = 0;
    if (!report_dropped(&line))
        return false;
    build(&line, level, event, (struct str){pairs, MIN((size_t)len, sizeof(pairs) - 1)});
    return send_line(&line);
}

void
log_event(enum log_level level, const char *event, const char *fmt, ...)
{
    int saved_errno = errno;
    va_list args;

    if (level > state.level_max)
        return;
    va_start(args, fmt);
    if (!write_event(level, event, fmt, args))
        atomic_fetch_add_explicit(&dropped_count, 1, memory_order_relaxed);
    va_end(args);
    errno = saved_errno;
}

bool
log_try(enum log_level level, const char *event, const char *fmt, ...)
{
    va_list args;
    bool written;

    if (level > state.level_max)
        return true;
    va_start(args, fmt);
    written = write_event(level, event, fmt, args);
    va_end(args);
    return written;
}
