/*
 * A member that matters may stand once, and in lower case: see ask.c for why. Lines end in LF; a CR
 * before it is white space to JSON.
 */
#include "proto/batch.h"

#include <string.h>

#include "base/js.h"
#include "base/str.h"

#define TEXT(literal)                                                                              \
    {                                                                                              \
        (literal), sizeof(literal) - 1                                                             \
    }

static const struct {
    struct str path;
    enum proto_endpoint endpoint;
} endpoints[] = {
    {TEXT("/v1/chat/completions"), ENDPOINT_CHAT},
    {TEXT("/v1/responses"), ENDPOINT_RESPONSES},
    {TEXT("/v1/embeddings"), ENDPOINT_EMBEDDINGS},
    {TEXT("/v1/completions"), ENDPOINT_COMPLETIONS},
    {TEXT("/v1/moderations"), ENDPOINT_MODERATIONS},
};
#define ENDPOINTS_TEXT                                                                             \
    "/v1/chat/completions, /v1/responses, /v1/embeddings, /v1/completions, /v1/moderations"

bool
batch_endpoint(struct str path, enum proto_endpoint *out)
{
    for (size_t i = 0; i < COUNT_OF(endpoints); i++) {
        if (!str_eq(endpoints[i].path, path))
            continue;
        *out = endpoints[i].endpoint;
        return true;
    }
    return false;
}

struct str
batch_path(enum proto_endpoint endpoint)
{
    for (size_t i = 0; i < COUNT_OF(endpoints); i++)
        if (endpoints[i].endpoint == endpoint)
            return endpoints[i].path;
    return STR_NONE;
}

/* ---- members ---- */

enum pick { PICK_GOOD = 0, PICK_TWICE, PICK_CASE };

/* The members of these names; JS_NONE where one is not there. *at: which one is at fault. */
static enum pick
pick_once(struct js_value object, const struct str *names, size_t count, struct js_value *values,
          size_t *at)
{
    struct js_value key, value;
    struct js_iter it;

    for (size_t i = 0; i < count; i++)
        values[i] = (struct js_value){.type = JS_NONE};
    for (js_iter_init(&it, object); js_next(&it, &key, &value);) {
        char plain[6 * 32]; /* six bytes an escape, and no name of ours is longer */
        struct str name = key.escaped ? js_unescape(key, plain, sizeof plain) : key.raw;

        for (size_t i = 0; i < count; i++) {
            if (name.ptr == NULL || !str_eq_nocase(name, names[i]))
                continue;
            *at = i;
            if (!str_eq(name, names[i]))
                return PICK_CASE;
            if (values[i].type != JS_NONE)
                return PICK_TWICE;
            values[i] = value;
        }
    }
    return PICK_GOOD;
}

static const char *
pick_text(enum pick pick)
{
    return pick == PICK_TWICE ? "must not stand twice" : "must be written in lower case";
}

/* ---- a line ---- */

enum { CUSTOM_ID = 0, METHOD, URL, BODY, MEMBER_COUNT };
static const struct str member_names[MEMBER_COUNT] = {
    [CUSTOM_ID] = TEXT("custom_id"), [METHOD] = TEXT("method"),
    [URL] = TEXT("url"),             [BODY] = TEXT("body"),
};
static const struct str model_name[] = {TEXT("model")};

struct reader {
    struct batch_lines *out;
    struct proto_error *error;
    uint32_t line; /* from 1 */
};

static bool
refuse(const struct reader *r, const char *what)
{
    error_set(r->error, ERROR_BAD_REQUEST, "file", "invalid_batch",
              "turnpike: line %u of the file: %s", r->line, what);
    return false;
}

static bool
refuse_member(const struct reader *r, struct str name, const char *what)
{
    error_set(r->error, ERROR_BAD_REQUEST, "file", "invalid_batch",
              "turnpike: line %u of the file: %.*s %s", r->line, STR_ARGS(name), what);
    return false;
}

