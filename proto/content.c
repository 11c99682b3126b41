#include "proto/content.h"

#include "base/str.h"
#include "proto/pick.h"

/* A text that is not empty, a list or object with something in it. Numbers and truth values number
 * and order things; they are never what was generated. */
static bool
is_something(struct js_value value)
{
    struct js_value key, inner;
    struct js_iter it;

    if (value.type == JS_STRING)
        return value.raw.len > 0;
    for (js_iter_init(&it, value); js_next(&it, &key, &inner);) {
        bool list = js_is(inner, JS_ARRAY) || js_is(inner, JS_OBJECT);

        /* One level deep: {"refusal":null} is nothing. */
        if (js_is(value, JS_ARRAY) || (js_is(inner, JS_STRING) && inner.raw.len > 0) ||
            (list && inner.raw.len > 2))
            return true;
    }
    return false;
}

/* Some member that is something, but for those of these names. */
static bool
has_other_than(struct js_value object, const struct str *names, size_t count)
{
    struct js_value key, value;
    struct js_iter it;

    if (object.type != JS_OBJECT)
        return false;
    for (js_iter_init(&it, object); js_next(&it, &key, &value);) {
        bool named = false;

        for (size_t i = 0; i < count && !named; i++)
            named = js_str_eq(key, names[i]);
        if (!named && is_something(value))
            return true;
    }
    return false;
}

#define HAS_OTHER_THAN(object, ...)                                                                \
    has_other_than((object), (const struct str[]){__VA_ARGS__},                                    \
                   COUNT_OF(((const struct str[]){__VA_ARGS__})))

/* ---- chat completions and completions ---- */

static bool
in_message(struct js_value message)
{
    return HAS_OTHER_THAN(message, STR("role"), STR("name"), STR("provider_specific_fields"));
}

bool
content_in_choices(struct js_value choices)
{
    struct js_value key, choice;
    struct js_iter it;

    if (choices.type != JS_ARRAY)
        return false;
    for (js_iter_init(&it, choices); js_next(&it, &key, &choice);) {
        if (is_something(js_get(choice, STR("text"))) || in_message(js_get(choice, STR("delta"))) ||
            in_message(js_get(choice, STR("message"))))
            return true;
    }
    return false;
}

enum content
content_end(struct js_value reason)
{
    static const struct str ordinary[] = {PICK_NAME("stop"), PICK_NAME("end_turn"),
                                          PICK_NAME("completed"), PICK_NAME("eos")};

    if (reason.type != JS_STRING || reason.raw.len == 0)
        return CONTENT_NONE;
    for (size_t i = 0; i < COUNT_OF(ordinary); i++)
        if (js_str_eq(reason, ordinary[i]))
            return CONTENT_EMPTY;
    return CONTENT_SOME;
}

enum content
content_choices_end(struct js_value choices)
{
    struct js_value key, choice;
    struct js_iter it;
    enum content end = CONTENT_NONE;

    if (choices.type != JS_ARRAY)
        return end;
    for (js_iter_init(&it, choices); js_next(&it, &key, &choice);) {
        enum content one = content_end(js_get(choice, STR("finish_reason")));

        end = MAX(end, one);
    }
    return end;
}

/* ---- Anthropic Messages ---- */

/* A text or thinking that is still empty is a frame; other blocks are what they say. */
static bool
in_block(struct js_value block)
{
    struct js_value type = js_get(block, STR("type"));

    if (js_str_eq(type, STR("text")))
        return is_something(js_get(block, STR("text")));
    if (js_str_eq(type, STR("thinking")))
        return HAS_OTHER_THAN(block, STR("type"));
    return is_something(block);
}

bool
content_in_message_event(struct str type, struct js_value event)
{
    if (str_eq(type, STR("content_block_delta")))
        return HAS_OTHER_THAN(js_get(event, STR("delta")), STR("type"));
    if (str_eq(type, STR("content_block_start")))
        return in_block(js_get(event, STR("content_block")));
    return false;
}

