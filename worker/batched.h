/* Which model the lines of a batch are for, and what each costs. */
#ifndef WORKER_BATCHED_H
#define WORKER_BATCHED_H

#include "shm/key.h"
#include "worker/room.h"

struct batched {
    struct route_only at; /* where the file lies, or goes */
    struct str model;     /* as the lines name it */
    enum proto_endpoint endpoint;
    struct str channel; /* that the caller named; may be STR_NONE */
    bool is_upload;     /* for what an error says */
};

/*
 * The plan of one candidate for such a batch: a model that the upstream calls by just this name, since
 * the file's bytes go there as they are; that the key may use there; and that states its price. False
 * with *error (400), which says what the caller or the operator has to change.
 */
bool batched_choose(const struct call *call, const struct key_extra *extra,
                    const struct batched *batched, struct route_plan *plan,
                    struct proto_error *error) MUST_CHECK;

#endif