static bool
refuse_value(const struct reader *r, const char *name, struct str value, const char *what)
{
    error_set(r->error, ERROR_BAD_REQUEST, "file", "invalid_batch",
              "turnpike: line %u of the file: %s '%.*s' %s", r->line, name,
              (int)MIN(value.len, (size_t)64), value.ptr, what);
    return false;
}

static bool
read_custom_id(const struct reader *r, struct js_value value)
{
    if (value.type != JS_STRING || value.raw.len == 0)
        return refuse(r, "custom_id must be a string that is not empty");
    return value.raw.len <= BATCH_ID_LEN_MAX || refuse(r, "custom_id is too long");
}

/* What is written with escapes is none of these: they need none, and no reader is to differ. */
static bool
read_url(const struct reader *r, struct js_value value)
{
    enum proto_endpoint endpoint;

    if (value.type != JS_STRING)
        return refuse(r, "url must be a string");
    if (value.escaped || !batch_endpoint(value.raw, &endpoint))
        return refuse_value(r, "url", value.raw, "cannot be batched; one of " ENDPOINTS_TEXT);
    if (r->line > 1 && endpoint != r->out->endpoint)
        return refuse_value(r, "url", value.raw, "is another than line 1 has; a file is for one");
    r->out->endpoint = endpoint;
    return true;
}

static bool
read_model(const struct reader *r, struct js_value value)
{
    if (value.type != JS_STRING || value.raw.len == 0)
        return refuse(r, "body.model must be a string that is not empty");
    if (value.escaped)
        return refuse(r, "body.model must be written without escapes");
    if (value.raw.len > BATCH_MODEL_LEN_MAX)
        return refuse(r, "body.model is too long");
    if (r->line > 1 && !str_eq(value.raw, r->out->model))
        return refuse_value(r, "body.model", value.raw,
                            "is another than line 1 has; a file is for one model");
    r->out->model = value.raw;
    return true;
}

static bool
read_request(const struct reader *r, struct js_value body)
{
    struct js_value model;
    enum pick pick;
    size_t at;

    if (body.type != JS_OBJECT)
        return refuse(r, "body must be an object");
    pick = pick_once(body, model_name, 1, &model, &at);
    if (pick != PICK_GOOD)
        return refuse_member(r, STR("body.model"), pick_text(pick));
    return read_model(r, model);
}

static bool
read_line(const struct reader *r, struct str line)
{
    struct js_value object, values[MEMBER_COUNT];
    struct js_error err;
    enum pick pick;
    size_t at;

    if (!js_check(line, &object, &err)) {
        error_set(r->error, ERROR_BAD_REQUEST, "file", "invalid_batch",
                  "turnpike: line %u of the file is not valid JSON: %s (column %zu)", r->line,
                  err.what, err.offset + 1);
        return false;
    }
    if (object.type != JS_OBJECT)
        return refuse(r, "must be a JSON object");
    pick = pick_once(object, member_names, MEMBER_COUNT, values, &at);
    if (pick != PICK_GOOD)
        return refuse_member(r, member_names[at], pick_text(pick));
    if (!read_custom_id(r, values[CUSTOM_ID]))
        return false;
    if (values[METHOD].escaped || !js_str_eq(values[METHOD], STR("POST")))
        return refuse(r, "method must be \"POST\"");
    return read_url(r, values[URL]) && read_request(r, values[BODY]);
}

static bool
is_blank(struct str line)
{
    for (size_t i = 0; i < line.len; i++)
        if (line.ptr[i] != ' ' && line.ptr[i] != '\t' && line.ptr[i] != '\r')
            return false;
    return true;
}

/* ---- the file ---- */

