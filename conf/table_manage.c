/* The rows of the section manage: who may come, and for how long. */
#include "conf/table_in.h"

#define MANAGE struct conf_manage
#define DAY (UINT64_C(24) * HOUR)
#define AT_ONCE .reload = CONF_RELOAD_AT_ONCE
#define CREDITS UINT64_C(1000000)

/* A pace that has no end would be none, and one that is too slow would keep out who wants to change it. */
#define PACE_MAX 600000u
#define KEY_PACE(key, field, rate_def, burst_def, rate_min, burst_min, rate_doc, burst_doc)        \
    KEY_UINT(key "-rate", MANAGE, field.per_minute, .min = (rate_min), .max = PACE_MAX,            \
             .def = (rate_def), AT_ONCE, .doc = rate_doc),                                         \
        KEY_UINT(key "-burst", MANAGE, field.burst, .min = (burst_min), .max = PACE_MAX,           \
                 .def = (burst_def), AT_ONCE, .doc = burst_doc)

const struct conf_key conf_manage_keys[CONF_MANAGE_KEYS] = {
    KEY_WORD("registration", MANAGE, registration, conf_registration_name, .def = "closed", AT_ONCE,
             .doc = "Whether people may register a tenant of their own: open, approval, by which it "
                    "serves nothing until an operator has approved it, or closed. Who was invited "
                    "into a tenant may always come."),
    KEY_STRINGS("domains", MANAGE, domains, .empty_ok = true, .min = 1, .max = 253, AT_ONCE,
                .doc = "The domains of mail addresses that may register; without it, all."),
    KEY_DECIMAL("trial-credit", MANAGE, trial_ucr, .min = 0, .max = 1000000 * CREDITS, .def = "0",
                AT_ONCE, .doc = "The credit that a tenant gets when it registers itself."),
    KEY_UINT("trial-days", MANAGE, trial_days, .min = 0, .max = 3660, .def = "0", AT_ONCE,
             .doc = "What is left of that credit is taken back so many days later; 0: never."),
    KEY_STRING("title", MANAGE, title, .min = 1, .max = 96, .def = "Turnpike", AT_ONCE,
               .doc = "What this server is called in mail and on its pages."),
    KEY_STRING("url", MANAGE, url, .min = 1, .max = 2048, AT_ONCE,
               .doc = "Where people reach this server, such as https://gateway.example.org: links in "
                      "mail begin with it, and requests of pages from elsewhere are refused. Without "
                      "it the host that a request names is taken for it, and mails with codes have no link."),
    KEY_AGE("session-time", MANAGE, session_ms, .min = 5 * MINUTE, .max = 366 * DAY, .def = "30d",
            AT_ONCE, .doc = "How long a session lasts at most."),
    KEY_AGE("session-idle", MANAGE, session_idle_ms, .min = 5 * MINUTE, .max = 366 * DAY,
            .def = "7d", AT_ONCE, .doc = "How long it lasts when it is not used."),
    KEY_AGE("invite-time", MANAGE, invite_ms, .min = 10 * MINUTE, .max = 366 * DAY, .def = "7d",
            AT_ONCE, .doc = "How long an invitation is good that says nothing else."),
    KEY_STRINGS("trusted-proxies", MANAGE, trusted, .empty_ok = true, .min = 2, .max = 49, AT_ONCE,
                .doc = "Addresses and ranges (10.0.0.0/8) of the proxies that stand before this server. A "
                       "request that comes from one of them is its client's, which is the last address "
                       "of X-Forwarded-For that is not of a trusted proxy: the addresses that a key may be "
                       "used from and the count of wrong keys go by it, and of the management API "
                       "rates, sessions and the audit log. Each of them must add the address that it "
                       "was asked from to that header; without trusted-proxies it counts for nothing."),
    KEY_PACE("address", address, "30000", "2000", 600, 100,
             "How many requests to the management API one address may make a minute; IPv6: one network "
             "of 64 bits.",
             "How many of them at once, before it is held to that."),
    KEY_PACE("caller", caller, "3000", "200", 60, 50,
             "How many one person, or one key, may make a minute.",
             "How many of them at once."),
    KEY_PACE("failure", failure, "30", "60", 1, 5,
             "How many keys and session cookies that are none one address may try a minute: past them no "
             "key or cookie from there is looked at.",
             "How many of them at once."),
    KEY_PACE("sign-in", sign_in, "60", "120", 6, 10,
             "How often one address may ask a minute for what could guess a password or a code, or send "
             "mail: to sign in, to register, for a code, and the like.",
             "How often at once."),
    KEY_PACE("account", account, "6", "20", 1, 5,
             "The same for one account, whichever addresses ask.",
             "How often at once."),
    KEY_UINT("max-keys", MANAGE, keys_max, .min = 1, .max = 4000000, .def = "10000", AT_ONCE,
             .doc = "How many keys a tenant's people may make, over the management API; the command line makes "
                    "any number."),
    KEY_UINT("max-members", MANAGE, members_max, .min = 1, .max = 1000000, .def = "1000", AT_ONCE,
             .doc = "How many members a tenant may come to by invitations and the management API."),
    KEY_UINT("max-projects", MANAGE, projects_max, .min = 1, .max = 1000000, .def = "1000", AT_ONCE,
             .doc = "How many projects a tenant's people may make."),
    KEY_BOOL("edit", MANAGE, edit, .def = "true", AT_ONCE,
             .doc = "Whether platform administrators may change this file over the management API. "
                    "The program that sends mail cannot be changed so in any case."),
};
