/* Paths, headers and model lists. */
#include "base/js.h"
#include "base/str.h"
#include "proto/headers.h"
#include "proto/models.h"
#include "proto/proto.h"
#include "test/unit/testing.h"

static void
test_endpoints(void **state)
{
    static const struct {
        const char *method, *path;
        enum proto_found found;
        enum proto_endpoint endpoint;
        const char *id;
    } rows[] = {
        {"POST", "/v1/chat/completions", PROTO_FOUND, ENDPOINT_CHAT, ""},
        {"POST", "/v1/completions", PROTO_FOUND, ENDPOINT_COMPLETIONS, ""},
        {"POST", "/v1/embeddings", PROTO_FOUND, ENDPOINT_EMBEDDINGS, ""},
        {"POST", "/v1/responses", PROTO_FOUND, ENDPOINT_RESPONSES, ""},
        {"POST", "/v1/messages", PROTO_FOUND, ENDPOINT_MESSAGES, ""},
        {"POST", "/v1/messages/count_tokens", PROTO_FOUND, ENDPOINT_COUNT_TOKENS, ""},
        {"POST", "/v1/images/generations", PROTO_FOUND, ENDPOINT_IMAGES, ""},
        {"POST", "/v1/images/edits", PROTO_FOUND, ENDPOINT_IMAGE_EDITS, ""},
        {"POST", "/v1/audio/speech", PROTO_FOUND, ENDPOINT_SPEECH, ""},
        {"POST", "/v1/audio/transcriptions", PROTO_FOUND, ENDPOINT_TRANSCRIPTIONS, ""},
        {"POST", "/v1/audio/translations", PROTO_FOUND, ENDPOINT_TRANSLATIONS, ""},
        {"POST", "/v1/moderations", PROTO_FOUND, ENDPOINT_MODERATIONS, ""},
        {"POST", "/v1/rerank", PROTO_FOUND, ENDPOINT_RERANK, ""},
        {"POST", "/v1/images/variations", PROTO_NOT_FOUND, ENDPOINT_CHAT, ""},
        {"POST", "/v1/files", PROTO_FOUND, ENDPOINT_FILE_UPLOAD, ""},
        {"GET", "/v1/files", PROTO_FOUND, ENDPOINT_FILES, ""},
        {"GET", "/v1/files/file-a_1", PROTO_FOUND, ENDPOINT_FILE, "file-a_1"},
        {"DELETE", "/v1/files/file-a_1", PROTO_FOUND, ENDPOINT_FILE_DELETE, "file-a_1"},
        {"GET", "/v1/files/file-a_1/content", PROTO_FOUND, ENDPOINT_FILE_CONTENT, "file-a_1"},
        {"GET", "/v1/files/", PROTO_NOT_FOUND, ENDPOINT_CHAT, ""},
        {"GET", "/v1/files/a%2fb", PROTO_NOT_FOUND, ENDPOINT_CHAT, ""},
        {"GET", "/v1/files/../models", PROTO_NOT_FOUND, ENDPOINT_CHAT, ""},
        {"GET", "/v1/files/a/content/", PROTO_NOT_FOUND, ENDPOINT_CHAT, ""},
        {"GET", "/v1/files/a/b", PROTO_NOT_FOUND, ENDPOINT_CHAT, ""},
        {"GET", "/v1/filesystem", PROTO_NOT_FOUND, ENDPOINT_CHAT, ""},
        {"POST", "/v1/batches", PROTO_FOUND, ENDPOINT_BATCH_CREATE, ""},
        {"GET", "/v1/models", PROTO_FOUND, ENDPOINT_MODELS_LIST, ""},
        {"GET", "/v1/models/openai/gpt-5", PROTO_FOUND, ENDPOINT_MODEL_GET, "openai/gpt-5"},
        {"GET", "/v1/receipts/call_1", PROTO_FOUND, ENDPOINT_RECEIPT, "call_1"},
        {"GET", "/v1/balance", PROTO_FOUND, ENDPOINT_BALANCE, ""},
        {"GET", "/healthz", PROTO_FOUND, ENDPOINT_HEALTHZ, ""},
        {"GET", "/readyz", PROTO_FOUND, ENDPOINT_READYZ, ""},
        {"GET", "/v1/realtime", PROTO_FOUND, ENDPOINT_REALTIME, ""},
        {"POST", "/v1/realtime", PROTO_METHOD_NOT_ALLOWED, ENDPOINT_REALTIME, ""},
        {"GET", "/v1/chat/completions", PROTO_METHOD_NOT_ALLOWED, ENDPOINT_CHAT, ""},
        {"post", "/v1/chat/completions", PROTO_METHOD_NOT_ALLOWED, ENDPOINT_CHAT, ""},
        {"POST", "/v1/models", PROTO_METHOD_NOT_ALLOWED, ENDPOINT_MODELS_LIST, ""},
        {"HEAD", "/healthz", PROTO_FOUND, ENDPOINT_HEALTHZ, ""},
        {"HEAD", "/readyz", PROTO_FOUND, ENDPOINT_READYZ, ""},
        {"POST", "/readyz", PROTO_METHOD_NOT_ALLOWED, ENDPOINT_READYZ, ""},
        {"HEAD", "/v1/models", PROTO_METHOD_NOT_ALLOWED, ENDPOINT_MODELS_LIST, ""},
        {"GET", "/v1/responses", PROTO_WEBSOCKET, ENDPOINT_RESPONSES, ""},
        {"DELETE", "/v1/responses", PROTO_METHOD_NOT_ALLOWED, ENDPOINT_RESPONSES, ""},
        {"POST", "/v1/responses/r/cancel", PROTO_NOT_FOUND, ENDPOINT_CHAT, ""},
        {"POST", "/v1/chat/completions/", PROTO_NOT_FOUND, ENDPOINT_CHAT, ""},
        {"POST", "//v1/chat/completions", PROTO_NOT_FOUND, ENDPOINT_CHAT, ""},
        {"POST", "/v1/./chat/completions", PROTO_NOT_FOUND, ENDPOINT_CHAT, ""},
        {"POST", "/V1/chat/completions", PROTO_NOT_FOUND, ENDPOINT_CHAT, ""},
        {"POST", "/v1/chat%2fcompletions", PROTO_NOT_FOUND, ENDPOINT_CHAT, ""},
        {"GET", "/v1/models/", PROTO_NOT_FOUND, ENDPOINT_CHAT, ""},
        {"GET", "", PROTO_NOT_FOUND, ENDPOINT_CHAT, ""},
        {"GET", "/", PROTO_NOT_FOUND, ENDPOINT_CHAT, ""},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct page page = page_make(rows[i].path, strlen(rows[i].path));
        struct proto_what what;

        assert_int_equal(proto_endpoint_of(str_from(rows[i].method), page.text, &what),
                         rows[i].found);
        assert_int_equal(what.endpoint, rows[i].endpoint);
        assert_str(what.id, rows[i].id);
        if (rows[i].found == PROTO_METHOD_NOT_ALLOWED)
            assert_string_equal(what.allow,
                                rows[i].endpoint < ENDPOINT_MODELS_LIST  ? "POST"
                                : rows[i].endpoint == ENDPOINT_HEALTHZ ||
                                        rows[i].endpoint == ENDPOINT_READYZ
                                    ? "GET, HEAD"
                                    : "GET");
        page_free(&page);
    }
}

