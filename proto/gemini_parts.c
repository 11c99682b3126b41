/*
 * The contents of a request: turns of the user and of the model, in parts.
 *
 * The SDK sends each piece of a streamed answer back as a content of its own, so that neighbouring
 * contents of the model are one turn here, and neighbouring thoughts one thought. A signature
 * stands on the part behind the thought that it proves: where it is one of ours, made of what
 * another provider's models had signed, it goes back to the thought; where there is no thought
 * (the CLI leaves them out) to one without text. What Gemini has signed itself stays with its
 * call.
 */
#include <string.h>

#include "base/str.h"
#include "proto/gemini_in.h"

/* What a part may hold, of which it holds one. */
enum {
    PART_TEXT = 0,
    PART_INLINE,
    PART_FILE,
    PART_CALL,
    PART_RESPONSE,
    PART_CODE,
    PART_CODE_RESULT,
    PART_DATA_COUNT,
    PART_THOUGHT = PART_DATA_COUNT,
    PART_SIGNATURE,
    PART_COUNT
};

static const struct str part_names[PART_COUNT] = {
    [PART_TEXT] = {"text", 4},
    [PART_INLINE] = {"inlineData", 10},
    [PART_FILE] = {"fileData", 8},
    [PART_CALL] = {"functionCall", 12},
    [PART_RESPONSE] = {"functionResponse", 16},
    [PART_CODE] = {"executableCode", 14},
    [PART_CODE_RESULT] = {"codeExecutionResult", 19},
    [PART_THOUGHT] = {"thought", 7},
    [PART_SIGNATURE] = {"thoughtSignature", 16},
};

/* ---- data ---- */

static int
base64_digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' || c == '-' ? 62 : c == '/' || c == '_' ? 63 : -1;
}

/* Either alphabet, padded or not, as protobuf takes it. ptr NULL: no room. *valid false: no
 * base64. */
static struct str
base64_decoded(struct arena *arena, struct str text, bool *valid)
{
    char *out = arena_alloc(arena, text.len / 4 * 3 + 4);
    size_t len = 0, digits = 0;
    uint32_t word = 0;

    *valid = true;
    if (out == NULL)
        return STR_NONE;
    while (text.len > 0 && text.ptr[text.len - 1] == '=')
        text.len--;
    for (size_t i = 0; i < text.len; i++) {
        int digit = base64_digit(text.ptr[i]);

        if (digit < 0)
            *valid = false;
        word = word << 6 | (uint32_t)(digit & 63);
        if (++digits % 4 == 0) {
            out[len++] = (char)(word >> 16);
            out[len++] = (char)(word >> 8);
            out[len++] = (char)word;
        }
    }
    *valid &= digits % 4 != 1;
    if (digits % 4 >= 2)
        out[len++] = (char)(word >> (digits % 4 == 2 ? 4 : 10));
    if (digits % 4 == 3)
        out[len++] = (char)(word >> 2);
    return (struct str){out, len};
}

static bool
starts_with_nocase(struct str s, struct str prefix)
{
    return s.len >= prefix.len && str_eq_nocase((struct str){s.ptr, prefix.len}, prefix);
}

/* Text that came as data is text: so any provider takes it. */
static bool
read_text_data(struct gemini_reading *reading, struct chat_part *part)
{
    struct chat_request *r = reading->r;
    struct str data = chat_text(r->arena, part->data), text;
    bool valid;

    if (data.ptr == NULL)
        return chat_no_room(reading->error);
    text = base64_decoded(r->arena, data, &valid);
    if (text.ptr == NULL)
        return chat_no_room(reading->error);
    if (!valid)
        return chat_refuse(r, part->data, reading->error, "must be base64");
    part->source = CHAT_SOURCE_TEXT;
    part->text = chat_string(r->arena, text);
    part->data = (struct js_value){.type = JS_NONE};
    return part->text.type == JS_STRING || chat_no_room(reading->error);
}

/* inlineData into a part at the end of a list. In a result, sound is nobody's. */
static bool
read_data(struct gemini_reading *reading, struct chat_part ***end, struct js_value at,
          struct js_value inline_data, bool in_result)
{
    static const struct str names[] = {{"mimeType", 8}, {"data", 4}, {"displayName", 11}};
    struct chat_request *r = reading->r;
    struct js_value values[3], media_type;
    enum chat_part_kind kind;
    struct chat_part *part;
    struct str type;

