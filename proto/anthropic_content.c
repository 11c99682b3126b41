/*
 * Reads what is said in a request of Anthropic's Messages: "system", and "messages" with their
 * blocks.
 *
 * A block may hold blocks (a tool's result, a document, a search result), but each kind only in its
 * own places, so that the functions below call each other downwards and never themselves. One
 * message of the user's becomes two where it has results of tools and says something as well:
 * results come first, as the service itself demands.
 */
#include "base/str.h"
#include "proto/anthropic.h"
#include "proto/pick.h"

#define BILLING_LINE "x-anthropic-billing-header:" /* Claude Code's; for Anthropic alone */

/* Where a block may stand. */
enum {
    IN_SYSTEM = 1u << 0,
    IN_USER = 1u << 1,
    IN_ASSISTANT = 1u << 2,
    IN_RESULT = 1u << 3,
    IN_DOCUMENT = 1u << 4,
    IN_SEARCH = 1u << 5,
};

enum block_kind {
    BLOCK_TEXT = 0,
    BLOCK_IMAGE,
    BLOCK_DOCUMENT,
    BLOCK_SEARCH_RESULT,
    BLOCK_TOOL_REFERENCE,
    BLOCK_TOOL_USE,
    BLOCK_TOOL_RESULT,
    BLOCK_THINKING,
    BLOCK_REDACTED_THINKING,
    BLOCK_KIND_COUNT
};

static const struct {
    struct str name;
    unsigned places;
} block_kinds[BLOCK_KIND_COUNT] = {
    [BLOCK_TEXT] = {PICK_NAME("text"),
                    IN_SYSTEM | IN_USER | IN_ASSISTANT | IN_RESULT | IN_DOCUMENT | IN_SEARCH},
    [BLOCK_IMAGE] = {PICK_NAME("image"), IN_USER | IN_RESULT | IN_DOCUMENT},
    [BLOCK_DOCUMENT] = {PICK_NAME("document"), IN_USER | IN_RESULT},
    [BLOCK_SEARCH_RESULT] = {PICK_NAME("search_result"), IN_USER | IN_RESULT},
    [BLOCK_TOOL_REFERENCE] = {PICK_NAME("tool_reference"), IN_RESULT},
    [BLOCK_TOOL_USE] = {PICK_NAME("tool_use"), IN_ASSISTANT},
    [BLOCK_TOOL_RESULT] = {PICK_NAME("tool_result"), IN_USER},
    [BLOCK_THINKING] = {PICK_NAME("thinking"), IN_ASSISTANT},
    [BLOCK_REDACTED_THINKING] = {PICK_NAME("redacted_thinking"), IN_ASSISTANT},
};

enum field {
    TYPE = 0,
    TEXT,
    CACHE_CONTROL,
    SOURCE,
    TITLE,
    CONTEXT,
    CITATIONS,
    CONTENT,
    ID,
    NAME,
    INPUT,
    TOOL_USE_ID,
    IS_ERROR,
    TOOL_NAME,
    THINKING,
    SIGNATURE,
    DATA,
    FIELD_COUNT
};

static const struct str field_names[FIELD_COUNT] = {
    [TYPE] = PICK_NAME("type"),
    [TEXT] = PICK_NAME("text"),
    [CACHE_CONTROL] = PICK_NAME("cache_control"),
    [SOURCE] = PICK_NAME("source"),
    [TITLE] = PICK_NAME("title"),
    [CONTEXT] = PICK_NAME("context"),
    [CITATIONS] = PICK_NAME("citations"),
    [CONTENT] = PICK_NAME("content"),
    [ID] = PICK_NAME("id"),
    [NAME] = PICK_NAME("name"),
    [INPUT] = PICK_NAME("input"),
    [TOOL_USE_ID] = PICK_NAME("tool_use_id"),
    [IS_ERROR] = PICK_NAME("is_error"),
    [TOOL_NAME] = PICK_NAME("tool_name"),
    [THINKING] = PICK_NAME("thinking"),
    [SIGNATURE] = PICK_NAME("signature"),
    [DATA] = PICK_NAME("data"),
};

