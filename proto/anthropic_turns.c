/*
 * Writes "system" and "messages" for an upstream that speaks Anthropic's Messages.
 *
 * The service wants turns that alternate, the first one the user's, texts that are not empty, and
 * the results of all calls at the head of the turn right after them. So a turn is opened only when
 * there is something to put into it, and goes on as long as the role stays the same; the results
 * are written where their calls are, wherever the client has put them.
 *
 * Nor may a turn end in thinking. Thinking is written as it comes, and what no other block has
 * followed is taken back when the turn is closed.
 */
#include "base/str.h"
#include "proto/anthropic.h"

#define JSON_SENTENCE "Answer with a JSON object and nothing else."
/* Where the first turn is not the user's. */
#define NOBODY_SAYS "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\".\"}]}"

static const struct chat_name_rule name_rule = {128, "", false};

/* ---- marks for the cache ---- */

static bool
is_empty_text(const struct chat_part *p)
{
    return (p->kind == CHAT_PART_TEXT || p->kind == CHAT_PART_REFUSAL) && p->text.raw.len == 0;
}

static unsigned
marks_of(const struct chat_part *p)
{
    unsigned count = p->cache != CHAT_CACHE_NONE && p->kind != CHAT_PART_REASONING;

    if (is_empty_text(p))
        return 0;
    for (const struct chat_part *inner = p->content; inner != NULL; inner = inner->next)
        count += inner->cache != CHAT_CACHE_NONE && !is_empty_text(inner);
    return count;
}

unsigned
anthropic_marks_count(const struct chat_request *r)
{
    unsigned count = 0;

    for (const struct chat_message *m = r->messages; m != NULL; m = m->next)
        for (const struct chat_part *p = m->parts; p != NULL; p = p->next)
            count += marks_of(p);
    return count;
}

void
anthropic_cache_write(struct anthropic_writer *w, enum chat_cache cache)
{
    if (cache == CHAT_CACHE_NONE)
        return;
    if (w->marks_over > 0) {
        w->marks_over--;
        return;
    }
    jw_key(&w->jw, "cache_control");
    jw_raw(&w->jw, cache == CHAT_CACHE_LONG ? STR("{\"type\":\"ephemeral\",\"ttl\":\"1h\"}")
                                            : STR("{\"type\":\"ephemeral\"}"));
}

/* ---- blocks ---- */

static void
block_start(struct anthropic_writer *w, const char *type)
{
    jw_object(&w->jw);
    jw_key_cstr(&w->jw, "type", type);
}

static void
block_end(struct anthropic_writer *w, enum chat_cache cache)
{
    anthropic_cache_write(w, cache);
    jw_object_end(&w->jw);
}

static void
text_write(struct anthropic_writer *w, struct js_value text, enum chat_cache cache)
{
    block_start(w, "text");
    jw_key_js(&w->jw, "text", text);
    block_end(w, cache);
}

bool
anthropic_name_write(struct anthropic_writer *w, enum chat_tool_kind kind, struct js_value space,
                     struct js_value name)
{
    struct str sent;

    if (name.type != JS_STRING && kind == CHAT_TOOL_LOCAL_SHELL)
        name = chat_literal("local_shell");
    sent = chat_sent_name(w->r, &name_rule, kind, space, name);
    if (sent.ptr == NULL)
        return chat_no_room(w->error);
    jw_key_quoted(&w->jw, "name", sent);
    return true;
}

static void
source_write(struct anthropic_writer *w, const char *type, struct js_value media_type,
             const char *name, struct js_value value)
{
    jw_key(&w->jw, "source");
    jw_object(&w->jw);
    jw_key_cstr(&w->jw, "type", type);
    if (media_type.type == JS_STRING)
        jw_key_js(&w->jw, "media_type", media_type);
    jw_key_js(&w->jw, name, value);
    jw_object_end(&w->jw);
}

static bool
image_write(struct anthropic_writer *w, const struct chat_part *p)
{
    static const char *const types[] = {"image/png", "image/jpeg", "image/gif", "image/webp"};
    const struct js_value none = {.type = JS_NONE};
    struct js_value type = p->media_type;
    bool known = p->source == CHAT_SOURCE_URL;

    if (js_str_eq(type, STR("image/jpg")))
        type = chat_literal("image/jpeg");
    for (size_t i = 0; i < COUNT_OF(types); i++)
        known |= js_str_eq(type, str_from(types[i]));
    if (!known)
        return chat_refuse(w->r, p->at, w->error,
                           "the model takes images only as PNG, JPEG, GIF or WebP");
    block_start(w, "image");
    if (p->source == CHAT_SOURCE_URL)
        source_write(w, "url", none, "url", p->data);
    else
        source_write(w, "base64", type, "data", p->data);
    block_end(w, p->cache);
    return true;
}

