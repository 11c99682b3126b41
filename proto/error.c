/*
 * One table says what each reason is called where. Classes in the SDKs are chosen by HTTP
 * status alone, so the status carries the meaning: what can never succeed is 400, 403, 404
 * or 413, which no SDK retries; what may succeed later is 429 or 5xx, which all retry. An
 * upstream that refuses the gateway's own key is 502: a 401 would make clients retry for
 * minutes or log their user out, for a fault that is not theirs.
 */
#include "proto/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/js.h"
#include "base/jw.h"
#include "base/str.h"

struct kind_row {
    uint16_t status;
    uint16_t anthropic_status; /* 0: the same */
    const char *openai_type;
    const char *openai_code; /* NULL writes null */
    const char *anthropic_type;
    const char *gemini_status;
};

static const struct kind_row rows[ERROR_KIND_COUNT] = {
    [ERROR_BAD_REQUEST] = {400, 0, "invalid_request_error", NULL, "invalid_request_error",
                           "INVALID_ARGUMENT"},
    [ERROR_CONTEXT_TOO_LONG] = {400, 0, "invalid_request_error", "context_length_exceeded",
                                "invalid_request_error", "INVALID_ARGUMENT"},
    [ERROR_UNAUTHENTICATED] = {401, 0, "invalid_request_error", "invalid_api_key",
                               "authentication_error", "UNAUTHENTICATED"},
    [ERROR_NO_CREDIT] = {402, 0, "insufficient_quota", "insufficient_quota", "billing_error",
                         "RESOURCE_EXHAUSTED"},
    [ERROR_FORBIDDEN] = {403, 0, "invalid_request_error", "permission_denied", "permission_error",
                         "PERMISSION_DENIED"},
    [ERROR_NO_PATH] = {404, 0, "invalid_request_error", "unknown_url", "not_found_error",
                       "NOT_FOUND"},
    [ERROR_NO_MODEL] = {404, 0, "invalid_request_error", "model_not_found", "not_found_error",
                        "NOT_FOUND"},
    [ERROR_NOT_FOUND] = {404, 0, "invalid_request_error", "not_found", "not_found_error",
                         "NOT_FOUND"},
    [ERROR_METHOD] = {405, 0, "invalid_request_error", "method_not_allowed",
                      "invalid_request_error", "INVALID_ARGUMENT"},
    [ERROR_REQUEST_TIMEOUT] = {408, 0, "timeout", "request_timeout", "timeout_error",
                               "DEADLINE_EXCEEDED"},
    [ERROR_CONFLICT] = {409, 0, "conflict", "conflict", "conflict_error", "ABORTED"},
    [ERROR_TOO_LARGE] = {413, 0, "invalid_request_error", "request_too_large", "request_too_large",
                         "INVALID_ARGUMENT"},
    [ERROR_URI_TOO_LONG] = {414, 0, "invalid_request_error", "uri_too_long",
                            "invalid_request_error", "INVALID_ARGUMENT"},
    [ERROR_MEDIA_TYPE] = {415, 0, "invalid_request_error", "unsupported_media_type",
                          "invalid_request_error", "INVALID_ARGUMENT"},
    [ERROR_UNPROCESSABLE] = {422, 0, "invalid_request_error", NULL, "invalid_request_error",
                             "INVALID_ARGUMENT"},
    [ERROR_UPGRADE_REQUIRED] = {426, 0, "invalid_request_error", "upgrade_required",
                                "invalid_request_error", "FAILED_PRECONDITION"},
    [ERROR_LIMIT_REQUESTS] = {429, 0, "requests", "rate_limit_exceeded", "rate_limit_error",
                              "RESOURCE_EXHAUSTED"},
    [ERROR_LIMIT_TOKENS] = {429, 0, "tokens", "rate_limit_exceeded", "rate_limit_error",
                            "RESOURCE_EXHAUSTED"},
    [ERROR_QUOTA] = {429, 0, "insufficient_quota", "insufficient_quota", "rate_limit_error",
                     "RESOURCE_EXHAUSTED"},
    [ERROR_HEADERS_TOO_LARGE] = {431, 0, "invalid_request_error", "headers_too_large",
                                 "invalid_request_error", "INVALID_ARGUMENT"},
    [ERROR_INTERNAL] = {500, 0, "server_error", "internal_error", "api_error", "INTERNAL"},
    [ERROR_UPSTREAM_FAILED] = {502, 0, "server_error", "upstream_error", "api_error", "INTERNAL"},
    [ERROR_UNAVAILABLE] = {503, 0, "server_error", "unavailable", "api_error", "UNAVAILABLE"},
    [ERROR_OVERLOADED] = {503, 529, "server_error", "overloaded", "overloaded_error",
                          "UNAVAILABLE"},
    [ERROR_UPSTREAM_TIMEOUT] = {504, 0, "server_error", "upstream_timeout", "timeout_error",
                                "DEADLINE_EXCEEDED"},
};

