#include "proto/headers.h"

#include "base/str.h"

/* Bits of the protocols that a request header goes to. */
enum {
    TO_OPENAI = 1u << PROTO_OPENAI | 1u << PROTO_RESPONSES,
    TO_ANTHROPIC = 1u << PROTO_ANTHROPIC,
    TO_GEMINI = 1u << PROTO_GEMINI,
    TO_ALL = TO_OPENAI | TO_ANTHROPIC | TO_GEMINI,
};

struct up_row {
    struct str name;
    unsigned to;
};
#define NAME(literal)                                                                              \
    {                                                                                              \
        (literal), sizeof(literal) - 1                                                             \
    }

/* content-type and accept go everywhere; what identifies the client's program goes too, since
 * providers decide on it; what identifies its machine (x-stainless-*) stays. */
static const struct up_row up_rows[] = {
    {NAME("accept"), TO_ALL},
    {NAME("content-type"), TO_ALL},
    {NAME("user-agent"), TO_ALL},
    {NAME("traceparent"), TO_ALL},
    {NAME("tracestate"), TO_ALL},
    {NAME("idempotency-key"), TO_ALL},
    {NAME("openai-organization"), TO_OPENAI},
    {NAME("openai-project"), TO_OPENAI},
    {NAME("openai-beta"), TO_OPENAI},
    {NAME("session-id"), TO_OPENAI},
    {NAME("session_id"), TO_OPENAI},
    {NAME("thread-id"), TO_OPENAI},
    {NAME("conversation_id"), TO_OPENAI},
    {NAME("x-client-request-id"), TO_OPENAI},
    {NAME("originator"), TO_OPENAI},
    {NAME("version"), TO_OPENAI},
    {NAME("anthropic-version"), TO_ANTHROPIC},
    {NAME("anthropic-beta"), TO_ANTHROPIC},
    {NAME("anthropic-dangerous-direct-browser-access"), TO_ANTHROPIC},
    {NAME("x-app"), TO_ANTHROPIC},
    {NAME("x-claude-code-session-id"), TO_ANTHROPIC},
    {NAME("x-goog-api-client"), TO_GEMINI},
};

struct down_row {
    struct str from, to;
};

static const struct down_row down_rows[] = {
    {NAME("content-type"), NAME("content-type")},
    {NAME("retry-after"), NAME("retry-after")},
    {NAME("retry-after-ms"), NAME("retry-after-ms")},
    {NAME("x-should-retry"), NAME("x-should-retry")},
    {NAME("openai-processing-ms"), NAME("openai-processing-ms")},
    {NAME("openai-version"), NAME("openai-version")},
    {NAME("openai-model"), NAME("openai-model")},
    {NAME("request-id"), NAME("x-upstream-request-id")},
    {NAME("x-request-id"), NAME("x-upstream-request-id")},
};

static bool
starts_with_nocase(struct str name, struct str prefix)
{
    return name.len > prefix.len && str_eq_nocase((struct str){name.ptr, prefix.len}, prefix);
}

bool
headers_go_up(enum proto_protocol protocol, struct str name)
{
    unsigned bit = 1u << protocol;

    for (unsigned i = 0; i < COUNT_OF(up_rows); i++) {
        if (up_rows[i].name.len == name.len && str_eq_nocase(up_rows[i].name, name))
            return (up_rows[i].to & bit) != 0;
    }
    return (bit & TO_OPENAI) != 0 && starts_with_nocase(name, STR("x-codex-"));
}

struct str
headers_come_down(struct str name)
{
    for (unsigned i = 0; i < COUNT_OF(down_rows); i++) {
        if (down_rows[i].from.len == name.len && str_eq_nocase(down_rows[i].from, name))
            return down_rows[i].to;
    }
    /* The names of limits grow with the makers' plans; they hold numbers and times only. */
    if (starts_with_nocase(name, STR("x-ratelimit-")) ||
        starts_with_nocase(name, STR("anthropic-ratelimit-")))
        return name;
    return STR_NONE;
}
