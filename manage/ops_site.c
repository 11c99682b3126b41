/* Operations about what the operator tells people: terms, announcements, texts; and about who did what. */
#include "manage/ops.h"

#define READ .perm = PERM_PLATFORM_READ
#define WRITE .perm = PERM_PLATFORM_WRITE
#define TERMS_MAX (256 * 1024)

/* ---- terms ---- */

static const char *const terms_kinds[] = {"terms", "privacy", NULL};

static const struct field terms_path[] = {
    {"kind", IN_PATH, FIELD_ENUM, .required = true, .values = terms_kinds, .example = "\"terms\"",
     .doc = "The terms, or the privacy policy."},
    {"version", IN_QUERY, FIELD_ID, .doc = "Another than the one that holds."},
    {NULL},
};
static const struct field terms_body[] = {
    {"kind", IN_BODY, FIELD_ENUM, .required = true, .values = terms_kinds, .example = "\"terms\"",
     .doc = "The terms, or the privacy policy."},
    {"en", IN_BODY, FIELD_TEXT, .required = true, .min = 1, .max = TERMS_MAX, .example = "\"Be good.\"",
     .doc = "The text in English."},
    {"zh", IN_BODY, FIELD_TEXT, .max = TERMS_MAX, .doc = "The text in Chinese."},
    {"note", IN_BODY, FIELD_STRING, .max = 160, .doc = "What is new in it."},
    {NULL},
};
#define VERSION_MEMBERS                                                                                       \
    {"kind", .type = FIELD_STRING, .doc = "terms or privacy."},                                               \
        {"version", .type = FIELD_INT, .doc = "Its number, which goes up."},                                  \
        {"created", .type = FIELD_TIME, .doc = "Since when it holds."},                                       \
    {                                                                                                         \
        "note", .type = FIELD_STRING, .doc = "What is new in it."                                             \
    }
static const struct field terms_row[] = {
    VERSION_MEMBERS,
    {NULL},
};
static const struct field terms_members[] = {
    VERSION_MEMBERS,
    {"en", .type = FIELD_TEXT, .max = TERMS_MAX, .doc = "The text in English."},
    {"zh", .type = FIELD_TEXT, .max = TERMS_MAX, .nullable = true, .doc = "The text in Chinese."},
    {NULL},
};
static const struct field terms_list_members[] = {
    {"terms", .type = FIELD_OBJECTS, .members = terms_row, .doc = "All versions, without their texts."},
    {NULL},
};
static const struct field terms_versions_members[] = {
    {"terms", .type = FIELD_INT, .nullable = true, .doc = "The version that holds; null: there are none."},
    {"privacy", .type = FIELD_INT, .nullable = true, .doc = "Likewise of the privacy policy."},
    {NULL},
};
static const struct field terms_put_members[] = {
    {"kind", .type = FIELD_STRING, .doc = "terms or privacy."},
    {"version", .type = FIELD_INT, .doc = "The new one's number."},
    {"repeated", .type = FIELD_BOOL, .optional = true, .doc = "It had been done before."},
    {NULL},
};

/* ---- announcements ---- */

static const char *const levels[] = {"info", "warning", "critical", NULL};
static const char *const current_only[] = {"current", "true", NULL};

static const struct field notice_path[] = {
    {"id", IN_PATH, FIELD_ID, .required = true, .example = "1", .doc = "Its number."},
    {NULL},
};
static const struct field notice_new[] = {
    {"en", IN_BODY, FIELD_TEXT, .required = true, .min = 1, .max = 4000, .example = "\"Soon.\"", .doc = "The text in English."},
    {"zh", IN_BODY, FIELD_TEXT, .max = 4000, .doc = "The text in Chinese."},
    {"level", IN_BODY, FIELD_ENUM, .values = levels, .doc = "How much it matters; info when not said."},
    {"from", IN_BODY, FIELD_TIME, .doc = "From when it shows; now when not said."},
    {"until", IN_BODY, FIELD_TIME, .doc = "Until when; for good when not said."},
    {NULL},
};
static const struct field notice_set[] = {
    {"en", IN_BODY, FIELD_TEXT, .min = 1, .max = 4000, .doc = "The text in English."},
    {"zh", IN_BODY, FIELD_TEXT, .max = 4000, .nullable = true, .doc = "The text in Chinese; null: none."},
    {"level", IN_BODY, FIELD_ENUM, .values = levels, .doc = "How much it matters."},
    {"from", IN_BODY, FIELD_TIME, .doc = "From when it shows."},
    {"until", IN_BODY, FIELD_TIME, .nullable = true, .doc = "Until when; null: for good."},
    {NULL},
};
static const struct field notice_members[] = {
    {"id", .type = FIELD_ID, .doc = "Its number."},
    {"level", .type = FIELD_STRING, .doc = "info, warning or critical."},
    {"from", .type = FIELD_TIME, .nullable = true, .doc = "From when it shows."},
    {"until", .type = FIELD_TIME, .nullable = true, .doc = "Until when; null: for good."},
    {"en", .type = FIELD_TEXT, .doc = "The text in English."},
    {"zh", .type = FIELD_TEXT, .nullable = true, .doc = "The text in Chinese."},
    {"repeated", .type = FIELD_BOOL, .optional = true, .doc = "It had been done before."},
    {NULL},
};
static const struct field notices_members[] = {
    {"notices", .type = FIELD_OBJECTS, .ref = "Notice", .doc = "The newest first."},
    {NULL},
};
static const struct field removed_members[] = {
    {"id", .type = FIELD_ID, .doc = "Its number."},
    {"repeated", .type = FIELD_BOOL, .optional = true, .doc = "It had been done before."},
    {NULL},
};

