/*
 * The input of a request: items, one a message, a call, an answer to a call, a piece of reasoning.
 *
 * What the assistant did is several items in a row here and one message elsewhere, so neighbouring
 * ones are put together: its words, its reasoning and its calls, in their order. Answers to calls
 * that follow each other are one message of the role CHAT_TOOL.
 */
#include "base/str.h"
#include "proto/responses_in.h"

enum {
    ITEM_TYPE = 0,
    ITEM_ROLE,
    ITEM_CONTENT,
    ITEM_ID,
    ITEM_CALL_ID,
    ITEM_NAME,
    ITEM_NAMESPACE,
    ITEM_ARGUMENTS,
    ITEM_INPUT,
    ITEM_OUTPUT,
    ITEM_ACTION,
    ITEM_SUMMARY,
    ITEM_ENCRYPTED,
    ITEM_MEMBER_COUNT
};

static const struct str item_names[ITEM_MEMBER_COUNT] = {
    [ITEM_TYPE] = PICK_NAME("type"),
    [ITEM_ROLE] = PICK_NAME("role"),
    [ITEM_CONTENT] = PICK_NAME("content"),
    [ITEM_ID] = PICK_NAME("id"),
    [ITEM_CALL_ID] = PICK_NAME("call_id"),
    [ITEM_NAME] = PICK_NAME("name"),
    [ITEM_NAMESPACE] = PICK_NAME("namespace"),
    [ITEM_ARGUMENTS] = PICK_NAME("arguments"),
    [ITEM_INPUT] = PICK_NAME("input"),
    [ITEM_OUTPUT] = PICK_NAME("output"),
    [ITEM_ACTION] = PICK_NAME("action"),
    [ITEM_SUMMARY] = PICK_NAME("summary"),
    [ITEM_ENCRYPTED] = PICK_NAME("encrypted_content"),
};

struct input {
    struct chat_request *r;
    struct proto_error *error;
    struct chat_message ***end; /* of the list of messages */
    struct chat_message *last;  /* NULL: no item gave one yet */
    struct chat_part **parts;   /* the end of its parts */
    struct chat_message *calls; /* the assistant's last one, NULL without any */
    unsigned call_count;        /* in it */
    /* The item at hand. */
    struct js_value at, v[ITEM_MEMBER_COUNT];
};

/* ---- texts put together ---- */

void
responses_join(struct responses_joined *joined, struct js_value text)
{
    if (text.type != JS_STRING || text.raw.len == 0)
        return;
    if (joined->count++ == 0) {
        joined->first = text;
        return;
    }
    if (joined->count == 2) {
        buf_init(&joined->buf, SIZE_MAX / 2);
        buf_add_str(&joined->buf, joined->first.raw);
    }
    buf_add_str(&joined->buf, joined->separator);
    buf_add_str(&joined->buf, text.raw);
}

bool
responses_joined(struct responses_joined *joined, struct arena *arena, struct js_value *out)
{
    struct str text = buf_str(&joined->buf);

    *out = joined->first;
    if (joined->count < 2)
        return true;
    /* Whether something is escaped was not looked for: it costs little to say so. */
    out->escaped = true;
    out->raw = (struct str){joined->buf.failed ? NULL : arena_copy(arena, text), text.len};
    buf_free(&joined->buf);
    return out->raw.ptr != NULL;
}

/* ---- parts of content ---- */

enum place {
    PLACE_USER = 0,
    PLACE_SYSTEM, /* text alone */
    PLACE_ASSISTANT,
    PLACE_RESULT, /* what a tool answered */
};

enum {
    PART_TYPE = 0,
    PART_TEXT,
    PART_REFUSAL,
    PART_IMAGE_URL,
    PART_DETAIL,
    PART_FILE_ID,
    PART_FILE_DATA,
    PART_FILE_URL,
    PART_FILENAME,
    PART_INPUT_AUDIO,
    PART_BREAKPOINT,
    PART_MEMBER_COUNT
};

