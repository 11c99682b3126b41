#include "base/buf.h"
#include "base/js.h"
#include "base/rng.h"
#include "base/str.h"
#include "base/utf8.h"
#include "test/unit/testing.h"

/* Checks a copy of the text that ends at an unmapped page, at several alignments. */
static bool
check_at_page(struct str text, struct js_error *err)
{
    struct page page = page_make(text.ptr, text.len);
    struct js_value value;
    bool valid = js_check(page.text, &value, err);

    page_free(&page);
    return valid;
}

static struct js_value
must_check(struct str text)
{
    struct js_value value;
    struct js_error err;

    if (!js_check(text, &value, &err))
        fail_msg("%s at %zu: %.*s", err.what, err.offset, STR_ARGS(text));
    assert_null(err.what);
    return value;
}

static void
test_valid(void **state)
{
    static const char *const texts[] = {
        "0",
        "-0",
        "10",
        "-1.5e+10",
        "1E5",
        "0.0e-0",
        "1e999999",
        "123456789012345678901234567890",
        "null",
        " true\n",
        "\t\r\n false ",
        "\"\"",
        "\"a\"",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0000\\uD83D\\uDE00\\uabCD\"",
        "\"\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf\"",
        "\"\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\"",
        "[]",
        "[ ]",
        "{}",
        "{ }",
        "[1,2 , 3]",
        "[[],{},[[]]]",
        "{\"a\":1}",
        "{ \"a\" : { \"b\" : [ null , {\"c\":\"d\"} ] } , \"\" : 2 }",
        "{\"a\":1,\"a\":2}",
    };
    struct js_error err;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        if (!check_at_page(str_from(texts[i]), &err))
            fail_msg("%s: %s at %zu", texts[i], err.what, err.offset);
        assert_null(err.what);
    }
}

