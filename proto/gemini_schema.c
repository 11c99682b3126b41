/*
 * Gemini's schemas as everybody else takes them. The subset of OpenAPI that "parameters" and
 * "responseSchema" are written in differs from JSON schema in little: the names of types are upper
 * case, null is allowed by "nullable", and protobuf's spelling shows (numbers in strings, names
 * with underscores). All else is copied as it is.
 *
 * A schema is walked with a stack of its own: how deep it is, is the client's to choose.
 */
#include <string.h>

#include "base/str.h"
#include "proto/gemini_in.h"

/* What a value in the schema is, or what the value of a keyword holds. */
enum kind {
    KIND_PLAIN = 0, /* no schemas: copied */
    KIND_SCHEMA,    /* one, or a list of them */
    KIND_MAP,       /* an object of schemas by name */
    KIND_TYPE,
    KIND_ENUM,
    KIND_COUNT,     /* a whole number, which protobuf writes as a string */
    KIND_LEFT_OUT,
};

struct keyword {
    struct str name;
    enum kind kind;
};

static const struct keyword keywords[] = {
    {{"type", 4}, KIND_TYPE},
    {{"enum", 4}, KIND_ENUM},
    {{"nullable", 8}, KIND_LEFT_OUT},
    {{"propertyOrdering", 16}, KIND_LEFT_OUT},
    {{"items", 5}, KIND_SCHEMA},
    {{"prefixItems", 11}, KIND_SCHEMA},
    {{"anyOf", 5}, KIND_SCHEMA},
    {{"oneOf", 5}, KIND_SCHEMA},
    {{"allOf", 5}, KIND_SCHEMA},
    {{"not", 3}, KIND_SCHEMA},
    {{"additionalProperties", 20}, KIND_SCHEMA},
    {{"properties", 10}, KIND_MAP},
    {{"patternProperties", 17}, KIND_MAP},
    {{"$defs", 5}, KIND_MAP},
    {{"defs", 4}, KIND_MAP},
    {{"definitions", 11}, KIND_MAP},
    {{"minItems", 8}, KIND_COUNT},
    {{"maxItems", 8}, KIND_COUNT},
    {{"minLength", 9}, KIND_COUNT},
    {{"maxLength", 9}, KIND_COUNT},
    {{"minProperties", 13}, KIND_COUNT},
    {{"maxProperties", 13}, KIND_COUNT},
};

static const struct str type_names[] = {
    {"STRING", 6},  {"NUMBER", 6}, {"INTEGER", 7}, {"BOOLEAN", 7},
    {"ARRAY", 5},   {"OBJECT", 6}, {"NULL", 4},
};

/* An object or a list that is being copied. */
struct level {
    struct js_iter it;
    enum kind of; /* SCHEMA: keywords. MAP: schemas, in an object or a list */
    char close;
    bool filled;
    bool nullable;   /* SCHEMA: null is allowed too */
    bool typed;      /* SCHEMA: it has a type, which says so */
    bool null_added; /* a list: gets one more element that allows it */
};

struct copy {
    struct buf *out;
    struct level levels[JS_DEPTH_MAX];
    size_t depth;
};

bool
gemini_named(struct js_value key, struct str camel)
{
    struct str text = key.raw;
    size_t at = 0;

    if (key.escaped)
        return js_str_eq(key, camel);
    for (size_t i = 0; i < camel.len; i++) {
        char c = camel.ptr[i];

        if (at < text.len && text.ptr[at] == c) {
            at++;
        } else if (c >= 'A' && c <= 'Z' && at + 1 < text.len && text.ptr[at] == '_' &&
                   text.ptr[at + 1] == (c | 0x20)) {
            at += 2;
        } else {
            return false;
        }
    }
    return at == text.len;
}

void
gemini_members(struct js_value object, const struct str *names, size_t count,
               struct js_value *values)
{
    struct js_value key, value;
    struct js_iter it;

