/*
 * Server contexts: identities, and which one a client gets. Names are read from the certificates
 * themselves (alternative names; the common name only where there are none, as clients do).
 */
#include "net/tls_lib.h"

#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SAN_DNS (MBEDTLS_ASN1_CONTEXT_SPECIFIC | 2)
#define OID_COMMON_NAME "\x55\x04\x03"

/* ---- choosing by name --------------------------------------------------------------------- */

enum match { MATCH_NONE = 0, MATCH_WILDCARD, MATCH_EXACT };

/* "*" stands for exactly one label, the first. */
static enum match
name_match(struct str pattern, struct str name)
{
    size_t dot;

    if (str_eq_nocase(pattern, name))
        return MATCH_EXACT;
    if (!str_starts_with(pattern, STR("*.")))
        return MATCH_NONE;
    dot = str_find(name, '.', 0);
    if (dot == 0 || dot == name.len)
        return MATCH_NONE;
    if (str_eq_nocase((struct str){pattern.ptr + 1, pattern.len - 1},
                      (struct str){name.ptr + dot, name.len - dot}))
        return MATCH_WILDCARD;
    return MATCH_NONE;
}

static enum match
chain_match(const mbedtls_x509_crt *crt, struct str name)
{
    enum match best = MATCH_NONE;
    bool any = false;

    for (const mbedtls_x509_sequence *san = &crt->subject_alt_names; san != NULL; san = san->next) {
        enum match match;

        if (san->buf.p == NULL || san->buf.tag != SAN_DNS)
            continue;
        any = true;
        match = name_match((struct str){(const char *)san->buf.p, san->buf.len}, name);
        best = MAX(best, match);
    }
    for (const mbedtls_x509_name *dn = &crt->subject; !any && dn != NULL; dn = dn->next) {
        if (dn->oid.p != NULL && dn->oid.len == 3 && memcmp(dn->oid.p, OID_COMMON_NAME, 3) == 0)
            best = MAX(best, name_match((struct str){(const char *)dn->val.p, dn->val.len}, name));
    }
    return best;
}

static int
server_on_name(void *arg, mbedtls_ssl_context *ssl, const unsigned char *bytes, size_t len)
{
    struct tls_server *server = arg;
    struct str name = {(const char *)bytes, len};
    struct tls_pair *chosen = &server->pairs[0];
    enum match best = MATCH_NONE;

    if (len > 0 && name.ptr[len - 1] == '.')
        name.len--;
    for (unsigned i = 0; i < server->identity_count; i++) {
        enum match match = chain_match(&server->pairs[i].chain, name);

        if (match > best) {
            best = match;
            chosen = &server->pairs[i];
        }
    }
    return mbedtls_ssl_set_hs_own_cert(ssl, &chosen->chain, &chosen->key);
}

/* ---- reading identities ------------------------------------------------------------------- */

/* The library wants PEM with its NUL counted. */
static unsigned char *
pem_copy(struct str pem)
{
    unsigned char *copy = malloc(pem.len + 1);

    if (copy == NULL)
        return NULL;
    if (pem.len > 0)
        memcpy(copy, pem.ptr, pem.len);
    copy[pem.len] = '\0';
    return copy;
}

static void
pem_free(unsigned char *copy, size_t len)
{
    if (copy != NULL)
        explicit_bzero(copy, len);
    free(copy);
}

static int
key_parse(mbedtls_pk_context *key, const unsigned char *pem, size_t len)
{
#if TLS_LIB_3
    return mbedtls_pk_parse_key(key, pem, len, NULL, 0, tls_lib_random, NULL);
#else
    return mbedtls_pk_parse_key(key, pem, len, NULL, 0);
#endif
}

static int
key_check(const mbedtls_x509_crt *chain, const mbedtls_pk_context *key)
{
#if TLS_LIB_3
    return mbedtls_pk_check_pair(&chain->pk, key, tls_lib_random, NULL);
#else
    return mbedtls_pk_check_pair(&chain->pk, key);
#endif
}

/*
 * Signs once before any handshake does: the library keeps a table in an EC key when it first
 * signs with it, and handshakes of one key run on several threads.
 */
static int
key_warm(mbedtls_pk_context *key)
{
    static const unsigned char hash[32] = {1};
    unsigned char sig[MBEDTLS_PK_SIGNATURE_MAX_SIZE];
    size_t len = 0;

#if TLS_LIB_3
    return mbedtls_pk_sign(key, MBEDTLS_MD_SHA256, hash, sizeof(hash), sig, sizeof(sig), &len,
                           tls_lib_random, NULL);
#else
    return mbedtls_pk_sign(key, MBEDTLS_MD_SHA256, hash, sizeof(hash), sig, &len, tls_lib_random,
                           NULL);
#endif
}

static bool
pair_refused(const char *what, int rc, char *err)
{
    char text[100];

    tls_lib_error_text(rc, text, sizeof(text));
    (void)snprintf(err, TLS_ERROR_TEXT, "%s: %s", what, text);
    return false;
}