bool
batch_read_lines(struct str file, struct batch_lines *out, struct proto_error *error)
{
    struct reader r = {.out = out, .error = error};

    *out = (struct batch_lines){.count = 0};
    while (file.len > 0) {
        struct str line = str_split(file, '\n', &file);

        r.line++;
        if (r.line > BATCH_LINES_MAX) {
            error_set(error, ERROR_BAD_REQUEST, "file", "invalid_batch",
                      "turnpike: the file has more than %u lines", BATCH_LINES_MAX);
            return false;
        }
        if (r.line == 1 && str_starts_with(line, STR("\xef\xbb\xbf")))
            return refuse(&r, "begins with a byte order mark; take it out");
        if (is_blank(line))
            return refuse(&r, "is blank; take it out");
        if (!read_line(&r, line))
            return false;
        out->count = r.line;
    }
    if (out->count > 0)
        return true;
    error_set(error, ERROR_BAD_REQUEST, "file", "invalid_batch",
              "turnpike: the file has no line; a batch has a request in each");
    return false;
}

/* ---- what makes a batch ---- */

static bool
refuse_field(struct proto_error *error, const char *name, const char *what)
{
    error_set(error, ERROR_BAD_REQUEST, name, "invalid_value", "%s: %s", name, what);
    return false;
}

bool
batch_read_create(struct str body, struct batch_create *out, struct proto_error *error)
{
    enum { FILE_ID = 0, ENDPOINT, COUNT };
    static const struct str names[COUNT] = {TEXT("input_file_id"), TEXT("endpoint")};
    struct js_value object, values[COUNT];
    struct js_error err = {0};
    enum pick pick;
    size_t at;

    *out = (struct batch_create){.file_id = STR_NONE};
    if (!js_check(body, &object, &err) || object.type != JS_OBJECT) {
        error_set(error, ERROR_BAD_REQUEST, NULL, "invalid_json",
                  "The body is not a JSON object: %s",
                  err.what != NULL ? err.what : "it is another value");
        return false;
    }
    pick = pick_once(object, names, COUNT, values, &at);
    if (pick != PICK_GOOD)
        return refuse_field(error, names[at].ptr, pick_text(pick));
    if (values[FILE_ID].type == JS_NONE || values[ENDPOINT].type == JS_NONE) {
        at = values[FILE_ID].type == JS_NONE ? FILE_ID : ENDPOINT;
        error_set(error, ERROR_BAD_REQUEST, names[at].ptr, "missing_required_parameter",
                  "%s: Field required", names[at].ptr);
        return false;
    }
    if (values[FILE_ID].type != JS_STRING || values[FILE_ID].escaped ||
        !proto_is_id(values[FILE_ID].raw))
        return refuse_field(error, "input_file_id", "must be the ID of a file");
    if (values[ENDPOINT].type != JS_STRING || values[ENDPOINT].escaped ||
        !batch_endpoint(values[ENDPOINT].raw, &out->endpoint))
        return refuse_field(error, "endpoint", "must be one of " ENDPOINTS_TEXT);
    out->file_id = values[FILE_ID].raw;
    return true;
}

/* ---- what answers name ---- */

static struct str
id_in(struct js_value object, struct str name)
{
    struct js_value value = js_get(object, name);

    return value.type == JS_STRING && !value.escaped && proto_is_id(value.raw) ? value.raw
                                                                               : STR_NONE;
}

struct batch_names
batch_names_of(struct js_value batch)
{
    return (struct batch_names){
        .id = id_in(batch, STR("id")),
        .input = id_in(batch, STR("input_file_id")),
        .output = id_in(batch, STR("output_file_id")),
        .errors = id_in(batch, STR("error_file_id")),
    };
}

void
batch_names_write(struct jw *jw, const struct batch_names *names)
{
    jw_object(jw);
    if (names->id.len > 0)
        jw_key_quoted(jw, "id", names->id);
    if (names->input.len > 0)
        jw_key_quoted(jw, "input", names->input);
    if (names->output.len > 0)
        jw_key_quoted(jw, "output", names->output);
    if (names->errors.len > 0)
        jw_key_quoted(jw, "errors", names->errors);
    jw_object_end(jw);
}
