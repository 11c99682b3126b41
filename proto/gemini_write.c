/*
 * Writes a request of generateContent. Neighbouring messages of one role are one content, but the
 * results of a turn's calls are a content of their own, right behind the calls and in their order,
 * whatever came between and in whatever order. Tools carry real JSON schemas; calls have no ids, which Gemini does without.
 *
 * From Gemini 3 on each turn's first call must be signed. What Gemini has signed itself comes back
 * with the call, or, by clients of other protocols, with the reasoning right before it; a call that
 * another model has made, or whose signature was lost, says that it has none.
 */
#include <string.h>

#include "base/jw.h"
#include "base/str.h"
#include "proto/gemini_in.h"

static const struct chat_name_rule declaration_rule = GEMINI_DECLARATION_RULE;

struct writing {
    struct chat_request *r;
    const struct chat_target *target;
    struct chat_drops *drops;
    struct proto_error *error;
    struct jw jw;
    struct buf *out;
    enum chat_role role;  /* of the content that is open; COUNT: none is */
    bool any;             /* there is one before */
    bool signed_turn;     /* the open content has a call: those after it need no signature */
    struct js_value mark; /* the signature of the reasoning right before, JS_NONE: none */
    const struct chat_message *calls; /* the last turn with calls whose results are to come */
};

/* ---- contents ---- */

static void
content_close(struct writing *w)
{
    if (w->role == CHAT_ROLE_COUNT)
        return;
    jw_array_end(&w->jw);
    jw_object_end(&w->jw);
    w->role = CHAT_ROLE_COUNT;
}

static void
content_begin(struct writing *w, enum chat_role role)
{
    w->role = role;
    w->any = true;
    w->signed_turn = false;
    jw_object(&w->jw);
    jw_key_cstr(&w->jw, "role", role == CHAT_ASSISTANT ? "model" : "user");
    jw_key(&w->jw, "parts");
    jw_array(&w->jw);
}

/* Opened when there is a part for it: a content without parts is refused. */
static void
content_open(struct writing *w, enum chat_role role)
{
    if (w->role == role && role != CHAT_TOOL)
        return;
    content_close(w);
    if (!w->any && role == CHAT_ASSISTANT) {
        content_begin(w, CHAT_USER);
        jw_object(&w->jw);
        jw_key_cstr(&w->jw, "text", ".");
        jw_object_end(&w->jw);
        content_close(w);
    }
    content_begin(w, role);
}

static void
write_text(struct writing *w, enum chat_role role, struct js_value text)
{
    if (text.type != JS_STRING || text.raw.len == 0)
        return;
    content_open(w, role);
    jw_object(&w->jw);
    jw_key_js(&w->jw, "text", text);
    jw_object_end(&w->jw);
    w->mark = (struct js_value){.type = JS_NONE};
}

static void
write_inline(struct writing *w, const struct chat_part *part)
{
    jw_object(&w->jw);
    jw_key(&w->jw, "inlineData");
    jw_object(&w->jw);
    jw_key_js(&w->jw, "mimeType", part->media_type);
    jw_key_js(&w->jw, "data", part->data);
    jw_object_end(&w->jw);
    jw_object_end(&w->jw);
}

static bool
is_inline(const struct writing *w, const struct chat_part *part)
{
    if (part->source == CHAT_SOURCE_DATA && part->data.type == JS_STRING &&
        part->media_type.type == JS_STRING)
        return true;
    return chat_refuse(w->r, part->at, w->error,
                       "this model's provider cannot fetch files by their URL; send the data");
}

static bool
write_user_part(struct writing *w, const struct chat_part *part)
{
    if (part->kind == CHAT_PART_TEXT ||
        (part->kind == CHAT_PART_DOCUMENT && part->source == CHAT_SOURCE_TEXT)) {
        write_text(w, CHAT_USER, part->text);
        return true;
    }
    if (part->kind != CHAT_PART_IMAGE && part->kind != CHAT_PART_DOCUMENT &&
        part->kind != CHAT_PART_AUDIO)
        return true;
    if (!is_inline(w, part))
        return false;
    content_open(w, CHAT_USER);
    write_inline(w, part);
    return true;
}

