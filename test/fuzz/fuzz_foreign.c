/* Taking out of a body that passes what other providers have signed. The first byte says which
 * endpoint's body the rest is, and how much room there is. What is left is JSON, nothing is in it that
 * was not there before, in its order, and a second look finds nothing. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "base/str.h"
#include "proto/foreign.h"
#include "proto/gemini_in.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

/* What stands in place of what was taken out. */
static const struct str replacements[] = {STR("{\"type\":\"disabled\"}"),
                                          STR("\"" GEMINI_UNSIGNED "\"")};

static struct str
behind(struct str s, size_t n)
{
    return (struct str){s.ptr + n, s.len - n};
}

/* Is it the body with pieces left out, or replaced by those? */
static bool
is_what_is_left(struct str left, struct str body)
{
    while (left.len > 0) {
        const struct str *r = NULL;

        for (size_t i = 0; i < COUNT_OF(replacements); i++)
            if (str_starts_with(left, replacements[i]) && !str_starts_with(body, replacements[i]))
                r = &replacements[i];
        if (r != NULL) {
            left = behind(left, r->len);
            continue;
        }
        while (body.len > 0 && *body.ptr != *left.ptr)
            body = behind(body, 1);
        if (body.len == 0)
            return false;
        body = behind(body, 1);
        left = behind(left, 1);
    }
    return true;
}

static void
check_stripped(enum proto_endpoint endpoint, struct str left, struct str body)
{
    struct js_value document;
    struct js_error fault;
    struct buf again;

    ASSERT(foreign_suspected(endpoint, body));
    ASSERT(js_check(left, &document, &fault));
    ASSERT(is_what_is_left(left, body));
    buf_init(&again, left.len + 64);
    ASSERT(!foreign_strip(endpoint, left, &again));
    ASSERT(!again.failed && again.len == 0);
    buf_free(&again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static const enum proto_endpoint endpoints[] = {ENDPOINT_RESPONSES, ENDPOINT_MESSAGES,
                                                    ENDPOINT_COUNT_TOKENS, ENDPOINT_GENERATE};
    enum proto_endpoint endpoint;
    struct js_value document;
    struct js_error fault;
    struct buf out;
    struct str body;
    char *copy;

    if (len < 1)
        return 0;
    endpoint = endpoints[bytes[0] % COUNT_OF(endpoints)];
    copy = malloc(len); /* ends where the body ends */
    memcpy(copy, bytes + 1, len - 1);
    body = (struct str){copy, len - 1};
    buf_init(&out, (bytes[0] & 0x80) != 0 ? (bytes[0] >> 2 & 31) : 64 * len + 64);
    if (foreign_strip(endpoint, body, &out))
        check_stripped(endpoint, buf_str(&out), body);
    else
        ASSERT(out.failed || out.len == 0);
    /* What is no JSON is its provider's to refuse, as it stands. */
    if (!js_check(body, &document, &fault))
        ASSERT(out.len == 0 && !out.failed);
    buf_free(&out);
    free(copy);
    return 0;
}
