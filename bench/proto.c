/*
 * What the wire protocols cost: reading a request's body, an event of a stream that only
 * passes, a whole answer. The rounds of all take turns, so that a change of the machine's speed
 * hits all alike; the least of each is printed.
 *
 * usage: bench-proto [PART_OF_A_NAME]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/arena.h"
#include "proto/answer.h"
#include "proto/ask.h"
#include "proto/headers.h"
#include "proto/meter.h"
#include "proto/sse.h"

#define ROUNDS 100
#define ROUND_NS 1e6
#define FEED_LEN 16384
#define WAYS_MAX 8

static double
now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

struct way {
    char name[80];
    unsigned (*fn)(const char *text, size_t len); /* does its thing once, and says how many units */
    char *text;
    double ns; /* the least of a unit */
};
static struct way ways[WAYS_MAX];
static size_t way_count;

static void
add_way(const char *name, unsigned (*fn)(const char *text, size_t len), const char *text)
{
    struct way *way = &ways[way_count++];

    ASSERT(way_count <= WAYS_MAX);
    snprintf(way->name, sizeof(way->name), "%s", name);
    way->fn = fn;
    way->text = strdup(text);
    way->ns = 1e18;
}

static void
measure_round(struct way *way)
{
    size_t len = strlen(way->text);
    double start = now_ns(), took;
    unsigned units = 0;

    do {
        for (int i = 0; i < 20; i++)
            units += way->fn(way->text, len);
        took = now_ns() - start;
    } while (took < ROUND_NS);
    way->ns = MIN(way->ns, took / units);
}

static void
measure_all(const char *part)
{
    for (int round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < way_count; i++) {
            if (strstr(ways[i].name, part) != NULL)
                measure_round(&ways[i]);
        }
    }
    for (size_t i = 0; i < way_count; i++) {
        if (strstr(ways[i].name, part) != NULL)
            printf("%-42s %8.0f ns\n", ways[i].name, ways[i].ns);
        free(ways[i].text);
    }
}

static unsigned
stream(enum proto_endpoint endpoint, const char *text, size_t len)
{
    struct sse_event event;
    struct meter meter;
    struct sse sse;
    unsigned count = 0;

    sse_init(&sse, SSE_EVENT_LEN_MAX);
    meter_init(&meter, endpoint, false);
    for (size_t at = 0; at < len; at += FEED_LEN) {
        sse_feed(&sse, (struct str){text + at, MIN(FEED_LEN, len - at)});
        while (sse_next(&sse, &event) == 1) {
            if (meter_event(&meter, &event) != METER_PASS)
                abort();
            count++;
        }
        if (sse_keep(&sse) != 0)
            abort();
    }
    sse_free(&sse);
    return count;
}

static unsigned
stream_chat(const char *text, size_t len)
{
    return stream(ENDPOINT_CHAT, text, len);
}

static unsigned
stream_messages(const char *text, size_t len)
{
    return stream(ENDPOINT_MESSAGES, text, len);
}

static unsigned
one_event(const char *text, size_t len)
{
    return stream(ENDPOINT_CHAT, text, len);
}

static unsigned
read_ask(const char *text, size_t len)
{
    struct proto_error error;
    struct arena arena;
    struct ask ask;

    arena_init(&arena, 1 << 16);
    if (!ask_read(ENDPOINT_CHAT, (struct str){text, len}, &arena, &ask, &error))
        abort();
    arena_end(&arena);
    return 1;
}

static unsigned
read_answer(const char *text, size_t len)
{
    struct answer answer;

    answer_read(ENDPOINT_CHAT, (struct str){text, len}, &answer);
    if (answer.kind != ANSWER_OK || answer.usage.state != USAGE_PRESENT)
        abort();
    return 1;
}

/* Names of a head, a line each. */
static unsigned
pick_headers(const char *names, size_t len)
{
    unsigned picked = 0;

    for (const char *end; len > 0; len -= (size_t)(end - names) + 1, names = end + 1) {
        end = memchr(names, '\n', len);
        picked += headers_go_up(PROTO_OPENAI, (struct str){names, (size_t)(end - names)});
        picked += headers_come_down((struct str){names, (size_t)(end - names)}).ptr != NULL;
    }
    if (picked == 0)
        abort();
    return 1;
}

static char text[1 << 20];

