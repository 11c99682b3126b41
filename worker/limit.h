/*
 * The limits that providers keep for each credential, kept by us first, over all workers: calls and
 * tokens a minute (shm/rate.h) and calls at a time (shm/health.h). A call that finds one of them
 * reached goes past the credential; that says nothing against it.
 */
#ifndef WORKER_LIMIT_H
#define WORKER_LIMIT_H

#include "worker/room.h"

static inline bool
limit_any(const struct conf_credential *conf)
{
    return conf->rpm > 0 || conf->tpm > 0 || conf->concurrency > 0;
}

/*
 * Counts the call in, as one of the credential's calls under way, and its tokens by their guess. False
 * and nothing counted when a limit is reached, or when others wait for that room already. A call that
 * stands in the queue passes those that wait with it.
 */
bool limit_enter(struct call *call, struct credential *credential) MUST_CHECK;
/* Is the call one of several of its tenant that wait? */
bool limit_is_crowd(const struct call *call);
/* How long until it is worth another look at one that was full. */
uint64_t limit_wait_us(const struct worker *w, const struct credential *credential);
/* It is over there. The guess of its tokens is taken back where they are not known to be used. */
void limit_leave(struct call *call, struct credential *credential);
/* Its tokens are known: they count in place of the guess. */
void limit_tokens(struct call *call, uint64_t tokens);
/* They will not be known: the guess stands. */
void limit_keep_guess(struct call *call);

#endif
