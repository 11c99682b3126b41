/*
 * shm: the shared region. One sparse file on tmpfs, mapped whole by every process: accounts,
 * budgets, quotas, keys and their index, hold slots, doorbells, names, upstream health, idempotency
 * keys, counters.
 * Mechanism, no policy: it knows no tenants' names, no JSON, no sockets, no database.
 *
 * What it promises: everything is found by index and generation, never by pointer. Only
 * lock-free 64- and 32-bit atomics are shared; no mutex. A process may die between any two
 * instructions: every change of more than one word is an intent, the change, and a mark that
 * it is done, and the ledger process can finish or undo it, twice without harm. All memory is
 * allocated before it is used, so that no store can fault.
 *
 *     shm/region.h   the file: making, adopting, growing; header; liveness locks; tables
 *     shm/account.h  a tenant's wallet: one word
 *     shm/budget.h   spending limits of key, member, project, tenant: one word each
 *     shm/quota.h    rates, calls at a time, channels and models of member, project, tenant
 *     shm/key.h      API keys: slots, limits, the hash index
 *     shm/rate.h     GCRA in one word
 *     shm/hold.h     hold slots and doorbells: reserve, progress, settle, sweep
 *     shm/record.h   what a call leaves behind: the cold half of a hold slot
 *     shm/refusal.h  calls that were refused before they had a hold: a ring that may lose some
 *     shm/event.h    a call that is over, as those are told who watch
 *     shm/names.h    interned names of models, channels, upstreams
 *     shm/health.h   what workers learned of upstreams
 *     shm/idem.h     idempotency keys: a request that is sent twice is served once
 *     shm/affinity.h where a conversation was served last
 *     shm/stats.h    counters a table
 *
 * SHM_STEP() stands between any two operations on shared words that belong to one protocol
 * step. It is nothing in the program; a test build (-DSHM_STEPS) calls shm_step_hook there,
 * to stop or kill the party at that very point.
 */
#ifndef SHM_SHM_H
#define SHM_SHM_H

#include "base/base.h"

#ifdef SHM_STEPS
extern void (*shm_step_hook)(const char *where);
#define SHM_STEP(where) (shm_step_hook ? shm_step_hook(where) : (void)0)
#else
#define SHM_STEP(where) ((void)0)
#endif

#endif
