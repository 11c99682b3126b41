/*
 * Every body is read in two steps: the members that matter are picked out of those that the check
 * of the whole text has noted, then each is read by what its endpoint makes of it.
 *
 * Names are compared without case, and one that is right but for its case is refused: there
 * are servers that take "Model" for "model" and let the last one win, so that a body with
 * both would be priced by one and served by the other. Twice the same name is refused for the
 * same reason.
 */
#include "proto/ask.h"

#include <string.h>

#include "base/js.h"
#include "base/str.h"

#define OUTPUT_CAP_MAX 1000000000u

enum field {
    FIELD_MODEL = 0,
    FIELD_STREAM,
    FIELD_STREAM_OPTIONS,
    FIELD_MAX_TOKENS,
    FIELD_MAX_COMPLETION_TOKENS,
    FIELD_MAX_OUTPUT_TOKENS,
    FIELD_N,
    FIELD_BEST_OF,
    FIELD_MESSAGES,
    FIELD_INPUT,
    FIELD_PROMPT,
    FIELD_BACKGROUND,
    FIELD_PREVIOUS_RESPONSE_ID,
    FIELD_CONVERSATION,
    FIELD_STREAM_FORMAT,
    FIELD_QUERY,
    FIELD_DOCUMENTS,
    FIELD_COUNT
};

#define AT(endpoint) (UINT64_C(1) << ENDPOINT_##endpoint)
#define AT_PICTURES (AT(IMAGES) | AT(IMAGE_EDITS))
_Static_assert(ENDPOINT_COUNT <= 64, "a bit an endpoint");

static const struct {
    struct str name;
    uint64_t endpoints; /* where it matters */
} fields[FIELD_COUNT] = {
#define FIELD(literal, where)                                                                      \
    {                                                                                              \
        {(literal), sizeof(literal) - 1}, (where)                                                  \
    }
    [FIELD_MODEL] = FIELD("model", ~UINT64_C(0)),
    [FIELD_STREAM] = FIELD("stream", AT(CHAT) | AT(COMPLETIONS) | AT(RESPONSES) | AT(MESSAGES) |
                                                   AT_PICTURES),
    [FIELD_STREAM_OPTIONS] = FIELD("stream_options", AT(CHAT) | AT(COMPLETIONS)),
    [FIELD_MAX_TOKENS] = FIELD("max_tokens", AT(CHAT) | AT(COMPLETIONS) | AT(MESSAGES)),
    [FIELD_MAX_COMPLETION_TOKENS] = FIELD("max_completion_tokens", AT(CHAT)),
    [FIELD_MAX_OUTPUT_TOKENS] = FIELD("max_output_tokens", AT(RESPONSES)),
    [FIELD_N] = FIELD("n", AT(CHAT) | AT(COMPLETIONS) | AT_PICTURES),
    [FIELD_BEST_OF] = FIELD("best_of", AT(COMPLETIONS)),
    [FIELD_MESSAGES] = FIELD("messages", AT(CHAT) | AT(MESSAGES) | AT(COUNT_TOKENS)),
    [FIELD_INPUT] = FIELD("input", AT(EMBEDDINGS) | AT(RESPONSES) | AT(SPEECH) | AT(MODERATIONS)),
    [FIELD_PROMPT] = FIELD("prompt", AT(COMPLETIONS) | AT(RESPONSES) | AT_PICTURES),
    [FIELD_BACKGROUND] = FIELD("background", AT(RESPONSES)),
    [FIELD_PREVIOUS_RESPONSE_ID] = FIELD("previous_response_id", AT(RESPONSES)),
    [FIELD_CONVERSATION] = FIELD("conversation", AT(RESPONSES)),
    [FIELD_STREAM_FORMAT] = FIELD("stream_format", AT(SPEECH)),
    [FIELD_QUERY] = FIELD("query", AT(RERANK)),
    [FIELD_DOCUMENTS] = FIELD("documents", AT(RERANK)),
#undef FIELD
};

