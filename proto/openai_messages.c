/*
 * Messages of a chat request into the neutral form. A message of the role "tool" is one result of a
 * tool; so is one of the older role "function", which names no call but the function.
 *
 * Members that a message has beyond those read here (annotations, what servers add to their answers
 * and clients send back) say nothing to a model and are passed over without a word; the name of who
 * speaks says little, and is dropped by its name.
 */
#include "base/str.h"
#include "proto/openai_in.h"
#include "proto/pick.h"

enum {
    MESSAGE_ROLE,
    MESSAGE_CONTENT,
    MESSAGE_REFUSAL,
    MESSAGE_REASONING_CONTENT,
    MESSAGE_REASONING,
    MESSAGE_TOOL_CALLS,
    MESSAGE_FUNCTION_CALL,
    MESSAGE_AUDIO,
    MESSAGE_TOOL_CALL_ID,
    MESSAGE_NAME,
    MESSAGE_FIELD_COUNT
};

static const struct str message_names[MESSAGE_FIELD_COUNT] = {
    [MESSAGE_ROLE] = PICK_NAME("role"),
    [MESSAGE_CONTENT] = PICK_NAME("content"),
    [MESSAGE_REFUSAL] = PICK_NAME("refusal"),
    [MESSAGE_REASONING_CONTENT] = PICK_NAME("reasoning_content"),
    [MESSAGE_REASONING] = PICK_NAME("reasoning"),
    [MESSAGE_TOOL_CALLS] = PICK_NAME("tool_calls"),
    [MESSAGE_FUNCTION_CALL] = PICK_NAME("function_call"),
    [MESSAGE_AUDIO] = PICK_NAME("audio"),
    [MESSAGE_TOOL_CALL_ID] = PICK_NAME("tool_call_id"),
    [MESSAGE_NAME] = PICK_NAME("name"),
};

/* ---- parts ---- */

enum part_type { PART_TEXT = 0, PART_REFUSAL, PART_IMAGE, PART_AUDIO, PART_FILE, PART_TYPE_COUNT };

static const struct str part_type_names[PART_TYPE_COUNT] = {
    [PART_TEXT] = PICK_NAME("text"),         [PART_REFUSAL] = PICK_NAME("refusal"),
    [PART_IMAGE] = PICK_NAME("image_url"),   [PART_AUDIO] = PICK_NAME("input_audio"),
    [PART_FILE] = PICK_NAME("file"),
};

#define TAKES(type) (1u << PART_##type)
enum {
    TEXT_ONLY = TAKES(TEXT),
    OF_USER = TAKES(TEXT) | TAKES(IMAGE) | TAKES(AUDIO) | TAKES(FILE),
    OF_ASSISTANT = TAKES(TEXT) | TAKES(REFUSAL),
};

/* Appends a part of text. */
static bool
add_text(struct chat_request *r, struct chat_part ***end, enum chat_part_kind kind,
         struct js_value at, struct js_value text, struct proto_error *error)
{
    struct chat_part *part = chat_part_add(r, end, kind, at);

    if (part == NULL)
        return chat_no_room(error);
    part->text = text;
    return true;
}

static bool
starts_with_nocase(struct str text, struct str prefix)
{
    return text.len >= prefix.len && str_eq_nocase((struct str){text.ptr, prefix.len}, prefix);
}

static bool
read_image(const struct chat_request *r, struct chat_part *part, struct js_value image,
           struct proto_error *error)
{
    static const struct str names[] = {PICK_NAME("url"), PICK_NAME("detail")};
    struct js_value values[2], url;
    struct str text;

    codec_members(image, names, 2, values);
    url = values[0];
    if (!openai_want_string(r, image, url, "url", error) ||
        !codec_want(r, values[1], JS_STRING, error))
        return false;
    part->kind = CHAT_PART_IMAGE;
    part->detail = values[1];
    if (chat_data_url(r->arena, url, &part->media_type, &part->data)) {
        if (!starts_with_nocase(part->media_type.raw, STR("image/")))
            return chat_refuse(r, url, error, "the data is no image");
        part->source = CHAT_SOURCE_DATA;
        return true;
    }
    text = chat_text(r->arena, url);
    if (text.ptr == NULL)
        return chat_no_room(error);
    if (!starts_with_nocase(text, STR("https://")) && !starts_with_nocase(text, STR("http://")))
        return chat_refuse(r, url, error, "must be an http(s) URL or a data URL in base64");
    part->source = CHAT_SOURCE_URL;
    part->data = url;
    return true;
}