bool
content_in_blocks(struct js_value blocks)
{
    struct js_value key, block;
    struct js_iter it;

    if (blocks.type != JS_ARRAY)
        return false;
    for (js_iter_init(&it, blocks); js_next(&it, &key, &block);)
        if (in_block(block))
            return true;
    return false;
}

/* ---- Responses ---- */

static bool
in_part(struct js_value part)
{
    return HAS_OTHER_THAN(part, STR("type"), STR("annotations"), STR("logprobs"));
}

static bool
in_parts(struct js_value parts)
{
    struct js_value key, part;
    struct js_iter it;

    if (parts.type != JS_ARRAY)
        return is_something(parts);
    for (js_iter_init(&it, parts); js_next(&it, &key, &part);)
        if (in_part(part))
            return true;
    return false;
}

/* Messages and reasoning begin empty; calls of tools are what they say. */
static bool
in_item(struct js_value item)
{
    struct js_value type = js_get(item, STR("type"));

    if (!js_str_eq(type, STR("message")) && !js_str_eq(type, STR("reasoning")))
        return is_something(item);
    return in_parts(js_get(item, STR("content"))) || in_parts(js_get(item, STR("summary"))) ||
           is_something(js_get(item, STR("encrypted_content")));
}

bool
content_in_items(struct js_value items)
{
    struct js_value key, item;
    struct js_iter it;

    if (items.type != JS_ARRAY)
        return false;
    for (js_iter_init(&it, items); js_next(&it, &key, &item);)
        if (in_item(item))
            return true;
    return false;
}

bool
content_in_response_event(struct str type, struct js_value event)
{
    struct js_value item = js_get(event, STR("item")), part = js_get(event, STR("part"));
    struct js_value response = js_get(event, STR("response"));

    if (response.type == JS_OBJECT) /* created, queued, in_progress, completed, incomplete */
        return content_in_items(js_get(response, STR("output")));
    if (item.type == JS_OBJECT)
        return in_item(item);
    if (part.type == JS_OBJECT)
        return in_part(part);
    if (str_ends_with(type, STR(".delta")) || str_ends_with(type, STR(".done")))
        return HAS_OTHER_THAN(event, STR("type"), STR("item_id"), STR("logprobs"),
                              STR("obfuscation"));
    /* Steps of a tool that the provider runs; what comes as a sign of life is called otherwise. */
    return str_starts_with(type, STR("response."));
}

/* ---- Gemini ---- */

/* A text that is empty is none; a signature alone is no content, but comes with the end of some. */
static bool
in_gemini_part(struct js_value part)
{
    return HAS_OTHER_THAN(part, STR("thought"), STR("thoughtSignature"));
}

bool
content_in_candidates(struct js_value candidates)
{
    struct js_value key, candidate, part;
    struct js_iter it, parts;

    if (candidates.type != JS_ARRAY)
        return false;
    for (js_iter_init(&it, candidates); js_next(&it, &key, &candidate);) {
        js_iter_init(&parts, js_path(candidate, "content", "parts", NULL));
        while (js_next(&parts, &key, &part))
            if (in_gemini_part(part))
                return true;
    }
    return false;
}

enum content
content_candidates_end(struct js_value candidates, struct js_value prompt_feedback)
{
    struct js_value key, candidate, reason;
    struct js_iter it;
    enum content end = CONTENT_NONE;

    if (js_is(js_get(prompt_feedback, STR("blockReason")), JS_STRING))
        return CONTENT_SOME;
    if (candidates.type != JS_ARRAY)
        return end;
    for (js_iter_init(&it, candidates); js_next(&it, &key, &candidate);) {
        reason = js_get(candidate, STR("finishReason"));
        if (reason.type != JS_STRING || reason.raw.len == 0)
            continue;
        if (!js_str_eq(reason, STR("STOP")))
            return CONTENT_SOME;
        end = CONTENT_EMPTY;
    }
    return end;
}
