#include "manage/permission.h"

#include "base/str.h"

const char *const perm_name[] = {
    [PERM_NONE] = "none",
    [PERM_SELF] = "self",
    [PERM_TENANT_READ] = "tenant.read",
    [PERM_TENANT_WRITE] = "tenant.write",
    [PERM_TENANT_CLOSE] = "tenant.close",
    [PERM_MEMBERS_READ] = "members.read",
    [PERM_MEMBERS_WRITE] = "members.write",
    [PERM_OWNERS_WRITE] = "owners.write",
    [PERM_PROJECTS_READ] = "projects.read",
    [PERM_PROJECTS_WRITE] = "projects.write",
    [PERM_KEYS_READ_ALL] = "keys.read_all",
    [PERM_KEYS_READ_OWN] = "keys.read_own",
    [PERM_KEYS_WRITE_ALL] = "keys.write_all",
    [PERM_KEYS_WRITE_OWN] = "keys.write_own",
    [PERM_USAGE_ALL] = "usage.all",
    [PERM_USAGE_OWN] = "usage.own",
    [PERM_USAGE_TOTALS] = "usage.totals",
    [PERM_BILLING_READ] = "billing.read",
    [PERM_BILLING_WRITE] = "billing.write",
    [PERM_ALERTS_READ] = "alerts.read",
    [PERM_ALERTS_WRITE] = "alerts.write",
    [PERM_AUDIT_READ] = "audit.read",
    [PERM_PLATFORM_READ] = "platform.read",
    [PERM_PLATFORM_WRITE] = "platform.write",
};
_Static_assert(COUNT_OF(perm_name) == PERM_COUNT, "a new permission needs a name");

const char *const role_name[] = {
    [ROLE_NONE] = "",
    [ROLE_OWNER] = "owner",
    [ROLE_ADMIN] = "admin",
    [ROLE_BILLING] = "billing",
    [ROLE_DEVELOPER] = "developer",
    [ROLE_VIEWER] = "viewer",
};
_Static_assert(COUNT_OF(role_name) == ROLE_COUNT, "a new role needs a name");

const char *const role_values[] = {"owner", "admin", "billing", "developer", "viewer", NULL};

/* ---- the table ---- */

#define P(perm) (UINT64_C(1) << (perm))
_Static_assert(PERM_COUNT <= 64, "a role's permissions are one word");

#define VIEWER                                                                                                \
    (P(PERM_TENANT_READ) | P(PERM_PROJECTS_READ) | P(PERM_KEYS_READ_OWN) | P(PERM_USAGE_OWN) |                 \
     P(PERM_USAGE_TOTALS))
#define DEVELOPER                                                                                             \
    (P(PERM_TENANT_READ) | P(PERM_PROJECTS_READ) | P(PERM_KEYS_READ_OWN) | P(PERM_KEYS_WRITE_OWN) |            \
     P(PERM_USAGE_OWN))
#define BILLING                                                                                               \
    (P(PERM_TENANT_READ) | P(PERM_MEMBERS_READ) | P(PERM_PROJECTS_READ) | P(PERM_KEYS_READ_ALL) |              \
     P(PERM_KEYS_READ_OWN) | P(PERM_USAGE_ALL) | P(PERM_USAGE_OWN) | P(PERM_USAGE_TOTALS) |                    \
     P(PERM_BILLING_READ) | P(PERM_BILLING_WRITE) | P(PERM_ALERTS_READ) | P(PERM_ALERTS_WRITE))
#define ADMIN                                                                                                 \
    (BILLING | DEVELOPER | P(PERM_TENANT_WRITE) | P(PERM_MEMBERS_WRITE) | P(PERM_PROJECTS_WRITE) |             \
     P(PERM_KEYS_WRITE_ALL) | P(PERM_AUDIT_READ))
#define OWNER (ADMIN | P(PERM_TENANT_CLOSE) | P(PERM_OWNERS_WRITE))

static const uint64_t role_perms[ROLE_COUNT] = {
    [ROLE_NONE] = 0,
    [ROLE_OWNER] = OWNER,
    [ROLE_ADMIN] = ADMIN,
    [ROLE_BILLING] = BILLING,
    [ROLE_DEVELOPER] = DEVELOPER,
    [ROLE_VIEWER] = VIEWER,
};

enum role
role_of(struct str name)
{
    for (int role = ROLE_OWNER; role < ROLE_COUNT; role++)
        if (str_eq(name, str_from(role_name[role])))
            return (enum role)role;
    return ROLE_NONE;
}

bool
role_may(enum role role, enum perm perm)
{
    ASSERT((unsigned)role < ROLE_COUNT && (unsigned)perm < PERM_COUNT);
    return (role_perms[role] & P(perm)) != 0;
}

bool
role_covers(enum role role, enum role other)
{
    ASSERT((unsigned)role < ROLE_COUNT && (unsigned)other < ROLE_COUNT);
    return (role_perms[other] & ~role_perms[role]) == 0;
}

/* ---- scopes ---- */

static const struct {
    enum scope scope;
    const char *name;
} scopes[] = {{SCOPE_INFERENCE, "inference"}, {SCOPE_USAGE, "usage"}, {SCOPE_MANAGE, "manage"}};

unsigned
scope_of(struct str name)
{
    for (size_t i = 0; i < COUNT_OF(scopes); i++)
        if (str_eq(name, str_from(scopes[i].name)))
            return scopes[i].scope;
    return 0;
}

const char *
scope_name(enum scope scope)
{
    for (size_t i = 0; i < COUNT_OF(scopes); i++)
        if (scopes[i].scope == scope)
            return scopes[i].name;
    return "";
}
