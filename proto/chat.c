/* What decoders and encoders of conversations share: errors with a path, texts between their two
 * spellings, arguments of calls, names of what was dropped. */
#include "proto/chat.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/jw.h"
#include "base/str.h"

const char *const chat_effort_name[CHAT_EFFORT_COUNT] = {
    [CHAT_EFFORT_UNSET] = "",        [CHAT_EFFORT_MINIMAL] = "minimal", [CHAT_EFFORT_LOW] = "low",
    [CHAT_EFFORT_MEDIUM] = "medium", [CHAT_EFFORT_HIGH] = "high",       [CHAT_EFFORT_XHIGH] = "xhigh",
    [CHAT_EFFORT_MAX] = "max",
};

/* ---- errors ---- */

bool
chat_no_room(struct proto_error *error)
{
    error_set(error, ERROR_TOO_LARGE, NULL, NULL,
              "turnpike: the request is too large to be translated");
    return false;
}

/* Appends a step of a path, as far as there is room. */
static void
path_add(char *path, size_t cap, const char *fmt, struct str name, uint32_t index)
{
    size_t len = strlen(path);

    if (name.ptr != NULL)
        snprintf(path + len, cap - len, fmt, STR_ARGS(name));
    else
        snprintf(path + len, cap - len, fmt, index);
}

/* "messages[2].content[0]": down to the value that starts at this byte. */
static void
path_of(struct js_value document, const char *start, char *path, size_t cap)
{
    struct js_value at = document, key, value;
    struct js_iter it;
    bool down = true;

    path[0] = '\0';
    while (down && at.raw.ptr != start) {
        down = false;
        for (js_iter_init(&it, at); !down && js_next(&it, &key, &value);) {
            if (start < value.raw.ptr || start > value.raw.ptr + value.raw.len ||
                (start == value.raw.ptr + value.raw.len && value.raw.len > 0))
                continue;
            if (at.type == JS_ARRAY)
                path_add(path, cap, "[%u]", STR_NONE, it.index);
            else
                path_add(path, cap, path[0] == '\0' ? "%.*s" : ".%.*s", key.raw, 0);
            at = value;
            down = true;
        }
    }
}

bool
chat_refuse(const struct chat_request *r, struct js_value at, struct proto_error *error,
            const char *fmt, ...)
{
    const char *body = r->body.ptr;
    unsigned line, column;
    char path[64], what[ERROR_MESSAGE_MAX];
    va_list args;

    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    if (at.raw.ptr == NULL || at.raw.ptr < body || at.raw.ptr > body + r->body.len) {
        error_set(error, ERROR_BAD_REQUEST, NULL, "invalid_value", "%s", what);
        return false;
    }
    path_of(r->document, at.raw.ptr, path, sizeof path);
    js_position(r->body, (size_t)(at.raw.ptr - body) - (at.type == JS_STRING), &line, &column);
    error_set(error, ERROR_BAD_REQUEST, path, "invalid_value", "%s%s%s (line %u, column %u)", path,
              path[0] != '\0' ? ": " : "", what, line, column);
    return false;
}

void
chat_drop(struct chat_drops *drops, struct str name)
{
    struct str rest = {drops->text, drops->len};

    for (size_t i = 0; i < name.len; i++)
        if (name.ptr[i] <= ' ' || name.ptr[i] >= 0x7f || name.ptr[i] == ',')
            return;
    while (rest.ptr != NULL)
        if (str_eq(str_trim(str_split(rest, ',', &rest)), name))
            return;
    if (name.len == 0 || drops->len + name.len + 2 > sizeof drops->text)
        return;
    if (drops->len > 0) {
        memcpy(drops->text + drops->len, ", ", 2);
        drops->len += 2;
    }
    memcpy(drops->text + drops->len, name.ptr, name.len);
    drops->len += name.len;
}

/* ---- building ---- */

struct chat_message *
chat_message_add(struct chat_request *r, struct chat_message ***end, enum chat_role role,
                 struct js_value at)
{
    struct chat_message *message = arena_zalloc(r->arena, sizeof *message);

