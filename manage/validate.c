#include "manage/validate.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "base/ucr.h"
#include "base/utf8.h"

#define STRING_CHARS_MAX 256
#define TEXT_CHARS_MAX 65536
#define LIST_MAX 100
#define CREDITS_MAX_UCR (INT64_C(1) << 60) /* the ledger knows its own bound */
#define EMAIL_MAX 254u
#define PATH_TEXT_MAX 200u
#define ARGS_BYTES_MAX (2u << 20)

const char *const fault_code[] = {
    [FAULT_REQUIRED] = "required",
    [FAULT_UNKNOWN] = "unknown_field",
    [FAULT_DUPLICATE] = "duplicate",
    [FAULT_TYPE] = "wrong_type",
    [FAULT_TOO_LONG] = "too_long",
    [FAULT_TOO_SHORT] = "too_short",
    [FAULT_RANGE] = "out_of_range",
    [FAULT_CHOICE] = "not_one_of",
    [FAULT_CHARACTERS] = "invalid_characters",
    [FAULT_INVALID] = "invalid",
};
_Static_assert(COUNT_OF(fault_code) == FAULT_KIND_COUNT, "a new fault needs a code");

/* Where in the input a value stands: a list from the inside out, on the stack of who walks. */
struct place {
    const struct place *outer;
    struct str name; /* STR_NONE: an element */
    size_t index;
    enum field_in in;
};

/* JSON of a body, or plain text of a path or query. */
struct input {
    struct js_value js;
    struct str text;
    bool is_text;
};

struct check {
    struct arena *arena;
    struct faults *faults;
    struct jw jw;
    bool failed; /* memory */
};

static bool take(struct check *c, const struct field *field, const struct place *place, struct input input);

/* ---- faults ---- */

static size_t
place_text(const struct place *place, char *out, size_t cap)
{
    size_t len = place->outer != NULL ? place_text(place->outer, out, cap) : 0;
    char digits[24];
    struct str part = place->name;
    size_t digits_len = 0;

    if (part.ptr == NULL) {
        size_t n = place->index;

        digits[sizeof digits - 1] = ']';
        do {
            digits[sizeof digits - 2 - digits_len++] = (char)('0' + n % 10);
            n /= 10;
        } while (n > 0);
        digits[sizeof digits - 2 - digits_len] = '[';
        part = (struct str){digits + sizeof digits - 2 - digits_len, digits_len + 2};
    } else if (place->outer != NULL && len < cap) {
        out[len++] = '.';
    }
    part.len = MIN(part.len, cap - len);
    if (part.len > 0)
        memcpy(out + len, part.ptr, part.len);
    return len + part.len;
}

/* Gives false, for who returns it. */
static bool
fault_at(struct check *c, enum fault_kind kind, const struct field *field, const struct place *place)
{
    char text[PATH_TEXT_MAX];
    size_t len;
    char *copy;

    if (c->faults->count == FAULTS_MAX)
        return false;
    len = place_text(place, text, sizeof text);
    copy = arena_copy(c->arena, (struct str){text, len});
    if (copy == NULL) {
        c->failed = true;
        return false;
    }
    c->faults->list[c->faults->count++] =
        (struct fault){.kind = kind, .in = place->in, .path = {copy, len}, .field = field};
    return false;
}

/* ---- text ---- */

static size_t
chars_of(struct str text)
{
    size_t count = 0;

    for (size_t i = 0; i < text.len; i++)
        count += !utf8_is_tail((uint8_t)text.ptr[i]);
    return count;
}

static bool
is_utf8(struct str text)
{
    for (size_t i = 0; i < text.len;) {
        size_t len = utf8_sequence(text.ptr + i, text.len - i);

        if (len == 0)
            return false;
        i += len;
    }
    return true;
}

static int
hex_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

struct str
percent_decode(struct arena *arena, struct str text, bool plus)
{
    char *out = arena_alloc(arena, text.len + 1);
    size_t len = 0;

    if (out == NULL)
        return STR_NONE;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];

        if (c == '+' && plus) {
            c = ' ';
        } else if (c == '%') {
            int high = text.len - i < 3 ? -1 : hex_of(text.ptr[i + 1]);
            int low = text.len - i < 3 ? -1 : hex_of(text.ptr[i + 2]);

            if (high < 0 || low < 0)
                return STR_NONE;
            c = (char)(high << 4 | low);
            i += 2;
        }
        if (c == '\0')
            return STR_NONE;
        out[len++] = c;
    }
    out[len] = '\0';
    return is_utf8((struct str){out, len}) ? (struct str){out, len} : STR_NONE;
}