static bool
document_write(struct anthropic_writer *w, const struct chat_part *p)
{
    const struct js_value none = {.type = JS_NONE};

    if (p->source == CHAT_SOURCE_DATA && !js_str_eq(p->media_type, STR("application/pdf")))
        return chat_refuse(w->r, p->at, w->error, "the model takes files only as PDF");
    block_start(w, "document");
    switch (p->source) {
    case CHAT_SOURCE_DATA:
        source_write(w, "base64", chat_literal("application/pdf"), "data", p->data);
        break;
    case CHAT_SOURCE_URL: source_write(w, "url", none, "url", p->data); break;
    case CHAT_SOURCE_TEXT:
        source_write(w, "text", chat_literal("text/plain"), "data", p->text);
        break;
    }
    if (p->name.type == JS_STRING && p->name.raw.len > 0)
        jw_key_js(&w->jw, "title", p->name);
    block_end(w, p->cache);
    return true;
}

/* What may stand in a turn of the user's as well as in the result of a tool. Empty texts are no
 * such. */
static bool
material_write(struct anthropic_writer *w, const struct chat_part *p)
{
    switch (p->kind) {
    case CHAT_PART_TEXT:
    case CHAT_PART_REFUSAL: text_write(w, p->text, p->cache); return true;
    case CHAT_PART_IMAGE: return image_write(w, p);
    case CHAT_PART_DOCUMENT: return document_write(w, p);
    case CHAT_PART_AUDIO:
        return chat_refuse(w->r, p->at, w->error, "the model does not take audio");
    case CHAT_PART_CALL:
    case CHAT_PART_RESULT:
    case CHAT_PART_REASONING:
    case CHAT_PART_KIND_COUNT: break;
    }
    return chat_refuse(w->r, p->at, w->error, "this must not stand here");
}

static bool
result_write(struct anthropic_writer *w, const struct chat_part *result)
{
    const struct chat_part *p = result->content;
    char id[CHAT_ID_CAP];

    block_start(w, "tool_result");
    jw_key_quoted(&w->jw, "tool_use_id", chat_plain_id(result->id, id));
    while (p != NULL && is_empty_text(p))
        p = p->next;
    if (p != NULL) {
        jw_key(&w->jw, "content");
        jw_array(&w->jw);
        for (; p != NULL; p = p->next)
            if (!is_empty_text(p) && !material_write(w, p))
                return false;
        jw_array_end(&w->jw);
    }
    if (result->is_error)
        jw_key_bool(&w->jw, "is_error", true);
    block_end(w, result->cache);
    return true;
}

static struct str
behind(struct str signature, struct str mark)
{
    return (struct str){signature.ptr + mark.len, signature.len - mark.len};
}

/* signature: without its tag. */
static void
thinking_write(struct anthropic_writer *w, struct js_value text, struct js_value signature)
{
    const struct str redacted = STR(ANTHROPIC_REDACTED), bare = STR(ANTHROPIC_BARE);

    if (str_starts_with(signature.raw, redacted)) {
        block_start(w, "redacted_thinking");
        jw_key_quoted(&w->jw, "data", behind(signature.raw, redacted));
    } else if (str_starts_with(signature.raw, bare)) {
        block_start(w, "thinking");
        jw_key_cstr(&w->jw, "thinking", "");
        jw_key_quoted(&w->jw, "signature", behind(signature.raw, bare));
    } else {
        block_start(w, "thinking");
        jw_key_js(&w->jw, "thinking", text);
        jw_key_js(&w->jw, "signature", signature);
    }
    block_end(w, CHAT_CACHE_NONE);
}

/* Can the thought be sent back as it was? Its text is the part's, or, where a call is signed, that of
 * the reasoning before it. */
static bool
is_proven(const struct chat_part *p, const char *tag, struct js_value text,
          struct js_value *signature)
{
    return chat_signature(p->signature, tag, signature) &&
           ((text.type == JS_STRING && text.raw.len > 0) ||
            str_starts_with(signature->raw, STR(ANTHROPIC_REDACTED)) ||
            str_starts_with(signature->raw, STR(ANTHROPIC_BARE)));
}

static bool
call_write(struct anthropic_writer *w, const struct chat_part *call)
{
    struct js_value input = chat_arguments(w->r->arena, call);
    char id[CHAT_ID_CAP];

    if (input.type != JS_OBJECT)
        return chat_no_room(w->error);
    block_start(w, "tool_use");
    jw_key_quoted(&w->jw, "id", chat_plain_id(call->id, id));
    if (!anthropic_name_write(w, call->tool, call->space, call->tool_name))
        return false;
    jw_key_js(&w->jw, "input", input);
    block_end(w, call->cache);
    return true;
}

