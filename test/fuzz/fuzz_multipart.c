/* Forms: whatever is read of one lies in it, parts do not overlap, and a form that is a request
 * names its new model byte for byte where the old one stood. The first byte says which endpoint. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/str.h"
#include "proto/ask.h"
#include "proto/multipart.h"

#define TYPE STR("multipart/form-data; boundary=b")

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void
check_parts(struct str body)
{
    struct multipart_part part;
    struct multipart m;
    const char *at = body.ptr;
    enum multipart_step step;

    ASSERT(multipart_init(&m, TYPE, body));
    while ((step = multipart_next(&m, &part)) == MULTIPART_PART) {
        ASSERT(part.name.ptr > at && part.name.len > 0);
        ASSERT(part.value.ptr > part.name.ptr + part.name.len);
        at = part.value.ptr + part.value.len;
        ASSERT(at < body.ptr + body.len);
    }
    ASSERT(step == MULTIPART_END || (m.what != NULL && m.offset <= body.len));
}

static void
check_spliced(const struct ask *ask, struct arena *arena)
{
    const struct str name = STR("new \"model\"");
    struct ask_pieces pieces;
    struct proto_error error;
    struct buf body;
    struct ask again;

    buf_init(&body, 1 << 24);
    ASSERT(ask_splices(ask, name, arena, &pieces));
    for (size_t i = 0; i < pieces.count; i++)
        buf_add_str(&body, pieces.list[i]);
    ASSERT(body.len == pieces.total_len);
    ASSERT(body.len == ask->body.len - ask->model.len + name.len);
    ASSERT(ask_read_form(ask->endpoint, TYPE, buf_str(&body), &again, &error));
    ASSERT(str_eq(again.model, name));
    ASSERT(again.stream == ask->stream && again.choice_count == ask->choice_count);
    ASSERT(again.media.file_bytes == ask->media.file_bytes);
    ASSERT(again.media.bytes == ask->media.bytes);
    buf_free(&body);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static const enum proto_endpoint endpoints[] = {ENDPOINT_IMAGE_EDITS, ENDPOINT_TRANSCRIPTIONS,
                                                    ENDPOINT_TRANSLATIONS};
    struct proto_error error;
    struct arena arena;
    struct str body;
    struct ask ask;
    char *copy;

    if (len < 1)
        return 0;
    copy = malloc(len);
    memcpy(copy, bytes + 1, len - 1);
    body = (struct str){copy, len - 1};
    check_parts(body);
    arena_init(&arena, 1 << 20);
    if (ask_read_form(endpoints[bytes[0] % COUNT_OF(endpoints)], TYPE, body, &ask, &error)) {
        ASSERT(ask.model.len > 0 && ask.model.len <= ASK_MODEL_LEN_MAX);
        ASSERT(ask.media.file_count >= 1 && ask.media.file_bytes < body.len);
        check_spliced(&ask, &arena);
    } else {
        ASSERT(error.message[0] != '\0');
        ASSERT(error_status(error.kind, PROTO_OPENAI) == 400);
    }
    arena_end(&arena);
    free(copy);
    return 0;
}