/* ---- texts ---- */

#define TEXT_FIELD(name_, max_, doc_)                                                                         \
    {                                                                                                         \
        name_, IN_BODY, FIELD_TEXT, .max = (max_), .nullable = true, .doc = doc_                              \
    }
#define TEXTS                                                                                                 \
    TEXT_FIELD("support_email", 254, "Where people ask for help."),                                           \
        TEXT_FIELD("support_url", 2048, "Likewise."),                                                         \
        TEXT_FIELD("welcome_en", 4000, "What who signs in reads first, in English."),                         \
        TEXT_FIELD("welcome_zh", 4000, "Likewise in Chinese."),                                               \
        TEXT_FIELD("footer_en", 2000, "At the end of each page, in English."),                                \
        TEXT_FIELD("footer_zh", 2000, "Likewise in Chinese.")
static const struct field setting_body[] = {
    TEXTS,
    {NULL},
};
static const struct field setting_members[] = {
    TEXTS,
    {"repeated", .type = FIELD_BOOL, .optional = true, .doc = "It had been done before."},
    {NULL},
};

/* ---- who did what ---- */

#define LOG_FILTERS                                                                                           \
    {"actor", IN_QUERY, FIELD_STRING, .max = 64, .doc = "Who did it: person:7, key:3, cli:0."},                \
        {"target", IN_QUERY, FIELD_STRING, .max = 64, .doc = "To what: key:5, member:2."},                    \
        {"action", IN_QUERY, FIELD_STRING, .max = 64, .doc = "What: key.add."},                               \
        {"since", IN_QUERY, FIELD_TIME, .doc = "From when."},                                                 \
        {"until", IN_QUERY, FIELD_TIME, .doc = "Till when."},                                                 \
        {"limit", IN_QUERY, FIELD_INT, .min = 1, .max = 1000, .doc = "How many; 50 when not said."},          \
        {"oldest_first", IN_QUERY, FIELD_BOOL, .doc = "The other way round."},                                \
    {                                                                                                         \
        "cursor", IN_QUERY, FIELD_STRING, .max = 24, .doc = "Where the page before this ended: its next."     \
    }
static const struct field log_query[] = {
    LOG_FILTERS,
    {NULL},
};
static const struct field platform_log_query[] = {
    {"tenant", IN_QUERY, FIELD_ID, .doc = "In one tenant only."},
    LOG_FILTERS,
    {NULL},
};
static const struct field thing_members[] = {
    {"kind", .type = FIELD_STRING, .doc = "key, member, project, tenant, …"},
    {"id", .type = FIELD_INT, .optional = true, .doc = "Its number."},
    {"name", .type = FIELD_STRING, .optional = true, .doc = "Its name then."},
    {NULL},
};
static const struct field actor_members[] = {
    {"kind", .type = FIELD_STRING, .doc = "person, key, cli or system."},
    {"id", .type = FIELD_INT, .doc = "The number of the person, key or user."},
    {"name", .type = FIELD_STRING, .optional = true, .doc = "Their name then."},
    {"ip", .type = FIELD_STRING, .optional = true, .doc = "From where."},
    {"request", .type = FIELD_STRING, .optional = true, .doc = "The x-request-id of the request."},
    {NULL},
};
static const struct field entry_members[] = {
    {"seq", .type = FIELD_INT, .doc = "Its number, from 1 on without gaps."},
    {"time", .type = FIELD_TIME, .doc = "When."},
    {"tenant", .type = FIELD_ID, .optional = true, .doc = "Where."},
    {"actor", .type = FIELD_OBJECT, .members = actor_members, .doc = "Who."},
    {"action", .type = FIELD_STRING, .doc = "What."},
    {"target", .type = FIELD_OBJECT, .members = thing_members, .optional = true, .doc = "To what."},
    {"also", .type = FIELD_OBJECTS, .members = thing_members, .optional = true, .doc = "What changed along with it."},
    {"before", .type = FIELD_ANY, .nullable = true, .doc = "What it was; null: it was not there."},
    {"after", .type = FIELD_ANY, .nullable = true, .doc = "What it is; null: it is no more."},
    {"args", .type = FIELD_ANY, .optional = true, .doc = "In their place what was asked for."},
    {NULL},
};
static const struct field log_members[] = {
    {"entries", .type = FIELD_OBJECTS, .ref = "LogEntry", .doc = "The newest first."},
    {"next", .type = FIELD_STRING, .nullable = true, .doc = "Where the next page begins; null: there is none."},
    {"since", .type = FIELD_TIME, .nullable = true, .doc = "As asked for."},
    {"until", .type = FIELD_TIME, .nullable = true, .doc = "As asked for."},
    {NULL},
};