/* The text of a value that has to be one: false when it is something else. */
static bool
text_of(struct check *c, struct input input, struct str *text)
{
    char *room;

    if (input.is_text) {
        *text = input.text;
        return true;
    }
    if (!js_is(input.js, JS_STRING))
        return false;
    room = arena_alloc(c->arena, input.js.raw.len + 1);
    if (room == NULL) {
        c->failed = true;
        *text = STR("");
        return true;
    }
    *text = js_unescape(input.js, room, input.js.raw.len + 1);
    if (text->ptr == NULL)
        *text = STR("");
    return true;
}

static bool
characters_ok(enum field_type type, struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = (uint8_t)text.ptr[i];

        if (c == 0)
            return false;
        if (type == FIELD_SECRET || c >= 0x20)
            continue;
        if (type != FIELD_TEXT || (c != '\n' && c != '\r' && c != '\t'))
            return false;
    }
    return true;
}

static bool
email_ok(struct str text)
{
    size_t at = str_find(text, '@', 0);

    if (text.len > EMAIL_MAX || at == 0 || at > 64 || at + 1 >= text.len || str_find(text, '@', at + 1) < text.len)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = (uint8_t)text.ptr[i];

        if (c <= ' ' || c == 0x7f || strchr("<>(),;:\\\"[]", c) != NULL)
            return false;
    }
    return text.ptr[at + 1] != '.' && text.ptr[text.len - 1] != '.';
}

/* "12.5", perhaps with what it is for: "12.5/day". What spans there are is the ledger's to know. */
static bool
budget_ok(struct str text)
{
    struct str span = STR_NONE, amount = str_split(text, '/', &span);
    int64_t ucr;

    if (!ucr_parse(amount, &ucr) || ucr < 0 || ucr > CREDITS_MAX_UCR)
        return false;
    if (span.ptr == NULL)
        return true;
    if (span.len == 0 || span.len > 24)
        return false;
    for (size_t i = 0; i < span.len; i++)
        if (!((span.ptr[i] >= 'a' && span.ptr[i] <= 'z') || (span.ptr[i] >= '0' && span.ptr[i] <= '9') ||
              span.ptr[i] == '/'))
            return false;
    return true;
}

static bool
url_ok(struct str text)
{
    struct str rest;

    if (text.len > 2000)
        return false;
    if (str_starts_with(text, STR("https://")))
        rest = (struct str){text.ptr + 8, text.len - 8};
    else if (str_starts_with(text, STR("http://")))
        rest = (struct str){text.ptr + 7, text.len - 7};
    else
        return false;
    for (size_t i = 0; i < rest.len; i++)
        if ((uint8_t)rest.ptr[i] <= ' ' || rest.ptr[i] == 0x7f || strchr("<>\"\\^`{|}", rest.ptr[i]) != NULL)
            return false;
    return rest.len > 0 && rest.ptr[0] != '/' && rest.ptr[0] != '?' && rest.ptr[0] != '#';
}

static bool
time_ok(struct str text)
{
    uint64_t span_us;
    int64_t wall_us;

    return (clock_parse_duration(text, &span_us) && span_us < (uint64_t)INT64_MAX) ||
           (clock_parse(text, &wall_us) && wall_us > 0);
}

static bool
is_one_of(const char *const *values, struct str text)
{
    for (; *values != NULL; values++)
        if (str_eq(text, str_from(*values)))
            return true;
    return false;
}

/* ---- values ---- */

static bool
take_text(struct check *c, const struct field *field, const struct place *place, struct str text)
{
    int64_t max = field->max > 0                ? field->max
                  : field->type == FIELD_TEXT   ? TEXT_CHARS_MAX
                                                : STRING_CHARS_MAX;
    size_t chars = chars_of(text);

    if (!characters_ok(field->type, text))
        return fault_at(c, FAULT_CHARACTERS, field, place);
    if (chars > (uint64_t)max)
        return fault_at(c, FAULT_TOO_LONG, field, place);
    if (chars < (uint64_t)field->min)
        return fault_at(c, FAULT_TOO_SHORT, field, place);
    jw_str(&c->jw, text);
    return true;
}

