/* What the manage process talks to: the sections mail, turnstile, oidc and webhooks. */
#include "conf/build.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "conf/url.h"
#include "conf/value.h"

/* ---- secrets ---- */

/*
 * The secret that one of three keys names. False: there is one to be, and it cannot be had, which has been said. What
 * is stated where the name of a source belongs is never repeated: it might be the secret.
 */
static bool
secret_of(struct load *load, const struct raw_section *section, const char *owner,
          const struct secret_names *names, const struct draft_secret *from, struct str *out)
{
    struct conf_credential read = {0};
    unsigned sources = (from->key_env.ptr != NULL) + (from->key_file.ptr != NULL) +
                       (from->key_credential.ptr != NULL);

    *out = STR_NONE;
    if (sources > 1)
        load_fault(load, section->at, "%s: names more than one source of its secret", owner);
    if (from->key_env.ptr != NULL && !variable_name_ok(from->key_env)) {
        load_fault(load, raw_place(section, names->env),
                   "%s: this is not the name of an environment variable; the secret itself does not "
                   "belong in this file", names->env);
        return false;
    }
    if (sources != 1)
        return true;
    if (from->key_credential.ptr != NULL &&
        (str_find(from->key_credential, '/', 0) < from->key_credential.len ||
         from->key_credential.ptr[0] == '.')) {
        load_fault(load, raw_place(section, names->credential),
                   "%s: this is not the name of a credential", names->credential);
        return false;
    }
    if (load->from_text)
        return true;
    secret_load_as(load, section, owner, names, from, &read);
    *out = read.secret;
    return read.disabled_reason == NULL;
}

/* ---- mail ---- */

/* As it may stand between "<" and ">" of a header and of MAIL FROM, without quoting. */
static bool
address_ok(struct str address)
{
    size_t at = str_find(address, '@', 0);

    for (size_t i = 0; i < address.len; i++)
        if (address.ptr[i] <= ' ' || address.ptr[i] >= 0x7f || strchr("<>()[]\\,;:\"", address.ptr[i]))
            return false;
    return at > 0 && at + 1 < address.len && str_find(address, '@', at + 1) == address.len;
}

static void
address_check(struct load *load, const struct raw_section *section, const char *key,
              struct str address)
{
    if (address.ptr != NULL && !address_ok(address))
        load_fault(load, raw_place(section, key), "%s: this is not a mail address", key);
}

/* The port is stated: the authority ends in ":" and digits. */
static bool
has_port(struct str text, const struct url *url)
{
    const char *end = url->host.ptr + url->host.len + (url->ipv6 ? 1 : 0);

    return end < text.ptr + text.len && *end == ':';
}

/* A URL of mail has the form of one of the web, but for its scheme. */
static void
mail_smtp(struct load *load, const struct raw_section *section, struct conf_mail *out)
{
    struct place at = raw_place(section, "smtp");
    bool secure = str_starts_with(out->smtp, STR("smtps://"));
    char text[2048 + 8];
    struct value_why why;
    struct url url;
    struct str web;
    int len;

    if (!secure && !str_starts_with(out->smtp, STR("smtp://"))) {
        load_fault(load, at, "smtp: the URL starts with neither smtp:// nor smtps://");
        return;
    }
    len = snprintf(text, sizeof(text), "http%.*s", (int)(out->smtp.len - 4), out->smtp.ptr + 4);
    web = load_copy(load, (struct str){text, (size_t)len});
    if (web.ptr == NULL)
        return;
    if (!url_parse(web, &url, &why)) {
        load_fault(load, at, "smtp: %s", why.text);
        return;
    }
    if (url.path.len > 0)
        load_fault(load, at, "smtp: the URL has a path");
    if (!out->local && url_host_is_local(&url))
        load_fault(load, at, "smtp: %.*s is not a public address; set local = true to allow it",
                   STR_ARGS(url.host));
    if (out->tls == CONF_MAIL_TLS_OFF && (secure || !url_host_is_loopback(&url)))
        load_fault(load, raw_place(section, "tls"),
                   secure ? "tls: smtps:// is encrypted; write smtp:// to turn that off"
                          : "tls: mail and password would go unencrypted; off is for a server at a "
                            "loopback address");
    out->implicit = secure;
    out->host = load_copy(load, url.host);
    out->port = has_port(web, &url) ? url.port : secure ? 465 : 587;
}

static void
mail_sendmail(struct load *load, const struct raw_section *section, const struct conf_mail *mail)
{
    if (mail->sendmail.ptr[0] != '/')
        load_fault(load, raw_place(section, "sendmail"),
                   "sendmail: name the program by its full path");
    if (mail->user.ptr != NULL)
        load_fault(load, raw_place(section, "user"), "user: a program wants none");
}