struct block {
    struct js_value at;
    enum block_kind kind;
    enum chat_cache cache;
    struct js_value field[FIELD_COUNT];
};

/* ---- small readers ---- */

bool
anthropic_cache_read(const struct chat_request *r, struct js_value mark, enum chat_cache *out,
                     struct proto_error *error)
{
    static const struct str names[] = {PICK_NAME("ttl")};
    struct js_value ttl;

    *out = CHAT_CACHE_NONE;
    if (mark.type == JS_NONE)
        return true;
    if (!codec_want(r, mark, JS_OBJECT, error))
        return false;
    codec_members(mark, names, 1, &ttl);
    if (!codec_want(r, ttl, JS_STRING, error))
        return false;
    *out = js_str_eq(ttl, STR("1h")) ? CHAT_CACHE_LONG : CHAT_CACHE_SHORT;
    return true;
}

bool
anthropic_effort_read(struct chat_request *r, struct js_value effort, struct proto_error *error)
{
    enum chat_effort named;

    if (effort.type == JS_NONE)
        return true;
    if (!codec_want(r, effort, JS_STRING, error))
        return false;
    named = codec_effort(effort);
    if (named == CHAT_EFFORT_UNSET)
        chat_drop(&r->drops, STR("output_config.effort"));
    else
        r->effort = named;
    return true;
}

/* The member is there, and a string. */
static bool
need_string(const struct chat_request *r, struct js_value object, struct str name,
            struct js_value value, struct proto_error *error)
{
    if (value.type == JS_NONE)
        return chat_refuse(r, object, error, "%.*s is missing", STR_ARGS(name));
    return codec_want(r, value, JS_STRING, error);
}

static bool
need(const struct chat_request *r, const struct block *b, enum field field,
     struct proto_error *error)
{
    return need_string(r, b->at, field_names[field], b->field[field], error);
}

/* A part of the block's, at the end of a list. */
static struct chat_part *
part_of(struct chat_request *r, const struct block *b, enum chat_part_kind kind,
        struct chat_part ***end, struct proto_error *error)
{
    struct chat_part *part = chat_part_add(r, end, kind, b->at);

    if (part != NULL)
        part->cache = b->cache;
    else
        (void)chat_no_room(error);
    return part;
}

static bool
text_add(struct chat_request *r, const struct block *b, struct js_value text,
         struct chat_part ***end, struct proto_error *error)
{
    struct chat_part *part;

    if (text.raw.len == 0)
        return true;
    part = part_of(r, b, CHAT_PART_TEXT, end, error);
    if (part == NULL)
        return false;
    part->text = text;
    return true;
}

/* ---- a block by itself ---- */

static bool
is_hosted(struct js_value type)
{
    return js_str_eq(type, STR("server_tool_use")) || js_str_eq(type, STR("mcp_tool_use")) ||
           js_str_eq(type, STR("container_upload")) ||
           str_ends_with(type.raw, STR("_tool_result"));
}

static bool
block_open(const struct chat_request *r, struct js_value at, unsigned place, struct block *b,
           struct proto_error *error)
{
    unsigned kind = 0;

    b->at = at;
    if (at.type != JS_OBJECT)
        return chat_refuse(r, at, error, "must be an object");
    codec_members(at, field_names, FIELD_COUNT, b->field);
    if (!need(r, b, TYPE, error))
        return false;
    while (kind < BLOCK_KIND_COUNT && !js_str_eq(b->field[TYPE], block_kinds[kind].name))
        kind++;
    if (kind == BLOCK_KIND_COUNT && is_hosted(b->field[TYPE]))
        return chat_refuse(r, at, error, "this block is of a tool of its provider's own, and the "
                                         "model is served by another");
    if (kind == BLOCK_KIND_COUNT)
        return chat_refuse(r, b->field[TYPE], error, "there is no such type of block here");
    if ((block_kinds[kind].places & place) == 0)
        return chat_refuse(r, at, error, "a block of this type must not stand here");
    b->kind = (enum block_kind)kind;
    return anthropic_cache_read(r, b->field[CACHE_CONTROL], &b->cache, error);
}