/* What is a text of some form. */
static bool
take_form(struct check *c, const struct field *field, const struct place *place, struct str text)
{
    int64_t n;
    bool ok = true;

    switch (field->type) {
    case FIELD_EMAIL: ok = email_ok(text); break;
    case FIELD_BUDGET: ok = budget_ok(text); break;
    case FIELD_TIME: ok = time_ok(text); break;
    case FIELD_URL: ok = url_ok(text); break;
    case FIELD_CREDITS:
        if (!ucr_parse(text, &n))
            return fault_at(c, FAULT_INVALID, field, place);
        if (n < field->min || n > (field->max != 0 ? field->max : CREDITS_MAX_UCR))
            return fault_at(c, FAULT_RANGE, field, place);
        break;
    case FIELD_DECIMAL:
        if (!decimal_parse(text, 6, &n))
            return fault_at(c, FAULT_INVALID, field, place);
        if (n < field->min || n > (field->max != 0 ? field->max : 1000000))
            return fault_at(c, FAULT_RANGE, field, place);
        break;
    case FIELD_ENUM:
        if (!is_one_of(field->values, text))
            return fault_at(c, FAULT_CHOICE, field, place);
        break;
    default: ASSERT(!"a type that has a form");
    }
    if (!ok)
        return fault_at(c, FAULT_INVALID, field, place);
    jw_str(&c->jw, text);
    return true;
}

static bool
take_int(struct check *c, const struct field *field, const struct place *place, struct input input)
{
    int64_t min = field->type == FIELD_ID ? 1 : field->min;
    int64_t max = field->type == FIELD_ID || field->max == 0 ? UINT32_MAX : field->max;
    struct js_value js = input.js;
    struct str digits;
    uint64_t size;
    int64_t n;

    if (input.is_text) {
        digits = input.text;
        if (digits.len > 0 && digits.ptr[0] == '-')
            digits = (struct str){digits.ptr + 1, digits.len - 1};
        if (!str_to_u64(digits, &size))
            return fault_at(c, FAULT_TYPE, field, place);
        js = (struct js_value){.type = JS_NUMBER, .raw = input.text};
    }
    if (!js_is(js, JS_NUMBER))
        return fault_at(c, FAULT_TYPE, field, place);
    if (!js_i64(js, &n)) {
        /* 1.5 and 1e3 are numbers, but no whole ones as we take them. */
        bool whole = true;

        for (size_t i = 0; i < js.raw.len; i++)
            whole &= (js.raw.ptr[i] >= '0' && js.raw.ptr[i] <= '9') || js.raw.ptr[i] == '-';
        return fault_at(c, whole ? FAULT_RANGE : FAULT_TYPE, field, place);
    }
    if (n < min || n > max)
        return fault_at(c, FAULT_RANGE, field, place);
    jw_i64(&c->jw, n);
    return true;
}

static bool
take_bool(struct check *c, const struct field *field, const struct place *place, struct input input)
{
    bool yes = input.is_text ? str_eq(input.text, STR("true")) : js_is(input.js, JS_TRUE);
    bool no = input.is_text ? str_eq(input.text, STR("false")) : js_is(input.js, JS_FALSE);

    if (!yes && !no)
        return fault_at(c, FAULT_TYPE, field, place);
    jw_bool(&c->jw, yes);
    return true;
}

static bool
list_count_ok(struct check *c, const struct field *field, const struct place *place, size_t count)
{
    if (count > (uint64_t)(field->max > 0 ? field->max : LIST_MAX))
        return fault_at(c, FAULT_TOO_LONG, field, place);
    return count >= (uint64_t)field->min || fault_at(c, FAULT_TOO_SHORT, field, place);
}

/* An element of FIELD_STRINGS. */
static bool
take_element(struct check *c, const struct field *field, const struct place *place, struct input input)
{
    static const struct field element = {.type = FIELD_STRING, .min = 1};
    struct str text;

    if (!text_of(c, input, &text))
        return fault_at(c, FAULT_TYPE, field, place);
    if (field->values != NULL) {
        if (!is_one_of(field->values, text))
            return fault_at(c, FAULT_CHOICE, field, place);
        jw_str(&c->jw, text);
        return true;
    }
    return take_text(c, &element, place, text);
}

