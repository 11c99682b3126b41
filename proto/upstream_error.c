/*
 * What an upstream says about a failure, turned into what a client may hear.
 *
 * Only errors that are the request's own fault keep the upstream's words: clients drop the
 * field it names, or compact a prompt that is too long. All other texts may hold the
 * operator's organisation, an address or a key, and are replaced by a sentence of ours.
 */
#include <stdio.h>
#include <string.h>

#include "base/js.h"
#include "base/str.h"
#include "proto/error.h"

/* Of an upstream's message, before secrets are taken out: enough that what is left after the cut
 * to ERROR_MESSAGE_MAX was looked at whole. */
#define TEXT_CAP 2048
#define SECRET_LEN_MIN 4
#define RETRY_AFTER_S_MAX 86400u

size_t
error_redact(char *text, size_t text_len, struct error_secrets secrets)
{
    for (size_t i = 0; i < secrets.count; i++) {
        struct str secret = secrets.list[i];
        size_t from = 0;

        if (secret.len < SECRET_LEN_MIN)
            continue;
        for (;;) {
            char *hit = memmem(text + from, text_len - from, secret.ptr, secret.len);

            if (hit == NULL)
                break;
            from = (size_t)(hit - text) + 3;
            memcpy(hit, "***", 3);
            memmove(hit + 3, hit + secret.len, text_len - (size_t)(hit - text) - secret.len);
            text_len -= secret.len - 3;
        }
    }
    return text_len;
}

/* The longest beginning of a JSON string's raw bytes that is at most cap bytes and ends between
 * two characters of it. */
static size_t
raw_prefix_len(struct str raw, size_t cap)
{
    size_t at = 0;

    if (raw.len <= cap)
        return raw.len;
    while (at < cap) {
        size_t step = 1;

        if (raw.ptr[at] == '\\') {
            step = raw.ptr[at + 1] == 'u' ? 6 : 2;
            /* The first half of a surrogate pair, \uD8xx to \uDBxx, drags the second along. */
            if (step == 6 && (raw.ptr[at + 2] | 0x20) == 'd' &&
                strchr("89abAB", raw.ptr[at + 3]) != NULL)
                step = 12;
        }
        if (at + step > cap)
            break;
        at += step;
    }
    while (at > 0 && ((uint8_t)raw.ptr[at] & 0xc0) == 0x80)
        at--;
    return at;
}

static bool
looks_like_html(struct str text)
{
    static const char *const marks[] = {"<html", "<!doctype", "<head", "<body", "<script"};

    for (size_t at = str_find(text, '<', 0); at < text.len; at = str_find(text, '<', at + 1)) {
        for (unsigned i = 0; i < COUNT_OF(marks); i++) {
            struct str mark = str_from(marks[i]);

            if (text.len - at >= mark.len &&
                str_eq_nocase((struct str){text.ptr + at, mark.len}, mark))
                return true;
        }
    }
    return false;
}

/*
 * An upstream's string as text for a client: unescaped, secrets out, one line, at most
 * out_cap - 1 bytes. False when it is no string, empty, or HTML.
 */
static bool
text_from(struct js_value value, struct error_secrets secrets, char *out, size_t out_cap)
{
    char text[TEXT_CAP];
    size_t longest = 0, len;
    struct js_value head = value;

    if (value.type != JS_STRING)
        return false;
    head.raw.len = raw_prefix_len(value.raw, sizeof(text));
    struct str plain = js_unescape(head, text, sizeof(text));
    if (plain.ptr == NULL || looks_like_html(plain))
        return false;
    if (plain.ptr != text)
        memcpy(text, plain.ptr, plain.len);
    size_t whole = error_redact(text, plain.len, secrets);
    len = whole;

    /* A secret that the cut went through was not found: drop what may be its beginning. */
    if (head.raw.len < value.raw.len) {
        for (size_t i = 0; i < secrets.count; i++)
            longest = MAX(longest, secrets.list[i].len);
        len -= MIN(len, longest);
    }
    len = MIN(len, out_cap - 1);
    while (len > 0 && len < whole && ((uint8_t)text[len] & 0xc0) == 0x80)
        len--;
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)text[i] < 0x20 || text[i] == 0x7f ? ' ' : text[i];
    out[len] = '\0';
    return str_trim((struct str){out, len}).len > 0;
}