static bool
read_audio(const struct chat_request *r, struct chat_part *part, struct js_value audio,
           struct proto_error *error)
{
    static const struct str names[] = {PICK_NAME("data"), PICK_NAME("format")};
    struct js_value values[2];

    codec_members(audio, names, 2, values);
    if (!openai_want_string(r, audio, values[0], "data", error) ||
        !openai_want_string(r, audio, values[1], "format", error))
        return false;
    part->kind = CHAT_PART_AUDIO;
    part->source = CHAT_SOURCE_DATA;
    part->data = values[0];
    part->media_type = codec_sound_type(values[1]);
    return part->media_type.type == JS_STRING ||
           chat_refuse(r, values[1], error, "must be wav or mp3");
}

static bool
read_file(const struct chat_request *r, struct chat_part *part, struct js_value file,
          struct proto_error *error)
{
    enum { DATA, NAME, ID, COUNT };
    static const struct str names[COUNT] = {
        [DATA] = PICK_NAME("file_data"),
        [NAME] = PICK_NAME("filename"),
        [ID] = PICK_NAME("file_id"),
    };
    struct js_value values[COUNT];

    codec_members(file, names, COUNT, values);
    if (values[ID].type != JS_NONE)
        return chat_refuse(r, values[ID], error,
                           "the model's server does not have this file: send it as file_data");
    if (!openai_want_string(r, file, values[DATA], "file_data", error) ||
        !codec_want(r, values[NAME], JS_STRING, error))
        return false;
    part->kind = CHAT_PART_DOCUMENT;
    part->source = CHAT_SOURCE_DATA;
    part->name = values[NAME];
    if (!chat_data_url(r->arena, values[DATA], &part->media_type, &part->data))
        return chat_refuse(r, values[DATA], error, "must be a data URL in base64");
    return true;
}

static enum part_type
part_type_of(struct js_value type)
{
    for (unsigned i = 0; i < PART_TYPE_COUNT; i++)
        if (js_str_eq(type, part_type_names[i]))
            return (enum part_type)i;
    return PART_TYPE_COUNT;
}

static bool
read_part(struct chat_request *r, struct js_value at, unsigned takes, struct chat_part ***end,
          struct proto_error *error)
{
    enum { TYPE = PART_TYPE_COUNT, BREAKPOINT, COUNT };
    static const struct str names[COUNT] = {
        /* What a part holds is called as its type. */
        [PART_TEXT] = PICK_NAME("text"),         [PART_REFUSAL] = PICK_NAME("refusal"),
        [PART_IMAGE] = PICK_NAME("image_url"),   [PART_AUDIO] = PICK_NAME("input_audio"),
        [PART_FILE] = PICK_NAME("file"),         [TYPE] = PICK_NAME("type"),
        [BREAKPOINT] = PICK_NAME("prompt_cache_breakpoint"),
    };
    struct js_value values[COUNT], held;
    struct chat_part *part;
    enum part_type type;

    if (at.type != JS_OBJECT)
        return chat_refuse(r, at, error, "must be an object");
    codec_members(at, names, COUNT, values);
    if (!openai_want_string(r, at, values[TYPE], "type", error) ||
        !codec_want(r, values[BREAKPOINT], JS_OBJECT, error))
        return false;
    type = part_type_of(values[TYPE]);
    if (type == PART_TYPE_COUNT)
        return chat_refuse(r, values[TYPE], error, "this type of content is not known");
    if ((takes >> type & 1) == 0)
        return chat_refuse(r, values[TYPE], error, "a message of this role has no such content");
    held = values[type];
    if (held.type == JS_NONE)
        return chat_refuse(r, at, error, "%s is missing", names[type].ptr);
    if (!codec_want(r, held, type <= PART_REFUSAL ? JS_STRING : JS_OBJECT, error))
        return false;
    part = chat_part_add(r, end, CHAT_PART_TEXT, at);
    if (part == NULL)
        return chat_no_room(error);
    part->cache = values[BREAKPOINT].type == JS_OBJECT ? CHAT_CACHE_SHORT : CHAT_CACHE_NONE;
    switch (type) {
    case PART_REFUSAL: part->kind = CHAT_PART_REFUSAL; /* fallthrough */
    case PART_TEXT: part->text = held; return true;
    case PART_IMAGE: return read_image(r, part, held, error);
    case PART_AUDIO: return read_audio(r, part, held, error);
    case PART_FILE: return read_file(r, part, held, error);
    case PART_TYPE_COUNT: break;
    }
    return true;
}

/* A string, or a list of parts. Absent is nothing. */
static bool
read_content(struct chat_request *r, struct js_value content, unsigned takes,
             struct chat_part ***end, struct proto_error *error)
{
    struct js_value key, one;
    struct js_iter it;