static const struct str part_names[PART_MEMBER_COUNT] = {
    [PART_TYPE] = PICK_NAME("type"),
    [PART_TEXT] = PICK_NAME("text"),
    [PART_REFUSAL] = PICK_NAME("refusal"),
    [PART_IMAGE_URL] = PICK_NAME("image_url"),
    [PART_DETAIL] = PICK_NAME("detail"),
    [PART_FILE_ID] = PICK_NAME("file_id"),
    [PART_FILE_DATA] = PICK_NAME("file_data"),
    [PART_FILE_URL] = PICK_NAME("file_url"),
    [PART_FILENAME] = PICK_NAME("filename"),
    [PART_INPUT_AUDIO] = PICK_NAME("input_audio"),
    [PART_BREAKPOINT] = PICK_NAME("prompt_cache_breakpoint"),
};

struct content {
    struct chat_request *r;
    struct proto_error *error;
    struct chat_part ***end;
    enum place place;
    /* The part at hand. */
    struct js_value at, v[PART_MEMBER_COUNT];
};

static struct chat_part *
add_part(struct content *c, enum chat_part_kind kind)
{
    struct chat_part *part = chat_part_add(c->r, c->end, kind, c->at);

    if (part == NULL)
        (void)chat_no_room(c->error);
    else if (c->v[PART_BREAKPOINT].type == JS_OBJECT)
        part->cache = CHAT_CACHE_SHORT;
    return part;
}

static bool
add_text(struct content *c, enum chat_part_kind kind, struct js_value text)
{
    struct chat_part *part;

    if (text.raw.len == 0) /* not every provider takes an empty one */
        return true;
    part = add_part(c, kind);
    if (part == NULL)
        return false;
    part->text = text;
    return true;
}

static bool
read_text_part(struct content *c)
{
    return responses_need(c->r, c->at, c->v[PART_TEXT], "text", c->error) &&
           add_text(c, CHAT_PART_TEXT, c->v[PART_TEXT]);
}

static bool
read_refusal_part(struct content *c)
{
    return responses_need(c->r, c->at, c->v[PART_REFUSAL], "refusal", c->error) &&
           add_text(c, CHAT_PART_REFUSAL, c->v[PART_REFUSAL]);
}

static bool
refuse_file_id(struct content *c)
{
    return chat_refuse(c->r, c->v[PART_FILE_ID], c->error,
                       "a file is not kept here: send what is in it");
}

/* An address, or the data in place of one. */
static bool
set_source(struct content *c, struct chat_part *part, struct js_value url)
{
    static const struct str data = PICK_NAME("data:");

    if (url.raw.len >= data.len && str_eq_nocase((struct str){url.raw.ptr, data.len}, data)) {
        part->source = CHAT_SOURCE_DATA;
        if (chat_data_url(c->r->arena, url, &part->media_type, &part->data))
            return true;
        return chat_refuse(c->r, url, c->error, "is no data URL of a type and base64");
    }
    if (url.raw.len == 0)
        return chat_refuse(c->r, url, c->error, "must not be empty");
    part->source = CHAT_SOURCE_URL;
    part->data = url;
    return true;
}

static bool
read_image_part(struct content *c)
{
    struct js_value url = c->v[PART_IMAGE_URL], detail = c->v[PART_DETAIL];
    struct chat_part *part;

    if (url.type == JS_NONE && c->v[PART_FILE_ID].type != JS_NONE)
        return refuse_file_id(c);
    if (!responses_need(c->r, c->at, url, "image_url", c->error) ||
        !codec_want(c->r, detail, JS_STRING, c->error))
        return false;
    part = add_part(c, CHAT_PART_IMAGE);
    if (part == NULL)
        return false;
    part->detail = detail;
    return set_source(c, part, url);
}

static bool
read_file_part(struct content *c)
{
    struct js_value data = c->v[PART_FILE_DATA], url = c->v[PART_FILE_URL];
    struct chat_part *part;

    if (!codec_want(c->r, data, JS_STRING, c->error) ||
        !codec_want(c->r, url, JS_STRING, c->error) ||
        !codec_want(c->r, c->v[PART_FILENAME], JS_STRING, c->error))
        return false;
    if (data.type == JS_NONE && url.type == JS_NONE && c->v[PART_FILE_ID].type != JS_NONE)
        return refuse_file_id(c);
    if (data.type == JS_NONE && url.type == JS_NONE)
        return chat_refuse(c->r, c->at, c->error, "\"file_data\" is missing");
    part = add_part(c, CHAT_PART_DOCUMENT);
    if (part == NULL)
        return false;
    part->name = c->v[PART_FILENAME];
    if (data.type == JS_NONE)
        return set_source(c, part, url);
    if (chat_data_url(c->r->arena, data, &part->media_type, &part->data))
        return true;
    return chat_refuse(c->r, data, c->error, "is no data URL of a type and base64");
}

