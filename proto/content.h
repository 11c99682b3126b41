/*
 * Is there anything in an answer: text, reasoning, a refusal, a tool call, a picture, sound. Heads,
 * roles, empty strings and frames around nothing are no content. What is not known is taken for
 * content: a new kind of it is not lost by it.
 */
#ifndef PROTO_CONTENT_H
#define PROTO_CONTENT_H

#include "base/base.h"
#include "base/js.h"

enum content {
    CONTENT_NONE = 0, /* nothing, nor does it say that it has come to its end */
    CONTENT_EMPTY,    /* said to be complete, in the ordinary way, and nothing in it */
    CONTENT_SOME,     /* some; or it says why there is none: a filter, a limit */
    CONTENT_COUNT
};

/* Elements of "choices", of a chunk or a whole answer. */
bool content_in_choices(struct js_value choices);
/* How far the choices say that they are complete: CONTENT_SOME when one ended in another way than
 * by "stop". Does not look for content. */
enum content content_choices_end(struct js_value choices);

/* An event of a Messages stream, by its type. */
bool content_in_message_event(struct str type, struct js_value event);
/* Blocks of a whole message. */
bool content_in_blocks(struct js_value blocks);

/* An event of a Responses stream, by its type. */
bool content_in_response_event(struct str type, struct js_value event);
/* Items of a whole response's "output". */
bool content_in_items(struct js_value items);

/* Gemini's candidates, of a chunk or a whole answer; and how far they, or a prompt that was blocked,
 * say that they are complete. */
bool content_in_candidates(struct js_value candidates);
enum content content_candidates_end(struct js_value candidates, struct js_value prompt_feedback);

/* By a "stop_reason" or "status": as content_choices_end(). */
enum content content_end(struct js_value reason);

#endif