static bool
pair_parse(struct tls_pair *pair, const struct tls_identity *identity, char *err)
{
    unsigned char *chain = pem_copy(identity->chain_pem);
    unsigned char *key = pem_copy(identity->key_pem);
    bool ok = false;
    int rc;

    if (chain == NULL || key == NULL) {
        (void)snprintf(err, TLS_ERROR_TEXT, "out of memory");
        goto free_copies;
    }
    rc = mbedtls_x509_crt_parse(&pair->chain, chain, identity->chain_pem.len + 1);
    if (rc > 0)
        (void)snprintf(err, TLS_ERROR_TEXT, "the chain has %d unreadable certificates", rc);
    else if (rc < 0)
        (void)pair_refused("the certificate is not readable", rc, err);
    if (rc != 0)
        goto free_copies;
    rc = key_parse(&pair->key, key, identity->key_pem.len + 1);
    if (rc != 0) {
        (void)pair_refused("the key is not readable", rc, err);
        goto free_copies;
    }
    rc = key_check(&pair->chain, &pair->key);
    if (rc != 0) {
        (void)pair_refused("the key is not the certificate's", rc, err);
        goto free_copies;
    }
    rc = key_warm(&pair->key);
    ok = rc == 0 || pair_refused("the key cannot sign", rc, err);

free_copies:
    pem_free(chain, identity->chain_pem.len);
    pem_free(key, identity->key_pem.len);
    return ok;
}

static void
pair_init(struct tls_pair *pair)
{
    mbedtls_x509_crt_init(&pair->chain);
    mbedtls_pk_init(&pair->key);
}

static void
pair_free(struct tls_pair *pair)
{
    mbedtls_x509_crt_free(&pair->chain);
    mbedtls_pk_free(&pair->key);
}

bool
tls_identity_check(const struct tls_identity *identity, char *err)
{
    struct tls_pair pair;
    bool ok;

    tls_lib_once();
    pair_init(&pair);
    ok = pair_parse(&pair, identity, err);
    pair_free(&pair);
    return ok;
}

/* ---- the context -------------------------------------------------------------------------- */

static bool
server_add_identities(struct tls_server *server, const struct tls_server_options *options,
                      char *err)
{
    char why[TLS_ERROR_TEXT];

    for (unsigned i = 0; i < options->identity_count; i++) {
        pair_init(&server->pairs[i]);
        server->identity_count++;
        if (pair_parse(&server->pairs[i], &options->identities[i], why))
            continue;
        (void)snprintf(err, TLS_ERROR_TEXT, "certificate %u: %.200s", i + 1, why);
        return false;
    }
    return true;
}

static int
server_configure(struct tls_server *server, mbedtls_ssl_config *conf, bool tickets)
{
    int rc = tls_lib_configure(conf, MBEDTLS_SSL_IS_SERVER);

    if (rc == 0)
        rc = mbedtls_ssl_conf_own_cert(conf, &server->pairs[0].chain, &server->pairs[0].key);
    if (rc != 0)
        return rc;
    mbedtls_ssl_conf_sni(conf, server_on_name, server);
    if (tickets)
        tls_tickets_configure(&server->tickets, conf);
    return 0;
}

struct tls_server *
tls_server_new(const struct tls_server_options *options, char *err)
{
    struct tls_server *server = calloc(1, sizeof(*server));
    int rc;

    if (server == NULL) {
        (void)snprintf(err, TLS_ERROR_TEXT, "out of memory");
        return NULL;
    }
    mbedtls_ssl_config_init(&server->conf);
    mbedtls_ssl_config_init(&server->conf_fast);
    server->pairs = calloc(MAX(options->identity_count, 1u), sizeof(*server->pairs));
    if (server->pairs == NULL || options->identity_count == 0) {
        (void)snprintf(err, TLS_ERROR_TEXT,
                       server->pairs == NULL ? "out of memory" : "no certificate");
        goto free_server;
    }
    if (!server_add_identities(server, options, err))
        goto free_server;
    if (options->ticket_secret != NULL)
        memcpy(server->tickets.secret, options->ticket_secret, TLS_TICKET_SECRET_LEN);
    rc = server_configure(server, &server->conf, options->ticket_secret != NULL);
    if (rc == 0)
        rc = server_configure(server, &server->conf_fast, options->ticket_secret != NULL);
    if (rc != 0) {
        (void)pair_refused("TLS cannot be set up", rc, err);
        goto free_server;
    }
    tls_lib_configure_fast(&server->conf_fast);
    return server;

free_server:
    tls_server_free(server);
    return NULL;
}

void
tls_server_free(struct tls_server *server)
{
    if (server == NULL)
        return;
    for (unsigned i = 0; i < server->identity_count; i++)
        pair_free(&server->pairs[i]);
    free(server->pairs);
    mbedtls_ssl_config_free(&server->conf);
    mbedtls_ssl_config_free(&server->conf_fast);
    explicit_bzero(&server->tickets, sizeof(server->tickets));
    free(server);
}