/* ---- turns ---- */

static const char *
role_name(enum chat_role role)
{
    return role == CHAT_ASSISTANT ? "assistant" : role == CHAT_SYSTEM ? "system" : "user";
}

static void
turn_close(struct anthropic_writer *w)
{
    bool solid = w->len_solid > 0;

    if (!w->turn_open)
        return;
    w->turn_open = false;
    w->jw = solid ? w->jw_solid : w->jw_before;
    w->jw.buf->len = MIN(w->jw.buf->len, solid ? w->len_solid : w->len_before);
    if (!solid)
        return;
    jw_array_end(&w->jw);
    jw_object_end(&w->jw);
    w->turn_any = true;
}

/* From here on the turn may end. */
static void
turn_solid(struct anthropic_writer *w)
{
    w->jw_solid = w->jw;
    w->len_solid = w->jw.buf->len;
}

/* A block of this role comes next. */
static void
turn_for(struct anthropic_writer *w, enum chat_role role)
{
    if (w->turn_open && w->turn_role == role)
        return;
    turn_close(w);
    w->jw_before = w->jw;
    w->len_before = w->jw.buf->len;
    if (!w->turn_any && role == CHAT_ASSISTANT)
        jw_raw(&w->jw, STR(NOBODY_SAYS));
    w->len_solid = 0;
    w->turn_open = true;
    w->turn_role = role;
    if (role != CHAT_ASSISTANT) { /* what it will think is yet to come */
        w->turn_signed = false;
        w->unsigned_text = (struct js_value){.type = JS_NONE};
    }
    jw_object(&w->jw);
    jw_key_cstr(&w->jw, "role", role_name(role));
    jw_key(&w->jw, "content");
    jw_array(&w->jw);
}

/* Thinking goes back only to who has made it. Its signature may stand on the call it led to. */
static void
reasoning_write(struct anthropic_writer *w, const struct chat_part *p)
{
    struct js_value text = p->kind == CHAT_PART_CALL ? w->unsigned_text : p->text;
    struct js_value signature;

    if (!is_proven(p, w->target->tag, text, &signature)) {
        if (p->kind == CHAT_PART_REASONING)
            w->unsigned_text = p->text;
        return;
    }
    if (p->kind == CHAT_PART_CALL && w->turn_signed)
        return;
    turn_for(w, CHAT_ASSISTANT);
    thinking_write(w, text, signature);
    w->turn_signed = true;
}

static bool
assistant_write(struct anthropic_writer *w, const struct chat_message *message)
{
    for (const struct chat_part *p = message->parts; p != NULL; p = p->next) {
        if (is_empty_text(p))
            continue;
        if (p->kind == CHAT_PART_REASONING || p->kind == CHAT_PART_CALL)
            reasoning_write(w, p);
        if (p->kind == CHAT_PART_REASONING)
            continue;
        if (p->kind == CHAT_PART_IMAGE || p->kind == CHAT_PART_DOCUMENT)
            return chat_refuse(w->r, p->at, w->error,
                               "the model takes no images or files as its own");
        turn_for(w, CHAT_ASSISTANT);
        if (p->kind == CHAT_PART_CALL ? !call_write(w, p) : !material_write(w, p))
            return false;
        turn_solid(w);
    }
    /* Their results come at once, though the client may have said something else before. */
    for (const struct chat_part *p = message->parts; p != NULL; p = p->next) {
        if (p->kind != CHAT_PART_CALL || p->result == NULL)
            continue;
        turn_for(w, CHAT_USER);
        if (!result_write(w, p->result))
            return false;
        turn_solid(w);
    }
    return true;
}

static bool
parts_write(struct anthropic_writer *w, const struct chat_message *message, enum chat_role role)
{
    for (const struct chat_part *p = message->parts; p != NULL; p = p->next) {
        if (is_empty_text(p))
            continue;
        turn_for(w, role);
        if (!material_write(w, p))
            return false;
        turn_solid(w);
    }
    return true;
}

/* What the system says before anybody else stands apart. */
static const struct chat_message *
first_said(const struct chat_request *r)
{
    const struct chat_message *m = r->messages;

    while (m != NULL && m->role == CHAT_SYSTEM)
        m = m->next;
    return m;
}