static void
test_invalid(void **state)
{
    static const struct {
        const char *text;
        size_t offset;
        const char *what;
    } cases[] = {
        {"", 0, "unexpected end"},
        {"  ", 2, "unexpected end"},
        {"x", 0, "expected a value"},
        {"\xef\xbb\xbf{}", 0, "expected a value"},
        {"nul", 3, "unexpected end"},
        {"nulL", 0, "expected a value"},
        {"nullx", 4, "text after the value"},
        {"True", 0, "expected a value"},
        {"1 2", 2, "text after the value"},
        {"{} }", 3, "text after the value"},
        {"-", 1, "unexpected end"},
        {"-a", 1, "invalid number"},
        {"+1", 0, "expected a value"},
        {"01", 1, "invalid number"},
        {"-01", 2, "invalid number"},
        {"1.", 2, "unexpected end"},
        {"1.e1", 2, "invalid number"},
        {".5", 0, "expected a value"},
        {"1e", 2, "unexpected end"},
        {"1e+", 3, "unexpected end"},
        {"1e+x", 3, "invalid number"},
        {"0x1", 1, "text after the value"},
        {"NaN", 0, "expected a value"},
        {"[", 1, "unexpected end"},
        {"[1", 2, "unexpected end"},
        {"[1,", 3, "unexpected end"},
        {"[1,]", 3, "expected a value"},
        {"[,1]", 1, "expected a value"},
        {"[1 2]", 3, "expected ',' or ']'"},
        {"[1}", 2, "expected ',' or ']'"},
        {"]", 0, "expected a value"},
        {"{", 1, "unexpected end"},
        {"{1:2}", 1, "expected a string as key"},
        {"{a:2}", 1, "expected a string as key"},
        {"{\"a\"}", 4, "expected ':'"},
        {"{\"a\"", 4, "unexpected end"},
        {"{\"a\":", 5, "unexpected end"},
        {"{\"a\":}", 5, "expected a value"},
        {"{\"a\":1", 6, "unexpected end"},
        {"{\"a\":1,}", 7, "expected a string as key"},
        {"{\"a\":1]", 6, "expected ',' or '}'"},
        {"{\"a\" 1}", 5, "expected ':'"},
        {"{,}", 1, "expected a string as key"},
        {"\"", 1, "unexpected end"},
        {"\"abc", 4, "unexpected end"},
        {"'a'", 0, "expected a value"},
        {"\"\\", 2, "unexpected end"},
        {"\"\\\"", 3, "unexpected end"},
        {"\"\\x\"", 2, "invalid escape"},
        {"\"\\u\"", 3, "invalid escape"},
        {"\"\\u12g4\"", 5, "invalid escape"},
        {"\"\\u123", 6, "unexpected end"},
        {"\"\\ud800\"", 1, "lone surrogate"},
        {"\"\\ud800", 7, "unexpected end"},
        {"\"\\ud800\\n\"", 1, "lone surrogate"},
        {"\"\\ud800\\ud800\"", 1, "lone surrogate"},
        {"\"\\ud800\\u00\"", 11, "invalid escape"},
        {"\"a\\udc00\"", 2, "lone surrogate"},
        {"\"a\nb\"", 2, "control character in string"},
        {"\"a\x01\"", 2, "control character in string"},
        {"\"a\x1f\"", 2, "control character in string"},
        {"\"\x80\"", 1, "invalid UTF-8"},
        {"\"a\xc0\x80\"", 2, "invalid UTF-8"},
        {"\"\xc1\xbf\"", 1, "invalid UTF-8"},
        {"\"\xc3\"", 1, "invalid UTF-8"},
        {"\"\xc3\xa4\xc3\"", 3, "invalid UTF-8"},
        {"\"\xe0\x9f\xbf\"", 1, "invalid UTF-8"},
        {"\"\xed\xa0\x80\"", 1, "invalid UTF-8"},
        {"\"\xe2\x82\"", 1, "invalid UTF-8"},
        {"\"\xf0\x8f\xbf\xbf\"", 1, "invalid UTF-8"},
        {"\"\xf4\x90\x80\x80\"", 1, "invalid UTF-8"},
        {"\"\xf5\x80\x80\x80\"", 1, "invalid UTF-8"},
        {"\"\xf0\x90\x80\"", 1, "invalid UTF-8"},
        {"\"\xff\"", 1, "invalid UTF-8"},
        {"\"\xf0\x90", 1, "invalid UTF-8"},
        {"[1,\v2]", 3, "expected a value"},
        {"[1,/**/2]", 3, "expected a value"},
    };
    struct js_error err;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        if (check_at_page(str_from(cases[i].text), &err))
            fail_msg("accepted: %s", cases[i].text);
        if (strcmp(err.what, cases[i].what) != 0 || err.offset != cases[i].offset)
            fail_msg("%s: %s at %zu", cases[i].text, err.what, err.offset);
    }
    assert_false(check_at_page(STR("\"a\0b\""), &err));
    assert_false(check_at_page(STR("1\0"), &err));
    assert_false(js_check(STR_NONE, &(struct js_value){0}, &err));
    assert_string_equal(err.what, "unexpected end");
}

static void
nested(char *text, size_t depth, char open, char close)
{
    memset(text, open, depth);
    memset(text + depth, close, depth);
}

static void
test_depth(void **state)
{
    char text[2 * JS_DEPTH_MAX + 2], objects[6 * (JS_DEPTH_MAX + 1)] = "";
    static char huge[100000];
    struct js_value key, value;
    struct js_iter it;
    struct js_error err;

    (void)state;
    nested(text, JS_DEPTH_MAX, '[', ']');
    must_check((struct str){text, 2 * JS_DEPTH_MAX});
    nested(text, JS_DEPTH_MAX + 1, '[', ']');
    assert_false(js_check((struct str){text, sizeof(text)}, &value, &err));
    assert_string_equal(err.what, "nested too deeply");
    assert_int_equal(err.offset, JS_DEPTH_MAX);
    for (size_t i = 0; i < JS_DEPTH_MAX; i++)
        strcat(objects, "{\"\":");
    strcat(objects, "1");
    for (size_t i = 0; i < JS_DEPTH_MAX; i++)
        strcat(objects, "}");
    must_check(str_from(objects));
    memset(huge, '[', sizeof(huge));
    assert_false(js_check((struct str){huge, sizeof(huge)}, &value, &err));
    /* A walk over what was never checked ends, too. */
    value = (struct js_value){.type = JS_ARRAY, .raw = {huge, sizeof(huge)}};
    js_iter_init(&it, value);
    assert_true(js_next(&it, &key, &value));
    assert_false(js_next(&it, &key, &value));
}