const char *const error_kind_name[ERROR_KIND_COUNT] = {
    [ERROR_BAD_REQUEST] = "bad-request",
    [ERROR_CONTEXT_TOO_LONG] = "context-too-long",
    [ERROR_UNAUTHENTICATED] = "unauthenticated",
    [ERROR_NO_CREDIT] = "no-credit",
    [ERROR_FORBIDDEN] = "forbidden",
    [ERROR_NO_PATH] = "no-path",
    [ERROR_NO_MODEL] = "no-model",
    [ERROR_NOT_FOUND] = "not-found",
    [ERROR_METHOD] = "method",
    [ERROR_REQUEST_TIMEOUT] = "request-timeout",
    [ERROR_CONFLICT] = "conflict",
    [ERROR_TOO_LARGE] = "too-large",
    [ERROR_URI_TOO_LONG] = "uri-too-long",
    [ERROR_MEDIA_TYPE] = "media-type",
    [ERROR_UNPROCESSABLE] = "unprocessable",
    [ERROR_UPGRADE_REQUIRED] = "upgrade-required",
    [ERROR_LIMIT_REQUESTS] = "limit-requests",
    [ERROR_LIMIT_TOKENS] = "limit-tokens",
    [ERROR_QUOTA] = "quota",
    [ERROR_HEADERS_TOO_LARGE] = "headers-too-large",
    [ERROR_INTERNAL] = "internal",
    [ERROR_UPSTREAM_FAILED] = "upstream-failed",
    [ERROR_UNAVAILABLE] = "unavailable",
    [ERROR_OVERLOADED] = "overloaded",
    [ERROR_UPSTREAM_TIMEOUT] = "upstream-timeout",
};

void
error_set(struct proto_error *error, enum error_kind kind, const char *param, const char *code,
          const char *fmt, ...)
{
    va_list args;

    error->kind = kind;
    error->retry_after_s = 0;
    error->closes = false;
    error->limit[0] = '\0';
    str_copy(str_from(param), error->param, sizeof(error->param));
    str_copy(str_from(code), error->code, sizeof(error->code));
    va_start(args, fmt);
    (void)vsnprintf(error->message, sizeof(error->message), fmt, args);
    va_end(args);
}

void
error_set_limit(struct proto_error *error, const char *whose, const char *which)
{
    (void)snprintf(error->limit, sizeof(error->limit), "%s.%s", whose, which);
}

void
error_set_bad_json(struct proto_error *error, struct str body, const struct js_error *fault)
{
    unsigned line, column;

    js_position(body, fault->offset, &line, &column);
    error_set(error, ERROR_BAD_REQUEST, NULL, "invalid_json",
              "The body is not valid JSON: %s (line %u, column %u, byte %zu)", fault->what, line,
              column, fault->offset);
    error->closes = fault->what == js_too_deep;
}

unsigned
error_status(enum error_kind kind, enum proto_protocol protocol)
{
    if (protocol == PROTO_ANTHROPIC && rows[kind].anthropic_status != 0)
        return rows[kind].anthropic_status;
    return rows[kind].status;
}

const char *
error_reason(unsigned status)
{
    switch (status) {
    case 200: return "OK";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 402: return "Payment Required";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 413: return "Content Too Large";
    case 415: return "Unsupported Media Type";
    case 414: return "URI Too Long";
    case 422: return "Unprocessable Content";
    case 426: return "Upgrade Required";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 529: return "Overloaded";
    default: return "Error";
    }
}

static const char *
openai_code(const struct proto_error *error)
{
    return error->code[0] != '\0' ? error->code : rows[error->kind].openai_code;
}

