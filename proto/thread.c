#include "proto/thread.h"

#include "base/hash.h"
#include "base/js.h"
#include "base/str.h"
#include "proto/pick.h"

/* Messages that are looked through for the first of the user; instructions stand before it. */
#define MESSAGES_MAX 8u

bool
thread_is_session_header(struct str name)
{
    static const char *const names[] = {"x-claude-code-session-id", "session-id", "x-session-id",
                                        "x-session-affinity"};

    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (str_eq_nocase(name, str_from(names[i])))
            return true;
    return false;
}

struct hasher {
    uint64_t state;
    bool any;
};

static void
mix(struct hasher *h, struct str part)
{
    const uint64_t both[2] = {h->state, hash_u64(part.ptr, part.len)};

    h->state = hash_u64(both, sizeof(both));
    h->any = true;
}

/* The text of a message's content, or of instructions: not the marks for caches beside it, which a
 * client moves from turn to turn. A part that has no text counts as it stands. */
static void
mix_content(struct hasher *h, struct js_value content)
{
    struct js_value key, part, text;
    struct js_iter it;

    if (js_is(content, JS_STRING)) {
        mix(h, content.raw);
        return;
    }
    if (!js_is(content, JS_ARRAY))
        return;
    for (js_iter_init(&it, content); js_next(&it, &key, &part);) {
        text = js_get(part, STR("text"));
        mix(h, js_is(text, JS_STRING) ? text.raw : part.raw);
    }
}

static void
mix_messages(struct hasher *h, struct js_value messages)
{
    struct js_value key, message;
    struct js_iter it;

    if (!js_is(messages, JS_ARRAY)) {
        mix_content(h, messages); /* an input that is one text */
        return;
    }
    js_iter_init(&it, messages);
    while (js_next(&it, &key, &message) && it.index < MESSAGES_MAX) {
        mix_content(h, js_get(message, STR("content")));
        mix_content(h, js_get(message, STR("parts"))); /* Gemini's */
        if (js_str_eq(js_get(message, STR("role")), STR("user")))
            return;
    }
}

struct members {
    struct js_value cache_key, user_id, instructions, system, messages;
};

static void
members_find(struct str body, struct members *out)
{
    struct js_value key, value;
    struct js_iter it;

    *out = (struct members){0};
    js_iter_init(&it, pick_document(body));
    while (js_next(&it, &key, &value)) {
        if (js_str_eq(key, STR("messages")) || js_str_eq(key, STR("input")) ||
            js_str_eq(key, STR("contents")))
            out->messages = value;
        else if (js_str_eq(key, STR("prompt_cache_key")))
            out->cache_key = value;
        else if (js_str_eq(key, STR("metadata")))
            out->user_id = js_get(value, STR("user_id"));
        else if (js_str_eq(key, STR("system")))
            out->system = value;
        else if (js_str_eq(key, STR("systemInstruction")))
            out->system = js_get(value, STR("parts"));
        else if (js_str_eq(key, STR("instructions")))
            out->instructions = value;
    }
}

static bool
is_named(struct js_value value)
{
    return js_is(value, JS_STRING) && value.raw.len > 0;
}

uint64_t
thread_hash(const struct ask *ask, struct str session, uint64_t owner)
{
    struct hasher h = {.state = owner};
    struct members m;

    if (!proto_has_output(ask->endpoint) || proto_is_media(ask->endpoint) ||
        ask->endpoint == ENDPOINT_COMPLETIONS)
        return 0;
    if (session.len > 0) {
        mix(&h, session);
        return h.state;
    }
    members_find(ask->body, &m);
    if (is_named(m.cache_key)) {
        mix(&h, m.cache_key.raw);
    } else if (ask->endpoint != ENDPOINT_CHAT && ask->endpoint != ENDPOINT_RESPONSES &&
               is_named(m.user_id)) {
        mix(&h, m.user_id.raw);
    } else {
        mix_content(&h, m.system);
        mix_content(&h, m.instructions);
        mix_messages(&h, m.messages);
    }
    return h.any ? h.state : 0;
}