/* ---- calls and results ---- */

static bool
write_name(struct writing *w, const struct chat_part *call)
{
    struct str name =
        chat_sent_name(w->r, &declaration_rule, call->tool, call->space, call->tool_name);

    if (name.ptr == NULL)
        return chat_no_room(w->error);
    jw_key_quoted(&w->jw, "name", name);
    return true;
}

static bool
write_call(struct writing *w, const struct chat_part *call)
{
    struct js_value arguments = chat_arguments(w->r->arena, call), signature = w->mark;

    if (arguments.type == JS_NONE)
        return chat_no_room(w->error);
    content_open(w, CHAT_ASSISTANT);
    jw_object(&w->jw);
    jw_key(&w->jw, "functionCall");
    jw_object(&w->jw);
    if (!write_name(w, call))
        return false;
    jw_key_js(&w->jw, "args", arguments);
    jw_object_end(&w->jw);
    if (chat_signature(call->signature, w->target->tag, &signature) ||
        signature.type == JS_STRING)
        jw_key_js(&w->jw, "thoughtSignature", signature);
    else if (!w->signed_turn)
        jw_key_cstr(&w->jw, "thoughtSignature", GEMINI_UNSIGNED);
    jw_object_end(&w->jw);
    w->signed_turn = true;
    w->mark = (struct js_value){.type = JS_NONE};
    return true;
}

/* The texts of a result, joined by line feeds. */
static void
write_result_text(struct writing *w, const struct chat_part *result)
{
    bool some = false;

    jw_key(&w->jw, "response");
    jw_object(&w->jw);
    jw_key(&w->jw, result->is_error ? "error" : "output");
    jw_quoted(&w->jw, STR(""));
    /* Back before the closing quote: what follows is content of a JSON string already. */
    if (!w->out->failed)
        w->out->len--;
    for (const struct chat_part *p = result->content; p != NULL; p = p->next) {
        if (p->text.type != JS_STRING || p->text.raw.len == 0)
            continue;
        if (some)
            buf_add_str(w->out, STR("\\n"));
        buf_add_str(w->out, p->text.raw);
        some = true;
    }
    buf_add_char(w->out, '"');
    jw_object_end(&w->jw);
}

static bool
write_result(struct writing *w, const struct chat_part *result)
{
    bool files = false;

    jw_object(&w->jw);
    jw_key(&w->jw, "functionResponse");
    jw_object(&w->jw);
    if (!write_name(w, result->call))
        return false;
    write_result_text(w, result);
    for (const struct chat_part *p = result->content; p != NULL; p = p->next) {
        if (p->text.type == JS_STRING ||
            (p->kind != CHAT_PART_IMAGE && p->kind != CHAT_PART_DOCUMENT))
            continue;
        if (!is_inline(w, p))
            return false;
        if (!files) {
            jw_key(&w->jw, "parts");
            jw_array(&w->jw);
        }
        files = true;
        write_inline(w, p);
    }
    if (files)
        jw_array_end(&w->jw);
    jw_object_end(&w->jw);
    jw_object_end(&w->jw);
    return true;
}

/* All the results of the turn, at the first of them. */
static bool
write_results(struct writing *w)
{
    const struct chat_message *calls = w->calls;

    w->calls = NULL;
    for (const struct chat_part *p = calls ? calls->parts : NULL; p != NULL; p = p->next) {
        if (p->kind != CHAT_PART_CALL || p->result == NULL)
            continue;
        if (calls != NULL) {
            content_open(w, CHAT_TOOL);
            calls = NULL;
        }
        if (!write_result(w, p->result))
            return false;
    }
    content_close(w);
    return true;
}