enum source_field {
    SOURCE_TYPE = 0,
    SOURCE_MEDIA_TYPE,
    SOURCE_DATA,
    SOURCE_URL,
    SOURCE_CONTENT,
    SOURCE_FIELD_COUNT
};

static const struct str source_names[SOURCE_FIELD_COUNT] = {
    [SOURCE_TYPE] = PICK_NAME("type"),       [SOURCE_MEDIA_TYPE] = PICK_NAME("media_type"),
    [SOURCE_DATA] = PICK_NAME("data"),       [SOURCE_URL] = PICK_NAME("url"),
    [SOURCE_CONTENT] = PICK_NAME("content"),
};

static bool
source_open(const struct chat_request *r, const struct block *b,
            struct js_value source[SOURCE_FIELD_COUNT], struct proto_error *error)
{
    if (b->field[SOURCE].type == JS_NONE)
        return chat_refuse(r, b->at, error, "source is missing");
    if (!codec_want(r, b->field[SOURCE], JS_OBJECT, error))
        return false;
    codec_members(b->field[SOURCE], source_names, SOURCE_FIELD_COUNT, source);
    return need_string(r, b->field[SOURCE], source_names[SOURCE_TYPE], source[SOURCE_TYPE], error);
}

static bool
need_of_source(const struct chat_request *r, const struct block *b,
               const struct js_value source[SOURCE_FIELD_COUNT], enum source_field field,
               struct proto_error *error)
{
    return need_string(r, b->field[SOURCE], source_names[field], source[field], error);
}

/* What an image and a document have in common: base64, or a URL. */
static bool
source_read(struct chat_request *r, const struct block *b,
            const struct js_value source[SOURCE_FIELD_COUNT], enum chat_part_kind kind,
            struct chat_part ***end, struct proto_error *error)
{
    bool is_url = js_str_eq(source[SOURCE_TYPE], STR("url"));
    struct chat_part *part;

    if (js_str_eq(source[SOURCE_TYPE], STR("file")))
        return chat_refuse(r, b->field[SOURCE], error,
                           "a file kept by one provider cannot be sent to another");
    if (!is_url && !js_str_eq(source[SOURCE_TYPE], STR("base64")))
        return chat_refuse(r, source[SOURCE_TYPE], error, "there is no such type of source here");
    if (is_url ? !need_of_source(r, b, source, SOURCE_URL, error)
               : !need_of_source(r, b, source, SOURCE_MEDIA_TYPE, error) ||
                     !need_of_source(r, b, source, SOURCE_DATA, error))
        return false;
    part = part_of(r, b, kind, end, error);
    if (part == NULL)
        return false;
    part->source = is_url ? CHAT_SOURCE_URL : CHAT_SOURCE_DATA;
    part->data = source[is_url ? SOURCE_URL : SOURCE_DATA];
    if (!is_url)
        part->media_type = source[SOURCE_MEDIA_TYPE];
    if (kind == CHAT_PART_DOCUMENT)
        part->name = b->field[TITLE];
    return true;
}

static bool
image_read(struct chat_request *r, const struct block *b, struct chat_part ***end,
           struct proto_error *error)
{
    struct js_value source[SOURCE_FIELD_COUNT];

    return source_open(r, b, source, error) &&
           source_read(r, b, source, CHAT_PART_IMAGE, end, error);
}

/* ---- blocks in blocks ---- */

/* Texts and images within a document, texts within a search result. */
static bool
inner_read(struct chat_request *r, struct js_value content, unsigned place,
           struct chat_part ***end, struct proto_error *error)
{
    struct js_value key, at;
    struct js_iter it;
    struct block b;

