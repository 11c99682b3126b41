#include "proto/gemini_embed.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/jw.h"
#include "base/str.h"
#include "proto/codec_in.h"

#define DIMENSIONS_MAX 65536
#define NUMBER_LEN_MAX 127 /* digits of one number of a vector */

/* ---- requests ---- */

struct embedding {
    struct chat_request r; /* for messages about it */
    struct proto_error *error;
    struct str model;
    uint32_t dimensions;
    struct jw jw;
};

static void
write_model(struct embedding *e, struct str model)
{
    char name[256];
    struct str prefix = STR("models/");

    if (str_starts_with(model, prefix) || model.len > sizeof name - prefix.len) {
        jw_key_str(&e->jw, "model", model);
        return;
    }
    memcpy(name, prefix.ptr, prefix.len);
    memcpy(name + prefix.len, model.ptr, model.len);
    jw_key_str(&e->jw, "model", (struct str){name, prefix.len + model.len});
}

static bool
write_input(struct embedding *e, struct js_value text)
{
    struct jw *jw = &e->jw;

    if (text.type == JS_NUMBER || text.type == JS_ARRAY)
        return chat_refuse(&e->r, text, e->error,
                           "tokens are of another model; this one takes texts");
    if (text.type != JS_STRING)
        return chat_refuse(&e->r, text, e->error, "must be a string");
    if (text.raw.len == 0)
        return chat_refuse(&e->r, text, e->error, "must not be empty");
    jw_object(jw);
    write_model(e, e->model);
    jw_key(jw, "content");
    jw_object(jw);
    jw_key(jw, "parts");
    jw_array(jw);
    jw_object(jw);
    jw_key_js(jw, "text", text);
    jw_object_end(jw);
    jw_array_end(jw);
    jw_object_end(jw);
    if (e->dimensions > 0)
        jw_key_u64(jw, "outputDimensionality", e->dimensions);
    jw_object_end(jw);
    return true;
}

static bool
write_inputs(struct embedding *e, struct js_value input)
{
    struct js_value key, one;
    struct js_iter it;
    bool some = false;

    if (input.type == JS_STRING)
        return write_input(e, input);
    if (input.type == JS_NONE) {
        error_set(e->error, ERROR_BAD_REQUEST, "input", "invalid_value", "input: is required");
        return false;
    }
    if (input.type != JS_ARRAY)
        return chat_refuse(&e->r, input, e->error, "must be a string or a list of strings");
    for (js_iter_init(&it, input); js_next(&it, &key, &one); some = true)
        if (!write_input(e, one))
            return false;
    return some || chat_refuse(&e->r, input, e->error, "must not be empty");
}

bool
gemini_embed_request(struct js_value openai_document, struct str model_plain, struct arena *arena,
                     bool *base64, struct buf *out, struct proto_error *error)
{
    enum { INPUT, DIMENSIONS, FORMAT, COUNT };
    static const struct str names[COUNT] = {[INPUT] = {"input", 5},
                                            [DIMENSIONS] = {"dimensions", 10},
                                            [FORMAT] = {"encoding_format", 15}};
    struct embedding e = {
        .r = {.body = openai_document.raw,
              .document = openai_document,
              .arena = arena,
              .endpoint = ENDPOINT_EMBEDDINGS},
        .error = error,
        .model = model_plain,
    };
    struct js_value values[COUNT];

    *base64 = false;
    if (openai_document.type != JS_OBJECT)
        return chat_refuse(&e.r, openai_document, error, "must be an object");
    codec_members(openai_document, names, COUNT, values);
    if (!codec_want_count(&e.r, values[DIMENSIONS], 1, DIMENSIONS_MAX, &e.dimensions, error))
        return false;
    *base64 = js_str_eq(values[FORMAT], STR("base64"));
    if (values[FORMAT].type != JS_NONE && !*base64 && !js_str_eq(values[FORMAT], STR("float")))
        return chat_refuse(&e.r, values[FORMAT], error, "must be \"float\" or \"base64\"");
    jw_init(&e.jw, out);
    jw_object(&e.jw);
    jw_key(&e.jw, "requests");
    jw_array(&e.jw);
    if (!write_inputs(&e, values[INPUT]))
        return false;
    jw_array_end(&e.jw);
    jw_object_end(&e.jw);
    return out->failed ? chat_no_room(error) : true;
}