static void
test_position(void **state)
{
    unsigned line, column;

    (void)state;
    js_position(STR("ab\ncd\n"), 0, &line, &column);
    assert_true(line == 1 && column == 1);
    js_position(STR("ab\ncd\n"), 2, &line, &column);
    assert_true(line == 1 && column == 3);
    js_position(STR("ab\ncd\n"), 3, &line, &column);
    assert_true(line == 2 && column == 1);
    js_position(STR("ab\ncd\n"), 6, &line, &column);
    assert_true(line == 3 && column == 1);
    js_position(STR("ab"), 99, &line, &column);
    assert_true(line == 1 && column == 3);
    js_position(STR_NONE, 0, &line, &column);
    assert_true(line == 1 && column == 1);
}

static void
test_walk_object(void **state)
{
    struct js_value object =
        must_check(STR(" { \"a\" : 1 ,\"b\":[1,{\"a\":\"}]\"}],\"c\\\"\":\"x\\\\\","
                       "\"d\":{},\"e\":null,\"f\":true , \"g\":-1.5e3 } "));
    static const struct {
        const char *key, *raw;
        enum js_type type;
        bool escaped;
    } want[] = {
        {"a", "1", JS_NUMBER, false},        {"b", "[1,{\"a\":\"}]\"}]", JS_ARRAY, false},
        {"c\\\"", "x\\\\", JS_STRING, true}, {"d", "{}", JS_OBJECT, false},
        {"e", "null", JS_NULL, false},       {"f", "true", JS_TRUE, false},
        {"g", "-1.5e3", JS_NUMBER, false},
    };
    struct js_value key, value;
    struct js_iter it;
    size_t i = 0;

    (void)state;
    for (js_iter_init(&it, object); js_next(&it, &key, &value); i++) {
        assert_true(i < COUNT_OF(want));
        assert_int_equal(it.index, i);
        assert_str(key.raw, want[i].key);
        assert_str(value.raw, want[i].raw);
        assert_int_equal(value.type, want[i].type);
        assert_int_equal(value.escaped, want[i].escaped);
    }
    assert_int_equal(i, COUNT_OF(want));
    assert_false(js_next(&it, &key, &value));
    assert_int_equal(value.type, JS_NONE);
}

static void
assert_same(struct js_value got, struct js_value want)
{
    assert_int_equal(got.type, want.type);
    assert_int_equal(got.escaped, want.escaped);
    assert_ptr_equal(got.raw.ptr, want.raw.ptr);
    assert_int_equal(got.raw.len, want.raw.len);
}

/* The members that the check notes, and those it has no room for, are those of a walk. */
static void
test_members(void **state)
{
    static const char *const bits[] = {
        "\"a\":1",
        " \"\" : {} ",
        "\"\\u0061\":\"\\n\"",
        "\"b\":[{\"c\":\"\\t\"}]",
        "\n\"d\"\n:\nnull\n",
        "\"e\":{\"a\":{\"b\":\"\\u0062\"}}",
        "\"f\":\"\"",
        "\"g\":-1.5e3",
    };
    char text[4096];

    (void)state;
    for (size_t count = 0; count <= 3 * JS_MEMBERS_MAX; count++) {
        struct js_value object, key, value, late_key, late;
        struct js_members members;
        struct js_error err;
        struct js_iter it;
        size_t len = 0, i = 0;

        for (size_t k = 0; k < count; k++)
            len += (size_t)sprintf(text + len, "%s%s", k == 0 ? "{" : ",",
                                   bits[(k * 7 + count) % COUNT_OF(bits)]);
        len += (size_t)sprintf(text + len, count == 0 ? " { } " : "} ");
        assert_true(js_check_members((struct str){text, len}, &object, &members, &err));
        assert_int_equal(members.count, MIN(count, (size_t)JS_MEMBERS_MAX));
        for (js_iter_init(&it, object); js_next(&it, &key, &value); i++) {
            if (i < members.count) {
                assert_same(members.list[i].key, key);
                assert_same(members.list[i].value, value);
                continue;
            }
            assert_true(js_next(&members.rest, &late_key, &late));
            assert_int_equal(members.rest.index, it.index);
            assert_same(late_key, key);
            assert_same(late, value);
        }
        assert_int_equal(i, count);
        assert_false(js_next(&members.rest, &late_key, &late));
        /* Cut short it is no JSON, and has no members. */
        assert_false(js_check_members((struct str){text, len - 2}, &object, &members, &err));
        assert_int_equal(members.count, 0);
        assert_false(js_next(&members.rest, &late_key, &late));
    }
}