static void
test_gemini(void **state)
{
    static const struct {
        const char *method, *path, *id, *action;
        enum proto_found found;
        enum proto_endpoint endpoint;
    } cases[] = {
        {"POST", "/v1beta/models/g-2:generateContent", "g-2", "generateContent", PROTO_FOUND,
         ENDPOINT_GENERATE},
        {"POST", "/v1/models/g:streamGenerateContent", "g", "streamGenerateContent", PROTO_FOUND,
         ENDPOINT_GENERATE},
        {"POST", "/v1alpha/tunedModels/a:b:countTokens", "a:b", "countTokens", PROTO_FOUND,
         ENDPOINT_GEMINI_COUNT},
        {"POST", "/v1beta/models/g%3AembedContent", "g", "embedContent", PROTO_FOUND,
         ENDPOINT_GEMINI_EMBED},
        {"POST", "/v1beta/models/g:batchEmbedContents", "g", "batchEmbedContents", PROTO_FOUND,
         ENDPOINT_GEMINI_EMBED},
        {"GET", "/v1beta/models/g:generateContent", "g", "generateContent",
         PROTO_METHOD_NOT_ALLOWED, ENDPOINT_GENERATE},
        {"GET", "/v1beta/models/g", "g", NULL, PROTO_FOUND, ENDPOINT_GEMINI_MODEL},
        {"GET", "/v1beta/models", NULL, NULL, PROTO_FOUND, ENDPOINT_GEMINI_MODELS},
        {"POST", "/v1beta/models/:generateContent", NULL, NULL, PROTO_METHOD_NOT_ALLOWED,
         ENDPOINT_GEMINI_MODEL},
        {"POST", "/v1beta/models/g:predict", NULL, NULL, PROTO_METHOD_NOT_ALLOWED,
         ENDPOINT_GEMINI_MODEL},
        {"POST", "/v1beta/g:generateContent", NULL, NULL, PROTO_NOT_FOUND, ENDPOINT_COUNT},
        {"GET", "/v1/models/a:b", "a:b", NULL, PROTO_FOUND, ENDPOINT_MODEL_GET},
    };
    struct proto_what what;
    char out[80];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        assert_int_equal(
            proto_endpoint_of(str_from(cases[i].method), str_from(cases[i].path), &what),
            cases[i].found);
        if (cases[i].found != PROTO_NOT_FOUND)
            assert_int_equal(what.endpoint, cases[i].endpoint);
        if (cases[i].id != NULL)
            assert_str(what.id, cases[i].id);
        if (cases[i].action != NULL)
            assert_str(what.action, cases[i].action);
    }
    assert_str(proto_gemini_path(STR("a b/c"), STR("generateContent"), out, sizeof(out)),
               "/v1beta/models/a%20b%2Fc:generateContent");
    assert_str(proto_gemini_path(STR("g-2.5"), STR("streamGenerateContent"), out, sizeof(out)),
               "/v1beta/models/g-2.5:streamGenerateContent?alt=sse");
    assert_null(proto_gemini_path(STR("g"), STR("countTokens"), out, 20).ptr);
}

