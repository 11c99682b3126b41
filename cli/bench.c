#include "cli/bench.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/jw.h"
#include "base/str.h"
#include "base/ucr.h"
#include "cli/help.h"
#include "cli/local.h"
#include "cli/secret.h"
#include "conf/url.h"
#include "net/h1_write.h"

#define CONNECTIONS_DEFAULT 8
#define CONNECTIONS_OPEN_DEFAULT 1000
#define CONNECTIONS_MAX 10000
#define RATE_MAX 100000
#define SECONDS_DEFAULT 10
#define SECONDS_MAX 86400
#define REQUESTS_DEFAULT 100
#define REQUESTS_MAX 100000000
#define TOKENS_DEFAULT 64
#define TIMEOUT_S_DEFAULT 120
#define TIMEOUT_S_MAX 3600
#define DESCRIPTORS_SPARE 32
#define BODY_BYTES_MAX (16u << 20)
#define HEAD_BYTES_MAX 16384
#define SECRET_BYTES_MAX 8192
#define PROMPT_DEFAULT "Say hello."

/* ---- options ---- */

/* A whole number from 1 on; *out is left as it is when the option was not given. */
static enum cli_exit
take_count(const struct cli_local *local, const char *flag, const char *name, uint64_t max,
           uint64_t *out)
{
    const char *value = local_value(local, name);
    char hint[64];

    if (value == NULL || (str_to_count(str_from(value), max, out) && *out > 0))
        return CLI_DONE;
    (void)snprintf(hint, sizeof(hint), "a number from 1 to %" PRIu64, max);
    return complain(CLI_USAGE, flag, value[0] != '\0' ? value : "a value must follow", hint);
}

static enum cli_exit
take_rate(const struct cli_local *local, uint64_t *rate_m)
{
    const char *value = local_value(local, "rate");
    int64_t m;

    if (value == NULL)
        return CLI_DONE;
    if (!decimal_parse(str_from(value), 3, &m) || m <= 0 || m > (int64_t)RATE_MAX * 1000)
        return complain(CLI_USAGE, "--rate", value, "calls a second, from 0.001 to 100000");
    *rate_m = (uint64_t)m;
    return CLI_DONE;
}

static enum cli_exit
take_amounts(const struct cli_local *local, struct bench_setup *setup, uint64_t *tokens)
{
    bool bounded = local_value(local, "seconds") != NULL || local_value(local, "requests") != NULL;
    uint64_t connections, timeout_s = TIMEOUT_S_DEFAULT;
    enum cli_exit rc = take_rate(local, &setup->rate_m);

    connections = setup->rate_m > 0 ? CONNECTIONS_OPEN_DEFAULT : CONNECTIONS_DEFAULT;
    setup->seconds = local_value(local, "requests") != NULL ? SECONDS_MAX : SECONDS_DEFAULT;
    setup->requests = bounded ? 0 : REQUESTS_DEFAULT;
    *tokens = TOKENS_DEFAULT;
    if (rc == CLI_DONE)
        rc = take_count(local, "--connections", "connections", CONNECTIONS_MAX, &connections);
    if (rc == CLI_DONE)
        rc = take_count(local, "--seconds", "seconds", SECONDS_MAX, &setup->seconds);
    if (rc == CLI_DONE)
        rc = take_count(local, "--requests", "requests", REQUESTS_MAX, &setup->requests);
    if (rc == CLI_DONE)
        rc = take_count(local, "--timeout", "timeout", TIMEOUT_S_MAX, &timeout_s);
    if (rc == CLI_DONE)
        rc = take_count(local, "--max-tokens", "max_tokens", 1000000, tokens);
    setup->connections = (unsigned)connections;
    setup->timeout_ms = (unsigned)timeout_s * 1000;
    if (setup->rate_m == 0 && setup->requests > 0)
        setup->connections = (unsigned)MIN(connections, setup->requests);
    return rc;
}

static enum cli_exit
take_api(const struct cli_local *local, struct bench_setup *setup)
{
    static const enum proto_endpoint endpoint[PROTO_PROTOCOL_COUNT] = {
        [PROTO_OPENAI] = ENDPOINT_CHAT,
        [PROTO_RESPONSES] = ENDPOINT_RESPONSES,
        [PROTO_ANTHROPIC] = ENDPOINT_MESSAGES,
        [PROTO_GEMINI] = ENDPOINT_GENERATE,
    };
    const char *value = local_value(local, "api");

    setup->api = PROTO_OPENAI;
    if (value != NULL && !proto_protocol_from(str_from(value), &setup->api))
        return complain(CLI_USAGE, "--api", value, "openai, responses, anthropic or gemini");
    setup->endpoint = endpoint[setup->api];
    setup->stream = local_value(local, "stream") != NULL;
    return CLI_DONE;
}

/* ---- the request ---- */

/* What is to be sent, and where its parts come from. */
struct letter {
    struct url url;
    const char *model, *prompt;
    uint64_t tokens;
    char secret[SECRET_BYTES_MAX];
    struct buf body;
};