    if (message == NULL)
        return NULL;
    message->role = role;
    message->at = at;
    **end = message;
    *end = &message->next;
    return message;
}

struct chat_part *
chat_part_add(struct chat_request *r, struct chat_part ***end, enum chat_part_kind kind,
              struct js_value at)
{
    struct chat_part *part = arena_zalloc(r->arena, sizeof *part);

    if (part == NULL)
        return NULL;
    part->kind = kind;
    part->at = at;
    **end = part;
    *end = &part->next;
    return part;
}

struct chat_tool *
chat_tool_add(struct chat_request *r, struct chat_tool ***end, enum chat_tool_kind kind,
              struct js_value at)
{
    struct chat_tool *tool = arena_zalloc(r->arena, sizeof *tool);

    if (tool == NULL)
        return NULL;
    tool->kind = kind;
    tool->at = at;
    **end = tool;
    *end = &tool->next;
    return tool;
}

/* ---- texts ---- */

struct js_value
chat_literal(const char *text)
{
    return (struct js_value){.type = JS_STRING, .raw = str_from(text)};
}

/* The buffer's bytes, in the arena. */
static struct str
to_arena(struct arena *arena, struct buf *buf)
{
    struct str text = buf_str(buf);
    char *copy = buf->failed ? NULL : arena_alloc(arena, text.len + 1);

    if (copy != NULL && text.len > 0)
        memcpy(copy, text.ptr, text.len);
    text.ptr = copy;
    buf_free(buf);
    return text;
}

struct js_value
chat_string(struct arena *arena, struct str text)
{
    struct buf buf;
    struct jw jw;
    struct str quoted;

    buf_init(&buf, arena->limit_bytes);
    jw_init(&jw, &buf);
    jw_str(&jw, text);
    quoted = to_arena(arena, &buf);
    if (quoted.ptr == NULL)
        return (struct js_value){.type = JS_NONE};
    return (struct js_value){
        .type = JS_STRING,
        .raw = {quoted.ptr + 1, quoted.len - 2},
        .escaped = memchr(quoted.ptr, '\\', quoted.len) != NULL,
    };
}

struct str
chat_text(struct arena *arena, struct js_value string)
{
    char *copy;

    if (string.type != JS_STRING || !string.escaped)
        return string.type == JS_STRING ? string.raw : STR_NONE;
    copy = arena_alloc(arena, string.raw.len + 1);
    return copy == NULL ? STR_NONE : js_unescape(string, copy, string.raw.len + 1);
}

bool
chat_data_url(struct arena *arena, struct js_value url, struct js_value *media_type,
              struct js_value *data)
{
    struct str text, head, rest, type, base;

    if (url.type != JS_STRING || url.raw.len < 5 ||
        !str_eq_nocase((struct str){url.raw.ptr, 5}, STR("data:")))
        return false;
    text = chat_text(arena, url); /* "\/" and the like */
    if (text.ptr == NULL)
        return false;
    head = str_split((struct str){text.ptr + 5, text.len - 5}, ',', &rest);
    if (rest.ptr == NULL || head.len < 7)
        return false;
    base = (struct str){head.ptr + head.len - 7, 7};
    if (!str_eq_nocase(base, STR(";base64")))
        return false;
    type = str_split((struct str){head.ptr, head.len - 7}, ';', &base);
    for (size_t i = 0; i < rest.len; i++)
        if ((uint8_t)rest.ptr[i] < 0x20 || rest.ptr[i] == '"' || rest.ptr[i] == '\\')
            return false;
    for (size_t i = 0; i < type.len; i++)
        if (type.ptr[i] <= ' ' || type.ptr[i] >= 0x7f || type.ptr[i] == '"' || type.ptr[i] == '\\')
            return false;
    *media_type = (struct js_value){.type = JS_STRING, .raw = type};
    *data = (struct js_value){.type = JS_STRING, .raw = rest};
    return type.len > 0;
}