static void
test_files(void **state)
{
    struct proto_what what;
    char out[64];

    (void)state;
    assert_int_equal(proto_endpoint_of(STR("PUT"), STR("/v1/files"), &what),
                     PROTO_METHOD_NOT_ALLOWED);
    assert_string_equal(what.allow, "GET, POST");
    assert_int_equal(proto_endpoint_of(STR("POST"), STR("/v1/files/a"), &what),
                     PROTO_METHOD_NOT_ALLOWED);
    assert_string_equal(what.allow, "GET, DELETE");
    assert_int_equal(proto_endpoint_of(STR("DELETE"), STR("/v1/files/a/content"), &what),
                     PROTO_METHOD_NOT_ALLOWED);
    assert_string_equal(what.allow, "GET");
    assert_str(proto_method(ENDPOINT_FILE_DELETE), "DELETE");
    assert_str(proto_method(ENDPOINT_CHAT), "POST");
    assert_str(proto_file_path(ENDPOINT_FILE_UPLOAD, STR(""), STR("limit=1"), out, sizeof(out)),
               "/files");
    assert_str(proto_file_path(ENDPOINT_FILE_CONTENT, STR("f-1"), STR_NONE, out, sizeof(out)),
               "/files/f-1/content");
    assert_str(proto_file_path(ENDPOINT_FILES, STR(""),
                               STR("key=sk-1&limit=2&after=a%20b&purpose=batch"), out, sizeof(out)),
               "/files?purpose=batch&limit=2");
    assert_null(proto_file_path(ENDPOINT_FILE, STR("f-1"), STR_NONE, out, 9).ptr);
    assert_str(proto_file_path(ENDPOINT_FILE, STR("f-1"), STR_NONE, out, 10), "/files/f-1");
}