const struct schema schemas_site[] = {
    {"Terms", "A version of the terms, or of the privacy policy.", terms_members},
    {"TermsList", "All versions.", terms_list_members},
    {"TermsVersions", "The versions that hold.", terms_versions_members},
    {"TermsPut", "A new version.", terms_put_members},
    {"Notice", "An announcement.", notice_members},
    {"Notices", "Announcements.", notices_members},
    {"NoticeRemoved", "An announcement that is no more.", removed_members},
    {"Texts", "What the operator tells people.", setting_members},
    {"LogEntry", "One thing that was done.", entry_members},
    {"Log", "Who did what.", log_members},
    {NULL},
};

const struct op ops_site[] = {
    {.id = "terms.versions", .method = "GET", .path = "/api/v1/terms", .perm = PERM_NONE, .result = "TermsVersions",
     .command = "terms.versions", .doc = "Which versions of the terms and the privacy policy hold."},
    {.id = "terms.show", .method = "GET", .path = "/api/v1/terms/{kind}", .perm = PERM_NONE, .params = terms_path,
     .result = "Terms", .command = "terms.show", .doc = "The words that hold, or held."},
    {.id = "platform.terms.list", .method = "GET", .path = "/api/v1/platform/terms", READ, .result = "TermsList",
     .command = "terms.list", .doc = "All versions there have been."},
    {.id = "platform.terms.create", .method = "POST", .path = "/api/v1/platform/terms", WRITE, .body = terms_body,
     .result = "TermsPut", .status = 201, .command = "terms.put", .doc = "A new version, which holds from now on."},
    {.id = "notices.list", .method = "GET", .path = "/api/v1/notices", .perm = PERM_NONE, .result = "Notices",
     .command = "notice.list", .fixed = current_only, .doc = "Announcements that show now."},
    {.id = "platform.notices.list", .method = "GET", .path = "/api/v1/platform/notices", READ, .result = "Notices",
     .command = "notice.list", .doc = "All announcements."},
    {.id = "platform.notices.create", .method = "POST", .path = "/api/v1/platform/notices", WRITE,
     .body = notice_new, .result = "Notice", .status = 201, .command = "notice.add", .doc = "A new announcement."},
    {.id = "platform.notices.set", .method = "PATCH", .path = "/api/v1/platform/notices/{id}", WRITE,
     .params = notice_path, .body = notice_set, .result = "Notice", .command = "notice.set",
     .doc = "Changes what is told of it."},
    {.id = "platform.notices.delete", .method = "DELETE", .path = "/api/v1/platform/notices/{id}", WRITE,
     .params = notice_path, .result = "NoticeRemoved", .command = "notice.remove", .doc = "Removes one."},
    {.id = "texts.show", .method = "GET", .path = "/api/v1/texts", .perm = PERM_NONE, .result = "Texts",
     .command = "setting.show", .doc = "What the operator tells people."},
    {.id = "platform.texts.set", .method = "PATCH", .path = "/api/v1/platform/texts", WRITE, .body = setting_body,
     .result = "Texts", .command = "setting.set", .doc = "Changes what is told; null takes a text away."},
    {.id = "log.list", .method = "GET", .path = "/api/v1/log", .perm = PERM_AUDIT_READ, .scopes = SCOPE_MANAGE,
     .params = log_query, .result = "Log", .command = "log.list", .doc = "Who did what in the tenant."},
    {.id = "platform.log.list", .method = "GET", .path = "/api/v1/platform/log", READ,
     .params = platform_log_query, .result = "Log", .command = "log.list", .doc = "Who did what."},
    {NULL},
};