    for (size_t i = 0; i < count; i++)
        values[i] = (struct js_value){.type = JS_NONE};
    if (object.type != JS_OBJECT)
        return;
    for (js_iter_init(&it, object); js_next(&it, &key, &value);)
        for (size_t i = 0; i < count; i++)
            if (gemini_named(key, names[i])) {
                values[i] = value;
                if (value.type == JS_NULL)
                    values[i].type = JS_NONE;
                break;
            }
}

struct str
gemini_kept(struct arena *arena, struct buf *buf)
{
    struct str text = buf_str(buf);
    char *copy = buf->failed ? NULL : arena_alloc(arena, text.len + 1);

    if (copy != NULL && text.len > 0)
        memcpy(copy, text.ptr, text.len);
    text.ptr = copy;
    buf_free(buf);
    return text;
}

/* ---- copying ---- */

static void
put_value(struct buf *out, struct js_value value)
{
    if (value.type == JS_STRING) {
        buf_add_char(out, '"');
        if (value.raw.len > 0)
            buf_add_str(out, value.raw);
        buf_add_char(out, '"');
        return;
    }
    chat_write_compact(out, value.raw);
}

static void
put_key(struct buf *out, struct level *level, struct str key)
{
    if (level->filled)
        buf_add_char(out, ',');
    level->filled = true;
    if (level->it.is_object) {
        buf_add_char(out, '"');
        if (key.len > 0)
            buf_add_str(out, key);
        buf_add_str(out, STR("\":"));
    }
}

static void
put_type_name(struct buf *out, struct js_value name)
{
    for (size_t i = 0; i < COUNT_OF(type_names); i++) {
        if (!js_str_eq(name, type_names[i]))
            continue;
        buf_add_char(out, '"');
        for (size_t j = 0; j < type_names[i].len; j++)
            buf_add_char(out, (char)(type_names[i].ptr[j] | 0x20));
        buf_add_char(out, '"');
        return;
    }
    put_value(out, name);
}

static bool
is_null_type(struct js_value name)
{
    return js_str_eq(name, STR("NULL")) || js_str_eq(name, STR("null"));
}

/* A name, or a list of such; with null where that is allowed. */
static void
put_type(struct buf *out, struct js_value type, bool nullable)
{
    bool has_null = is_null_type(type), filled = type.type != JS_ARRAY;
    struct js_value key, name;
    struct js_iter it;

    if (type.type != JS_ARRAY && !nullable) {
        put_type_name(out, type);
        return;
    }
    buf_add_char(out, '[');
    if (type.type != JS_ARRAY)
        put_type_name(out, type);
    for (js_iter_init(&it, type); type.type == JS_ARRAY && js_next(&it, &key, &name);) {
        if (filled)
            buf_add_char(out, ',');
        filled = true;
        put_type_name(out, name);
        has_null |= is_null_type(name);
    }
    if (nullable && !has_null)
        buf_add_str(out, filled ? STR(",\"null\"") : STR("\"null\""));
    buf_add_char(out, ']');
}

static void
put_enum(struct buf *out, struct js_value list, bool nullable)
{
    struct js_value key, one;
    struct js_iter it;
    bool has_null = false, filled = false;

    if (list.type != JS_ARRAY || !nullable) {
        put_value(out, list);
        return;
    }
    buf_add_char(out, '[');
    for (js_iter_init(&it, list); js_next(&it, &key, &one);) {
        if (filled)
            buf_add_char(out, ',');
        filled = true;
        put_value(out, one);
        has_null |= one.type == JS_NULL;
    }
    if (!has_null)
        buf_add_str(out, filled ? STR(",null") : STR("null"));
    buf_add_char(out, ']');
}

static void
put_count(struct buf *out, struct js_value value)
{
    uint64_t n;

    if (value.type == JS_STRING && !value.escaped && str_to_u64(value.raw, &n))
        buf_add_u64(out, n);
    else
        put_value(out, value);
}

/* The keyword, and how it is spelled in JSON schema; PLAIN for all that are not looked into. */
static enum kind
keyword_of(struct js_value key, struct str *name)
{
    *name = key.raw;
    for (size_t i = 0; i < COUNT_OF(keywords); i++)
        if (gemini_named(key, keywords[i].name)) {
            *name = keywords[i].name;
            return keywords[i].kind;
        }
    return KIND_PLAIN;
}

