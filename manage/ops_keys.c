/* Operations about keys. */
#include "manage/ops.h"

static const char *const scope_values[] = {"inference", "usage", "manage", NULL};

static const struct field create_body[] = {
    {"name", .type = FIELD_STRING, .max = 96, .example = "\"ci\"", .doc = "What people call it."},
    {"project", .type = FIELD_STRING, .max = 96, .doc = "Its project, by name or ID."},
    {"member", .type = FIELD_STRING, .max = 254, .doc = "Whose it is, by address."},
    {"channels", .type = FIELD_STRINGS, .max = 8, .doc = "Channels that it may use, the first is tried first."},
    {"models", .type = FIELD_STRINGS, .max = 64, .example = "[\"claude-*\"]", .doc = "Globs of models it may use."},
    {"allow_ip", .type = FIELD_STRINGS, .max = 16, .example = "[\"192.0.2.0/24\"]", .doc = "Where it may be used from."},
    {"rpm", .type = FIELD_INT, .doc = "Requests a minute; 0: no limit."},
    {"tpm", .type = FIELD_INT, .doc = "Tokens a minute; 0: no limit."},
    {"concurrency", .type = FIELD_INT, .doc = "Calls at a time; 0: no limit."},
    {"budget", .type = FIELD_BUDGET, .example = "\"100/month\"", .doc = "The most that it may spend."},
    {"expires", .type = FIELD_TIME, .example = "\"24h\"", .doc = "When it stops to work."},
    {"scopes", .type = FIELD_STRINGS, .values = scope_values, .max = 3, .doc = "What it is for; inference if not said."},
    {NULL},
};

static const struct field key_members[] = {
    {"id", .type = FIELD_ID, .doc = "Its number."},
    {"tenant", .type = FIELD_ID, .doc = "Whose it is."},
    {"name", .type = FIELD_STRING, .doc = "What people call it."},
    {"hint", .type = FIELD_STRING, .doc = "Its last four characters."},
    {"disabled", .type = FIELD_BOOL, .doc = "It does not work for now."},
    {"created", .type = FIELD_TIME, .doc = "When it was made."},
    {"expires", .type = FIELD_TIME, .nullable = true, .doc = "When it stops to work."},
    {"member", .type = FIELD_STRING, .nullable = true, .doc = "Whose it is, by address."},
    {"project", .type = FIELD_STRING, .nullable = true, .doc = "Its project's name."},
    {NULL},
};
static const struct field keys_members[] = {
    {"keys", .type = FIELD_OBJECTS, .ref = "Key", .doc = "Those of this page."},
    {NULL},
};
static const struct field secret_members[] = {
    {"id", .type = FIELD_ID, .doc = "The key's number."},
    {"key", .type = FIELD_SECRET, .optional = true,
     .doc = "The key itself, told this one time; a repeated request is answered without it."},
    {"tenant", .type = FIELD_ID, .doc = "Whose it is."},
    {"name", .type = FIELD_STRING, .doc = "What people call it."},
    {"repeated", .type = FIELD_BOOL, .optional = true, .doc = "It had been done before."},
    {NULL},
};

const struct schema schemas_keys[] = {
    {"Key", "A key, without its secret.", key_members},
    {"KeyList", "Keys of the tenant.", keys_members},
    {"KeySecret", "A key's secret.", secret_members},
    {NULL},
};

const struct op ops_keys[] = {
    {.id = "keys.list", .method = "GET", .path = "/api/v1/keys", .perm = PERM_KEYS_READ_ALL, .own = PERM_KEYS_READ_OWN,
     .scopes = SCOPE_MANAGE, .result = "KeyList", .command = "key.list", .doc = "The tenant's keys."},
    {.id = "keys.create", .method = "POST", .path = "/api/v1/keys", .perm = PERM_KEYS_WRITE_ALL,
     .own = PERM_KEYS_WRITE_OWN, .scopes = SCOPE_MANAGE, .body = create_body, .result = "KeySecret", .status = 201,
     .command = "key.add", .doc = "Makes a key. Its secret is in the answer, and never again."},
    {NULL},
};