struct reader {
    struct ask *ask;
    struct arena *arena;
    struct proto_error *error;
    struct js_value object;
    struct js_members members;
    unsigned seen;                       /* a bit for each field */
    struct js_value values[FIELD_COUNT]; /* JS_NONE when absent or null */
};

/* Where a value starts in the body; a string's quote included. */
static size_t
offset_of(const struct reader *r, struct js_value value)
{
    const char *start = value.type == JS_STRING ? value.raw.ptr - 1 : value.raw.ptr;

    return (size_t)(start - r->ask->body.ptr);
}

static bool
refuse_at(struct reader *r, struct js_value at, const char *path, const char *what)
{
    unsigned line, column;

    js_position(r->ask->body, offset_of(r, at), &line, &column);
    error_set(r->error, ERROR_BAD_REQUEST, path, "invalid_value", "%s: %s (line %u, column %u)",
              path, what, line, column);
    return false;
}

static bool
refuse_missing(struct reader *r, enum field field)
{
    const char *name = fields[field].name.ptr;

    error_set(r->error, ERROR_BAD_REQUEST, name, "missing_required_parameter", "%s: Field required",
              name);
    return false;
}

/* The one field that a name of this length and first letter can be. */
static enum field
field_candidate(struct str name)
{
    switch (name.len) {
    case 1: return FIELD_N;
    case 5:
        if ((name.ptr[0] | 0x20) == 'm')
            return FIELD_MODEL;
        return (name.ptr[0] | 0x20) == 'q' ? FIELD_QUERY : FIELD_INPUT;
    case 6: return (name.ptr[0] | 0x20) == 's' ? FIELD_STREAM : FIELD_PROMPT;
    case 7: return FIELD_BEST_OF;
    case 8: return FIELD_MESSAGES;
    case 9: return FIELD_DOCUMENTS;
    case 10: return (name.ptr[0] | 0x20) == 'm' ? FIELD_MAX_TOKENS : FIELD_BACKGROUND;
    case 12: return FIELD_CONVERSATION;
    case 13: return FIELD_STREAM_FORMAT;
    case 14: return FIELD_STREAM_OPTIONS;
    case 17: return FIELD_MAX_OUTPUT_TOKENS;
    case 20: return FIELD_PREVIOUS_RESPONSE_ID;
    case 21: return FIELD_MAX_COMPLETION_TOKENS;
    default: return FIELD_COUNT;
    }
}

/* FIELD_COUNT when this member is none of ours. */
static enum field
field_named(const struct reader *r, const struct js_value *key, bool *exact)
{
    /* An escape takes up to six bytes for one of a name of ours: longer is none of ours. */
    char plain[6 * 32];
    struct str name = key->raw;
    enum field field;

    if (key->escaped)
        name = js_unescape(*key, plain, sizeof(plain));
    if (name.ptr == NULL)
        return FIELD_COUNT;
    field = field_candidate(name);
    if (field == FIELD_COUNT || (fields[field].endpoints >> r->ask->endpoint & 1) == 0)
        return FIELD_COUNT;
    *exact = memcmp(fields[field].name.ptr, name.ptr, name.len) == 0;
    return *exact || str_eq_nocase(fields[field].name, name) ? field : FIELD_COUNT;
}

static bool
pick_field(struct reader *r, const struct js_value *key, const struct js_value *value)
{
    bool exact;
    enum field field = field_named(r, key, &exact);

    if (field == FIELD_COUNT)
        return true;
    if (!exact)
        return refuse_at(r, *key, fields[field].name.ptr, "must be written in lower case");
    if (r->seen >> field & 1)
        return refuse_at(r, *key, fields[field].name.ptr, "must not stand twice");
    r->seen |= 1u << field;
    if (value->type != JS_NULL)
        r->values[field] = *value;
    else if (field == FIELD_STREAM_OPTIONS)
        r->ask->usage_range = (struct ask_range){offset_of(r, *value), value->raw.len};
    return true;
}