static void
write_openai(struct jw *jw, const struct proto_error *error)
{
    jw_object(jw);
    jw_key(jw, "error");
    jw_object(jw);
    jw_key_cstr(jw, "message", error->message);
    jw_key_cstr(jw, "type", rows[error->kind].openai_type);
    jw_key_cstr(jw, "param", error->param[0] != '\0' ? error->param : NULL);
    jw_key_cstr(jw, "code", openai_code(error));
    jw_object_end(jw);
    jw_object_end(jw);
}

/* Anthropic has no place for the field's path: it goes in front of the message, where the
 * service itself puts it and where clients that drop refused fields look for it. */
static void
write_anthropic(struct jw *jw, const struct proto_error *error, struct str request_id)
{
    jw_object(jw);
    jw_key_cstr(jw, "type", "error");
    jw_key(jw, "error");
    jw_object(jw);
    jw_key_cstr(jw, "type", rows[error->kind].anthropic_type);
    if (error->kind == ERROR_CONTEXT_TOO_LONG &&
        !str_contains(str_from(error->message), STR("prompt is too long"))) {
        /* By these words clients know that they have to shorten it. */
        char message[ERROR_MESSAGE_MAX + 24];

        snprintf(message, sizeof(message), "prompt is too long: %s", error->message);
        jw_key_cstr(jw, "message", message);
    } else {
        jw_key_cstr(jw, "message", error->message);
    }
    jw_object_end(jw);
    if (request_id.len > 0)
        jw_key_str(jw, "request_id", request_id);
    jw_object_end(jw);
}

static void
write_gemini(struct jw *jw, const struct proto_error *error)
{
    jw_object(jw);
    jw_key(jw, "error");
    jw_object(jw);
    jw_key_u64(jw, "code", error_status(error->kind, PROTO_GEMINI));
    jw_key_cstr(jw, "message", error->message);
    jw_key_cstr(jw, "status", rows[error->kind].gemini_status);
    if (error->retry_after_s > 0) {
        char delay[16];

        (void)snprintf(delay, sizeof(delay), "%us", error->retry_after_s);
        jw_key(jw, "details");
        jw_array(jw);
        jw_object(jw);
        jw_key_cstr(jw, "@type", "type.googleapis.com/google.rpc.RetryInfo");
        jw_key_cstr(jw, "retryDelay", delay);
        jw_object_end(jw);
        jw_array_end(jw);
    }
    jw_object_end(jw);
    jw_object_end(jw);
}

void
error_write_body(struct buf *out, enum proto_protocol protocol, const struct proto_error *error,
                 struct str request_id)
{
    struct jw jw;

    jw_init(&jw, out);
    switch (protocol) {
    case PROTO_ANTHROPIC: write_anthropic(&jw, error, request_id); return;
    case PROTO_GEMINI: write_gemini(&jw, error); return;
    case PROTO_OPENAI:
    case PROTO_RESPONSES:
    case PROTO_PROTOCOL_COUNT: break;
    }
    write_openai(&jw, error);
}

static void
write_responses_event(struct jw *jw, const struct proto_error *error, uint64_t sequence_number)
{
    const char *code = openai_code(error);

    jw_object(jw);
    jw_key_cstr(jw, "type", "error");
    jw_key_cstr(jw, "code", code != NULL ? code : rows[error->kind].openai_type);
    jw_key_cstr(jw, "message", error->message);
    jw_key_cstr(jw, "param", error->param[0] != '\0' ? error->param : NULL);
    jw_key_u64(jw, "sequence_number", sequence_number);
    jw_object_end(jw);
}

void
error_write_event(struct buf *out, enum proto_endpoint endpoint, const struct proto_error *error,
                  uint64_t sequence_number, struct str request_id)
{
    enum proto_protocol protocol = proto_of(endpoint);
    struct jw jw;

    if (protocol == PROTO_RESPONSES || protocol == PROTO_ANTHROPIC)
        buf_add_str(out, STR("event: error\n"));
    buf_add_str(out, STR("data: "));
    jw_init(&jw, out);
    if (protocol == PROTO_RESPONSES)
        write_responses_event(&jw, error, sequence_number);
    else
        error_write_body(out, protocol, error, request_id);
    buf_add_str(out, STR("\n\n"));
}

struct str
error_stream_end_mark(enum proto_endpoint endpoint)
{
    if (endpoint == ENDPOINT_CHAT || endpoint == ENDPOINT_COMPLETIONS)
        return STR("data: [DONE]\n\n");
    return STR_NONE;
}
