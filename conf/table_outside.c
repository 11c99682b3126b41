/* The rows of what the manage process talks to: mail, human verification, sign-in by others. */
#include "conf/table_in.h"

#define MAIL struct draft_mail
const struct conf_key conf_mail_keys[CONF_MAIL_KEYS] = {
    KEY_STRING("smtp", MAIL, out.smtp, .min = 1, .max = 2048, .reload = CONF_RELOAD_AT_ONCE,
               .doc = "The server that takes mail: smtp://HOST:PORT, encrypted by STARTTLS, or "
                      "smtps://HOST:PORT, encrypted from the first byte. Without a port it is 587, "
                      "or 465."),
    KEY_STRING("sendmail", MAIL, out.sendmail, .min = 1, .max = 4095, .reload = CONF_RELOAD_AT_ONCE,
               .doc = "In place of smtp: the program that takes mail on its standard input, by its "
                      "full path, such as /usr/sbin/sendmail. It is called with -i -f FROM -- TO, by "
                      "no shell."),
    KEY_STRING("from", MAIL, sender, .required = true, .min = 3, .max = 254,
               .reload = CONF_RELOAD_AT_ONCE, .doc = "The address that mail comes from."),
    KEY_STRING("from-name", MAIL, out.from_name, .min = 0, .max = 96, .def = "Turnpike",
               .reload = CONF_RELOAD_AT_ONCE, .doc = "The name beside it."),
    KEY_STRING("reply-to", MAIL, out.reply_to, .min = 3, .max = 254, .reload = CONF_RELOAD_AT_ONCE,
               .doc = "The address that answers go to, where it is another."),
    KEY_STRING("user", MAIL, out.user, .min = 1, .max = 255, .reload = CONF_RELOAD_AT_ONCE,
               .doc = "The user's name there; without it nobody logs in."),
    KEY_STRING("password-env", MAIL, from.key_env, .min = 1, .max = 128,
               .reload = CONF_RELOAD_AT_ONCE,
               .doc = "The environment variable that holds the password."),
    KEY_STRING("password-file", MAIL, from.key_file, .min = 1, .max = 4095,
               .reload = CONF_RELOAD_AT_ONCE,
               .doc = "The file that holds it, readable by its owner alone."),
    KEY_STRING("password-credential", MAIL, from.key_credential, .min = 1, .max = 255,
               .reload = CONF_RELOAD_AT_ONCE, .doc = "The systemd credential that holds it."),
    KEY_WORD("tls", MAIL, out.tls, conf_mail_tls_name, .def = "required",
             .reload = CONF_RELOAD_AT_ONCE,
             .doc = "Whether the way to the server is encrypted: required, or off where it is on this "
                    "machine, at a loopback address."),
    KEY_BOOL("local", MAIL, out.local, .def = "false", .reload = CONF_RELOAD_AT_ONCE,
             .doc = "Allows a server with an address that is not public (loopback, private)."),
    KEY_STRING("ca-file", MAIL, ca_file, .min = 0, .max = 4095, .def = "",
               .reload = CONF_RELOAD_AT_ONCE,
               .doc = "Certificate authorities to trust instead of the system's, in PEM."),
    KEY_WORD("language", MAIL, out.language, conf_language_name, .def = "en",
             .reload = CONF_RELOAD_AT_ONCE,
             .doc = "The language of mail to those of whom none is known: en or zh-CN."),
    KEY_DURATION("timeout", MAIL, out.timeout_ms, .min = SECOND, .max = 10 * MINUTE, .def = "60s",
                 .reload = CONF_RELOAD_AT_ONCE, .doc = "How long the sending of one mail may take."),
    KEY_STRING("operators", MAIL, out.operators, .min = 3, .max = 254, .reload = CONF_RELOAD_AT_ONCE,
               .doc = "The address of those who run this server: that a tenant waits for approval is "
                      "told there."),
};

