/*
 * What reading and writing HTTP/1 costs: a request of 15 headers and 1 KB whole in the buffer,
 * its lint alone, llhttp alone, the same request in two pieces, an answer, a streamed chunk. The
 * rounds of all take turns, so that a change of the machine's speed hits all alike; the least of
 * each is printed.
 *
 * usage: bench-h1 [ROUNDS]
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "net/h1_req.h"
#include "net/h1_res.h"
#include "net/h1_write.h"

#define REPEATS 2000
#define CHUNK_BYTES 200
#define CHUNKS 16

static const char request_head[] =
    "POST /v1/chat/completions HTTP/1.1\r\n"
    "Host: gateway.example:8080\r\n"
    "Accept: application/json\r\n"
    "Content-Type: application/json\r\n"
    "Authorization: Bearer tp_0123456789abcdefghijklmnopqrstuvwxyz0123456789\r\n"
    "User-Agent: OpenAI/JS 6.49.0\r\n"
    "X-Stainless-Retry-Count: 0\r\n"
    "X-Stainless-Timeout: 600\r\n"
    "X-Stainless-Lang: js\r\n"
    "X-Stainless-Package-Version: 6.49.0\r\n"
    "X-Stainless-OS: Linux\r\n"
    "X-Stainless-Arch: x64\r\n"
    "X-Stainless-Runtime: node\r\n"
    "X-Stainless-Runtime-Version: v20.19.2\r\n"
    "Accept-Encoding: identity\r\n"
    "Content-Length: 1024\r\n\r\n";

static const char answer_head[] = "HTTP/1.1 200 OK\r\n"
                                  "Date: Sat, 21 Nov 2026 03:00:00 GMT\r\n"
                                  "Content-Type: application/json\r\n"
                                  "x-request-id: req_0123456789abcdef0123456789abcdef\r\n"
                                  "openai-processing-ms: 312\r\n"
                                  "openai-version: 2020-10-01\r\n"
                                  "x-ratelimit-limit-requests: 10000\r\n"
                                  "x-ratelimit-remaining-requests: 9999\r\n"
                                  "Content-Length: 600\r\n\r\n";

static uint8_t request[4096], answer[4096], stream[CHUNKS * (CHUNK_BYTES + 8)];
static size_t request_len, answer_len, stream_len;
static struct h1_head scratch, request_copy, answer_copy;
static struct h1_req req;
static struct h1_res res, streaming;

static void
lint_only(void)
{
    struct h1_error error;

    h1_head_init(&scratch);
    ASSERT(h1_head_lint_request(&scratch, &h1_limits_default, request, request_len, &error) ==
           H1_LINT_DONE);
}

static void
llhttp_only(void)
{
    static struct h1_twin twin;

    ASSERT(h1_twin_head(&twin, &scratch)); /* as lint_only() left it */
}

static void
feed(size_t from, size_t to, enum h1_req_event want)
{
    enum h1_req_event event;
    size_t used;

    do {
        event = h1_req_feed(&req, request + from, to - from, &used);
        from += used;
    } while (event == H1_REQ_HEAD);
    ASSERT(event == want);
}

static void
whole_request(void)
{
    feed(0, request_len, H1_REQ_DONE);
    ASSERT(req.borrowed);
    h1_req_next(&req);
}

static void
request_in_two(void)
{
    feed(0, 300, H1_REQ_MORE);
    feed(300, request_len, H1_REQ_DONE);
    h1_req_next(&req);
}

static void
whole_answer(void)
{
    static struct h1_res_out out;

    h1_res_init(&res, &h1_limits_default, &scratch);
    ASSERT(h1_res_feed(&res, answer, answer_len, &out) == H1_RES_HEAD);
    ASSERT(h1_res_feed(&res, answer + out.used, answer_len - out.used, &out) == H1_RES_DONE);
}

static void
stream_of_chunks(void)
{
    static struct h1_res_out out;

    ASSERT(h1_res_feed(&streaming, stream, stream_len, &out) == H1_RES_MORE);
    ASSERT(out.span_count == CHUNKS);
}

