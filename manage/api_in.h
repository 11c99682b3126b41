/* What the files above one request share (manage/api.c says in which order they come). Nobody else's. */
#ifndef MANAGE_API_IN_H
#define MANAGE_API_IN_H

#include "base/buf.h"
#include "manage/manage.h"
#include "manage/op.h"
#include "manage/problem.h"
#include "manage/rate.h"
#include "manage/route.h"

struct api {
    struct ledger_client *ledger;
    struct buf document; /* OpenAPI, once it was asked for */
    char document_etag[40];
    /* By address: all requests, and credentials that are none. By credential. By address and account: what guesses
     * passwords or sends mails. */
    struct rate by_address, by_failure, by_credential, by_auth_address, by_auth_account;
};

/* ---- credential.c ---- */

/* Who calls, and then api_known(). Refuses what is no credential at all. */
void credential_find(struct op_call *call);
/* Goes on: call->caller stands. In api.c. */
void api_known(struct op_call *call);

/* ---- guard.c ---- */

/* Comes the request from one of our own pages, or from no page at all? Else it is refused. */
bool guard_origin(struct op_call *call);
/* The token of a session that changes something; else it is refused. */
bool guard_csrf(struct op_call *call);
/* The value of the session's cookie; STR_NONE without one. */
struct str guard_cookie(const struct request *request);

/* ---- limit.c of requests, in api.c ---- */

/* An address as limits know it: of IPv6 its network of 64 bits. */
struct str api_address(const struct request *request, char room[64]);
/* False: refused, with retry-after. */
bool api_rate(struct op_call *call, struct rate *rate, struct str name);

/* ---- reply.c ---- */

void reply_headers(struct request *request, const char *type);
void reply_problem(struct op_call *call, const struct problem *problem, uint64_t retry_after_s, const char *allow);

/* ---- openapi.c ---- */

/* The whole document, from the tables. */
void openapi_write(struct buf *out, const struct op *const *tables, const struct schema *const *schemas);

#endif