static const char *
repeat(const char *first, const char *event, unsigned count)
{
    size_t len = (size_t)snprintf(text, sizeof(text), "%s", first);

    while (count-- > 0)
        len += (size_t)snprintf(text + len, sizeof(text) - len, "%s", event);
    return text;
}

#define CHUNK                                                                                      \
    "data: {\"id\":\"chatcmpl-0123456789abcdefghijklmno\",\"object\":\"chat.completion.chunk\","   \
    "\"created\":1760000000,\"model\":\"gpt-5-2026-01-01\",\"system_fingerprint\":\"fp_12\","      \
    "\"choices\":[{\"index\":0,\"delta\":{\"content\":\" hello\"},\"logprobs\":null,"              \
    "\"finish_reason\":null}],\"usage\":null}\n\n"
#define MESSAGE_START                                                                              \
    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\","       \
    "\"model\":\"m\",\"usage\":{\"input_tokens\":64,\"output_tokens\":1}}}\n\n"
#define BLOCK_DELTA                                                                                \
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,"             \
    "\"delta\":{\"type\":\"text_delta\",\"text\":\" hello, this is some longer piece of the "      \
    "text that is long enough to make the event have two hundred and fifty bytes, as the "         \
    "others are\"}}\n\n"

int
main(int argc, char **argv)
{
    char body[21000], what[80];
    static const size_t sizes[] = {1024, 20000};

    snprintf(what, sizeof(what), "chat event of %zu bytes, sse + meter", sizeof(CHUNK) - 1);
    add_way(what, stream_chat, repeat("", CHUNK, 200));
    snprintf(what, sizeof(what), "messages event of %zu bytes, sse + meter",
             sizeof(BLOCK_DELTA) - 1);
    add_way(what, stream_messages, repeat(MESSAGE_START, BLOCK_DELTA, 200));
    add_way("first event of a chat stream", one_event, repeat("", CHUNK, 1));
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        size_t len =
            (size_t)snprintf(body, sizeof(body),
                             "{\"model\":\"gpt-5\",\"max_tokens\":100,\"temperature\":0.7,"
                             "\"messages\":[{\"role\":\"system\",\"content\":\"Be brief.\"}");

        while (len + 180 < sizes[i])
            len += (size_t)snprintf(body + len, sizeof(body) - len,
                                    ",{\"role\":\"user\",\"content\":\"Lorem ipsum dolor sit amet, "
                                    "consectetur adipiscing elit, sed do eiusmod tempor incididunt "
                                    "ut labore et dolore.\\n\"}");
        snprintf(body + len, sizeof(body) - len, "],\"stream\":true}");
        snprintf(what, sizeof(what), "request body of %zu bytes", strlen(body));
        add_way(what, read_ask, body);
    }
    add_way("chat answer of 600 bytes", read_answer,
            "{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion\",\"created\":1760000000,"
            "\"model\":\"gpt-5\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\","
            "\"content\":\"Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod "
            "tempor incididunt ut labore et dolore magna aliqua. Ut enim ad minim veniam.\","
            "\"refusal\":null,\"annotations\":[]},\"logprobs\":null,\"finish_reason\":\"stop\"}],"
            "\"usage\":{\"prompt_tokens\":120,\"completion_tokens\":33,\"total_tokens\":153,"
            "\"prompt_tokens_details\":{\"cached_tokens\":40,\"audio_tokens\":0},"
            "\"completion_tokens_details\":{\"reasoning_tokens\":12}},"
            "\"service_tier\":\"default\"}");
    add_way("the headers of 23 that pass, up and down", pick_headers,
            "Host\nAccept\nContent-Type\nAuthorization\nUser-Agent\nX-Stainless-Retry-Count\n"
            "X-Stainless-Timeout\nX-Stainless-Lang\nX-Stainless-Package-Version\nX-Stainless-OS\n"
            "X-Stainless-Arch\nX-Stainless-Runtime\nX-Stainless-Runtime-Version\n"
            "Accept-Encoding\nContent-Length\nDate\nContent-Type\nx-request-id\n"
            "openai-processing-ms\nopenai-version\nx-ratelimit-limit-requests\n"
            "x-ratelimit-remaining-requests\nContent-Length\n");
    measure_all(argc > 1 ? argv[1] : "");
    return 0;
}