static void
test_batches(void **state)
{
    static const struct {
        const char *method, *path;
        enum proto_found found;
        enum proto_endpoint endpoint;
        const char *id, *allow;
    } rows[] = {
        {"POST", "/v1/batches", PROTO_FOUND, ENDPOINT_BATCH_CREATE, "", "GET, POST"},
        {"GET", "/v1/batches", PROTO_FOUND, ENDPOINT_BATCHES, "", "GET, POST"},
        {"PUT", "/v1/batches", PROTO_METHOD_NOT_ALLOWED, ENDPOINT_BATCH_CREATE, "", "GET, POST"},
        {"GET", "/v1/batches/b_1", PROTO_FOUND, ENDPOINT_BATCH, "b_1", "GET"},
        {"DELETE", "/v1/batches/b_1", PROTO_METHOD_NOT_ALLOWED, ENDPOINT_BATCH, "b_1", "GET"},
        {"POST", "/v1/batches/b_1/cancel", PROTO_FOUND, ENDPOINT_BATCH_CANCEL, "b_1", "POST"},
        {"GET", "/v1/batches/b_1/cancel", PROTO_METHOD_NOT_ALLOWED, ENDPOINT_BATCH_CANCEL, "b_1",
         "POST"},
        {"GET", "/v1/batchesx", PROTO_NOT_FOUND, 0, "", NULL},
        {"GET", "/v1/batches/", PROTO_NOT_FOUND, 0, "", NULL},
        {"GET", "/v1/batches/a%2fb", PROTO_NOT_FOUND, 0, "", NULL},
        {"GET", "/v1/batches/b_1/", PROTO_NOT_FOUND, 0, "", NULL},
        {"POST", "/v1/batches/b_1/cancel/", PROTO_NOT_FOUND, 0, "", NULL},
        {"POST", "/v1/messages/batches", PROTO_NOT_FOUND, 0, "", NULL},
    };
    struct proto_what what;
    char out[64];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        assert_int_equal(proto_endpoint_of(str_from(rows[i].method), str_from(rows[i].path), &what),
                         rows[i].found);
        assert_str(what.id, rows[i].id);
        if (rows[i].found == PROTO_NOT_FOUND)
            continue;
        assert_int_equal(what.endpoint, rows[i].endpoint);
        assert_string_equal(what.allow, rows[i].allow);
        assert_true(proto_is_batch(what.endpoint) && proto_is_file(what.endpoint));
    }
    assert_str(proto_method(ENDPOINT_BATCH_CANCEL), "POST");
    assert_str(proto_file_path(ENDPOINT_BATCH_CREATE, STR("f"), STR("limit=1"), out, sizeof(out)),
               "/batches");
    assert_str(proto_file_path(ENDPOINT_BATCHES, STR("b"), STR("limit=1&after=b"), out, sizeof(out)),
               "/batches?limit=1&after=b");
    assert_str(proto_file_path(ENDPOINT_BATCH_CANCEL, STR("b"), STR_NONE, out, sizeof(out)),
               "/batches/b/cancel");
}

static void
test_protocols(void **state)
{
    enum proto_protocol protocol;

    (void)state;
    for (int i = 0; i < ENDPOINT_COUNT; i++) {
        enum proto_endpoint endpoint = (enum proto_endpoint)i;

        assert_non_null(proto_endpoint_name[i]);
        assert_int_equal(proto_is_call(endpoint),
                         i <= ENDPOINT_COUNT_TOKENS ||
                             (i >= ENDPOINT_GENERATE && i <= ENDPOINT_GEMINI_EMBED) ||
                             i == ENDPOINT_REALTIME || proto_is_media(endpoint));
        assert_int_equal(proto_upstream_path(endpoint).ptr != NULL, proto_is_call(endpoint));
    }
    assert_int_equal(proto_of(ENDPOINT_EMBEDDINGS), PROTO_OPENAI);
    assert_int_equal(proto_of(ENDPOINT_RESPONSES), PROTO_RESPONSES);
    assert_int_equal(proto_of(ENDPOINT_COUNT_TOKENS), PROTO_ANTHROPIC);
    assert_str(proto_upstream_path(ENDPOINT_CHAT), "/chat/completions");
    assert_str(proto_upstream_path(ENDPOINT_MESSAGES), "/v1/messages");
    assert_true(proto_protocol_from(STR("anthropic"), &protocol));
    assert_int_equal(protocol, PROTO_ANTHROPIC);
    assert_false(proto_protocol_from(STR("Anthropic"), &protocol));
    assert_int_equal(proto_error_shape(STR("/v1/messages")), PROTO_ANTHROPIC);
    assert_int_equal(proto_error_shape(STR("/v1/messages/batches")), PROTO_ANTHROPIC);
    assert_int_equal(proto_error_shape(STR("/v1beta/models/x:generateContent")), PROTO_GEMINI);
    assert_int_equal(proto_error_shape(STR("/v1/responses/1")), PROTO_RESPONSES);
    assert_int_equal(proto_error_shape(STR("/nothing")), PROTO_OPENAI);
    assert_int_equal(proto_error_shape(STR_NONE), PROTO_OPENAI);
}