/* Goes into an object or a list of schemas. */
static void
enter(struct copy *copy, struct js_value value, enum kind of, bool null_added)
{
    struct level *level = &copy->levels[copy->depth];

    /* No deeper than what js_check() has passed. */
    ASSERT(copy->depth < JS_DEPTH_MAX);
    copy->depth++;
    *level = (struct level){
        .of = value.type == JS_ARRAY ? KIND_MAP : of,
        .close = value.type == JS_ARRAY ? ']' : '}',
        .null_added = null_added,
    };
    js_iter_init(&level->it, value);
    if (level->of == KIND_SCHEMA) {
        level->nullable = js_get(value, STR("nullable")).type == JS_TRUE;
        level->typed = js_get(value, STR("type")).type != JS_NONE;
    }
    buf_add_char(copy->out, value.type == JS_ARRAY ? '[' : '{');
}

static void
copy_keyword(struct copy *copy, struct level *level, struct js_value key, struct js_value value)
{
    struct buf *out = copy->out;
    struct str name;
    enum kind kind = keyword_of(key, &name);
    bool holds = value.type == JS_OBJECT || (value.type == JS_ARRAY && kind == KIND_SCHEMA);

    if (kind == KIND_LEFT_OUT)
        return;
    if (kind == KIND_TYPE && js_str_eq(value, STR("TYPE_UNSPECIFIED")))
        return;
    put_key(out, level, name);
    switch (kind) {
    case KIND_TYPE: put_type(out, value, level->nullable); return;
    case KIND_ENUM: put_enum(out, value, level->nullable); return;
    case KIND_COUNT: put_count(out, value); return;
    case KIND_SCHEMA:
    case KIND_MAP:
        if (holds) {
            enter(copy, value, kind,
                  level->nullable && !level->typed && value.type == JS_ARRAY &&
                      str_eq(name, STR("anyOf")));
            return;
        }
        break;
    case KIND_PLAIN:
    case KIND_LEFT_OUT: break;
    }
    put_value(out, value);
}

static void
leave(struct copy *copy, struct level *level)
{
    if (level->null_added) {
        put_key(copy->out, level, STR_NONE);
        buf_add_str(copy->out, STR("{\"type\":\"null\"}"));
    }
    buf_add_char(copy->out, level->close);
    copy->depth--;
}

struct js_value
gemini_schema(struct arena *arena, struct js_value subset)
{
    struct copy copy = {.depth = 0};
    struct buf out;
    struct str text;

    if (subset.type != JS_OBJECT)
        return subset;
    buf_init(&out, arena->limit_bytes);
    copy.out = &out;
    for (enter(&copy, subset, KIND_SCHEMA, false); copy.depth > 0;) {
        struct level *level = &copy.levels[copy.depth - 1];
        struct js_value key, value;

        if (!js_next(&level->it, &key, &value)) {
            leave(&copy, level);
        } else if (level->of == KIND_SCHEMA) {
            copy_keyword(&copy, level, key, value);
        } else {
            put_key(&out, level, key.raw);
            if (value.type == JS_OBJECT)
                enter(&copy, value, KIND_SCHEMA, false);
            else
                put_value(&out, value);
        }
    }
    text = gemini_kept(arena, &out);
    return (struct js_value){.type = text.ptr != NULL ? JS_OBJECT : JS_NONE, .raw = text};
}

struct js_value
gemini_json_schema(struct arena *arena, struct js_value schema)
{
    for (size_t i = 0; i < COUNT_OF(type_names); i++) {
        char quoted[12] = "\"";

        memcpy(quoted + 1, type_names[i].ptr, type_names[i].len);
        quoted[type_names[i].len + 1] = '"';
        if (str_contains(schema.raw, (struct str){quoted, type_names[i].len + 2}))
            return gemini_schema(arena, schema);
    }
    return schema;
}
