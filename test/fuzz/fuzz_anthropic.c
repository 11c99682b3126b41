/* Anthropic's codec, all four ways: whatever comes, what is written is JSON, a refusal says why,
 * and the deltas are in order. The first byte says which way, the second what the upstream can. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "base/str.h"
#include "proto/codec_in.h"
#include "proto/sse.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

/* ---- requests ---- */

/* Reads, links and writes; the output is left in out. */
static bool
translate(enum proto_endpoint endpoint, struct str body, const struct chat_target *target,
          struct arena *arena, struct buf *out)
{
    struct chat_request r = {
        .body = body, .arena = arena, .endpoint = endpoint, .choice_count = 1};
    struct proto_error error = {.message = ""};
    struct js_error fault;

    if (!js_check(body, &r.document, &fault))
        return false;
    if (!anthropic_codec.request_read(&r, &error) || !chat_link(&r, &error) ||
        !anthropic_codec.request_write(&r, target, &r.drops, out, &error)) {
        ASSERT(error.message[0] != '\0' && strlen(error.message) < ERROR_MESSAGE_MAX);
        return false;
    }
    ASSERT(r.drops.len <= sizeof r.drops.text);
    return true;
}

static void
fuzz_request(struct str body, uint8_t abilities)
{
    const struct chat_target target = {
        .model_json = STR("\"m\""),
        .stream = (abilities & 1) != 0,
        .output_max = (abilities & 2) != 0 ? 1500 : 0,
        .can_think = (abilities & 4) != 0,
        .think_by_effort = (abilities & 8) != 0,
        .no_sampling = (abilities & 16) != 0,
        .no_schemas = (abilities & 8) != 0,
        .takes_system_later = (abilities & 32) != 0,
        .tag = "tp1.m.0.",
    };
    enum proto_endpoint endpoint =
        (abilities & 64) != 0 ? ENDPOINT_COUNT_TOKENS : ENDPOINT_MESSAGES;
    struct buf once, twice;
    struct js_value document;
    struct js_error fault;
    struct arena arena;

    arena_init(&arena, 1 << 22);
    buf_init(&once, 1 << 22);
    buf_init(&twice, 1 << 22);
    if (translate(endpoint, body, &target, &arena, &once)) {
        ASSERT(js_check(buf_str(&once), &document, &fault));
        /* It is a request as this protocol has them, too. */
        ASSERT(translate(ENDPOINT_MESSAGES, buf_str(&once), &target, &arena, &twice) ||
               arena.used_bytes > arena.limit_bytes / 2);
    }
    buf_free(&once);
    buf_free(&twice);
    arena_end(&arena);
}

/* ---- answers ---- */

struct heard {
    struct codec_writer writer;
    struct buf out;
    unsigned started, finished, ended;
    uint32_t calls;
};

static void
on_delta(void *arg, const struct chat_delta *delta)
{
    struct heard *h = arg;

    ASSERT(h->ended == 0);
    ASSERT((delta->kind == CHAT_DELTA_START) == (h->started == 0));
    h->started = 1;
    h->finished += delta->kind == CHAT_DELTA_FINISH;
    h->ended += delta->kind == CHAT_DELTA_END;
    ASSERT(h->finished <= 1);
    if (delta->kind == CHAT_DELTA_CALL)
        ASSERT(delta->call == h->calls++);
    if (delta->kind == CHAT_DELTA_ARGUMENTS || delta->kind == CHAT_DELTA_CALL_END)
        ASSERT(delta->call + 1 == h->calls);
    if (delta->kind == CHAT_DELTA_USAGE)
        ASSERT(delta->usage->state == USAGE_PRESENT);
    anthropic_codec.delta_write(&h->writer, delta, &h->out);
}

/* What a client was sent is events of this protocol; lone surrogates of an upstream may be in it. */
static void
check_sent(struct str sent)
{
    struct sse_event event;
    struct js_value document;
    struct js_error fault;
    struct sse sse;
    int rc;

    sse_init(&sse, 1 << 22);
    sse_feed(&sse, sent);
    while ((rc = sse_next(&sse, &event)) == 1) {
        ASSERT(js_check_lenient(event.data, &document, NULL, &fault));
        ASSERT(js_str_eq(js_get(document, STR("type")), event.name));
    }
    ASSERT(rc == 0);
    sse_free(&sse);
}

static bool
feed(struct codec_reader *reader, struct str text)
{
    struct sse_event event;
    struct sse sse;
    bool ok = true;

    sse_init(&sse, 1 << 20);
    sse_feed(&sse, text);
    while (ok && sse_next(&sse, &event) == 1) {
        reader->scratch.len = 0;
        ok = anthropic_codec.event_read(reader, &event);
    }
    sse_free(&sse);
    return ok;
}

static void
fuzz_answer(struct str text, bool whole)
{
    static const struct chat_frame frame = {
        .id = {"call", 4}, .model = {"m", 1}, .tag = "tp1.m.0."};
    struct heard h = {.writer.frame = &frame};
    struct codec_reader reader = {
        .endpoint = ENDPOINT_MESSAGES, .on_delta = on_delta, .arg = &h};
    struct js_value document;
    struct js_error fault;
    bool ok;

    buf_init(&h.out, 1 << 22);
    buf_init(&reader.scratch, 1 << 22);
    ok = whole ? js_check_lenient(text, &document, NULL, &fault) &&
                     anthropic_codec.answer_read(&reader, document)
               : feed(&reader, text);
    if (ok && !whole)
        anthropic_codec.stream_end(&reader);
    ASSERT(!ok || (h.ended == 1 && h.finished == 1));
    check_sent(buf_str(&h.out));
    buf_free(&h.out);
    buf_free(&h.writer.open);
    buf_free(&reader.scratch);
}

/* A whole answer whose texts are any that a JSON string may hold. */
static void
fuzz_answer_write(struct str text)
{
    static const struct chat_frame frame = {
        .id = {"call", 4}, .model = {"m", 1}, .tag = "tp1.m.0."};
    struct chat_part call = {.kind = CHAT_PART_CALL};
    struct chat_part said = {.kind = CHAT_PART_TEXT, .next = &call};
    struct chat_answer_choice choice = {.parts = &said};
    struct chat_answer answer = {.choices = &choice};
    struct js_value document, string;
    struct js_error fault;
    struct buf out;

    if (!js_check(text, &string, &fault) || string.type != JS_STRING)
        return;
    said.text = call.id = call.tool_name = call.arguments = string;
    buf_init(&out, 1 << 22);
    anthropic_codec.answer_write(&answer, &frame, &out);
    ASSERT(js_check(buf_str(&out), &document, &fault));
    buf_free(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct str text;
    char *copy;

    if (len < 2)
        return 0;
    copy = malloc(len);
    memcpy(copy, bytes + 2, len - 2);
    text = (struct str){copy, len - 2};
    switch (bytes[0] % 4) {
    case 0: fuzz_request(text, bytes[1]); break;
    case 1: fuzz_answer(text, false); break;
    case 2: fuzz_answer(text, true); break;
    default: fuzz_answer_write(text); break;
    }
    free(copy);
    return 0;
}
