/* An answer collected piece by piece, for a client that wants it whole. */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "proto/translate_in.h"

/* A run of deltas of one kind, or one call; and, with is_finish, how a choice ended. */
struct translate_piece {
    struct translate_piece *next;
    uint32_t choice, call;
    enum chat_part_kind kind;
    bool is_finish, is_logprobs;
    bool redacted;
    enum chat_tool_kind tool;
    enum chat_finish finish;
    struct buf text;      /* of CALL: the arguments; of finish: the stop sequence */
    struct buf signature; /* of REASONING, and of CALL */
    struct buf id, name, space;
};

static void
piece_free(struct translate_piece *p)
{
    buf_free(&p->text);
    buf_free(&p->signature);
    buf_free(&p->id);
    buf_free(&p->name);
    buf_free(&p->space);
    free(p);
}

void
pieces_free(struct translate *t)
{
    while (t->pieces != NULL) {
        struct translate_piece *p = t->pieces;

        t->pieces = p->next;
        piece_free(p);
    }
    t->pieces_end = &t->pieces;
}

static struct translate_piece *
piece_new(struct translate *t, const struct chat_delta *delta, enum chat_part_kind kind)
{
    struct translate_piece *p = calloc(1, sizeof *p);

    if (p == NULL) {
        t->failed = true;
        return NULL;
    }
    p->choice = delta->choice;
    p->call = delta->call;
    p->kind = kind;
    p->tool = delta->tool;
    buf_init(&p->text, t->text_bytes_max);
    buf_init(&p->signature, t->text_bytes_max);
    buf_init(&p->id, t->text_bytes_max);
    buf_init(&p->name, t->text_bytes_max);
    buf_init(&p->space, t->text_bytes_max);
    *t->pieces_end = p;
    t->pieces_end = &p->next;
    return p;
}

/* The last piece of the choice; of this call, when it is one's. */
static struct translate_piece *
piece_last(const struct translate *t, const struct chat_delta *delta, bool of_call)
{
    struct translate_piece *last = NULL;

    for (struct translate_piece *p = t->pieces; p != NULL; p = p->next)
        if (p->choice == delta->choice && !p->is_logprobs &&
            (!of_call || (p->kind == CHAT_PART_CALL && p->call == delta->call)))
            last = p;
    return last;
}

static void
add_text(struct translate *t, const struct chat_delta *delta, enum chat_part_kind kind)
{
    struct translate_piece *p = piece_last(t, delta, false);

    /* Reasoning that has its signature is closed. */
    if (p == NULL || p->kind != kind || p->is_finish || p->signature.len > 0)
        p = piece_new(t, delta, kind);
    if (p != NULL)
        translate_keep(t, &p->text, delta->text);
}

static void
add_signature(struct translate *t, const struct chat_delta *delta)
{
    struct translate_piece *p = piece_last(t, delta, delta->of_call);

    if (delta->of_call && p == NULL) { /* it comes before its call */
        t->call_signature.len = 0;
        translate_keep(t, &t->call_signature, delta->text);
        return;
    }
    if (!delta->of_call && (p == NULL || p->kind != CHAT_PART_REASONING || p->is_finish ||
                            p->signature.len > 0)) {
        p = piece_new(t, delta, CHAT_PART_REASONING);
        if (p == NULL)
            return;
        p->redacted = true;
    }
    translate_keep(t, &p->signature, delta->text);
}

/* Lists of logprobs are joined: what stands between their brackets. */
static void
add_logprobs(struct translate *t, const struct chat_delta *delta)
{
    struct str list = delta->logprobs.raw;
    struct translate_piece *p = t->pieces;

    if (delta->logprobs.type != JS_ARRAY || list.len <= 2)
        return;
    while (p != NULL && (!p->is_logprobs || p->choice != delta->choice))
        p = p->next;
    if (p == NULL && (p = piece_new(t, delta, CHAT_PART_TEXT)) != NULL)
        p->is_logprobs = true;
    if (p == NULL)
        return;
    translate_keep(t, &p->text, p->text.len == 0 ? STR("[") : STR(","));
    translate_keep(t, &p->text, (struct str){list.ptr + 1, list.len - 2});
}

static void
add_call(struct translate *t, const struct chat_delta *delta)
{
    struct translate_piece *p = piece_new(t, delta, CHAT_PART_CALL);

    if (p == NULL)
        return;
    translate_keep(t, &p->signature, buf_str(&t->call_signature));
    t->call_signature.len = 0;
    translate_keep(t, &p->id, delta->id);
    translate_keep(t, &p->name, delta->name);
    translate_keep(t, &p->space, delta->space);
}

static void
add_finish(struct translate *t, const struct chat_delta *delta)
{
    struct translate_piece *p = piece_new(t, delta, CHAT_PART_TEXT);

    if (p == NULL)
        return;
    p->is_finish = true;
    p->finish = delta->finish;
    translate_keep(t, &p->text, delta->stop_sequence);
}