#define TURNSTILE struct draft_turnstile
const struct conf_key conf_turnstile_keys[CONF_TURNSTILE_KEYS] = {
    KEY_STRING("site-key", TURNSTILE, out.site_key, .required = true, .min = 1, .max = 128,
               .reload = CONF_RELOAD_AT_ONCE, .doc = "The widget's public key."),
    KEY_STRING("secret-env", TURNSTILE, from.key_env, .min = 1, .max = 128,
               .reload = CONF_RELOAD_AT_ONCE,
               .doc = "The environment variable that holds the widget's secret key."),
    KEY_STRING("secret-file", TURNSTILE, from.key_file, .min = 1, .max = 4095,
               .reload = CONF_RELOAD_AT_ONCE,
               .doc = "The file that holds it, readable by its owner alone."),
    KEY_STRING("secret-credential", TURNSTILE, from.key_credential, .min = 1, .max = 255,
               .reload = CONF_RELOAD_AT_ONCE, .doc = "The systemd credential that holds it."),
    KEY_STRING("url", TURNSTILE, out.at.url, .min = 1, .max = 2048,
               .def = "https://challenges.cloudflare.com/turnstile/v0/siteverify",
               .reload = CONF_RELOAD_AT_ONCE, .doc = "Where answers are verified."),
    KEY_BOOL("local", TURNSTILE, out.at.local, .def = "false", .reload = CONF_RELOAD_AT_ONCE,
             .doc = "Allows addresses that are not public (loopback, private), and plain http."),
    KEY_STRING("ca-file", TURNSTILE, ca_file, .min = 0, .max = 4095, .def = "",
               .reload = CONF_RELOAD_AT_ONCE,
               .doc = "Certificate authorities to trust instead of the system's, in PEM."),
    KEY_DURATION("timeout", TURNSTILE, out.at.timeout_ms, .min = 100, .max = MINUTE, .def = "5s",
                 .reload = CONF_RELOAD_AT_ONCE, .doc = "How long a verification may take."),
    KEY_STRINGS("hostnames", TURNSTILE, out.hostnames, .empty_ok = true, .min = 1, .max = 253,
                .reload = CONF_RELOAD_AT_ONCE,
                .doc = "The hosts of the pages that an answer may come from; without it, any that the "
                       "widget is for."),
};

#define OIDC struct draft_oidc
const struct conf_key conf_oidc_keys[CONF_OIDC_KEYS] = {
    KEY_STRING("title", OIDC, out.title, .min = 1, .max = 96, .reload = CONF_RELOAD_AT_ONCE,
               .doc = "What people see; its name when absent."),
    KEY_STRING("issuer", OIDC, out.at.url, .required = true, .min = 1, .max = 2048,
               .reload = CONF_RELOAD_AT_ONCE,
               .doc = "The provider's issuer, as it names itself: all else is found below it, at "
                      "/.well-known/openid-configuration."),
    KEY_STRING("client-id", OIDC, out.client_id, .required = true, .min = 1, .max = 255,
               .reload = CONF_RELOAD_AT_ONCE, .doc = "What it calls us."),
    KEY_STRING("client-secret-env", OIDC, from.key_env, .min = 1, .max = 128,
               .reload = CONF_RELOAD_AT_ONCE,
               .doc = "The environment variable that holds our secret; a public client has none."),
    KEY_STRING("client-secret-file", OIDC, from.key_file, .min = 1, .max = 4095,
               .reload = CONF_RELOAD_AT_ONCE,
               .doc = "The file that holds it, readable by its owner alone."),
    KEY_STRING("client-secret-credential", OIDC, from.key_credential, .min = 1, .max = 255,
               .reload = CONF_RELOAD_AT_ONCE, .doc = "The systemd credential that holds it."),
    KEY_STRINGS("scopes", OIDC, out.scopes, .min = 1, .max = 128, .reload = CONF_RELOAD_AT_ONCE,
                .doc = "What is asked for besides openid; email and profile when absent."),
    KEY_STRINGS("domains", OIDC, out.domains, .empty_ok = true, .min = 1, .max = 253,
                .reload = CONF_RELOAD_AT_ONCE,
                .doc = "The domains of mail addresses that may sign in by it; without it, all."),
    KEY_BOOL("unverified", OIDC, out.unverified, .def = "false", .reload = CONF_RELOAD_AT_ONCE,
             .doc = "Takes addresses that the provider does not say it has verified. For a provider "
                    "whose every address is its own."),
    KEY_BOOL("local", OIDC, out.at.local, .def = "false", .reload = CONF_RELOAD_AT_ONCE,
             .doc = "Allows addresses that are not public (loopback, private), and plain http."),
    KEY_STRING("ca-file", OIDC, ca_file, .min = 0, .max = 4095, .def = "",
               .reload = CONF_RELOAD_AT_ONCE,
               .doc = "Certificate authorities to trust instead of the system's, in PEM."),
    KEY_DURATION("timeout", OIDC, out.at.timeout_ms, .min = 100, .max = MINUTE, .def = "10s",
                 .reload = CONF_RELOAD_AT_ONCE, .doc = "How long an answer of it may take."),
};

#define WEBHOOKS struct draft_webhooks
const struct conf_key conf_webhooks_keys[CONF_WEBHOOKS_KEYS] = {
    KEY_BOOL("local", WEBHOOKS, out.local, .def = "false", .reload = CONF_RELOAD_AT_ONCE,
             .doc = "Allows addresses that are not public (loopback, private), and plain http. For a "
                    "server whose tenants are all trusted: any of them can then make it ask what only "
                    "it can reach."),
    KEY_DURATION("timeout", WEBHOOKS, out.timeout_ms, .min = 100, .max = MINUTE, .def = "10s",
                 .reload = CONF_RELOAD_AT_ONCE, .doc = "How long one delivery may take."),
    KEY_STRING("ca-file", WEBHOOKS, ca_file, .min = 0, .max = 4095, .def = "",
               .reload = CONF_RELOAD_AT_ONCE,
               .doc = "Certificate authorities to trust instead of the system's, in PEM."),
};