    gemini_members(inline_data, names, 3, values);
    media_type = values[0];
    if (inline_data.type != JS_OBJECT || media_type.type != JS_STRING ||
        values[1].type != JS_STRING)
        return chat_refuse(r, inline_data, reading->error,
                           "must have a mimeType and data, which are strings");
    type = chat_text(r->arena, media_type);
    if (type.ptr == NULL)
        return chat_no_room(reading->error);
    if (starts_with_nocase(type, STR("image/")))
        kind = CHAT_PART_IMAGE;
    else if (starts_with_nocase(type, STR("audio/")) && !in_result)
        kind = CHAT_PART_AUDIO;
    else if (str_eq_nocase(type, STR("application/pdf")) || starts_with_nocase(type, STR("text/")))
        kind = CHAT_PART_DOCUMENT;
    else
        return chat_refuse(r, media_type, reading->error,
                           "data of this kind cannot be passed on to this model");
    if (media_type.escaped) {
        media_type = chat_string(r->arena, type);
        if (media_type.type != JS_STRING)
            return chat_no_room(reading->error);
    }
    part = chat_part_add(r, end, kind, at);
    if (part == NULL)
        return chat_no_room(reading->error);
    part->media_type = media_type;
    part->data = values[1];
    if (kind != CHAT_PART_DOCUMENT)
        return true;
    part->name = values[2].type == JS_STRING ? values[2] : part->name;
    return starts_with_nocase(type, STR("text/")) ? read_text_data(reading, part) : true;
}

/* ---- signatures ---- */

static bool
add_reasoning(struct gemini_reading *reading, struct js_value at, struct js_value text,
              struct js_value signature)
{
    struct chat_part *part =
        chat_part_add(reading->r, &reading->part_end, CHAT_PART_REASONING, at);

    if (part == NULL)
        return chat_no_room(reading->error);
    part->text = text;
    part->signature = signature;
    if (signature.type == JS_STRING &&
        str_starts_with(signature.raw, STR(GEMINI_REDACTED GEMINI_TAG_ANY))) {
        part->signature.raw.ptr += strlen(GEMINI_REDACTED);
        part->signature.raw.len -= strlen(GEMINI_REDACTED);
        part->redacted = true;
        part->text = (struct js_value){.type = JS_NONE};
    }
    return true;
}

/* Was it made of a signature by an upstream of another protocol, which has it at the thought? */
static bool
is_of_thought(struct js_value signature)
{
    const struct str redacted = STR(GEMINI_REDACTED);
    struct str raw = signature.raw;

    if (signature.type != JS_STRING)
        return false;
    if (str_starts_with(raw, redacted))
        raw = (struct str){raw.ptr + redacted.len, raw.len - redacted.len};
    return str_starts_with(raw, STR(GEMINI_TAG_ANY)) && !str_starts_with(raw, STR(GEMINI_TAG_OWN));
}

/* Thoughts that came in pieces become one; the signature at the last of them is that of all. */
static bool
join_reasoning(struct gemini_reading *reading, struct chat_part *first)
{
    struct chat_part *last = first;
    size_t len = first->text.raw.len, at = 0;
    char *text;

    while (last->signature.type == JS_NONE && last->next != NULL &&
           last->next->kind == CHAT_PART_REASONING && !last->next->redacted) {
        last = last->next;
        len += last->text.raw.len;
    }
    if (last == first)
        return true;
    text = arena_alloc(reading->r->arena, len + 1);
    if (text == NULL)
        return chat_no_room(reading->error);
    for (const struct chat_part *p = first; p != last->next; p = p->next) {
        if (p->text.raw.len > 0)
            memcpy(text + at, p->text.raw.ptr, p->text.raw.len);
        at += p->text.raw.len;
        first->text.escaped |= p->text.escaped;
    }
    first->text.raw = (struct str){text, len};
    first->signature = last->signature;
    first->next = last->next;
    return true;
}

