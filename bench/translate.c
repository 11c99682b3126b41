/*
 * What translating costs: a request from one protocol into another, as text in and text out; and a
 * chunk of a stream, beside the same chunk that only passes (split, metered, nothing made of it).
 *
 * usage: bench-translate request FILE CLIENT UPSTREAM [ROUNDS]    protocols: openai responses anthropic gemini
 *        bench-translate stream CLIENT UPSTREAM [ROUNDS]
 *        bench-translate print FILE CLIENT UPSTREAM               the translated body
 *
 * The least of the rounds is printed, in ns, and how often memory was asked for a chunk.
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/heap.h"
#include "base/str.h"
#include "proto/meter.h"
#include "proto/translate.h"

#define CHUNKS 2000

static unsigned long allocations;

/* Counts what asks the allocator; the real one does the work. */
extern void *__libc_malloc(size_t len);
extern void *__libc_realloc(void *ptr, size_t len);

void *
malloc(size_t len)
{
    allocations++;
    return __libc_malloc(len);
}

void *
realloc(void *ptr, size_t len)
{
    allocations++;
    return __libc_realloc(ptr, len);
}

static enum proto_endpoint
endpoint_named(const char *name)
{
    enum proto_protocol protocol;

    if (!proto_protocol_from(str_from(name), &protocol)) {
        fprintf(stderr, "bench-translate: %s: no such protocol\n", name);
        exit(2);
    }
    return codec_endpoint(protocol);
}

static struct str
file_read(const char *path)
{
    FILE *file = fopen(path, "rb");
    struct buf buf;
    char chunk[65536];
    size_t len;

    if (file == NULL) {
        fprintf(stderr, "bench-translate: %s cannot be read\n", path);
        exit(1);
    }
    buf_init(&buf, 64u << 20);
    while ((len = fread(chunk, 1, sizeof chunk, file)) > 0)
        buf_add(&buf, chunk, len);
    fclose(file);
    return buf_str(&buf);
}

/* ---- a request ---- */

static void
request_once(struct str body, enum proto_endpoint client, enum proto_endpoint upstream,
             struct buf *out)
{
    const struct chat_target target = {.model_json = STR("\"served\""),
                                       .stream = true,
                                       .output_max = 64000,
                                       .can_think = true,
                                       .tag = "tp1.x.0."};
    struct proto_error error;
    struct translate t;

    out->len = 0;
    translate_init(&t, client, 32u << 20);
    if (!translate_decode(&t, body, true, &error) ||
        !translate_encode(&t, upstream, &target, out, &error)) {
        fprintf(stderr, "bench-translate: %s\n", error.message);
        exit(1);
    }
    translate_free(&t);
}

static void
bench_request(struct str body, enum proto_endpoint client, enum proto_endpoint upstream,
              unsigned rounds)
{
    uint64_t least_ns = UINT64_MAX;
    struct buf out;

    buf_init(&out, 64u << 20);
    request_once(body, client, upstream, &out);
    for (unsigned i = 0; i < rounds; i++) {
        uint64_t start_ns = clock_mono_ns(), ns;

        request_once(body, client, upstream, &out);
        ns = clock_mono_ns() - start_ns;
        least_ns = MIN(least_ns, ns);
    }
    printf("%llu\n", (unsigned long long)least_ns);
    buf_free(&out);
}

/* ---- a stream ---- */

static const char *
first_events(enum proto_endpoint upstream)
{
    if (upstream == ENDPOINT_MESSAGES)
        return "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\","
               "\"type\":\"message\",\"role\":\"assistant\",\"model\":\"m\",\"content\":[],\"usage\":{"
               "\"input_tokens\":9,\"output_tokens\":1}}}\n\nevent: content_block_start\ndata: {"
               "\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\","
               "\"text\":\"\"}}\n\n";
    if (upstream == ENDPOINT_RESPONSES)
        return "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"id\":"
               "\"resp_1\",\"model\":\"m\",\"output\":[]},\"sequence_number\":0}\n\n";
    return "";
}

