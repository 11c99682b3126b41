#include "proto/answer.h"

#include "base/js.h"
#include "base/str.h"
#include "proto/marks.h"

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
len_of(struct js_value object, struct str name)
{
    struct js_value value = js_get(object, name);

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

static size_t
choices_len(struct js_value choices)
{
    struct js_value key, choice;
    struct js_iter it;
    size_t len = 0;

    for (js_iter_init(&it, choices); js_next(&it, &key, &choice);) {
        struct js_value message = js_get(choice, STR("message"));

        len += len_of(choice, STR("text")) + len_of(message, STR("content")) +
               len_of(message, STR("reasoning_content")) + len_of(message, STR("reasoning")) +
               len_of(message, STR("refusal")) + len_of(message, STR("tool_calls")) +
               len_of(message, STR("function_call")) + len_of(message, STR("audio"));
    }
    return len;
}

static void
read_openai(struct js_value document, struct answer *out)
{
    struct js_value choices = js_get(document, STR("choices"));

    if (choices.type != JS_ARRAY) {
        out->kind = is_set(js_get(document, STR("error"))) ? ANSWER_ERROR : ANSWER_UNKNOWN;
        return;
    }
    out->kind = ANSWER_OK;
    out->usage = usage_from_openai(marks_openai_usage(document));
    out->output_len = choices_len(choices);
}

static void
read_embeddings(struct js_value document, struct answer *out)
{
    struct js_value data = js_get(document, STR("data"));

    if (data.type != JS_ARRAY) {
        out->kind = is_set(js_get(document, STR("error"))) ? ANSWER_ERROR : ANSWER_UNKNOWN;
        return;
    }
    out->kind = ANSWER_OK;
    out->usage = usage_from_embeddings(js_get(document, STR("usage")));
    out->has_output = data.raw.len > 2;
}

/* A response that failed is a response all the same: the client finds the error inside. */
static void
read_responses(struct js_value document, struct answer *out)
{
    if (js_get(document, STR("output")).type != JS_ARRAY) {
        out->kind = is_set(js_get(document, STR("error"))) ? ANSWER_ERROR : ANSWER_UNKNOWN;
        return;
    }
    out->kind = ANSWER_OK;
    out->usage = usage_from_responses(js_get(document, STR("usage")));
    out->output_len = len_of(document, STR("output"));
}

static void
read_messages(struct js_value document, struct answer *out)
{
    if (js_get(document, STR("content")).type != JS_ARRAY) {
        out->kind = is_set(js_get(document, STR("error"))) ? ANSWER_ERROR : ANSWER_UNKNOWN;
        return;
    }
    out->kind = ANSWER_OK;
    out->usage = usage_from_anthropic(js_get(document, STR("usage")));
    out->output_len = len_of(document, STR("content"));
}

static void
read_count_tokens(struct js_value document, struct answer *out)
{
    if (js_get(document, STR("input_tokens")).type == JS_NONE) {
        out->kind = is_set(js_get(document, STR("error"))) ? ANSWER_ERROR : ANSWER_UNKNOWN;
        return;
    }
    out->kind = ANSWER_OK;
    out->usage = usage_from_count_tokens(document);
}

void
answer_read(enum proto_endpoint endpoint, struct str body, struct answer *out)
{
    struct js_value document;
    struct js_error ignored;

    *out = (struct answer){.kind = ANSWER_NOT_JSON};
    if (!js_check(body, &document, &ignored))
        return;
    out->kind = ANSWER_UNKNOWN;
    if (document.type != JS_OBJECT)
        return;
    switch (endpoint) {
    case ENDPOINT_CHAT:
    case ENDPOINT_COMPLETIONS: read_openai(document, out); break;
    case ENDPOINT_EMBEDDINGS: read_embeddings(document, out); break;
    case ENDPOINT_RESPONSES: read_responses(document, out); break;
    case ENDPOINT_MESSAGES: read_messages(document, out); break;
    case ENDPOINT_COUNT_TOKENS: read_count_tokens(document, out); break;
    case ENDPOINT_MODELS_LIST:
    case ENDPOINT_MODEL_GET:
    case ENDPOINT_RECEIPT:
    case ENDPOINT_BALANCE:
    case ENDPOINT_HEALTHZ:
    case ENDPOINT_READYZ:
    case ENDPOINT_COUNT: break;
    }
    if (out->kind != ANSWER_OK)
        return;
    out->model = marks_reported(js_get(document, STR("model")), NAME_LEN_MAX);
    out->id = marks_reported(js_get(document, STR("id")), NAME_LEN_MAX);
    if (out->output_len > 0) {
        out->has_output = true;
        out->output_estimate = (uint32_t)MIN(out->output_len / 4 + 1, USAGE_COUNT_MAX);
    }
}
