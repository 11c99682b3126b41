/* Operations about keys. */
#include "manage/ops.h"

static const char *const scope_values[] = {"inference", "usage", "manage", NULL};
static const char *const state_values[] = {"active", "disabled", "expired", NULL};
static const char *const shadow_values[] = {"rpm", "tpm", "concurrency", NULL};

static const struct field list_params[] = {
    {"limit", .in = IN_QUERY, .type = FIELD_INT, .min = 1, .max = 1000, .doc = "The most of a page; 50 if not said."},
    {"cursor", .in = IN_QUERY, .type = FIELD_STRING, .max = 128, .arg = "after", .doc = "The next of the page before."},
    {"q", .in = IN_QUERY, .type = FIELD_STRING, .max = 96, .doc = "How a word of its name, or its last four characters begins."},
    {"state", .in = IN_QUERY, .type = FIELD_ENUM, .values = state_values, .doc = "Only those that are so."},
    {"member", .in = IN_QUERY, .type = FIELD_STRING, .max = 254, .doc = "Only theirs: an address or an ID."},
    {"project", .in = IN_QUERY, .type = FIELD_STRING, .max = 96, .doc = "Only of it: a name or an ID."},
    {NULL},
};
static const struct field id_params[] = {
    {"id", .in = IN_PATH, .type = FIELD_ID, .doc = "The key's number."},
    {NULL},
};

#define KEY_FIELDS                                                                                                     \
    {"name", .type = FIELD_STRING, .max = 96, .example = "\"ci\"", .doc = "What people call it."},                     \
        {"project", .type = FIELD_STRING, .max = 96, .doc = "Its project, by name or ID."},                            \
        {"member", .type = FIELD_STRING, .max = 254,                                                                   \
         .doc = "Whose it is, by address or ID. Given to another it serves calls alone, unless scopes are said."},     \
        {"channels", .type = FIELD_STRINGS, .max = 8,                                                                  \
         .doc = "Channels that it may use, the first is tried first; empty: the public ones."},                        \
        {"models", .type = FIELD_STRINGS, .max = 64, .example = "[\"claude-*\"]",                                      \
         .doc = "Globs of models it may use; empty: any."},                                                            \
        {"allow_ip", .type = FIELD_STRINGS, .max = 16, .example = "[\"192.0.2.0/24\"]",                                \
         .doc = "Where it may be used from; empty: anywhere."},                                                        \
        {"rpm", .type = FIELD_INT, .doc = "Requests a minute; 0: no limit."},                                          \
        {"tpm", .type = FIELD_INT, .doc = "Tokens a minute; 0: no limit."},                                            \
        {"concurrency", .type = FIELD_INT, .doc = "Calls at a time; 0: no limit."},                                    \
        {"shadow", .type = FIELD_STRINGS, .max = 3, .values = shadow_values, .example = "[\"tpm\"]",                   \
         .doc = "Which of these limits count only, and refuse nothing."},                                              \
        {"budget", .type = FIELD_BUDGET, .example = "\"100/month\"", .doc = "The most that it may spend."},            \
        {"expires", .type = FIELD_TIME, .nullable = true, .example = "\"24h\"",                                        \
         .doc = "When it stops to work; null: never."},                                                                \
        {"scopes", .type = FIELD_STRINGS, .values = scope_values, .max = 3, .example = "[\"inference\"]",              \
         .doc = "What it is for; inference if not said."},                                                             \
        {"no_dearer", .type = FIELD_BOOL, .doc = "Never in a channel that is dearer than its first."},                 \
        {"sibling", .type = FIELD_BOOL, .doc = "Other models of a family may serve, as routing rules say."}

static const struct field create_body[] = {KEY_FIELDS, {NULL}};
static const struct field set_body[] = {
    KEY_FIELDS,
    {"no_project", .type = FIELD_BOOL, .doc = "Takes it out of its project."},
    {"no_member", .type = FIELD_BOOL, .doc = "Makes it nobody's, likewise."},
    {NULL},
};
static const struct field rotate_body[] = {
    {"overlap", .type = FIELD_STRING, .max = 16, .example = "\"24h\"",
     .doc = "How long the old secret works beside the new one, up to 30 days; not at all if not said."},
    {NULL},
};