static bool
pick_fields(struct reader *r)
{
    struct js_value key, value;

    for (size_t i = 0; i < r->members.count; i++) {
        if (!pick_field(r, &r->members.list[i].key, &r->members.list[i].value))
            return false;
    }
    while (js_next(&r->members.rest, &key, &value)) {
        if (!pick_field(r, &key, &value))
            return false;
    }
    return true;
}

/* The service has a model for those who name none: what is priced is what will be asked for. */
static bool
add_model(struct reader *r)
{
    struct ask *ask = r->ask;

    if (r->seen >> FIELD_MODEL & 1) /* null; a second one behind it would be another's to read */
        return refuse_missing(r, FIELD_MODEL);
    ask->model = STR("omni-moderation-latest");
    ask->model_range = (struct ask_range){offset_of(r, r->object) + 1, 0};
    ask->model_added = true;
    return true;
}

static bool
read_model(struct reader *r)
{
    struct js_value value = r->values[FIELD_MODEL];
    struct ask *ask = r->ask;
    struct str text = value.raw;

    if (value.type == JS_NONE && ask->endpoint == ENDPOINT_MODERATIONS)
        return add_model(r);
    if (value.type == JS_NONE)
        return refuse_missing(r, FIELD_MODEL);
    if (value.type != JS_STRING)
        return refuse_at(r, value, "model", "must be a string");
    if (value.raw.len > 6 * ASK_MODEL_LEN_MAX)
        return refuse_at(r, value, "model", "is too long");
    if (value.escaped) {
        char *copy = arena_alloc(r->arena, value.raw.len);

        if (copy == NULL) {
            error_set(r->error, ERROR_UNAVAILABLE, NULL, NULL, "The gateway is out of memory.");
            return false;
        }
        text = js_unescape(value, copy, value.raw.len);
    }
    if (text.len == 0)
        return refuse_at(r, value, "model", "must not be empty");
    if (text.len > ASK_MODEL_LEN_MAX)
        return refuse_at(r, value, "model", "is too long");
    for (size_t i = 0; i < text.len; i++) {
        if ((uint8_t)text.ptr[i] < 0x20 || text.ptr[i] == 0x7f)
            return refuse_at(r, value, "model", "must not hold control characters");
    }
    ask->model = text;
    ask->model_range = (struct ask_range){offset_of(r, value), value.raw.len + 2};
    return true;
}

static bool
read_bool(struct reader *r, enum field field, bool *out)
{
    struct js_value value = r->values[field];

    *out = value.type == JS_TRUE;
    if (value.type == JS_NONE || value.type == JS_TRUE || value.type == JS_FALSE)
        return true;
    return refuse_at(r, value, fields[field].name.ptr, "must be true or false");
}

/* A count from min to max; otherwise when absent. */
struct count_rule {
    enum field field;
    uint32_t min, max, otherwise;
    const char *complaint;
};

static bool
read_count(struct reader *r, const struct count_rule *rule, uint32_t *out)
{
    struct js_value value = r->values[rule->field];
    uint64_t n;

    *out = rule->otherwise;
    if (value.type == JS_NONE)
        return true;
    if (!js_count(value, rule->max, &n) || n < rule->min)
        return refuse_at(r, value, fields[rule->field].name.ptr, rule->complaint);
    *out = (uint32_t)n;
    return true;
}

static bool
read_output_cap(struct reader *r, enum field field)
{
    /* The old completions allow 0 there, to have only the prompt echoed and scored. */
    uint32_t min = r->ask->endpoint == ENDPOINT_COMPLETIONS ? 0 : 1, cap;
    const struct count_rule rule = {field, min, OUTPUT_CAP_MAX, 0,
                                    min == 0 ? "must be a whole number from 0 to 1000000000"
                                             : "must be a whole number from 1 to 1000000000"};

    if (!read_count(r, &rule, &cap))
        return false;
    if (r->values[field].type != JS_NONE) {
        r->ask->has_output_cap = true;
        r->ask->output_cap = MAX(r->ask->output_cap, cap);
    }
    return true;
}

