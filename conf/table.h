/*
 * What may stand in routes.conf: one row a key. The parser, `turnpike check`, the "did you mean"
 * hints and routes.conf(5) all go by these rows; a test holds the manual page against them.
 *
 * A new key is a row here, a field in the struct it fills, and a paragraph in the manual page.
 */
#ifndef CONF_TABLE_H
#define CONF_TABLE_H

#include "base/base.h"
#include "conf/conf.h"

enum conf_type {
    CONF_T_STRING = 0,
    CONF_T_STRINGS,  /* a list; a single value is a list of one */
    CONF_T_BOOL,     /* true false yes no on off */
    CONF_T_UINT,     /* digits */
    CONF_T_SIZE,     /* digits, then k m g or nothing */
    CONF_T_DURATION, /* digits, then ms s m h */
    CONF_T_AGE,      /* digits, then s m h d; kept in ms, too */
    CONF_T_DECIMAL,  /* up to six decimals, kept in millionths */
    CONF_T_PRICE,    /* the same, per million tokens; CONF_PRICE_ABSENT when not stated */
    CONF_T_EACH,     /* a price of one: up to twelve decimals, kept in millionths per million */
    CONF_T_WORD,     /* one of words */
    CONF_T_BITS,     /* a list of words */
    CONF_TYPE_COUNT
};
extern const char *const conf_type_name[CONF_TYPE_COUNT]; /* for messages and the manual */

/* What a reload does with a changed value. */
enum conf_reload {
    CONF_RELOAD_CALLS = 0,   /* holds for calls that start after it */
    CONF_RELOAD_CONNECTIONS, /* holds for connections that are opened after it */
    CONF_RELOAD_AT_ONCE,     /* holds for what is there, too */
    CONF_RELOAD_COUNT
};
extern const char *const conf_reload_name[CONF_RELOAD_COUNT];

struct conf_key {
    const char *name;
    enum conf_type type;
    bool required;
    bool empty_ok;        /* a list: {} means the same as leaving it out */
    uint16_t field_off;   /* in the draft of its section, conf/build.h */
    uint16_t field_bytes; /* numbers: 1, 2, 4 or 8 */
    /* Bounds in the stored unit: bytes, ms, millionths, counts; of a string its length. */
    uint64_t min;
    uint64_t max;
    const char *def; /* as it would be written; NULL: none */
    const char *const *words;
    size_t word_count;
    enum conf_reload reload;
    const char *doc; /* one or more whole sentences */
};

enum conf_section_kind {
    CONF_S_UPSTREAM = 0,
    CONF_S_CREDENTIAL,
    CONF_S_MODEL,
    CONF_S_TIER,
    CONF_S_SERVICE,
    CONF_S_DISCOUNT,
    CONF_S_CHANNEL,
    CONF_S_AUTO,
    CONF_S_RULE,
    CONF_S_LIMITS,
    CONF_S_LOG,
    CONF_S_TELEMETRY,
    CONF_S_RETENTION,
    CONF_S_METRICS,
    CONF_S_MANAGE,
    CONF_S_TOPUP,
    CONF_S_MAIL,
    CONF_S_TURNSTILE,
    CONF_S_OIDC,
    CONF_S_WEBHOOKS,
    CONF_SECTION_COUNT
};

struct conf_section {
    const char *name;
    bool titled;
    int parent; /* enum conf_section_kind, or CONF_NONE at the top level */
    const struct conf_key *keys;
    size_t key_count;
    const char *doc;
};
extern const struct conf_section conf_sections[CONF_SECTION_COUNT];

/* NULL when there is none. */
const struct conf_key *conf_key_find(const struct conf_section *section, struct str name);
/* Kind of the section called name inside parent (CONF_NONE: top level), or CONF_NONE. */
int conf_section_find(int parent, struct str name);

#endif