static void
test_members_of_others(void **state)
{
    static const char *const texts[] = {"[{\"a\":1}]", "\"a\"", "1", "{}", "[]", "[[{\"a\":1}],2]"};
    struct js_value value, key;
    struct js_members members;
    struct js_error err;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        assert_true(js_check_members(str_from(texts[i]), &value, &members, &err));
        assert_int_equal(members.count, 0);
        assert_false(js_next(&members.rest, &key, &value));
    }
}

static void
test_walk_array(void **state)
{
    struct js_value array = must_check(STR("[ [ ] , \"]\" ,3,{\"a\":[]}]"));
    static const char *const want[] = {"[ ]", "]", "3", "{\"a\":[]}"};
    struct js_value key, value;
    struct js_iter it;
    size_t i = 0;

    (void)state;
    for (js_iter_init(&it, array); js_next(&it, &key, &value); i++) {
        assert_int_equal(it.index, i);
        assert_int_equal(key.type, JS_NONE);
        assert_null(key.raw.ptr);
        assert_str(value.raw, want[i]);
    }
    assert_int_equal(i, COUNT_OF(want));
    js_iter_init(&it, must_check(STR("[ ]")));
    assert_false(js_next(&it, &key, &value));
    js_iter_init(&it, must_check(STR("7")));
    assert_false(js_next(&it, &key, &value));
    js_iter_init(&it, (struct js_value){.type = JS_NONE});
    assert_false(js_next(&it, &key, &value));
}

static void
test_get(void **state)
{
    struct js_value object =
        must_check(STR("{\"a\":1,\"a\":2,\"\\u0062\":{\"c\":[{\"d\":5}]},\"\":0,\"\xc3\xbc\":7}"));

    (void)state;
    assert_str(js_get(object, STR("a")).raw, "1");
    assert_str(js_get(object, STR("")).raw, "0");
    assert_str(js_get(object, STR("\xc3\xbc")).raw, "7");
    assert_str(js_path(object, "b", "c", NULL).raw, "[{\"d\":5}]");
    assert_true(js_is(js_path(object, "b", "c", "d", NULL), JS_NONE));
    assert_true(js_is(js_path(object, "a", "c", NULL), JS_NONE));
    assert_true(js_is(js_path(object, "x", "y", NULL), JS_NONE));
    assert_true(js_is(js_path(object, NULL), JS_OBJECT));
    assert_true(js_is(js_get(object, STR("A")), JS_NONE));
    assert_true(js_is(js_get((struct js_value){.type = JS_NONE}, STR("a")), JS_NONE));
}

static void
test_strings(void **state)
{
    struct js_value plain = must_check(STR("\"abc\""));
    struct js_value escaped =
        must_check(STR("\"a\\n\\\"\\\\\\/\\b\\f\\r\\t\\u00fc\\u20AC\\ud83d\\ude00z\\u0000\""));
    const char *want = "a\n\"\\/\b\f\r\t\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80z";
    char out[100];
    struct str text;

    (void)state;
    assert_ptr_equal(js_unescape(plain, NULL, 0).ptr, plain.raw.ptr);
    assert_str(js_unescape(plain, NULL, 0), "abc");
    assert_true(js_str_eq(plain, STR("abc")));
    assert_false(js_str_eq(plain, STR("abcd")));
    text = js_unescape(escaped, out, sizeof(out));
    assert_int_equal(text.len, strlen(want) + 1);
    assert_memory_equal(text.ptr, want, text.len);
    assert_true(js_str_eq(escaped, text));
    assert_false(js_str_eq(escaped, (struct str){text.ptr, text.len - 1}));
    assert_false(js_str_eq(escaped, STR("a\nb")));
    assert_false(js_str_eq(escaped, STR_NONE));
    assert_null(js_unescape(escaped, out, escaped.raw.len - 1).ptr);
    assert_null(js_unescape(must_check(STR("5")), out, sizeof(out)).ptr);
    assert_false(js_str_eq(must_check(STR("5")), STR("5")));
    assert_true(js_str_eq(must_check(STR("\"\"")), STR_NONE));
}