    if (!codec_want(r, content, JS_ARRAY, error))
        return false;
    for (js_iter_init(&it, content); js_next(&it, &key, &at);) {
        if (!block_open(r, at, place, &b, error))
            return false;
        if (b.kind == BLOCK_IMAGE ? !image_read(r, &b, end, error)
                                  : !need(r, &b, TEXT, error) ||
                                        !text_add(r, &b, b.field[TEXT], end, error))
            return false;
    }
    return true;
}

static bool
document_text_read(struct chat_request *r, const struct block *b, struct js_value text,
                   struct chat_part ***end, struct proto_error *error)
{
    struct chat_part *part = part_of(r, b, CHAT_PART_DOCUMENT, end, error);

    if (part == NULL)
        return false;
    part->source = CHAT_SOURCE_TEXT;
    part->text = text;
    part->name = b->field[TITLE];
    return true;
}

static bool
document_read(struct chat_request *r, const struct block *b, struct chat_part ***end,
              struct proto_error *error)
{
    struct js_value source[SOURCE_FIELD_COUNT];

    if (!codec_want(r, b->field[TITLE], JS_STRING, error) || !source_open(r, b, source, error))
        return false;
    if (b->field[CONTEXT].type != JS_NONE)
        chat_drop(&r->drops, STR("context"));
    if (js_bool(js_get(b->field[CITATIONS], STR("enabled")), false))
        chat_drop(&r->drops, STR("citations"));
    if (js_str_eq(source[SOURCE_TYPE], STR("text")))
        return need_of_source(r, b, source, SOURCE_DATA, error) &&
               document_text_read(r, b, source[SOURCE_DATA], end, error);
    if (!js_str_eq(source[SOURCE_TYPE], STR("content")))
        return source_read(r, b, source, CHAT_PART_DOCUMENT, end, error);
    if (source[SOURCE_CONTENT].type == JS_STRING)
        return text_add(r, b, source[SOURCE_CONTENT], end, error);
    return inner_read(r, source[SOURCE_CONTENT], IN_DOCUMENT, end, error);
}

/* What may stand in a message as well as in a tool's result. */
static bool
material_read(struct chat_request *r, const struct block *b, struct chat_part ***end,
              struct proto_error *error)
{
    switch (b->kind) {
    case BLOCK_TEXT:
        return need(r, b, TEXT, error) && text_add(r, b, b->field[TEXT], end, error);
    case BLOCK_IMAGE: return image_read(r, b, end, error);
    case BLOCK_DOCUMENT: return document_read(r, b, end, error);
    case BLOCK_SEARCH_RESULT: return inner_read(r, b->field[CONTENT], IN_SEARCH, end, error);
    case BLOCK_TOOL_REFERENCE:
        /* A tool that a search has found. All tools are offered anyhow, so its name will do. */
        return need(r, b, TOOL_NAME, error) && text_add(r, b, b->field[TOOL_NAME], end, error);
    case BLOCK_TOOL_USE:
    case BLOCK_TOOL_RESULT:
    case BLOCK_THINKING:
    case BLOCK_REDACTED_THINKING:
    case BLOCK_KIND_COUNT: break;
    }
    ASSERT(!"a block of this kind stands here");
    return false;
}

static bool
result_read(struct chat_request *r, const struct block *b, struct chat_part ***end,
            struct proto_error *error)
{
    struct js_value key, at, content = b->field[CONTENT];
    struct chat_part *part, **inner_end;
    struct block inner;
    struct js_iter it;