void
build_mail(struct load *load)
{
    static const struct secret_names names = {"password-env", "password-file",
                                              "password-credential"};
    const struct raw_section *section = section_once(load, CONF_S_MAIL);
    struct draft_mail draft = {0};
    struct conf_mail *out = &load->conf->mail;
    size_t faults = load->faults->fault_count;
    bool stated;

    if (section == NULL)
        return;
    build_fill(load, section, &draft);
    if (load->faults->fault_count != faults)
        return;
    *out = draft.out;
    out->from = draft.sender;
    address_check(load, section, "from", out->from);
    address_check(load, section, "reply-to", out->reply_to);
    address_check(load, section, "operators", out->operators);
    if ((out->smtp.ptr == NULL) == (out->sendmail.ptr == NULL))
        load_fault(load, section->at, "mail: name either smtp or sendmail");
    else if (out->smtp.ptr != NULL)
        mail_smtp(load, section, out);
    else
        mail_sendmail(load, section, out);
    out->ca_file = build_ca_file(load, section, draft.ca_file);
    out->on = secret_of(load, section, "mail", &names, &draft.from, &out->password);
    stated = draft.from.key_env.ptr != NULL || draft.from.key_file.ptr != NULL ||
             draft.from.key_credential.ptr != NULL;
    if (stated != (out->user.ptr != NULL))
        load_fault(load, section->at, stated ? "mail: there is a password and no user"
                                             : "mail: there is a user and no password");
}

/* ---- services ---- */

static void
service_at(struct load *load, const struct raw_section *section, const char *key,
           struct str ca_file, struct conf_service_at *at)
{
    struct place place = raw_place(section, key);
    struct value_why why;
    struct url url;

    at->ca_file = build_ca_file(load, section, ca_file);
    if (at->url.len == 0)
        return; /* said already */
    if (!url_parse(at->url, &url, &why))
        load_fault(load, place, "%s: %s", key, why.text);
    else if (!at->local && url_host_is_local(&url))
        load_fault(load, place, "%s: %.*s is not a public address; set local = true to allow it",
                   key, STR_ARGS(url.host));
    else if (!at->local && !url.tls)
        load_fault(load, place,
                   "%s: secrets would go unencrypted; write https://, or set local = true", key);
}

void
build_turnstile(struct load *load)
{
    static const struct secret_names names = {"secret-env", "secret-file", "secret-credential"};
    const struct raw_section *section = section_once(load, CONF_S_TURNSTILE);
    struct draft_turnstile draft = {0};
    struct conf_turnstile *out = &load->conf->turnstile;
    size_t faults = load->faults->fault_count;

    if (section == NULL)
        return;
    build_fill(load, section, &draft);
    if (load->faults->fault_count != faults)
        return;
    *out = draft.out;
    service_at(load, section, "url", draft.ca_file, &out->at);
    out->on = secret_of(load, section, "turnstile", &names, &draft.from, &out->secret);
    if (draft.from.key_env.ptr == NULL && draft.from.key_file.ptr == NULL &&
        draft.from.key_credential.ptr == NULL)
        load_fault(load, section->at,
                   "turnstile: has no secret; add secret-file, secret-env or secret-credential");
}

void
build_webhooks(struct load *load)
{
    struct raw_section none = {.kind = CONF_S_WEBHOOKS};
    const struct raw_section *section = section_once(load, CONF_S_WEBHOOKS);
    struct draft_webhooks draft = {0};

    section = section != NULL ? section : &none;
    build_fill(load, section, &draft);
    load->conf->webhooks = draft.out;
    load->conf->webhooks.ca_file = build_ca_file(load, section, draft.ca_file);
}

/* Between blanks of a URL's parameter: RFC 6749 3.3. */
static bool
scope_ok(struct str scope)
{
    for (size_t i = 0; i < scope.len; i++)
        if (scope.ptr[i] <= ' ' || scope.ptr[i] >= 0x7f || scope.ptr[i] == '"' ||
            scope.ptr[i] == '\\')
            return false;
    return true;
}

void
build_oidc(struct load *load, struct raw_section *section, void *slot)
{
    static const struct secret_names names = {"client-secret-env", "client-secret-file",
                                              "client-secret-credential"};
    struct draft_oidc draft = {0};
    struct conf_oidc *out = slot;
    char owner[CONF_NAME_LEN_MAX + 16];

    build_fill(load, section, &draft);
    *out = draft.out;
    out->name = section->title;
    if (out->title.ptr == NULL)
        out->title = out->name;
    service_at(load, section, "issuer", draft.ca_file, &out->at);
    for (size_t i = 0; i < out->scopes.count; i++)
        if (!scope_ok(out->scopes.at[i]))
            load_fault(load, raw_place(section, "scopes"), "scopes: \"%.*s\" is none",
                       STR_ARGS(out->scopes.at[i]));
    snprintf(owner, sizeof(owner), "oidc \"%.*s\"", (int)MIN(out->name.len, CONF_NAME_LEN_MAX),
             out->name.ptr);
    out->on = secret_of(load, section, owner, &names, &draft.from, &out->secret);
    for (size_t i = 0; i < section->index; i++) {
        const struct conf_oidc *other = (const struct conf_oidc *)slot - section->index + i;

        if (str_eq(other->name, out->name))
            load_fault(load, section->at, "%s is there twice", owner);
    }
}
