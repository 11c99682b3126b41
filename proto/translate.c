#include "proto/translate.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "proto/translate_in.h"

#define TREE_BYTES_MAX (32u << 20) /* of a request's tree, beside its body */
#define NAMES_BYTES_MAX (1u << 20)

bool
translate_can(enum proto_endpoint client, enum proto_endpoint upstream)
{
    const struct codec *from = codec_of(client), *to = codec_of(upstream);

    return from != NULL && to != NULL && to->request_write != NULL;
}

void
translate_init(struct translate *t, enum proto_endpoint client, size_t text_bytes_max)
{
    memset(t, 0, sizeof *t);
    t->client = client;
    t->from = codec_of(client);
    t->text_bytes_max = text_bytes_max;
    t->show_reasoning = true;
    t->pieces_end = &t->pieces;
    arena_init(&t->arena, TREE_BYTES_MAX);
    arena_init(&t->kept, NAMES_BYTES_MAX);
    buf_init(&t->echo, CODEC_ECHO_BYTES_MAX);
    buf_init(&t->reader.scratch, text_bytes_max);
}

/* What an answer that was begun has left. */
static void
answer_clear(struct translate *t)
{
    calls_free(t);
    pieces_free(t);
    t->text_bytes = 0;
    buf_free(&t->reader.scratch);
    buf_free(&t->writer.items);
    buf_free(&t->writer.open);
    buf_free(&t->writer.open2);
    buf_free(&t->call_signature);
}

void
translate_free(struct translate *t)
{
    answer_clear(t);
    arena_end(&t->arena);
    arena_end(&t->kept);
    buf_free(&t->echo);
}

/* ---- the request ---- */

/* What answers need of it. */
static void
look_at(struct translate *t, struct js_value document)
{
    if (t->from->has_older_calls != NULL)
        t->older_calls = t->from->has_older_calls(document);
    if (t->from->echo_write == NULL || t->echo.len > 0)
        return;
    t->from->echo_write(document, &t->echo);
    if (t->echo.failed) /* no memory: half of it is no JSON */
        t->echo.len = 0;
}

void
translate_look(struct translate *t, struct str body)
{
    bool any = t->from->has_older_calls != NULL || t->from->echo_write != NULL;
    struct js_value document;
    struct js_error ignored;

    if (any && js_check(body, &document, &ignored))
        look_at(t, document);
}

bool
translate_decode(struct translate *t, struct str body, bool stream, struct proto_error *error)
{
    struct chat_request *r = &t->request;
    struct js_error fault;

    *r = (struct chat_request){.body = body,
                               .arena = &t->arena,
                               .endpoint = t->client,
                               .stream = stream,
                               .choice_count = 1};
    t->index.slot_count = js_index_slots(body.len);
    t->index.slots = arena_alloc(&t->arena, t->index.slot_count * sizeof *t->index.slots);
    if (t->index.slots == NULL)
        return chat_no_room(error);
    if (!js_check_index(body, &r->document, &t->index, &fault)) {
        error_set_bad_json(error, body, &fault);
        return false;
    }
    js_index_use(&t->index);
    t->decoded = t->from->request_read(r, error) && chat_link(r, error);
    if (t->decoded)
        look_at(t, r->document);
    js_index_use(NULL);
    if (!t->decoded)
        return false;
    /* A client of the other protocols takes reasoning for what it is, whether it asked or not. */
    t->show_reasoning = r->thinking_shown || proto_of(t->client) == PROTO_OPENAI;
    return true;
}

bool
translate_encode(struct translate *t, enum proto_endpoint upstream,
                 const struct chat_target *target, struct buf *out, struct proto_error *error)
{
    bool written;

    ASSERT(t->decoded && translate_can(t->client, upstream));
    t->upstream = upstream;
    t->to = codec_of(upstream);
    t->drops = t->request.drops;
    t->request.names = NULL; /* what one upstream takes as a name another may not */
    t->request.name_count = 0;
    js_index_use(&t->index);
    written = t->to->request_write(&t->request, target, &t->drops, out, error);
    js_index_use(NULL);
    if (!written)
        return false;
    t->names = t->request.names;
    return !out->failed || chat_no_room(error);
}

