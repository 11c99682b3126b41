/* The tables that there are, one a file: manage/op.c lists them. */
#ifndef MANAGE_OPS_H
#define MANAGE_OPS_H

#include "manage/op.h"

extern const struct op ops_alerts[], ops_api[], ops_keys[], ops_members[], ops_projects[], ops_tenant[], ops_usage[];
extern const struct schema schemas_alerts[], schemas_api[], schemas_keys[], schemas_members[], schemas_projects[], schemas_tenant[],
    schemas_usage[];

#endif