static bool
model_end(struct gemini_reading *reading)
{
    if (reading->model == NULL)
        return true;
    for (struct chat_part *p = reading->model->parts; p != NULL; p = p->next)
        if (p->kind == CHAT_PART_REASONING && !p->redacted && !join_reasoning(reading, p))
            return false;
    reading->model = NULL;
    return true;
}

/* ---- the model's parts ---- */

static bool
read_call(struct gemini_reading *reading, struct js_value at, struct js_value call,
          struct js_value signature)
{
    static const struct str names[] = {{"id", 2}, {"name", 4}, {"args", 4}};
    struct chat_request *r = reading->r;
    struct js_value values[3];
    struct chat_part *part;

    gemini_members(call, names, 3, values);
    if (!codec_want(r, call, JS_OBJECT, reading->error) ||
        !codec_want(r, values[0], JS_STRING, reading->error) ||
        !codec_want(r, values[1], JS_STRING, reading->error) ||
        !codec_want(r, values[2], JS_OBJECT, reading->error))
        return false;
    if (values[1].raw.len == 0)
        return chat_refuse(r, call, reading->error, "must have a name");
    if (is_of_thought(signature) && !add_reasoning(reading, at, chat_literal(""), signature))
        return false;
    part = chat_part_add(r, &reading->part_end, CHAT_PART_CALL, at);
    if (part == NULL)
        return chat_no_room(reading->error);
    if (values[0].raw.len > 0)
        part->id = values[0];
    part->tool_name = values[1];
    part->arguments = values[2];
    if (part->arguments.type == JS_NONE)
        part->arguments = (struct js_value){.type = JS_OBJECT, .raw = STR("{}")};
    if (!is_of_thought(signature))
        part->signature = signature;
    reading->calls = reading->model;
    return true;
}

static bool
read_model_text(struct gemini_reading *reading, struct js_value at, struct js_value text,
                bool thought, struct js_value signature)
{
    struct chat_part *part;

    if (thought)
        return (text.raw.len == 0 && signature.type != JS_STRING) ||
               add_reasoning(reading, at, text, signature);
    if (is_of_thought(signature) && !add_reasoning(reading, at, chat_literal(""), signature))
        return false;
    if (text.raw.len == 0)
        return true;
    part = chat_part_add(reading->r, &reading->part_end, CHAT_PART_TEXT, at);
    if (part == NULL)
        return chat_no_room(reading->error);
    part->text = text;
    return true;
}

static bool
read_model_part(struct gemini_reading *reading, struct js_value at, const struct js_value *values,
                unsigned data)
{
    struct js_value signature = values[PART_SIGNATURE];

    if (data == PART_TEXT)
        return read_model_text(reading, at, values[data], values[PART_THOUGHT].type == JS_TRUE,
                               signature);
    if (data == PART_CALL)
        return read_call(reading, at, values[data], signature);
    if (data == PART_RESPONSE)
        return chat_refuse(reading->r, values[data], reading->error,
                           "the model does not answer its own calls");
    return chat_refuse(reading->r, values[data], reading->error,
                       "pictures and sound of the model's own cannot be passed on to this model");
}

/* ---- results ---- */

/* What stands in {"output": …} or in the like alone, JS_NONE when it is not such. "name" is the
 * tool's, which the Vercel SDK adds. */
static struct js_value
only_member(struct js_value response, struct str name)
{
    struct js_value key, value, found = {.type = JS_NONE};
    bool alone = true;
    struct js_iter it;

    for (js_iter_init(&it, response); js_next(&it, &key, &value);) {
        if (js_str_eq(key, name) && found.type == JS_NONE)
            found = value;
        else if (!js_str_eq(key, STR("name")) || !str_eq(name, STR("content")))
            alone = false;
    }
    return alone ? found : (struct js_value){.type = JS_NONE};
}

/* The text of JSON, as a string. */
static struct js_value
json_as_text(struct arena *arena, struct js_value json)
{
    struct str text;
    struct buf buf;

    if (json.type == JS_STRING)
        return json;
    buf_init(&buf, arena->limit_bytes);
    chat_write_json_as_text(&buf, json.raw);
    text = gemini_kept(arena, &buf);
    return (struct js_value){
        .type = text.ptr != NULL ? JS_STRING : JS_NONE,
        .escaped = text.ptr != NULL && memchr(text.ptr, '\\', text.len) != NULL,
        .raw = text,
    };
}