static void
test_queries(void **state)
{
    (void)state;
    assert_str(proto_upstream_query(ENDPOINT_MESSAGES, STR("beta=true")), "?beta=true");
    assert_str(proto_upstream_query(ENDPOINT_COUNT_TOKENS, STR("key=sk-1&beta=true")),
               "?beta=true");
    assert_str(proto_upstream_query(ENDPOINT_MESSAGES, STR("beta=false")), "");
    assert_str(proto_upstream_query(ENDPOINT_MESSAGES, STR("xbeta=true&key=k")), "");
    assert_str(proto_upstream_query(ENDPOINT_MESSAGES, STR_NONE), "");
    assert_str(proto_upstream_query(ENDPOINT_CHAT, STR("beta=true&key=k")), "");
    assert_str(proto_query_get(STR("a=1&key=sk&key=2"), STR("key")), "sk");
    assert_str(proto_query_get(STR("a&b="), STR("a")), "");
    assert_null(proto_query_get(STR("a&b="), STR("c")).ptr);
    assert_null(proto_query_get(STR(""), STR("c")).ptr);
    assert_null(proto_query_get(STR_NONE, STR("c")).ptr);
}

static void
test_unescape(void **state)
{
    char out[32];

    (void)state;
    assert_str(proto_unescape(STR("a%2Fb%c3%A4+"), out, sizeof(out)), "a/b\xc3\xa4+");
    assert_str(proto_unescape(STR("plain"), out, sizeof(out)), "plain");
    assert_null(proto_unescape(STR("a%2"), out, sizeof(out)).ptr);
    assert_null(proto_unescape(STR("a%"), out, sizeof(out)).ptr);
    assert_null(proto_unescape(STR("a%zz"), out, sizeof(out)).ptr);
    assert_null(proto_unescape(STR("a%00"), out, sizeof(out)).ptr);
    assert_null(proto_unescape(STR("a%0d"), out, sizeof(out)).ptr);
    assert_null(proto_unescape(STR(""), out, sizeof(out)).ptr);
    assert_null(proto_unescape(STR("abc"), out, 2).ptr);
}

static void
test_headers_up(void **state)
{
    static const char *const never[] = {
        "authorization",
        "Authorization",
        "x-api-key",
        "x-goog-api-key",
        "cookie",
        "host",
        "connection",
        "keep-alive",
        "te",
        "transfer-encoding",
        "content-length",
        "upgrade",
        "expect",
        "proxy-authorization",
        "accept-encoding",
        "content-encoding",
        "x-forwarded-for",
        "forwarded",
        "x-real-ip",
        "x-turnpike-channel",
        "x-stainless-os",
        "x-codex-",
        "",
        "x-request-id",
        "via",
        "trailer",
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(never); i++) {
        for (int p = 0; p < PROTO_PROTOCOL_COUNT; p++)
            assert_false(headers_go_up((enum proto_protocol)p, str_from(never[i])));
    }
    assert_true(headers_go_up(PROTO_OPENAI, STR("Content-Type")));
    assert_true(headers_go_up(PROTO_ANTHROPIC, STR("content-type")));
    assert_true(headers_go_up(PROTO_OPENAI, STR("OpenAI-Organization")));
    assert_true(headers_go_up(PROTO_RESPONSES, STR("x-codex-turn-metadata")));
    assert_true(headers_go_up(PROTO_ANTHROPIC, STR("anthropic-beta")));
    assert_false(headers_go_up(PROTO_OPENAI, STR("anthropic-beta")));
    assert_false(headers_go_up(PROTO_ANTHROPIC, STR("openai-organization")));
    assert_false(headers_go_up(PROTO_ANTHROPIC, STR("x-codex-turn-metadata")));
}