    if (!need(r, b, TOOL_USE_ID, error))
        return false;
    part = part_of(r, b, CHAT_PART_RESULT, end, error);
    if (part == NULL)
        return false;
    inner_end = &part->content;
    part->id = b->field[TOOL_USE_ID];
    if (!codec_want_bool(r, b->field[IS_ERROR], &part->is_error, error))
        return false;
    if (content.type == JS_STRING) {
        inner = (struct block){.at = content};
        return text_add(r, &inner, content, &inner_end, error);
    }
    if (content.type != JS_NONE && content.type != JS_ARRAY)
        return chat_refuse(r, content, error, "must be a string or a list of blocks");
    for (js_iter_init(&it, content); js_next(&it, &key, &at);)
        if (!block_open(r, at, IN_RESULT, &inner, error) ||
            !material_read(r, &inner, &inner_end, error))
            return false;
    return true;
}

/* ---- what the assistant said ---- */

static bool
call_read(struct chat_request *r, const struct block *b, struct chat_part ***end,
          struct proto_error *error)
{
    struct chat_part *part;

    if (!need(r, b, ID, error) || !need(r, b, NAME, error) ||
        !codec_want(r, b->field[INPUT], JS_OBJECT, error))
        return false;
    if (b->field[NAME].raw.len == 0)
        return chat_refuse(r, b->field[NAME], error, "must not be empty");
    part = part_of(r, b, CHAT_PART_CALL, end, error);
    if (part == NULL)
        return false;
    part->id = b->field[ID];
    part->tool_name = b->field[NAME];
    part->arguments = b->field[INPUT];
    return true;
}

static bool
reasoning_read(struct chat_request *r, const struct block *b, struct chat_part ***end,
               struct proto_error *error)
{
    bool redacted = b->kind == BLOCK_REDACTED_THINKING;
    struct js_value signature = b->field[redacted ? DATA : SIGNATURE];
    struct chat_part *part;

    if (!need(r, b, redacted ? DATA : THINKING, error) ||
        !codec_want(r, signature, JS_STRING, error))
        return false;
    if ((redacted || b->field[THINKING].raw.len == 0) && signature.raw.len == 0)
        return true;
    part = part_of(r, b, CHAT_PART_REASONING, end, error);
    if (part == NULL)
        return false;
    part->cache = CHAT_CACHE_NONE;
    part->signature = signature;
    part->redacted = redacted;
    if (!redacted)
        part->text = b->field[THINKING];
    return true;
}

static bool
assistant_block_read(struct chat_request *r, const struct block *b, struct chat_part ***end,
                     struct proto_error *error)
{
    if (b->kind == BLOCK_TOOL_USE)
        return call_read(r, b, end, error);
    if (b->kind == BLOCK_THINKING || b->kind == BLOCK_REDACTED_THINKING)
        return reasoning_read(r, b, end, error);
    return material_read(r, b, end, error);
}

/* ---- messages ---- */

/* The parts of a message's content, results of tools in a list of their own. */
struct contents {
    struct chat_part *results, **results_end;
    struct chat_part *others, **others_end;
};

static bool
content_read(struct chat_request *r, struct js_value content, unsigned place, struct contents *out,
             struct proto_error *error)
{
    struct block b = {.at = content};
    struct js_value key, at;
    struct js_iter it;

    *out = (struct contents){NULL, &out->results, NULL, &out->others};
    if (content.type == JS_STRING)
        return text_add(r, &b, content, &out->others_end, error);
    if (content.type != JS_ARRAY)
        return chat_refuse(r, content, error, "must be a string or a list of blocks");
    for (js_iter_init(&it, content); js_next(&it, &key, &at);) {
        if (!block_open(r, at, place, &b, error))
            return false;
        if (b.kind == BLOCK_TOOL_RESULT ? !result_read(r, &b, &out->results_end, error)
            : place == IN_ASSISTANT     ? !assistant_block_read(r, &b, &out->others_end, error)
                                        : !material_read(r, &b, &out->others_end, error))
            return false;
    }
    return true;
}

static bool
message_add(struct chat_request *r, enum chat_role role, struct js_value at,
            struct chat_part *parts, struct chat_message ***end, struct proto_error *error)
{
    struct chat_message *message = chat_message_add(r, end, role, at);