static bool
read_audio_part(struct content *c)
{
    static const struct str names[2] = {PICK_NAME("data"), PICK_NAME("format")};
    struct js_value audio = c->v[PART_INPUT_AUDIO], v[2];
    struct chat_part *part;

    if (audio.type == JS_NONE)
        return chat_refuse(c->r, c->at, c->error, "\"input_audio\" is missing");
    if (!codec_want(c->r, audio, JS_OBJECT, c->error))
        return false;
    codec_members(audio, names, 2, v);
    if (!responses_need(c->r, audio, v[0], "data", c->error) ||
        !responses_need(c->r, audio, v[1], "format", c->error))
        return false;
    part = add_part(c, CHAT_PART_AUDIO);
    if (part == NULL)
        return false;
    part->source = CHAT_SOURCE_DATA;
    part->media_type = codec_sound_type(v[1]);
    part->data = v[0];
    return part->media_type.type == JS_STRING ||
           chat_refuse(c->r, v[1], c->error, "must be wav or mp3");
}

#define AT(place) (1u << (place))
static const struct part_kind {
    struct str type;
    unsigned places; /* where it may stand */
    bool (*read)(struct content *c);
} part_kinds[] = {
    {PICK_NAME("input_text"), AT(PLACE_USER) | AT(PLACE_SYSTEM) | AT(PLACE_RESULT), read_text_part},
    {PICK_NAME("output_text"), AT(PLACE_ASSISTANT), read_text_part},
    {PICK_NAME("refusal"), AT(PLACE_ASSISTANT), read_refusal_part},
    {PICK_NAME("input_image"), AT(PLACE_USER) | AT(PLACE_RESULT), read_image_part},
    {PICK_NAME("input_file"), AT(PLACE_USER) | AT(PLACE_RESULT), read_file_part},
    {PICK_NAME("input_audio"), AT(PLACE_USER), read_audio_part},
};

static bool
refuse_part(const struct content *c)
{
    static const char *const may[] = {
        [PLACE_USER] = "input_text, input_image, input_file or input_audio in a user's message",
        [PLACE_SYSTEM] = "input_text in a message of the system or the developer",
        [PLACE_ASSISTANT] = "output_text or refusal in an assistant's message",
        [PLACE_RESULT] = "input_text, input_image or input_file in a tool's output",
    };

    return chat_refuse(c->r, c->v[PART_TYPE], c->error, "must be %s", may[c->place]);
}

static bool
read_part(struct content *c)
{
    if (c->at.type != JS_OBJECT)
        return chat_refuse(c->r, c->at, c->error, "must be an object");
    codec_members(c->at, part_names, PART_MEMBER_COUNT, c->v);
    if (!responses_need(c->r, c->at, c->v[PART_TYPE], "type", c->error) ||
        !codec_want(c->r, c->v[PART_BREAKPOINT], JS_OBJECT, c->error))
        return false;
    for (size_t i = 0; i < COUNT_OF(part_kinds); i++)
        if (js_str_eq(c->v[PART_TYPE], part_kinds[i].type))
            return (part_kinds[i].places & AT(c->place)) != 0 ? part_kinds[i].read(c)
                                                              : refuse_part(c);
    return refuse_part(c);
}

/* A string, or a list of parts, at the end of the parts. */
static bool
read_content(struct input *in, struct chat_part ***end, enum place place, struct js_value content)
{
    struct content c = {.r = in->r, .error = in->error, .end = end, .place = place, .at = content};
    struct js_value key;
    struct js_iter it;

    if (content.type == JS_STRING)
        return add_text(&c, CHAT_PART_TEXT, content);
    if (content.type != JS_ARRAY)
        return chat_refuse(in->r, content, in->error, "must be a string or a list of parts");
    for (js_iter_init(&it, content); js_next(&it, &key, &c.at);)
        if (!read_part(&c))
            return false;
    return true;
}