/* What an error object says, wherever its maker put it. */
struct said {
    struct js_value message, type, code, param;
    struct js_value details; /* Gemini's */
};

static struct said
said_by(struct js_value document)
{
    struct said said = {.message = {.type = JS_NONE}};
    struct js_value error = js_get(document, STR("error"));
    struct js_value from = js_is(error, JS_OBJECT) ? error : document;

    /* Gemini sends a list of one outside of streams. */
    if (js_is(document, JS_ARRAY)) {
        struct js_iter it;
        struct js_value key, first;

        js_iter_init(&it, document);
        if (js_next(&it, &key, &first) && js_is(js_get(first, STR("error")), JS_OBJECT))
            from = js_get(first, STR("error"));
    }
    /* Responses: {"type":"response.failed","response":{"error":{…}}}. */
    struct js_value failed = js_path(document, "response", "error", NULL);
    if (js_is(failed, JS_OBJECT))
        from = failed;

    said.message = js_get(from, STR("message"));
    said.type = js_get(from, STR("type"));
    if (!js_is(said.type, JS_STRING))
        said.type = js_get(from, STR("status")); /* Gemini's word for it */
    said.details = js_get(from, STR("details"));
    said.code = js_get(from, STR("code"));
    said.param = js_get(from, STR("param"));
    if (!js_is(said.message, JS_STRING) && js_is(error, JS_STRING))
        said.message = error;
    if (!js_is(said.message, JS_STRING))
        said.message = js_get(from, STR("detail"));
    return said;
}

static bool
says(const struct said *said, const char *word)
{
    return js_str_eq(said->type, str_from(word)) || js_str_eq(said->code, str_from(word));
}

/* Gemini's RetryInfo: "17s", "1.5s". In whole seconds, at least 1; 0 when it says nothing. */
static uint32_t
retry_info_s(const struct said *said)
{
    struct js_value key, detail, delay;
    struct js_iter it;

    for (js_iter_init(&it, said->details); js_next(&it, &key, &detail);) {
        delay = js_get(detail, STR("retryDelay"));
        if (js_is(delay, JS_STRING) && str_ends_with(delay.raw, STR("s")))
            return error_retry_after_s((struct str){delay.raw.ptr, delay.raw.len - 1}, STR_NONE);
    }
    return 0;
}

/* Gemini answers 400 to a key that it does not know. */
static bool
refuses_key(const struct said *said)
{
    struct js_value key, detail;
    struct js_iter it;

    for (js_iter_init(&it, said->details); js_next(&it, &key, &detail);)
        if (js_str_eq(js_get(detail, STR("reason")), STR("API_KEY_INVALID")))
            return true;
    return false;
}

/* Not every maker has a code for it; clients shorten what they send when they hear of it. */
static bool
is_too_long(const struct said *said)
{
    static const char *const words[] = {"prompt is too long", "maximum context length",
                                        "context length exceeded",
                                        "exceeds the maximum number of tokens",
                                        "exceeds the context window"};

    if (says(said, "context_length_exceeded"))
        return true;
    for (size_t i = 0; i < COUNT_OF(words) && js_is(said->message, JS_STRING); i++)
        if (str_contains(said->message.raw, str_from(words[i])))
            return true;
    return false;
}

static void
set_message(struct proto_error *out, enum error_kind kind)
{
    const char *text = "The upstream failed to answer this request.";

    if (kind == ERROR_LIMIT_REQUESTS)
        text = "The upstream is limiting requests. Please try again later.";
    else if (kind == ERROR_QUOTA)
        text = "The gateway's quota at the upstream is used up.";
    else if (kind == ERROR_OVERLOADED)
        text = "The upstream is overloaded. Please try again later.";
    else if (kind == ERROR_UPSTREAM_TIMEOUT)
        text = "The upstream took too long to answer.";
    else if (kind == ERROR_NO_MODEL)
        text = "The upstream does not know this model.";
    else if (kind == ERROR_BAD_REQUEST || kind == ERROR_CONTEXT_TOO_LONG ||
             kind == ERROR_TOO_LARGE || kind == ERROR_UNPROCESSABLE)
        text = "The upstream refused this request as invalid.";
    else if (kind == ERROR_CONFLICT)
        text = "The upstream reports a conflict. Please try again.";
    error_set(out, kind, NULL, NULL, "%s", text);
}