static bool
take_strings(struct check *c, const struct field *field, const struct place *place, struct input input)
{
    struct place at = {.outer = place, .in = place->in};
    struct js_value key, value;
    struct js_iter it;
    bool ok = true;

    jw_array(&c->jw);
    if (input.is_text) {
        struct str rest = input.text;

        while (rest.ptr != NULL && at.index <= LIST_MAX) {
            struct input one = {.text = str_split(rest, ',', &rest), .is_text = true};

            ok &= take_element(c, field, &at, one);
            at.index++;
        }
    } else if (js_is(input.js, JS_ARRAY)) {
        for (js_iter_init(&it, input.js); js_next(&it, &key, &value); at.index++)
            ok &= take_element(c, field, &at, (struct input){.js = value});
    } else {
        ok = fault_at(c, FAULT_TYPE, field, place);
    }
    jw_array_end(&c->jw);
    return ok && list_count_ok(c, field, place, at.index);
}

static bool
take_ints(struct check *c, const struct field *field, const struct place *place, struct input input)
{
    static const struct field element = {.type = FIELD_INT};
    struct place at = {.outer = place, .in = place->in};
    struct js_value key, value;
    struct js_iter it;
    bool ok = true;

    jw_array(&c->jw);
    if (input.is_text || !js_is(input.js, JS_ARRAY))
        ok = fault_at(c, FAULT_TYPE, field, place);
    else
        for (js_iter_init(&it, input.js); js_next(&it, &key, &value); at.index++)
            if (!take_int(c, &element, &at, (struct input){.js = value})) {
                jw_null(&c->jw);
                ok = false;
            }
    jw_array_end(&c->jw);
    return ok && list_count_ok(c, field, place, at.index);
}

/* ---- objects ---- */

static struct str
member_name(struct check *c, struct js_value key)
{
    struct str name = STR_NONE;

    (void)text_of(c, (struct input){.js = key}, &name);
    return name;
}

static const struct field *
field_called(const struct field *fields, struct str name)
{
    for (; fields != NULL && fields->name != NULL; fields++)
        if (str_eq(name, str_from(fields->name)))
            return fields;
    return NULL;
}

static bool
missing(struct check *c, const struct field *field, const struct place *outer, enum field_in in)
{
    struct place place = {.outer = outer, .name = str_from(field->name), .in = in};

    return !field->required || fault_at(c, FAULT_REQUIRED, field, &place);
}

/* Members that there must not be, or twice. */
static bool
strangers(struct check *c, const struct field *fields, const struct place *outer, struct js_value object)
{
    struct js_value key, value;
    uint64_t seen = 0;
    struct js_iter it;
    bool ok = true;

    for (js_iter_init(&it, object); js_next(&it, &key, &value);) {
        struct place place = {.outer = outer, .name = member_name(c, key), .in = IN_BODY};
        const struct field *field = field_called(fields, place.name);
        uint64_t bit;

        if (field == NULL) {
            ok = fault_at(c, FAULT_UNKNOWN, NULL, &place);
            continue;
        }
        ASSERT(field - fields < 64);
        bit = UINT64_C(1) << (field - fields);
        if (seen & bit)
            ok = fault_at(c, FAULT_DUPLICATE, field, &place);
        seen |= bit;
    }
    return ok;
}

static bool
take_members(struct check *c, const struct field *fields, const struct place *outer, struct js_value object)
{
    bool ok = strangers(c, fields, outer, object);

    for (const struct field *field = fields; field != NULL && field->name != NULL; field++) {
        struct place place = {.outer = outer, .name = str_from(field->name), .in = IN_BODY};
        struct js_value value = js_get(object, place.name);

        if (js_is(value, JS_NONE) || (js_is(value, JS_NULL) && !field->nullable)) {
            ok &= missing(c, field, outer, IN_BODY);
            continue;
        }
        jw_key(&c->jw, field->arg != NULL ? field->arg : field->name);
        if (js_is(value, JS_NULL))
            jw_null(&c->jw);
        else
            ok &= take(c, field, &place, (struct input){.js = value});
    }
    return ok;
}

static bool
take_object(struct check *c, const struct field *field, const struct place *place, struct js_value value)
{
    bool ok = true;

    if (!js_is(value, JS_OBJECT))
        return fault_at(c, FAULT_TYPE, field, place);
    if (field->members == NULL) {
        jw_js(&c->jw, value);
        return true;
    }
    jw_object(&c->jw);
    ok = take_members(c, field->members, place, value);
    jw_object_end(&c->jw);
    return ok;
}