/* Each name of the lists, and nothing that is one byte longer, shorter or other. */
static void
test_every_header(void **state)
{
    static const struct {
        const char *name,
            *up; /* a letter for each protocol: openai, responses, anthropic, gemini */
        const char *down;
    } all[] = {
        {"accept", "orag", NULL},
        {"content-type", "orag", "content-type"},
        {"user-agent", "orag", NULL},
        {"traceparent", "orag", NULL},
        {"tracestate", "orag", NULL},
        {"idempotency-key", "orag", NULL},
        {"openai-organization", "or", NULL},
        {"openai-project", "or", NULL},
        {"openai-beta", "or", NULL},
        {"session-id", "or", NULL},
        {"session_id", "or", NULL},
        {"thread-id", "or", NULL},
        {"conversation_id", "or", NULL},
        {"x-client-request-id", "or", NULL},
        {"originator", "or", NULL},
        {"version", "or", NULL},
        {"anthropic-version", "a", NULL},
        {"anthropic-beta", "a", NULL},
        {"anthropic-dangerous-direct-browser-access", "a", NULL},
        {"x-app", "a", NULL},
        {"x-claude-code-session-id", "a", NULL},
        {"x-goog-api-client", "g", NULL},
        {"retry-after", "", "retry-after"},
        {"retry-after-ms", "", "retry-after-ms"},
        {"x-should-retry", "", "x-should-retry"},
        {"openai-processing-ms", "", "openai-processing-ms"},
        {"openai-version", "", "openai-version"},
        {"openai-model", "", "openai-model"},
        {"request-id", "", "x-upstream-request-id"},
        {"x-request-id", "", "x-upstream-request-id"},
    };
    static const char letters[PROTO_PROTOCOL_COUNT] = "orag";
    char text[64];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        struct str name = str_from(all[i].name);

        for (int p = 0; p < PROTO_PROTOCOL_COUNT; p++)
            assert_int_equal(headers_go_up((enum proto_protocol)p, name),
                             strchr(all[i].up, letters[p]) != NULL);
        if (all[i].down == NULL)
            assert_null(headers_come_down(name).ptr);
        else
            assert_str(headers_come_down(name), all[i].down);
        for (size_t at = 0; at < name.len; at++) {
            memcpy(text, name.ptr, name.len);
            text[at] = (char)(text[at] - 0x20); /* a capital, or what only looks like one */
            assert_int_equal(headers_go_up(PROTO_OPENAI, (struct str){text, name.len}),
                             name.ptr[at] >= 'a' && strchr(all[i].up, 'o') != NULL);
            text[at] = '!';
            assert_false(headers_go_up(PROTO_OPENAI, (struct str){text, name.len}));
            assert_false(headers_go_up(PROTO_ANTHROPIC, (struct str){text, name.len}));
            assert_null(headers_come_down((struct str){text, name.len}).ptr);
        }
        assert_false(headers_go_up(PROTO_GEMINI, (struct str){name.ptr, name.len - 1}));
    }
}

static void
test_headers_down(void **state)
{
    static const char *const never[] = {
        "set-cookie",
        "connection",
        "transfer-encoding",
        "content-length",
        "content-encoding",
        "location",
        "server",
        "date",
        "www-authenticate",
        "alt-svc",
        "strict-transport-security",
        "anthropic-organization-id",
        "openai-organization",
        "cf-ray",
        "x-ratelimit-",
        "",
        "x-turnpike-cost",
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(never); i++)
        assert_null(headers_come_down(str_from(never[i])).ptr);
    assert_str(headers_come_down(STR("Content-Type")), "content-type");
    assert_str(headers_come_down(STR("request-id")), "x-upstream-request-id");
    assert_str(headers_come_down(STR("X-Request-Id")), "x-upstream-request-id");
    assert_str(headers_come_down(STR("x-ratelimit-limit-tokens")), "x-ratelimit-limit-tokens");
    assert_str(headers_come_down(STR("anthropic-ratelimit-tokens-limit")),
               "anthropic-ratelimit-tokens-limit");
}

static const struct models_entry entries[] = {
    {.id = {"a", 1}, .family = {"gpt", 3}, .created_s = 1760000000},
    {.id = {"b", 1}},
    {.id = {"c", 1}},
    {.id = {"d", 1}},
};

static void
check_list(enum proto_protocol shape, const char *query, const char *want)
{
    struct models_query page;
    struct proto_error error;
    struct js_value ignored;
    struct js_error fault;
    struct buf out;

    buf_init(&out, 1 << 16);
    assert_true(models_query_read(str_from(query), PROTO_ANTHROPIC, &page, &error));
    models_write_list(&out, shape, entries, COUNT_OF(entries), &page);
    assert_true(js_check(buf_str(&out), &ignored, &fault));
    if (want[0] == '{') {
        assert_str(buf_str(&out), want);
    } else {
        /* Only the ids, then whether there is more. */
        char ids[32] = "";
        struct js_value key, entry;
        struct js_iter it;

        for (js_iter_init(&it, js_get(ignored, STR("data"))); js_next(&it, &key, &entry);)
            strncat(ids, js_get(entry, STR("id")).raw.ptr, 1);
        if (js_bool(js_get(ignored, STR("has_more")), false))
            strcat(ids, "+");
        assert_string_equal(ids, want);
    }
    buf_free(&out);
}