/*
 * Each prompt of a list is answered n times. A list of numbers is one prompt, in tokens. The
 * first element tells which it is; a list of lists is many again.
 */
static bool
count_prompts(struct reader *r, uint32_t *count)
{
    struct js_value value = r->values[FIELD_PROMPT], key, element;
    struct js_iter it;

    *count = 1;
    if (value.type == JS_NONE || value.type == JS_STRING)
        return true;
    if (value.type != JS_ARRAY)
        return refuse_at(r, value, "prompt", "must be a string or a list");
    js_iter_init(&it, value);
    if (!js_next(&it, &key, &element) || element.type == JS_NUMBER)
        return true;
    while (js_next(&it, &key, &element))
        ++*count;
    if (*count > ASK_PROMPTS_MAX)
        return refuse_at(r, value, "prompt", "must not have more than 2048 elements");
    return true;
}

static bool
read_choices(struct reader *r)
{
    static const struct count_rule n_rule = {FIELD_N, 1, ASK_CHOICES_MAX, 1,
                                             "must be a whole number from 1 to 128"};
    static const struct count_rule best_of_rule = {FIELD_BEST_OF, 1, ASK_CHOICES_MAX, 1,
                                                   "must be a whole number from 1 to 128"};
    uint32_t n, best_of, prompts = 1;

    if (!read_count(r, &n_rule, &n) || !read_count(r, &best_of_rule, &best_of))
        return false;
    if (r->ask->endpoint == ENDPOINT_COMPLETIONS && !count_prompts(r, &prompts))
        return false;
    r->ask->choice_count = MAX(n, best_of) * prompts;
    return true;
}

/* Finds out where include_usage has to go. Only for streams of chat and completions. */
static bool
read_stream_options(struct reader *r)
{
    struct js_value options = r->values[FIELD_STREAM_OPTIONS], key, value, include;
    struct ask *ask = r->ask;
    struct js_iter it;

    if (options.type == JS_NONE) {
        ask->usage_place = ask->usage_range.len > 0 ? ASK_USAGE_NULL : ASK_USAGE_NO_OPTIONS;
        if (ask->usage_place == ASK_USAGE_NO_OPTIONS)
            ask->usage_range = (struct ask_range){offset_of(r, r->object) + 1, 0};
        return true;
    }
    if (options.type != JS_OBJECT)
        return refuse_at(r, options, "stream_options", "must be an object");
    include.type = JS_NONE;
    for (js_iter_init(&it, options); js_next(&it, &key, &value);) {
        if (!js_str_eq(key, STR("include_usage")))
            continue;
        if (include.type != JS_NONE)
            return refuse_at(r, key, "stream_options.include_usage", "must not stand twice");
        include = value;
    }
    switch (include.type) {
    case JS_TRUE: ask->usage_asked = true; return true;
    case JS_NONE:
        ask->usage_place = it.index == UINT32_MAX ? ASK_USAGE_EMPTY : ASK_USAGE_NO_MEMBER;
        ask->usage_range = (struct ask_range){offset_of(r, options) + 1, 0};
        return true;
    case JS_FALSE:
    case JS_NULL:
        ask->usage_place = ASK_USAGE_FALSE;
        ask->usage_range = (struct ask_range){offset_of(r, include), include.raw.len};
        return true;
    case JS_NUMBER:
    case JS_STRING:
    case JS_ARRAY:
    case JS_OBJECT: break;
    }
    return refuse_at(r, include, "stream_options.include_usage", "must be true or false");
}

static bool
read_messages(struct reader *r)
{
    struct js_value value = r->values[FIELD_MESSAGES];

    if (value.type == JS_NONE)
        return refuse_missing(r, FIELD_MESSAGES);
    if (value.type != JS_ARRAY)
        return refuse_at(r, value, "messages", "must be a list");
    return true;
}

