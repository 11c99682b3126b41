/*
 * What an answer says. Mostly words of the endless text, which are never kept; a text of its own
 * (asked for, structured, or cut before a stop sequence) is kept with the ends of its tokens. A
 * token of such a text begins at each blank, and where one would grow over TOKEN_MAX bytes.
 */
#include "mock/sim.h"

#include "base/hash.h"
#include "base/jw.h"
#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOKEN_MAX 16

struct said {
    char *text;     /* as content of a JSON string */
    uint32_t *ends; /* of its tokens */
    uint32_t count;
};

/* ---- texts of their own ---- */

/* How long the character at s is that must not be cut: UTF-8, or an escape. */
static size_t
unit_len(struct str s)
{
    unsigned char c = (unsigned char)s.ptr[0];
    size_t len = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;

    if (c == '\\')
        len = s.len > 1 && s.ptr[1] == 'u' ? 6 : 2;
    return MIN(len, s.len);
}

static void
tokens_find(struct said *said, size_t len)
{
    size_t begin = 0;

    for (size_t at = 0, unit; at < len; at += unit) {
        unit = unit_len((struct str){said->text + at, len - at});
        bool blank = said->text[at] == ' ' && at > begin;
        if (blank || at + unit - begin > TOKEN_MAX) {
            said->ends[said->count++] = (uint32_t)at;
            begin = at;
        }
    }
    if (len > begin)
        said->ends[said->count++] = (uint32_t)len;
}

/* From text as it is read. */
static struct said *
said_new(struct str text)
{
    struct said *said = calloc(1, sizeof(*said));
    struct buf buf;
    struct jw jw;

    ASSERT(said != NULL);
    buf_init(&buf, SIZE_MAX);
    jw_init(&jw, &buf);
    jw_str(&jw, text);
    ASSERT(!buf.failed);
    said->text = copy_of((struct str){buf.ptr + 1, buf.len - 2});
    said->ends = malloc(sizeof(*said->ends) * buf.len);
    ASSERT(said->ends != NULL);
    tokens_find(said, buf.len - 2);
    buf_free(&buf);
    return said;
}

void
said_free(struct said *said)
{
    if (said == NULL)
        return;
    free(said->text);
    free(said->ends);
    free(said);
}

uint32_t
said_count(const struct said *said)
{
    return said->count;
}

/* ---- stop sequences ---- */

/* Of content of a JSON string, as malloc()ed text. */
static struct str
read_text(struct str content, char **memory)
{
    struct js_value value = {.type = JS_STRING, .escaped = true, .raw = content};

    *memory = malloc(content.len + 1);
    ASSERT(*memory != NULL);
    return js_unescape(value, *memory, content.len);
}

/* The first place in text of any of the stops, and which that is; text.len: none. */
static size_t
stop_find(struct js_value stops, struct str text, struct js_value *which)
{
    struct js_value key, stop = stops;
    struct js_iter it;
    size_t first = text.len;
    bool one = js_is(stops, JS_STRING);

    js_iter_init(&it, stops);
    while (one || js_next(&it, &key, &stop)) {
        char *memory;
        struct str s = read_text(stop.raw, &memory);
        const char *at =
            js_is(stop, JS_STRING) && s.len > 0 ? memmem(text.ptr, text.len, s.ptr, s.len) : NULL;

        if (at != NULL && (size_t)(at - text.ptr) < first) {
            first = (size_t)(at - text.ptr);
            *which = stop;
        }
        free(memory);
        if (one)
            break;
    }
    return first;
}

/* Cuts what would be said before the first stop sequence in it. */
static void
stop_apply(struct call *call, const struct ask *ask, uint32_t words)
{
    struct buf content;
    struct js_value which = {0};
    char *memory;

    buf_init(&content, SIZE_MAX);
    if (call->said != NULL)
        buf_add_str(&content, str_from(call->said->text));
    else
        text_words(&content, words, fault_get(&call->faults, F_PAD, 0),
                   fault_get(&call->faults, F_HUGE_LINE, 0));
    struct str text = read_text(buf_str(&content), &memory);
    size_t at = stop_find(ask->stops, text, &which);
    if (which.type != JS_NONE) {
        said_free(call->said);
        call->said = said_new((struct str){text.ptr, at});
        call->stop = copy_of(which.raw);
    }
    free(memory);
    buf_free(&content);
}

void
said_plan(struct call *call, const struct ask *ask, uint32_t words, uint32_t tools)
{
    if (fault_set(&call->faults, F_TEXT))
        call->said = said_new(fault_text(&call->faults, F_TEXT));
    else if (ask->json && tools == 0)
        call->said = said_new(STR("{\"city\":\"Zürich\",\"days\":3}"));
    if (ask->stops.type != JS_NONE && (words > 0 || call->said != NULL))
        stop_apply(call, ask, words);
}

/* ---- what is said ---- */

static struct str
said_token(const struct said *said, uint32_t i)
{
    uint32_t begin = i > 0 ? said->ends[i - 1] : 0;

    ASSERT(i < said->count);
    return (struct str){said->text + begin, said->ends[i] - begin};
}