/* As the gateway writes an answer's head: its own lines and some of the upstream's. */
static void
write_answer_head(void)
{
    static struct h1_date date;
    char buf[1024];
    struct h1_out out;

    h1_out_init(&out, buf, sizeof(buf));
    h1_out_status(&out, 200);
    h1_out_date(&out, &date, INT64_C(1795230000000000));
    h1_out_own(&out, "x-request-id: ", STR("call_0123456789abcdefghjkmnpqrs"));
    for (size_t i = 1; i < 4; i++)
        h1_out_copy(&out, h1_head_name(&answer_copy, i), &answer_copy, i);
    h1_out_own(&out, "x-turnpike-channel: ", STR("default"));
    h1_out_own(&out, "x-turnpike-upstream: ", STR("openai-main"));
    h1_out_own(&out, "x-turnpike-model: ", STR("gpt-5-2026-01-01"));
    h1_out_own(&out, "x-turnpike-cost: ", STR("0.000123"));
    h1_out_length(&out, 600);
    h1_out_connection(&out, true, 1);
    ASSERT(h1_out_end(&out));
}

/* As it writes a request's. */
static void
write_request_head(void)
{
    static const struct h1_target target = {
        {"/openai", 7}, {"/v1/chat/completions", 20}, {NULL, 0}};
    char buf[1024];
    struct h1_out out;

    h1_out_init(&out, buf, sizeof(buf));
    h1_out_request(&out, STR("POST"), target, STR("upstream.example:8443"));
    h1_out_own(&out, "authorization: Bearer ", STR("sk-0123456789abcdefghijklmnopqrstuvwxyz"));
    for (size_t i = 1; i < 5; i++) {
        if (request_copy.headers[i].known != H1_AUTHORIZATION)
            h1_out_copy(&out, h1_head_name(&request_copy, i), &request_copy, i);
    }
    h1_out_own(&out, "x-request-id: ", STR("call_0123456789abcdefghjkmnpqrs"));
    h1_out_length(&out, 1024);
    ASSERT(h1_out_end(&out));
}

static void
make_bytes(void)
{
    static struct h1_res_out out;
    static const char head[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

    memcpy(request, request_head, sizeof(request_head) - 1);
    memset(request + sizeof(request_head) - 1, 'b', 1024);
    request_len = sizeof(request_head) - 1 + 1024;
    memcpy(answer, answer_head, sizeof(answer_head) - 1);
    memset(answer + sizeof(answer_head) - 1, 'b', 600);
    answer_len = sizeof(answer_head) - 1 + 600;
    for (int i = 0; i < CHUNKS; i++) {
        stream_len += h1_chunk_head(CHUNK_BYTES, (char *)stream + stream_len);
        memset(stream + stream_len, 'd', CHUNK_BYTES);
        memcpy(stream + stream_len + CHUNK_BYTES, "\r\n", 2);
        stream_len += CHUNK_BYTES + 2;
    }
    lint_only();
    h1_head_copy(&request_copy, &scratch);
    whole_answer();
    h1_head_copy(&answer_copy, &scratch);
    h1_req_init(&req, &h1_limits_default, &scratch);
    h1_res_init(&streaming, &h1_limits_default, &scratch);
    ASSERT(h1_res_feed(&streaming, (const uint8_t *)head, sizeof(head) - 1, &out) == H1_RES_HEAD);
}

struct way {
    const char *name;
    void (*fn)(void);
    uint64_t ps; /* the least of a call, in picoseconds */
};

int
main(int argc, char **argv)
{
    uint64_t rounds = 40;
    struct way ways[] = {
        {"request of 15 headers, whole", whole_request, UINT64_MAX},
        {"  of that our lint", lint_only, UINT64_MAX},
        {"  of that llhttp", llhttp_only, UINT64_MAX},
        {"the same in two pieces", request_in_two, UINT64_MAX},
        {"answer of 8 headers, whole", whole_answer, UINT64_MAX},
        {"16 streamed chunks in one read", stream_of_chunks, UINT64_MAX},
        {"writing an answer's head", write_answer_head, UINT64_MAX},
        {"writing a request's head", write_request_head, UINT64_MAX},
    };

    if (argc > 1 && !str_to_count(str_from(argv[1]), 1000000, &rounds)) {
        fprintf(stderr, "usage: bench-h1 [ROUNDS]\n");
        return 2;
    }
    make_bytes();
    for (uint64_t round = 0; round < rounds; round++) {
        for (size_t i = 0; i < COUNT_OF(ways); i++) {
            uint64_t start = clock_mono_ns();

            for (int n = 0; n < REPEATS; n++)
                ways[i].fn();
            ways[i].ps = MIN(ways[i].ps, (clock_mono_ns() - start) * 1000 / REPEATS);
        }
    }
    printf("least of %llu rounds; %zu + %zu bytes of state a connection\n",
           (unsigned long long)rounds, sizeof(struct h1_req), sizeof(struct h1_res));
    for (size_t i = 0; i < COUNT_OF(ways); i++)
        printf("  %-32s %8.3f us\n", ways[i].name, (double)ways[i].ps / 1e6);
    return 0;
}