void
pieces_add(struct translate *t, const struct chat_delta *delta)
{
    struct translate_piece *p;

    switch (delta->kind) {
    case CHAT_DELTA_START:
        str_copy(delta->id, t->answer_id, sizeof t->answer_id);
        str_copy(delta->name, t->answer_model, sizeof t->answer_model);
        return;
    case CHAT_DELTA_TEXT:
        add_text(t, delta, CHAT_PART_TEXT);
        add_logprobs(t, delta);
        return;
    case CHAT_DELTA_REASONING: add_text(t, delta, CHAT_PART_REASONING); return;
    case CHAT_DELTA_REFUSAL: add_text(t, delta, CHAT_PART_REFUSAL); return;
    case CHAT_DELTA_SIGNATURE: add_signature(t, delta); return;
    case CHAT_DELTA_CALL: add_call(t, delta); return;
    case CHAT_DELTA_ARGUMENTS:
        p = piece_last(t, delta, true);
        if (p != NULL)
            translate_keep(t, &p->text, delta->text);
        return;
    case CHAT_DELTA_FINISH: add_finish(t, delta); return;
    case CHAT_DELTA_USAGE: t->answer.usage = *delta->usage; return;
    case CHAT_DELTA_CALL_END:
    case CHAT_DELTA_PING:
    case CHAT_DELTA_END:
    case CHAT_DELTA_KIND_COUNT: return;
    }
}

/* ---- the answer ---- */

static struct js_value
string_of(const struct buf *buf)
{
    struct str text = buf_str(buf);

    if (text.len == 0)
        return (struct js_value){.type = JS_NONE};
    return (struct js_value){.type = JS_STRING,
                             .raw = text,
                             .escaped = memchr(text.ptr, '\\', text.len) != NULL};
}

/* The same where an empty one is a string, too. */
static struct js_value
text_of(const struct buf *buf)
{
    struct js_value value = string_of(buf);

    return value.type == JS_STRING ? value : (struct js_value){.type = JS_STRING, .raw = STR("")};
}

static struct chat_answer_choice *
choice_at(struct translate *t, struct arena *arena, uint32_t index)
{
    struct chat_answer_choice **at = &t->answer.choices, *made;

    while (*at != NULL && (*at)->index < index)
        at = &(*at)->next;
    if (*at != NULL && (*at)->index == index)
        return *at;
    made = arena_zalloc(arena, sizeof *made);
    if (made == NULL)
        return NULL;
    made->index = index;
    made->next = *at;
    *at = made;
    return made;
}

static bool
part_add(struct arena *arena, struct chat_answer_choice *choice, const struct translate_piece *p)
{
    struct chat_part **end = &choice->parts, *part = arena_zalloc(arena, sizeof *part);

    if (part == NULL)
        return false;
    while (*end != NULL)
        end = &(*end)->next;
    *end = part;
    part->kind = p->kind;
    part->text = p->kind == CHAT_PART_CALL ? (struct js_value){.type = JS_NONE} : text_of(&p->text);
    part->signature = string_of(&p->signature);
    part->redacted = p->redacted;
    if (p->kind != CHAT_PART_CALL)
        return true;
    part->id = string_of(&p->id);
    part->tool_name = string_of(&p->name);
    part->space = string_of(&p->space);
    part->tool = p->tool;
    part->arguments = text_of(&p->text);
    return true;
}

static bool
piece_place(struct translate *t, struct arena *arena, struct translate_piece *p)
{
    struct chat_answer_choice *choice = choice_at(t, arena, p->choice);

    if (choice == NULL)
        return false;
    if (p->is_finish) {
        choice->finish = p->finish;
        choice->stop_sequence = string_of(&p->text);
        return true;
    }
    if (!p->is_logprobs)
        return part_add(arena, choice, p);
    if (p->text.len == 0 || !buf_add_char(&p->text, ']'))
        return false;
    choice->logprobs = (struct js_value){.type = JS_ARRAY, .raw = buf_str(&p->text)};
    return true;
}

bool
translate_whole(struct translate *t, struct buf *out)
{
    struct arena arena;
    bool placed = true;

    arena_init(&arena, 16u << 20);
    t->answer.choices = NULL;
    for (struct translate_piece *p = t->pieces; p != NULL && placed; p = p->next)
        placed = piece_place(t, &arena, p);
    placed = placed && choice_at(t, &arena, 0) != NULL;
    if (placed) {
        const struct str id = str_from(t->answer_id), model = str_from(t->answer_model);

        t->answer.id = (struct js_value){.type = id.len > 0 ? JS_STRING : JS_NONE, .raw = id};
        t->answer.model =
            (struct js_value){.type = model.len > 0 ? JS_STRING : JS_NONE, .raw = model};
        t->from->answer_write(&t->answer, &t->frame, out);
    }
    t->answer.choices = NULL;
    arena_end(&arena);
    return placed && !out->failed;
}
