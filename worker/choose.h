/*
 * What of routes.conf a call may use and asks for: the question to route, made of the key's rights, the
 * request and what is known of upstreams, and what the client is told when the answer is no.
 */
#ifndef WORKER_CHOOSE_H
#define WORKER_CHOOSE_H

#include "shm/key.h"
#include "worker/room.h"

#define CHOOSE_GLOBS_MAX 64
#define CHOOSE_BYTES_PER_TOKEN 4u /* of a request, about */

/* What a question points into. */
struct choose_key {
    uint16_t channels[KEY_CHANNELS_MAX];
    struct str globs[CHOOSE_GLOBS_MAX];
    struct route_weights weights;
};

/* Does any rule of the file ask what a request needs, so that it must be looked for? */
bool choose_conf_needs(const struct conf *conf);

/* Puts the key's rights into *ask, which then points into *out. False when the key names channels of
 * which routes.conf has none any more: it must not fall to the public ones. */
bool choose_key(const struct worker *w, const struct key_slot *key, const struct key_extra *extra,
                struct choose_key *out, struct route_ask *ask) MUST_CHECK;

/* The call's plan; false with *error. channel: that the caller named in a header; may be STR_NONE. */
bool choose_route(struct call *call, const struct key_extra *extra, struct str channel,
                  struct proto_error *error) MUST_CHECK;

/* x-turnpike-auto, where an auto chose. */
void choose_head_lines(const struct call *call, struct h1_out *out);

#endif