static void
messages_write(struct jw *jw, const char *prompt)
{
    jw_key(jw, "messages");
    jw_array(jw);
    jw_object(jw);
    jw_key_cstr(jw, "role", "user");
    jw_key_cstr(jw, "content", prompt);
    jw_object_end(jw);
    jw_array_end(jw);
}

static void
gemini_write(struct jw *jw, const struct letter *letter)
{
    jw_key(jw, "contents");
    jw_array(jw);
    jw_object(jw);
    jw_key_cstr(jw, "role", "user");
    jw_key(jw, "parts");
    jw_array(jw);
    jw_object(jw);
    jw_key_cstr(jw, "text", letter->prompt);
    jw_object_end(jw);
    jw_array_end(jw);
    jw_object_end(jw);
    jw_array_end(jw);
    jw_key(jw, "generationConfig");
    jw_object(jw);
    jw_key_u64(jw, "maxOutputTokens", letter->tokens);
    jw_object_end(jw);
}

static void
body_write(const struct bench_setup *setup, struct letter *letter)
{
    struct jw jw;

    jw_init(&jw, &letter->body);
    jw_object(&jw);
    if (setup->api != PROTO_GEMINI) {
        jw_key_cstr(&jw, "model", letter->model);
        jw_key_bool(&jw, "stream", setup->stream);
    }
    switch (setup->api) {
    case PROTO_OPENAI:
        messages_write(&jw, letter->prompt);
        jw_key_u64(&jw, "max_completion_tokens", letter->tokens);
        if (setup->stream) {
            jw_key(&jw, "stream_options");
            jw_object(&jw);
            jw_key_bool(&jw, "include_usage", true);
            jw_object_end(&jw);
        }
        break;
    case PROTO_RESPONSES:
        jw_key_cstr(&jw, "input", letter->prompt);
        jw_key_u64(&jw, "max_output_tokens", MAX(letter->tokens, 16u));
        break;
    case PROTO_ANTHROPIC:
        messages_write(&jw, letter->prompt);
        jw_key_u64(&jw, "max_tokens", letter->tokens);
        break;
    case PROTO_GEMINI: gemini_write(&jw, letter); break;
    case PROTO_PROTOCOL_COUNT: break;
    }
    jw_object_end(&jw);
}

static enum cli_exit
body_read(const char *path, struct buf *body)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = 1;

    if (fd < 0)
        return complain(CLI_FAILED, path, strerror(errno), NULL);
    while (n > 0 && buf_reserve(body, 65536)) {
        n = read(fd, body->ptr + body->len, 65536);
        body->len += n > 0 ? (size_t)n : 0;
    }
    close(fd);
    if (n != 0)
        return complain(CLI_FAILED, path, n < 0 ? strerror(errno) : "it is larger than 16 MiB", NULL);
    return CLI_DONE;
}

static void
auth_write(const struct bench_setup *setup, const struct letter *letter, struct h1_out *out)
{
    struct str secret = str_from(letter->secret);

    if (setup->api == PROTO_ANTHROPIC)
        h1_out_own(out, "anthropic-version: ", STR("2023-06-01"));
    if (secret.len == 0)
        return;
    if (setup->api == PROTO_ANTHROPIC)
        h1_out_own(out, "x-api-key: ", secret);
    else if (setup->api == PROTO_GEMINI)
        h1_out_own(out, "x-goog-api-key: ", secret);
    else
        h1_out_own(out, "authorization: Bearer ", secret);
}

/* The base is what the maker's SDK takes: OpenAI's ends in /v1, and where there is none it is that. */
static struct h1_target
target_of(const struct bench_setup *setup, const struct letter *letter, char *path, size_t cap)
{
    struct h1_target target = {.prefix = letter->url.path,
                               .path = proto_upstream_path(setup->endpoint)};
    bool openai = setup->api == PROTO_OPENAI || setup->api == PROTO_RESPONSES;

    if (openai && target.prefix.len == 0)
        target.prefix = STR("/v1");
    if (setup->api != PROTO_GEMINI)
        return target;
    target.path = proto_gemini_path(str_from(letter->model),
                                    setup->stream ? STR("streamGenerateContent") : STR("generateContent"),
                                    path, cap);
    target.path = str_split(target.path, '?', &target.query);
    return target;
}

/* Host header: as the URL has it, without the scheme's own port. */
static struct str
authority_of(const struct letter *letter, char *out, size_t cap)
{
    const struct url *url = &letter->url;
    const char *left = url->ipv6 ? "[" : "", *right = url->ipv6 ? "]" : "";
    int n = url->port == (url->tls ? 443 : 80)
                ? snprintf(out, cap, "%s%.*s%s", left, STR_ARGS(url->host), right)
                : snprintf(out, cap, "%s%.*s%s:%u", left, STR_ARGS(url->host), right, url->port);

    return (struct str){out, n > 0 ? (size_t)n : 0};
}

