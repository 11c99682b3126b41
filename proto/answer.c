#include "proto/answer.h"

#include <string.h>

#include "base/str.h"
#include "proto/marks.h"
#include "proto/pick.h"

const char *const answer_kind_name[ANSWER_KIND_COUNT] = {
    [ANSWER_OK] = "ok",
    [ANSWER_ERROR] = "error",
    [ANSWER_UNKNOWN] = "unknown",
    [ANSWER_NOT_JSON] = "not-json",
};

#define NAME_LEN_MAX 128

static bool
is_set(struct js_value value)
{
    return value.type == JS_OBJECT || value.type == JS_STRING;
}

/* Bytes of a member that holds something generated. */
static size_t
len_of(struct js_value value)
{
    switch (value.type) {
    case JS_STRING: return value.raw.len;
    case JS_ARRAY:
    case JS_OBJECT: return value.raw.len - 2;
    case JS_NONE:
    case JS_NULL:
    case JS_FALSE:
    case JS_TRUE:
    case JS_NUMBER: break;
    }
    return 0;
}

/* Of a list of items or blocks, without those that the provider made: its searches, what its tools
 * found. */
static size_t
items_len(struct js_value items)
{
    static const char *const made[] = {"web_search_call",  "file_search_call", "mcp_list_tools",
                                       "mcp_call",         "code_interpreter_call",
                                       "image_generation_call"};
    struct js_value key, item;
    struct js_iter it;
    size_t len = len_of(items);

    for (js_iter_init(&it, items); js_next(&it, &key, &item);) {
        struct js_value type = js_get(item, STR("type"));
        bool not_output = js_is(type, JS_STRING) && str_ends_with(type.raw, STR("_tool_result"));

        for (size_t i = 0; i < COUNT_OF(made); i++)
            not_output |= js_str_eq(type, str_from(made[i]));
        if (not_output)
            len -= MIN(item.raw.len, len);
    }
    return len;
}

static size_t
choices_len(struct js_value choices)
{
    static const struct str choice_names[] = {PICK_NAME("message"), PICK_NAME("text")};
    static const struct str generated[] = {
        PICK_NAME("content"), PICK_NAME("reasoning_content"), PICK_NAME("reasoning"),
        PICK_NAME("refusal"), PICK_NAME("tool_calls"),        PICK_NAME("function_call"),
        PICK_NAME("audio"),
    };
    struct js_value key, choice, parts[2], values[COUNT_OF(generated)];
    struct js_iter it;
    size_t len = 0;

    for (js_iter_init(&it, choices); js_next(&it, &key, &choice);) {
        pick_members(choice, choice_names, 2, parts);
        pick_members(parts[0], generated, COUNT_OF(generated), values);
        len += len_of(parts[1]);
        for (size_t i = 0; i < COUNT_OF(generated); i++)
            len += len_of(values[i]);
    }
    return len;
}

/* The members that matter: what all answers have, and the one that makes an answer of each
 * endpoint. JS_NONE when absent. */
struct members {
    struct js_value model, id, usage, error, content, end, service;
};

static struct str
content_name(enum proto_endpoint endpoint)
{
    switch (endpoint) {
    case ENDPOINT_CHAT:
    case ENDPOINT_COMPLETIONS: return STR("choices");
    case ENDPOINT_EMBEDDINGS: return STR("data");
    case ENDPOINT_RESPONSES: return STR("output");
    case ENDPOINT_MESSAGES: return STR("content");
    case ENDPOINT_COUNT_TOKENS: return STR("input_tokens");
    case ENDPOINT_GENERATE: return STR("candidates");
    case ENDPOINT_GEMINI_COUNT: return STR("totalTokens");
    case ENDPOINT_GEMINI_EMBED: return STR("embeddings");
    case ENDPOINT_IMAGES:
    case ENDPOINT_IMAGE_EDITS: return STR("data");
    case ENDPOINT_TRANSCRIPTIONS:
    case ENDPOINT_TRANSLATIONS: return STR("text");
    case ENDPOINT_MODERATIONS:
    case ENDPOINT_RERANK: return STR("results");
    case ENDPOINT_FILE_UPLOAD:
    case ENDPOINT_FILES:
    case ENDPOINT_FILE:
    case ENDPOINT_FILE_CONTENT:
    case ENDPOINT_FILE_DELETE:
    case ENDPOINT_BATCH_CREATE:
    case ENDPOINT_BATCHES:
    case ENDPOINT_BATCH:
    case ENDPOINT_BATCH_CANCEL: return STR("object");
    case ENDPOINT_SPEECH: return STR("audio"); /* it has none as JSON: only errors come so */
    case ENDPOINT_GEMINI_MODELS:
    case ENDPOINT_GEMINI_MODEL:
    case ENDPOINT_REALTIME: /* whose answer is a session */
    case ENDPOINT_MODELS_LIST:
    case ENDPOINT_MODEL_GET:
    case ENDPOINT_RECEIPT:
    case ENDPOINT_BALANCE:
    case ENDPOINT_HEALTHZ:
    case ENDPOINT_READYZ:
    case ENDPOINT_COUNT: break;
    }
    ASSERT(proto_is_call(endpoint));
    return STR_NONE;
}