static bool
write_assistant(struct writing *w, const struct chat_message *message)
{
    for (const struct chat_part *p = message->parts; p != NULL; p = p->next) {
        switch (p->kind) {
        case CHAT_PART_TEXT:
        case CHAT_PART_REFUSAL: write_text(w, CHAT_ASSISTANT, p->text); break;
        case CHAT_PART_REASONING:
            if (!chat_signature(p->signature, w->target->tag, &w->mark))
                w->mark = (struct js_value){.type = JS_NONE};
            break;
        case CHAT_PART_CALL:
            w->calls = message;
            if (!write_call(w, p))
                return false;
            break;
        case CHAT_PART_IMAGE:
        case CHAT_PART_DOCUMENT:
        case CHAT_PART_AUDIO:
        case CHAT_PART_RESULT:
        case CHAT_PART_KIND_COUNT: break;
        }
    }
    w->mark = (struct js_value){.type = JS_NONE};
    return true;
}

static bool
write_message(struct writing *w, const struct chat_message *message)
{
    switch (message->role) {
    case CHAT_SYSTEM:
    case CHAT_USER:
        if (w->calls != NULL && !write_results(w))
            return false;
        for (const struct chat_part *p = message->parts; p != NULL; p = p->next)
            if (!write_user_part(w, p))
                return false;
        return true;
    case CHAT_ASSISTANT: return write_assistant(w, message);
    case CHAT_TOOL: return write_results(w);
    case CHAT_ROLE_COUNT: break;
    }
    return true;
}

/* The system's texts before all else, joined by line feeds. Gives the first message after them. */
static const struct chat_message *
write_system(struct writing *w)
{
    const struct chat_message *message = w->r->messages;
    bool some = false;

    for (; message != NULL && message->role == CHAT_SYSTEM; message = message->next) {
        for (const struct chat_part *p = message->parts; p != NULL; p = p->next) {
            if (p->text.type != JS_STRING || p->text.raw.len == 0)
                continue;
            buf_add_str(w->out, some ? STR("\\n")
                                     : STR("\"systemInstruction\":{\"parts\":[{\"text\":\""));
            buf_add_str(w->out, p->text.raw);
            some = true;
        }
    }
    if (some)
        buf_add_str(w->out, STR("\"}]},"));
    return message;
}

static bool
write_contents(struct writing *w, const struct chat_message *first)
{
    jw_key(&w->jw, "contents");
    jw_array(&w->jw);
    for (const struct chat_message *m = first; m != NULL; m = m->next)
        if (!write_message(w, m))
            return false;
    if (!w->any) {
        content_open(w, CHAT_USER);
        jw_object(&w->jw);
        jw_key_cstr(&w->jw, "text", ".");
        jw_object_end(&w->jw);
    }
    content_close(w);
    jw_array_end(&w->jw);
    return true;
}

/* ---- tools ---- */

/* Free text is the string "input"; what it must look like, the model is told in words. */
static void
write_custom_schema(struct jw *jw, const struct chat_tool *tool)
{
    struct js_value grammar = js_get(tool->format, STR("definition"));

    jw_object(jw);
    jw_key_cstr(jw, "type", "object");
    jw_key(jw, "properties");
    jw_object(jw);
    jw_key(jw, "input");
    jw_object(jw);
    jw_key_cstr(jw, "type", "string");
    if (grammar.type == JS_STRING)
        jw_key_js(jw, "description", grammar);
    jw_object_end(jw);
    jw_object_end(jw);
    jw_key(jw, "required");
    jw_raw(jw, STR("[\"input\"]"));
    jw_object_end(jw);
}

