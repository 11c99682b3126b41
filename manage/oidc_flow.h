/*
 * What the two halves of signing in by another share: the way out to a provider (manage/ops_oidc.c), and the way
 * back (manage/oidc_back.c). Between them is a ticket of the ledger's, whose token the browser keeps in a cookie
 * that only these paths get.
 */
#ifndef MANAGE_OIDC_FLOW_H
#define MANAGE_OIDC_FLOW_H

#include "conf/conf.h"
#include "manage/oidc.h"
#include "manage/op.h"

#define OIDC_COOKIE "turnpike-oidc"
#define OIDC_PATH "/api/v1/auth/oidc/"
#define OIDC_MINUTES 10
#define OIDC_URL_MAX 8192
#define OIDC_WHY_MAX 160

/* Of the path's name; NULL: there is none. */
struct oidc *oidc_provider(struct op_call *call, const struct conf_oidc **conf);
/* Where that provider sends the browser back to. In the arena; STR_NONE: no memory. */
struct str oidc_redirect_uri(struct op_call *call, const struct conf_oidc *conf);
/* The flow's cookie, as a header has it: of no token, that it ends. */
size_t oidc_cookie(const struct request *request, const char *token, char *out, size_t cap);
/* Ends the call: sends the browser there, with that flow's token. */
void oidc_send_to(struct op_call *call, struct str url, const char *token);
/* The same, to our own page that says what is wrong. */
void oidc_send_back(struct op_call *call, const char *code);

/* The operation auth.oidc_callback. */
void oidc_back_run(struct op_call *call);

#endif
