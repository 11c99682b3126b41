/* Errors as each protocol tells them. */
#include "mock/sim.h"

#include "base/jw.h"
#include "base/str.h"

#include <stdio.h>
#include <string.h>

struct error_kind {
    int status;
    const char *openai_type, *openai_code, *anthropic_type, *gemini_status, *text;
};

static const struct error_kind kinds[] = {
    {400, "invalid_request_error", NULL, "invalid_request_error", "INVALID_ARGUMENT",
     "Bad Request"},
    {401, "invalid_request_error", "invalid_api_key", "authentication_error", "UNAUTHENTICATED",
     "Unauthorized"},
    {402, "insufficient_quota", "insufficient_quota", "billing_error", "RESOURCE_EXHAUSTED",
     "Payment Required"},
    {403, "invalid_request_error", "permission_denied", "permission_error", "PERMISSION_DENIED",
     "Forbidden"},
    {404, "invalid_request_error", NULL, "not_found_error", "NOT_FOUND", "Not Found"},
    {405, "invalid_request_error", NULL, "invalid_request_error", "INVALID_ARGUMENT",
     "Method Not Allowed"},
    {408, "timeout", NULL, "timeout_error", "DEADLINE_EXCEEDED", "Request Timeout"},
    {409, "conflict", NULL, "conflict_error", "ABORTED", "Conflict"},
    {413, "invalid_request_error", "request_too_large", "request_too_large", "INVALID_ARGUMENT",
     "Content Too Large"},
    {422, "invalid_request_error", NULL, "invalid_request_error", "INVALID_ARGUMENT",
     "Unprocessable Content"},
    {426, "invalid_request_error", NULL, "invalid_request_error", "FAILED_PRECONDITION",
     "Upgrade Required"},
    {429, "requests", "rate_limit_exceeded", "rate_limit_error", "RESOURCE_EXHAUSTED",
     "Too Many Requests"},
    {500, "server_error", NULL, "api_error", "INTERNAL", "Internal Server Error"},
    {502, "server_error", NULL, "api_error", "INTERNAL", "Bad Gateway"},
    {503, "server_error", NULL, "overloaded_error", "UNAVAILABLE", "Service Unavailable"},
    {504, "server_error", NULL, "timeout_error", "DEADLINE_EXCEEDED", "Gateway Timeout"},
    {529, "server_error", NULL, "overloaded_error", "UNAVAILABLE", "Site Is Overloaded"},
};

static const struct error_kind *
kind_of(int status)
{
    static const struct error_kind other = {0,           "server_error", NULL,
                                            "api_error", "UNKNOWN",      "Unknown"};

    for (size_t i = 0; i < COUNT_OF(kinds); i++)
        if (kinds[i].status == status)
            return &kinds[i];
    return &other;
}

const char *
status_text(int status)
{
    switch (status) {
    case 200: return "OK";
    case 301: return "Moved Permanently";
    case 302: return "Found";
    case 307: return "Temporary Redirect";
    case 308: return "Permanent Redirect";
    default: return kind_of(status)->text;
    }
}

static void
gemini_detail_open(struct jw *jw, const char *kind)
{
    char type[80];

    snprintf(type, sizeof(type), "type.googleapis.com/google.rpc.%s", kind);
    jw_object(jw);
    jw_key_cstr(jw, "@type", type);
}

/* What a client's program is to act on: how long to wait, which quota, that the key is wrong. */
static void
gemini_details_write(struct jw *jw, const struct call *call, int status, const char *code)
{
    bool quota = code != NULL && strcmp(code, "insufficient_quota") == 0;
    bool bad_key = code != NULL && strcmp(code, "API_KEY_INVALID") == 0;
    bool wait = status != 200 && fault_set(&call->faults, F_RETRY_AFTER);

    if (!quota && !bad_key && !wait)
        return;
    jw_key(jw, "details");
    jw_array(jw);
    if (bad_key) {
        gemini_detail_open(jw, "ErrorInfo");
        jw_key_cstr(jw, "reason", code);
        jw_key_cstr(jw, "domain", "googleapis.com");
        jw_object_end(jw);
    }
    if (quota) {
        gemini_detail_open(jw, "QuotaFailure");
        jw_key(jw, "violations");
        jw_raw(jw, STR("[{\"quotaId\":\"GenerateRequestsPerDayPerProjectPerModel\"}]"));
        jw_object_end(jw);
    }
    if (wait) {
        char delay[16];

        snprintf(delay, sizeof(delay), "%us", fault_get(&call->faults, F_RETRY_AFTER, 0));
        gemini_detail_open(jw, "RetryInfo");
        jw_key_cstr(jw, "retryDelay", delay);
        jw_object_end(jw);
    }
    jw_array_end(jw);
}

void
error_write(struct buf *out, const struct call *call, int status, struct str message,
            const char *param, const char *code)
{
    const struct error_kind *kind = kind_of(status);
    bool anthropic = is_anthropic((enum endpoint)call->endpoint);
    struct jw jw;

    jw_init(&jw, out);
    jw_object(&jw);
    if (anthropic)
        jw_key_cstr(&jw, "type", "error");
    jw_key(&jw, "error");
    jw_object(&jw);
    if (call->gemini) {
        jw_key_u64(&jw, "code", (uint64_t)status);
        jw_key_str(&jw, "message", message);
        jw_key_cstr(&jw, "status", kind->gemini_status);
        gemini_details_write(&jw, call, status, code);
    } else if (anthropic) {
        jw_key_cstr(&jw, "type", kind->anthropic_type);
        jw_key_str(&jw, "message", message);
    } else {
        jw_key_str(&jw, "message", message);
        jw_key_cstr(&jw, "type",
                    code != NULL && strcmp(code, "insufficient_quota") == 0 ? code
                                                                            : kind->openai_type);
        jw_key_cstr(&jw, "param", param);
        jw_key_cstr(&jw, "code", code != NULL ? code : kind->openai_code);
    }
    jw_object_end(&jw);
    if (anthropic)
        jw_key_cstr(&jw, "request_id", "req_sim");
    jw_object_end(&jw);
}