static bool
read_response_text(struct gemini_reading *reading, struct chat_part *result,
                   struct chat_part ***end, struct js_value response)
{
    struct js_value error = only_member(response, STR("error")), text;
    struct js_value output = only_member(response, STR("output"));
    struct js_value content = only_member(response, STR("content"));
    struct chat_part *part;

    if (response.type == JS_NONE)
        return true;
    result->is_error = error.type != JS_NONE && error.type != JS_NULL;
    text = json_as_text(reading->r->arena, result->is_error              ? error
                                           : output.type == JS_STRING  ? output
                                           : content.type == JS_STRING ? content
                                                                       : response);
    if (text.type != JS_STRING)
        return chat_no_room(reading->error);
    part = chat_part_add(reading->r, end, CHAT_PART_TEXT, response);
    if (part == NULL)
        return chat_no_room(reading->error);
    part->text = text;
    return true;
}

static bool
read_response_parts(struct gemini_reading *reading, struct chat_part ***end, struct js_value parts)
{
    static const struct str names[] = {{"inlineData", 10}};
    struct js_value key, part, data;
    struct js_iter it;

    if (!codec_want(reading->r, parts, JS_ARRAY, reading->error))
        return false;
    for (js_iter_init(&it, parts); js_next(&it, &key, &part);) {
        gemini_members(part, names, 1, &data);
        if (data.type == JS_NONE)
            return chat_refuse(reading->r, part, reading->error, "must have inlineData");
        if (!read_data(reading, end, part, data, true))
            return false;
    }
    return true;
}

/* Some clients make up ids for calls that had none: then the name says which one is answered. */
static bool
id_is_known(const struct gemini_reading *reading, struct js_value id)
{
    const struct chat_part *p = reading->calls != NULL ? reading->calls->parts : NULL;
    bool all_have = true;

    for (; p != NULL; p = p->next) {
        if (p->kind != CHAT_PART_CALL)
            continue;
        if (p->id.type == JS_STRING && str_eq(p->id.raw, id.raw))
            return true;
        all_have &= p->id.type == JS_STRING;
    }
    return all_have;
}

static bool
read_response(struct gemini_reading *reading, struct chat_part ***results, struct js_value at,
              struct js_value response)
{
    enum { ID, NAME, RESPONSE, PARTS, COUNT };
    static const struct str names[COUNT] = {[ID] = {"id", 2},
                                            [NAME] = {"name", 4},
                                            [RESPONSE] = {"response", 8},
                                            [PARTS] = {"parts", 5}};
    struct chat_request *r = reading->r;
    struct js_value values[COUNT];
    struct chat_part *part, **end;

    gemini_members(response, names, COUNT, values);
    if (!codec_want(r, response, JS_OBJECT, reading->error) ||
        !codec_want(r, values[ID], JS_STRING, reading->error) ||
        !codec_want(r, values[NAME], JS_STRING, reading->error) ||
        !codec_want(r, values[RESPONSE], JS_OBJECT, reading->error))
        return false;
    if (values[NAME].raw.len == 0)
        return chat_refuse(r, response, reading->error, "must have a name");
    part = chat_part_add(r, results, CHAT_PART_RESULT, at);
    if (part == NULL)
        return chat_no_room(reading->error);
    if (values[ID].raw.len > 0 && id_is_known(reading, values[ID]))
        part->id = values[ID];
    part->tool_name = values[NAME];
    end = &part->content;
    return read_response_text(reading, part, &end, values[RESPONSE]) &&
           read_response_parts(reading, &end, values[PARTS]);
}

/* ---- contents ---- */