void
answer_text(const struct call *call, struct buf *out)
{
    if (call->said != NULL)
        buf_add(out, call->said->text, call->words > 0 ? call->said->ends[call->words - 1] : 0);
    else
        text_words(out, call->words, fault_get(&call->faults, F_PAD, 0),
                   fault_get(&call->faults, F_HUGE_LINE, 0));
}

void
answer_read(const struct call *call, struct buf *out)
{
    struct buf content;
    char *memory;

    buf_init(&content, SIZE_MAX);
    answer_text(call, &content);
    buf_add_str(out, read_text(buf_str(&content), &memory));
    free(memory);
    buf_free(&content);
}

void
answer_piece(const struct call *call, struct buf *out, uint32_t i)
{
    uint32_t pad = fault_get(&call->faults, F_PAD, 0);

    if (call->said != NULL) {
        buf_add_str(out, said_token(call->said, i));
        return;
    }
    if (i == 0 && fault_on(&call->faults, F_HUGE_LINE))
        pad = fault_get(&call->faults, F_HUGE_LINE, 0);
    text_word(out, i, pad);
}

/* ---- how likely it was ---- */

/* {"token":…,"logprob":… of one token that was, or nearly was, taken; with bytes when asked. */
static void
logprob_open(struct buf *out, struct str token, uint32_t rank, bool gemini)
{
    buf_add_fmt(out, gemini ? "{\"token\":\"%.*s\",\"logProbability\":-%u.25"
                            : "{\"token\":\"%.*s\",\"logprob\":-%u.25",
                STR_ARGS(token), rank);
}

static void
bytes_write(struct buf *out, struct str content)
{
    char *memory;
    struct str text = read_text(content, &memory);

    buf_add_str(out, STR(",\"bytes\":["));
    for (size_t i = 0; i < text.len; i++)
        buf_add_fmt(out, i > 0 ? ",%u" : "%u", (unsigned)(unsigned char)text.ptr[i]);
    buf_add_char(out, ']');
    free(memory);
}

/* The token itself first, then others that are less likely by 1 each. */
static void
top_write(const struct call *call, struct buf *out, struct str token, bool gemini)
{
    for (uint32_t rank = 0; rank < call->top_logprobs; rank++) {
        char other[16];

        if (rank > 0)
            buf_add_char(out, ',');
        snprintf(other, sizeof(other), "other%u", rank);
        logprob_open(out, rank == 0 ? token : str_from(other), rank, gemini);
        if (!gemini)
            bytes_write(out, rank == 0 ? token : str_from(other));
        buf_add_char(out, '}');
    }
}

void
logprobs_write(const struct call *call, struct buf *out, uint32_t from, uint32_t to)
{
    struct buf token;

    buf_init(&token, SIZE_MAX);
    buf_add_char(out, '[');
    for (uint32_t i = from; call->logprobs && i < to; i++) {
        token.len = 0;
        answer_piece(call, &token, i);
        buf_add_str(out, i > from ? STR(",") : STR(""));
        logprob_open(out, buf_str(&token), 0, false);
        bytes_write(out, buf_str(&token));
        buf_add_str(out, STR(",\"top_logprobs\":["));
        top_write(call, out, buf_str(&token), false);
        buf_add_str(out, STR("]}"));
    }
    buf_add_char(out, ']');
    buf_free(&token);
}

void
logprobs_write_gemini(const struct call *call, struct buf *out, uint32_t from, uint32_t to)
{
    struct buf token;

    if (!call->logprobs)
        return;
    buf_init(&token, SIZE_MAX);
    buf_add_str(out, STR(",\"avgLogprobs\":-0.25,\"logprobsResult\":{\"chosenCandidates\":["));
    for (uint32_t i = from; i < to; i++) {
        token.len = 0;
        answer_piece(call, &token, i);
        buf_add_str(out, i > from ? STR(",") : STR(""));
        logprob_open(out, buf_str(&token), 0, true);
        buf_add_char(out, '}');
    }
    buf_add_str(out, STR("],\"topCandidates\":["));
    for (uint32_t i = from; i < to; i++) {
        token.len = 0;
        answer_piece(call, &token, i);
        buf_add_str(out, i > from ? STR(",{\"candidates\":[") : STR("{\"candidates\":["));
        top_write(call, out, buf_str(&token), true);
        buf_add_str(out, STR("]}"));
    }
    buf_add_str(out, STR("]}"));
    buf_free(&token);
}

/* ---- reasoning ---- */

uint64_t
text_mark(struct str content)
{
    char *memory;
    struct str text = read_text(content, &memory);
    uint64_t mark = hash_u64(text.ptr, text.len);

    free(memory);
    return mark;
}

uint64_t
reasoning_mark(const struct call *call)
{
    struct buf content;

    buf_init(&content, SIZE_MAX);
    text_words(&content, call->reasoning, 0, 0);
    uint64_t mark = text_mark(buf_str(&content));
    buf_free(&content);
    return mark;
}
