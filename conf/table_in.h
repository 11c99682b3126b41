/* How a row of conf_sections is written: for the files that the tables are in, and nobody else. */
#ifndef CONF_TABLE_IN_H
#define CONF_TABLE_IN_H

#include "conf/build.h"
#include "conf/table.h"

#define SECOND 1000u
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define KIB 1024u
#define MIB (1024 * KIB)

#define BYTES_OF(draft, field) sizeof(((draft *)NULL)->field)
#define ROW(key, kind, draft, field, ...)                                                          \
    {                                                                                              \
        .name = (key), .type = (kind), .field_off = offsetof(draft, field),                        \
        .field_bytes = BYTES_OF(draft, field), __VA_ARGS__                                         \
    }
#define KEY_STRING(key, draft, field, ...) ROW(key, CONF_T_STRING, draft, field, __VA_ARGS__)
#define KEY_STRINGS(key, draft, field, ...) ROW(key, CONF_T_STRINGS, draft, field, __VA_ARGS__)
#define KEY_BOOL(key, draft, field, ...) ROW(key, CONF_T_BOOL, draft, field, __VA_ARGS__)
#define KEY_UINT(key, draft, field, ...) ROW(key, CONF_T_UINT, draft, field, __VA_ARGS__)
#define KEY_SIZE(key, draft, field, ...) ROW(key, CONF_T_SIZE, draft, field, __VA_ARGS__)
#define KEY_DURATION(key, draft, field, ...) ROW(key, CONF_T_DURATION, draft, field, __VA_ARGS__)
#define KEY_AGE(key, draft, field, ...) ROW(key, CONF_T_AGE, draft, field, __VA_ARGS__)
#define KEY_DECIMAL(key, draft, field, ...) ROW(key, CONF_T_DECIMAL, draft, field, __VA_ARGS__)
#define KEY_PRICE(key, draft, class, ...)                                                          \
    ROW(key, CONF_T_PRICE, draft, out.rates.u_per_mtok[class], .max = CONF_PRICE_MAX_U_PER_MTOK,   \
        __VA_ARGS__)
#define KEY_ONE(key, draft, field, ...)                                                            \
    ROW(key, CONF_T_EACH, draft, field, .max = CONF_PRICE_MAX_U_PER_MUNIT, __VA_ARGS__)
#define KEY_EACH(key, draft, class, ...)                                                           \
    KEY_ONE(key, draft, out.rates.u_per_mtok[class], __VA_ARGS__)
/* All prices, where they are other than a model's. */
#define KEYS_PRICES(draft, text)                                                                   \
    KEY_PRICE("input", draft, CONF_INPUT, .doc = (text)),                                          \
        KEY_PRICE("output", draft, CONF_OUTPUT, .doc = (text)),                                    \
        KEY_PRICE("cache-read", draft, CONF_CACHE_READ, .doc = (text)),                            \
        KEY_PRICE("cache-write", draft, CONF_CACHE_WRITE_5M, .doc = (text)),                       \
        KEY_PRICE("cache-write-1h", draft, CONF_CACHE_WRITE_1H, .doc = (text)),                    \
        KEY_PRICE("reasoning", draft, CONF_REASONING, .doc = (text)),                              \
        KEY_PRICE("audio-input", draft, CONF_AUDIO_INPUT, .doc = (text)),                          \
        KEY_PRICE("audio-output", draft, CONF_AUDIO_OUTPUT, .doc = (text)),                        \
        KEY_PRICE("image-input", draft, CONF_IMAGE_INPUT, .doc = (text)),                          \
        KEY_PRICE("image-output", draft, CONF_IMAGE_OUTPUT, .doc = (text)),                        \
        KEY_EACH("per-image", draft, CONF_IMAGES, .doc = (text)),                                  \
        KEY_EACH("per-second", draft, CONF_SECONDS, .doc = (text)),                                \
        KEY_PRICE("per-million-characters", draft, CONF_CHARACTERS, .doc = (text)),                \
        KEY_EACH("per-request", draft, CONF_REQUESTS, .doc = (text)),                              \
        KEY_EACH("per-search", draft, CONF_SEARCHES, .doc = (text))
#define KEY_WORD(key, draft, field, list, ...)                                                     \
    ROW(key, CONF_T_WORD, draft, field, .words = (list), .word_count = COUNT_OF(list), __VA_ARGS__)
#define KEY_BITS(key, draft, field, list, ...)                                                     \
    ROW(key, CONF_T_BITS, draft, field, .words = (list), .word_count = COUNT_OF(list), __VA_ARGS__)

/* conf/table_manage.c: who may come. */
#define CONF_MANAGE_KEYS 24
extern const struct conf_key conf_manage_keys[CONF_MANAGE_KEYS];

/* conf/table_topup.c: what credit costs. */
#define CONF_TOPUP_KEYS 10
extern const struct conf_key conf_topup_keys[CONF_TOPUP_KEYS];

/* conf/table_outside.c: what the manage process talks to. */
#define CONF_MAIL_KEYS 15
#define CONF_TURNSTILE_KEYS 9
#define CONF_OIDC_KEYS 12
#define CONF_WEBHOOKS_KEYS 3
extern const struct conf_key conf_mail_keys[CONF_MAIL_KEYS];
extern const struct conf_key conf_turnstile_keys[CONF_TURNSTILE_KEYS];
extern const struct conf_key conf_oidc_keys[CONF_OIDC_KEYS];
extern const struct conf_key conf_webhooks_keys[CONF_WEBHOOKS_KEYS];

#endif
