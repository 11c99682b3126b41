/* What the gateway must know of a request that is a form: pictures to be edited, sound to be
 * written down. As in ask.c a field that matters may stand once, and in lower case. */
#include <string.h>

#include "base/str.h"
#include "proto/ask.h"
#include "proto/multipart.h"

#define WAV_BYTES_PER_S_MAX UINT64_C(768000) /* two channels of 96,000 times 32 bits */

enum field {
    FIELD_MODEL = 0,
    FIELD_N,
    FIELD_STREAM,
    FIELD_PROMPT,
    FIELD_RESPONSE_FORMAT,
    FIELD_COUNT
};

static const struct str names[FIELD_COUNT] = {
#define NAME(literal)                                                                              \
    {                                                                                              \
        (literal), sizeof(literal) - 1                                                             \
    }
    [FIELD_MODEL] = NAME("model"),   [FIELD_N] = NAME("n"),
    [FIELD_STREAM] = NAME("stream"), [FIELD_PROMPT] = NAME("prompt"),
    [FIELD_RESPONSE_FORMAT] = NAME("response_format"),
#undef NAME
};

struct reader {
    struct ask *ask;
    struct proto_error *error;
    struct str values[FIELD_COUNT]; /* STR_NONE: not there */
};

static bool
refuse_at(const struct reader *r, const char *at, const char *path, const char *what)
{
    error_set(r->error, ERROR_BAD_REQUEST, path, "invalid_value", "%s: %s (byte %zu of the form)",
              path, what, (size_t)(at - r->ask->body.ptr) + 1);
    return false;
}

static bool
refuse_missing(const struct reader *r, const char *name)
{
    error_set(r->error, ERROR_BAD_REQUEST, name, "missing_required_parameter", "%s: Field required",
              name);
    return false;
}

/* ---- parts ---- */

static uint32_t
little(const char *at, unsigned bytes)
{
    uint32_t n = 0;

    for (unsigned i = bytes; i-- > 0;)
        n = n << 8 | (uint8_t)at[i];
    return n;
}

/* Of a WAV file: as many as its format needs, whatever it says itself. 0: it is none. */
static uint32_t
wav_bytes_per_s(struct str file)
{
    size_t at = 12;

    if (file.len < 12 || memcmp(file.ptr, "RIFF", 4) != 0 || memcmp(file.ptr + 8, "WAVE", 4) != 0)
        return 0;
    for (unsigned chunks = 0; chunks < 16 && file.len - at >= 24; chunks++) {
        uint32_t len = little(file.ptr + at + 4, 4);
        uint64_t bits;

        if (memcmp(file.ptr + at, "fmt ", 4) == 0) {
            bits = (uint64_t)little(file.ptr + at + 12, 4) * little(file.ptr + at + 10, 2) *
                   little(file.ptr + at + 22, 2);
            return (uint32_t)MIN(bits / 8, WAV_BYTES_PER_S_MAX);
        }
        if (len + (len & 1) + 8ull > file.len - at)
            return 0;
        at += len + (len & 1) + 8;
    }
    return 0;
}

static void
take_file(struct ask *ask, struct str file)
{
    ask->media.file_count++;
    ask->media.file_bytes += file.len;
    if (ask->media.file_count == 1 && ask->endpoint != ENDPOINT_IMAGE_EDITS)
        ask->media.sound_bytes_per_s = wav_bytes_per_s(file);
}

static bool
take_part(struct reader *r, const struct multipart_part *part)
{
    for (unsigned i = 0; i < FIELD_COUNT; i++) {
        if (!str_eq_nocase(part->name, names[i]))
            continue;
        if (!str_eq(part->name, names[i]))
            return refuse_at(r, part->value.ptr, names[i].ptr, "must be written in lower case");
        if (r->values[i].ptr != NULL)
            return refuse_at(r, part->value.ptr, names[i].ptr, "must not stand twice");
        if (part->is_file)
            return refuse_at(r, part->value.ptr, names[i].ptr, "must not be a file");
        r->values[i] = part->value;
        return true;
    }
    if (part->is_file)
        take_file(r->ask, part->value);
    return true;
}

static bool
take_parts(struct reader *r, struct str content_type)
{
    struct multipart form;
    struct multipart_part part;
    enum multipart_step step;

    if (!multipart_init(&form, content_type, r->ask->body)) {
        error_set(r->error, ERROR_BAD_REQUEST, NULL, "invalid_form", "The body is not a form: %s",
                  form.what);
        return false;
    }
    while ((step = multipart_next(&form, &part)) == MULTIPART_PART)
        if (!take_part(r, &part))
            return false;
    if (step == MULTIPART_END)
        return true;
    error_set(r->error, ERROR_BAD_REQUEST, NULL, "invalid_form",
              "The body is not a valid form: %s (byte %zu)", form.what, form.offset + 1);
    return false;
}

/* ---- fields ---- */

static bool
read_model(struct reader *r)
{
    struct str text = r->values[FIELD_MODEL];

    if (text.ptr == NULL)
        return refuse_missing(r, "model");
    if (text.len == 0)
        return refuse_at(r, text.ptr, "model", "must not be empty");
    if (text.len > ASK_MODEL_LEN_MAX)
        return refuse_at(r, text.ptr, "model", "is too long");
    for (size_t i = 0; i < text.len; i++)
        if ((uint8_t)text.ptr[i] < 0x20 || text.ptr[i] == 0x7f)
            return refuse_at(r, text.ptr, "model", "must not hold control characters");
    r->ask->model = text;
    r->ask->model_range = (struct ask_range){(size_t)(text.ptr - r->ask->body.ptr), text.len};
    return true;
}

static bool
read_stream(struct reader *r)
{
    struct str text = r->values[FIELD_STREAM];

    r->ask->stream = str_eq_nocase(text, STR("true"));
    return text.ptr == NULL || r->ask->stream || str_eq_nocase(text, STR("false")) ||
           refuse_at(r, text.ptr, "stream", "must be true or false");
}

static bool
read_pictures(struct reader *r)
{
    struct str n = r->values[FIELD_N];
    uint64_t count = 1;

    if (r->values[FIELD_PROMPT].ptr == NULL)
        return refuse_missing(r, "prompt");
    if (r->ask->media.file_count == 0)
        return refuse_missing(r, "image");
    if (n.ptr != NULL && (!str_to_count(n, ASK_CHOICES_MAX, &count) || count == 0))
        return refuse_at(r, n.ptr, "n", "must be a whole number from 1 to 128");
    r->ask->choice_count = (uint32_t)count;
    return true;
}

static bool
read_sound(struct reader *r)
{
    struct str format = r->values[FIELD_RESPONSE_FORMAT];

    if (r->ask->media.file_count == 0)
        return refuse_missing(r, "file");
    r->ask->media.bytes = str_eq(format, STR("text")) || str_eq(format, STR("srt")) ||
                          str_eq(format, STR("vtt"));
    return true;
}

bool
ask_read_form(enum proto_endpoint endpoint, struct str content_type, struct str body,
              struct ask *out, struct proto_error *error)
{
    struct reader r = {.ask = out, .error = error};

    *out = (struct ask){.endpoint = endpoint, .body = body, .choice_count = 1, .form = true};
    if (!take_parts(&r, content_type) || !read_model(&r) || !read_stream(&r))
        return false;
    return endpoint == ENDPOINT_IMAGE_EDITS ? read_pictures(&r) : read_sound(&r);
}