/* Where the member of this name goes; NULL when it is none of ours. */
static struct js_value *
gemini_place_of(struct members *m, struct str content, struct str name)
{
    if (str_eq(name, content) || str_eq(name, STR("embedding")))
        return &m->content;
    if (str_eq(name, STR("modelVersion")))
        return &m->model;
    if (str_eq(name, STR("responseId")))
        return &m->id;
    if (str_eq(name, STR("usageMetadata")))
        return &m->usage;
    if (str_eq(name, STR("error")))
        return &m->error;
    return str_eq(name, STR("promptFeedback")) ? &m->end : NULL;
}

static struct js_value *
place_of(struct members *m, struct str content, struct str name)
{
    if (name.len == 2 && memcmp(name.ptr, "id", 2) == 0)
        return &m->id;
    if (name.len == 5) {
        if (memcmp(name.ptr, "model", 5) == 0)
            return &m->model;
        if (memcmp(name.ptr, "usage", 5) == 0)
            return &m->usage;
        if (memcmp(name.ptr, "error", 5) == 0)
            return &m->error;
    }
    if (str_eq(name, content))
        return &m->content;
    if (str_eq(name, STR("service_tier")))
        return &m->service;
    return str_eq(name, STR("status")) || str_eq(name, STR("stop_reason")) ? &m->end : NULL;
}

/* The first of a name counts. */
static void
pick_member(struct members *m, enum proto_endpoint endpoint, const struct js_value *key,
            const struct js_value *value)
{
    const struct str content = content_name(endpoint);
    char plain[6 * 16]; /* six bytes an escape, and no name of ours is longer than 16 */
    struct str name = key->escaped ? js_unescape(*key, plain, sizeof(plain)) : key->raw;
    struct js_value *place = proto_of(endpoint) == PROTO_GEMINI
                                 ? gemini_place_of(m, content, name)
                                 : place_of(m, content, name);

    if (place != NULL && place->type == JS_NONE)
        *place = *value;
}

static struct usage
with_searches(struct usage usage, struct js_value items)
{
    if (usage.state == USAGE_PRESENT)
        usage.searches = MAX(usage.searches, usage_searches_in(items));
    return usage;
}

static struct usage
usage_of(enum proto_endpoint endpoint, const struct members *m, struct js_value document)
{
    switch (endpoint) {
    case ENDPOINT_EMBEDDINGS: return usage_from_embeddings(m->usage);
    case ENDPOINT_RESPONSES: return with_searches(usage_from_responses(m->usage), m->content);
    case ENDPOINT_MESSAGES: return usage_from_anthropic(m->usage);
    case ENDPOINT_COUNT_TOKENS: return usage_from_count_tokens(document, STR("input_tokens"));
    case ENDPOINT_GEMINI_COUNT: return usage_from_count_tokens(document, STR("totalTokens"));
    case ENDPOINT_GENERATE:
    case ENDPOINT_GEMINI_EMBED: return usage_from_gemini(m->usage);
    case ENDPOINT_IMAGES:
    case ENDPOINT_IMAGE_EDITS: return usage_from_images(m->usage);
    case ENDPOINT_TRANSCRIPTIONS:
    case ENDPOINT_TRANSLATIONS: return usage_from_sound(m->usage, document);
    case ENDPOINT_MODERATIONS:
    case ENDPOINT_RERANK: return usage_from_ranking(m->usage, document);
    case ENDPOINT_FILE_UPLOAD:
    case ENDPOINT_FILES:
    case ENDPOINT_FILE:
    case ENDPOINT_FILE_CONTENT:
    case ENDPOINT_FILE_DELETE:
    case ENDPOINT_BATCH_CREATE:
    case ENDPOINT_BATCHES:
    case ENDPOINT_BATCH:
    case ENDPOINT_BATCH_CANCEL: return (struct usage){.state = USAGE_ABSENT};
    default: return usage_from_openai(marks_openai_usage(m->usage, m->content));
    }
}