/* The upstream's words, for kinds that are the request's own fault. */
static void
keep_words(struct proto_error *out, const struct said *said, struct error_secrets secrets)
{
    char text[ERROR_MESSAGE_MAX];

    if (!text_from(said->message, secrets, text, sizeof(text)))
        return;
    memcpy(out->message, text, sizeof(text));
    if (!text_from(said->param, secrets, out->param, sizeof(out->param)))
        out->param[0] = '\0';
    if (!text_from(said->code, secrets, out->code, sizeof(out->code)))
        out->code[0] = '\0';
}

bool
error_is_of_request(enum error_kind kind)
{
    return kind == ERROR_BAD_REQUEST || kind == ERROR_CONTEXT_TOO_LONG || kind == ERROR_NO_MODEL ||
           kind == ERROR_TOO_LARGE || kind == ERROR_UNPROCESSABLE;
}

static enum error_kind
kind_of_status(unsigned status, const struct said *said)
{
    bool has_words = js_is(said->message, JS_STRING);

    switch (status) {
    case 400:
        if (refuses_key(said))
            return ERROR_UPSTREAM_FAILED;
        return is_too_long(said) ? ERROR_CONTEXT_TOO_LONG : ERROR_BAD_REQUEST;
    case 402: return ERROR_QUOTA;
    /* A 404 without a word is a wrong base URL, and that is the operator's. */
    case 404: return has_words ? ERROR_NO_MODEL : ERROR_UPSTREAM_FAILED;
    case 408: return ERROR_UPSTREAM_TIMEOUT;
    case 409: return ERROR_CONFLICT;
    case 413: return ERROR_TOO_LARGE;
    case 422: return ERROR_UNPROCESSABLE;
    case 429:
        return says(said, "insufficient_quota") || says(said, "billing_error")
                   ? ERROR_QUOTA
                   : ERROR_LIMIT_REQUESTS;
    case 503:
    case 529: return ERROR_OVERLOADED;
    case 504: return ERROR_UPSTREAM_TIMEOUT;
    default: return ERROR_UPSTREAM_FAILED;
    }
}

void
error_from_upstream(const struct upstream_answer *answer, struct error_secrets secrets,
                    struct proto_error *out)
{
    struct js_value document;
    struct js_error ignored;
    struct said said = {.message = {.type = JS_NONE}};

    if (js_check_lenient(answer->body, &document, NULL, &ignored))
        said = said_by(document);
    enum error_kind kind = kind_of_status(answer->status, &said);
    set_message(out, kind);
    if (error_is_of_request(kind))
        keep_words(out, &said, secrets);
    if (answer->status == 401 || answer->status == 403 ||
        (answer->status == 400 && refuses_key(&said)))
        error_set(out, kind, NULL, NULL,
                  "The upstream refused the gateway's own credentials. This is for the operator "
                  "of the gateway to repair.");
    if (kind == ERROR_LIMIT_REQUESTS || kind == ERROR_OVERLOADED)
        out->retry_after_s = MAX(
            error_retry_after_s(answer->retry_after, answer->retry_after_ms), retry_info_s(&said));
    if (kind == ERROR_LIMIT_REQUESTS && out->retry_after_s == 0)
        out->retry_after_s = 1;
}

