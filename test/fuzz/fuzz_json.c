/*
 * The JSON reader against jansson: the same texts are refused, and what is accepted has the same
 * values in it. The writer is checked on the way: each string, written again, reads the same.
 *
 * Where the two differ on purpose:
 *  - depth: jansson allows more than JS_DEPTH_MAX;
 *  - numbers: jansson refuses integers over 64 bits and reals over a double, we keep their text;
 *  - a duplicate key: jansson keeps the last value, js_get() gives the first;
 *  - an escaped NUL: jansson keeps no key with one in it;
 *  - a NUL byte: outside of strings jansson takes it for the end, for us it is never JSON.
 */
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/js.h"
#include "base/jw.h"
#include "base/str.h"

/* link: -ljansson */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define TEXT_MAX 65536

static char scratch[TEXT_MAX];

static struct str
text_of(struct js_value value)
{
    struct str text = js_unescape(value, scratch, sizeof(scratch));

    ASSERT(text.ptr != NULL);
    return text;
}

static void
check_written(struct js_value value)
{
    char copy[TEXT_MAX];
    struct str text = text_of(value);
    struct js_value again;
    struct js_error err;
    struct buf buf;
    struct jw jw;

    memcpy(copy, text.ptr, text.len);
    buf_init(&buf, 8 * TEXT_MAX);
    jw_init(&jw, &buf);
    jw_str(&jw, (struct str){copy, text.len});
    ASSERT(!buf.failed);
    ASSERT(js_check(buf_str(&buf), &again, &err));
    ASSERT(str_eq(text_of(again), (struct str){copy, text.len}));
    ASSERT(js_str_eq(value, (struct str){copy, text.len}));
    buf_free(&buf);
}

/* A number's meaning, when jansson read it as an integer: js_i64() says the same. */
static void
check_number(struct js_value value, const json_t *json)
{
    int64_t n;
    uint64_t count;

    if (json_is_integer(json)) {
        ASSERT(js_i64(value, &n));
        ASSERT(n == json_integer_value(json));
    } else {
        ASSERT(json_is_real(json));
        ASSERT(!js_i64(value, &n));
    }
    if (js_count(value, UINT64_MAX, &count))
        ASSERT(json_is_integer(json) && (int64_t)count == json_integer_value(json));
}

static void compare(struct js_value value, const json_t *json);

static void
compare_object(struct js_value object, const json_t *json)
{
    struct js_value key, value;
    struct js_iter it;
    size_t count = 0;
    bool duplicates = false;

    for (js_iter_init(&it, object); js_next(&it, &key, &value); count++) {
        char *name;
        struct str text = text_of(key);

        name = strndup(text.ptr, text.len);
        ASSERT(name != NULL);
        check_written(key);
        /* The value that js_get() finds is this one, unless an earlier one has the name. */
        if (js_get(object, str_from(name)).raw.ptr != value.raw.ptr) {
            duplicates = true;
        } else {
            const json_t *member = json_object_get(json, name);
            struct js_value after, after_key;
            struct js_iter rest = it;
            bool last = true;

            while (js_next(&rest, &after_key, &after))
                last = last && !js_str_eq(after_key, str_from(name));
            ASSERT(member != NULL);
            if (last)
                compare(value, member);
        }
        free(name);
    }
    ASSERT(duplicates ? count > json_object_size(json) : count == json_object_size(json));
}

static void
compare_array(struct js_value array, const json_t *json)
{
    struct js_value key, value;
    struct js_iter it;
    size_t count = 0;

    for (js_iter_init(&it, array); js_next(&it, &key, &value); count++) {
        ASSERT(it.index == count);
        ASSERT(key.type == JS_NONE);
        ASSERT(count < json_array_size(json));
        compare(value, json_array_get(json, count));
    }
    ASSERT(count == json_array_size(json));
}

