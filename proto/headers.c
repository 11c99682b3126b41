#include "proto/headers.h"

#include "base/str.h"

/* Bits of the protocols that a request header goes to. */
enum {
    TO_OPENAI = 1u << PROTO_OPENAI | 1u << PROTO_RESPONSES,
    TO_ANTHROPIC = 1u << PROTO_ANTHROPIC,
    TO_GEMINI = 1u << PROTO_GEMINI,
    TO_ALL = TO_OPENAI | TO_ANTHROPIC | TO_GEMINI,
};

struct row {
    struct str name;
    unsigned up;     /* the protocols it goes up to */
    struct str down; /* the name under which it comes down; STR_NONE when it does not */
};
#define NAME(literal)                                                                              \
    {                                                                                              \
        (literal), sizeof(literal) - 1                                                             \
    }

#define STAYS                                                                                      \
    {                                                                                              \
        NULL, 0                                                                                    \
    }

/*
 * A name's row is found by its length and last four bytes, without case. The factor was searched
 * for; of two names in one slot the compiler warns.
 *
 * content-type and accept go everywhere; what identifies the client's program goes too, since
 * providers decide on it; what identifies its machine (x-stainless-*) stays.
 */
#define SLOT_BITS 6
#define SLOT(last4, len) ((((last4) + ((uint32_t)(len) << 16)) * 0x39e57c57u) >> (32 - SLOT_BITS))
#define LAST4(a, b, c, d)                                                                          \
    ((uint32_t)(a) | (uint32_t)(b) << 8 | (uint32_t)(c) << 16 | (uint32_t)(d) << 24)
/* As a look-up sees it: bit 0x20 is set in '_' as in letters. */
#define AT(len, a, b, c, d) [SLOT(LAST4(a, b, c, d) | 0x20202020u, len)]
/* clang-format off */
static const struct row rows[1 << SLOT_BITS] = {
    AT(6, 'c', 'e', 'p', 't') = {NAME("accept"), TO_ALL, STAYS},
    AT(12, 't', 'y', 'p', 'e') = {NAME("content-type"), TO_ALL, NAME("content-type")},
    AT(10, 'g', 'e', 'n', 't') = {NAME("user-agent"), TO_ALL, STAYS},
    AT(11, 'r', 'e', 'n', 't') = {NAME("traceparent"), TO_ALL, STAYS},
    AT(10, 't', 'a', 't', 'e') = {NAME("tracestate"), TO_ALL, STAYS},
    AT(15, '-', 'k', 'e', 'y') = {NAME("idempotency-key"), TO_ALL, STAYS},
    AT(19, 't', 'i', 'o', 'n') = {NAME("openai-organization"), TO_OPENAI, STAYS},
    AT(14, 'j', 'e', 'c', 't') = {NAME("openai-project"), TO_OPENAI, STAYS},
    AT(11, 'b', 'e', 't', 'a') = {NAME("openai-beta"), TO_OPENAI, STAYS},
    AT(10, 'n', '-', 'i', 'd') = {NAME("session-id"), TO_OPENAI, STAYS},
    AT(10, 'n', '_', 'i', 'd') = {NAME("session_id"), TO_OPENAI, STAYS},
    AT(9, 'd', '-', 'i', 'd') = {NAME("thread-id"), TO_OPENAI, STAYS},
    AT(15, 'n', '_', 'i', 'd') = {NAME("conversation_id"), TO_OPENAI, STAYS},
    AT(19, 't', '-', 'i', 'd') = {NAME("x-client-request-id"), TO_OPENAI, STAYS},
    AT(10, 'a', 't', 'o', 'r') = {NAME("originator"), TO_OPENAI, STAYS},
    AT(7, 's', 'i', 'o', 'n') = {NAME("version"), TO_OPENAI, STAYS},
    AT(17, 's', 'i', 'o', 'n') = {NAME("anthropic-version"), TO_ANTHROPIC, STAYS},
    AT(14, 'b', 'e', 't', 'a') = {NAME("anthropic-beta"), TO_ANTHROPIC, STAYS},
    AT(41, 'c', 'e', 's', 's') =
        {NAME("anthropic-dangerous-direct-browser-access"), TO_ANTHROPIC, STAYS},
    AT(5, '-', 'a', 'p', 'p') = {NAME("x-app"), TO_ANTHROPIC, STAYS},
    AT(24, 'n', '-', 'i', 'd') = {NAME("x-claude-code-session-id"), TO_ANTHROPIC, STAYS},
    AT(17, 'i', 'e', 'n', 't') = {NAME("x-goog-api-client"), TO_GEMINI, STAYS},
    AT(11, 'f', 't', 'e', 'r') = {NAME("retry-after"), 0, NAME("retry-after")},
    AT(14, 'r', '-', 'm', 's') = {NAME("retry-after-ms"), 0, NAME("retry-after-ms")},
    AT(14, 'e', 't', 'r', 'y') = {NAME("x-should-retry"), 0, NAME("x-should-retry")},
    AT(20, 'g', '-', 'm', 's') = {NAME("openai-processing-ms"), 0, NAME("openai-processing-ms")},
    AT(14, 's', 'i', 'o', 'n') = {NAME("openai-version"), 0, NAME("openai-version")},
    AT(12, 'o', 'd', 'e', 'l') = {NAME("openai-model"), 0, NAME("openai-model")},
    AT(10, 't', '-', 'i', 'd') = {NAME("request-id"), 0, NAME("x-upstream-request-id")},
    AT(12, 't', '-', 'i', 'd') = {NAME("x-request-id"), 0, NAME("x-upstream-request-id")},
};
/* clang-format on */

/* NULL when the name is on no list. */
static const struct row *
row_of(struct str name)
{
    const struct row *row;
    const uint8_t *last;

    if (name.len < 4)
        return NULL;
    last = (const uint8_t *)name.ptr + name.len - 4;
    row = &rows[SLOT(LAST4(last[0], last[1], last[2], last[3]) | 0x20202020u, name.len)];
    return row->name.len == name.len && str_eq_nocase(row->name, name) ? row : NULL;
}

static bool
starts_with_nocase(struct str name, struct str prefix)
{
    return name.len > prefix.len && str_eq_nocase((struct str){name.ptr, prefix.len}, prefix);
}

bool
headers_go_up(enum proto_protocol protocol, struct str name)
{
    const struct row *row = row_of(name);
    unsigned bit = 1u << protocol;

    if (row != NULL)
        return (row->up & bit) != 0;
    return (bit & TO_OPENAI) != 0 && starts_with_nocase(name, STR("x-codex-"));
}

struct str
headers_come_down(struct str name)
{
    const struct row *row = row_of(name);

    if (row != NULL)
        return row->down;
    /* The names of limits grow with the makers' plans; they hold numbers and times only. */
    if (starts_with_nocase(name, STR("x-ratelimit-")) ||
        starts_with_nocase(name, STR("anthropic-ratelimit-")))
        return name;
    return STR_NONE;
}