/* Which of its data a part has; PART_COUNT after a refusal. */
static unsigned
data_of(const struct gemini_reading *reading, struct js_value part, struct js_value *values)
{
    unsigned data = PART_COUNT, count = 0;
    struct chat_request *r = reading->r;

    gemini_members(part, part_names, PART_COUNT, values);
    for (unsigned i = 0; i < PART_DATA_COUNT; i++)
        if (values[i].type != JS_NONE) {
            data = i;
            count++;
        }
    if (part.type == JS_OBJECT && count == 0 &&
        (values[PART_SIGNATURE].type != JS_NONE || values[PART_THOUGHT].type != JS_NONE)) {
        data = PART_TEXT;
        values[data] = chat_literal("");
        count = 1;
    }
    if (count != 1)
        chat_refuse(r, part, reading->error,
                           "must have one of text, inlineData, functionCall, functionResponse");
    else if (data == PART_FILE)
        chat_refuse(r, values[data], reading->error,
                           "files at their provider cannot be passed on to this model");
    else if (data == PART_CODE || data == PART_CODE_RESULT)
        chat_refuse(r, values[data], reading->error,
                           "code that another model has run cannot be passed on to this one");
    else if (codec_want(r, data == PART_TEXT ? values[data] : values[PART_SIGNATURE], JS_STRING,
                        reading->error) &&
             codec_want(r, values[PART_SIGNATURE], JS_STRING, reading->error))
        return data;
    return PART_COUNT;
}

/* The results come first, whatever stood between them: they answer the turn before. */
static bool
read_user(struct gemini_reading *reading, struct js_value content, struct js_value parts)
{
    struct chat_part *results = NULL, *others = NULL, **results_end = &results,
                     **others_end = &others;
    struct chat_message *message;
    struct js_value key, part;
    struct js_iter it;

    for (js_iter_init(&it, parts); js_next(&it, &key, &part);) {
        struct js_value values[PART_COUNT];
        unsigned data = data_of(reading, part, values);
        struct chat_part *added = NULL;

        if (data == PART_COUNT)
            return false;
        if (data == PART_CALL)
            return chat_refuse(reading->r, values[data], reading->error,
                               "only the model calls functions");
        if (data == PART_RESPONSE) {
            if (!read_response(reading, &results_end, part, values[data]))
                return false;
        } else if (data == PART_INLINE) {
            if (!read_data(reading, &others_end, part, values[data], false))
                return false;
        } else if (values[data].raw.len > 0) {
            added = chat_part_add(reading->r, &others_end, CHAT_PART_TEXT, part);
            if (added == NULL)
                return chat_no_room(reading->error);
            added->text = values[data];
        }
    }
    if (results != NULL) {
        message = chat_message_add(reading->r, &reading->end, CHAT_TOOL, content);
        if (message == NULL)
            return chat_no_room(reading->error);
        message->parts = results;
    }
    if (others != NULL || results == NULL) {
        message = chat_message_add(reading->r, &reading->end, CHAT_USER, content);
        if (message == NULL)
            return chat_no_room(reading->error);
        message->parts = others;
    }
    return true;
}

static bool
read_model(struct gemini_reading *reading, struct js_value content, struct js_value parts)
{
    struct js_value key, part;
    struct js_iter it;

    if (reading->model == NULL) {
        reading->model = chat_message_add(reading->r, &reading->end, CHAT_ASSISTANT, content);
        if (reading->model == NULL)
            return chat_no_room(reading->error);
        reading->part_end = &reading->model->parts;
    }
    for (js_iter_init(&it, parts); js_next(&it, &key, &part);) {
        struct js_value values[PART_COUNT];
        unsigned data = data_of(reading, part, values);

        if (data == PART_COUNT || !read_model_part(reading, part, values, data))
            return false;
    }
    return true;
}

bool
gemini_read_content(struct gemini_reading *reading, struct js_value content)
{
    static const struct str names[] = {{"role", 4}, {"parts", 5}};
    struct chat_request *r = reading->r;
    struct js_value values[2];

    gemini_members(content, names, 2, values);
    if (content.type != JS_OBJECT)
        return chat_refuse(r, content, reading->error, "must be an object");
    if (!codec_want(r, values[0], JS_STRING, reading->error) ||
        !codec_want(r, values[1], JS_ARRAY, reading->error))
        return false;
    if (js_str_eq(values[0], STR("model")))
        return read_model(reading, content, values[1]);
    if (values[0].type == JS_STRING && values[0].raw.len > 0 &&
        !js_str_eq(values[0], STR("user")) && !js_str_eq(values[0], STR("function")))
        return chat_refuse(r, values[0], reading->error, "must be \"user\" or \"model\"");
    return model_end(reading) && read_user(reading, content, values[1]);
}

bool
gemini_read_contents_end(struct gemini_reading *reading)
{
    return model_end(reading);
}