static enum error_kind
kind_of_words(const struct said *said)
{
    static const struct {
        const char *word;
        enum error_kind kind;
    } words[] = {
        {"context_length_exceeded", ERROR_CONTEXT_TOO_LONG},
        {"insufficient_quota", ERROR_QUOTA},
        {"billing_error", ERROR_QUOTA},
        {"rate_limit_error", ERROR_LIMIT_REQUESTS},
        {"rate_limit_exceeded", ERROR_LIMIT_REQUESTS},
        {"overloaded_error", ERROR_OVERLOADED},
        {"overloaded", ERROR_OVERLOADED},
        {"timeout_error", ERROR_UPSTREAM_TIMEOUT},
        {"timeout", ERROR_UPSTREAM_TIMEOUT},
        {"authentication_error", ERROR_UPSTREAM_FAILED},
        {"permission_error", ERROR_UPSTREAM_FAILED},
        {"invalid_api_key", ERROR_UPSTREAM_FAILED},
        {"not_found_error", ERROR_NO_MODEL},
        {"model_not_found", ERROR_NO_MODEL},
        {"request_too_large", ERROR_TOO_LARGE},
        {"invalid_prompt", ERROR_BAD_REQUEST},
        {"invalid_request_error", ERROR_BAD_REQUEST},
        {"RESOURCE_EXHAUSTED", ERROR_LIMIT_REQUESTS},
        {"UNAVAILABLE", ERROR_OVERLOADED},
        {"DEADLINE_EXCEEDED", ERROR_UPSTREAM_TIMEOUT},
        {"UNAUTHENTICATED", ERROR_UPSTREAM_FAILED},
        {"PERMISSION_DENIED", ERROR_UPSTREAM_FAILED},
        {"NOT_FOUND", ERROR_NO_MODEL},
        {"INVALID_ARGUMENT", ERROR_BAD_REQUEST},
        {"FAILED_PRECONDITION", ERROR_BAD_REQUEST},
    };
    uint64_t status;

    if (refuses_key(said))
        return ERROR_UPSTREAM_FAILED;
    for (unsigned i = 0; i < COUNT_OF(words); i++) {
        if (says(said, words[i].word))
            return words[i].kind == ERROR_BAD_REQUEST && is_too_long(said) ? ERROR_CONTEXT_TOO_LONG
                                                                           : words[i].kind;
    }
    /* Some servers put the HTTP status they would have sent into the code. */
    if (js_count(said->code, 599, &status))
        return kind_of_status((unsigned)status, said);
    return ERROR_UPSTREAM_FAILED;
}

void
error_from_object(struct str data, struct error_secrets secrets, struct proto_error *out)
{
    struct js_value document;
    struct js_error ignored;
    struct said said = {.message = {.type = JS_NONE}};

    if (js_check_lenient(data, &document, NULL, &ignored))
        said = said_by(document);
    enum error_kind kind = kind_of_words(&said);
    set_message(out, kind);
    if (error_is_of_request(kind))
        keep_words(out, &said, secrets);
    if (kind == ERROR_LIMIT_REQUESTS)
        out->retry_after_s = MAX(retry_info_s(&said), 1u);
}

bool
error_may_fail_over(const struct proto_error *error)
{
    return !error_is_of_request(error->kind) && error->kind != ERROR_CONFLICT;
}

/* Digits with an optional fraction, of which any makes one more. */
static bool
read_rounded_up(struct str text, uint64_t *out)
{
    struct str fraction;
    struct str whole = str_split(str_trim(text), '.', &fraction);

    if (!str_to_count(whole, 9999999999u, out))
        return false;
    for (size_t i = 0; i < fraction.len; i++) {
        if (fraction.ptr[i] < '0' || fraction.ptr[i] > '9')
            return false;
    }
    for (size_t i = 0; i < fraction.len; i++) {
        if (fraction.ptr[i] != '0') {
            *out += 1;
            break;
        }
    }
    return true;
}

uint32_t
error_retry_after_s(struct str retry_after, struct str retry_after_ms)
{
    uint64_t n;

    if (read_rounded_up(retry_after_ms, &n))
        n = (n + 999) / 1000;
    else if (!read_rounded_up(retry_after, &n))
        return 0;
    return (uint32_t)MIN(MAX(n, 1u), RETRY_AFTER_S_MAX);
}
