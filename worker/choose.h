/*
 * What of routes.conf a call may use and asks for: the question to route, made of the key's rights, the
 * request and what is known of upstreams, and what the client is told when the answer is no.
 */
#ifndef WORKER_CHOOSE_H
#define WORKER_CHOOSE_H

#include "shm/key.h"
#include "worker/room.h"

/* Does any rule of the file ask what a request needs, so that it must be looked for? */
bool choose_conf_needs(const struct conf *conf);

/* The call's plan; false with *error. channel: that the caller named in a header; may be STR_NONE. */
bool choose_route(struct call *call, const struct key_extra *extra, struct str channel,
                  struct proto_error *error) MUST_CHECK;

/* The same for a model by its own name in one place, whatever rules and autos would make of the call. */
struct choose_at {
    struct str model;
    enum conf_protocol protocol;
    struct str channel; /* that the caller named; may be STR_NONE */
    const struct route_only *only;
};
enum route_result choose_at(const struct call *call, const struct key_extra *extra,
                            const struct choose_at *at, struct route_plan *plan) MUST_CHECK;

/* x-turnpike-auto, where an auto chose. */
void choose_head_lines(const struct call *call, struct h1_out *out);

#endif