static const char *
next_event(enum proto_endpoint upstream)
{
    switch (upstream) {
    case ENDPOINT_MESSAGES:
        return "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,"
               "\"delta\":{\"type\":\"text_delta\",\"text\":\" Z\xc3\xbcrich, said \\\"he\\\"\"}}\n\n";
    case ENDPOINT_RESPONSES:
        return "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\","
               "\"item_id\":\"msg_1\",\"output_index\":0,\"content_index\":0,\"delta\":"
               "\" Z\xc3\xbcrich, said \\\"he\\\"\",\"logprobs\":[],\"sequence_number\":7}\n\n";
    case ENDPOINT_GENERATE:
        return "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\" Z\xc3\xbcrich, said "
               "\\\"he\\\"\"}],\"role\":\"model\"},\"index\":0}],\"usageMetadata\":{\"promptTokenCount\":9,"
               "\"candidatesTokenCount\":3,\"totalTokenCount\":12},\"modelVersion\":\"m\",\"responseId\":"
               "\"r\"}\r\n\r\n";
    default:
        return "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":"
               "\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" Z\xc3\xbcrich, said "
               "\\\"he\\\"\"},\"finish_reason\":null}]}\n\n";
    }
}

/* One stream; what comes before its chunks is not counted. */
static uint64_t
stream_once(enum proto_endpoint client, enum proto_endpoint upstream, bool translated,
            unsigned long *asked)
{
    const struct chat_frame frame = {.id = STR("0123"), .model = STR("m")};
    const char *first = first_events(upstream), *next = next_event(upstream);
    uint64_t start_ns = 0;
    struct sse_event event;
    struct translate t;
    struct meter meter;
    struct sse sse;
    struct buf out;
    size_t sent = 0;

    buf_init(&out, 1u << 20);
    sse_init(&sse, SSE_EVENT_LEN_MAX);
    meter_init(&meter, upstream, true);
    translate_init(&t, client, 32u << 20);
    translate_answer(&t, upstream, &frame, false);
    for (unsigned i = 0; i <= CHUNKS; i++) {
        if (i == CHUNKS / 4) { /* buffers have their size */
            start_ns = clock_mono_ns();
            *asked = allocations;
        }
        sse_feed(&sse, str_from(i == 0 && *first != '\0' ? first : next));
        while (sse_next(&sse, &event) == 1) {
            if (meter_event(&meter, &event) != METER_PASS)
                abort();
            out.len = 0;
            if (translated && !translate_event(&t, &event, &out))
                abort();
            sent += translated ? out.len : event.raw.len;
        }
        if (sse_keep(&sse) < 0)
            abort();
    }
    start_ns = clock_mono_ns() - start_ns;
    *asked = allocations - *asked;
    if (sent == 0)
        abort();
    translate_free(&t);
    sse_free(&sse);
    buf_free(&out);
    return start_ns / (CHUNKS - CHUNKS / 4);
}

static void
bench_stream(enum proto_endpoint client, enum proto_endpoint upstream, unsigned rounds)
{
    uint64_t passed_ns = UINT64_MAX, translated_ns = UINT64_MAX;
    unsigned long none = 0, asked = 0;

    for (unsigned i = 0; i < rounds; i++) {
        uint64_t ns = stream_once(client, upstream, false, &none);

        passed_ns = MIN(passed_ns, ns);
        ns = stream_once(client, upstream, true, &asked);
        translated_ns = MIN(translated_ns, ns);
    }
    printf("%llu %llu %.4f\n", (unsigned long long)passed_ns, (unsigned long long)translated_ns,
           (double)asked / (CHUNKS - CHUNKS / 4));
}

int
main(int argc, char **argv)
{
    heap_keep(); /* as a worker does */
    if (argc >= 5 && strcmp(argv[1], "request") == 0) {
        bench_request(file_read(argv[2]), endpoint_named(argv[3]), endpoint_named(argv[4]),
                      argc > 5 ? (unsigned)atol(argv[5]) : 200);
        return 0;
    }
    if (argc >= 5 && strcmp(argv[1], "print") == 0) {
        struct buf out;

        buf_init(&out, 64u << 20);
        request_once(file_read(argv[2]), endpoint_named(argv[3]), endpoint_named(argv[4]), &out);
        fwrite(out.ptr, 1, out.len, stdout);
        buf_free(&out);
        return 0;
    }
    if (argc >= 4 && strcmp(argv[1], "stream") == 0) {
        bench_stream(endpoint_named(argv[2]), endpoint_named(argv[3]),
                     argc > 4 ? (unsigned)atol(argv[4]) : 200);
        return 0;
    }
    fprintf(stderr, "usage: bench-translate request|print FILE CLIENT UPSTREAM [ROUNDS]\n"
                    "       bench-translate stream CLIENT UPSTREAM [ROUNDS]\n");
    return 2;
}