static void
test_numbers(void **state)
{
    static const char *const bad_counts[] = {"-1",          "1.0",   "1e2",  "101",
                                             "12345678901", "\"1\"", "true", "-0"};
    uint64_t n = 77;
    int64_t i = 77;

    (void)state;
    for (size_t k = 0; k < COUNT_OF(bad_counts); k++)
        assert_false(js_count(must_check(str_from(bad_counts[k])), 100, &n));
    assert_false(js_count((struct js_value){.type = JS_NONE}, 100, &n));
    assert_int_equal(n, 77);
    assert_true(js_count(must_check(STR("100")), 100, &n) && n == 100);
    assert_true(js_i64(must_check(STR("-9223372036854775808")), &i) && i == INT64_MIN);
    assert_true(js_i64(must_check(STR("9223372036854775807")), &i) && i == INT64_MAX);
    assert_true(js_i64(must_check(STR("-0")), &i) && i == 0);
    i = 77;
    assert_false(js_i64(must_check(STR("9223372036854775808")), &i));
    assert_false(js_i64(must_check(STR("-9223372036854775809")), &i));
    assert_false(js_i64(must_check(STR("1.5")), &i));
    assert_false(js_i64(must_check(STR("1e1")), &i));
    assert_false(js_i64((struct js_value){.type = JS_NONE}, &i));
    assert_int_equal(i, 77);
    assert_true(js_bool(must_check(STR("true")), false));
    assert_false(js_bool(must_check(STR("false")), true));
    assert_true(js_bool(must_check(STR("1")), true));
    assert_false(js_bool((struct js_value){.type = JS_NONE}, false));
}

/* A special byte at each place of a text of each length up to some vectors: found, and nothing
 * read past the end. */
static void
test_every_place(void **state)
{
    static const char *const specials[] = {
        "\\n", "\\ud83d\\ude00", "\xf0\x9f\x98\x80", "\x01", "\xff", "\\x", "\xe2\x82"};
    char text[300];
    struct js_error err;

    (void)state;
    for (size_t len = 0; len < 140; len++) {
        for (size_t at = 0; at <= len; at++) {
            for (size_t s = 0; s < COUNT_OF(specials); s++) {
                size_t special_len = strlen(specials[s]);
                bool valid = s < 3;

                memset(text, 'x', sizeof(text));
                text[0] = '"';
                memcpy(text + 1 + at, specials[s], special_len);
                text[1 + len + special_len] = '"';
                assert_true(check_at_page((struct str){text, len + special_len + 2}, &err) ==
                            valid);
                if (!valid)
                    assert_int_equal(err.offset, 1 + at + (specials[s][0] == '\\'));
                /* Cut off before the closing quote. */
                assert_false(check_at_page((struct str){text, len + special_len + 1}, &err));
            }
        }
    }
}

/* The same said byte by byte: where the string that starts behind the quote is at fault; SIZE_MAX: it
 * is not, and ends the text. */
static size_t
string_fault(const char *text, size_t len)
{
    size_t at = 1;

    while (at == len || text[at] != '"') {
        size_t unit = utf8_sequence(text + at, len - at);
        const char *hex = "0123456789abcdefABCDEF";

        if (at == len)
            return len;
        if (text[at] != '\\') {
            if ((uint8_t)text[at] < 0x20 || unit == 0)
                return at;
            at += unit;
            continue;
        }
        if (at + 1 >= len || strchr("\"\\/bfnrtu", text[at + 1]) == NULL)
            return at + 1;
        for (size_t i = 2; text[at + 1] == 'u' && i < 6; i++)
            if (at + i >= len || strchr(hex, text[at + i]) == NULL)
                return MIN(at + i, len);
        at += text[at + 1] == 'u' ? 6 : 2;
    }
    while (at < len && text[++at] == ' ')
        continue;
    return at == len ? SIZE_MAX : at;
}

