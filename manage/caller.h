/* Who calls: what the credential that came with a request stands for. */
#ifndef MANAGE_CALLER_H
#define MANAGE_CALLER_H

#include "base/base.h"
#include "manage/permission.h"

enum caller_kind {
    CALLER_NONE = 0, /* nobody that is known */
    CALLER_SESSION,  /* a person who signed in, by the cookie */
    CALLER_KEY,      /* a key, by Authorization */
};

/* Of the tenant, what it may be used for. */
enum caller_state { TENANT_ACTIVE = 0, TENANT_PENDING, TENANT_DISABLED };

#define CALLER_NAME_MAX 254

struct caller {
    enum caller_kind kind;
    uint32_t person_id; /* of a session */
    uint32_t key_id;    /* of a key */
    uint32_t tenant_id; /* 0: none, of a platform's administrator */
    uint32_t member_id; /* 0: none */
    enum role role;     /* of a key its member's, at most admin; admin when it has none */
    bool platform;
    enum caller_state tenant_state;
    unsigned scopes; /* of a key */
    char name[CALLER_NAME_MAX + 1]; /* for the audit log: an address, or a key's name */
    /* Of a session, in the request's memory: what the cookie holds, and what an unsafe request has to send. */
    struct str token, csrf;
    uint64_t session_id;
    char locale[16]; /* of a person; "" when they chose none */
};

#endif
