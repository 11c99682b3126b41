/*
 * Forms (multipart/form-data, RFC 7578), read strictly: every part a content-disposition with a
 * name, CRLF at each line's end, the closing boundary at the end.
 */
#include "mock/sim.h"

#include "base/str.h"

#include <string.h>

#define BOUNDARY_MAX 70

/* Where part stands in s from `from` on, or s.len. */
static size_t
find(struct str s, size_t from, struct str part)
{
    const char *at = from <= s.len ? memmem(s.ptr + from, s.len - from, part.ptr, part.len) : NULL;

    return at == NULL ? s.len : (size_t)(at - s.ptr);
}

/* The value of NAME="…" or NAME=… in a header's value. */
static struct str
parameter(struct str value, const char *name)
{
    struct str rest = value;

    (void)str_split(value, ';', &rest);
    while (rest.ptr != NULL) {
        struct str text, key = str_split(str_trim(str_split(rest, ';', &rest)), '=', &text);

        if (!str_eq_nocase(key, str_from(name)))
            continue;
        if (text.len >= 2 && text.ptr[0] == '"' && text.ptr[text.len - 1] == '"')
            return (struct str){text.ptr + 1, text.len - 2};
        return text;
    }
    return STR_NONE;
}

bool
form_begin(const struct request *req, struct str *boundary, struct str *rest)
{
    *boundary = parameter(req->content_type, "boundary");
    *rest = req->body;
    if (boundary->len == 0 || boundary->len > BOUNDARY_MAX)
        return false;
    /* "--boundary" begins the body. */
    if (rest->len < boundary->len + 4 || memcmp(rest->ptr, "--", 2) != 0 ||
        memcmp(rest->ptr + 2, boundary->ptr, boundary->len) != 0)
        return false;
    rest->ptr += boundary->len + 2;
    rest->len -= boundary->len + 2;
    return true;
}

/* *rest is what stands behind a boundary: CRLF and a part, or "--" and the end. */
bool
form_next(struct str boundary, struct str *rest, struct form_part *part)
{
    char delimiter[BOUNDARY_MAX + 5];
    struct str body = *rest;

    if (body.len >= 2 && memcmp(body.ptr, "--", 2) == 0) {
        rest->len = body.len <= 4 ? 0 : body.len;
        return false;
    }
    if (body.len < 2 || memcmp(body.ptr, "\r\n", 2) != 0)
        return false;
    memcpy(delimiter, "\r\n--", 4);
    memcpy(delimiter + 4, boundary.ptr, boundary.len);
    size_t head_end = find(body, 0, STR("\r\n\r\n"));
    size_t end = find(body, head_end, (struct str){delimiter, boundary.len + 4});
    if (head_end == body.len || end == body.len)
        return false;
    *part = (struct form_part){.content = {body.ptr + head_end + 4, 0}};
    /* A part may be empty: then its delimiter shares the line's end. */
    part->content.len = end >= head_end + 4 ? end - head_end - 4 : 0;
    struct str head = {body.ptr + 2, head_end - 2}, line;
    while (head.ptr != NULL) {
        line = str_split(head, '\n', &head);
        struct str value, name = str_split(line, ':', &value);

        if (!str_eq_nocase(name, STR("content-disposition")))
            continue;
        if (value.len > 0 && value.ptr[value.len - 1] == '\r')
            value.len--;
        part->name = parameter(value, "name");
        part->filename = parameter(value, "filename");
    }
    *rest = (struct str){body.ptr + end + boundary.len + 4, body.len - end - boundary.len - 4};
    return part->name.len > 0;
}

/* ---- what it asks for ---- */

struct fields {
    struct str model, prompt, sim, n, stream, format;
    uint64_t file_bytes, files;
};

static bool
fields_read(const struct request *req, struct fields *f, struct refusal *no)
{
    const struct {
        struct str name;
        struct str *value;
    } known[] = {
        {STR("model"), &f->model},   {STR("prompt"), &f->prompt}, {STR("sim"), &f->sim},
        {STR("n"), &f->n},           {STR("stream"), &f->stream},
        {STR("response_format"), &f->format},
    };
    struct str boundary, rest;
    struct form_part part;

    if (!form_begin(req, &boundary, &rest))
        return refuse(no, 400, NULL, "Could not parse multipart form");
    while (form_next(boundary, &rest, &part)) {
        if (part.filename.ptr != NULL) {
            f->files++;
            f->file_bytes += part.content.len;
            continue;
        }
        for (size_t i = 0; i < COUNT_OF(known); i++)
            if (str_eq(part.name, known[i].name))
                *known[i].value = part.content;
    }
    return rest.len == 0 || refuse(no, 400, NULL, "Could not parse multipart form");
}

bool
form_ask(struct ask *ask, const struct request *req, struct refusal *no)
{
    struct fields f = {0};
    struct js_value sim = {0};
    struct js_error err;
    uint64_t n;

    if (!fields_read(req, &f, no))
        return false;
    if (f.model.len == 0)
        return refuse(no, 400, "model", "you must provide a model parameter");
    if (f.model.len > MODEL_MAX || str_contains(f.model, STR("\"")) ||
        str_contains(f.model, STR("\\")))
        return refuse(no, 400, "model", "model name too long or not one");
    ask->model = f.model;
    if (f.sim.len > 0 && !js_check(f.sim, &sim, &err))
        return refuse(no, 400, "sim", "sim: not JSON");
    if (!faults_gather(ask, sim, no) || !model_known(ask, no))
        return false;
    if (req->endpoint != EP_IMAGE_EDITS && req->endpoint != EP_TRANSCRIPTIONS &&
        req->endpoint != EP_TRANSLATIONS)
        return refuse(no, 400, NULL, "Invalid content type: application/json is wanted here");
    if (f.files == 0)
        return refuse(no, 400, req->endpoint == EP_IMAGE_EDITS ? "image" : "file",
                      "%s: Field required", req->endpoint == EP_IMAGE_EDITS ? "image" : "file");
    if (f.n.len > 0) {
        if (!str_to_count(f.n, 10, &n) || n == 0)
            return refuse(no, 400, "n", "n must be a count from 1 to 10");
        ask->choices = (uint32_t)n;
    }
    ask->stream = str_eq(f.stream, STR("true")) || str_eq(f.stream, STR("True"));
    ask->format = f.format;
    ask->input_tokens = fault_get(&ask->faults, F_INPUT_TOKENS,
                                  (uint32_t)((f.prompt.len + f.file_bytes + 3) / 4));
    return true;
}