static const struct field key_members[] = {
    {"id", .type = FIELD_ID, .doc = "Its number."},
    {"tenant", .type = FIELD_ID, .doc = "Whose it is."},
    {"name", .type = FIELD_STRING, .doc = "What people call it."},
    {"hint", .type = FIELD_STRING, .doc = "How it begins, and its last four characters."},
    {"disabled", .type = FIELD_BOOL, .doc = "It does not work for now."},
    {"created", .type = FIELD_TIME, .doc = "When it was made."},
    {"expires", .type = FIELD_TIME, .nullable = true, .doc = "When it stops to work."},
    {"state", .type = FIELD_ENUM, .values = state_values, .doc = "Whether it works."},
    {"last_used", .type = FIELD_TIME, .nullable = true, .doc = "When its last call began, to the minute."},
    {"replaced_hint", .type = FIELD_STRING, .optional = true, .doc = "Of the secret that was replaced, while it works."},
    {"replaced_until", .type = FIELD_TIME, .optional = true, .doc = "How long that one works."},
    {"member_id", .type = FIELD_INT, .doc = "Whose it is; 0: nobody's."},
    {"project_id", .type = FIELD_INT, .doc = "Its project; 0: none."},
    {"member", .type = FIELD_STRING, .nullable = true, .doc = "Whose it is, by address."},
    {"project", .type = FIELD_STRING, .nullable = true, .doc = "Its project's name."},
    {"rpm", .type = FIELD_INT, .doc = "Requests a minute; 0: no limit."},
    {"tpm", .type = FIELD_INT, .doc = "Tokens a minute; 0: no limit."},
    {"concurrency", .type = FIELD_INT, .doc = "Calls at a time; 0: no limit."},
    {"shadow", .type = FIELD_STRINGS, .doc = "Limits that count only."},
    {"channels", .type = FIELD_STRINGS, .doc = "Channels that may be used; none: the public ones."},
    {"models", .type = FIELD_STRINGS, .doc = "Globs of models that may be used; none: any."},
    {"scopes", .type = FIELD_STRINGS, .doc = "What it is for."},
    {"allow_ip", .type = FIELD_STRINGS, .doc = "Where it may be used from; none: anywhere."},
    {"no_dearer", .type = FIELD_BOOL, .doc = "Never in a channel that is dearer than its first."},
    {"sibling", .type = FIELD_BOOL, .doc = "Other models of a family may serve."},
    {"budget", .type = FIELD_OBJECT, .ref = "Budget", .nullable = true, .doc = "The most that it may spend."},
    {NULL},
};
static const struct field keys_members[] = {
    {"keys", .type = FIELD_OBJECTS, .ref = "Key", .doc = "Those of this page."},
    {"next", .type = FIELD_STRING, .nullable = true, .doc = "Where the next page begins; null: there is none."},
    {NULL},
};
static const struct field secret_members[] = {
    {"id", .type = FIELD_ID, .doc = "The key's number."},
    {"key", .type = FIELD_SECRET, .optional = true,
     .doc = "The key itself, told this one time; a repeated request is answered without it."},
    {"tenant", .type = FIELD_ID, .doc = "Whose it is."},
    {"name", .type = FIELD_STRING, .doc = "What people call it."},
    {"replaced_until", .type = FIELD_TIME, .optional = true, .doc = "How long the old secret works."},
    {"repeated", .type = FIELD_BOOL, .optional = true, .doc = "It had been done before."},
    {NULL},
};
static const struct field switched_members[] = {
    {"id", .type = FIELD_ID, .doc = "The key's number."},
    {"name", .type = FIELD_STRING, .doc = "What people call it."},
    {"disabled", .type = FIELD_BOOL, .optional = true, .doc = "It does not work for now."},
    {"deleted", .type = FIELD_BOOL, .optional = true, .doc = "It is gone."},
    {NULL},
};

const struct schema schemas_keys[] = {
    {"Key", "A key, without its secret.", key_members},
    {"KeyList", "Keys of the tenant.", keys_members},
    {"KeySecret", "A key's secret.", secret_members},
    {"KeySwitched", "What became of a key.", switched_members},
    {NULL},
};

static const struct op_refusal refusals[] = {{409, "no_channel"}, {409, "too_many"}, {0, NULL}};
static const struct op_refusal set_refusals[] = {{409, "no_channel"}, {400, "nothing_to_set"}, {0, NULL}};

#define READ .perm = PERM_KEYS_READ_ALL, .own = PERM_KEYS_READ_OWN, .scopes = SCOPE_MANAGE
#define WRITE .perm = PERM_KEYS_WRITE_ALL, .own = PERM_KEYS_WRITE_OWN, .scopes = SCOPE_MANAGE

const struct op ops_keys[] = {
    {.id = "keys.list", .method = "GET", .path = "/api/v1/keys", READ, .params = list_params, .result = "KeyList",
     .command = "key.list", .doc = "The tenant's keys."},
    {.id = "keys.create", .method = "POST", .path = "/api/v1/keys", WRITE, .body = create_body, .result = "KeySecret",
     .status = 201, .refusals = refusals, .command = "key.add",
     .doc = "Makes a key. Its secret is in the answer, and never again."},
    {.id = "keys.get", .method = "GET", .path = "/api/v1/keys/{id}", READ, .params = id_params, .result = "Key",
     .command = "key.show", .doc = "One key."},
    {.id = "keys.set", .method = "PATCH", .path = "/api/v1/keys/{id}", WRITE, .params = id_params, .body = set_body,
     .result = "Key", .refusals = set_refusals, .command = "key.set",
     .doc = "Changes a key; what is not said stays. In force within a second."},
    {.id = "keys.delete", .method = "DELETE", .path = "/api/v1/keys/{id}", WRITE, .params = id_params,
     .result = "KeySwitched", .command = "key.delete",
     .doc = "Deletes a key for good. Records of its calls stay."},
    {.id = "keys.rotate", .method = "POST", .path = "/api/v1/keys/{id}/rotate", WRITE, .params = id_params,
     .body = rotate_body, .result = "KeySecret", .command = "key.rotate",
     .doc = "Gives a key a new secret. The old one may work on for a while."},
    {.id = "keys.disable", .method = "POST", .path = "/api/v1/keys/{id}/disable", WRITE, .params = id_params,
     .result = "KeySwitched", .command = "key.disable", .doc = "Refuses a key's calls."},
    {.id = "keys.enable", .method = "POST", .path = "/api/v1/keys/{id}/enable", WRITE, .params = id_params,
     .result = "KeySwitched", .command = "key.enable", .doc = "Serves a key again."},
    {NULL},
};
