/* The tables that there are, one a file: manage/op.c lists them. */
#ifndef MANAGE_OPS_H
#define MANAGE_OPS_H

#include "manage/op.h"

extern const struct op ops_alerts[];
extern const struct op ops_api[];
extern const struct op ops_auth[];
extern const struct op ops_invites[];
extern const struct op ops_keys[];
extern const struct op ops_me[];
extern const struct op ops_members[];
extern const struct op ops_oidc[];
extern const struct op ops_projects[];
extern const struct op ops_tenant[];
extern const struct op ops_usage[];
extern const struct schema schemas_alerts[];
extern const struct schema schemas_api[];
extern const struct schema schemas_auth[];
extern const struct schema schemas_invites[];
extern const struct schema schemas_oidc[];
extern const struct schema schemas_keys[];
extern const struct schema schemas_me[];
extern const struct schema schemas_members[];
extern const struct schema schemas_projects[];
extern const struct schema schemas_tenant[];
extern const struct schema schemas_usage[];

extern const struct op ops_log[], ops_platform[], ops_site[], ops_vouchers[], ops_orders[];
extern const struct schema schemas_platform[], schemas_site[], schemas_vouchers[], schemas_orders[];

#endif
