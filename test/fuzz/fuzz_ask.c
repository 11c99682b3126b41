/* Request bodies: what is accepted stays JSON when it is spliced, then names the new model, asks
 * for usage, and reads the same otherwise; refusals have a message. The first byte says which
 * endpoint. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/js.h"
#include "base/str.h"
#include "proto/ask.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void
check_spliced(const struct ask *ask, struct arena *arena)
{
    struct str name = STR("new \"model\"/\x01\\");
    struct ask_pieces pieces;
    struct proto_error error;
    struct js_value document;
    struct js_error fault;
    struct buf body;
    struct ask again;

    buf_init(&body, 1 << 24);
    ASSERT(ask_splices(ask, name, arena, &pieces));
    for (size_t i = 0; i < pieces.count; i++)
        buf_add_str(&body, pieces.list[i]);
    ASSERT(body.len == pieces.total_len);
    ASSERT(js_check(buf_str(&body), &document, &fault));
    ASSERT(js_str_eq(js_get(document, STR("model")), name));
    if (ask->stream && (ask->endpoint == ENDPOINT_CHAT || ask->endpoint == ENDPOINT_COMPLETIONS))
        ASSERT(js_is(js_path(document, "stream_options", "include_usage", NULL), JS_TRUE));
    /* The new name holds a control character, which a client's may not; all else reads the same. */
    ASSERT(ask_splices(ask, STR("m"), arena, &pieces));
    body.len = 0;
    for (size_t i = 0; i < pieces.count; i++)
        buf_add_str(&body, pieces.list[i]);
    ASSERT(ask_read(ask->endpoint, buf_str(&body), arena, &again, &error));
    ASSERT(again.stream == ask->stream && again.output_cap == ask->output_cap);
    ASSERT(again.choice_count == ask->choice_count);
    ASSERT(again.usage_place == ASK_USAGE_KEEP && !again.model_added);
    ASSERT(again.media.characters == ask->media.characters);
    ASSERT(again.media.documents == ask->media.documents);
    buf_free(&body);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static const enum proto_endpoint media[] = {ENDPOINT_IMAGES, ENDPOINT_IMAGE_EDITS,
                                                ENDPOINT_SPEECH, ENDPOINT_MODERATIONS,
                                                ENDPOINT_RERANK};
    enum proto_endpoint endpoint;
    struct proto_error error;
    struct ask_needs needs;
    struct arena arena;
    struct ask ask;
    char *body;

    if (len < 1)
        return 0;
    endpoint = bytes[0] < 0x80 ? (enum proto_endpoint)(bytes[0] % (ENDPOINT_COUNT_TOKENS + 1))
                               : media[bytes[0] % COUNT_OF(media)];
    body = malloc(len);
    memcpy(body, bytes + 1, len - 1);
    arena_init(&arena, 1 << 24);
    if (ask_read(endpoint, (struct str){body, len - 1}, &arena, &ask, &error)) {
        ASSERT(ask.model.len > 0 && ask.model.len <= ASK_MODEL_LEN_MAX);
        ASSERT(ask.model_range.off + ask.model_range.len <= len - 1);
        ASSERT(ask.choice_count >= 1);
        ASSERT(ask.choice_count <= ASK_CHOICES_MAX * ASK_PROMPTS_MAX);
        ask_needs(&ask, &needs);
        ASSERT(needs.needs >> ASK_NEED_COUNT == 0 && needs.media_bytes <= len - 1);
        ASSERT((needs.media_count > 0) == (needs.media_bytes > 0));
        check_spliced(&ask, &arena);
    } else {
        ASSERT(error.message[0] != '\0');
        ASSERT(error_status(error.kind, PROTO_OPENAI) == 400);
    }
    arena_end(&arena);
    free(body);
    return 0;
}
