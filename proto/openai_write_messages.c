/*
 * Messages of a neutral request as those of a chat completion, for OpenAI itself and the many
 * servers that are like it: where there is a choice what all of them take, a text as one string.
 *
 * What stands in one message elsewhere is several here, and the other way round:
 *
 *     system texts at the start     one message, joined by newlines
 *     results of tools              a message each, right behind the calls; system messages that
 *                                   stand between them come after the last
 *     pictures in results           in the user's message after them
 */
#include "base/str.h"
#include "proto/openai_in.h"

/* ---- texts ---- */

/* A part that is text: JS_NONE for others. */
static struct js_value
text_of(const struct chat_part *part)
{
    if (part->kind == CHAT_PART_TEXT ||
        (part->kind == CHAT_PART_DOCUMENT && part->source == CHAT_SOURCE_TEXT))
        return part->text;
    return (struct js_value){.type = JS_NONE};
}

/* Appends the texts of the list's parts, with the separator between them and behind what is there
 * (any). True when there is something by now. */
static bool
add_texts(struct buf *out, const struct chat_part *parts, struct str separator, bool any)
{
    for (const struct chat_part *p = parts; p != NULL; p = p->next) {
        struct js_value text = text_of(p);

        if (text.type != JS_STRING || text.raw.len == 0)
            continue;
        if (any)
            buf_add_str(out, separator);
        buf_add_str(out, text.raw);
        any = true;
    }
    return any;
}

static bool
has_text(const struct chat_part *parts)
{
    for (const struct chat_part *p = parts; p != NULL; p = p->next) {
        struct js_value text = text_of(p);

        if (text.type == JS_STRING && text.raw.len > 0)
            return true;
    }
    return false;
}

/* A string whose text is appended by hand: between these two. */
static void
string_start(struct openai_writer *w)
{
    jw_raw(&w->jw, STR("\""));
}

static void
string_end(struct openai_writer *w)
{
    buf_add_char(w->out, '"');
}

static void
message_start(struct openai_writer *w, const char *role)
{
    jw_object(&w->jw);
    jw_key_cstr(&w->jw, "role", role);
}

/* ---- system ---- */

/* Those before anybody has spoken, as one message. Gives the first that is none of them. */
static struct chat_message *
write_leading(struct openai_writer *w)
{
    struct chat_message *m = w->r->messages;
    bool any = false;

    for (struct chat_message *s = m; s != NULL && s->role == CHAT_SYSTEM; s = s->next)
        any |= has_text(s->parts);
    if (any) {
        message_start(w, "system");
        jw_key(&w->jw, "content");
        string_start(w);
    }
    for (bool some = false; m != NULL && m->role == CHAT_SYSTEM; m = m->next)
        some = add_texts(w->out, m->parts, STR("\\n"), some);
    if (any) {
        string_end(w);
        jw_object_end(&w->jw);
    }
    return m;
}

static void
write_system(struct openai_writer *w, const struct chat_message *m)
{
    if (!has_text(m->parts))
        return;
    message_start(w, "system");
    jw_key(&w->jw, "content");
    string_start(w);
    add_texts(w->out, m->parts, STR("\\n"), false);
    string_end(w);
    jw_object_end(&w->jw);
}

/* ---- user ---- */

static void
write_text_part(struct openai_writer *w, struct js_value text)
{
    jw_object(&w->jw);
    jw_key_cstr(&w->jw, "type", "text");
    jw_key_js(&w->jw, "text", text);
    jw_object_end(&w->jw);
}

static void
write_image(struct openai_writer *w, const struct chat_part *part)
{
    struct jw *jw = &w->jw;

    jw_object(jw);
    jw_key_cstr(jw, "type", "image_url");
    jw_key(jw, "image_url");
    jw_object(jw);
    jw_key(jw, "url");
    if (part->source == CHAT_SOURCE_DATA) {
        chat_write_data_url(openai_by_hand(jw), part);
    } else {
        jw_js(jw, part->data);
    }
    if (part->detail.type == JS_STRING)
        jw_key_js(jw, "detail", part->detail);
    jw_object_end(jw);
    jw_object_end(jw);
}

static bool
write_file(struct openai_writer *w, const struct chat_part *part)
{
    bool pdf = js_str_eq(part->media_type, STR("application/pdf"));
    struct jw *jw = &w->jw;

    if (part->source == CHAT_SOURCE_URL)
        return chat_refuse(w->r, part->at, w->error,
                           "the model's server fetches no documents: send the data");
    jw_object(jw);
    jw_key_cstr(jw, "type", "file");
    jw_key(jw, "file");
    jw_object(jw);
    /* A file without a name is refused. */
    if (part->name.type == JS_STRING && part->name.raw.len > 0)
        jw_key_js(jw, "filename", part->name);
    else
        jw_key_cstr(jw, "filename", pdf ? "document.pdf" : "document");
    jw_key(jw, "file_data");
    chat_write_data_url(openai_by_hand(jw), part);
    jw_object_end(jw);
    jw_object_end(jw);
    return true;
}