    if (content.type == JS_NONE)
        return true;
    if (content.type == JS_STRING)
        return add_text(r, end, CHAT_PART_TEXT, content, content, error);
    if (content.type != JS_ARRAY)
        return chat_refuse(r, content, error, "must be a string or a list");
    for (js_iter_init(&it, content); js_next(&it, &key, &one);)
        if (!read_part(r, one, takes, end, error))
            return false;
    return true;
}

/* ---- calls ---- */

static bool
add_call(struct chat_request *r, struct js_value at, struct js_value id, struct js_value called,
         enum chat_tool_kind kind, struct chat_part ***end, struct proto_error *error)
{
    bool custom = kind == CHAT_TOOL_CUSTOM;
    const struct str names[] = {STR("name"), custom ? STR("input") : STR("arguments")};
    struct js_value values[2];
    struct chat_part *part;

    if (called.type == JS_NONE)
        return chat_refuse(r, at, error, "%s is missing", custom ? "custom" : "function");
    if (!codec_want(r, called, JS_OBJECT, error))
        return false;
    codec_members(called, names, 2, values);
    if (!openai_want_string(r, called, values[0], "name", error))
        return false;
    if (values[0].raw.len == 0)
        return chat_refuse(r, values[0], error, "must not be empty");
    /* Some servers give an object, and clients send back what they were given. */
    if ((custom || values[1].type != JS_OBJECT) && !codec_want(r, values[1], JS_STRING, error))
        return false;
    part = chat_part_add(r, end, CHAT_PART_CALL, at);
    if (part == NULL)
        return chat_no_room(error);
    part->id = id;
    part->tool = kind;
    part->tool_name = values[0];
    part->arguments = values[1].type == JS_NONE ? chat_literal("") : values[1];
    return true;
}

static bool
read_call(struct chat_request *r, struct js_value at, struct chat_part ***end,
          struct proto_error *error)
{
    enum { ID, TYPE, FUNCTION, CUSTOM, COUNT };
    static const struct str names[COUNT] = {
        [ID] = PICK_NAME("id"),
        [TYPE] = PICK_NAME("type"),
        [FUNCTION] = PICK_NAME("function"),
        [CUSTOM] = PICK_NAME("custom"),
    };
    struct js_value values[COUNT];

    if (at.type != JS_OBJECT)
        return chat_refuse(r, at, error, "must be an object");
    codec_members(at, names, COUNT, values);
    if (!openai_want_string(r, at, values[ID], "id", error))
        return false;
    if (values[TYPE].type == JS_NONE || js_str_eq(values[TYPE], STR("function")))
        return add_call(r, at, values[ID], values[FUNCTION], CHAT_TOOL_FUNCTION, end, error);
    if (js_str_eq(values[TYPE], STR("custom")))
        return add_call(r, at, values[ID], values[CUSTOM], CHAT_TOOL_CUSTOM, end, error);
    return chat_refuse(r, values[TYPE], error, "must be function or custom");
}

static bool
read_calls(struct chat_request *r, struct js_value list, struct chat_part ***end,
           struct proto_error *error)
{
    struct js_value key, one;
    struct js_iter it;

    if (!codec_want(r, list, JS_ARRAY, error))
        return false;
    for (js_iter_init(&it, list); js_next(&it, &key, &one);) {
        if (it.index >= CODEC_CALLS_MAX)
            return chat_refuse(r, list, error, "must not have more than %d elements",
                               CODEC_CALLS_MAX);
        if (!read_call(r, one, end, error))
            return false;
    }
    return true;
}

/* ---- messages ---- */

static bool
read_assistant(struct chat_request *r, const struct js_value values[MESSAGE_FIELD_COUNT],
               struct chat_message *message, struct proto_error *error)
{
    struct js_value reasoning = values[MESSAGE_REASONING_CONTENT];
    struct js_value refusal = values[MESSAGE_REFUSAL], content = values[MESSAGE_CONTENT];
    struct js_value older = values[MESSAGE_FUNCTION_CALL], no_id = {.type = JS_NONE};
    struct chat_part **end = &message->parts;

