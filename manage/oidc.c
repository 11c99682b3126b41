#include "manage/oidc.h"

#include "base/clock.h"
#include "base/rng.h"
#include "base/str.h"
#include "manage/curl.h"
#include "manage/form.h"
#include "manage/jwt.h"

#include <errno.h>
#include <pthread.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DOCUMENT_BYTES_MAX (256u << 10)
#define TOKEN_BYTES_MAX (64u << 10)
#define KEPT_US UINT64_C(3600000000)
#define AGAIN_US UINT64_C(60000000)
#define WELL_KNOWN "/.well-known/openid-configuration"

struct oidc {
    const struct conf_oidc *conf;
    pthread_mutex_t lock;
    /* What it says, as it came; empty: not known. A reader copies it under the lock. */
    struct buf about, keys;
    uint64_t about_us, keys_us; /* monotonic: when it came */
};

struct oidc *
oidc_new(const struct conf_oidc *conf)
{
    struct oidc *oidc = calloc(1, sizeof(*oidc));

    if (oidc == NULL)
        return NULL;
    oidc->conf = conf;
    buf_init(&oidc->about, DOCUMENT_BYTES_MAX);
    buf_init(&oidc->keys, DOCUMENT_BYTES_MAX);
    pthread_mutex_init(&oidc->lock, NULL);
    return oidc;
}

void
oidc_free(struct oidc **oidcp)
{
    struct oidc *oidc = *oidcp;

    *oidcp = NULL;
    if (oidc == NULL)
        return;
    buf_free(&oidc->about);
    buf_free(&oidc->keys);
    pthread_mutex_destroy(&oidc->lock);
    free(oidc);
}

static int PRINTF_LIKE(4, 5)
    say(int rc, char *why, size_t why_cap, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vsnprintf(why, why_cap, fmt, args);
    va_end(args);
    return rc;
}

/* ---- what the provider says ---- */

/* An object of the provider's, by GET, in the arena. */
static int
ask(const struct oidc *oidc, const char *url, struct arena *arena, struct str *out, char *why,
    size_t why_cap)
{
    struct fetch fetch = {.url = url,
                          .local = oidc->conf->at.local,
                          .ca_file = oidc->conf->at.ca_file.ptr,
                          .timeout_ms = oidc->conf->at.timeout_ms,
                          .headers = {"accept: application/json"},
                          .answer_bytes_max = DOCUMENT_BYTES_MAX};
    struct js_value value;
    struct js_error err;
    int rc = fetch_run(&fetch);

    if (rc < 0) {
        say(rc, why, why_cap, "the provider cannot be asked: %s", fetch.why);
    } else if (fetch.status != 200) {
        rc = say(-EIO, why, why_cap, "the provider answers %u", fetch.status);
    } else if (!js_check(buf_str(&fetch.answer), &value, &err) || !js_is(value, JS_OBJECT)) {
        rc = say(-EIO, why, why_cap, "the provider's answer is no object");
    } else {
        out->ptr = arena_copy(arena, buf_str(&fetch.answer));
        out->len = fetch.answer.len;
        rc = out->ptr != NULL ? 0 : -ENOMEM;
    }
    fetch_free(&fetch);
    return rc;
}

/* From what is kept, when it is young enough. */
static bool
kept(struct oidc *oidc, const struct buf *buf, const uint64_t *at_us, uint64_t age_us,
     struct arena *arena, struct str *out)
{
    pthread_mutex_lock(&oidc->lock);

    bool young = buf->len > 0 && clock_mono_us() - *at_us < age_us;

    if (young) {
        out->ptr = arena_copy(arena, buf_str(buf));
        out->len = buf->len;
    }
    pthread_mutex_unlock(&oidc->lock);
    return young && out->ptr != NULL;
}

static void
keep(struct oidc *oidc, struct buf *buf, uint64_t *at_us, struct str text)
{
    pthread_mutex_lock(&oidc->lock);
    buf_free(buf);
    (void)buf_add_str(buf, text);
    *at_us = clock_mono_us();
    pthread_mutex_unlock(&oidc->lock);
}

static struct js_value
object_of(struct str text)
{
    struct js_value value = {.type = JS_NONE};
    struct js_error err;

    return js_check(text, &value, &err) ? value : (struct js_value){.type = JS_NONE};
}