static bool
write_user_part(struct openai_writer *w, const struct chat_part *part)
{
    struct js_value text = text_of(part);

    switch (part->kind) {
    case CHAT_PART_DOCUMENT:
        if (text.type != JS_STRING)
            return write_file(w, part);
        /* fallthrough */
    case CHAT_PART_TEXT:
        if (text.raw.len > 0)
            write_text_part(w, text);
        return true;
    case CHAT_PART_IMAGE: write_image(w, part); return true;
    case CHAT_PART_AUDIO: return codec_write_sound(w->r, part, &w->jw, w->error);
    case CHAT_PART_CALL:
    case CHAT_PART_RESULT:
    case CHAT_PART_REASONING:
    case CHAT_PART_REFUSAL:
    case CHAT_PART_KIND_COUNT: break;
    }
    return true;
}

static bool
is_media(const struct chat_part *part)
{
    return text_of(part).type != JS_STRING &&
           (part->kind == CHAT_PART_IMAGE || part->kind == CHAT_PART_DOCUMENT ||
            part->kind == CHAT_PART_AUDIO);
}

/* What results of tools hold that is not text: theirs from first up to end. */
static bool
write_media(struct openai_writer *w, const struct chat_message *first,
            const struct chat_message *end)
{
    for (const struct chat_message *m = first; m != end; m = m->next)
        for (const struct chat_part *result = m->parts; result != NULL; result = result->next)
            for (const struct chat_part *p = result->content; p != NULL; p = p->next)
                if (is_media(p) && !write_user_part(w, p))
                    return false;
    return true;
}

static bool
has_media(const struct chat_message *first, const struct chat_message *end)
{
    for (const struct chat_message *m = first; m != end; m = m->next)
        for (const struct chat_part *result = m->parts; result != NULL; result = result->next)
            for (const struct chat_part *p = result->content; p != NULL; p = p->next)
                if (is_media(p))
                    return true;
    return false;
}

/* Of the parts the one text that there is, or an empty one; false when there is more than that. */
static bool
single_text(const struct chat_part *parts, struct str *text)
{
    unsigned count = 0;

    *text = STR("");
    for (const struct chat_part *p = parts; p != NULL; p = p->next) {
        struct js_value one = text_of(p);

        if (is_media(p))
            return false;
        if (one.type != JS_STRING || one.raw.len == 0)
            continue;
        *text = one.raw;
        count++;
    }
    return count <= 1;
}

/* Servers that take a list of parts also take a string, not all the other way round. */
static bool
write_user(struct openai_writer *w, const struct chat_message *m)
{
    struct str text;

    message_start(w, "user");
    jw_key(&w->jw, "content");
    if (single_text(m->parts, &text)) {
        jw_quoted(&w->jw, text);
    } else {
        jw_array(&w->jw);
        for (const struct chat_part *p = m->parts; p != NULL; p = p->next)
            if (!write_user_part(w, p))
                return false;
        jw_array_end(&w->jw);
    }
    jw_object_end(&w->jw);
    return true;
}

/* ---- assistant ---- */

static bool
write_call(struct openai_writer *w, const struct chat_part *call)
{
    struct str name = openai_sent_name(w, call->tool, call->space, call->tool_name);
    struct jw *jw = &w->jw;

    if (name.ptr == NULL)
        return chat_no_room(w->error);
    jw_object(jw);
    jw_key_js(jw, "id", call->id);
    jw_key_cstr(jw, "type", "function");
    jw_key(jw, "function");
    jw_object(jw);
    jw_key_str(jw, "name", name);
    jw_key(jw, "arguments");
    chat_write_arguments(openai_by_hand(jw), call);
    jw_object_end(jw);
    jw_object_end(jw);
    return true;
}

static bool
write_calls(struct openai_writer *w, const struct chat_message *m)
{
    bool any = false;

    for (const struct chat_part *p = m->parts; p != NULL; p = p->next) {
        if (p->kind != CHAT_PART_CALL)
            continue;
        if (!any) {
            jw_key(&w->jw, "tool_calls");
            jw_array(&w->jw);
        }
        any = true;
        if (!write_call(w, p))
            return false;
    }
    if (any)
        jw_array_end(&w->jw);
    return true;
}

