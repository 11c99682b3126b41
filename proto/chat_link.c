/*
 * What holds of every conversation, whatever protocol it came by: results of tools answer calls, each
 * call is answered before somebody else speaks, and there is something to answer at all.
 *
 * Between an assistant's message with calls and the next one that is neither a result nor of the
 * system, all of its calls must be answered, in any order; so must those of the last one, since no
 * provider goes on from a call. Results name their call by its id; where a protocol
 * has no ids (Gemini) they are paired by name and order, and the calls get ids that are made of their
 * place in the conversation, which stays the same in every later request.
 */
#include "proto/chat.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"

/* The turn whose calls may be answered now. */
struct turn {
    struct chat_message *message; /* NULL: none */
};

/* Nobody has ids or names this long. Beyond it two spellings of one text are two. */
#define SPELLING_MAX 256

static bool
same_string(struct js_value a, struct js_value b)
{
    char text[SPELLING_MAX];

    if (a.type != JS_STRING || b.type != JS_STRING)
        return false;
    if (str_eq(a.raw, b.raw))
        return true;
    if (!a.escaped || !b.escaped)
        return a.escaped ? js_str_eq(a, b.raw) : b.escaped && js_str_eq(b, a.raw);
    return b.raw.len <= sizeof text && js_str_eq(a, js_unescape(b, text, sizeof text));
}

static struct chat_part *
call_for(const struct turn *turn, const struct chat_part *result)
{
    for (struct chat_part *p = turn->message ? turn->message->parts : NULL; p != NULL; p = p->next) {
        if (p->kind != CHAT_PART_CALL || p->result != NULL)
            continue;
        if (result->id.type == JS_STRING ? same_string(p->id, result->id)
                                         : same_string(p->tool_name, result->tool_name))
            return p;
    }
    return NULL;
}

static bool
link_result(struct chat_request *r, const struct turn *turn, struct chat_part *result,
            struct proto_error *error)
{
    struct chat_part *call = call_for(turn, result);

    if (call == NULL && result->id.type == JS_STRING)
        return chat_refuse(r, result->at, error,
                           "this result of a tool answers no call of the turn before it");
    if (call == NULL)
        return chat_refuse(r, result->at, error, "no call of the turn before it has this name");
    result->call = call;
    result->id = call->id;
    result->tool_name = call->tool_name;
    result->space = call->space;
    result->tool = call->tool;
    call->result = result;
    return true;
}

static bool
turn_over(struct chat_request *r, struct turn *turn, struct proto_error *error)
{
    for (struct chat_part *p = turn->message ? turn->message->parts : NULL; p != NULL; p = p->next)
        if (p->kind == CHAT_PART_CALL && p->result == NULL)
            return chat_refuse(r, p->at, error, "the result of this call of a tool is missing");
    turn->message = NULL;
    return true;
}

/* Calls without an id get one; two of a turn must not have the same. */
static bool
name_calls(struct chat_request *r, struct chat_message *message, unsigned message_number,
           struct proto_error *error)
{
    const struct chat_part *calls[CHAT_CALLS_MAX];
    unsigned number = 0;

    for (struct chat_part *p = message->parts; p != NULL; p = p->next) {
        char text[40];

        if (p->kind != CHAT_PART_CALL)
            continue;
        if (number == CHAT_CALLS_MAX)
            return chat_refuse(r, p->at, error,
                               "a message must not have more than %d calls of tools",
                               CHAT_CALLS_MAX);
        for (unsigned i = 0; i < number; i++)
            if (same_string(calls[i]->id, p->id))
                return chat_refuse(r, p->at, error, "another call has the same id");
        if (p->id.type != JS_STRING) {
            snprintf(text, sizeof text, "call_%u_%u", message_number, number);
            p->id = chat_string(r->arena, str_from(text));
            if (p->id.type != JS_STRING)
                return chat_no_room(error);
        }
        calls[number++] = p;
    }
    return true;
}

static bool
has_calls(const struct chat_message *message)
{
    for (const struct chat_part *p = message->parts; p != NULL; p = p->next)
        if (p->kind == CHAT_PART_CALL)
            return true;
    return false;
}

static bool
link_message(struct chat_request *r, struct turn *turn, struct chat_message *message,
             unsigned number, struct proto_error *error)
{
    switch (message->role) {
    case CHAT_SYSTEM:
        return true;
    case CHAT_TOOL:
        for (struct chat_part *p = message->parts; p != NULL; p = p->next)
            if (p->kind == CHAT_PART_RESULT && !link_result(r, turn, p, error))
                return false;
        return true;
    case CHAT_ASSISTANT:
        if (!turn_over(r, turn, error) || !name_calls(r, message, number, error))
            return false;
        if (has_calls(message))
            turn->message = message;
        return true;
    case CHAT_USER:
    case CHAT_ROLE_COUNT:
        break;
    }
    return turn_over(r, turn, error);
}

/* What only its provider has is left out where the client has tools of its own. */
static bool
drop_hosted(struct chat_request *r, struct proto_error *error)
{
    struct chat_tool **at = &r->tools, *first = NULL;
    bool others = false;

    for (struct chat_tool *t = r->tools; t != NULL; t = t->next)
        others |= t->kind != CHAT_TOOL_HOSTED;
    while (*at != NULL) {
        struct chat_tool *tool = *at;

        if (tool->kind != CHAT_TOOL_HOSTED) {
            at = &tool->next;
            continue;
        }
        first = first ? first : tool;
        chat_drop(&r->drops, STR("tools"));
        *at = tool->next;
    }
    if (first != NULL && !others)
        return chat_refuse(r, first->at, error,
                           "this tool is its provider's own, and the model is served by another");
    return true;
}

/* A tool must be called: is there one that may? */
static bool
can_choose(const struct chat_request *r, struct proto_error *error)
{
    if (r->choice != CHAT_CHOICE_ANY && r->choice != CHAT_CHOICE_ONE)
        return true;
    for (const struct chat_tool *t = r->tools; t != NULL; t = t->next)
        if (!t->unlisted)
            return true;
    return chat_refuse(r, r->choice_at, error, "there is no tool to be called");
}

bool
chat_link(struct chat_request *r, struct proto_error *error)
{
    struct turn turn = {NULL};
    unsigned number = 0;
    bool spoken = false;

    for (struct chat_message *m = r->messages; m != NULL; m = m->next) {
        if (!link_message(r, &turn, m, number++, error))
            return false;
        spoken |= m->role != CHAT_SYSTEM || !m->leading;
    }
    if (!turn_over(r, &turn, error))
        return false;
    if (!spoken) {
        const char *field = r->endpoint == ENDPOINT_RESPONSES ? "input"
                            : proto_of(r->endpoint) == PROTO_GEMINI ? "contents"
                                                                    : "messages";

        error_set(error, ERROR_BAD_REQUEST, field, "invalid_value", "%s: must not be empty", field);
        return false;
    }
    return drop_hosted(r, error) && can_choose(r, error);
}