void
chat_write_data_url(struct buf *out, const struct chat_part *part)
{
    buf_add_str(out, STR("\"data:"));
    buf_add_str(out, part->media_type.raw);
    buf_add_str(out, STR(";base64,"));
    if (part->data.raw.len > 0)
        buf_add_str(out, part->data.raw);
    buf_add_char(out, '"');
}

/* ---- arguments of calls ---- */

/* Outside of strings white space says nothing. What needs a backslash in the text around it: quotes
 * and backslashes; control characters do not occur in checked JSON but between its tokens. */
static void
write_escaped(struct buf *out, struct str json, bool in_string)
{
    const char *p = json.ptr, *end = p + json.len, *run = p;

    for (; p < end; p++) {
        bool blank = !in_string && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t');

        if (!blank && *p != '"' && *p != '\\')
            continue;
        if (p > run)
            buf_add(out, run, (size_t)(p - run));
        run = p + 1;
        if (blank)
            continue;
        if (*p == '"') {
            buf_add_str(out, STR("\\\""));
            in_string = !in_string;
            continue;
        }
        /* What it escapes goes with it, so that an escaped quote ends nothing. */
        buf_add_str(out, STR("\\\\"));
        if (p + 1 < end && (p[1] == '"' || p[1] == '\\')) {
            buf_add_char(out, '\\');
            buf_add_char(out, p[1]);
            run = ++p + 1;
        }
    }
    if (end > run)
        buf_add(out, run, (size_t)(end - run));
}

void
chat_write_compact(struct buf *out, struct str json)
{
    const char *p = json.ptr, *end = p + json.len, *run = p;
    bool in_string = false;

    for (; p < end; p++) {
        if (*p == '"') {
            in_string = !in_string;
        } else if (in_string) {
            p += *p == '\\' && p + 1 < end;
        } else if (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t') {
            if (p > run)
                buf_add(out, run, (size_t)(p - run));
            run = p + 1;
        }
    }
    if (end > run)
        buf_add(out, run, (size_t)(end - run));
}

void
chat_write_json_as_text(struct buf *out, struct str json)
{
    write_escaped(out, json, false);
}

/* {"input": …} around a string that is JSON already. */
static struct js_value
wrapped(struct arena *arena, const char *name, struct js_value string)
{
    struct buf buf;
    struct jw jw;
    struct str text;

    buf_init(&buf, arena->limit_bytes);
    jw_init(&jw, &buf);
    jw_object(&jw);
    jw_key_js(&jw, name, string);
    jw_object_end(&jw);
    text = to_arena(arena, &buf);
    return (struct js_value){.type = text.ptr != NULL ? JS_OBJECT : JS_NONE, .raw = text};
}

struct js_value
chat_arguments(struct arena *arena, const struct chat_part *call)
{
    const struct js_value empty = {.type = JS_OBJECT, .raw = STR("{}")};
    struct js_value given = call->arguments, object;
    struct js_error fault;
    struct str text;

    if (given.type != JS_STRING)
        return given.type == JS_OBJECT ? given : empty;
    if (call->tool == CHAT_TOOL_CUSTOM)
        return wrapped(arena, "input", given);
    text = chat_text(arena, given);
    if (text.ptr == NULL)
        return (struct js_value){.type = JS_NONE};
    if (str_trim(text).len == 0)
        return empty;
    if (js_check(text, &object, &fault) && object.type == JS_OBJECT)
        return object;
    return wrapped(arena, "_raw", given);
}

void
chat_write_arguments(struct buf *out, const struct chat_part *call)
{
    struct js_value given = call->arguments;

    buf_add_char(out, '"');
    if (given.type == JS_STRING && call->tool == CHAT_TOOL_CUSTOM) {
        buf_add_str(out, STR("{\\\"input\\\":\\\""));
        write_escaped(out, given.raw, true);
        buf_add_str(out, STR("\\\"}"));
    } else if (given.type == JS_STRING) {
        buf_add_str(out, given.raw.len > 0 ? given.raw : STR("{}"));
    } else if (given.type == JS_OBJECT) {
        chat_write_json_as_text(out, given.raw);
    } else {
        buf_add_str(out, STR("{}"));
    }
    buf_add_char(out, '"');
}
