/*
 * Client contexts: trusted CAs, read when first needed, and the sessions that can be resumed.
 */
#include "net/tls_lib.h"

#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SESSIONS_MAX 256u

static const char *const system_ca_files[] = {
    "/etc/ssl/certs/ca-certificates.crt", /* Debian and its kin */
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
};

struct tls_client *
tls_client_new(const struct tls_client_options *options)
{
    struct tls_client *client = calloc(1, sizeof(*client));

    if (client == NULL)
        return NULL;
    list_init(&client->sessions);
    mbedtls_ssl_config_init(&client->conf);
    mbedtls_x509_crt_init(&client->cas);
    if (options->ca_file != NULL) {
        client->ca_file = strdup(options->ca_file);
        if (client->ca_file == NULL)
            goto free_client;
    }
    if (tls_lib_configure(&client->conf, MBEDTLS_SSL_IS_CLIENT) != 0)
        goto free_client;
    mbedtls_ssl_conf_authmode(&client->conf, MBEDTLS_SSL_VERIFY_REQUIRED);
    mbedtls_ssl_conf_ca_chain(&client->conf, &client->cas, NULL);
    mbedtls_ssl_conf_session_tickets(&client->conf, MBEDTLS_SSL_SESSION_TICKETS_ENABLED);
#if defined(MBEDTLS_SSL_PROTO_TLS1_3) && MBEDTLS_VERSION_NUMBER >= 0x03060100
    mbedtls_ssl_conf_tls13_enable_signal_new_session_tickets(
        &client->conf, MBEDTLS_SSL_TLS1_3_SIGNAL_NEW_SESSION_TICKETS_ENABLED);
#endif
    return client;

free_client:
    tls_client_free(client);
    return NULL;
}

void
tls_client_free(struct tls_client *client)
{
    if (client == NULL)
        return;
    while (!list_empty(&client->sessions)) {
        struct tls_session *session = LIST_FIRST(&client->sessions, struct tls_session, node);

        list_remove(&session->node);
        tls_session_drop(session);
    }
    mbedtls_ssl_config_free(&client->conf);
    mbedtls_x509_crt_free(&client->cas);
    free(client->ca_file);
    free(client);
}

bool
tls_client_load(struct tls_client *client, char *err, size_t err_cap)
{
    const char *const *files = system_ca_files;
    const char *const own[] = {client->ca_file};
    size_t count = COUNT_OF(system_ca_files);

    if (client->loaded)
        return true;
    if (client->ca_file != NULL) {
        files = own;
        count = 1;
    }
    for (size_t i = 0; i < count; i++) {
        /* More than 0 is the number of certificates that it could not read: old bundles have
         * some that are of no use to us. */
        int rc = mbedtls_x509_crt_parse_file(&client->cas, files[i]);

        if (rc >= 0 && client->cas.raw.p != NULL) {
            client->loaded = true;
            return true;
        }
    }
    (void)snprintf(err, err_cap, "no CA certificates can be read from %s", files[0]);
    return false;
}

/* ---- sessions ----------------------------------------------------------------------------- */

struct tls_session *
tls_session_new(struct str host, uint16_t port)
{
    struct tls_session *session = calloc(1, sizeof(*session) + host.len + 1);

    if (session == NULL)
        return NULL;
    list_init(&session->node);
    mbedtls_ssl_session_init(&session->session);
    session->refs = 1;
    session->port = port;
    session->host_len = host.len;
    memcpy(session->host, host.ptr, host.len);
    return session;
}

void
tls_session_drop(struct tls_session *session)
{
    if (session == NULL || --session->refs > 0)
        return;
    mbedtls_ssl_session_free(&session->session);
    free(session);
}

static struct tls_session *
session_get(struct tls_client *client, struct str host, uint16_t port)
{
    for (struct list *node = client->sessions.next; node != &client->sessions; node = node->next) {
        struct tls_session *session = CONTAINER_OF(node, struct tls_session, node);

        if (session->port == port &&
            str_eq_nocase((struct str){session->host, session->host_len}, host))
            return session;
    }
    return NULL;
}

struct tls_session *
tls_session_find(struct tls_client *client, struct str host, uint16_t port)
{
    struct tls_session *session = session_get(client, host, port);

    if (session != NULL)
        session->refs++;
    return session;
}

void
tls_session_forget(struct tls_client *client, struct tls_session *session)
{
    if (list_empty(&session->node))
        return;
    list_remove(&session->node);
    client->session_count--;
    tls_session_drop(session);
}

void
tls_session_keep(struct tls_client *client, struct tls_session *session)
{
    struct tls_session *old =
        session_get(client, (struct str){session->host, session->host_len}, session->port);

    if (old != NULL)
        tls_session_forget(client, old);
    else if (client->session_count >= SESSIONS_MAX)
        tls_session_forget(client, LIST_LAST(&client->sessions, struct tls_session, node));
    list_push_front(&client->sessions, &session->node);
    client->session_count++;
}