static void
test_models(void **state)
{
    struct buf out;

    (void)state;
    check_list(PROTO_OPENAI, NULL,
               "{\"object\":\"list\",\"data\":["
               "{\"id\":\"a\",\"object\":\"model\",\"created\":1760000000,\"owned_by\":\"gpt\"},"
               "{\"id\":\"b\",\"object\":\"model\",\"created\":0,\"owned_by\":\"turnpike\"},"
               "{\"id\":\"c\",\"object\":\"model\",\"created\":0,\"owned_by\":\"turnpike\"},"
               "{\"id\":\"d\",\"object\":\"model\",\"created\":0,\"owned_by\":\"turnpike\"}]}");
    check_list(
        PROTO_ANTHROPIC, "limit=1",
        "{\"data\":[{\"type\":\"model\",\"id\":\"a\",\"display_name\":\"a\","
        "\"created_at\":\"2025-10-09T08:53:20.000000Z\"}],\"has_more\":true,\"first_id\":\"a\","
        "\"last_id\":\"a\"}");
    check_list(PROTO_ANTHROPIC, "limit=1000", "abcd");
    check_list(PROTO_ANTHROPIC, "limit=2&after_id=a", "bc+");
    check_list(PROTO_ANTHROPIC, "limit=2&after_id=b", "cd");
    check_list(PROTO_ANTHROPIC, "after_id=%64", "");
    check_list(PROTO_ANTHROPIC, "limit=2&before_id=d", "bc+");
    check_list(PROTO_ANTHROPIC, "limit=2&before_id=c", "ab");
    check_list(PROTO_ANTHROPIC, "before_id=a", "");
    check_list(PROTO_ANTHROPIC, "after_id=unknown", "");
    check_list(PROTO_ANTHROPIC, "before_id=unknown",
               "{\"data\":[],\"has_more\":false,\"first_id\":null,\"last_id\":null}");

    buf_init(&out, 1 << 16);
    models_write_one(&out, PROTO_ANTHROPIC, &entries[1]);
    assert_str(buf_str(&out), "{\"type\":\"model\",\"id\":\"b\",\"display_name\":\"b\","
                              "\"created_at\":\"1970-01-01T00:00:00Z\"}");
    buf_free(&out);
    models_write_one(&out, PROTO_OPENAI, &entries[0]);
    assert_str(buf_str(&out), "{\"id\":\"a\",\"object\":\"model\",\"created\":1760000000,"
                              "\"owned_by\":\"gpt\"}");
    buf_free(&out);
    models_write_list(&out, PROTO_ANTHROPIC, entries, 0, NULL);
    assert_true(out.len > 0);
    buf_free(&out);
}

static void
test_models_query(void **state)
{
    static const char *const bad[] = {
        "limit=0", "limit=1001", "limit=-1", "limit=", "limit=x", "after_id=%0a", "before_id=%"};
    struct models_query query;
    struct proto_error error;
    char text[400];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        assert_false(models_query_read(str_from(bad[i]), PROTO_ANTHROPIC, &query, &error));
        assert_int_equal(error.kind, ERROR_BAD_REQUEST);
    }
    assert_true(models_query_read(STR_NONE, PROTO_ANTHROPIC, &query, &error));
    assert_int_equal(query.limit, 20);
    for (int len = MODELS_CURSOR_LEN_MAX; len <= MODELS_CURSOR_LEN_MAX + 1; len++) {
        snprintf(text, sizeof(text), "after_id=%0*d", len, 0);
        assert_int_equal(models_query_read(str_from(text), PROTO_ANTHROPIC, &query, &error),
                         len == MODELS_CURSOR_LEN_MAX);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_endpoints),    cmocka_unit_test(test_protocols),
        cmocka_unit_test(test_files), cmocka_unit_test(test_batches),
        cmocka_unit_test(test_gemini),
        cmocka_unit_test(test_queries),      cmocka_unit_test(test_unescape),
        cmocka_unit_test(test_headers_up),   cmocka_unit_test(test_every_header),
        cmocka_unit_test(test_headers_down), cmocka_unit_test(test_models),
        cmocka_unit_test(test_models_query),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
