/*
 * Passwords: how they are kept (argon2id), and which are too weak to be.
 *
 * Hashing takes a good part of a second and tens of megabytes on purpose: call what says so on a thread
 * of its own (manage_work()), never on the loop. It knows no store: it makes and checks strings.
 */
#ifndef MANAGE_PASSWORD_H
#define MANAGE_PASSWORD_H

#include "base/base.h"

#define PASSWORD_LEN_MIN 10u
#define PASSWORD_LEN_MAX 256u
#define PASSWORD_HASH_LEN_MAX 128u /* with its NUL */

enum password_fault {
    PASSWORD_OK = 0,
    PASSWORD_SHORT,
    PASSWORD_LONG,
    PASSWORD_COMMON, /* one of those that are tried first, or a run of one kind */
    PASSWORD_SIMILAR, /* the mail address, or its name, or the other text, with little added */
    PASSWORD_FAULT_COUNT
};
/* A sentence for people; a code for programs. */
extern const char *const password_fault_text[PASSWORD_FAULT_COUNT];
extern const char *const password_fault_code[PASSWORD_FAULT_COUNT];

/* other: the tenant's or person's name; STR_NONE none. */
enum password_fault password_check(struct str password, struct str email, struct str other);

struct password_cost {
    uint64_t ops;
    size_t bytes;
};
extern const struct password_cost password_cost_now; /* of new ones: 3 passes over 64 MiB */

/* Takes its time. 0, or -ENOMEM. */
int MUST_CHECK password_hash(struct str password, const struct password_cost *cost,
                             char out[PASSWORD_HASH_LEN_MAX]);
/*
 * Takes its time: as long for a hash that is "" or none (there is no such person), which is compared with
 * one that nothing matches. *again, when it matched: the hash is cheaper than cost, make a new one.
 */
bool MUST_CHECK password_matches(struct str password, struct str hash, const struct password_cost *cost,
                                 bool *again);

#endif