/* A member that is an address to go to: encrypted, unless the provider is a local one. */
static const char *
address_of(const struct oidc *oidc, struct js_value about, const char *name, struct arena *arena)
{
    struct js_value value = js_get(about, str_from(name));
    char *text = arena_alloc(arena, value.raw.len + 1);
    struct str url;

    if (text == NULL || !js_is(value, JS_STRING) || value.raw.len > 2048)
        return NULL;
    url = js_unescape(value, text, value.raw.len + 1);
    if (!str_starts_with(url, STR("https://")) &&
        !(oidc->conf->at.local && str_starts_with(url, STR("http://"))))
        return NULL;
    for (size_t i = 0; i < url.len; i++)
        if (url.ptr[i] <= ' ' || url.ptr[i] >= 0x7f || url.ptr[i] == '#')
            return NULL;
    return arena_copy(arena, url);
}

static int
about_get(struct oidc *oidc, struct arena *arena, struct js_value *about, char *why, size_t why_cap)
{
    struct str issuer = oidc->conf->at.url, text;
    char url[2048 + sizeof(WELL_KNOWN)];
    int rc;

    if (kept(oidc, &oidc->about, &oidc->about_us, KEPT_US, arena, &text)) {
        *about = object_of(text);
        return 0;
    }
    while (issuer.len > 0 && issuer.ptr[issuer.len - 1] == '/')
        issuer.len--;
    snprintf(url, sizeof(url), "%.*s%s", STR_ARGS(issuer), WELL_KNOWN);
    rc = ask(oidc, url, arena, &text, why, why_cap);
    if (rc < 0)
        return rc;
    *about = object_of(text);
    /* OpenID Connect Discovery 4.3: else one provider could speak for another. */
    if (!js_str_eq(js_get(*about, STR("issuer")), oidc->conf->at.url))
        return say(-EIO, why, why_cap, "the provider names itself otherwise than routes.conf does");
    keep(oidc, &oidc->about, &oidc->about_us, text);
    return 0;
}

static int
keys_get(struct oidc *oidc, struct js_value about, uint64_t age_us, struct arena *arena,
         struct js_value *keys, char *why, size_t why_cap)
{
    const char *url = address_of(oidc, about, "jwks_uri", arena);
    struct str text;
    int rc;

    if (kept(oidc, &oidc->keys, &oidc->keys_us, age_us, arena, &text)) {
        *keys = object_of(text);
        return 0;
    }
    if (url == NULL)
        return say(-EIO, why, why_cap, "the provider names no keys");
    rc = ask(oidc, url, arena, &text, why, why_cap);
    if (rc < 0)
        return rc;
    *keys = object_of(text);
    keep(oidc, &oidc->keys, &oidc->keys_us, text);
    return 0;
}

/* ---- beginning ---- */

static void
random_text(char out[OIDC_RANDOM_LEN + 1])
{
    uint8_t bytes[32];

    rng_bytes(bytes, sizeof(bytes));
    base64url(bytes, sizeof(bytes), out);
    explicit_bzero(bytes, sizeof(bytes));
}

static void
add_scopes(const struct conf_oidc *conf, struct buf *form)
{
    struct buf all;

    buf_init(&all, 8192);
    buf_add_str(&all, STR("openid"));
    for (size_t i = 0; i < conf->scopes.count; i++)
        if (!str_eq(conf->scopes.at[i], STR("openid")))
            buf_add_fmt(&all, " %.*s", STR_ARGS(conf->scopes.at[i]));
    if (conf->scopes.count == 0)
        buf_add_str(&all, STR(" email profile"));
    form_add(form, "scope", buf_str(&all));
    form->failed = form->failed || all.failed;
    buf_free(&all);
}

int
oidc_begin(struct oidc *oidc, struct str redirect_uri, struct oidc_flow *flow, struct buf *url,
           char *why, size_t why_cap)
{
    char challenge[OIDC_RANDOM_LEN + 1];
    uint8_t hash[crypto_hash_sha256_BYTES];
    struct js_value about;
    struct arena arena;
    struct buf form;
    const char *at;
    int rc;

    arena_init(&arena, 4 * DOCUMENT_BYTES_MAX);
    rc = about_get(oidc, &arena, &about, why, why_cap);
    at = rc == 0 ? address_of(oidc, about, "authorization_endpoint", &arena) : NULL;
    if (rc == 0 && at == NULL)
        rc = say(-EIO, why, why_cap, "the provider does not say where people sign in");
    if (rc < 0) {
        arena_end(&arena);
        return rc;
    }
    random_text(flow->state);
    random_text(flow->nonce);
    random_text(flow->verifier);
    crypto_hash_sha256(hash, (const uint8_t *)flow->verifier, OIDC_RANDOM_LEN);
    base64url(hash, sizeof(hash), challenge);
    buf_init(&form, 16384);
    form_add(&form, "response_type", STR("code"));
    form_add(&form, "client_id", oidc->conf->client_id);
    form_add(&form, "redirect_uri", redirect_uri);
    add_scopes(oidc->conf, &form);
    form_add(&form, "state", str_from(flow->state));
    form_add(&form, "nonce", str_from(flow->nonce));
    form_add(&form, "code_challenge", str_from(challenge));
    form_add(&form, "code_challenge_method", STR("S256"));
    buf_add_fmt(url, "%s%c%.*s", at, strchr(at, '?') != NULL ? '&' : '?', STR_ARGS(buf_str(&form)));
    rc = form.failed || url->failed ? -ENOMEM : 0;
    buf_free(&form);
    arena_end(&arena);
    return rc;
}

