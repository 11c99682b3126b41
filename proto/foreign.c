#include "proto/foreign.h"

#include "base/js.h"
#include "base/str.h"
#include "proto/codec_in.h"
#include "proto/gemini_in.h"

struct edit {
    struct buf *out;
    const char *from; /* of the body, what is not copied yet */
    bool any;
};

/* Up to here as it stands; then this in place of what stands there. */
static void
put(struct edit *e, const char *start, const char *end, struct str text)
{
    buf_add(e->out, e->from, (size_t)(start - e->from));
    buf_add_str(e->out, text);
    e->from = end;
    e->any = true;
}

static const char *
start_of(struct js_value v)
{
    return v.raw.ptr - (v.type == JS_STRING);
}

static const char *
end_of(struct js_value v)
{
    return v.raw.ptr + v.raw.len + (v.type == JS_STRING);
}

/* Of several members of one name the last one counts, as with the providers. */
static struct js_value
member(struct js_value object, struct str name)
{
    struct js_value value;

    codec_members(object, &name, 1, &value);
    return value;
}

static bool
is_tagged(struct js_value signature)
{
    return signature.type == JS_STRING && str_starts_with(signature.raw, STR(CODEC_TAG_ANY));
}

/* Of the elements of a list those that are left out; before one that stays, and at the end. */
struct leaving {
    const char *from; /* behind the last one that stays */
    bool some, kept;
};

static void
leave_up_to(struct edit *e, struct leaving *l, const char *to, bool last)
{
    if (l->some)
        put(e, l->from, to, l->kept && !last ? STR(",") : STR(""));
    l->some = false;
}

/* ---- Anthropic ---- */

static bool
is_thought(struct js_value block)
{
    struct js_value type = member(block, STR("type"));

    return js_str_eq(type, STR("thinking")) || js_str_eq(type, STR("redacted_thinking"));
}

static bool
is_foreign_thought(struct js_value block)
{
    return is_thought(block) && (is_tagged(member(block, STR("signature"))) ||
                                 is_tagged(member(block, STR("data"))));
}

static bool
is_foreign_item(struct js_value item)
{
    return js_str_eq(member(item, STR("type")), STR("reasoning")) &&
           is_tagged(member(item, STR("encrypted_content")));
}

/* Nothing but such thoughts. */
static bool
is_foreign_message(struct js_value message)
{
    struct js_value key, block;
    struct js_iter it;
    bool any = false;

    js_iter_init(&it, member(message, STR("content")));
    if (it.is_object)
        return false;
    while (js_next(&it, &key, &block)) {
        if (!is_foreign_thought(block))
            return false;
        any = true;
    }
    return any;
}

static void
strip_list(struct edit *e, struct js_value list, bool (*is_foreign)(struct js_value))
{
    struct leaving l = {.some = false};
    struct js_value key, one;
    struct js_iter it;

    if (list.type != JS_ARRAY)
        return;
    l.from = list.raw.ptr + 1;
    for (js_iter_init(&it, list); js_next(&it, &key, &one);) {
        if (is_foreign(one)) {
            l.some = true;
            continue;
        }
        leave_up_to(e, &l, start_of(one), false);
        l.from = end_of(one);
        l.kept = true;
        if (is_foreign == is_foreign_message)
            strip_list(e, member(one, STR("content")), is_foreign_thought);
    }
    leave_up_to(e, &l, list.raw.ptr + list.raw.len - 1, true);
}

/* Does the conversation end in the results of tools, and has the turn that called them lost its
 * thought? */
static bool
loop_is_cut(struct js_value messages)
{
    struct js_value key, message, block;
    struct js_iter it, blocks;
    bool lost = false, own = false, results = false;

    if (messages.type != JS_ARRAY)
        return false;
    for (js_iter_init(&it, messages); js_next(&it, &key, &message);) {
        bool assistant = js_str_eq(member(message, STR("role")), STR("assistant"));

        results = false;
        if (assistant)
            lost = own = false;
        js_iter_init(&blocks, member(message, STR("content")));
        while (!blocks.is_object && js_next(&blocks, &key, &block)) {
            results |= js_str_eq(member(block, STR("type")), STR("tool_result"));
            lost |= assistant && is_foreign_thought(block);
            own |= assistant && is_thought(block) && !is_foreign_thought(block);
        }
    }
    return results && lost && !own;
}

static void
strip_messages(struct edit *e, struct js_value document)
{
    struct js_value messages = member(document, STR("messages"));
    struct js_value thinking = member(document, STR("thinking"));
    bool off = loop_is_cut(messages) &&
               js_str_eq(member(thinking, STR("type")), STR("enabled"));
    bool first = off && thinking.raw.ptr < messages.raw.ptr; /* edits are made in order */

    if (first)
        put(e, start_of(thinking), end_of(thinking), STR("{\"type\":\"disabled\"}"));
    strip_list(e, messages, is_foreign_message);
    if (off && !first)
        put(e, start_of(thinking), end_of(thinking), STR("{\"type\":\"disabled\"}"));
}

/* ---- Gemini ---- */

static void
strip_part(struct edit *e, struct js_value part)
{
    struct js_value key, value;
    struct js_iter it;

    if (part.type != JS_OBJECT)
        return;
    for (js_iter_init(&it, part); js_next(&it, &key, &value);)
        if ((js_str_eq(key, STR("thoughtSignature")) || js_str_eq(key, STR("thought_signature"))) &&
            (is_tagged(value) ||
             (value.type == JS_STRING &&
              str_starts_with(value.raw, STR(GEMINI_REDACTED CODEC_TAG_ANY)))))
            put(e, start_of(value), end_of(value), STR("\"" GEMINI_UNSIGNED "\""));
}

static void
strip_contents(struct edit *e, struct js_value contents)
{
    struct js_value key, content, part;
    struct js_iter it, parts;

    if (contents.type != JS_ARRAY)
        return;
    for (js_iter_init(&it, contents); js_next(&it, &key, &content);) {
        struct js_value list = member(content, STR("parts"));

        if (list.type != JS_ARRAY)
            continue;
        for (js_iter_init(&parts, list); js_next(&parts, &key, &part);)
            strip_part(e, part);
    }
}

/* ---- any ---- */

bool
foreign_suspected(enum proto_endpoint endpoint, struct str body)
{
    switch (endpoint) {
    case ENDPOINT_RESPONSES:
    case ENDPOINT_MESSAGES:
    case ENDPOINT_COUNT_TOKENS: return str_contains(body, STR("\"" CODEC_TAG_ANY));
    case ENDPOINT_GENERATE: return str_contains(body, STR(CODEC_TAG_ANY));
    default: return false;
    }
}

bool
foreign_strip(enum proto_endpoint endpoint, struct str body, struct buf *out)
{
    struct edit e = {.out = out, .from = body.ptr};
    size_t before = out->len;
    struct js_value document;
    struct js_error ignored;

    if (!js_check(body, &document, &ignored) || document.type != JS_OBJECT)
        return false;
    if (endpoint == ENDPOINT_RESPONSES)
        strip_list(&e, member(document, STR("input")), is_foreign_item);
    else if (endpoint == ENDPOINT_GENERATE)
        strip_contents(&e, member(document, STR("contents")));
    else
        strip_messages(&e, document);
    if (!e.any) {
        out->len = before;
        return false;
    }
    buf_add(out, e.from, (size_t)(body.ptr + body.len - e.from));
    return !out->failed;
}