/* ---- items ---- */

static bool
open_message(struct input *in, enum chat_role role)
{
    bool goes_on = role == CHAT_ASSISTANT || role == CHAT_TOOL;

    if (goes_on && in->last != NULL && in->last->role == role)
        return true;
    in->last = chat_message_add(in->r, in->end, role, in->at);
    if (in->last == NULL)
        return chat_no_room(in->error);
    in->parts = &in->last->parts;
    if (role == CHAT_ASSISTANT) {
        in->calls = in->last;
        in->call_count = 0;
    }
    return true;
}

/* A part of the assistant's, or of a tool's. */
static struct chat_part *
add_item_part(struct input *in, enum chat_role role, enum chat_part_kind kind)
{
    struct chat_part *part;

    if (!open_message(in, role))
        return NULL;
    part = chat_part_add(in->r, &in->parts, kind, in->at);
    if (part == NULL)
        (void)chat_no_room(in->error);
    return part;
}

static bool
read_message(struct input *in)
{
    static const struct {
        struct str name;
        enum chat_role role;
        enum place place;
    } roles[] = {
        {PICK_NAME("user"), CHAT_USER, PLACE_USER},
        {PICK_NAME("assistant"), CHAT_ASSISTANT, PLACE_ASSISTANT},
        {PICK_NAME("system"), CHAT_SYSTEM, PLACE_SYSTEM},
        {PICK_NAME("developer"), CHAT_SYSTEM, PLACE_SYSTEM},
    };
    struct js_value role = in->v[ITEM_ROLE], content = in->v[ITEM_CONTENT];

    if (!responses_need(in->r, in->at, role, "role", in->error))
        return false;
    if (content.type == JS_NONE)
        return chat_refuse(in->r, in->at, in->error, "\"content\" is missing");
    for (size_t i = 0; i < COUNT_OF(roles); i++)
        if (js_str_eq(role, roles[i].name))
            return open_message(in, roles[i].role) &&
                   read_content(in, &in->parts, roles[i].place, content);
    return chat_refuse(in->r, role, in->error, "must be user, assistant, system or developer");
}

static bool
need_call_id(struct input *in)
{
    struct js_value id = in->v[ITEM_CALL_ID];

    if (!responses_need(in->r, in->at, id, "call_id", in->error))
        return false;
    return id.raw.len > 0 || chat_refuse(in->r, id, in->error, "must not be empty");
}

/* There are no more in an answer, and so none in what is sent back of it. */
static struct chat_part *
add_call(struct input *in)
{
    struct chat_part *call = add_item_part(in, CHAT_ASSISTANT, CHAT_PART_CALL);

    if (call == NULL)
        return NULL;
    if (in->call_count++ == CODEC_CALLS_MAX) {
        (void)chat_refuse(in->r, in->at, in->error, "there are more than %d calls before this one",
                          CODEC_CALLS_MAX);
        return NULL;
    }
    call->id = in->v[ITEM_CALL_ID];
    return call;
}

/* A call of a tool with a name, but for what it is called with. */
static struct chat_part *
read_call(struct input *in)
{
    struct js_value space = in->v[ITEM_NAMESPACE];
    struct chat_part *call;

    if (!need_call_id(in) ||
        !responses_need_name(in->r, in->at, in->v[ITEM_NAME], "name", in->error))
        return NULL;
    if (space.type != JS_NONE &&
        !responses_need_name(in->r, in->at, space, "namespace", in->error))
        return NULL;
    call = add_call(in);
    if (call == NULL)
        return NULL;
    call->tool_name = in->v[ITEM_NAME];
    call->space = space;
    return call;
}

static bool
read_function_call(struct input *in)
{
    struct chat_part *call;

    if (!responses_need(in->r, in->at, in->v[ITEM_ARGUMENTS], "arguments", in->error))
        return false;
    call = read_call(in);
    if (call == NULL)
        return false;
    call->arguments = in->v[ITEM_ARGUMENTS];
    return true;
}

