#include "proto/answer.h"

#include "base/js.h"
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

/* What all answers have, and the one member that makes an answer of each endpoint. */
enum {
    NAME_MODEL,
    NAME_ID,
    NAME_USAGE,
    NAME_ERROR,
    NAME_CHOICES,
    NAME_DATA,
    NAME_OUTPUT,
    NAME_CONTENT,
    NAME_INPUT_TOKENS,
    NAME_COUNT
};
static const struct str names[NAME_COUNT] = {
    [NAME_MODEL] = PICK_NAME("model"),
    [NAME_ID] = PICK_NAME("id"),
    [NAME_USAGE] = PICK_NAME("usage"),
    [NAME_ERROR] = PICK_NAME("error"),
    [NAME_CHOICES] = PICK_NAME("choices"),
    [NAME_DATA] = PICK_NAME("data"),
    [NAME_OUTPUT] = PICK_NAME("output"),
    [NAME_CONTENT] = PICK_NAME("content"),
    [NAME_INPUT_TOKENS] = PICK_NAME("input_tokens"),
};

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

/* The member without which this is no answer of the endpoint. */
static unsigned
main_member(enum proto_endpoint endpoint)
{
    switch (endpoint) {
    case ENDPOINT_CHAT:
    case ENDPOINT_COMPLETIONS: return NAME_CHOICES;
    case ENDPOINT_EMBEDDINGS: return NAME_DATA;
    case ENDPOINT_RESPONSES: return NAME_OUTPUT;
    case ENDPOINT_MESSAGES: return NAME_CONTENT;
    case ENDPOINT_COUNT_TOKENS: return NAME_INPUT_TOKENS;
    case ENDPOINT_MODELS_LIST:
    case ENDPOINT_MODEL_GET:
    case ENDPOINT_RECEIPT:
    case ENDPOINT_BALANCE:
    case ENDPOINT_HEALTHZ:
    case ENDPOINT_READYZ:
    case ENDPOINT_COUNT: break;
    }
    ASSERT(proto_is_call(endpoint));
    return NAME_COUNT;
}

/* An answer, whose main member is there. A response that failed is a response all the same: the
 * client finds the error inside. */
static void
read_counts(unsigned member, struct js_value document, const struct js_value values[NAME_COUNT],
            struct answer *out)
{
    struct js_value usage = values[NAME_USAGE];

    switch (member) {
    case NAME_CHOICES:
        out->usage = usage_from_openai(marks_openai_usage(usage, values[NAME_CHOICES]));
        out->output_len = choices_len(values[NAME_CHOICES]);
        break;
    case NAME_DATA:
        out->usage = usage_from_embeddings(usage);
        out->has_output = values[NAME_DATA].raw.len > 2;
        break;
    case NAME_OUTPUT:
        out->usage = usage_from_responses(usage);
        out->output_len = len_of(values[NAME_OUTPUT]);
        break;
    case NAME_CONTENT:
        out->usage = usage_from_anthropic(usage);
        out->output_len = len_of(values[NAME_CONTENT]);
        break;
    case NAME_INPUT_TOKENS: out->usage = usage_from_count_tokens(document); break;
    default: break;
    }
}

void
answer_read(enum proto_endpoint endpoint, struct str body, struct answer *out)
{
    struct js_value document, values[NAME_COUNT];
    unsigned member = main_member(endpoint);
    struct js_error ignored;

    *out = (struct answer){.kind = ANSWER_NOT_JSON};
    if (!js_check(body, &document, &ignored))
        return;
    pick_members(document, names, NAME_COUNT, values);
    if (values[member].type == (member == NAME_INPUT_TOKENS ? JS_NUMBER : JS_ARRAY))
        out->kind = ANSWER_OK;
    else
        out->kind = is_set(values[NAME_ERROR]) ? ANSWER_ERROR : ANSWER_UNKNOWN;
    if (out->kind != ANSWER_OK)
        return;
    read_counts(member, document, values, out);
    out->model = marks_reported(values[NAME_MODEL], NAME_LEN_MAX);
    out->id = marks_reported(values[NAME_ID], NAME_LEN_MAX);
    if (out->output_len > 0) {
        out->has_output = true;
        out->output_estimate = (uint32_t)MIN(out->output_len / 4 + 1, USAGE_COUNT_MAX);
    }
}