static void
compare(struct js_value value, const json_t *json)
{
    struct str text;

    switch (json_typeof(json)) {
    case JSON_NULL: ASSERT(js_is(value, JS_NULL)); break;
    case JSON_FALSE: ASSERT(js_is(value, JS_FALSE) && !js_bool(value, true)); break;
    case JSON_TRUE: ASSERT(js_is(value, JS_TRUE) && js_bool(value, false)); break;
    case JSON_INTEGER:
    case JSON_REAL:
        ASSERT(js_is(value, JS_NUMBER));
        check_number(value, json);
        break;
    case JSON_STRING:
        ASSERT(js_is(value, JS_STRING));
        text = text_of(value);
        ASSERT(text.len == json_string_length(json));
        ASSERT(memcmp(text.ptr, json_string_value(json), text.len) == 0);
        check_written(value);
        break;
    case JSON_ARRAY:
        ASSERT(js_is(value, JS_ARRAY));
        compare_array(value, json);
        break;
    case JSON_OBJECT:
        ASSERT(js_is(value, JS_OBJECT));
        compare_object(value, json);
        break;
    }
}

/* Why jansson refuses what we take: one of the differences above. */
static bool
is_known_refusal(const json_error_t *error)
{
    switch (json_error_code(error)) {
    case json_error_numeric_overflow:
    case json_error_null_byte_in_key: return true;
    default: return false;
    }
}

/* What the check notes of an object's members is what a walk finds. */
static void
compare_members(struct js_value object, struct js_members *members)
{
    struct js_value key, value;
    struct js_iter it;
    size_t i = 0;

    js_iter_init(&it, js_is(object, JS_OBJECT) ? object : (struct js_value){.type = JS_NONE});
    for (; js_next(&it, &key, &value); i++) {
        struct js_member noted;

        if (i < members->count)
            noted = members->list[i];
        else
            ASSERT(js_next(&members->rest, &noted.key, &noted.value));
        ASSERT(noted.key.raw.ptr == key.raw.ptr && noted.key.raw.len == key.raw.len);
        ASSERT(noted.value.raw.ptr == value.raw.ptr && noted.value.raw.len == value.raw.len);
        ASSERT(noted.key.escaped == key.escaped && noted.value.escaped == value.escaped);
        ASSERT(noted.key.type == JS_STRING && noted.value.type == value.type);
    }
    ASSERT(i >= members->count && !js_next(&members->rest, &key, &value));
}

/* Any value whose text is unchecked must be safe to walk, if with nonsense. */
static void
walk_unchecked(struct str text)
{
    static const enum js_type types[] = {JS_OBJECT, JS_ARRAY};
    struct js_value key, value;
    struct js_iter it;

    for (size_t i = 0; i < COUNT_OF(types); i++) {
        js_iter_init(&it, (struct js_value){.type = types[i], .raw = text});
        while (js_next(&it, &key, &value)) {
            ASSERT(value.raw.ptr >= text.ptr);
            ASSERT(value.raw.ptr + value.raw.len <= text.ptr + text.len);
            js_unescape(value, scratch, sizeof(scratch));
            js_str_eq(key, STR("model"));
        }
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* The sanitizer sees one byte read too many behind an allocation of just this size. */
    char *copy = malloc(size);
    struct str text = {copy, size};
    struct js_members members;
    struct js_value value;
    struct js_error err;
    json_error_t json_err;
    json_t *json;
    bool valid;

    if (size > TEXT_MAX || (copy == NULL && size > 0)) {
        free(copy);
        return 0;
    }
    if (size > 0)
        memcpy(copy, data, size);
    valid = js_check_members(text, &value, &members, &err);
    ASSERT(valid == (err.what == NULL));
    ASSERT(err.offset <= size);
    compare_members(value, &members);
    json = json_loadb(copy == NULL ? "" : copy, size, JSON_DECODE_ANY | JSON_ALLOW_NUL, &json_err);
    if (valid && json != NULL)
        compare(value, json);
    else if (valid)
        ASSERT(is_known_refusal(&json_err));
    else if (json != NULL)
        ASSERT(strcmp(err.what, "nested too deeply") == 0 || memchr(copy, '\0', size) != NULL);
    walk_unchecked(text);
    json_decref(json);
    free(copy);
    return 0;
}
