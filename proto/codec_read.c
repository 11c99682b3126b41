/* Small readers that the decoders of requests share. */
#include <string.h>

#include "base/str.h"
#include "proto/codec_in.h"

/* Most keys are other ones than a name, and told from it by their length or first byte. */
static inline bool
is_name(struct js_value key, struct str name)
{
    if (key.escaped)
        return js_str_eq(key, name);
    return key.raw.len == name.len && key.raw.ptr[0] == name.ptr[0] &&
           memcmp(key.raw.ptr, name.ptr, name.len) == 0;
}

void
codec_members(struct js_value object, const struct str *names, size_t count,
              struct js_value *values)
{
    struct js_value key, value;
    struct js_iter it;

    for (size_t i = 0; i < count; i++)
        values[i] = (struct js_value){.type = JS_NONE};
    for (js_iter_init(&it, object); js_next(&it, &key, &value);) {
        for (size_t i = 0; i < count; i++) {
            if (!is_name(key, names[i]))
                continue;
            values[i] = value;
            if (value.type == JS_NULL)
                values[i].type = JS_NONE;
            break;
        }
    }
}

static const char *
type_text(enum js_type type)
{
    switch (type) {
    case JS_STRING: return "a string";
    case JS_ARRAY: return "a list";
    case JS_OBJECT: return "an object";
    case JS_NUMBER: return "a number";
    case JS_TRUE:
    case JS_FALSE: return "true or false";
    case JS_NULL:
    case JS_NONE: break;
    }
    return "null";
}

bool
codec_want(const struct chat_request *r, struct js_value value, enum js_type type,
           struct proto_error *error)
{
    if (value.type == JS_NONE || value.type == JS_NULL || value.type == type)
        return true;
    return chat_refuse(r, value, error, "must be %s", type_text(type));
}

bool
codec_want_bool(const struct chat_request *r, struct js_value value, bool *out,
                struct proto_error *error)
{
    *out = value.type == JS_TRUE;
    if (value.type == JS_NONE || value.type == JS_NULL || value.type == JS_TRUE ||
        value.type == JS_FALSE)
        return true;
    return chat_refuse(r, value, error, "must be true or false");
}

bool
codec_want_number(const struct chat_request *r, struct js_value value, struct proto_error *error)
{
    return codec_want(r, value, JS_NUMBER, error);
}

bool
codec_want_count(const struct chat_request *r, struct js_value value, uint32_t min, uint32_t max,
                 uint32_t *out, struct proto_error *error)
{
    uint64_t n;

    if (value.type == JS_NONE || value.type == JS_NULL)
        return true;
    if (!js_count(value, max, &n) || n < min)
        return chat_refuse(r, value, error, "must be a whole number from %u to %u", min, max);
    *out = (uint32_t)n;
    return true;
}

void
codec_knob(struct chat_request *r, enum chat_knob knob, const char *name, struct js_value value)
{
    if (value.type != JS_NONE && value.type != JS_NULL)
        r->knobs[knob] = (struct chat_field){value, name};
}

bool
codec_stops(struct chat_request *r, struct js_value value, size_t max, struct proto_error *error)
{
    struct js_value key, one;
    struct js_iter it;

    if (value.type == JS_NONE || value.type == JS_NULL)
        return true;
    r->stop_at = value;
    r->stops = arena_alloc(r->arena, MAX(max, (size_t)1) * sizeof *r->stops);
    if (r->stops == NULL)
        return chat_no_room(error);
    if (value.type == JS_STRING) {
        r->stops[r->stop_count++] = value;
        return true;
    }
    if (value.type != JS_ARRAY)
        return chat_refuse(r, value, error, "must be a string or a list of strings");
    for (js_iter_init(&it, value); js_next(&it, &key, &one);) {
        if (one.type != JS_STRING)
            return chat_refuse(r, one, error, "must be a string");
        if (r->stop_count == max)
            return chat_refuse(r, value, error, "must not have more than %zu elements", max);
        r->stops[r->stop_count++] = one;
    }
    return true;
}