static bool
is_answer(enum proto_endpoint endpoint, const struct members *m)
{
    if (endpoint == ENDPOINT_COUNT_TOKENS || endpoint == ENDPOINT_GEMINI_COUNT)
        return m->content.type == JS_NUMBER;
    if (endpoint == ENDPOINT_TRANSCRIPTIONS || endpoint == ENDPOINT_TRANSLATIONS ||
        proto_is_file(endpoint))
        return m->content.type == JS_STRING;
    if (endpoint == ENDPOINT_GEMINI_EMBED && m->content.type == JS_OBJECT)
        return true; /* of one text */
    /* A prompt that was blocked has no candidates. */
    return m->content.type == JS_ARRAY ||
           (endpoint == ENDPOINT_GENERATE && m->end.type == JS_OBJECT && !is_set(m->error));
}

/* A response that failed is a response all the same: the client finds the error inside. */
void
answer_read(enum proto_endpoint endpoint, struct str body, struct answer *out)
{
    struct js_value document, key, value;
    struct js_members all;
    struct js_error ignored;
    struct members m;

    *out = (struct answer){.kind = ANSWER_NOT_JSON, .endpoint = endpoint};
    if (!js_check_lenient(body, &document, &all, &ignored))
        return;
    memset(&m, 0, sizeof(m));
    for (size_t i = 0; i < all.count; i++)
        pick_member(&m, endpoint, &all.list[i].key, &all.list[i].value);
    while (js_next(&all.rest, &key, &value))
        pick_member(&m, endpoint, &key, &value);
    if (!is_answer(endpoint, &m)) {
        out->kind = is_set(m.error) ? ANSWER_ERROR : ANSWER_UNKNOWN;
        return;
    }
    out->kind = ANSWER_OK;
    out->usage = usage_of(endpoint, &m, document);
    out->model = marks_reported(m.model, NAME_LEN_MAX);
    out->id = marks_reported(m.id, NAME_LEN_MAX);
    out->service = marks_reported(endpoint == ENDPOINT_MESSAGES
                                      ? js_get(m.usage, STR("service_tier"))
                                      : m.service,
                                  NAME_LEN_MAX);
    out->content = m.content;
    out->end = m.end;
}

enum content
answer_content(const struct answer *answer)
{
    struct js_value made = answer->content;
    bool any = false;
    enum content end = CONTENT_NONE;

    if (answer->usage.state == USAGE_PRESENT && answer->usage.output > 0)
        return CONTENT_SOME;
    switch (answer->endpoint) {
    case ENDPOINT_CHAT:
    case ENDPOINT_COMPLETIONS:
        any = content_in_choices(made);
        end = content_choices_end(made);
        break;
    case ENDPOINT_RESPONSES:
        any = content_in_items(made);
        end = content_end(answer->end);
        break;
    case ENDPOINT_MESSAGES:
        any = content_in_blocks(made);
        end = content_end(answer->end);
        break;
    case ENDPOINT_GENERATE:
        any = content_in_candidates(made);
        end = content_candidates_end(made, answer->end);
        break;
    case ENDPOINT_EMBEDDINGS:
    case ENDPOINT_IMAGES:
    case ENDPOINT_IMAGE_EDITS:
    case ENDPOINT_MODERATIONS:
    case ENDPOINT_GEMINI_EMBED: any = len_of(made) > 0; break;
    default: any = true; break;
    }
    return any ? CONTENT_SOME : end;
}

static uint32_t
estimate_of(size_t len)
{
    return len == 0 ? 0 : (uint32_t)MIN(len / 4 + 1, USAGE_COUNT_MAX);
}

/* Their bytes say nothing of how many tokens they are. */
static bool
is_pictures(enum proto_endpoint endpoint)
{
    return endpoint == ENDPOINT_IMAGES || endpoint == ENDPOINT_IMAGE_EDITS;
}

uint32_t
answer_output_max(const struct answer *answer)
{
    if (!proto_has_output(answer->endpoint) || is_pictures(answer->endpoint))
        return 0;
    return estimate_of(answer->content.raw.len);
}

struct answer_output
answer_output(const struct answer *answer)
{
    struct answer_output out = {.any = false};

    switch (answer->endpoint) {
    case ENDPOINT_CHAT:
    case ENDPOINT_COMPLETIONS: out.len = choices_len(answer->content); break;
    case ENDPOINT_RESPONSES:
    case ENDPOINT_MESSAGES: out.len = items_len(answer->content); break;
    case ENDPOINT_GENERATE:
    case ENDPOINT_TRANSCRIPTIONS:
    case ENDPOINT_TRANSLATIONS: out.len = len_of(answer->content); break;
    case ENDPOINT_IMAGES:
    case ENDPOINT_IMAGE_EDITS:
    case ENDPOINT_MODERATIONS:
    case ENDPOINT_RERANK:
    case ENDPOINT_GEMINI_EMBED:
    case ENDPOINT_EMBEDDINGS: out.any = answer->content.raw.len > 2; break;
    default: break;
    }
    out.any |= out.len > 0;
    out.estimate = estimate_of(out.len);
    ASSERT_SLOW(out.estimate <= answer_output_max(answer));
    return out;
}