/* Strings of many blocks with much in them that is not plain, and bytes that are wrong: as byte by byte. */
static void
test_long_strings(void **state)
{
    static const char *const pieces[] = {
        "x",        "plain",    "\\n",        "\\\\",     "\\\"",     "\\u00e9", "\xc3\xbc", "\xdf\xbf",
        "\xe0\xa0\x80", "\xe4\xb8\xad", "\xed\x9f\xbf", "\xef\xbf\xbd", "\xf0\x90\x80\x80",
        "\xf4\x8f\xbf\xbf", " twenty bytes of text ", "\\/"};
    static const uint8_t wrong[] = {0x01, 0x1f, '"', '\\', 0x80, 0xbf, 0xc0, 0xc1, 0xc3, 0xe0,
                                    0xe4,     0xed, 0xf0, 0xf4,  0xf5, 0xff, 'a',  'u'};
    uint64_t seed = test_seed();

    (void)state;
    for (int round = 0; round < 60000; round++) {
        uint64_t kinds = rng_next(&seed) | rng_next(&seed) % 2, want = rng_next(&seed) % 300;
        struct js_error err;
        size_t len = 1, fault;
        char text[400] = "\"";

        while (len < want) {
            unsigned kind = (unsigned)(rng_next(&seed) % COUNT_OF(pieces));

            if ((kinds >> kind & 1) == 0)
                kind = 0;
            len += (size_t)sprintf(text + len, "%s", pieces[kind]);
        }
        text[len++] = '"';
        for (uint64_t changes = rng_next(&seed) % 3; changes > 0; changes--)
            text[1 + rng_next(&seed) % (len - 1)] = (char)wrong[rng_next(&seed) % sizeof wrong];
        fault = string_fault(text, len);
        if (check_at_page((struct str){text, len}, &err) != (fault == SIZE_MAX) ||
            (fault != SIZE_MAX && err.offset != fault))
            fail_msg("%zu, not %zu: %s", err.offset, fault, text);
    }
}

/* The walk agrees with the check about where each value ends, at all lengths and alignments. */
static void
test_skip(void **state)
{
    char text[600], inner[200];

    (void)state;
    for (int len = 0; len < 140; len++) {
        for (int at = 0; at <= len; at++) {
            struct js_value object, value;
            struct page page;
            int text_len;

            memset(inner, 'x', sizeof(inner));
            memcpy(inner + at, "\\\"", 2);
            text_len = snprintf(text, sizeof(text), "{\"k\":{\"s]\":[\"%.*s\"]},\"e\":\"%.*s\"}",
                                len + 2, inner, len + 2, inner);
            page = page_make(text, (size_t)text_len);
            object = must_check(page.text);
            value = js_get(object, STR("e"));
            assert_int_equal(value.raw.len, len + 2);
            assert_memory_equal(value.raw.ptr, inner, len + 2);
            value = js_path(object, "k", NULL);
            assert_int_equal(value.raw.len, len + 2 + 11);
            page_free(&page);
        }
    }
}

/* Runs of backslashes of each length at each place before a quote: odd ones escape it, and the
 * brackets behind it belong to the string. */
static void
test_backslashes(void **state)
{
    char xs[140], slashes[7] = "\\\\\\\\\\\\", text[400];

    (void)state;
    memset(xs, 'x', sizeof(xs));
    for (int run = 0; run < 7; run++) {
        for (int before = 0; before < 140; before++) {
            int len = snprintf(text, sizeof(text), "[[\"%.*s%.*s\"%s],\"y\"]", before, xs, run,
                               slashes, run % 2 == 1 ? "],\"" : "");
            struct page page = page_make(text, (size_t)len);
            struct js_value array = must_check(page.text), key, value, inner;
            struct js_iter it;

            js_iter_init(&it, array);
            assert_true(js_next(&it, &key, &inner));
            assert_true(js_next(&it, &key, &value));
            assert_str(value.raw, "y");
            assert_false(js_next(&it, &key, &value));
            js_iter_init(&it, inner);
            assert_true(js_next(&it, &key, &value));
            assert_int_equal(value.raw.len, before + run + (run % 2 == 1 ? 3 : 0));
            assert_int_equal(value.escaped, run > 0);
            page_free(&page);
        }
    }
}

