/*
 * The calls of an answer, put one after the other.
 *
 * Some upstreams send pieces of several calls in turns, and few say when a call is complete. The first
 * call of a choice is open and its pieces go on as they come; those of another wait. The open one is
 * closed when its decoder says so, when its arguments are a complete JSON object and another is
 * waiting, or when something else than a call comes. Then the next one that waits goes on.
 *
 * A custom tool takes text, and the upstream calls a function with an object around that: such a call
 * waits until it is complete. What the tool is called with that is none but the form of the answer
 * (CHAT_TOOL_ANSWER) is the answer's text.
 */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "proto/translate_in.h"

struct translate_call {
    struct translate_call *next; /* in the order in which they came */
    uint32_t choice, number;
    bool open;     /* the encoder knows of it */
    bool closed;   /* and that it is over */
    bool complete; /* its decoder said so, or its JSON did */
    bool wrapped;  /* a custom tool's, in an object: waits until it is complete */
    bool answers;  /* no call, but the answer */
    /* How far into its arguments: of JSON, inside of the string that holds it. */
    uint32_t depth;
    uint8_t slashes; /* of a run of backslashes, its parity and more */
    bool in_string;
    const struct chat_name *known;
    struct buf waiting; /* arguments that wait */
    char id[136], name[264];
};

void
translate_keep(struct translate *t, struct buf *buf, struct str text)
{
    if (text.len == 0)
        return;
    if (text.len > t->text_bytes_max - MIN(t->text_bytes, t->text_bytes_max) ||
        !buf_add(buf, text.ptr, text.len)) {
        t->failed = true;
        return;
    }
    t->text_bytes += text.len;
}

void
calls_free(struct translate *t)
{
    while (t->calls != NULL) {
        struct translate_call *call = t->calls;

        t->calls = call->next;
        buf_free(&call->waiting);
        free(call);
    }
}

/* ---- is its JSON complete? ---- */

/*
 * A piece of JSON text as it stands inside of a JSON string. A quote of the inner JSON is written \",
 * one that is escaped in it \\\"; so the run of backslashes before a quote tells: one, or one more
 * than a multiple of four, is a quote that opens or closes a string.
 */
static void
scan_piece(struct translate_call *call, struct str piece)
{
    for (size_t i = 0; i < piece.len; i++) {
        char c = piece.ptr[i];

        if (c == '\\') {
            call->slashes = (uint8_t)((call->slashes + 1) % 4);
            continue;
        }
        if (c == '"' && call->slashes == 1)
            call->in_string = !call->in_string;
        call->slashes = 0;
        if (call->in_string)
            continue;
        if (c == '{' || c == '[')
            call->depth++;
        else if ((c == '}' || c == ']') && call->depth > 0 && --call->depth == 0)
            call->complete = true;
    }
}

/* ---- going on ---- */

static struct translate_call *
call_find(const struct translate *t, uint32_t choice, uint32_t number)
{
    struct translate_call *call = t->calls;

    while (call != NULL && (call->choice != choice || call->number != number))
        call = call->next;
    return call;
}

static struct translate_call *
call_open_in(const struct translate *t, uint32_t choice)
{
    for (struct translate_call *call = t->calls; call != NULL; call = call->next)
        if (call->choice == choice && call->open && !call->closed)
            return call;
    return NULL;
}

static struct translate_call *
call_waiting_in(const struct translate *t, uint32_t choice)
{
    for (struct translate_call *call = t->calls; call != NULL; call = call->next)
        if (call->choice == choice && !call->open)
            return call;
    return NULL;
}

static void
emit_piece(struct translate *t, const struct translate_call *call, struct str piece)
{
    const struct chat_delta delta = {.kind = call->answers ? CHAT_DELTA_TEXT
                                                           : CHAT_DELTA_ARGUMENTS,
                                     .choice = call->choice,
                                     .call = call->number,
                                     .text = piece};

    if (piece.len > 0)
        translate_emit(t, &delta);
}

/* The text that a custom tool's object holds, or all of it where it is no such object. */
static void
emit_unwrapped(struct translate *t, const struct translate_call *call)
{
    const struct js_value text = {
        .type = JS_STRING,
        .escaped = true,
        .raw = {call->waiting.len > 0 ? call->waiting.ptr : "", call->waiting.len}};
    struct js_value object, input;
    struct js_error fault;
    struct arena arena;
    struct str plain;

    arena_init(&arena, t->text_bytes_max + 65536);
    plain = chat_text(&arena, text);
    if (plain.ptr == NULL)
        t->failed = true;
    else if (js_check(plain, &object, &fault) &&
             js_is((input = js_get(object, STR("input"))), JS_STRING))
        emit_piece(t, call, input.raw);
    else
        emit_piece(t, call, text.raw);
    arena_end(&arena);
}

static void
call_begin(struct translate *t, struct translate_call *call)
{
    struct chat_delta delta = {
        .kind = CHAT_DELTA_CALL,
        .choice = call->choice,
        .call = call->number,
        .id = call->id[0] != '\0' ? str_from(call->id) : STR_NONE,
        .name = str_from(call->name),
        .tool = CHAT_TOOL_FUNCTION,
    };

    if (call->known != NULL) {
        delta.name = call->known->name.raw;
        delta.space = call->known->space.raw;
        delta.tool = call->known->kind;
    } else if (call->name[0] == '\0') {
        t->failed = true; /* nobody could answer it */
        return;
    }
    call->open = true;
    if (!call->answers)
        translate_emit(t, &delta);
    if (call->wrapped)
        emit_unwrapped(t, call);
    else
        emit_piece(t, call, buf_str(&call->waiting));
    buf_free(&call->waiting);
}