    if (message == NULL)
        return chat_no_room(error);
    message->parts = parts;
    return true;
}

static struct chat_message **
messages_end(struct chat_request *r)
{
    struct chat_message **end = &r->messages;

    while (*end != NULL)
        end = &(*end)->next;
    return end;
}

bool
anthropic_system_read(struct chat_request *r, struct js_value system, struct proto_error *error)
{
    struct chat_message **end = messages_end(r), *message;
    struct chat_part **at;
    struct contents contents;

    if (system.type == JS_NONE)
        return true;
    if (!content_read(r, system, IN_SYSTEM, &contents, error))
        return false;
    for (at = &contents.others; system.type == JS_ARRAY && *at != NULL;)
        if (str_starts_with((*at)->text.raw, STR(BILLING_LINE)))
            *at = (*at)->next;
        else
            at = &(*at)->next;
    if (contents.others == NULL)
        return true;
    message = chat_message_add(r, &end, CHAT_SYSTEM, system);
    if (message == NULL)
        return chat_no_room(error);
    message->leading = true;
    message->parts = contents.others;
    return true;
}

enum message_field { ROLE = 0, MESSAGE_CONTENT, OUTPUT_CONFIG, MESSAGE_FIELD_COUNT };

static bool
message_read(struct chat_request *r, struct js_value at, struct chat_message ***end,
             struct proto_error *error)
{
    static const struct str names[MESSAGE_FIELD_COUNT] = {
        [ROLE] = PICK_NAME("role"),
        [MESSAGE_CONTENT] = PICK_NAME("content"),
        [OUTPUT_CONFIG] = PICK_NAME("output_config"),
    };
    static const struct str effort_name = PICK_NAME("effort");
    struct js_value field[MESSAGE_FIELD_COUNT], effort;
    struct contents contents;
    enum chat_role role;

    if (at.type != JS_OBJECT)
        return chat_refuse(r, at, error, "must be an object");
    codec_members(at, names, MESSAGE_FIELD_COUNT, field);
    if (!need_string(r, at, names[ROLE], field[ROLE], error) ||
        !codec_want(r, field[OUTPUT_CONFIG], JS_OBJECT, error))
        return false;
    role = js_str_eq(field[ROLE], STR("user"))        ? CHAT_USER
           : js_str_eq(field[ROLE], STR("assistant")) ? CHAT_ASSISTANT
           : js_str_eq(field[ROLE], STR("system"))    ? CHAT_SYSTEM
                                                      : CHAT_ROLE_COUNT;
    if (role == CHAT_ROLE_COUNT)
        return chat_refuse(r, field[ROLE], error, "must be user, assistant or system");
    codec_members(field[OUTPUT_CONFIG], &effort_name, 1, &effort);
    if (!anthropic_effort_read(r, effort, error))
        return false;
    if (field[MESSAGE_CONTENT].type == JS_NONE)
        return chat_refuse(r, at, error, "content is missing");
    if (!content_read(r, field[MESSAGE_CONTENT],
                      role == CHAT_USER        ? IN_USER
                      : role == CHAT_ASSISTANT ? IN_ASSISTANT
                                               : IN_SYSTEM,
                      &contents, error))
        return false;
    if (contents.results != NULL &&
        !message_add(r, CHAT_TOOL, at, contents.results, end, error))
        return false;
    if (contents.others == NULL && (contents.results != NULL || role == CHAT_SYSTEM))
        return true;
    return message_add(r, role, at, contents.others, end, error);
}

bool
anthropic_messages_read(struct chat_request *r, struct js_value messages,
                        struct proto_error *error)
{
    struct chat_message **end = messages_end(r);
    struct js_value key, at;
    struct js_iter it;

    if (!codec_want(r, messages, JS_ARRAY, error))
        return false;
    for (js_iter_init(&it, messages); js_next(&it, &key, &at);)
        if (!message_read(r, at, &end, error))
            return false;
    return true;
}
