/*
 * Pictures, sound, moderation, ranking, files (proto_is_media()): calls that may be paid by the
 * picture, the second, the character, the search or the request, besides tokens.
 *
 * What a model states a price for is what is charged. A model of which routes.conf states no price
 * that could apply is not offered there: a call is refused, never free. Where an answer does not
 * report what the model is paid by, it counts as the request says (characters, pictures) or by the
 * size of the file (seconds), and the receipt says that it was estimated.
 *
 * Calls for files name no model: they stand for the model "files", which the operator has or has
 * not, and go to one upstream, since that is where the files are.
 */
#ifndef WORKER_MEDIA_H
#define WORKER_MEDIA_H

#include "proto/answer.h"
#include "proto/usage.h"
#include "worker/room.h"

/* Leaves out of the plan those whose model states no price for such a call. False with *error when
 * none is left. */
bool media_admit(struct call *call, struct proto_error *error) MUST_CHECK;

/* The most that such a call can come to with this model; output tokens only as the model or the
 * request bounds them, else as a guess. */
void media_bounds(const struct call *call, const struct conf_model *model,
                  struct price_bounds *bounds);
/* Tokens of input at most. */
uint64_t media_input_max(const struct call *call);

/* What an answer, or as much as there is of it, brought that nobody has to report. */
struct media_made {
    uint32_t images;
    bool any;        /* anything at all */
    uint64_t tokens; /* of text, by its size */
};
/* What the call has used by then, when nothing is reported. */
struct price_count media_so_far(const struct call *call, struct media_made made);
/* A report, completed by what needs none; ABSENT when it has not what the model is paid by. */
struct usage media_usage(const struct call *call, struct usage usage, struct media_made made);
/* Of a whole answer that is OK. */
struct media_made media_made_of(const struct answer *answer);
/* Of a stream, or of bytes, so far. */
struct media_made media_made_so_far(const struct call *call);

/* How an answer with a status below 300 comes: as events, as JSON that is read whole, or as bytes
 * that pass (call->bytes). False when that is not what can be paid for. */
bool media_answer(struct call *call, struct str content_type) MUST_CHECK;

#endif
