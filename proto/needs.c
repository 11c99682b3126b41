/*
 * What a request needs of a model, found by the places that the makers' APIs have for it:
 *
 *     tools     "tools" or "functions" with something in it
 *     vision    a part of a message of the type image_url, input_image or image
 *     audio     a part of the type input_audio or audio; "audio" in "modalities"
 *     JSON      response_format, text.format or output_format of a type that begins with "json"
 *     thinking  "thinking" that is enabled; an effort of reasoning that is stated and not "none"
 *
 * Messages are walked two levels deep: parts of a message, and parts of a tool's result among them.
 */
#include "base/js.h"
#include "base/str.h"
#include "proto/ask.h"
#include "proto/pick.h"

#define MEDIUM_TOKENS 1000u /* an image or a sound comes to about so many */

static void
need(struct ask_needs *out, enum ask_need what)
{
    out->needs |= 1u << what;
}

static bool
has_elements(struct js_value value)
{
    struct js_value key, element;
    struct js_iter it;

    js_iter_init(&it, value);
    return js_is(value, JS_ARRAY) && js_next(&it, &key, &element);
}

/* ---- messages ---- */

static bool
is_any(struct js_value value, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (js_str_eq(value, str_from(words[i])))
            return true;
    return false;
}

/* The parts of a result of a tool, or of a part of a message, are its "content". */
static struct js_value
part_look(struct js_value part, struct ask_needs *out)
{
    static const char *const images[] = {"image_url", "input_image", "image"};
    static const char *const sounds[] = {"input_audio", "audio"};
    struct js_value type = js_get(part, STR("type"));
    bool image = is_any(type, images, COUNT_OF(images));
    bool sound = is_any(type, sounds, COUNT_OF(sounds));

    if (image)
        need(out, ASK_NEED_VISION);
    if (sound)
        need(out, ASK_NEED_AUDIO);
    if (image || sound) {
        out->media_bytes += part.raw.len;
        out->media_count++;
        return (struct js_value){.type = JS_NONE};
    }
    return js_get(part, STR("content"));
}

static void
parts_look(struct js_value parts, struct ask_needs *out)
{
    struct js_value key, part, inner;
    struct js_iter it, inner_it;

    if (!js_is(parts, JS_ARRAY))
        return;
    for (js_iter_init(&it, parts); js_next(&it, &key, &part);) {
        struct js_value content = part_look(part, out);

        if (!js_is(content, JS_ARRAY))
            continue;
        for (js_iter_init(&inner_it, content); js_next(&inner_it, &key, &inner);)
            (void)part_look(inner, out);
    }
}

static void
messages_look(struct js_value messages, struct ask_needs *out)
{
    struct js_value key, message;
    struct js_iter it;

    if (!js_is(messages, JS_ARRAY))
        return;
    /* An element of a list of input may be a part by itself. */
    for (js_iter_init(&it, messages); js_next(&it, &key, &message);)
        parts_look(part_look(message, out), out);
}

/* ---- members ---- */

static void
json_look(struct js_value format, struct ask_needs *out)
{
    struct js_value type = js_get(format, STR("type"));

    if (js_is(type, JS_STRING) && str_starts_with(type.raw, STR("json")))
        need(out, ASK_NEED_JSON);
}

static void
effort_look(struct js_value effort, struct ask_needs *out)
{
    if (js_is(effort, JS_STRING) && !js_str_eq(effort, STR("none")))
        need(out, ASK_NEED_THINKING);
}

static void
modalities_look(struct js_value list, struct ask_needs *out)
{
    struct js_value key, value;
    struct js_iter it;

    if (!js_is(list, JS_ARRAY))
        return;
    for (js_iter_init(&it, list); js_next(&it, &key, &value);)
        if (js_str_eq(value, STR("audio")))
            need(out, ASK_NEED_AUDIO);
}

/* ---- Gemini ---- */

static bool
is_of_kind(struct js_value media_type, struct str kind)
{
    return js_is(media_type, JS_STRING) && str_starts_with(media_type.raw, kind);
}

