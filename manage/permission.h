/*
 * Who may do what: roles of a tenant's members, and what each of them permits. The table is in permission.c;
 * an operation names the permission that it needs (manage/op.h), and nothing else decides.
 *
 * Platform administrators have the permissions of the platform, and within a tenant those of their own role, if
 * they have a place in one at all. Some permissions come in pairs: over all there is in the tenant, and over
 * one's own only.
 */
#ifndef MANAGE_PERMISSION_H
#define MANAGE_PERMISSION_H

#include "base/base.h"

enum perm {
    PERM_NONE = 0, /* anybody, also who is not signed in */
    PERM_SELF,     /* whoever is signed in, or calls with a key, about themselves */
    PERM_TENANT_READ,
    PERM_TENANT_WRITE,
    PERM_TENANT_CLOSE,
    PERM_MEMBERS_READ,
    PERM_MEMBERS_WRITE,
    PERM_OWNERS_WRITE, /* who is an owner, and who no more */
    PERM_PROJECTS_READ,
    PERM_PROJECTS_WRITE,
    PERM_KEYS_READ_ALL,
    PERM_KEYS_READ_OWN,
    PERM_KEYS_WRITE_ALL,
    PERM_KEYS_WRITE_OWN,
    PERM_USAGE_ALL,
    PERM_USAGE_OWN,
    PERM_USAGE_TOTALS, /* sums of the tenant, without who spent what */
    PERM_BILLING_READ,
    PERM_BILLING_WRITE,
    PERM_ALERTS_READ,
    PERM_ALERTS_WRITE,
    PERM_AUDIT_READ,
    PERM_PLATFORM_READ,
    PERM_PLATFORM_WRITE,
    PERM_COUNT
};
/* "keys.read_all" */
extern const char *const perm_name[];

enum role { ROLE_NONE = 0, ROLE_OWNER, ROLE_ADMIN, ROLE_BILLING, ROLE_DEVELOPER, ROLE_VIEWER, ROLE_COUNT };
/* As the ledger stores them; of ROLE_NONE "". */
extern const char *const role_name[];
/* NULL ends it, for fields that take a role. */
extern const char *const role_values[];

/* ROLE_NONE for what is none. */
enum role role_of(struct str name);
/* Of permissions within a tenant only: those of the platform, and of no place, are no role's. */
bool role_may(enum role role, enum perm perm);
/* What each member with the role can do, so that who may give roles gives none above their own. */
bool role_covers(enum role role, enum role other);

/* Of keys: what they may be used for. */
enum scope { SCOPE_INFERENCE = 1, SCOPE_USAGE = 2, SCOPE_MANAGE = 4 };
/* 0 for what is none. */
unsigned scope_of(struct str name);
const char *scope_name(enum scope scope);

#endif
