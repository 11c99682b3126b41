/* Gemini's codec on any bytes; the first one says which way. A request that is taken is written as
 * JSON, and what is written reads and writes as itself. What a client gets of an answer is JSON. */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "proto/codec_in.h"
#include "proto/gemini_embed.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

#define LIMIT (4u << 20)

static const struct chat_target targets[] = {
    {.model_json = {"\"m\"", 3}, .can_think = true, .tag = "tp1.g.00."},
    {.model_json = {"\"m\"", 3}, .can_think = true, .think_by_effort = true, .output_max = 4096},
    {.model_json = {"\"m\"", 3}, .no_sampling = true, .tag = ""},
};

/* Only what is nested as deep as a document may be can be written deeper than that. */
static bool
is_json(struct str text, struct js_value *document)
{
    struct js_error fault;

    if (js_check(text, document, &fault))
        return true;
    ASSERT(strstr(fault.what, "deep") != NULL || strstr(fault.what, "nest") != NULL);
    return false;
}

/* The same of what a client gets: the lone surrogates of an upstream are its client's too. */
static void
check_answer(struct str text)
{
    struct js_value document;
    struct js_error fault;

    if (!js_check_lenient(text, &document, NULL, &fault))
        ASSERT(strstr(fault.what, "deep") != NULL || strstr(fault.what, "nest") != NULL);
}

/* Reads a request and writes it to out; false when it is refused. */
static bool
travel(struct str body, struct js_value document, const struct chat_target *target,
       struct arena *arena, struct buf *out)
{
    struct chat_request r = {.body = body,
                             .document = document,
                             .arena = arena,
                             .endpoint = ENDPOINT_GENERATE,
                             .choice_count = 1};
    struct proto_error error = {.kind = ERROR_KIND_COUNT};
    struct chat_drops drops;

    if (!gemini_codec.request_read(&r, &error) || !chat_link(&r, &error)) {
        ASSERT(error.kind == ERROR_BAD_REQUEST || error.kind == ERROR_TOO_LARGE);
        return false;
    }
    drops = r.drops;
    if (!gemini_codec.request_write(&r, target, &drops, out, &error)) {
        ASSERT(error.kind == ERROR_BAD_REQUEST || error.kind == ERROR_TOO_LARGE);
        return false;
    }
    return true;
}

static void
fuzz_request(struct str body, const struct chat_target *target)
{
    struct chat_target again = *target;
    struct js_value document;
    struct js_error fault;
    struct arena arena;
    struct buf out[3];

    if (!js_check(body, &document, &fault))
        return;
    arena_init(&arena, LIMIT);
    for (unsigned i = 0; i < COUNT_OF(out); i++)
        buf_init(&out[i], LIMIT);
    if (travel(body, document, target, &arena, &out[0]) && is_json(buf_str(&out[0]), &document)) {
        /* The signatures have lost their tags by now. */
        again.tag = NULL;
        ASSERT(travel(buf_str(&out[0]), document, &again, &arena, &out[1]));
        if (is_json(buf_str(&out[1]), &document)) {
            ASSERT(travel(buf_str(&out[1]), document, &again, &arena, &out[2]));
            ASSERT(str_eq(buf_str(&out[1]), buf_str(&out[2])));
        }
    }
    for (unsigned i = 0; i < COUNT_OF(out); i++)
        buf_free(&out[i]);
    arena_end(&arena);
}

struct pipe {
    struct codec_writer writer;
    struct buf out;
    bool array;
    unsigned starts, ends;
};

static void
pass_delta(void *arg, const struct chat_delta *delta)
{
    struct pipe *pipe = arg;
    size_t before = pipe->out.len;

    pipe->starts += delta->kind == CHAT_DELTA_START;
    pipe->ends += delta->kind == CHAT_DELTA_END;
    ASSERT(pipe->starts == 1 && pipe->ends == (delta->kind == CHAT_DELTA_END));
    gemini_codec.delta_write(&pipe->writer, delta, &pipe->out);
    if (pipe->array || pipe->out.failed)
        return;
    /* Whole events, one after the other. */
    while (before < pipe->out.len) {
        struct str rest = {pipe->out.ptr + before, pipe->out.len - before};
        const char *end = memmem(rest.ptr, rest.len, "\r\n\r\n", 4);

        ASSERT(end != NULL && str_starts_with(rest, STR("data: {")));
        check_answer((struct str){rest.ptr + 6, (size_t)(end - rest.ptr) - 6});
        before += (size_t)(end - rest.ptr) + 4;
    }
}

static void
fuzz_answer(struct str text, bool whole, bool array)
{
    static const struct chat_frame events = {.id = {"id", 2}, .tag = "tp1.g.00."};
    static const struct chat_frame list = {
        .id = {"id", 2}, .model = {"m", 1}, .json_array = true, .tag = "tp1.g.00."};
    struct pipe pipe = {.array = array, .writer = {.frame = array ? &list : &events}};
    struct codec_reader reader = {
        .endpoint = ENDPOINT_GENERATE, .on_delta = pass_delta, .arg = &pipe};
    struct js_value document;
    struct js_error fault;
    bool good = true;

    buf_init(&pipe.out, LIMIT);
    buf_init(&reader.scratch, LIMIT);
    if (whole) {
        good = js_check_lenient(text, &document, NULL, &fault) &&
               gemini_codec.answer_read(&reader, document);
    } else {
        while (good && text.ptr != NULL) {
            struct sse_event event = {.data = str_split(text, '\n', &text)};

            reader.scratch.len = 0;
            good = gemini_codec.event_read(&reader, &event);
        }
        if (good)
            gemini_codec.stream_end(&reader);
    }
    ASSERT(!good || (pipe.ends == 1 && !pipe.out.failed));
    if (good && array)
        check_answer(buf_str(&pipe.out));
    buf_free(&pipe.writer.open);
    buf_free(&pipe.writer.open2);
    buf_free(&pipe.writer.items);
    buf_free(&pipe.out);
    buf_free(&reader.scratch);
}

static void
fuzz_embed(struct str text, bool flag)
{
    struct proto_error error;
    struct js_value document, other;
    struct js_error fault;
    struct arena arena;
    struct buf out;
    bool base64;

    if (!js_check(text, &document, &fault))
        return;
    arena_init(&arena, LIMIT);
    buf_init(&out, LIMIT);
    if (gemini_embed_request(document, STR("m"), &arena, &base64, &out, &error))
        ASSERT(js_check(buf_str(&out), &other, &fault));
    out.len = 0;
    if (gemini_embed_answer(document, STR("m"), flag, &out))
        ASSERT(js_check(buf_str(&out), &other, &fault));
    buf_free(&out);
    arena_end(&arena);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    char *copy;
    struct str text;

    if (len < 1)
        return 0;
    copy = malloc(len);
    memcpy(copy, bytes + 1, len - 1);
    text = (struct str){copy, len - 1};
    switch (bytes[0] % 9) {
    case 0:
    case 1:
    case 2: fuzz_request(text, &targets[bytes[0] % 9]); break;
    case 3: fuzz_answer(text, false, false); break;
    case 4: fuzz_answer(text, false, true); break;
    case 5: fuzz_answer(text, true, false); break;
    case 6: fuzz_answer(text, true, true); break;
    default: fuzz_embed(text, bytes[0] % 9 == 7); break;
    }
    free(copy);
    return 0;
}