static void
contents_look(struct js_value contents, struct ask_needs *out)
{
    struct js_value key, content, part, data, type;
    struct js_iter it, parts;

    if (!js_is(contents, JS_ARRAY))
        return;
    for (js_iter_init(&it, contents); js_next(&it, &key, &content);) {
        for (js_iter_init(&parts, js_get(content, STR("parts"))); js_next(&parts, &key, &part);) {
            data = js_get(part, STR("inlineData"));
            if (data.type == JS_NONE)
                data = js_get(part, STR("inline_data"));
            if (data.type != JS_OBJECT)
                continue;
            type = js_get(data, STR("mimeType"));
            if (type.type == JS_NONE)
                type = js_get(data, STR("mime_type"));
            if (is_of_kind(type, STR("image/")))
                need(out, ASK_NEED_VISION);
            else if (is_of_kind(type, STR("audio/")))
                need(out, ASK_NEED_AUDIO);
            out->media_bytes += part.raw.len;
            out->media_count++;
        }
    }
}

static void
config_look(struct js_value config, struct ask_needs *out)
{
    struct js_value thinking = js_get(config, STR("thinkingConfig"));
    struct js_value budget = js_get(thinking, STR("thinkingBudget"));

    if (js_str_eq(js_get(config, STR("responseMimeType")), STR("application/json")))
        need(out, ASK_NEED_JSON);
    if (js_is(js_get(thinking, STR("thinkingLevel")), JS_STRING) ||
        (js_is(budget, JS_NUMBER) && !str_eq(budget.raw, STR("0"))))
        need(out, ASK_NEED_THINKING);
}

static void
member_look(struct js_value key, struct js_value value, struct ask_needs *out)
{
    if (js_str_eq(key, STR("messages")) || js_str_eq(key, STR("input")))
        messages_look(value, out);
    else if ((js_str_eq(key, STR("tools")) || js_str_eq(key, STR("functions"))) &&
             has_elements(value))
        need(out, ASK_NEED_TOOLS);
    else if (js_str_eq(key, STR("response_format")) || js_str_eq(key, STR("output_format")))
        json_look(value, out);
    else if (js_str_eq(key, STR("text")))
        json_look(js_get(value, STR("format")), out);
    else if (js_str_eq(key, STR("modalities")))
        modalities_look(value, out);
    else if (js_str_eq(key, STR("reasoning_effort")))
        effort_look(value, out);
    else if (js_str_eq(key, STR("reasoning")))
        effort_look(js_get(value, STR("effort")), out);
    else if (js_str_eq(key, STR("thinking")) &&
             js_str_eq(js_get(value, STR("type")), STR("enabled")))
        need(out, ASK_NEED_THINKING);
    else if (js_str_eq(key, STR("contents")))
        contents_look(value, out);
    else if (js_str_eq(key, STR("generationConfig")) || js_str_eq(key, STR("generation_config")))
        config_look(value, out);
}

/* Pictures, sound, moderation, ranking: the endpoint says it. */
static void
media_look(const struct ask *ask, struct ask_needs *out)
{
    if (ask->endpoint >= ENDPOINT_SPEECH && ask->endpoint <= ENDPOINT_TRANSLATIONS)
        need(out, ASK_NEED_AUDIO);
    out->media_bytes = ask->media.file_bytes;
    out->media_count = ask->media.file_count;
    out->input_tokens = ask_media_tokens(ask);
}

uint64_t
ask_media_tokens(const struct ask *ask)
{
    size_t text_len = ask->body.len - ask->media.file_bytes;

    if (proto_is_file(ask->endpoint))
        return 0;
    return text_len / ASK_BYTES_PER_TOKEN + 1 + (uint64_t)ask->media.file_count * MEDIUM_TOKENS;
}

void
ask_needs(const struct ask *ask, struct ask_needs *out)
{
    struct js_value key, value;
    struct js_iter it;

    *out = (struct ask_needs){.output_tokens = ask->has_output_cap ? ask->output_cap : 0};
    if (proto_is_media(ask->endpoint)) {
        media_look(ask, out);
        return;
    }
    if (ask->endpoint == ENDPOINT_EMBEDDINGS || ask->endpoint == ENDPOINT_GEMINI_EMBED)
        need(out, ASK_NEED_EMBEDDINGS);
    else
        for (js_iter_init(&it, pick_document(ask->body)); js_next(&it, &key, &value);)
            member_look(key, value, out);
    out->input_tokens = (ask->body.len - out->media_bytes) / ASK_BYTES_PER_TOKEN + 1 +
                        (uint64_t)out->media_count * MEDIUM_TOKENS;
}