static bool
read_input(struct reader *r, bool required)
{
    struct js_value value = r->values[FIELD_INPUT];

    if (value.type == JS_NONE)
        return !required || refuse_missing(r, FIELD_INPUT);
    if (value.type != JS_STRING && value.type != JS_ARRAY)
        return refuse_at(r, value, "input", "must be a string or a list");
    return true;
}

static bool
read_chat(struct reader *r)
{
    if (!read_messages(r) || !read_output_cap(r, FIELD_MAX_TOKENS) ||
        !read_output_cap(r, FIELD_MAX_COMPLETION_TOKENS) || !read_choices(r))
        return false;
    return !r->ask->stream || read_stream_options(r);
}

static bool
read_completions(struct reader *r)
{
    if (!read_output_cap(r, FIELD_MAX_TOKENS) || !read_choices(r))
        return false;
    return !r->ask->stream || read_stream_options(r);
}

static bool
read_responses(struct reader *r)
{
    bool background;

    r->ask->stored_input = r->values[FIELD_PROMPT].type != JS_NONE ||
                           r->values[FIELD_PREVIOUS_RESPONSE_ID].type != JS_NONE ||
                           r->values[FIELD_CONVERSATION].type != JS_NONE;
    if (!read_input(r, !r->ask->stored_input) || !read_output_cap(r, FIELD_MAX_OUTPUT_TOKENS) ||
        !read_bool(r, FIELD_BACKGROUND, &background))
        return false;
    /* Its answer comes before its work, so nobody would ever see what it used. */
    if (background)
        return refuse_at(r, r->values[FIELD_BACKGROUND], "background",
                         "is not supported by this gateway");
    return true;
}

static bool
read_anthropic(struct reader *r)
{
    if (!read_messages(r))
        return false;
    if (r->ask->endpoint == ENDPOINT_COUNT_TOKENS)
        return true;
    if (r->values[FIELD_MAX_TOKENS].type == JS_NONE)
        return refuse_missing(r, FIELD_MAX_TOKENS);
    return read_output_cap(r, FIELD_MAX_TOKENS);
}

static bool
read_pictures(struct reader *r)
{
    static const struct count_rule n_rule = {FIELD_N, 1, ASK_CHOICES_MAX, 1,
                                             "must be a whole number from 1 to 128"};
    struct js_value prompt = r->values[FIELD_PROMPT];

    if (prompt.type == JS_NONE)
        return refuse_missing(r, FIELD_PROMPT);
    if (prompt.type != JS_STRING)
        return refuse_at(r, prompt, "prompt", "must be a string");
    return read_count(r, &n_rule, &r->ask->choice_count);
}

/* Code points of a string, as it is read by those who count them: an escape is one, and so is a
 * pair of surrogates. */
static uint32_t
count_characters(struct js_value text)
{
    size_t count = 0;

    for (size_t i = 0; i < text.raw.len; i++) {
        const char *at = text.raw.ptr + i;

        if (((uint8_t)*at & 0xc0) == 0x80)
            continue;
        count++;
        if (*at != '\\')
            continue;
        i += at[1] == 'u' ? 5 : 1;
        if (at[1] == 'u' && (at[2] | 0x20) == 'd' && strchr("cdefCDEF", at[3]) != NULL)
            count--; /* the second of a pair */
    }
    return (uint32_t)MIN(count, (size_t)UINT32_MAX);
}

static bool
read_speech(struct reader *r)
{
    struct js_value input = r->values[FIELD_INPUT], format = r->values[FIELD_STREAM_FORMAT];

    if (input.type == JS_NONE)
        return refuse_missing(r, FIELD_INPUT);
    if (input.type != JS_STRING)
        return refuse_at(r, input, "input", "must be a string");
    r->ask->media.characters = count_characters(input);
    r->ask->stream = js_str_eq(format, STR("sse"));
    r->ask->media.bytes = !r->ask->stream;
    if (format.type == JS_NONE || r->ask->stream || js_str_eq(format, STR("audio")))
        return true;
    return refuse_at(r, format, "stream_format", "must be 'audio' or 'sse'");
}