    if (reasoning.type == JS_NONE)
        reasoning = values[MESSAGE_REASONING];
    if (!codec_want(r, reasoning, JS_STRING, error) || !codec_want(r, refusal, JS_STRING, error))
        return false;
    if (values[MESSAGE_AUDIO].type != JS_NONE)
        return chat_refuse(r, values[MESSAGE_AUDIO], error,
                           "the model's server does not have this answer");
    if (reasoning.raw.len > 0 && reasoning.type == JS_STRING &&
        !add_text(r, &end, CHAT_PART_REASONING, reasoning, reasoning, error))
        return false;
    /* Beside calls it is often empty. */
    if (content.type == JS_STRING && content.raw.len == 0)
        content.type = JS_NONE;
    if (!read_content(r, content, OF_ASSISTANT, &end, error))
        return false;
    if (refusal.raw.len > 0 && refusal.type == JS_STRING &&
        !add_text(r, &end, CHAT_PART_REFUSAL, refusal, refusal, error))
        return false;
    if (!read_calls(r, values[MESSAGE_TOOL_CALLS], &end, error))
        return false;
    return older.type == JS_NONE ||
           add_call(r, older, no_id, older, CHAT_TOOL_FUNCTION, &end, error);
}

/* by_name: the older role, which states the function instead of the call. */
static bool
read_result(struct chat_request *r, const struct js_value values[MESSAGE_FIELD_COUNT],
            struct chat_message *message, bool by_name, struct proto_error *error)
{
    struct chat_part **end = &message->parts, **content_end, *result;
    struct js_value named = values[by_name ? MESSAGE_NAME : MESSAGE_TOOL_CALL_ID];

    if (!openai_want_string(r, message->at, named, by_name ? "name" : "tool_call_id", error))
        return false;
    result = chat_part_add(r, &end, CHAT_PART_RESULT, message->at);
    if (result == NULL)
        return chat_no_room(error);
    *(by_name ? &result->tool_name : &result->id) = named;
    content_end = &result->content;
    return read_content(r, values[MESSAGE_CONTENT], TEXT_ONLY, &content_end, error);
}

static bool
read_message(struct chat_request *r, struct js_value at, struct chat_message ***end,
             struct proto_error *error)
{
    enum kind { SYSTEM, USER, ASSISTANT, TOOL, FUNCTION };
    static const struct {
        struct str name;
        enum chat_role role;
        enum kind kind;
    } roles[] = {
        {PICK_NAME("user"), CHAT_USER, USER},
        {PICK_NAME("assistant"), CHAT_ASSISTANT, ASSISTANT},
        {PICK_NAME("tool"), CHAT_TOOL, TOOL},
        {PICK_NAME("system"), CHAT_SYSTEM, SYSTEM},
        {PICK_NAME("developer"), CHAT_SYSTEM, SYSTEM},
        {PICK_NAME("function"), CHAT_TOOL, FUNCTION},
    };
    struct js_value values[MESSAGE_FIELD_COUNT];
    struct chat_message *message;
    struct chat_part **parts;
    size_t i = 0;

    if (at.type != JS_OBJECT)
        return chat_refuse(r, at, error, "must be an object");
    codec_members(at, message_names, MESSAGE_FIELD_COUNT, values);
    if (!openai_want_string(r, at, values[MESSAGE_ROLE], "role", error))
        return false;
    while (i < COUNT_OF(roles) && !js_str_eq(values[MESSAGE_ROLE], roles[i].name))
        i++;
    if (i == COUNT_OF(roles))
        return chat_refuse(r, values[MESSAGE_ROLE], error,
                           "must be system, developer, user, assistant, tool or function");
    if (roles[i].role != CHAT_ASSISTANT && roles[i].kind != FUNCTION &&
        values[MESSAGE_CONTENT].type == JS_NONE)
        return chat_refuse(r, at, error, "content is missing");
    if (roles[i].role != CHAT_TOOL && values[MESSAGE_NAME].type != JS_NONE)
        chat_drop(&r->drops, STR("name"));
    message = chat_message_add(r, end, roles[i].role, at);
    if (message == NULL)
        return chat_no_room(error);
    parts = &message->parts;
    switch (roles[i].kind) {
    case SYSTEM: return read_content(r, values[MESSAGE_CONTENT], TEXT_ONLY, &parts, error);
    case USER: return read_content(r, values[MESSAGE_CONTENT], OF_USER, &parts, error);
    case ASSISTANT: return read_assistant(r, values, message, error);
    case TOOL: return read_result(r, values, message, false, error);
    case FUNCTION: return read_result(r, values, message, true, error);
    }
    return true;
}

bool
openai_read_messages(struct chat_request *r, struct js_value messages, struct proto_error *error)
{
    struct chat_message **end = &r->messages;
    struct js_value key, one;
    struct js_iter it;

    if (messages.type == JS_NONE)
        return chat_refuse(r, r->document, error, "messages is missing");
    if (!codec_want(r, messages, JS_ARRAY, error))
        return false;
    for (js_iter_init(&it, messages); js_next(&it, &key, &one);)
        if (!read_message(r, one, &end, error))
            return false;
    return true;
}
