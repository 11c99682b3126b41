#include "proto/codec.h"

#include "base/str.h"
#include "proto/codec_in.h"

const struct codec *
codec_of(enum proto_endpoint endpoint)
{
    switch (endpoint) {
    case ENDPOINT_CHAT: return &openai_codec;
    case ENDPOINT_COMPLETIONS: return &completions_codec;
    case ENDPOINT_RESPONSES: return &responses_codec;
    case ENDPOINT_MESSAGES: return &anthropic_codec;
    case ENDPOINT_GENERATE: return &gemini_codec;
    default: return NULL;
    }
}

enum proto_endpoint
codec_endpoint(enum proto_protocol protocol)
{
    switch (protocol) {
    case PROTO_OPENAI: return ENDPOINT_CHAT;
    case PROTO_RESPONSES: return ENDPOINT_RESPONSES;
    case PROTO_ANTHROPIC: return ENDPOINT_MESSAGES;
    case PROTO_GEMINI: return ENDPOINT_GENERATE;
    case PROTO_PROTOCOL_COUNT: break;
    }
    ASSERT(!"a protocol");
    return ENDPOINT_COUNT;
}

void
codec_emit(struct codec_reader *reader, const struct chat_delta *delta)
{
    if (reader->ended)
        return;
    if (!reader->started && delta->kind != CHAT_DELTA_START) {
        /* Its upstream has begun with something else: it tells neither id nor model. */
        const struct chat_delta start = {.kind = CHAT_DELTA_START};

        reader->started = true;
        reader->on_delta(reader->arg, &start);
    }
    if (delta->kind == CHAT_DELTA_START) {
        if (reader->started)
            return;
        reader->started = true;
    }
    if (delta->kind == CHAT_DELTA_FINISH)
        reader->finished = true;
    if (delta->kind == CHAT_DELTA_END)
        reader->ended = true;
    reader->on_delta(reader->arg, delta);
}