/* ---- finishing ---- */

/* Whether a list of the provider's has the word; what a provider that has no such list has. */
static bool
lists(struct js_value about, const char *name, struct str word, bool otherwise)
{
    struct js_value list = js_get(about, str_from(name)), ignored, one;
    struct js_iter it;

    if (!js_is(list, JS_ARRAY))
        return otherwise;
    for (js_iter_init(&it, list); js_next(&it, &ignored, &one);)
        if (js_str_eq(one, word))
            return true;
    return false;
}

/* RFC 6749 2.3.1: in a Basic header, name and secret are encoded as in a form. */
static char *
encoded(struct str text, struct arena *arena)
{
    struct buf out;
    char *copy;

    buf_init(&out, 65536);
    form_value(&out, text);
    copy = out.failed ? NULL : arena_copy(arena, buf_str(&out));
    if (out.ptr != NULL)
        explicit_bzero(out.ptr, out.cap);
    buf_free(&out);
    return copy;
}

/* The error's name is the provider's own word: shown only when it looks like one. */
static int
refused(struct fetch *fetch, char *why, size_t why_cap)
{
    struct js_value error = js_get(object_of(buf_str(&fetch->answer)), STR("error"));
    bool word = js_is(error, JS_STRING) && error.raw.len > 0 && error.raw.len <= 64;

    for (size_t i = 0; word && i < error.raw.len; i++)
        word = (error.raw.ptr[i] >= 'a' && error.raw.ptr[i] <= 'z') || error.raw.ptr[i] == '_';
    if (word)
        say(0, why, why_cap, "the provider answers %u: %.*s", fetch->status, STR_ARGS(error.raw));
    else
        say(0, why, why_cap, "the provider answers %u", fetch->status);
    return fetch->status >= 400 && fetch->status < 500 ? -EACCES : -EIO;
}

static int
exchange(const struct oidc *oidc, struct js_value about, struct str form, struct arena *arena,
         struct str *id_token, char *why, size_t why_cap)
{
    const struct conf_oidc *conf = oidc->conf;
    struct fetch fetch = {.url = address_of(oidc, about, "token_endpoint", arena),
                          .local = conf->at.local,
                          .ca_file = conf->at.ca_file.ptr,
                          .timeout_ms = conf->at.timeout_ms,
                          .post = true,
                          .body = form,
                          .headers = {"accept: application/json",
                                      "content-type: application/x-www-form-urlencoded"},
                          .answer_bytes_max = TOKEN_BYTES_MAX};
    struct js_value token;
    int rc;

    if (fetch.url == NULL)
        return say(-EIO, why, why_cap, "the provider does not say where codes are exchanged");
    if (conf->secret.len > 0 &&
        lists(about, "token_endpoint_auth_methods_supported", STR("client_secret_basic"), true)) {
        fetch.user = encoded(conf->client_id, arena);
        fetch.password = encoded(conf->secret, arena);
        if (fetch.user == NULL || fetch.password == NULL)
            return -ENOMEM;
    }
    rc = fetch_run(&fetch);
    if (rc < 0) {
        say(rc, why, why_cap, "the provider cannot be asked: %s", fetch.why);
    } else if (fetch.status != 200) {
        rc = refused(&fetch, why, why_cap);
    } else {
        token = js_get(object_of(buf_str(&fetch.answer)), STR("id_token"));
        rc = js_is(token, JS_STRING) && !token.escaped ? 0 : say(-EIO, why, why_cap, "there is no ID token");
        if (rc == 0) {
            id_token->ptr = arena_copy(arena, token.raw);
            id_token->len = token.raw.len;
            rc = id_token->ptr != NULL ? 0 : -ENOMEM;
        }
    }
    fetch_free(&fetch);
    return rc;
}

/* By the keys that are known, and once more by those of now. */
static int
verify(struct oidc *oidc, struct js_value about, struct str id_token, struct arena *arena,
       struct js_value *claims, char *why, size_t why_cap)
{
    enum jwt_result result = JWT_NO_KEY;
    struct js_value keys;
    int rc = keys_get(oidc, about, KEPT_US, arena, &keys, why, why_cap);