/* The texts of all parts of a kind as one member; nothing without any. */
static void
write_joined(struct openai_writer *w, const char *key, const struct chat_message *m,
             enum chat_part_kind kind)
{
    bool any = false;

    for (const struct chat_part *p = m->parts; p != NULL; p = p->next) {
        if (p->kind != kind || p->text.type != JS_STRING || p->text.raw.len == 0)
            continue;
        if (!any) {
            jw_key(&w->jw, key);
            string_start(w);
        }
        any = true;
        buf_add_str(w->out, p->text.raw);
    }
    if (any)
        string_end(w);
}

/* The parts of an answer follow each other without anything between them, as they were streamed. */
static bool
write_assistant(struct openai_writer *w, const struct chat_message *m)
{
    bool others = false;

    for (const struct chat_part *p = m->parts; p != NULL; p = p->next)
        others |= p->kind == CHAT_PART_CALL || p->kind == CHAT_PART_REFUSAL;
    /* Nothing but reasoning that is not sent, or nothing at all. */
    if (!others && !has_text(m->parts))
        return true;
    message_start(w, "assistant");
    if (w->target->takes_reasoning)
        write_joined(w, "reasoning_content", m, CHAT_PART_REASONING);
    jw_key(&w->jw, "content");
    if (has_text(m->parts)) {
        string_start(w);
        add_texts(w->out, m->parts, STR(""), false);
        string_end(w);
    } else {
        jw_null(&w->jw);
    }
    write_joined(w, "refusal", m, CHAT_PART_REFUSAL);
    if (!write_calls(w, m))
        return false;
    jw_object_end(&w->jw);
    return true;
}

/* ---- results ---- */

static void
write_result(struct openai_writer *w, const struct chat_part *result)
{
    struct jw *jw = &w->jw;
    bool any, media = false;

    for (const struct chat_part *p = result->content; p != NULL; p = p->next)
        media |= is_media(p);
    message_start(w, "tool");
    jw_key_js(jw, "tool_call_id", result->id);
    jw_key(jw, "content");
    string_start(w);
    if (result->is_error)
        buf_add_str(w->out, STR("Error: "));
    any = add_texts(w->out, result->content, STR("\\n"), false);
    if (!any && media)
        buf_add_str(w->out, STR("(attached to the next message)"));
    string_end(w);
    jw_object_end(jw);
}

/* A user's message of what results held that is not text, and of what the next message has, when
 * that is the user's: many models' templates take no two of them in a row. */
static bool
write_attached(struct openai_writer *w, const struct chat_message *first,
               const struct chat_message *end, const struct chat_message *user)
{
    message_start(w, "user");
    jw_key(&w->jw, "content");
    jw_array(&w->jw);
    if (!write_media(w, first, end))
        return false;
    for (const struct chat_part *p = user != NULL ? user->parts : NULL; p != NULL; p = p->next)
        if (!write_user_part(w, p))
            return false;
    jw_array_end(&w->jw);
    jw_object_end(&w->jw);
    return true;
}

/* Messages of tools and of the system from *at on. Moves *at behind what it has written. */
static bool
write_run(struct openai_writer *w, struct chat_message **at)
{
    struct chat_message *first = *at, *end = first, *user;
    bool system = false;

    for (; end != NULL && (end->role == CHAT_TOOL || end->role == CHAT_SYSTEM); end = end->next) {
        system |= end->role == CHAT_SYSTEM;
        if (end->role == CHAT_TOOL)
            for (const struct chat_part *p = end->parts; p != NULL; p = p->next)
                write_result(w, p);
    }
    user = end != NULL && end->role == CHAT_USER && !system ? end : NULL;
    *at = end;
    if (has_media(first, end)) {
        if (!write_attached(w, first, end, user))
            return false;
        *at = user != NULL ? user->next : end;
    }
    for (const struct chat_message *m = first; system && m != end; m = m->next)
        if (m->role == CHAT_SYSTEM)
            write_system(w, m);
    return true;
}

bool
openai_write_messages(struct openai_writer *w)
{
    struct chat_message *m;

    jw_key(&w->jw, "messages");
    jw_array(&w->jw);
    m = write_leading(w);
    while (m != NULL) {
        if (m->role == CHAT_TOOL || m->role == CHAT_SYSTEM) {
            if (!write_run(w, &m))
                return false;
            continue;
        }
        if (m->role == CHAT_USER ? !write_user(w, m) : !write_assistant(w, m))
            return false;
        m = m->next;
    }
    jw_array_end(&w->jw);
    return true;
}