static void
call_close(struct translate *t, struct translate_call *call)
{
    const struct chat_delta delta = {
        .kind = CHAT_DELTA_CALL_END, .choice = call->choice, .call = call->number};

    call->closed = true;
    if (!call->answers)
        translate_emit(t, &delta);
}

/* Closes what is complete and begins what waits; all: as if everything were complete. */
static void
calls_move_on(struct translate *t, uint32_t choice, bool all)
{
    while (!t->failed) {
        struct translate_call *open = call_open_in(t, choice), *waiting;

        waiting = call_waiting_in(t, choice);
        if (open != NULL) {
            if (!all && (waiting == NULL || !open->complete))
                return;
            call_close(t, open);
            continue;
        }
        if (waiting == NULL || (waiting->wrapped && !waiting->complete && !all))
            return;
        call_begin(t, waiting);
    }
}

/* ---- deltas ---- */

static const struct chat_name *
name_known(const struct translate *t, struct str sent)
{
    const struct chat_name *name = t->names;

    while (name != NULL && !str_eq(name->sent, sent))
        name = name->next;
    return name;
}

static void
call_comes(struct translate *t, const struct chat_delta *delta)
{
    struct translate_call **end = &t->calls, *call;
    unsigned count = 0;

    for (; *end != NULL; end = &(*end)->next)
        count++;
    call = count < CODEC_CALLS_MAX ? calloc(1, sizeof *call) : NULL;
    if (call == NULL || delta->id.len >= sizeof call->id || delta->name.len >= sizeof call->name) {
        free(call);
        t->failed = true;
        return;
    }
    *end = call;
    call->choice = delta->choice;
    call->number = delta->call;
    str_copy(delta->id, call->id, sizeof call->id);
    str_copy(delta->name, call->name, sizeof call->name);
    call->known = name_known(t, delta->name);
    call->answers = call->known != NULL && call->known->kind == CHAT_TOOL_ANSWER;
    call->wrapped = call->known != NULL && call->known->kind == CHAT_TOOL_CUSTOM &&
                    delta->tool != CHAT_TOOL_CUSTOM;
    buf_init(&call->waiting, t->text_bytes_max);
    calls_move_on(t, call->choice, false);
}

static void
piece_comes(struct translate *t, const struct chat_delta *delta)
{
    struct translate_call *call = call_find(t, delta->choice, delta->call);

    /* Of a call that never began, or that something else has ended. */
    if (call == NULL || call->closed) {
        t->failed |= delta->text.len > 0;
        return;
    }
    if (!call->complete)
        scan_piece(call, delta->text);
    if (call->open)
        emit_piece(t, call, delta->text);
    else
        translate_keep(t, &call->waiting, delta->text);
    calls_move_on(t, call->choice, false);
}

static void
call_ends(struct translate *t, const struct chat_delta *delta)
{
    struct translate_call *call = call_find(t, delta->choice, delta->call);

    if (call == NULL || call->closed)
        return;
    call->complete = true;
    if (call->open)
        call_close(t, call);
    calls_move_on(t, delta->choice, false);
    if (!call->closed && call->open)
        call_close(t, call);
}

static void
finish_comes(struct translate *t, const struct chat_delta *delta)
{
    struct chat_delta finish = *delta;
    bool called = false, answered = false;

    calls_move_on(t, delta->choice, true);
    for (const struct translate_call *call = t->calls; call != NULL; call = call->next) {
        if (call->choice != delta->choice)
            continue;
        called |= !call->answers;
        answered |= call->answers;
    }
    if (called && finish.finish == CHAT_FINISH_STOP)
        finish.finish = CHAT_FINISH_CALLS; /* many say stop */
    else if (answered && !called && finish.finish == CHAT_FINISH_CALLS)
        finish.finish = CHAT_FINISH_STOP;
    translate_emit(t, &finish);
}

void
calls_on_delta(void *arg, const struct chat_delta *delta)
{
    struct translate *t = arg;

    switch (delta->kind) {
    case CHAT_DELTA_CALL:
        call_comes(t, delta);
        return;
    case CHAT_DELTA_ARGUMENTS:
        piece_comes(t, delta);
        return;
    case CHAT_DELTA_CALL_END:
        call_ends(t, delta);
        return;
    case CHAT_DELTA_FINISH:
        finish_comes(t, delta);
        return;
    case CHAT_DELTA_REASONING:
        if (!t->show_reasoning)
            return;
        break;
    case CHAT_DELTA_TEXT:
    case CHAT_DELTA_REFUSAL:
    case CHAT_DELTA_SIGNATURE:
        break;
    case CHAT_DELTA_START:
    case CHAT_DELTA_PING:
    case CHAT_DELTA_USAGE:
    case CHAT_DELTA_END:
    case CHAT_DELTA_KIND_COUNT:
        translate_emit(t, delta);
        return;
    }
    if (delta->text.len == 0)
        return;
    if (!delta->of_call)
        calls_move_on(t, delta->choice, true);
    translate_emit(t, delta);
}
