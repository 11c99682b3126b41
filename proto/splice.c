/* The few bytes of a body that change on the way: see ask.h. */
#include <string.h>

#include "base/str.h"
#include "proto/ask.h"

struct splice {
    struct ask_range range; /* what goes; may be empty */
    struct str text;        /* what comes in its place */
};

/* The name as a JSON string, quotes included. STR_NONE when the arena is full. */
static struct str
quoted(struct str name, struct arena *arena)
{
    static const char hex[] = "0123456789abcdef";
    char *out = arena_alloc(arena, 6 * name.len + 2);
    size_t len = 0;

    if (out == NULL)
        return STR_NONE;
    out[len++] = '"';
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = (uint8_t)name.ptr[i];

        if (c < 0x20) {
            memcpy(out + len, "\\u00", 4);
            out[len + 4] = hex[c >> 4];
            out[len + 5] = hex[c & 15];
            len += 6;
            continue;
        }
        if (c == '"' || c == '\\')
            out[len++] = '\\';
        out[len++] = (char)c;
    }
    out[len++] = '"';
    return (struct str){out, len};
}

/* What comes where the model's name stands: in a form it has no quotes. */
static struct str
model_text(const struct ask *ask, struct str name, struct arena *arena)
{
    const struct str before = STR("\"model\":");
    struct str value = ask->form ? name : quoted(name, arena);
    char *out;

    if (!ask->model_added || value.ptr == NULL)
        return value;
    out = arena_alloc(arena, before.len + value.len + 1);
    if (out == NULL)
        return STR_NONE;
    memcpy(out, before.ptr, before.len);
    memcpy(out + before.len, value.ptr, value.len);
    out[before.len + value.len] = ','; /* there is another member: the input */
    return (struct str){out, before.len + value.len + 1};
}

static struct str
usage_text(enum ask_usage_place place)
{
    switch (place) {
    case ASK_USAGE_KEEP: break;
    case ASK_USAGE_NO_OPTIONS: return STR("\"stream_options\":{\"include_usage\":true},");
    case ASK_USAGE_NULL: return STR("{\"include_usage\":true}");
    case ASK_USAGE_NO_MEMBER: return STR("\"include_usage\":true,");
    case ASK_USAGE_EMPTY: return STR("\"include_usage\":true");
    case ASK_USAGE_FALSE: return STR("true");
    }
    return STR_NONE;
}

static void
add_piece(struct ask_pieces *out, struct str piece)
{
    if (piece.len == 0)
        return;
    ASSERT(out->count < ASK_PIECES_MAX);
    out->list[out->count++] = piece;
    out->total_len += piece.len;
}

bool
ask_splices(const struct ask *ask, struct str upstream_model, struct arena *arena,
            struct ask_pieces *out)
{
    struct splice splices[2];
    size_t count = 0, at = 0;

    /* Gemini's model stands in the path. */
    if (ask->model_added || (ask->model_range.len > 0 && !str_eq(ask->model, upstream_model))) {
        splices[count].range = ask->model_range;
        splices[count].text = model_text(ask, upstream_model, arena);
        if (splices[count++].text.ptr == NULL)
            return false;
    }
    if (ask->usage_place != ASK_USAGE_KEEP)
        splices[count++] = (struct splice){ask->usage_range, usage_text(ask->usage_place)};
    if (count == 2 && splices[0].range.off > splices[1].range.off) {
        struct splice first = splices[1];

        splices[1] = splices[0];
        splices[0] = first;
    }
    *out = (struct ask_pieces){.count = 0};
    for (size_t i = 0; i < count; i++) {
        ASSERT(splices[i].range.off >= at);
        add_piece(out, (struct str){ask->body.ptr + at, splices[i].range.off - at});
        add_piece(out, splices[i].text);
        at = splices[i].range.off + splices[i].range.len;
    }
    add_piece(out, (struct str){ask->body.ptr + at, ask->body.len - at});
    return true;
}