/* ---- answers ---- */

/* Bytes on their way into base64: up to two that wait for a third. */
struct base64 {
    struct buf *out;
    uint32_t word;
    unsigned count;
};

static void
base64_flush(struct base64 *b)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char text[4];

    if (b->count == 0)
        return;
    b->word <<= 8 * (3 - b->count);
    for (unsigned i = 0; i < 4; i++)
        text[i] = i <= b->count ? digits[b->word >> (18 - 6 * i) & 63] : '=';
    buf_add(b->out, text, sizeof text);
    b->word = 0;
    b->count = 0;
}

static void
base64_byte(struct base64 *b, uint8_t byte)
{
    b->word = b->word << 8 | byte;
    if (++b->count == 3)
        base64_flush(b);
}

static bool
base64_number(struct base64 *b, struct js_value number)
{
    char text[NUMBER_LEN_MAX + 1];
    uint32_t bits;
    float value;

    if (number.type != JS_NUMBER || number.raw.len > NUMBER_LEN_MAX)
        return false;
    str_copy(number.raw, text, sizeof text);
    value = strtof(text, NULL);
    if (!isfinite(value))
        return false;
    memcpy(&bits, &value, sizeof bits);
    for (unsigned i = 0; i < 4; i++)
        base64_byte(b, (uint8_t)(bits >> 8 * i));
    return true;
}

static bool
write_vector(struct jw *jw, struct js_value values, bool base64)
{
    struct base64 b = {.out = jw->buf};
    struct js_value key, number;
    struct js_iter it;

    if (values.type != JS_ARRAY)
        return false;
    if (!base64) {
        for (js_iter_init(&it, values); js_next(&it, &key, &number);)
            if (number.type != JS_NUMBER)
                return false;
        jw_js(jw, values);
        return true;
    }
    jw_raw(jw, STR("\""));
    for (js_iter_init(&it, values); js_next(&it, &key, &number);)
        if (!base64_number(&b, number))
            return false;
    base64_flush(&b);
    buf_add_char(jw->buf, '"');
    return true;
}

static bool
write_embedding(struct jw *jw, struct js_value embedding, uint32_t index, bool base64)
{
    jw_object(jw);
    jw_key_cstr(jw, "object", "embedding");
    jw_key_u64(jw, "index", index);
    jw_key(jw, "embedding");
    if (!write_vector(jw, js_get(embedding, STR("values")), base64))
        return false;
    jw_object_end(jw);
    return true;
}

static void
write_usage(struct jw *jw, struct js_value metadata)
{
    struct usage usage = usage_from_gemini(metadata);
    uint64_t tokens = (uint64_t)usage.input + usage.cache_read;

    if (usage.state != USAGE_PRESENT)
        return;
    jw_key(jw, "usage");
    jw_object(jw);
    jw_key_u64(jw, "prompt_tokens", tokens);
    jw_key_u64(jw, "total_tokens", tokens);
    jw_object_end(jw);
}

bool
gemini_embed_answer(struct js_value gemini_document, struct str model, bool base64,
                    struct buf *out)
{
    struct js_value list = js_get(gemini_document, STR("embeddings"));
    struct js_value one = js_get(gemini_document, STR("embedding")), key, embedding;
    struct js_iter it;
    struct jw jw;

    if (list.type != JS_ARRAY && one.type != JS_OBJECT)
        return false;
    jw_init(&jw, out);
    jw_object(&jw);
    jw_key_cstr(&jw, "object", "list");
    jw_key(&jw, "data");
    jw_array(&jw);
    if (list.type != JS_ARRAY && !write_embedding(&jw, one, 0, base64))
        return false;
    if (list.type == JS_ARRAY)
        for (js_iter_init(&it, list); js_next(&it, &key, &embedding);)
            if (!write_embedding(&jw, embedding, it.index, base64))
                return false;
    jw_array_end(&jw);
    jw_key_str(&jw, "model", model);
    write_usage(&jw, js_get(gemini_document, STR("usageMetadata")));
    jw_object_end(&jw);
    return !out->failed;
}