static struct str
keep(struct translate *t, struct str text)
{
    char *copy = text.len > 0 ? arena_copy(&t->kept, text) : NULL;

    return copy != NULL ? (struct str){copy, text.len} : STR_NONE;
}

void
translate_forget_request(struct translate *t)
{
    const struct chat_name *names = t->names;

    t->names = NULL;
    for (; names != NULL; names = names->next) {
        struct chat_name *kept = arena_zalloc(&t->kept, sizeof *kept);

        if (kept == NULL)
            break;
        *kept = (struct chat_name){.next = (struct chat_name *)(uintptr_t)t->names,
                                   .sent = keep(t, names->sent),
                                   .name = names->name,
                                   .space = names->space,
                                   .kind = names->kind};
        kept->name.raw = keep(t, names->name.raw);
        kept->space.raw = keep(t, names->space.raw);
        t->names = kept;
    }
    memset(&t->request, 0, sizeof t->request);
    t->decoded = false;
    arena_end(&t->arena);
}

/* ---- the answer ---- */

void
translate_answer(struct translate *t, enum proto_endpoint upstream, const struct chat_frame *frame,
                 bool whole)
{
    answer_clear(t);
    t->upstream = upstream;
    t->to = codec_of(upstream);
    t->whole = whole;
    t->failed = false;
    t->frame = *frame;
    t->frame.echo = buf_str(&t->echo);
    t->frame.older_calls = t->older_calls;
    if (t->decoded) {
        t->frame.include_usage = t->request.include_usage;
        t->frame.include_encrypted = t->request.include_encrypted;
    }
    t->answer = (struct chat_answer){.usage.state = USAGE_ABSENT};
    t->answer_id[0] = t->answer_model[0] = '\0';
    memset(&t->reader, 0, sizeof t->reader);
    t->reader.endpoint = upstream;
    t->reader.on_delta = calls_on_delta;
    t->reader.arg = t;
    buf_init(&t->reader.scratch, t->text_bytes_max);
    memset(&t->writer, 0, sizeof t->writer);
    t->writer.frame = &t->frame;
    buf_init(&t->writer.items, t->text_bytes_max);
    buf_init(&t->writer.open, t->text_bytes_max);
    buf_init(&t->writer.open2, t->text_bytes_max);
    buf_init(&t->call_signature, t->text_bytes_max);
}

void
translate_emit(struct translate *t, const struct chat_delta *delta)
{
    if (t->failed)
        return;
    if (t->whole) {
        pieces_add(t, delta);
        return;
    }
    t->from->delta_write(&t->writer, delta, t->out);
    t->failed = t->out->failed || t->writer.items.failed || t->writer.open.failed ||
                t->writer.open2.failed;
}

static bool
read_on(struct translate *t, bool understood)
{
    t->out = NULL;
    return understood && !t->failed && !t->reader.scratch.failed;
}

bool
translate_event(struct translate *t, const struct sse_event *event, struct buf *out)
{
    const struct chat_delta ping = {.kind = CHAT_DELTA_PING};

    t->out = out;
    t->reader.scratch.len = 0;
    if (event->comment_only) {
        if (t->reader.started)
            translate_emit(t, &ping);
        return read_on(t, true);
    }
    return read_on(t, t->to->event_read(&t->reader, event));
}

bool
translate_document(struct translate *t, struct js_value document, struct buf *out)
{
    t->out = out;
    return read_on(t, t->to->answer_read(&t->reader, document));
}

bool
translate_end(struct translate *t, struct buf *out)
{
    t->out = out;
    t->reader.scratch.len = 0;
    t->to->stream_end(&t->reader);
    return read_on(t, true);
}
