/*
 * What reading a request's JSON costs: a scan for the top-level keys of a chat body, the check of
 * the whole text, and, to compare, the tree that jansson builds of it. The rounds of all take
 * turns, so that a change of the machine's speed hits all alike; the least of each is printed.
 *
 * usage: bench-json [BODY_BYTES] [ROUNDS]
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/js.h"
#include "base/jw.h"
#include "base/str.h"

/* link: -ljansson */

#define REPEATS 50

/* A conversation: system prompt, turns of some hundred bytes with line breaks and quotes. */
static void
make_body(struct buf *body, size_t bytes)
{
    static const char turn[] = "Here is what I tried:\n\n    printf(\"%d\\n\", n);\n\nand it says "
                               "\"undefined reference\". Could you explain step by step what the "
                               "linker is looking for, and why the order of libraries matters? "
                               "Gr\xc3\xbc\xc3\x9f"
                               "e aus K\xc3\xb6ln.\n";
    struct jw jw;

    jw_init(&jw, body);
    jw_object(&jw);
    jw_key_cstr(&jw, "model", "gpt-4o-mini");
    jw_key(&jw, "messages");
    jw_array(&jw);
    while (body->len + 200 < bytes) {
        jw_object(&jw);
        jw_key_cstr(&jw, "role", "user");
        jw_key_cstr(&jw, "content", turn);
        jw_object_end(&jw);
    }
    jw_array_end(&jw);
    jw_key_u64(&jw, "max_tokens", 1024);
    jw_key_bool(&jw, "stream", true);
    jw_key(&jw, "stream_options");
    jw_object(&jw);
    jw_key_bool(&jw, "include_usage", true);
    jw_object_end(&jw);
    jw_object_end(&jw);
}

static void
scan(struct str text)
{
    struct js_value object = {.type = JS_OBJECT, .raw = text}, key, value;
    struct js_iter it;
    unsigned known = 0;

    for (js_iter_init(&it, object); js_next(&it, &key, &value);)
        known += js_str_eq(key, STR("model")) || js_str_eq(key, STR("stream")) ||
                 js_str_eq(key, STR("max_tokens"));
    ASSERT(known == 3);
}

static void
check(struct str text)
{
    struct js_value value;
    struct js_error err;
    bool valid = js_check(text, &value, &err);

    ASSERT(valid);
}

static void
tree(struct str text)
{
    json_t *json = json_loadb(text.ptr, text.len, 0, NULL);

    ASSERT(json != NULL);
    json_decref(json);
}

struct way {
    const char *name;
    void (*fn)(struct str text);
    uint64_t ns; /* the least of a call */
};

int
main(int argc, char **argv)
{
    uint64_t bytes = 20000, rounds = 40;
    struct way ways[] = {
        {"scan for the top-level keys", scan, UINT64_MAX},
        {"check of the whole text", check, UINT64_MAX},
        {"tree by jansson", tree, UINT64_MAX},
    };
    struct buf body;

    if ((argc > 1 && !str_to_count(str_from(argv[1]), 100000000, &bytes)) ||
        (argc > 2 && !str_to_count(str_from(argv[2]), 1000000, &rounds))) {
        fprintf(stderr, "usage: bench-json [BODY_BYTES] [ROUNDS]\n");
        return 2;
    }
    buf_init(&body, 2 * bytes + 4096);
    make_body(&body, bytes);
    for (uint64_t round = 0; round < rounds; round++) {
        for (size_t i = 0; i < COUNT_OF(ways); i++) {
            uint64_t start = clock_mono_ns();

            for (int n = 0; n < REPEATS; n++)
                ways[i].fn(buf_str(&body));
            ways[i].ns = MIN(ways[i].ns, (clock_mono_ns() - start) / REPEATS);
        }
    }
    printf("body of %zu bytes, least of %llu rounds\n", body.len, (unsigned long long)rounds);
    for (size_t i = 0; i < COUNT_OF(ways); i++)
        printf("  %-28s %8.2f us  %6.2f GB/s\n", ways[i].name, (double)ways[i].ns / 1000,
               (double)body.len / (double)MAX(ways[i].ns, (uint64_t)1));
    buf_free(&body);
    return 0;
}