static bool
read_rerank(struct reader *r)
{
    struct js_value documents = r->values[FIELD_DOCUMENTS], key, document;
    struct js_iter it;

    if (r->values[FIELD_QUERY].type == JS_NONE)
        return refuse_missing(r, FIELD_QUERY);
    if (documents.type == JS_NONE)
        return refuse_missing(r, FIELD_DOCUMENTS);
    if (documents.type != JS_ARRAY)
        return refuse_at(r, documents, "documents", "must be a list");
    for (js_iter_init(&it, documents); js_next(&it, &key, &document);)
        r->ask->media.documents++;
    return true;
}

static bool
read_endpoint(struct reader *r)
{
    switch (r->ask->endpoint) {
    case ENDPOINT_CHAT: return read_chat(r);
    case ENDPOINT_COMPLETIONS: return read_completions(r);
    case ENDPOINT_EMBEDDINGS: return read_input(r, true);
    case ENDPOINT_RESPONSES: return read_responses(r);
    case ENDPOINT_MESSAGES:
    case ENDPOINT_COUNT_TOKENS: return read_anthropic(r);
    case ENDPOINT_IMAGES:
    case ENDPOINT_IMAGE_EDITS: return read_pictures(r);
    case ENDPOINT_SPEECH: return read_speech(r);
    case ENDPOINT_MODERATIONS: return read_input(r, true);
    case ENDPOINT_RERANK: return read_rerank(r);
    case ENDPOINT_TRANSCRIPTIONS: /* ask_read_form()'s */
    case ENDPOINT_TRANSLATIONS:
    case ENDPOINT_FILE_UPLOAD: /* ask_read_file()'s */
    case ENDPOINT_FILES:
    case ENDPOINT_FILE:
    case ENDPOINT_FILE_CONTENT:
    case ENDPOINT_FILE_DELETE:
    case ENDPOINT_BATCH_CREATE:
    case ENDPOINT_BATCHES:
    case ENDPOINT_BATCH:
    case ENDPOINT_BATCH_CANCEL:
    case ENDPOINT_MODELS_LIST:
    case ENDPOINT_MODEL_GET:
    case ENDPOINT_RECEIPT:
    case ENDPOINT_BALANCE:
    case ENDPOINT_HEALTHZ:
    case ENDPOINT_READYZ:
    case ENDPOINT_GENERATE: /* ask_read_gemini()'s */
    case ENDPOINT_GEMINI_COUNT:
    case ENDPOINT_GEMINI_EMBED:
    case ENDPOINT_GEMINI_MODELS:
    case ENDPOINT_GEMINI_MODEL:
    case ENDPOINT_REALTIME: /* realtime_ask()'s */
    case ENDPOINT_COUNT: break;
    }
    ASSERT(proto_is_call(r->ask->endpoint));
    return false;
}

bool
ask_read(enum proto_endpoint endpoint, struct str body, struct arena *arena, struct ask *out,
         struct proto_error *error)
{
    struct js_error fault;
    struct reader r;

    r.ask = out;
    r.arena = arena;
    r.error = error;
    r.seen = 0;
    memset(r.values, 0, sizeof(r.values)); /* not the members, which are many */
    *out = (struct ask){.endpoint = endpoint, .body = body, .choice_count = 1};
    if (!js_check_members(body, &r.object, &r.members, &fault)) {
        error_set_bad_json(error, body, &fault);
        return false;
    }
    if (r.object.type != JS_OBJECT) {
        error_set(error, ERROR_BAD_REQUEST, NULL, "invalid_json",
                  "The body must be a JSON object (line 1, column 1)");
        return false;
    }
    return pick_fields(&r) && read_model(&r) && read_bool(&r, FIELD_STREAM, &out->stream) &&
           read_endpoint(&r);
}