static bool
messages_write(struct anthropic_writer *w)
{
    bool system_later = w->target->takes_system_later, ok = true;

    jw_key(&w->jw, "messages");
    jw_array(&w->jw);
    for (const struct chat_message *m = first_said(w->r); m != NULL && ok; m = m->next) {
        switch (m->role) {
        case CHAT_SYSTEM: ok = parts_write(w, m, system_later ? CHAT_SYSTEM : CHAT_USER); break;
        case CHAT_USER: ok = parts_write(w, m, CHAT_USER); break;
        case CHAT_ASSISTANT: ok = assistant_write(w, m); break;
        case CHAT_TOOL: /* all of them answer calls: written with those */
        case CHAT_ROLE_COUNT: break;
        }
    }
    if (!ok)
        return false;
    turn_close(w);
    if (!w->turn_any)
        jw_raw(&w->jw, STR(NOBODY_SAYS));
    jw_array_end(&w->jw);
    return true;
}

/* ---- system ---- */

/* Without marks for the cache all of it is one string. */
static void
system_joined(struct anthropic_writer *w, const struct chat_message *end, bool json)
{
    struct buf *out = w->jw.buf;
    bool any = false;

    jw_key(&w->jw, "system");
    /* The string is put together in place: jw is told of it as a whole, and before. */
    jw_quoted(&w->jw, STR_NONE);
    out->len -= !out->failed;
    for (const struct chat_message *m = w->r->messages; m != end; m = m->next)
        for (const struct chat_part *p = m->parts; p != NULL; p = p->next) {
            if (is_empty_text(p))
                continue;
            if (any)
                buf_add_str(out, STR("\\n"));
            buf_add_str(out, p->text.raw);
            any = true;
        }
    if (json)
        buf_add_str(out, any ? STR("\\n" JSON_SENTENCE) : STR(JSON_SENTENCE));
    buf_add_char(out, '"');
}

static void
system_blocks(struct anthropic_writer *w, const struct chat_message *end, bool json)
{
    jw_key(&w->jw, "system");
    jw_array(&w->jw);
    for (const struct chat_message *m = w->r->messages; m != end; m = m->next)
        for (const struct chat_part *p = m->parts; p != NULL; p = p->next)
            if (!is_empty_text(p))
                text_write(w, p->text, p->cache);
    if (json)
        text_write(w, chat_literal(JSON_SENTENCE), CHAT_CACHE_NONE);
    jw_array_end(&w->jw);
}

static bool
system_write(struct anthropic_writer *w)
{
    const struct chat_message *end = first_said(w->r);
    bool json = w->r->format == CHAT_FORMAT_JSON, any = json, marked = false;

    for (const struct chat_message *m = w->r->messages; m != end; m = m->next)
        for (const struct chat_part *p = m->parts; p != NULL; p = p->next) {
            if (p->kind != CHAT_PART_TEXT && p->kind != CHAT_PART_REFUSAL)
                return chat_refuse(w->r, p->at, w->error, "the system can say nothing but text");
            any |= !is_empty_text(p);
            marked |= marks_of(p) > 0;
        }
    if (any && marked)
        system_blocks(w, end, json);
    else if (any)
        system_joined(w, end, json);
    return true;
}

bool
anthropic_turns_write(struct anthropic_writer *w)
{
    return system_write(w) && messages_write(w);
}

/* ---- thinking that is missing ---- */

/* Is there something that would be written? An answer may have been nothing but thoughts. */
static bool
says_something(const struct chat_message *message)
{
    for (const struct chat_part *p = message->parts; p != NULL; p = p->next)
        if (p->kind != CHAT_PART_REASONING && !is_empty_text(p))
            return true;
    return false;
}

bool
anthropic_must_not_think(const struct chat_request *r, const char *tag)
{
    const struct chat_message *last = NULL;
    struct js_value text = {.type = JS_NONE}, ignored;
    bool calls = false, is_signed = false;

    /* Of the assistant's turn that is the last one; it may be several messages. */
    for (const struct chat_message *m = r->messages; m != NULL; m = m->next) {
        if (m->role == CHAT_SYSTEM || (m->role == CHAT_ASSISTANT && !says_something(m)))
            continue;
        if (m->role == CHAT_ASSISTANT && (last == NULL || last->role != CHAT_ASSISTANT)) {
            text = (struct js_value){.type = JS_NONE};
            calls = is_signed = false;
        }
        last = m;
        for (const struct chat_part *p = m->parts; m->role == CHAT_ASSISTANT && p != NULL;
             p = p->next) {
            if (p->kind == CHAT_PART_REASONING)
                text = p->text;
            if (p->kind != CHAT_PART_REASONING && p->kind != CHAT_PART_CALL)
                continue;
            calls |= p->kind == CHAT_PART_CALL;
            is_signed |= is_proven(p, tag, text, &ignored);
        }
    }
    if (last != NULL && last->role == CHAT_ASSISTANT)
        return true;
    return calls && !is_signed;
}