static bool
read_custom_call(struct input *in)
{
    struct chat_part *call;

    if (!responses_need(in->r, in->at, in->v[ITEM_INPUT], "input", in->error))
        return false;
    call = read_call(in);
    if (call == NULL)
        return false;
    call->tool = CHAT_TOOL_CUSTOM;
    call->arguments = in->v[ITEM_INPUT];
    return true;
}

static bool
read_shell_call(struct input *in)
{
    struct js_value action = in->v[ITEM_ACTION];
    struct chat_part *call;

    if (action.type == JS_NONE)
        return chat_refuse(in->r, in->at, in->error, "\"action\" is missing");
    if (!codec_want(in->r, action, JS_OBJECT, in->error))
        return false;
    if (in->v[ITEM_CALL_ID].type == JS_NONE)
        in->v[ITEM_CALL_ID] = in->v[ITEM_ID];
    if (!need_call_id(in))
        return false;
    call = add_call(in);
    if (call == NULL)
        return false;
    call->tool_name = chat_literal(RESPONSES_SHELL);
    call->tool = CHAT_TOOL_LOCAL_SHELL;
    call->arguments = action;
    return true;
}

static bool
read_output(struct input *in)
{
    struct chat_part **end, *result;

    if (!need_call_id(in))
        return false;
    if (in->v[ITEM_OUTPUT].type == JS_NONE)
        return chat_refuse(in->r, in->at, in->error, "\"output\" is missing");
    result = add_item_part(in, CHAT_TOOL, CHAT_PART_RESULT);
    if (result == NULL)
        return false;
    result->id = in->v[ITEM_CALL_ID];
    end = &result->content;
    return read_content(in, &end, PLACE_RESULT, in->v[ITEM_OUTPUT]);
}

/* Names its call by "id" where it has no "call_id": the call's, or that of its item. */
static bool
read_shell_output(struct input *in)
{
    const struct str id_name = STR("id");
    struct js_value id = in->v[ITEM_ID], item_id;

    if (in->v[ITEM_CALL_ID].type != JS_NONE || id.type != JS_STRING)
        return read_output(in);
    in->v[ITEM_CALL_ID] = id;
    for (const struct chat_part *p = in->calls ? in->calls->parts : NULL; p != NULL; p = p->next) {
        if (p->kind != CHAT_PART_CALL || p->tool != CHAT_TOOL_LOCAL_SHELL)
            continue;
        codec_members(p->at, &id_name, 1, &item_id);
        if (item_id.type == JS_STRING && str_eq(item_id.raw, id.raw))
            in->v[ITEM_CALL_ID] = p->id;
    }
    return read_output(in);
}

/* The texts of {"type":type,"text":…} in a list, one paragraph each. */
static bool
read_paragraphs(struct input *in, struct js_value list, struct js_value *out)
{
    static const struct str text_name = PICK_NAME("text");
    struct responses_joined joined = {.separator = STR("\\n\\n")};
    struct js_value key, one, text;
    struct js_iter it;

    *out = (struct js_value){.type = JS_NONE};
    if (!codec_want(in->r, list, JS_ARRAY, in->error))
        return false;
    for (js_iter_init(&it, list); js_next(&it, &key, &one);) {
        bool good = one.type == JS_OBJECT;

        if (good) {
            codec_members(one, &text_name, 1, &text);
            good = responses_need(in->r, one, text, "text", in->error);
        } else {
            (void)chat_refuse(in->r, one, in->error, "must be an object");
        }
        if (!good) {
            if (joined.count > 1)
                buf_free(&joined.buf);
            return false;
        }
        responses_join(&joined, text);
    }
    return responses_joined(&joined, in->r->arena, out) || chat_no_room(in->error);
}

/* Its text is the summary; raw reasoning only where there is none. Without either, and nothing that
 * its provider could read, it stands for what was kept elsewhere and says nothing here. */
