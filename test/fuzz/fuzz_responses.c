/*
 * The codec of Responses: whatever comes as a request, a stream or a whole answer, what is made of
 * it is valid. The first byte says which of the three: requests are read, linked and written again;
 * answers are read and their deltas written as a stream.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "proto/codec_in.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

#define TAG "tp1.r.0123456789abcdef."
#define OUT_MAX (4u << 20)

static void
check_json(struct str text)
{
    struct js_value document;
    struct js_error fault;

    ASSERT(js_check(text, &document, &fault));
}

/* The lone surrogates of an upstream are its client's too. */
static void
check_answer(struct str text)
{
    struct js_value document;
    struct js_error fault;

    ASSERT(js_check_lenient(text, &document, NULL, &fault));
}

/* What an answer repeats of a request, good or not: members of an object, all on one line. */
static void
run_echo(struct js_value document)
{
    struct buf out;

    buf_init(&out, CODEC_ECHO_BYTES_MAX + 2);
    buf_add_char(&out, '{');
    responses_codec.echo_write(document, &out);
    buf_add_char(&out, '}');
    check_json(buf_str(&out));
    ASSERT(memchr(out.ptr, '\n', out.len) == NULL && memchr(out.ptr, '\r', out.len) == NULL);
    buf_free(&out);
}

static void
run_request(struct str body, bool thinks)
{
    const struct chat_target target = {.model_json = STR("\"up\""), .tag = TAG, .can_think = thinks,
                                       .stream = thinks, .output_max = 4096, .no_sampling = thinks};
    struct chat_request r = {.body = body, .choice_count = 1, .endpoint = ENDPOINT_RESPONSES};
    struct proto_error error = {.message = ""};
    struct js_error fault;
    struct arena arena;
    struct buf out;

    if (!js_check(body, &r.document, &fault))
        return;
    run_echo(r.document);
    arena_init(&arena, 1 << 20);
    r.arena = &arena;
    buf_init(&out, OUT_MAX);
    if (responses_codec.request_read(&r, &error) && chat_link(&r, &error) &&
        responses_codec.request_write(&r, &target, &r.drops, &out, &error))
        check_json(buf_str(&out));
    else
        ASSERT(error.message[0] != '\0');
    buf_free(&out);
    arena_end(&arena);
}

struct run {
    struct codec_reader reader;
    struct codec_writer writer;
    struct buf out;
    unsigned starts, ends;
};

static void
on_delta(void *arg, const struct chat_delta *delta)
{
    struct run *run = arg;

    run->starts += delta->kind == CHAT_DELTA_START;
    run->ends += delta->kind == CHAT_DELTA_END;
    ASSERT(run->starts == 1 && run->ends <= 1);
    ASSERT(delta->call < CODEC_CALLS_MAX);
    responses_codec.delta_write(&run->writer, delta, &run->out);
}

/* What was written is events of JSON, numbered without a gap. */
static void
check_stream(const struct run *run)
{
    struct sse_event event;
    uint64_t number = 0;
    struct sse sse;

    sse_init(&sse, OUT_MAX);
    sse_feed(&sse, buf_str(&run->out));
    while (sse_next(&sse, &event) == 1) {
        if (event.comment_only)
            continue;
        check_answer(event.data);
        number++;
    }
    ASSERT(number == run->writer.sequence);
    sse_free(&sse);
}

static void
run_answer(struct str text, bool stream)
{
    const struct chat_frame frame = {.id = STR("q7"), .model = STR("m"), .include_encrypted = true,
                                     .tag = TAG};
    struct run run = {.writer.frame = &frame};
    struct js_value document;
    struct js_error fault;
    bool good = true;

    run.reader = (struct codec_reader){
        .endpoint = ENDPOINT_RESPONSES, .on_delta = on_delta, .arg = &run};
    buf_init(&run.reader.scratch, OUT_MAX);
    buf_init(&run.out, OUT_MAX);
    if (!stream) {
        if (js_check_lenient(text, &document, NULL, &fault) &&
            responses_codec.answer_read(&run.reader, document))
            ASSERT(run.ends == 1);
    } else {
        struct sse_event event;
        struct sse sse;

        sse_init(&sse, OUT_MAX);
        sse_feed(&sse, text);
        while (good && sse_next(&sse, &event) == 1) {
            run.reader.scratch.len = 0;
            good = responses_codec.event_read(&run.reader, &event);
        }
        responses_codec.stream_end(&run.reader);
        ASSERT(run.ends == 1);
        sse_free(&sse);
    }
    if (!run.out.failed)
        check_stream(&run);
    buf_free(&run.reader.scratch);
    buf_free(&run.writer.items);
    buf_free(&run.writer.open);
    buf_free(&run.writer.open2);
    buf_free(&run.out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    char *body;

    if (len < 1)
        return 0;
    body = malloc(len);
    memcpy(body, bytes + 1, len - 1);
    struct str text = {body, len - 1};
    switch (bytes[0] % 4) {
    case 0: run_request(text, false); break;
    case 1: run_request(text, true); break;
    case 2: run_answer(text, true); break;
    default: run_answer(text, false); break;
    }
    free(body);
    return 0;
}
