/* The rows of the section manage: who may come, and for how long. */
#include "conf/table_in.h"

#define MANAGE struct conf_manage
#define DAY (UINT64_C(24) * HOUR)
#define AT_ONCE .reload = CONF_RELOAD_AT_ONCE
#define CREDITS UINT64_C(1000000)

const struct conf_key conf_manage_keys[CONF_MANAGE_KEYS] = {
    KEY_WORD("registration", MANAGE, registration, conf_registration_name, .def = "closed", AT_ONCE,
             .doc = "Whether people may register a tenant of their own: open, approval, by which it "
                    "serves nothing until an operator has approved it, or closed. Who was invited "
                    "into a tenant may always come."),
    KEY_STRINGS("domains", MANAGE, domains, .empty_ok = true, .min = 1, .max = 253, AT_ONCE,
                .doc = "The domains of mail addresses that may register; without it, all."),
    KEY_DECIMAL("trial-credit", MANAGE, trial_ucr, .min = 0, .max = 1000000 * CREDITS, .def = "0",
                AT_ONCE, .doc = "The credit that a tenant gets when it registers itself."),
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
    KEY_BOOL("edit", MANAGE, edit, .def = "true", AT_ONCE,
             .doc = "Whether platform administrators may change this file over the management API. "
                    "The program that sends mail cannot be changed so in any case."),
};