/* Random bytes, and JSON with a few bytes changed: nothing crashes, and what is accepted can be
 * walked to its end. */
static void
walk_all(struct js_value value, unsigned depth)
{
    struct js_value key, member;
    struct js_iter it;
    char out[256];

    assert_true(depth <= JS_DEPTH_MAX);
    if (value.type == JS_STRING)
        js_unescape(value, out, sizeof(out));
    for (js_iter_init(&it, value); js_next(&it, &key, &member);)
        walk_all(member, depth + 1);
}

static void
test_mutants(void **state)
{
    static const char source[] = "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":"
                                 "\"h\\u00fc\\n\xc3\xbc\"}],\"n\":1.5e3,\"s\":[true,false,null]}";
    static const char alphabet[] = "\"\\{}[],: \n\x01\x80\xc3\xff"
                                   "0eu-.tnf";
    uint64_t seed = test_seed();

    (void)state;
    for (int i = 0; i < 100000; i++) {
        char text[sizeof(source)];
        struct page page;
        struct js_value value;
        struct js_error err;
        size_t len = sizeof(source) - 1 - rng_next(&seed) % 20 * (i % 3 == 0);

        memcpy(text, source, sizeof(source));
        for (uint64_t changes = rng_next(&seed) % 4; changes > 0; changes--)
            text[rng_next(&seed) % len] = alphabet[rng_next(&seed) % (sizeof(alphabet) - 1)];
        if (js_check((struct str){text, len}, &value, &err))
            walk_all(value, 0);
        else
            assert_true(err.what != NULL && err.offset <= len);
        /* Unchecked: no fault but a wrong answer. */
        if (i % 50 == 0) {
            page = page_make(text, len);
            walk_all((struct js_value){.type = JS_OBJECT, .raw = page.text}, 0);
            page_free(&page);
        }
    }
}

/* ---- the index ---------------------------------------------------------------------------- */

/* Random JSON of nested containers and strings of all lengths, some with escapes. */
static void
make_json(struct buf *out, uint64_t *seed, unsigned depth)
{
    uint64_t kind = rng_next(seed) % (depth > 5 ? 3 : 5), count = rng_next(seed) % 9;

    if (kind < 2) {
        uint64_t len = rng_next(seed) % 400;

        buf_add_char(out, '"');
        for (uint64_t i = 0; i < len; i++)
            buf_add_str(out, rng_next(seed) % 50 == 0 ? STR("\\\"") : STR("a"));
        buf_add_char(out, '"');
        return;
    }
    if (kind == 2) {
        buf_add_u64(out, rng_next(seed) % 100000);
        return;
    }
    buf_add_char(out, kind == 3 ? '{' : '[');
    for (uint64_t i = 0; i < count; i++) {
        if (i > 0)
            buf_add_char(out, ',');
        if (kind == 3)
            buf_add_fmt(out, "\"k%llu\": ", (unsigned long long)i);
        make_json(out, seed, depth + 1);
    }
    buf_add_char(out, kind == 3 ? '}' : ']');
}

/* Walks all of it and writes down what every step gave. */
static void
write_walk(struct js_value value, struct buf *out)
{
    struct js_value key, inner;
    struct js_iter it;

    buf_add_fmt(out, "%d%d%zu@%p ", (int)value.type, (int)value.escaped, value.raw.len,
                (const void *)value.raw.ptr);
    for (js_iter_init(&it, value); js_next(&it, &key, &inner);)
        write_walk(inner, out);
}

