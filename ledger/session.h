/*
 * Sessions of persons who are signed in: kept under the keyed hash of a token that only the browser
 * has. Beside them in the table is their index by person: 'p', person as u32, hash -> nothing.
 */
#ifndef LEDGER_SESSION_H
#define LEDGER_SESSION_H

#include "ledger/brief.h"

#define TOKEN_LEN 43 /* letters and digits: 256 bits */
#define SESSIONS_MAX 64u /* of one person: the oldest ends for a new one */
#define SESSION_AGENT_MAX 200
#define SESSION_ID_LEN 32 /* of what a session is called by: the half of its hash, in hex */

struct session {
    uint8_t hash[HASH_LEN];
    uint32_t person_id;
    int64_t created_us, expires_us, seen_us;
    char ip[48], agent[SESSION_AGENT_MAX + 1];
    char csrf[TOKEN_LEN + 1]; /* what its requests that change something have to say */
};

/* A new secret: text has room for TOKEN_LEN + 1. */
void token_new(char *text);
bool token_well_formed(struct str text);

void session_hash(const uint8_t key[HASH_KEY_LEN], struct str token, uint8_t hash[HASH_LEN]);
int session_get(struct db_txn *txn, const uint8_t hash[HASH_LEN], int64_t now_us,
                struct session *out) MUST_CHECK; /* -ENOENT */
int session_put(struct db_txn *txn, const struct session *session) MUST_CHECK;
int session_drop(struct db_txn *txn, const struct session *session) MUST_CHECK;
/* All of a person that are not over, up to SESSIONS_MAX, into list. */
int session_list(struct db_txn *txn, uint32_t person_id, int64_t now_us,
                 struct session list[SESSIONS_MAX], uint32_t *count) MUST_CHECK;
/* Ends all of a person but the one with that hash (NULL: all). */
int session_drop_all(struct db_txn *txn, uint32_t person_id, const uint8_t *but,
                     uint32_t *count) MUST_CHECK;
int session_sweep(struct db_txn *txn, int64_t now_us) MUST_CHECK;

#endif
