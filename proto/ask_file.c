/* What the gateway must know of a call for files or batches. All that a path, a form or a body names
 * is what it says, whoever's it is. */
#include <string.h>

#include "base/str.h"
#include "proto/ask.h"
#include "proto/multipart.h"

/* The two fields that matter, as in ask_form.c: once, and in lower case. */
enum field { FIELD_PURPOSE = 0, FIELD_FILE, FIELD_COUNT };
static const struct str names[FIELD_COUNT] = {
    [FIELD_PURPOSE] = {"purpose", 7},
    [FIELD_FILE] = {"file", 4},
};

struct form {
    struct multipart_part parts[FIELD_COUNT]; /* name STR_NONE: not there */
    unsigned others;                          /* files under other names */
};

static bool
refuse(struct proto_error *error, const char *name, const char *what)
{
    error_set(error, ERROR_BAD_REQUEST, name, "invalid_value", "%s: %s", name, what);
    return false;
}

static bool
take_part(struct form *form, const struct multipart_part *part, struct proto_error *error)
{
    for (unsigned i = 0; i < FIELD_COUNT; i++) {
        if (!str_eq_nocase(part->name, names[i]))
            continue;
        if (!str_eq(part->name, names[i]))
            return refuse(error, names[i].ptr, "must be written in lower case");
        if (form->parts[i].name.ptr != NULL)
            return refuse(error, names[i].ptr, "must not stand twice");
        if (part->is_file != (i == FIELD_FILE))
            return refuse(error, names[i].ptr,
                          i == FIELD_FILE ? "must be a file" : "must not be a file");
        form->parts[i] = *part;
        return true;
    }
    form->others += part->is_file;
    return true;
}

static bool
read_form(struct str content_type, struct str body, struct form *form, struct proto_error *error)
{
    struct multipart m;
    struct multipart_part part;
    enum multipart_step step;

    if (!multipart_init(&m, content_type, body)) {
        error_set(error, ERROR_BAD_REQUEST, NULL, "invalid_form", "The body is not a form: %s",
                  m.what);
        return false;
    }
    while ((step = multipart_next(&m, &part)) == MULTIPART_PART)
        if (!take_part(form, &part, error))
            return false;
    if (step == MULTIPART_END)
        return true;
    error_set(error, ERROR_BAD_REQUEST, NULL, "invalid_form",
              "The body is not a valid form: %s (byte %zu)", m.what, m.offset + 1);
    return false;
}

static bool
read_upload(struct str content_type, struct str body, struct ask_file *out,
            struct proto_error *error)
{
    struct form form = {.others = 0};

    if (!read_form(content_type, body, &form, error))
        return false;
    out->purpose = form.parts[FIELD_PURPOSE].value;
    out->bytes = form.parts[FIELD_FILE].value.len;
    if (!str_eq(out->purpose, STR(BATCH_PURPOSE)))
        return true;
    if (form.parts[FIELD_FILE].name.ptr == NULL) {
        error_set(error, ERROR_BAD_REQUEST, "file", "missing_required_parameter",
                  "file: Field required");
        return false;
    }
    if (form.others > 0)
        return refuse(error, "file", "no other may come with what is to be batched");
    return batch_read_lines(form.parts[FIELD_FILE].value, &out->lines, error);
}

static bool
read_create(struct str body, struct ask_file *out, struct proto_error *error)
{
    struct batch_create create;

    if (!batch_read_create(body, &create, error))
        return false;
    out->id = create.file_id;
    out->lines.endpoint = create.endpoint;
    return true;
}

/* Of a list: the one that it begins behind. */
static bool
read_after(struct str query, struct ask_file *out, struct proto_error *error)
{
    struct str after = proto_query_get(query, STR("after"));

    if (after.len == 0)
        return true;
    if (!proto_is_id(after))
        return refuse(error, "after", "must be an ID of the list");
    out->id = after;
    return true;
}

bool
ask_read_file(const struct proto_what *what, const struct ask_file_parts *parts,
              struct arena *arena, struct ask *out, struct proto_error *error)
{
    struct ask_file *file = arena_zalloc(arena, sizeof *file);
    char *copy = arena_copy(arena, what->id.len > 0 ? what->id : STR(""));
    bool has_body =
        what->endpoint == ENDPOINT_FILE_UPLOAD || what->endpoint == ENDPOINT_BATCH_CREATE;

    *out = (struct ask){.endpoint = what->endpoint,
                        .choice_count = 1,
                        .model = STR(ASK_FILES_MODEL),
                        .body = has_body ? parts->body : STR(""),
                        .file = file};
    if (file == NULL || copy == NULL) {
        error_set(error, ERROR_UNAVAILABLE, NULL, NULL, "The gateway is out of memory.");
        return false;
    }
    out->media.bytes = what->endpoint == ENDPOINT_FILE_CONTENT;
    switch (what->endpoint) {
    case ENDPOINT_FILE_UPLOAD:
        return read_upload(parts->content_type, parts->body, file, error);
    case ENDPOINT_BATCH_CREATE: return read_create(parts->body, file, error);
    case ENDPOINT_FILES:
    case ENDPOINT_BATCHES: return read_after(parts->query, file, error);
    default: file->id = (struct str){copy, what->id.len}; return true;
    }
}