static bool
read_reasoning(struct input *in)
{
    struct js_value signature = in->v[ITEM_ENCRYPTED], text;
    struct chat_part *part;

    if (!codec_want(in->r, signature, JS_STRING, in->error) ||
        !read_paragraphs(in, in->v[ITEM_SUMMARY], &text))
        return false;
    if (text.type == JS_NONE && !read_paragraphs(in, in->v[ITEM_CONTENT], &text))
        return false;
    if (signature.raw.len == 0)
        signature.type = JS_NONE;
    if (text.type == JS_NONE && signature.type == JS_NONE)
        return true;
    part = add_item_part(in, CHAT_ASSISTANT, CHAT_PART_REASONING);
    if (part == NULL)
        return false;
    part->text = text;
    part->signature = signature;
    part->redacted = text.type == JS_NONE;
    return true;
}

/* What the provider's own tools did: the assistant's words say what came of it. */
static bool
drop_item(struct input *in)
{
    chat_drop(&in->r->drops, STR("input"));
    return true;
}

static bool
refuse_reference(struct input *in)
{
    return chat_refuse(in->r, in->at, in->error,
                       "an item is not kept here: send the whole conversation");
}

static const struct item_kind {
    struct str type;
    bool (*read)(struct input *in);
} item_kinds[] = {
    {PICK_NAME("message"), read_message},
    {PICK_NAME("function_call"), read_function_call},
    {PICK_NAME("function_call_output"), read_output},
    {PICK_NAME("reasoning"), read_reasoning},
    {PICK_NAME("custom_tool_call"), read_custom_call},
    {PICK_NAME("custom_tool_call_output"), read_output},
    {PICK_NAME("local_shell_call"), read_shell_call},
    {PICK_NAME("local_shell_call_output"), read_shell_output},
    {PICK_NAME("item_reference"), refuse_reference},
    {PICK_NAME("web_search_call"), drop_item},
    {PICK_NAME("file_search_call"), drop_item},
    {PICK_NAME("computer_call"), drop_item},
    {PICK_NAME("computer_call_output"), drop_item},
    {PICK_NAME("code_interpreter_call"), drop_item},
    {PICK_NAME("image_generation_call"), drop_item},
    {PICK_NAME("shell_call"), drop_item},
    {PICK_NAME("shell_call_output"), drop_item},
    {PICK_NAME("apply_patch_call"), drop_item},
    {PICK_NAME("apply_patch_call_output"), drop_item},
    {PICK_NAME("mcp_list_tools"), drop_item},
    {PICK_NAME("mcp_approval_request"), drop_item},
    {PICK_NAME("mcp_approval_response"), drop_item},
    {PICK_NAME("mcp_call"), drop_item},
    {PICK_NAME("tool_search_call"), drop_item},
    {PICK_NAME("tool_search_output"), drop_item},
    {PICK_NAME("additional_tools"), drop_item},
};

static bool
read_item(struct input *in)
{
    struct js_value type;

    if (in->at.type != JS_OBJECT)
        return chat_refuse(in->r, in->at, in->error, "must be an object");
    codec_members(in->at, item_names, ITEM_MEMBER_COUNT, in->v);
    type = in->v[ITEM_TYPE];
    if (type.type == JS_NONE && in->v[ITEM_ROLE].type != JS_NONE)
        return read_message(in);
    if (type.type == JS_NONE && in->v[ITEM_ID].type != JS_NONE)
        return refuse_reference(in);
    if (!responses_need(in->r, in->at, type, "type", in->error))
        return false;
    for (size_t i = 0; i < COUNT_OF(item_kinds); i++)
        if (js_str_eq(type, item_kinds[i].type))
            return item_kinds[i].read(in);
    return chat_refuse(in->r, type, in->error,
                       "this kind of item cannot be passed on to the model's protocol");
}

bool
responses_read_input(struct chat_request *r, struct chat_message ***end, struct js_value input,
                     struct proto_error *error)
{
    struct input in = {.r = r, .error = error, .end = end, .at = input};
    struct js_value key;
    struct js_iter it;

    if (input.type == JS_NONE)
        return true;
    if (input.type == JS_STRING)
        return open_message(&in, CHAT_USER) && read_content(&in, &in.parts, PLACE_USER, input);
    if (input.type != JS_ARRAY)
        return chat_refuse(r, input, error, "must be a string or a list of items");
    for (js_iter_init(&it, input); js_next(&it, &key, &in.at);)
        if (!read_item(&in))
            return false;
    return true;
}