bool
codec_above_one(struct js_value number)
{
    struct str text = number.raw;

    if (number.type != JS_NUMBER || text.len == 0 || text.ptr[0] == '-')
        return false;
    /* With an exponent it is nobody's usual way to write one: clamping it does no harm. */
    if (memchr(text.ptr, 'e', text.len) != NULL || memchr(text.ptr, 'E', text.len) != NULL)
        return true;
    if (text.len > 1 && text.ptr[1] != '.')
        return true;
    if (text.ptr[0] == '0')
        return false;
    if (text.ptr[0] > '1')
        return true;
    for (size_t i = 2; i < text.len; i++)
        if (text.ptr[i] != '0')
            return true;
    return false;
}

/* ---- thinking ---- */

static const uint32_t budgets[CHAT_EFFORT_COUNT] = {
    [CHAT_EFFORT_MINIMAL] = 1024, [CHAT_EFFORT_LOW] = 2048,    [CHAT_EFFORT_MEDIUM] = 8192,
    [CHAT_EFFORT_HIGH] = 16384,   [CHAT_EFFORT_XHIGH] = 32768, [CHAT_EFFORT_MAX] = 32768,
};

enum chat_effort
codec_effort(struct js_value name)
{
    for (unsigned i = CHAT_EFFORT_UNSET + 1; i < CHAT_EFFORT_COUNT; i++)
        if (js_str_eq(name, str_from(chat_effort_name[i])))
            return (enum chat_effort)i;
    return CHAT_EFFORT_UNSET;
}

uint32_t
chat_budget_of(enum chat_effort effort)
{
    return budgets[effort];
}

enum chat_effort
codec_effort_of(uint32_t budget)
{
    return budget <= 2048 ? CHAT_EFFORT_LOW : budget <= 8192 ? CHAT_EFFORT_MEDIUM : CHAT_EFFORT_HIGH;
}

struct str
codec_thinking_name(const struct chat_request *r)
{
    switch (proto_of(r->endpoint)) {
    case PROTO_RESPONSES: return STR("reasoning");
    case PROTO_ANTHROPIC:
        if (r->thinking == CHAT_THINKING_UNSET && !r->thinking_shown)
            return STR("output_config.effort");
        return STR("thinking");
    case PROTO_GEMINI: return STR("generationConfig.thinkingConfig");
    case PROTO_OPENAI:
    case PROTO_PROTOCOL_COUNT: break;
    }
    return STR("reasoning_effort");
}

/* ---- what is left out ---- */

struct str
codec_marks_name(const struct chat_request *r)
{
    return proto_of(r->endpoint) == PROTO_ANTHROPIC ? STR("cache_control")
                                                    : STR("prompt_cache_breakpoint");
}

static bool
has_marks(const struct chat_request *r)
{
    for (const struct chat_tool *t = r->tools; t != NULL; t = t->next)
        if (t->cache != CHAT_CACHE_NONE)
            return true;
    for (const struct chat_message *m = r->messages; m != NULL; m = m->next)
        for (const struct chat_part *p = m->parts; p != NULL; p = p->next) {
            if (p->cache != CHAT_CACHE_NONE)
                return true;
            for (const struct chat_part *q = p->content; q != NULL; q = q->next)
                if (q->cache != CHAT_CACHE_NONE)
                    return true;
        }
    return false;
}

void
codec_drop_marks(const struct chat_request *r, struct chat_drops *drops)
{
    if (has_marks(r))
        chat_drop(drops, codec_marks_name(r));
}

void
codec_drop_knobs(const struct chat_request *r, unsigned taken, struct chat_drops *drops)
{
    for (unsigned i = 0; i < CHAT_KNOB_COUNT; i++)
        if (r->knobs[i].value.type != JS_NONE && (taken >> i & 1) == 0)
            chat_drop(drops, str_from(r->knobs[i].name));
}
