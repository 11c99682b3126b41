/*
 * How the upstream of a try is spoken to: in the caller's own protocol, whose bytes pass, or in
 * another, into which the request is translated and out of which its answer (proto/translate.h).
 *
 * An upstream that speaks several protocols is spoken to in the caller's, else in the first of
 * Responses, Anthropic's, Gemini's and OpenAI's chat in which the request can be said: the earlier ones
 * carry what proves a model's reasoning, which agents need in their next turn.
 *
 * Also where both speak the same, but one streams and the other does not.
 */
#ifndef WORKER_SPEAK_H
#define WORKER_SPEAK_H

#include "worker/room.h"
#include "worker/stream.h"

/*
 * Before anything is held: reads a request that will have to be translated, and leaves out of the plan
 * candidates in whose protocols it cannot be said. False with *error when none is left, or when the
 * request itself is at fault.
 */
bool speak_admit(struct call *call, struct proto_error *error) MUST_CHECK;
/* For the candidate that the call is at: which endpoint of it, and the body where it is translated.
 * False with *error when it cannot be said there. */
bool speak_prepare(struct call *call, struct proto_error *error) MUST_CHECK;
/* Path and query of its request, and its body, in pieces. False: no room. */
bool speak_target(const struct call *call, char *out, size_t out_cap, struct str *path,
                  struct str *query) MUST_CHECK;
bool speak_body(struct call *call, struct ask_pieces *out) MUST_CHECK;

/* An attempt's answer is to come. */
void speak_answer(struct call *call);
/* The answer comes as a stream where the client wants a whole one, or the other way round: false when
 * that cannot be helped. */
bool speak_adapt(struct call *call, bool upstream_streams) MUST_CHECK;

/* Does the client wait for the whole of what the upstream streams? Nothing is sent until its end. */
bool speak_collects(const struct call *call);
/* What the client gets for an event goes to what is gathered. False: it cannot be understood, or there
 * is no room. */
bool speak_event(struct call *call, const struct sse_event *event, struct gather *gather) MUST_CHECK;
/* The same for the end of the stream: event is the last one, or NULL when the body just ended; *last is
 * what must not go out before the call is settled. */
bool speak_last(struct call *call, const struct sse_event *event, struct gather *gather,
                struct str *last) MUST_CHECK;
/* A whole answer of the upstream, or what was collected of a stream (body STR_NONE), as the client
 * gets it: appended to out. */
bool speak_whole(struct call *call, struct str body, struct buf *out) MUST_CHECK;
/* What an upstream of another protocol finds fault with is told by its name there: that goes where the
 * client's request has no such field. While the request is still there. */
void speak_error_field(const struct call *call, struct proto_error *error);
/* Appends the event that ends a stream which has begun and failed. */
void speak_error(const struct call *call, const struct proto_error *error, struct buf *out);
/* What ends a stream whose upstream left its own mark out; STR_NONE where there is none. */
struct str speak_end_mark(const struct call *call);

/* Type of what the client gets, where it is not the upstream's own; STR_NONE. */
struct str speak_content_type(const struct call *call);
/* Names of what was dropped of the request; "" when nothing was. */
struct str speak_dropped(const struct call *call);

/* No further attempt: gives back what only another one would need. */
void speak_forget_request(struct call *call);
void speak_free(struct call *call);

#endif