    if (rc == 0)
        result = jwt_verify(id_token, keys, arena, claims);
    if (rc == 0 && result == JWT_NO_KEY) {
        rc = keys_get(oidc, about, AGAIN_US, arena, &keys, why, why_cap);
        if (rc == 0)
            result = jwt_verify(id_token, keys, arena, claims);
    }
    if (rc == 0 && result != JWT_OK)
        rc = say(-EACCES, why, why_cap, "the ID token is refused: %s", jwt_result_text[result]);
    return rc;
}

static bool
text_of(struct js_value claims, const char *name, size_t max, struct arena *arena, struct str *out)
{
    struct js_value value = js_get(claims, str_from(name));
    char *text;

    *out = STR_NONE;
    if (!js_is(value, JS_STRING) || value.raw.len == 0 || value.raw.len > max)
        return false;
    text = arena_alloc(arena, value.raw.len + 1);
    if (text == NULL)
        return false;
    *out = js_unescape(value, text, value.raw.len + 1);
    if (out->ptr != text) {
        out->ptr = arena_copy(arena, *out);
    }
    for (size_t i = 0; i < out->len; i++)
        if ((uint8_t)out->ptr[i] < ' ' || out->ptr[i] == 0x7f)
            return *out = STR_NONE, false;
    return out->ptr != NULL;
}

static bool
domain_ok(const struct conf_oidc *conf, struct str email)
{
    struct str domain;

    (void)str_split(email, '@', &domain);
    for (size_t i = 0; i < conf->domains.count; i++)
        if (str_eq_nocase(conf->domains.at[i], domain))
            return true;
    return conf->domains.count == 0;
}

int
oidc_person_of(const struct conf_oidc *conf, struct js_value claims, struct arena *arena,
               struct oidc_person *person, char *why, size_t why_cap)
{
    struct js_value verified = js_get(claims, STR("email_verified"));
    bool believed = conf->unverified || js_is(verified, JS_TRUE) || js_str_eq(verified, STR("true"));

    if (!text_of(claims, "sub", OIDC_SUBJECT_MAX, arena, &person->subject))
        return say(-EACCES, why, why_cap, "the ID token is refused: %s", jwt_result_text[JWT_SUBJECT]);
    (void)text_of(claims, "name", 255, arena, &person->name);
    if (!text_of(claims, "email", 254, arena, &person->email) || !believed)
        person->email = STR_NONE;
    if (conf->domains.count > 0 &&
        (person->email.ptr == NULL || !domain_ok(conf, person->email)))
        return say(-EPERM, why, why_cap, "no address of a domain that may sign in");
    return 0;
}

int
oidc_finish(struct oidc *oidc, struct str redirect_uri, const struct oidc_flow *flow,
            struct str code, int64_t now_s, struct arena *arena, struct oidc_person *person,
            char *why, size_t why_cap)
{
    const struct conf_oidc *conf = oidc->conf;
    struct jwt_wanted wanted = {conf->at.url, conf->client_id, str_from(flow->nonce), now_s};
    struct js_value about, claims;
    enum jwt_result result;
    struct str id_token;
    struct buf form;
    int rc = about_get(oidc, arena, &about, why, why_cap);

    if (rc < 0)
        return rc;
    buf_init(&form, 32768);
    form_add(&form, "grant_type", STR("authorization_code"));
    form_add(&form, "code", code);
    form_add(&form, "redirect_uri", redirect_uri);
    form_add(&form, "code_verifier", str_from(flow->verifier));
    if (conf->secret.len == 0 ||
        !lists(about, "token_endpoint_auth_methods_supported", STR("client_secret_basic"), true)) {
        form_add(&form, "client_id", conf->client_id);
        if (conf->secret.len > 0)
            form_add(&form, "client_secret", conf->secret);
    }
    rc = form.failed ? -ENOMEM : exchange(oidc, about, buf_str(&form), arena, &id_token, why, why_cap);
    if (form.ptr != NULL)
        explicit_bzero(form.ptr, form.cap);
    buf_free(&form);
    if (rc == 0)
        rc = verify(oidc, about, id_token, arena, &claims, why, why_cap);
    if (rc < 0)
        return rc;
    result = jwt_check(claims, &wanted);
    if (result != JWT_OK)
        return say(-EACCES, why, why_cap, "the ID token is refused: %s", jwt_result_text[result]);
    return oidc_person_of(conf, claims, arena, person, why, why_cap);
}
