/* The OpenAI codec. The first byte says what the rest is: a request, which is read, linked and
 * written, or an upstream's answer, streamed or whole, which is read and written to a client. What
 * is written is JSON, a refusal has a message, deltas come in their order. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "proto/codec_in.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

/* A schema may stand a level deeper than it came, past what the reader takes. */
static void
check_json(struct str json)
{
    struct js_value document;
    struct js_error fault;

    if (!js_check(json, &document, &fault))
        ASSERT(strstr(fault.what, "deep") != NULL);
}

/* The lone surrogates of an upstream are its client's too. */
static void
check_answer(struct str json)
{
    struct js_value document;
    struct js_error fault;

    if (!js_check_lenient(json, &document, NULL, &fault))
        ASSERT(strstr(fault.what, "deep") != NULL);
}

static void
fuzz_request(enum proto_endpoint endpoint, uint8_t how, struct str body)
{
    const struct chat_target target = {
        .model_json = STR("\"up\""),
        .stream = (how & 1) != 0,
        .output_max = (how & 2) != 0 ? 100 : 0,
        .can_think = (how & 4) != 0,
        .no_sampling = (how & 8) != 0,
        .max_tokens_old = (how & 16) != 0,
        .takes_reasoning = (how & 32) != 0,
    };
    struct proto_error error = {.kind = ERROR_BAD_REQUEST};
    struct chat_request request = {.body = body, .endpoint = endpoint, .choice_count = 1};
    struct js_error fault;
    struct arena arena;
    struct buf out;

    if (!js_check(body, &request.document, &fault))
        return;
    arena_init(&arena, (how & 64) != 0 ? 4096 : 1 << 22);
    buf_init(&out, 1 << 22);
    request.arena = &arena;
    if (codec_of(endpoint)->request_read(&request, &error) && chat_link(&request, &error) &&
        openai_codec.request_write(&request, &target, &request.drops, &out, &error)) {
        check_json(buf_str(&out));
        ASSERT(request.drops.len <= sizeof request.drops.text);
    } else {
        ASSERT(error.message[0] != '\0');
        ASSERT(error.kind == ERROR_BAD_REQUEST || error.kind == ERROR_TOO_LARGE);
    }
    buf_free(&out);
    arena_end(&arena);
}

struct pipe {
    struct codec_reader reader;
    struct codec_writer writer;
    struct chat_frame frame;
    const struct codec *to;
    struct buf out;
    bool started, ended;
    uint64_t finished[CODEC_CHOICES_MAX / 64];
};

static void
pipe_on_delta(void *arg, const struct chat_delta *delta)
{
    struct pipe *pipe = arg;
    uint64_t bit = UINT64_C(1) << delta->choice % 64;

    ASSERT(!pipe->ended);
    ASSERT(pipe->started == (delta->kind != CHAT_DELTA_START));
    ASSERT(delta->choice < CODEC_CHOICES_MAX && delta->call < CODEC_CALLS_MAX);
    pipe->started = true;
    pipe->ended = delta->kind == CHAT_DELTA_END;
    if (delta->kind <= CHAT_DELTA_CALL_END && delta->kind != CHAT_DELTA_START)
        ASSERT((pipe->finished[delta->choice / 64] & bit) == 0);
    if (delta->kind == CHAT_DELTA_FINISH) {
        ASSERT((pipe->finished[delta->choice / 64] & bit) == 0);
        pipe->finished[delta->choice / 64] |= bit;
    }
    pipe->to->delta_write(&pipe->writer, delta, &pipe->out);
}

/* Each event that the client gets is a comment, the mark of the end, or JSON. */
static void
check_client(struct str stream)
{
    struct sse_event event;
    struct sse sse;

    sse_init(&sse, 1 << 24);
    sse_feed(&sse, stream);
    while (sse_next(&sse, &event) == 1)
        if (!event.comment_only && !str_eq(event.data, STR("[DONE]")))
            check_answer(event.data);
    ASSERT(!sse_last(&sse, &event));
    sse_free(&sse);
}

static void
fuzz_stream(struct pipe *pipe, struct str bytes, unsigned seed)
{
    struct sse_event event;
    struct sse sse;
    bool going = true;

    sse_init(&sse, 4096);
    for (size_t at = 0; at < bytes.len && going;) {
        size_t step = 1 + (size_t)rand_r(&seed) % 300;
        char *feed;
        int rc;

        step = MIN(step, bytes.len - at);
        feed = malloc(step);
        memcpy(feed, bytes.ptr + at, step);
        sse_feed(&sse, (struct str){feed, step});
        while ((rc = sse_next(&sse, &event)) == 1 && going) {
            pipe->reader.scratch.len = 0;
            going = openai_codec.event_read(&pipe->reader, &event);
        }
        going = going && rc == 0 && sse_keep(&sse) == 0;
        free(feed);
        at += step;
    }
    if (going && sse_last(&sse, &event))
        going = openai_codec.event_read(&pipe->reader, &event);
    if (going) {
        openai_codec.stream_end(&pipe->reader);
        ASSERT(pipe->ended && pipe->reader.ended);
    }
    check_client(buf_str(&pipe->out));
    sse_free(&sse);
}

static void
fuzz_answer(struct pipe *pipe, struct str body)
{
    struct js_value document;
    struct js_error fault;

    if (js_check_lenient(body, &document, NULL, &fault) &&
        openai_codec.answer_read(&pipe->reader, document))
        ASSERT(pipe->ended && pipe->reader.finished);
    check_client(buf_str(&pipe->out));
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct pipe *pipe;
    struct str text;
    char *copy;

    if (len < 2)
        return 0;
    copy = malloc(len - 2);
    if (len > 2)
        memcpy(copy, bytes + 2, len - 2);
    text = (struct str){copy, len - 2};
    if (bytes[0] % 4 < 2) {
        fuzz_request(bytes[0] % 4 == 0 ? ENDPOINT_CHAT : ENDPOINT_COMPLETIONS, bytes[1], text);
        free(copy);
        return 0;
    }
    pipe = calloc(1, sizeof *pipe);
    pipe->to = (bytes[1] & 1) != 0 ? &completions_codec : &openai_codec;
    pipe->frame = (struct chat_frame){
        .id = STR("1"), .model = STR("m"), .include_usage = (bytes[1] & 2) != 0};
    pipe->writer.frame = &pipe->frame;
    pipe->reader.on_delta = pipe_on_delta;
    pipe->reader.arg = pipe;
    buf_init(&pipe->reader.scratch, 1 << 20);
    buf_init(&pipe->out, 1 << 24);
    if (bytes[0] % 4 == 2)
        fuzz_stream(pipe, text, bytes[1]);
    else
        fuzz_answer(pipe, text);
    buf_free(&pipe->reader.scratch);
    buf_free(&pipe->out);
    free(pipe);
    free(copy);
    return 0;
}