static enum cli_exit
request_write(const struct bench_setup *setup, const struct letter *letter, struct buf *request)
{
    char head[HEAD_BYTES_MAX], path[1024], authority[300];
    struct h1_out out;

    h1_out_init(&out, head, sizeof(head));
    h1_out_request(&out, STR("POST"), target_of(setup, letter, path, sizeof(path)),
                   authority_of(letter, authority, sizeof(authority)));
    h1_out_own(&out, "user-agent: ", STR("turnpike-bench/" TURNPIKE_VERSION));
    h1_out_own(&out, "content-type: ", STR("application/json"));
    auth_write(setup, letter, &out);
    h1_out_length(&out, letter->body.len);
    if (!h1_out_end(&out) || !buf_add(request, out.ptr, out.len) ||
        !buf_add_str(request, buf_str(&letter->body)))
        return complain(CLI_USAGE, "bench", "no request can be made of this",
                        "look at the URL, --model and the key");
    explicit_bzero(head, sizeof(head));
    return CLI_DONE;
}

static enum cli_exit
letter_take(const struct cli_local *local, const struct bench_setup *setup, struct letter *letter)
{
    const char *env = local_value(local, "key_env"), *file = local_value(local, "key_file");
    const char *body = local_value(local, "body"), *hint = NULL, *why;
    struct value_why url_why;

    letter->model = local_value(local, "model");
    letter->prompt = local_value(local, "prompt");
    letter->prompt = letter->prompt != NULL ? letter->prompt : PROMPT_DEFAULT;
    if (!url_parse(str_from(setup->url), &letter->url, &url_why))
        return complain(CLI_USAGE, setup->url, url_why.text, "as http://127.0.0.1:8080");
    if (letter->model == NULL && (body == NULL || setup->api == PROTO_GEMINI))
        return complain(CLI_USAGE, "--model", "it is missing", "a model that this endpoint serves");
    if (env != NULL && file != NULL)
        return complain(CLI_USAGE, "--key-file", "it contradicts --key-env", NULL);
    why = secret_read(env, file, letter->secret, sizeof(letter->secret), &hint);
    if (why != NULL)
        return complain(CLI_USAGE, env != NULL ? env : file, why, hint);
    if (body != NULL)
        return body_read(body, &letter->body);
    body_write(setup, letter);
    return CLI_DONE;
}

/* ---- running ---- */

static enum cli_exit
raise_descriptors(unsigned connections)
{
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) != 0)
        return CLI_DONE;
    files.rlim_cur = files.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &files);
    if (files.rlim_max >= (rlim_t)connections + DESCRIPTORS_SPARE)
        return CLI_DONE;
    return complain(CLI_USAGE, "--connections", "that is more than this process may have descriptors",
                    "raise ulimit -Hn");
}

static enum cli_exit
show(const struct bench_setup *setup, const struct bench_result *result, bool json)
{
    if (setup->progress)
        fputs("\r\033[K", stderr);
    if (json)
        bench_show_json(setup, result);
    else
        bench_show_text(setup, result);
    if (fflush(stdout) != 0)
        return complain(CLI_FAILED, "bench", "the result cannot be written", NULL);
    if (result->ok == 0)
        return complain(CLI_FAILED, "bench", "no call came through", NULL);
    return CLI_DONE;
}

static enum cli_exit
carry_out(const struct cli_local *local, struct bench_setup *setup, const struct letter *letter)
{
    struct bench_result *result = calloc(1, sizeof(*result));
    struct buf request;
    enum cli_exit status;
    int rc;

    buf_init(&request, BODY_BYTES_MAX + HEAD_BYTES_MAX);
    status = result != NULL ? request_write(setup, letter, &request)
                            : complain(CLI_FAILED, "bench", strerror(ENOMEM), NULL);
    if (status == CLI_DONE)
        status = raise_descriptors(setup->connections);
    if (status == CLI_DONE) {
        setup->host = letter->url.host;
        setup->port = letter->url.port;
        setup->tls = letter->url.tls;
        setup->request = buf_str(&request);
        setup->progress = isatty(STDERR_FILENO) && !local->json;
        rc = bench_run(setup, result);
        status = rc < 0 ? complain(CLI_FAILED, "bench", strerror(-rc), NULL)
                        : show(setup, result, local->json);
    }
    if (request.ptr != NULL)
        explicit_bzero(request.ptr, request.cap);
    buf_free(&request);
    free(result);
    return status;
}

enum cli_exit
bench_run_local(const struct cli_local *local)
{
    struct bench_setup setup = {.url = local->arguments[0], .ca_file = local_value(local, "ca_file")};
    struct letter *letter = calloc(1, sizeof(*letter));
    enum cli_exit rc = take_api(local, &setup);

    if (letter == NULL)
        return complain(CLI_FAILED, "bench", strerror(ENOMEM), NULL);
    buf_init(&letter->body, BODY_BYTES_MAX);
    if (rc == CLI_DONE)
        rc = take_amounts(local, &setup, &letter->tokens);
    if (rc == CLI_DONE)
        rc = letter_take(local, &setup, letter);
    if (rc == CLI_DONE)
        rc = carry_out(local, &setup, letter);
    buf_free(&letter->body);
    explicit_bzero(letter, sizeof(*letter));
    free(letter);
    return rc;
}