static void
write_schema(struct jw *jw, const struct chat_tool *tool)
{
    static const struct str shell = STR(
        "{\"type\":\"object\",\"properties\":{\"command\":{\"type\":\"array\",\"items\":"
        "{\"type\":\"string\"}},\"working_directory\":{\"type\":\"string\"},\"timeout_ms\":"
        "{\"type\":\"integer\"}},\"required\":[\"command\"]}");

    if (tool->kind == CHAT_TOOL_FUNCTION && tool->schema.type != JS_OBJECT)
        return;
    jw_key(jw, "parametersJsonSchema");
    if (tool->schema.type == JS_OBJECT)
        jw_js(jw, tool->schema);
    else if (tool->kind == CHAT_TOOL_CUSTOM)
        write_custom_schema(jw, tool);
    else
        jw_raw(jw, shell);
}

static bool
write_tools(struct writing *w, bool *any)
{
    struct jw *jw = &w->jw;

    *any = false;
    for (const struct chat_tool *tool = w->r->tools; tool != NULL; tool = tool->next) {
        struct str name;

        if (tool->unlisted || tool->kind == CHAT_TOOL_HOSTED)
            continue;
        if (!*any) {
            jw_key(jw, "tools");
            jw_array(jw);
            jw_object(jw);
            jw_key(jw, "functionDeclarations");
            jw_array(jw);
        }
        *any = true;
        name = chat_sent_name(w->r, &declaration_rule, tool->kind, tool->space, tool->name);
        if (name.ptr == NULL)
            return chat_no_room(w->error);
        jw_object(jw);
        jw_key_quoted(jw, "name", name);
        if (tool->description.type == JS_STRING)
            jw_key_js(jw, "description", tool->description);
        write_schema(jw, tool);
        jw_object_end(jw);
    }
    if (*any) {
        jw_array_end(jw);
        jw_object_end(jw);
        jw_array_end(jw);
    }
    return true;
}

static bool
write_choice(struct writing *w)
{
    static const char *const modes[] = {[CHAT_CHOICE_AUTO] = "AUTO",
                                        [CHAT_CHOICE_NONE] = "NONE",
                                        [CHAT_CHOICE_ANY] = "ANY",
                                        [CHAT_CHOICE_ONE] = "ANY"};
    struct chat_request *r = w->r;
    struct str name;

    if (r->no_parallel && !r->older_calls)
        chat_drop(w->drops, r->endpoint == ENDPOINT_MESSAGES
                                ? STR("tool_choice.disable_parallel_tool_use")
                                : STR("parallel_tool_calls"));
    if (r->choice == CHAT_CHOICE_UNSET)
        return true;
    jw_key(&w->jw, "toolConfig");
    jw_object(&w->jw);
    jw_key(&w->jw, "functionCallingConfig");
    jw_object(&w->jw);
    jw_key_cstr(&w->jw, "mode", modes[r->choice]);
    if (r->choice == CHAT_CHOICE_ONE) {
        name = chat_sent_name(r, &declaration_rule, CHAT_TOOL_FUNCTION, r->choice_space,
                              r->choice_name);
        if (name.ptr == NULL)
            return chat_no_room(w->error);
        jw_key(&w->jw, "allowedFunctionNames");
        jw_array(&w->jw);
        jw_quoted(&w->jw, name);
        jw_array_end(&w->jw);
    }
    jw_object_end(&w->jw);
    jw_object_end(&w->jw);
    return true;
}

/* ---- the request ---- */

bool
gemini_request_write(struct chat_request *r, const struct chat_target *target,
                     struct chat_drops *drops, struct buf *out, struct proto_error *error)
{
    struct writing w = {
        .r = r,
        .target = target,
        .drops = drops,
        .error = error,
        .out = out,
        .role = CHAT_ROLE_COUNT,
    };
    bool tools;

    jw_init(&w.jw, out);
    jw_object(&w.jw);
    if (!write_contents(&w, write_system(&w)) || !write_tools(&w, &tools) ||
        (tools && !write_choice(&w)) || !gemini_write_config(r, target, drops, &w.jw, error))
        return false;
    jw_object_end(&w.jw);
    codec_drop_marks(r, drops);
    return out->failed ? chat_no_room(error) : true;
}
