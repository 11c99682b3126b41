#include "bench/load/answer.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

void
answer_begin(struct answer *a)
{
    a->state = R_LINE;
    a->status = 0;
    a->chunked = a->has_length = a->close = a->done = a->broken = false;
    a->first_line = true;
    a->left = 0;
    a->line_len = 0;
}

bool
answer_ends_with_connection(const struct answer *a)
{
    return a->state == R_UNTIL_CLOSE && !a->broken;
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

static void
head_line(struct answer *a)
{
    const char *value;

    if (a->first_line) {
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
}

static void
line_end(struct answer *a)
{
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
    } else {
        head_line(a);
    }
    a->line_len = 0;
}

static size_t
body_feed(struct answer *a, const char *bytes, size_t len, answer_body_fn on_body, void *arg)
{
    size_t run = len;

    if (a->state != R_UNTIL_CLOSE && a->left < run)
        run = (size_t)a->left;
    if (on_body != NULL)
        on_body(bytes, run, arg);
    if (a->state == R_UNTIL_CLOSE)
        return run;
    a->left -= run;
    if (a->left == 0 && a->state == R_LENGTH)
        a->done = true;
    else if (a->left == 0)
        a->state = R_CHUNK_END;
    return run;
}

static size_t
line_feed(struct answer *a, const char *bytes, size_t len)
{
    const char *lf = memchr(bytes, '\n', len);
    size_t run = lf != NULL ? (size_t)(lf - bytes) : len;

    for (size_t i = 0; i < run && a->line_len < ANSWER_LINE_MAX - 1; i++)
        a->line[a->line_len++] = bytes[i];
    if (lf == NULL)
        return run;
    line_end(a);
    return run + 1;
}

size_t
answer_feed(struct answer *a, const char *bytes, size_t len, answer_body_fn on_body, void *arg)
{
    size_t at = 0;

    while (at < len && !a->done && !a->broken) {
        if (a->state == R_LENGTH || a->state == R_CHUNK || a->state == R_UNTIL_CLOSE)
            at += body_feed(a, bytes + at, len - at, on_body, arg);
        else
            at += line_feed(a, bytes + at, len - at);
    }
    return at;
}