static bool
take_objects(struct check *c, const struct field *field, const struct place *place, struct js_value list)
{
    struct place at = {.outer = place, .in = place->in};
    struct js_value key, value;
    struct js_iter it;
    bool ok = true;

    if (!js_is(list, JS_ARRAY))
        return fault_at(c, FAULT_TYPE, field, place);
    jw_array(&c->jw);
    for (js_iter_init(&it, list); js_next(&it, &key, &value); at.index++)
        ok &= take_object(c, field, &at, value);
    jw_array_end(&c->jw);
    return ok && list_count_ok(c, field, place, at.index);
}

/* After a fault what was written is not even JSON: it is thrown away. But keys and values alternate, since the
 * writer asks for that. */
static bool
take(struct check *c, const struct field *field, const struct place *place, struct input input)
{
    unsigned before = c->faults->count;
    struct str text;
    bool ok = false;

    switch (field->type) {
    case FIELD_ID:
    case FIELD_INT: ok = take_int(c, field, place, input); break;
    case FIELD_BOOL: ok = take_bool(c, field, place, input); break;
    case FIELD_STRINGS: return take_strings(c, field, place, input);
    case FIELD_INTS: return take_ints(c, field, place, input);
    case FIELD_OBJECT:
        if (js_is(input.js, JS_OBJECT))
            return take_object(c, field, place, input.js);
        ok = take_object(c, field, place, input.js);
        break;
    case FIELD_OBJECTS:
        if (js_is(input.js, JS_ARRAY))
            return take_objects(c, field, place, input.js);
        ok = take_objects(c, field, place, input.js);
        break;
    case FIELD_ANY: jw_js(&c->jw, input.js); return true;
    default:
        if (!text_of(c, input, &text))
            ok = fault_at(c, FAULT_TYPE, field, place);
        else if (field->type == FIELD_STRING || field->type == FIELD_TEXT || field->type == FIELD_SECRET)
            ok = take_text(c, field, place, text);
        else
            ok = take_form(c, field, place, text);
    }
    if (!ok || c->faults->count > before)
        jw_null(&c->jw);
    return ok;
}

/* ---- path and query ---- */

static void
take_param(struct check *c, const struct field *field, struct str text)
{
    struct place place = {.name = str_from(field->name), .in = field->in};

    jw_key(&c->jw, field->arg != NULL ? field->arg : field->name);
    (void)take(c, field, &place, (struct input){.text = text, .is_text = true});
}

static void
take_query(struct check *c, const struct field *params, struct str query)
{
    struct str rest = query;
    uint64_t seen = 0;

    while (rest.ptr != NULL && rest.len > 0) {
        struct str value = STR_NONE, name, pair = str_split(rest, '&', &rest);
        const struct field *field;
        struct place place = {.in = IN_QUERY};
        uint64_t bit;

        if (pair.len == 0)
            continue;
        name = percent_decode(c->arena, str_split(pair, '=', &value), true);
        value = percent_decode(c->arena, value.ptr != NULL ? value : STR(""), true);
        place.name = name.ptr != NULL ? name : STR("?");
        field = name.ptr != NULL ? field_called(params, name) : NULL;
        if (field == NULL || field->in != IN_QUERY) {
            (void)fault_at(c, FAULT_UNKNOWN, NULL, &place);
            continue;
        }
        bit = UINT64_C(1) << (field - params);
        if (seen & bit) {
            (void)fault_at(c, FAULT_DUPLICATE, field, &place);
            continue;
        }
        seen |= bit;
        if (value.ptr == NULL)
            (void)fault_at(c, FAULT_CHARACTERS, field, &place);
        else if (value.len > 0)
            take_param(c, field, value);
        else
            seen &= ~bit;
    }
    for (const struct field *field = params; field != NULL && field->name != NULL; field++)
        if (field->in == IN_QUERY && !(seen & UINT64_C(1) << (field - params)))
            (void)missing(c, field, NULL, IN_QUERY);
}

int
validate(struct arena *arena, const struct validate_input *input, struct buf *args, struct faults *faults)
{
    struct check c = {.arena = arena, .faults = faults};
    const struct field *params = input->op->params;
    unsigned placeholder = 0;

    faults->count = 0;
    buf_init(args, ARGS_BYTES_MAX);
    jw_init(&c.jw, args);
    jw_object(&c.jw);
    for (const struct field *field = params; field != NULL && field->name != NULL; field++)
        if (field->in == IN_PATH)
            take_param(&c, field, input->path_params[placeholder++]);
    take_query(&c, params, input->query);
    (void)take_members(&c, input->op->body, NULL, input->body);
    jw_object_end(&c.jw);
    return c.failed || args->failed ? -ENOMEM : 0;
}