static void
test_index(void **state)
{
    uint64_t seed = test_seed();

    (void)state;
    for (int round = 0; round < 300; round++) {
        struct buf text, plain, indexed;
        struct js_value value, again;
        struct js_index index;
        struct js_error err;

        buf_init(&text, 1 << 24);
        buf_init(&plain, 1 << 26);
        buf_init(&indexed, 1 << 26);
        buf_add_char(&text, '[');
        for (int i = 0; i < 4; i++) {
            if (i > 0)
                buf_add_char(&text, ',');
            make_json(&text, &seed, 0);
        }
        buf_add_char(&text, ']');
        index.slot_count = round % 3 == 0 ? 5 : js_index_slots(text.len); /* also one too small */
        index.slots = malloc(index.slot_count * sizeof(*index.slots));
        assert_true(js_check(buf_str(&text), &value, &err));
        assert_true(js_check_index(buf_str(&text), &again, &index, &err));
        assert_int_equal(value.raw.len, again.raw.len);
        assert_true(index.used <= index.slot_count);
        write_walk(value, &plain);
        js_index_use(&index);
        write_walk(again, &indexed);
        js_index_use(NULL);
        assert_int_equal(plain.len, indexed.len);
        assert_memory_equal(plain.ptr, indexed.ptr, plain.len);
        /* A part of it, by itself: nothing is found beyond its end. */
        if (text.len > 300) {
            struct js_value part = {.type = JS_ARRAY, .raw = {text.ptr, 200}};
            struct js_value key, inner;
            struct js_iter it;

            js_index_use(&index);
            for (js_iter_init(&it, part); js_next(&it, &key, &inner);)
                assert_true(inner.raw.ptr + inner.raw.len <= text.ptr + 200);
            js_index_use(NULL);
        }
        free(index.slots);
        buf_free(&text);
        buf_free(&plain);
        buf_free(&indexed);
    }
    assert_false(js_check_index(STR("[1,"), &(struct js_value){0},
                                &(struct js_index){.slots = (struct js_slot[64]){{0}},
                                                   .slot_count = 64},
                                &(struct js_error){0}));
}

/* ---- texts of those who are not to be taught ------------------------------------------------- */

static void
test_lone_surrogates(void **state)
{
    static const struct {
        const char *text, *plain;
    } cases[] = {
        {"\"\\ud83d\"", "\xef\xbf\xbd"},
        {"\"a\\ude00b\"", "a\xef\xbf\xbd" "b"},
        {"\"\\ud83d\\n\"", "\xef\xbf\xbd\n"},
        {"\"\\ud83d\\ud83d\\ude00\"", "\xef\xbf\xbd\xf0\x9f\x98\x80"},
        {"\"\\ud83dabcdefgh\"", "\xef\xbf\xbd" "abcdefgh"},
        {"\"\\ud83d\\u0041\"", "\xef\xbf\xbd" "A"},
        {"\"\\ud83d\\ude00\"", "\xf0\x9f\x98\x80"},
    };
    struct js_value value;
    struct js_error err;
    char out[64];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct page page = page_make(cases[i].text, strlen(cases[i].text));
        bool strict = js_check(page.text, &value, &err);

        assert_int_equal(strict, i == COUNT_OF(cases) - 1);
        assert_true(js_check_lenient(page.text, &value, NULL, &err));
        assert_str(js_unescape(value, out, sizeof(out)), cases[i].plain);
        assert_true(js_str_eq(value, str_from(cases[i].plain)));
        page_free(&page);
    }
    /* In all else it is as strict. */
    assert_false(js_check_lenient(STR("\"\\ud8zz\""), &value, NULL, &err));
    assert_false(js_check_lenient(STR("\"\xff\""), &value, NULL, &err));
    assert_false(js_check_lenient(STR("[1,]"), &value, NULL, &err));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_valid),
        cmocka_unit_test(test_invalid),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_position),
        cmocka_unit_test(test_walk_object),
        cmocka_unit_test(test_walk_array),
        cmocka_unit_test(test_get),
        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_every_place),
        cmocka_unit_test(test_long_strings),
        cmocka_unit_test(test_skip),
        cmocka_unit_test(test_backslashes),
        cmocka_unit_test(test_mutants),
        cmocka_unit_test(test_members),
        cmocka_unit_test(test_members_of_others),
        cmocka_unit_test(test_index),
        cmocka_unit_test(test_lone_surrogates),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
