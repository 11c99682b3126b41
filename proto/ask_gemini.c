/* What the gateway must know of a request in Gemini's protocol. Its names are written in two ways,
 * as protocol buffers have it: maxOutputTokens and max_output_tokens. */
#include <string.h>

#include "base/js.h"
#include "base/str.h"
#include "proto/ask.h"

#define OUTPUT_CAP_MAX 1000000000u

/* The last one wins, as with the provider. */
static struct js_value
member(struct js_value object, struct str camel, struct str snake)
{
    struct js_value key, value, found = {.type = JS_NONE};
    struct js_iter it;

    if (object.type != JS_OBJECT)
        return found;
    for (js_iter_init(&it, object); js_next(&it, &key, &value);)
        if (js_str_eq(key, camel) || js_str_eq(key, snake))
            found = value;
    if (found.type == JS_NULL)
        found.type = JS_NONE;
    return found;
}

static bool
refuse(const struct ask *ask, struct js_value at, struct proto_error *error, const char *path,
       const char *what)
{
    unsigned line, column;

    js_position(ask->body, (size_t)(at.raw.ptr - ask->body.ptr) - (at.type == JS_STRING), &line,
                &column);
    error_set(error, ERROR_BAD_REQUEST, path, "invalid_value", "%s: %s (line %u, column %u)", path,
              what, line, column);
    return false;
}

static bool
read_model(const struct proto_what *what, struct arena *arena, struct ask *out,
           struct proto_error *error)
{
    char *copy = arena_alloc(arena, what->id.len + 1);

    if (copy == NULL) {
        error_set(error, ERROR_UNAVAILABLE, NULL, NULL, "The gateway is out of memory.");
        return false;
    }
    out->model = proto_unescape(what->id, copy, what->id.len + 1);
    if (out->model.len > 0 && out->model.len <= ASK_MODEL_LEN_MAX)
        return true;
    error_set(error, ERROR_BAD_REQUEST, "model", NULL,
              "model: the name in the path is malformed or too long");
    return false;
}

/* A whole number from 1; absent: otherwise. */
static bool
read_count(const struct ask *ask, struct js_value value, uint32_t max, uint32_t *out,
           struct proto_error *error, const char *path)
{
    uint64_t n;

    if (value.type == JS_NONE)
        return true;
    if (!js_count(value, max, &n) || n == 0)
        return refuse(ask, value, error, path, "must be a whole number from 1");
    *out = (uint32_t)n;
    return true;
}

static bool
read_generate(struct js_value document, struct ask *out, struct proto_error *error)
{
    struct js_value contents = member(document, STR("contents"), STR("contents"));
    struct js_value config = member(document, STR("generationConfig"), STR("generation_config"));
    struct js_value cap = member(config, STR("maxOutputTokens"), STR("max_output_tokens"));

    if (contents.type == JS_NONE) {
        error_set(error, ERROR_BAD_REQUEST, "contents", "missing_required_parameter",
                  "contents: Field required");
        return false;
    }
    if (contents.type != JS_ARRAY && contents.type != JS_OBJECT)
        return refuse(out, contents, error, "contents", "must be a list");
    if (config.type != JS_NONE && config.type != JS_OBJECT)
        return refuse(out, config, error, "generationConfig", "must be an object");
    out->has_output_cap = cap.type != JS_NONE;
    out->stored_input =
        member(document, STR("cachedContent"), STR("cached_content")).type != JS_NONE;
    return read_count(out, cap, OUTPUT_CAP_MAX, &out->output_cap, error,
                      "generationConfig.maxOutputTokens") &&
           read_count(out, member(config, STR("candidateCount"), STR("candidate_count")),
                      ASK_CHOICES_MAX, &out->choice_count, error,
                      "generationConfig.candidateCount");
}

bool
ask_read_gemini(const struct proto_what *what, struct str query, struct str body,
                struct arena *arena, struct ask *out, struct proto_error *error)
{
    struct js_value document;
    struct js_error fault;

    *out = (struct ask){.endpoint = what->endpoint,
                        .body = body,
                        .choice_count = 1,
                        .action = what->action,
                        .stream = proto_gemini_streams(what->action)};
    out->json_array = out->stream && !str_eq(proto_query_get(query, STR("alt")), STR("sse"));
    if (!js_check(body, &document, &fault)) {
        error_set_bad_json(error, body, &fault);
        return false;
    }
    if (document.type != JS_OBJECT) {
        error_set(error, ERROR_BAD_REQUEST, NULL, "invalid_json",
                  "The body must be a JSON object (line 1, column 1)");
        return false;
    }
    if (!read_model(what, arena, out, error))
        return false;
    return what->endpoint != ENDPOINT_GENERATE || read_generate(document, out, error);
}
